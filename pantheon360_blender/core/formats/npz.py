"""Arrays of .npz archives, read so that what a header claims costs no memory before it is checked.

Source: NumPy Enhancement Proposal 1, "A simple file format for NumPy arrays".
"""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from typing import Any, BinaryIO

import numpy as np

DAMAGED = (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What zipfile and `read` raise if an archive is damaged, encrypted or packed in an unknown way."""

_npy: Any = np.lib.format  # without type annotations in numpy 1.26


def read(archive: zipfile.ZipFile, name: str, largest: int | None = None) -> np.ndarray:
    """The array `name` of an open archive; nothing is ever unpickled.

    largest: bytes above which it is refused; None allows what the archive says it holds unpacked.
    Returns a new array of the stored shape and dtype.
    Raises ValueError if it is missing, cut short, of Python objects, larger, or not what its header says.
    """
    if f"{name}.npy" not in archive.namelist():
        raise ValueError(f"it holds no array {name!r}")
    with archive.open(f"{name}.npy") as file:
        shape, by_columns, dtype = _header(file, name)
        size = math.prod(shape) * dtype.itemsize
        limit = archive.getinfo(f"{name}.npy").file_size if largest is None else largest
        if dtype.hasobject or min(shape, default=0) < 0 or size > limit:
            raise ValueError(f"{name} does not hold what its header says")
        data = file.read(size)
    if len(data) < size:
        raise ValueError(f"{name} is cut short")
    return np.array(np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C"))


def _header(file: Any, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether it is stored by columns, and dtype."""
    try:
        if _npy.read_magic(file) != (1, 0):
            raise ValueError(f"{name} is of a newer kind than is needed here")
        header: tuple[tuple[int, ...], bool, np.dtype] = _npy.read_array_header_1_0(file)
    except (TypeError, LookupError, SyntaxError, MemoryError, tokenize.TokenError) as error:
        # numpy evaluates the header as a Python literal and lets some of what that raises through.
        raise ValueError(f"{name} has a damaged header") from error
    return header


def write(file: BinaryIO, name: str, array: np.ndarray) -> None:
    """Write an archive of one array, deflated at level 1: higher ones cost much time and gain little."""
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(f"{name}.npy", "w", force_zip64=True) as member,
    ):
        _npy.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
