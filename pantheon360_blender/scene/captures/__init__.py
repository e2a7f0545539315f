"""Captures: objects whose transform is the pose of a 360° photograph."""

from __future__ import annotations

from ...late_files import run_when_used

run_when_used(__name__)
