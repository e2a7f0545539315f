"""The engine of this person: where it lies, and installing it from Blender."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy

from ...core.engine import install, installed, parts, preflight
from ...core.engine.installed import Engine
from ...core.engine.preflight import Preflight
from ...core.progress import Job
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
    app: Any = bpy.app
    return preflight.check(root(), names, python, device=device, online=bool(app.online_access), wheels=wheels)


def install_parts(flight: Preflight) -> Job[Engine]:
    """Install an engine, see install.install; the backend that runs ends, so that the next one has the new packages."""
    engine = yield from install.install(root(), flight)
    backend_process.stop_shared()
    return engine


def remove() -> int:
    """Remove the engine. Returns how many bytes that freed."""
    backend_process.stop_shared()
    return installed.remove(root())


def with_parts_there(names: Sequence[str]) -> list[str]:
    """These parts, and those that the engine in use has already: an engine is always made anew."""
    engine = current()
    there = engine.parts if engine is not None else []
    return [name for name in parts.PARTS if name in {*names, *there}]
