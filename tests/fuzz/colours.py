"""Parsers of what pictures say of their colours, their turn and their camera."""

from __future__ import annotations

import functools
import struct
import zlib
from pathlib import Path

import numpy as np

from pantheon360_blender.core.errors import MetadataError, PantheonError
from pantheon360_blender.core.formats import appearance, camera_originals, icc, png

from . import mutations
from .mutations import BYTES, TEXT
from .parser import SIZE, Parser, each, photograph
from .pictures import tags

_P3 = {b"rXYZ": (0.5151, 0.2412, -0.0011), b"gXYZ": (0.2920, 0.6922, 0.0419), b"bXYZ": (0.1571, 0.0666, 0.7841)}


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def profile(curve: bytes, space: bytes = b"RGB ", version: int = 4) -> bytes:
    """An ICC profile of one curve, by a matrix or grey, with a description of its version."""
    text = "a profile".encode("utf-16-be")
    described = b"mluc" + bytes(4) + struct.pack(">II", 1, 12) + b"enUS" + struct.pack(">II", len(text), 28) + text
    if version == 2:
        described = b"desc" + bytes(4) + struct.pack(">I", 10) + b"a profile\0"
    wanted = {b"desc": described}
    if space == b"GRAY":
        wanted[b"kTRC"] = curve
    else:
        wanted |= {name: b"XYZ " + bytes(4) + fixed(*xyz) for name, xyz in _P3.items()}
        wanted |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body, at = b"", b"", 132 + 12 * len(wanted)
    for name, data in wanted.items():
        table += struct.pack(">4sII", name, at + len(body), len(data))
        body += data.ljust(-(-len(data) // 4) * 4, b"\0")
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"test", version << 24, b"mntr", space, b"XYZ ")
    head = head.ljust(36, b"\0") + b"acsp"
    return head.ljust(128, b"\0") + struct.pack(">I", len(wanted)) + table + body


def parametric(kind: int, *values: float) -> bytes:
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + fixed(*values)


def table_curve(*values: int) -> bytes:
    return b"curv" + bytes(4) + struct.pack(f">I{len(values)}H", len(values), *values)


PROFILES = (
    profile(parametric(0, 2.2)),
    profile(parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)),
    profile(parametric(4, 2.2, 0.9, 0.1, 0.5, 0.1, 0.01, 0.02)),
    profile(table_curve(*range(0, 65536, 655)), version=2),
    profile(table_curve(round(1.8 * 256)), version=2),
    profile(table_curve(), b"GRAY", 2),
)


def make_profiles(folder: Path) -> list[Path]:
    made = [folder / f"{number}.icc" for number in range(len(PROFILES))]
    for path, data in zip(made, PROFILES, strict=True):
        path.write_bytes(data)
    return made


def read_profiles(folder: Path) -> None:
    each(*(lambda path=path: read_profile(path.read_bytes()) for path in sorted(folder.glob("*.icc"))))


@functools.lru_cache(maxsize=16)
def read_profile(data: bytes) -> None:
    """The whole ones, which take their time, once."""
    space = icc.parse(data)
    space.is_srgb()
    space.to_srgb(photograph())


def with_chunks(**chunks: bytes) -> bytes:
    """A PNG that tells of its colours by these chunks alone."""
    data, made = png.encode(photograph()), b""
    for kind, body in chunks.items():
        made += struct.pack(">I", len(body)) + kind.encode() + body
        made += struct.pack(">I", zlib.crc32(body, zlib.crc32(kind.encode())))
    return data[:33] + made + data[46:]  # in place of its sRGB chunk


def make_shown(folder: Path) -> list[Path]:
    """Pictures of every kind with a profile and a turn, and PNGs that tell their colours in every other way."""
    from PIL import Image

    made, turned = [], tags()
    turned[0x0112] = 6
    for number, suffix in enumerate(("jpg", "png", "tif", "webp")):
        path = folder / f"{number}.{suffix}"
        Image.fromarray(photograph()).save(path, icc_profile=PROFILES[number], exif=turned)
        made.append(path)
    chromaticities = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
    told = {
        "gamma": {"gAMA": struct.pack(">I", 55556), "cHRM": chromaticities},
        "points": {"cICP": bytes((12, 13, 0, 1))},
        "packed": {"iCCP": b"a profile\0\0" + zlib.compress(PROFILES[0])},
    }
    for name, chunks in told.items():
        (folder / f"{name}.png").write_bytes(with_chunks(**chunks))
        made.append(folder / f"{name}.png")
    return made


def read_shown(folder: Path) -> None:
    each(*(lambda path=path: read_one_shown(path, path.read_bytes()) for path in sorted(folder.iterdir())))


@functools.lru_cache(maxsize=16)
def read_one_shown(path: Path, _data: bytes) -> None:
    """Those that are whole once."""
    deep = np.dstack([photograph().astype(np.uint16) * 257, np.full(SIZE, 40000, np.uint16)])
    found = appearance.read(path)
    for stored in (photograph(), deep, deep[..., 0]):
        assert found.shown(stored).shape[:2] == found.size(SIZE[::-1])[::-1]
        found.opaque(stored)


def directory(entries: dict[int, tuple[int, int]], at: int) -> bytes:
    """A TIFF directory of one number each. entries: tag -> (type, value). at: of the next one."""
    made = struct.pack("<H", len(entries))
    for tag, (kind, value) in sorted(entries.items()):
        made += struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", value)
    return made + struct.pack("<I", at)


def make_originals(folder: Path) -> list[Path]:
    """Raw photographs that their version tells, a further image, and the first bytes of a Canon's."""
    by_version = b"II*\0" + struct.pack("<I", 8) + directory({256: (4, 32), 257: (4, 16), 50706: (4, 0x0401)}, 0)
    further = directory({256: (4, 32), 257: (4, 16), 330: (4, 8 + 2 + 36 + 4)}, 0)
    by_image = b"II*\0" + struct.pack("<I", 8) + further + directory({262: (3, 32803)}, 0)
    canon = b"II*\0" + struct.pack("<I", 16) + b"CR\x02\0" + bytes(4) + directory({256: (4, 32)}, 0)
    originals = {"a.tif": by_version, "b.tif": by_image, "c.tif": canon}
    for name, data in originals.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in originals]


def read_originals(folder: Path) -> None:
    """Each is known for what it is, or passes: then this refuses it."""

    def read(path: Path) -> None:
        try:
            camera_originals.refuse(path)
        except MetadataError as error:
            assert error.code == "camera-original"
            return
        with open(path, "rb") as file:
            camera_originals.ends_as_insta360(file, path.stat().st_size)
        raise PantheonError("It passes for a finished picture.")

    each(*(lambda path=path: read(path) for path in sorted(folder.iterdir())))


PARSERS = (
    Parser("icc", make_profiles, read_profiles),
    Parser("appearance", make_shown, read_shown, (*mutations.PNG, *BYTES, *TEXT), ("PIL",)),
    Parser("camera-originals", make_originals, read_originals),
)
