"""The device that models compute on: which one, at what precision, and how much memory is free.

torch is imported by the functions that need it, so that `doctor` can read the computer's memory without it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.jobs.paint_settings import DEVICES, PRECISIONS

UNKNOWN_FREE = 8_000_000_000
"""Bytes taken for free if the system does not tell."""


def choose(kind: str = "auto", precision: str = "auto", *, half: str | None = None) -> tuple[str, str]:
    """The device and the precision to compute with, as asked or, for "auto", the best there are.

    kind: of DEVICES. precision: of PRECISIONS. half: what "auto" means on a GPU; by default bfloat16 if it has that.
    Raises PantheonError if there is no such device or precision.
    """
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind == "auto":
        kind = next(name for name in DEVICES if there[name])
    if not there.get(kind):
        raise PantheonError(
            f"There is no device {kind!r} here.", advice="Choose auto, or install torch for it.", code="no-device"
        )
    if precision == "auto":
        precision = "float32"  # half precision is slower than single on a processor, and incomplete on Apple's
        if kind == "cuda":
            precision = half or ("bfloat16" if torch.cuda.get_device_capability()[0] >= 8 else "float16")
    if precision not in PRECISIONS:
        raise PantheonError(f"{precision!r} is no precision.", advice="Choose auto, float32, bfloat16 or float16.")
    return kind, precision


def name(kind: str) -> str:
    """The device for people: "NVIDIA H100", "CPU, 8 cores"."""
    if kind == "cuda":
        import torch

        return str(torch.cuda.get_device_name())
    return "Apple GPU" if kind == "mps" else f"CPU, {os.cpu_count() or 1} cores"


def free_memory(kind: str) -> int:
    """Free bytes of the device's memory."""
    if kind == "cuda":
        import torch

        unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0]) + int(unused)
    free = system_memory()[1]
    return UNKNOWN_FREE if free is None else free


def budget(kind: str) -> int:
    """Bytes to plan with: the free memory of a GPU, or three quarters of a computer's, free or not.

    The plan changes the last bits of what is painted, and one computer paints the same each time.
    """
    total = system_memory()[0]
    return free_memory(kind) if kind == "cuda" or total is None else total * 3 // 4


def peak_memory(kind: str) -> int:
    """The most bytes of the device's memory that this process held; 0 if unknown."""
    if kind == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    if sys.platform == "win32":
        return 0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def give_back(kind: str) -> None:
    """Give memory of past computations back to the device."""
    if kind == "cuda":
        import torch

        torch.cuda.empty_cache()


def system_memory() -> tuple[int | None, int | None]:
    """Total and free bytes of the computer's memory; None if the system does not tell."""
    if sys.platform == "win32":
        return _memory_of_windows()
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total = page * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None, None
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return total, int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return total, None


def _memory_of_windows() -> tuple[int | None, int | None]:
    """MEMORYSTATUSEX of GlobalMemoryStatusEx (sysinfoapi.h)."""
    import ctypes

    status = (ctypes.c_ulonglong * 8)()
    ctypes.cast(status, ctypes.POINTER(ctypes.c_ulong))[0] = ctypes.sizeof(status)
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):  # type: ignore[attr-defined]
        return None, None
    return int(status[1]), int(status[2])
