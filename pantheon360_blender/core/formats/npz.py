"""Arrays of .npz archives, read so that what a header claims costs no memory before it is checked.

Source: NumPy Enhancement Proposal 1, "A simple file format for NumPy arrays".
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np

from . import zip_archive
from .zip_archive import opened as opened
from .zip_archive import opened_bytes as opened_bytes

DAMAGED = zip_archive.DAMAGED
"""What `opened` and `read` raise if an archive is damaged, encrypted, packed in an unknown way, or too large."""

_HEADER = 1 << 16  # bytes of the longest header in front of an array
_LONGEST_SIDE = 1 << 48
_KINDS = "biuf"  # truth values and numbers: of other types nothing here has any
_npy: Any = np.lib.format  # without type annotations in numpy 1.26


def read(archive: zipfile.ZipFile, name: str, largest: int) -> np.ndarray:
    """The array `name` of an open archive, of numbers or truth values; nothing is ever unpickled.

    largest: bytes above which it is refused, before it is unpacked.
    Returns a new array of the stored shape and dtype.
    Raises OSError and ValueError: it is missing, cut short, of another kind, larger, or not what its header says.
    """
    try:
        member = archive.getinfo(f"{name}.npy")
    except KeyError as error:
        raise ValueError(f"it holds no array {name!r}") from error
    data = zip_archive.read_member(archive, member, largest + _HEADER)
    file = io.BytesIO(data)  # shares the bytes
    shape, by_columns, dtype = _header(file, name)
    size = math.prod(shape) * dtype.itemsize
    sound = dtype.kind in _KINDS and all(type(side) is int and 0 <= side < _LONGEST_SIDE for side in shape)
    if not sound or size > largest:
        raise ValueError(f"{name} does not hold what its header says")
    if size > len(data) - file.tell():
        raise ValueError(f"{name} is cut short")
    values = np.frombuffer(data, dtype, math.prod(shape), file.tell()) if size else np.empty(0, dtype)
    return np.array(values.reshape(shape, order="F" if by_columns else "C"))


def _header(file: BinaryIO, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether it is stored by columns, and dtype."""
    try:
        if _npy.read_magic(file) != (1, 0):
            raise ValueError(f"{name} is of a newer kind than is needed here")
        header: tuple[tuple[int, ...], bool, np.dtype] = _npy.read_array_header_1_0(file)
    except (ArithmeticError, LookupError, MemoryError, RecursionError, SyntaxError, TypeError, TokenError) as error:
        # numpy evaluates the header as a Python literal and lets some of what that raises through.
        raise ValueError(f"{name} has a damaged header") from error
    return header


def write(file: BinaryIO, name: str, array: np.ndarray) -> None:
    """Write an archive of one array, deflated at level 1: higher ones cost much time and gain little."""
    write_arrays(file, {name: array})


def write_arrays(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an archive of arrays by their names, as `write` does one."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                _npy.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
