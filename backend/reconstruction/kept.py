"""Steps of a long stage in the job folder, so that a killed job goes on within the stage: `steps/NAME.npz`.

Each holds a key of all that decides the stage. What has another key, is damaged or was cut short counts as not there.
They are large, and removed when the stage's own results are written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from pantheon360_blender.core import budget
from pantheon360_blender.core.errors import FileError
from pantheon360_blender.core.formats import npz
from pantheon360_blender.core.output_folder import OutputFolder

from .. import numba_cache

FOLDER = "steps"
_LARGEST = 12 * budget.DEPTH.width * budget.DEPTH.height  # bytes: a plane a pixel
_KEY = "key"


class KeptSteps:
    """The steps of one stage. key: see `key_of`."""

    def __init__(self, folder: OutputFolder, key: bytes) -> None:
        self._folder, self._key = folder, key

    def write(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays of numbers or truth values, in place of those of that name. Raises FileError."""
        with self._folder.writing(f"{FOLDER}/{name}.npz") as file:
            np.savez(file, **{_KEY: np.frombuffer(self._key, np.uint8), **arrays})

    def read(self, name: str, *arrays: str) -> dict[str, np.ndarray] | None:
        """Arrays as they were written, all finite; None if they cannot be had."""
        try:
            with npz.opened(self._folder.path / FOLDER / f"{name}.npz") as archive:
                if npz.read(archive, _KEY, len(self._key)).tobytes() != self._key:
                    return None
                found = {array: npz.read(archive, array, _LARGEST) for array in arrays}
        except npz.DAMAGED:
            return None
        return found if all(np.isfinite(array).all() for array in found.values()) else None


def remove(folder: OutputFolder) -> None:
    """Remove all that is kept. Raises FileError if a file of it stays."""
    for path in sorted((folder.path / FOLDER).glob("*.npz")):
        folder.remove(f"{FOLDER}/{path.name}")
    with suppress(FileError):  # somebody may have put a file into it
        folder.remove(FOLDER)


def key_of(decided: Any) -> bytes:
    """SHA-256 of JSON values that decide a stage, and of the sources that compute it."""
    text = json.dumps([numba_cache.sources(), decided], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()
