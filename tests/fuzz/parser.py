"""What a parser is to the fuzzer, and what is in the valid files that are damaged for it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.points.point_cloud import PointCloud

from .mutations import Mutation

WIDTH = 32
SIZE = (WIDTH // 2, WIDTH)


@dataclass(frozen=True)
class Parser:
    """A parser of files.

    make: writes valid files into an empty folder and returns those that are damaged, one at a time.
    read: parses what is in the folder. mutations: of the damaged files, beside those of bytes. needs: modules.
    """

    name: str
    make: Callable[[Path], list[Path]]
    read: Callable[[Path], Any]
    mutations: tuple[Mutation, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def available(self) -> bool:
        """Whether this Python has its libraries, which Blender may bring along."""
        if "OpenImageIO" in self.needs:
            with suppress(ImportError):
                import bpy

                bpy.utils.expose_bundled_modules()
        return all(importlib.util.find_spec(name) is not None for name in self.needs)


def each(*steps: Callable[[], Any]) -> None:
    """All of the steps, whichever of them refuse; the first refusal comes at the end."""
    refusal = None
    for step in steps:
        try:
            step()
        except PantheonError as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal


def written(name: str, data: bytes) -> Callable[[Path], list[Path]]:
    """One file."""

    def make(folder: Path) -> list[Path]:
        (folder / name).write_bytes(data)
        return [folder / name]

    return make


def photograph(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def ranges() -> np.ndarray:
    return np.linspace(1, 9, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE)


def cloud(count: int = 40) -> PointCloud:
    random = np.random.default_rng(3)
    points = random.normal(size=(count, 3)).astype(np.float32)
    shares = (np.ones(count, np.float32), np.zeros(count, np.int32), np.full(count, 0.01, np.float32))
    return PointCloud(points, random.integers(0, 256, (count, 3), dtype=np.uint8), *shares)
