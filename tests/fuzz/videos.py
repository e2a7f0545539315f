"""Parsers of videos."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from pantheon360_blender.core.formats import spherical_video
from pantheon360_blender.core.formats.mp4 import Box

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
    Parser("video", make_frames, read_frames, (mutations.boxes_changed,), ("cv2",)),
)
