"""What counts as a number, a whole number, a place or a text in the JSON files of this project."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from . import inputs
from .budget import FARTHEST


def is_integer(value: Any) -> bool:
    """Whether a value is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= sys.float_info.max  # JSON has whole numbers that no float can hold


def is_place(value: Any) -> bool:
    """Whether a value is a number of metres that something may lie away from the origin, or from something else."""
    return is_number(value) and abs(value) <= FARTHEST


def is_unicode(value: str) -> bool:
    """False for lone surrogates, which no UTF-8 file can hold."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def object_error(value: Any) -> str | None:
    """Why a value cannot be written as a JSON object; None if it can."""
    if not isinstance(value, dict):
        return "is not an object"
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        return f"holds what JSON cannot: {error}"
    return None


def read(path: Path, largest: int) -> Any:
    """The value in a JSON file of at most `largest` bytes; None if there is none, or none that can be read."""
    try:
        return inputs.read_json(path, largest)
    except (OSError, ValueError):
        return None
