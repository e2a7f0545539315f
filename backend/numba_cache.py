"""Where numba keeps what it compiled: in the artist's cache folder, as nothing is written into the extension's own."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
"""The environment variable that numba reads, and that people may set."""


def folder(platform: str, environment: Mapping[str, str], home: Path) -> Path:
    """The folder by the customs of the platform (a value of sys.platform); it need not exist.

    Windows: %LOCALAPPDATA%; macOS: ~/Library/Caches; elsewhere $XDG_CACHE_HOME, which counts only if it is absolute
    (XDG Base Directory Specification 0.8), or ~/.cache.
    """
    if platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        stated = environment.get("XDG_CACHE_HOME", "")
        base = Path(stated) if Path(stated).is_absolute() else home / ".cache"
    return base / "pantheon360" / "numba"


def choose() -> None:
    """Point numba to the folder, unless the environment names one; for this process and those that it starts.

    To be called before anything is decorated with njit(cache=True): that is when numba looks.
    """
    if os.environ.get(VARIABLE):
        return
    try:
        home = Path.home()
    except RuntimeError:  # a service may run as somebody who has none
        return
    os.environ[VARIABLE] = str(folder(sys.platform, os.environ, home) / sources())
    if "numba" in sys.modules:  # it has read its environment already
        sys.modules["numba"].config.reload_config()


def sources() -> str:
    """Digest of all that is compiled: a folder of its own for each version of it.

    numba looks at the file of a function alone. What it inlined from other files would stay as it was.
    """
    digest = hashlib.sha256()
    for path in sorted((Path(__file__).parent / "reconstruction").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
