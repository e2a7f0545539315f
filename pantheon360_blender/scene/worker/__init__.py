"""A second Blender, without a window, that decodes and encodes while the first one draws and listens."""

from __future__ import annotations

from ...late_files import run_when_used

run_when_used(__name__)
