"""Jobs that go on while the artist works: whose turn it is, and how their results reach the scene."""

from __future__ import annotations

from ...late_files import run_when_used

run_when_used(__name__)
