"""Kernels that are compiled ahead are those that a reconstruction calls, and it does without them if that fails."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="needs the backend's environment")

from backend import numba_cache
from backend.reconstruction import compilation
from pantheon360_blender.core.jobs.child import ChildProcess
from pantheon360_blender.core.progress import run_to_end

ROOT = Path(__file__).resolve().parents[2]

SIGNATURES = """
import importlib, pkgutil
import numba
import numpy as np
from backend.reconstruction import dense
from backend.reconstruction import compilation
from backend.reconstruction.dense.sweep import DenseOptions, dense as estimate
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.progress import run_to_end

def compiled():
    names = [f"{dense.__name__}.{each.name}" for each in pkgutil.iter_modules(dense.__path__)]
    there = [each for name in names for each in vars(importlib.import_module(name)).values()]
    kernels = {each for each in there if isinstance(each, numba.core.dispatcher.Dispatcher)}
    return {f"{each.py_func.__module__}.{each.__name__}": each.signatures for each in kernels}

compilation.compile_all()
before = compiled()
captures = []
for index in range(3):
    pose = np.eye(4)
    pose[2, 3] = index
    image = np.random.default_rng(index // 2).integers(0, 256, (128, 256, 3), dtype=np.uint8)
    captures.append(Capture(str(index), image, pose, valid=np.arange(128)[:, None] + np.zeros(256) < 100))
run_to_end(estimate(captures, DenseOptions(width=128, labels=16)))
assert compiled() == before, [name for name, found in compiled().items() if found != before[name]]
assert sum(map(bool, before.values())) > 10
"""


def test_a_reconstruction_of_other_size_compiles_nothing_more() -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-c", SIGNATURES], cwd=ROOT, capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stderr
    assert compilation.is_done()


@pytest.mark.parametrize("program", ["raise SystemExit(3)", "print('{}')"], ids=["dies", "talks nonsense"])
def test_a_compiler_that_fails_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str) -> None:
    monkeypatch.setenv(numba_cache.VARIABLE, str(tmp_path))
    assert not compilation.is_done()
    started = []

    def failing(**options: object) -> ChildProcess:
        started.append(ChildProcess(command=(sys.executable, "-c", program), name="compiler"))
        return started[-1]

    monkeypatch.setattr(compilation, "ChildProcess", failing)
    with compilation.ahead() as compiled:
        run_to_end(compiled)
    assert len(started) == 1 and not started[0].alive


def test_what_is_not_needed_or_done_starts_no_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compilation, "ChildProcess", partial(pytest.fail, "a process was made"))
    monkeypatch.setenv(numba_cache.VARIABLE, str(tmp_path))
    with compilation.ahead(needed=False) as compiled:
        assert list(compiled) == []
    (tmp_path / "dense").mkdir()
    (tmp_path / "dense" / "consistency.confirmations-16.py311.nbi").touch()
    with compilation.ahead() as compiled:
        assert list(compiled) == []
