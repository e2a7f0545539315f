"""Metres and a scene's own units: what photographs, scans and the backend count in metres enters and leaves here, and
what a person reads of lengths.

A scene's unit scale says how many metres one of its units is; Blender shows lengths by it, and changes no number.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from . import access


def per_metre(scene: bpy.types.Scene) -> float:
    """How many of a scene's units a metre is: 1 unless its unit scale is another, 100 if its unit is a centimetre."""
    settings: Any = scene.unit_settings
    # The scale has 32 bits: a hundredth is not quite one.
    return 1.0 if settings.system == "NONE" else float(f"{1.0 / settings.scale_length:.7g}")


def adopt(scene: bpy.types.Scene) -> None:
    """Give lengths among the scene's settings that nobody chose yet the metres that their defaults mean."""
    metre, settings = per_metre(scene), access.of_scene(scene)
    if metre == 1.0:
        return
    for each in settings.bl_rna.properties:
        if getattr(each, "unit", "NONE") == "LENGTH" and not settings.is_property_set(each.identifier):
            setattr(settings, each.identifier, each.default * metre)


def scaling(factor: float) -> np.ndarray:
    """(4, 4) float64 matrix that makes points `factor` times as large about the origin."""
    return np.diag([factor, factor, factor, 1.0])


def moved(pose: np.ndarray, factor: float) -> np.ndarray:
    """A camera-to-world (4, 4) whose place is `factor` times as far from the origin, and that is turned as before."""
    result = np.array(pose, np.float64)
    result[:3, 3] *= factor
    return result


def length(scene: bpy.types.Scene, distance: float) -> str:
    """A length in the scene's unit system, "1.5 m" or "4.92'". distance: in the scene's units."""
    return _text(scene, "LENGTH", distance, "m")


def speed(scene: bpy.types.Scene, distance_per_second: float) -> str:
    """A speed in the scene's unit system, "1.5 m/s" or "4.92 ft/s". distance_per_second: in the scene's units."""
    return _text(scene, "VELOCITY", distance_per_second, "m/s")


def _text(scene: bpy.types.Scene, kind: str, value: float, metric: str) -> str:
    settings: Any = scene.unit_settings
    if settings.system == "NONE":
        return f"{value:.3g} {metric}"
    return bpy.utils.units.to_string(settings.system, kind, value * settings.scale_length, precision=3)
