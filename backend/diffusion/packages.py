"""Packages that a verb cannot do without: missing ones are told before it begins."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

from pantheon360_blender.core.errors import PantheonError


def require(packages: Sequence[str], what: str) -> None:
    """Raise PantheonError, with the command that installs them, if packages are missing.

    what: begins the sentence that says so, as "Models need".
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise PantheonError(
            f"{what} {', '.join(missing)}, which this Python does not have.",
            advice=f'"{sys.executable}" -m pip install {" ".join(missing)}',
            code="missing-packages",
        )
