"""Packages that stages of a job need, looked for before the work begins (core/engine/requirements.py has which)."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

from pantheon360_blender.core.engine import requirements
from pantheon360_blender.core.errors import BackendError


def require(stages: Sequence[str]) -> str:
    """How to get what these stages need, for people. Raises BackendError with that if this Python lacks any of it."""
    needed = requirements.packages(stages)
    advice = requirements.how_to_get(sorted({*needed.values(), "numpy"}))
    missing = sorted(package for module, package in needed.items() if importlib.util.find_spec(module) is None)
    if missing:
        raise BackendError(
            f"{sys.executable} lacks {', '.join(missing)}, needed for {' and '.join(stages)}.",
            advice=advice,
            code="missing-package",
        )
    return advice
