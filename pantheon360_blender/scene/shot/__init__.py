"""From the geometry pass to the strip."""

from __future__ import annotations

from ...late_files import run_when_used

run_when_used(__name__)
