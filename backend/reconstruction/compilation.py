"""What numba compiles is compiled ahead, by a process of its own, while features are found and poses solved.

    python -m backend.reconstruction.compilation

estimates two small panoramas, so that every kernel is called as it will be; numba keeps what it compiled. That takes
half a minute, once after each installation and update.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pantheon360_blender.core.errors import BackendError
from pantheon360_blender.core.jobs import child, messages
from pantheon360_blender.core.jobs.child import ChildProcess
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.progress import Job, run_to_end
from pantheon360_blender.core.version import version

from .. import numba_cache

JOB = "compilation"
_WIDTH = 64
_LAST = "*confirmations*.nbi"
"""What numba keeps of the kernel that an estimate calls last."""


def main() -> int:
    """Compile, and say so. Returns the exit code."""
    _send(messages.Hello(messages.PROTOCOL, version(), os.getpid(), "CPU"))
    compile_all()
    _send(messages.Done(JOB, "", 0))
    return 0


def _send(message: messages.Message) -> None:
    sys.stdout.buffer.write(messages.encode(message))
    sys.stdout.buffer.flush()


def compile_all() -> None:
    """Have every kernel of the dense stage compiled for the types that it is called with."""
    from .dense.sweep import DenseOptions, dense

    random = np.random.default_rng(0)
    captures = []
    for index in range(2):
        pose = np.eye(4)
        pose[0, 3] = 4.0 * index  # metres: so far apart that surfaces are proven, too
        image = random.integers(0, 256, (_WIDTH // 2, _WIDTH, 3), dtype=np.uint8)
        captures.append(Capture(str(index), image, pose))
    run_to_end(dense(captures, DenseOptions(width=_WIDTH, labels=16)))


def is_done() -> bool:
    """Whether an earlier run has left compiled kernels of this version."""
    kept = os.environ.get(numba_cache.VARIABLE)
    return kept is not None and any(Path(kept).rglob(_LAST))


@contextmanager
def ahead(needed: bool = True) -> Iterator[Job[None]]:
    """Compile beside what is done meanwhile, if it is needed and not done. The job that this gives waits for the end.

    Compilation that fails is no error: what is missing is compiled when it is called.
    """
    if not needed or is_done():
        yield _nothing()
        return
    compiler = ChildProcess(module=("backend.reconstruction.compilation",), name="compiler")
    compiler.start()
    try:
        yield _end_of(compiler)
    finally:
        compiler.stop(grace=0)


def _nothing() -> Job[None]:
    yield from ()


def _end_of(compiler: ChildProcess) -> Job[None]:
    try:
        yield from child.drive(compiler, starting="Compiling")
    except BackendError:
        return


if __name__ == "__main__":
    sys.exit(main())
