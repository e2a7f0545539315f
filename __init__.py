"""Pantheon360: turn sparse 360° captures into camera-controlled 360° video."""

from __future__ import annotations

from . import cli, operators, ui
from .pantheon360_blender import scene
from .pantheon360_blender.scene.app.registration import registration_of_modules

ROOMS = (scene, operators, ui, cli)

register, unregister = registration_of_modules(ROOMS)
