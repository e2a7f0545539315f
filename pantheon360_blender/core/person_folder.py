"""Where the system keeps what belongs to a person and not to a project: models, and the log of faults."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path


def path(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """The person's folder for this extension's data. It may not exist yet.

    Source: XDG Base Directory Specification, "Environment variables".
    """
    home = _home()
    if platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        stated = environment.get("XDG_DATA_HOME", "")  # only absolute ones count, says the specification
        base = Path(stated) if stated.startswith("/") else home / ".local" / "share"
    return base / "pantheon360"


def _home() -> Path:
    """The person's home; a farm's user may have none, and then what is kept lasts as long as temporary files do."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(tempfile.gettempdir())
