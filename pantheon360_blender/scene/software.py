"""Which software made a result: what provenance and stamps record."""

from __future__ import annotations

import platform
import tomllib
from functools import lru_cache
from pathlib import Path

import bpy
import numpy as np

_MANIFEST = Path(__file__).resolve().parents[2] / "blender_manifest.toml"


@lru_cache(maxsize=1)
def version() -> str:
    """This extension's version, as its manifest says."""
    return str(tomllib.loads(_MANIFEST.read_text(encoding="utf-8"))["version"])


def versions() -> dict[str, str]:
    """Name to version of everything whose change can change a result."""
    return {
        "pantheon360": version(),
        "blender": bpy.app.version_string,
        "blender_commit": bpy.app.build_hash.decode("ascii", "replace"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.platform(),
    }
