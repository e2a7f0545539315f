"""What both processes agree on of jobs: folders, settings, models, messages, child processes."""

from __future__ import annotations

from ...late_files import run_when_used

run_when_used(__name__)
