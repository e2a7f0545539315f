"""Lengths and speeds as the scene's units show them."""

from __future__ import annotations

from typing import Any

import bpy


def length(scene: bpy.types.Scene, metres: float) -> str:
    """A length in the scene's unit system, "1.5 m" or "4.92'"; without a unit system, metres.

    metres: of the world; one of Blender's units is one, whatever the scene's unit scale shows it as.
    """
    return _text(scene, "LENGTH", metres, "m")


def speed(scene: bpy.types.Scene, metres_per_second: float) -> str:
    """A speed in the scene's unit system, "1.5 m/s" or "4.92 ft/s"."""
    return _text(scene, "VELOCITY", metres_per_second, "m/s")


def _text(scene: bpy.types.Scene, kind: str, value: float, metric: str) -> str:
    system: Any = scene.unit_settings.system
    if system == "NONE":
        return f"{value:.3g} {metric}"
    return bpy.utils.units.to_string(system, kind, value, precision=3)
