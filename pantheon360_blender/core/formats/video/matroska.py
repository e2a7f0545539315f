"""Spherical metadata of Matroska and WebM videos: the element Projection of a video track.

Source: RFC 9559, Matroska, section 5.1.4.1.28.41; Google's Spherical Video RFC, version 2.
Only the description of the tracks is written anew. Nothing behind it moves: room comes from the void elements that
writers leave before and behind it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from ... import budget
from ...errors import MetadataError
from . import ebml, spherical
from .ebml import DamagedError, Element, Span
from .rewriting import Part
from .spherical import SphericalMetadata

_SEGMENT, _SEEK_HEAD, _TRACKS, _CLUSTER = 0x18538067, 0x114D9B74, 0x1654AE6B, 0x1F43B675
_SEEK, _SEEK_POSITION = 0x4DBB, 0x53AC
_TRACK, _TRACK_TYPE, _ENABLED, _VIDEO = 0xAE, 0x83, 0xB9, 0xE0
_WIDTH, _HEIGHT, _STEREO_MODE = 0xB0, 0xBA, 0x53B8
_PROJECTION, _TYPE, _PRIVATE = 0x7670, 0x7671, 0x7672
_YAW, _PITCH, _ROLL = 0x7673, 0x7674, 0x7675
_PICTURES = 1

_TYPES = {0: "rectangular", 1: "equirectangular", 2: "cubemap", 3: "mesh"}
_STEREO = {0: "mono", 1: "left-right", 3: "top-bottom", 11: "right-left"}
_MODES = {name: number for number, name in _STEREO.items()}
_BOUNDS = struct.Struct(">4x4I")
"""Version and flags, then what lacks at top, bottom, left and right as 0.32 fixed point: the content of an equi box."""

_REMUX = "Rewrite it first, for instance by ffmpeg -i IN -c copy OUT.mkv."


def is_matroska(file: BinaryIO) -> bool:
    """Whether a file begins as Matroska and WebM do; it is left at its beginning."""
    file.seek(0)
    start = file.read(4)
    file.seek(0)
    return start == ebml.HEADER.to_bytes(4, "big")


def read(file: BinaryIO, length: int, path: Path) -> SphericalMetadata | None:
    """Spherical metadata of the first video track; None if it has none, or says that it is flat.

    Raises MetadataError (cut off, damaged, no video in it).
    """
    video = _Head(file, length, path).video
    projection = video.first(_PROJECTION)
    if projection is None:
        return None
    warnings: list[str] = []
    kind = 1
    try:
        kind = projection.integer(_TYPE)
        angles = [projection.number(angle) for angle in (_YAW, _PITCH, _ROLL)]
        private = projection.first(_PRIVATE)
        top, bottom, left, right = _BOUNDS.unpack(private.content) if kind == 1 and private else (0, 0, 0, 0)
    except (DamagedError, struct.error):
        warnings.append("Its projection is damaged.")
        angles, (top, bottom, left, right) = [0.0] * 3, (0, 0, 0, 0)
    if not kind:
        return None
    heading, pitch, roll = spherical.pose(angles, warnings)
    return SphericalMetadata(
        projection=_TYPES.get(kind, str(kind)),
        stereo=_STEREO.get(video.integer(_STEREO_MODE), "custom"),
        v2=True,
        heading=heading,
        pitch=pitch,
        roll=roll,
        bounds=(left / 2**32, top / 2**32, right / 2**32, bottom / 2**32),
        warnings=tuple(warnings),
    )


def picture_sizes(file: BinaryIO, length: int, path: Path) -> list[tuple[int, int]]:
    """(width, height) in pixels of each video track, the one that is read and tagged first. Raises as `read`."""
    head = _Head(file, length, path)
    videos = [head.video, *(video for video in head.videos if video is not head.video)]
    return [(video.integer(_WIDTH), video.integer(_HEIGHT)) for video in videos]


def plan(file: BinaryIO, length: int, path: Path, stereo: str) -> list[Part]:
    """What to write for a file that is a full equirectangular panorama, whose horizon is level.

    Raises MetadataError as `read`, or if there is no room for it.
    """
    head = _Head(file, length, path)
    try:
        first, replacement = head.with_tracks(_tagged(head, stereo))
    except DamagedError as error:
        raise _damaged(path) from error
    end = first + len(replacement)
    parts: list[Part] = [(0, first, None), (first, end, replacement), (end, length, None)]
    return [part for part in parts if part[0] < part[1]]


@dataclass(frozen=True)
class _Track:
    """A video track. place: its number among the elements of the list of tracks. video: what describes its pictures."""

    place: int
    entry: Element
    video: Element


class _Head:
    """What stands before the pictures of a file."""

    def __init__(self, file: BinaryIO, length: int, path: Path) -> None:
        """Raises MetadataError."""
        self._file, self._path = file, path
        try:
            self._spans = _spans(file, length)
            self.tracks = ebml.read(file, self._of(_TRACKS), budget.TRACKS)
            self._videos = [
                _Track(place, entry, video)
                for place, entry in enumerate(self.tracks.children())
                if entry.ident == _TRACK
                and entry.integer(_TRACK_TYPE) == _PICTURES
                and (video := entry.first(_VIDEO)) is not None
            ]
            shown = [track for track in self._videos if track.entry.integer(_ENABLED, default=1)]
            for track in self._videos:
                track.video.children()
        except DamagedError as error:
            raise _damaged(path) from error
        if not self._videos:
            raise MetadataError(f"{path} has no video in it.", advice="Choose a file with pictures.")
        self.track = (shown or self._videos)[0]
        self.video = self.track.video
        self.videos = [track.video for track in self._videos]

    def with_tracks(self, tracks: Element) -> tuple[int, bytes]:
        """Another description of the tracks in the place of the old one: (first byte to be replaced, what by).

        Raises MetadataError if there is no room, DamagedError.
        """
        here = next(index for index, span in enumerate(self._spans) if span.ident == _TRACKS)
        behind = here + 1
        while behind < len(self._spans) and self._spans[behind].ident == ebml.VOID:
            behind += 1
        start, end = self._spans[here].start, self._spans[behind - 1].end
        if (filled := ebml.filling(tracks, end - start)) is not None:
            return start, filled
        more = len(tracks.to_bytes()) - (end - start)
        for before in range(here - 1, -1, -1):
            room = self._spans[before]
            if end - room.start > budget.TRACKS:
                break
            if room.ident == ebml.VOID and (room.size == more or room.size >= more + 2):
                return self._spans[0].start, self._moved(before, here, more, tracks)
        raise MetadataError(f"{self._path} has no room for spherical metadata.", advice=_REMUX)

    def _moved(self, room: int, here: int, more: int, tracks: Element) -> bytes:
        """All from the first element to the tracks, those behind the void one `room` so many bytes further ahead."""
        moved = {span.start - self._start: span.start - self._start - more for span in self._spans[room + 1 : here + 1]}
        made = b""
        for span in self._spans[:here]:
            if span is self._spans[room]:
                made += ebml.to_bytes(ebml.void(span.size - more))
                continue
            element = ebml.read(self._file, span, budget.TRACKS)
            made += (_pointing(element, moved) if span.ident == _SEEK_HEAD else element).to_bytes()
        return made + tracks.to_bytes()

    @property
    def _start(self) -> int:
        """The byte from which positions in the file are counted."""
        return self._spans[0].start

    def _of(self, ident: int) -> Span:
        span = next((span for span in self._spans if span.ident == ident), None)
        if span is None:
            raise DamagedError
        return span


def _spans(file: BinaryIO, length: int) -> list[Span]:
    """The elements of the segment before the first pictures."""
    segment = next((span for span in ebml.spans(file, 0, length) if span.ident == _SEGMENT), None)
    if segment is None:
        raise DamagedError
    found = []
    for span in ebml.spans(file, segment.data, segment.end):
        if span.ident == _CLUSTER:
            break
        found.append(span)
    return found


def _tagged(head: _Head, stereo: str) -> Element:
    """The description of the tracks with the metadata in its video track."""
    children = head.tracks.children()
    entry, video = head.track.entry, head.video
    inner = [_marked(video, stereo) if child == video else child for child in entry.children()]
    children[head.track.place] = entry.holding(inner)
    return head.tracks.holding(children)


def _marked(video: Element, stereo: str) -> Element:
    """A description of pictures that says that they are a sphere; it keeps its size if it had the room already."""
    sphere = Element(_PROJECTION, Element(_TYPE, b"\1").to_bytes() + Element(_PRIVATE, bytes(20)).to_bytes())
    others = [child for child in video.children() if child.ident not in (_PROJECTION, _STEREO_MODE, ebml.VOID)]
    if stereo != "mono":
        others.append(Element(_STEREO_MODE, bytes([_MODES[stereo]])))
    made = video.holding([*others, sphere])
    spare = len(video.content) - len(made.content)
    if spare == 1:  # no void element is that small
        return video.holding([*others, sphere.wider()])
    return video.holding([*others, sphere, *ebml.void(spare)]) if spare > 0 else made


def _pointing(seek_head: Element, moved: dict[int, int]) -> Element:
    """A table of contents after elements have moved: old position -> new one. The numbers keep their widths."""

    def corrected(entry: Element) -> Element:
        inner = [
            replace(child, content=moved.get(_value(child), _value(child)).to_bytes(len(child.content), "big"))
            if child.ident == _SEEK_POSITION
            else child
            for child in entry.children()
        ]
        return entry.holding(inner)

    return seek_head.holding([corrected(child) if child.ident == _SEEK else child for child in seek_head.children()])


def _value(element: Element) -> int:
    return int.from_bytes(element.content, "big")


def _damaged(path: Path) -> MetadataError:
    return MetadataError(f"{path} is cut off or damaged.", advice="Copy or export it again.")
