"""What artists do with jobs in the background, and with what they have made."""

from __future__ import annotations

from ...pantheon360_blender.scene.app.registration import registration_of_modules
from . import export, extend, jobs, quit, takes

register, unregister = registration_of_modules((jobs, takes, export, extend, quit))
