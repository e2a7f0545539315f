"""The extension itself: preferences, jobs, the backend's process, differences between Blenders."""

from __future__ import annotations

from ...late_files import run_when_used

run_when_used(__name__)
