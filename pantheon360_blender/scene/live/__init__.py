"""What viewports draw of the shot by the graphics card: the live panorama, the cache's points, the photographs."""

from __future__ import annotations

from ...late_files import run_when_used

run_when_used(__name__)
