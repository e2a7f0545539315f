"""Importing the libraries without what they say while they are imported: nothing a person can act on here."""

from __future__ import annotations

import os


def ask() -> None:
    """Have transformers and diffusers keep warnings to themselves; before they are first imported."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
