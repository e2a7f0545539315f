"""How much memory a reconstruction takes, told before it begins."""

from __future__ import annotations

from collections.abc import Sequence

from pantheon360_blender.core.errors import CaptureError
from pantheon360_blender.core.panorama.capture import Capture

from .. import device

_BASE = 0.4e9  # bytes: Python, numpy, scipy, numba and what it compiled
_OF_VIEW = 100  # bytes for each pixel of each range map while they are estimated, and once they are fused
_AT_ONCE = 900  # bytes for each pixel of one range map: what one capture is matched against, or is fused from
_POINTS = 60  # bytes for each pixel of each range map: its points, and once more as they are joined
_SMALLEST = 256  # pixels, width that is still worth while


def needed(captures: Sequence[Capture], width: int) -> float:
    """Bytes that range maps of this width, and one cloud of them, take at their most beside the captures' pixels.

    Sums of the arrays, rounded up to what was measured at 1024 pixels.
    """
    return _BASE + width * width / 2 * (_AT_ONCE + len(captures) * (_OF_VIEW + _POINTS))


def check(captures: Sequence[Capture], width: int, free: float | None = None) -> None:
    """Refuse a reconstruction that would not fit. free: bytes, None asks the system.

    Raises CaptureError with the largest width that fits.
    """
    free = device.free_memory("cpu") if free is None else free
    if needed(captures, width) <= free:
        return
    fitting = next((each for each in range(width // 64 * 64, 0, -64) if needed(captures, each) <= free), 0)
    advice = f"Set Working Width to {fitting}." if fitting >= _SMALLEST else "Close other programs, or take fewer."
    raise CaptureError(
        f"{len(captures)} captures at a width of {width} take about {needed(captures, width) / 1e9:.1f} GB; "
        f"{free / 1e9:.1f} GB are free.",
        advice=advice,
        code="memory",
    )
