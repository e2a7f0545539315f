"""Point clouds and what is done to them."""

from __future__ import annotations

from ...late_files import run_when_used

run_when_used(__name__)
