"""What artists do with the camera's path: laid on captures, along a way, from a file."""

from __future__ import annotations

from ...pantheon360_blender.scene.app.registration import registration_of_modules
from . import path_files, path_moves, set_path_ends

register, unregister = registration_of_modules((set_path_ends, path_moves, path_files))
