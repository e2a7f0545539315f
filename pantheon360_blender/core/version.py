"""This extension's version and folder, as both processes know them."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path

EXTENSION_ROOT = Path(__file__).resolve().parents[2]
"""The extension's folder: the manifest and the package `backend` lie in it."""

UNKNOWN = "unknown"


@lru_cache(maxsize=1)
def version() -> str:
    """This extension's version, as its manifest says; UNKNOWN if there is no manifest."""
    try:
        manifest = (EXTENSION_ROOT / "blender_manifest.toml").read_text(encoding="utf-8")
        return str(tomllib.loads(manifest)["version"])
    except (OSError, KeyError, ValueError):
        return UNKNOWN
