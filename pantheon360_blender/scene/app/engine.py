"""The engine of this person: where it lies, and installing it from Blender."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.engine import command, install, installed, parts, preflight
from ...core.engine.installed import Engine
from ...core.engine.preflight import Preflight
from ...core.jobs.child import own_python
from ...core.progress import Job, Progress, in_thread
from ...core.version import EXTENSION_ROOT
from . import backend_process, preferences


def root() -> Path:
    """The folder that engines lie in. It may not exist yet."""
    return preferences.engine_root()


def current() -> Engine | None:
    """The engine in use, if there is one."""
    return installed.current(root())


def check(
    names: Sequence[str], *, python: Path | None = None, device: str | None = None, wheels: Path | None = None
) -> Preflight:
    """Look at what installing these parts needs, see preflight.check."""
    return preflight.check(root(), names, python, device=device, online=preferences.is_online(), wheels=wheels)


def install_parts(flight: Preflight) -> Job[Engine]:
    """Install an engine, see install.install; the backend that runs ends, so that the next one has the new packages."""
    engine = yield from install.install(root(), flight)
    backend_process.stop_shared()
    return engine


def self_test() -> Job[dict[str, Any]]:
    """Have the backend's Python reconstruct two small panoramas and paint with a tiny model; what it tells of each.

    Of an engine its parts are tested, of another Python all that there are. Raises BackendError.
    """
    engine, chosen = current(), preferences.backend_python()
    ours = engine is not None and chosen == engine.interpreter(root())
    test: list[str | Path] = [chosen or own_python(), "-B", "-X", "utf8", "-m", "backend", "self-test"]
    test += engine.parts if engine is not None and ours else []
    said = yield from command.run(
        test,
        root() / installed.LOG if ours else None,
        Progress("Testing the engine"),
        cwd=EXTENSION_ROOT,
        advice="Remove the engine and install it again." if ours else "Install what it lacks, or the engine.",
    )
    told = next((line for line in reversed(said) if line.startswith("{")), "{}")
    facts: dict[str, Any] = json.loads(told)
    return facts


def remove() -> Job[int]:
    """Remove the engine. Returns how many bytes that freed."""
    backend_process.stop_shared()
    place = root()
    return (yield from in_thread(lambda: installed.remove(place), Progress("Removing the engine")))


def with_parts_there(names: Sequence[str]) -> list[str]:
    """These parts, and those that the engine in use has already: an engine is always made anew."""
    engine = current()
    there = engine.parts if engine is not None else []
    return [name for name in parts.PARTS if name in {*names, *there}]
