"""A photograph too large to be made as a whole: one row, again and again."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

_AT_ONCE = 100  # rows


def write(path: Path, row: np.ndarray, height: int) -> None:
    """Write a PNG of `height` rows, a multiple of 100. row: (W, 3) uint8."""
    head = struct.pack(">IIBBBBB", len(row), height, 8, 2, 0, 0, 0)
    rows = (b"\0" + row.tobytes()) * _AT_ONCE
    packer = zlib.compressobj(1)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head))
        for _ in range(height // _AT_ONCE):
            file.write(_chunk(b"IDAT", packer.compress(rows)))
        file.write(_chunk(b"IDAT", packer.flush()) + _chunk(b"IEND", b""))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
