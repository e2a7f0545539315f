"""Poses and dense geometry from captures; numba, scipy, pycolmap or torch are imported only where they compute."""

from __future__ import annotations

from .. import numba_cache

numba_cache.choose()  # here, as no module of this package that uses numba can be imported before
