"""Which software made a result: what provenance and stamps record."""

from __future__ import annotations

import platform

import bpy
import numpy as np

from ...core import version


def versions() -> dict[str, str]:
    """Name to version of everything whose change can change a result."""
    return {
        "pantheon360": version.version(),
        "blender": bpy.app.version_string,
        "blender_commit": bpy.app.build_hash.decode("ascii", "replace"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.platform(),
    }
