"""Where a run's clips come from, by the name that its recipe gives."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from pantheon360_blender.core import inputs
from pantheon360_blender.core.errors import PantheonError

from ..training_clip import ClipSource
from .settings import Clips


def reconstruction_lacks() -> list[str]:
    """Modules that caches of worlds are reconstructed by and that are not here."""
    return [name for name in ("cv2", "numba", "scipy") if importlib.util.find_spec(name) is None]


def _worlds(clips: Clips, device: str, held_out: bool) -> ClipSource:
    from ..worlds.generator import Worlds, WorldSettings
    from ..worlds.textures import HELD_OUT, TRAIN

    lacking = reconstruction_lacks() if clips.reconstructed else []
    if lacking:
        raise PantheonError(
            f"clips.reconstructed is {clips.reconstructed}, and {', '.join(lacking)} cannot be loaded.",
            advice="Install what reconstruction needs, or set it to 0.",
            code="recipe",
        )
    return Worlds(
        WorldSettings(
            inputs.expanded(clips.folder),
            HELD_OUT if held_out else TRAIN,
            clips.width,
            clips.frames,
            device=device,
            reconstructed=clips.reconstructed,
        )
    )


def _shards(clips: Clips, device: str, held_out: bool) -> ClipSource:
    from ..shards.shards import Shards

    return Shards(inputs.expanded(clips.folder), "validation" if held_out else "train", device)


SOURCES: dict[str, Callable[[Clips, str, bool], ClipSource]] = {"worlds": _worlds, "shards": _shards}
"""Name -> what makes the source for a device, of clips to learn from or of those that are held out."""


def source(clips: Clips, device: str, *, held_out: bool = False) -> ClipSource:
    """The source that a recipe names. Raises PantheonError."""
    if clips.source not in SOURCES:
        raise PantheonError(
            f"clips.source is {clips.source!r}.", advice=f"There are {', '.join(SOURCES)}.", code="recipe"
        )
    return SOURCES[clips.source](clips, device, held_out)
