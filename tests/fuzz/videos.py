"""Parsers of videos."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np

from pantheon360_blender.core.formats import spherical_video
from pantheon360_blender.core.formats.mp4 import Box
from pantheon360_blender.core.formats.video import ebml
from pantheon360_blender.core.formats.video.ebml import Element

from . import mutations
from .parser import WIDTH, Parser, each


def full(kind: bytes, content: bytes) -> Box:
    return Box(kind, bytes(4) + content)


def video() -> bytes:
    """A movie header with its tables, and no pictures that anybody could decode."""
    sound = [full(b"tkhd", bytes(80)), Box(b"mdia", children=[full(b"hdlr", bytes(4) + b"soun")])]
    entry = Box(b"avc1", bytes(78), children=[Box(b"avcC", bytes(10))])
    reference = Box(b"dref", bytes(4) + struct.pack(">I", 1), children=[Box(b"url ", b"\0\0\0\1")])
    table = Box(
        b"stbl",
        children=[
            Box(b"stsd", bytes(4) + struct.pack(">I", 1), children=[entry]),
            full(b"stts", struct.pack(">3I", 1, 3, 512)),
            full(b"stsz", struct.pack(">5I", 0, 3, 8, 8, 8)),
            full(b"stco", struct.pack(">4I", 3, 32, 40, 48)),
        ],
    )
    media = Box(
        b"mdia",
        children=[
            full(b"mdhd", bytes(20)),
            full(b"hdlr", bytes(4) + b"vide" + bytes(13)),
            Box(b"minf", children=[full(b"vmhd", bytes(8)), Box(b"dinf", children=[reference]), table]),
        ],
    )
    track = Box(b"trak", children=[Box(b"tkhd", b"\0\0\0\1" + bytes(80)), media])
    movie = Box(b"moov", children=[full(b"mvhd", bytes(96)), Box(b"trak", children=sound), track])
    parts = [Box(b"ftyp", b"isom" + bytes(4)), Box(b"free", bytes(8)), Box(b"mdat", bytes(24)), movie]
    return b"".join(part.to_bytes() for part in parts)


def make_video(folder: Path) -> list[Path]:
    (folder / "a.mp4").write_bytes(video())
    spherical_video.tag(folder / "a.mp4", folder / "b.mp4")
    return [folder / "a.mp4", folder / "b.mp4"]


def read_video(folder: Path) -> None:
    each(
        lambda: spherical_video.read(folder / "a.mp4"),
        lambda: spherical_video.read(folder / "b.mp4"),
        lambda: spherical_video.tag(folder / "a.mp4", folder / "out.mp4"),
        lambda: spherical_video.tag(folder / "b.mp4", folder / "out.mp4"),
    )


def matroska() -> bytes:
    """A file with a sphere's track, a checksum, a table of contents and room, and no pictures."""

    def element(ident: int, *content: bytes) -> bytes:
        return Element(ident, b"".join(content)).to_bytes()

    turned = [element(ident, struct.pack(">d", 16208.0)) for ident in (0x7673, 0x7674, 0x7675)]
    sphere = element(0x7670, element(0x7671, b"\1"), element(0x7672, bytes(20)), *turned)
    size = element(0xB0, b"\1\0") + element(0xBA, b"\x80")
    track = element(0xAE, element(0xD7, b"\1"), element(0x83, b"\1"), element(0xE0, size, sphere))
    seek = element(0x4DBB, element(0x53AB, b"\x16\x54\xae\x6b"), element(0x53AC, b"\0\x80"))
    room = ebml.to_bytes(ebml.void(60))
    tracks = Element(0x1654AE6B, b"").holding([Element(ebml.CRC_32, bytes(4)), *Element(0, track).children()])
    parts = [element(0x114D9B74, seek), room, element(0x1549A966), tracks.to_bytes(), element(0x1F43B675, bytes(40))]
    return element(ebml.HEADER, element(0x4282, b"matroska")) + element(0x18538067, *parts)


def make_matroska(folder: Path) -> list[Path]:
    (folder / "a.mkv").write_bytes(matroska())
    return [folder / "a.mkv"]


def read_matroska(folder: Path) -> None:
    each(
        lambda: spherical_video.check(folder / "a.mkv"),
        lambda: spherical_video.tag(folder / "a.mkv", folder / "out.mkv", stereo="top-bottom"),
    )


def elements_changed(data: bytes, random: Random) -> bytes:
    """One element emptied, doubled, left out, or with another content, within others whose sizes fit."""
    with suppress(ebml.DamagedError):
        return _with_change(Element(0, data), random).content
    return data


def _with_change(element: Element, random: Random) -> Element:
    children = element.children()
    place = random.randrange(len(children)) if children else 0
    chosen = children[place : place + 1]
    with suppress(ebml.DamagedError):
        if chosen and chosen[0].children() and random.random() < 0.8:
            chosen = [_with_change(chosen[0], random)]
            return element.holding([*children[:place], *chosen, *children[place + 1 :]])
    ident = chosen[0].ident if chosen else ebml.VOID
    other = Element(ident, random.choice((b"", bytes(9), b"\xff" * 8, random.randbytes(20))), random.choice((1, 8)))
    made = random.choice(([], chosen * 2, chosen * 2000, [other]))
    return element.holding([*children[:place], *made, *children[place + 1 :]])


def make_frames(folder: Path) -> list[Path]:
    import cv2

    writer = cv2.VideoWriter(str(folder / "a.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 7, (WIDTH * 2, WIDTH))
    for index in range(3):
        writer.write(np.full((WIDTH, WIDTH * 2, 3), 60 * index, np.uint8))
    writer.release()
    return [folder / "a.mp4"]


def read_frames(folder: Path) -> None:
    from backend.importers import decoders

    for count, _ in enumerate(decoders.video(folder / "a.mp4")):
        if count > 1000:
            break


PARSERS = (
    Parser("mp4", make_video, read_video, (mutations.boxes_changed,) * 2),
    Parser("matroska", make_matroska, read_matroska, (elements_changed,) * 2),
    Parser("video", make_frames, read_frames, (mutations.boxes_changed,), ("cv2",)),
)
