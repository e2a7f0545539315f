"""How much memory this process has and had, where a test can let the peak begin anew."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def held() -> int:
    """Bytes in memory now; elsewhere than on Linux the most that there ever were."""
    return _status("VmRSS")


def peak() -> int:
    """The most bytes in memory since `forget_peak`, or since the process began where it cannot be forgotten."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Let the peak begin anew. Not ru_maxrss, which never falls, and of a child begins with its parent's."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def limit_growth(size: int) -> None:
    """Let this process address at most `size` bytes more than it does now: what asks for more gets a MemoryError."""
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + size, resource.getrlimit(resource.RLIMIT_AS)[1]))


@contextlib.contextmanager
def grows_less_than(limit: int) -> Iterator[None]:
    """Assert that what runs inside never holds `limit` bytes more than the process did before it."""
    forget_peak()
    before = held()
    yield
    grown = peak() - before
    assert grown < limit, f"took {grown >> 20} MB more at its peak, {limit >> 20} MB were allowed"


def _status(name: str) -> int:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
