"""The geometry pass and the render engine."""

from __future__ import annotations

from ...late_files import run_when_used

run_when_used(__name__)
