"""Spherical metadata of videos, by which players know that one is a 360° video: MP4 and MOV here, and the way to those
of Matroska and WebM (video/matroska.py).

Source: Google's Spherical Video RFC, versions 1 (RDF/XML in a uuid box of the track) and 2 (st3d and sv3d boxes in the
sample entry).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from ..errors import MetadataError
from ..plain_text import filled
from ..progress import Job, run_to_end
from . import camera_originals, mp4, xmp
from .media_files import reading
from .mp4 import Box
from .video import matroska, rewriting, spherical
from .video.rewriting import Part
from .video.spherical import SphericalMetadata

_V1 = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
_STEREO = {"mono": 0, "top-bottom": 1, "left-right": 2, "custom": 3, "right-left": 4}
_TAGGED_STEREO = ("mono", "top-bottom", "left-right")
_PROJECTIONS = {b"equi": "equirectangular", b"cbmp": "cubemap", b"mshp": "mesh"}
_REMUX = "Rewrite it first, for instance by ffmpeg -i IN -c copy OUT.mp4."


def read(path: Path) -> SphericalMetadata | None:
    """Spherical metadata of a video's first video track; None if it has none.

    Raises FileError (missing, empty, unreadable), MetadataError (none of these containers, cut off, no video in it, a
    camera's raw recording, hostile XML).
    """
    return check(path).tags


@dataclass(frozen=True)
class Check:
    """What a video's tags are. tags: None if there are none. apple: whether it is marked for Apple's players."""

    tags: SphericalMetadata | None
    apple: bool = False

    @property
    def is_sound(self) -> bool:
        """Whether players will know that it is a 360° video, and show it rightly."""
        return self.tags is not None and not self.is_broken

    @property
    def is_broken(self) -> bool:
        """Whether players will show it wrongly, or not alike."""
        return self.tags is not None and bool(self.tags.warnings)

    @property
    def text(self) -> str:
        """The same for people, without the file's name."""
        if self.tags is None:
            return filled("not tagged as 360°, but in Apple’s way alone" if self.apple else "not tagged as 360°")
        versions = "versions 1 and 2" if self.tags.v1 and self.tags.v2 else f"version {1 if self.tags.v1 else 2}"
        details = f"{self.tags.projection}, {self.tags.stereo}, {versions}{_turned(self.tags)}"
        told = filled("tagged as 360° ({details})", details=details)
        if self.is_broken:
            why = " ".join(self.tags.warnings)
            return filled("{told}, but broken. {why} Tag it again to mend that", told=told, why=why)
        return told


def _turned(tags: SphericalMetadata) -> str:
    """How far from level and straight ahead, for people."""
    angles = {"heading": tags.heading, "pitch": tags.pitch, "roll": tags.roll}
    named = [f"{name} {angle:.2f}°" for name, angle in angles.items() if f"{angle:.2f}" not in ("0.00", "-0.00")]
    return f", turned by {', '.join(named)}" if named else ""


def check(path: Path) -> Check:
    """Look at the tags of a video's first video track. Raises as `read`."""
    path = Path(path)
    camera_originals.refuse(path)
    with reading(path) as (file, length):
        if matroska.is_matroska(file):
            return Check(matroska.read(file, length, path))
        track = _video_track(_movie(file, length, path), path)
    return Check(_tags(track, path), apple=_is_marked_for_apple(track, path))


def _tags(track: Box, path: Path) -> SphericalMetadata | None:
    warnings: list[str] = []
    first = _read_v1(track, path, warnings)
    second = _read_v2(track, path, warnings)
    if first is None and second is None:
        return None
    if first and second and (first.projection, first.stereo) != (second.projection, second.stereo):
        warnings.append(
            f"Version 1 says {first.projection} {first.stereo}, version 2 {second.projection} {second.stereo}."
        )
    found = second or first or SphericalMetadata()
    software = found.software or (first.software if first else "")
    return replace(found, v1=first is not None, v2=second is not None, software=software, warnings=tuple(warnings))


def tag(
    source: Path, target: Path | None = None, *, stereo: str = "mono", software: str = "Pantheon360 for Blender"
) -> Path:
    """Mark a video as a full equirectangular 360° one, in versions 1 and 2; see tagging(). Returns the target."""
    return run_to_end(tagging(source, target, stereo=stereo, software=software))


def tagging(
    source: Path, target: Path | None = None, *, stereo: str = "mono", software: str = "Pantheon360 for Blender"
) -> Job[Path]:
    """Mark a video as a full equirectangular 360° one, as a job for videos of many gigabytes.

    target: the file to write, atomically; None replaces the source. Sound and pictures are copied as they are;
    spherical metadata already there are replaced, so that tagging twice gives the same bytes as once; the video track
    becomes the first one, where players look. stereo: "mono", "top-bottom" or "left-right".
    A Matroska or WebM video gets version 2, for there is no other; nothing moves in it.
    Raises FileError (source missing or empty, target not writable, disk full), MetadataError (none of these containers,
    cut off, fragmented, no video in it, a camera's raw recording, no panorama's shape, unknown stereo, no room).
    """
    source, target = Path(source), Path(target or source)
    camera_originals.refuse(source)
    if stereo not in _TAGGED_STEREO:
        raise MetadataError(f"{stereo!r} is no stereo layout.", advice=f"Choose one of {', '.join(_TAGGED_STEREO)}.")
    software = "".join(letter for letter in software if letter.isprintable())
    with reading(source) as (file, length):
        if matroska.is_matroska(file):
            _check_shape(source, matroska.picture_sizes(file, length, source), stereo)
            parts = matroska.plan(file, length, source, stereo)
        else:
            parts = _plan(file, length, source, stereo, software)
        if rewriting.needs_nothing(file, parts, source, target):
            return target
    yield from rewriting.write(parts, source, target)
    return target


def _plan(file: BinaryIO, length: int, path: Path, stereo: str, software: str) -> list[Part]:
    """The new file as parts of the old one and a new movie header."""
    parts: list[Part] = []
    movies = 0
    for span in mp4.spans(file, length, path):
        if span.kind in (b"moof", b"styp"):
            raise _fragmented(path)
        if span.kind == b"moov":
            movies += 1
            if movies > 1:
                raise MetadataError(f"{path} has several movie headers.", advice=_REMUX)
            movie = mp4.read_tree(file, span, path)
            _tag_movie(movie, path, stereo, software)
            mp4.shift_chunks(movie, span, path)
            parts.append((span.start, span.end, movie.to_bytes()))
        elif parts and parts[-1][2] is None:
            parts[-1] = (parts[-1][0], span.end, None)
        else:
            parts.append((span.start, span.end, None))
    if not movies:
        raise _no_header(path)
    return parts


def _tag_movie(movie: Box, path: Path, stereo: str, software: str) -> None:
    """Put the metadata into a movie header and its video track first."""
    if movie.first(b"mvex"):
        raise _fragmented(path)
    track = _video_track(movie, path)
    _check_panoramic(movie, track, path, stereo)
    _check_self_contained(movie, path)
    entries = mp4.visual_sample_entries(track, path)
    if not entries:
        raise _no_video(path)
    for entry in entries:
        entry.children = [child for child in entry.children if child.kind not in (b"st3d", b"sv3d")]
        entry.children += _v2_boxes(stereo, software)
    track.children = [child for child in track.children if not _is_v1(child)]
    track.children.append(Box(b"uuid", _V1 + _v1_xml(stereo, software)))
    first = next(index for index, child in enumerate(movie.children) if child.kind == b"trak")
    # By identity: equal tracks are possible.
    movie.children = [child for child in movie.children if child is not track]
    movie.children.insert(first, track)


def _movie(file: BinaryIO, length: int, path: Path) -> Box:
    for span in mp4.spans(file, length, path):
        if span.kind == b"moov":
            return mp4.read_tree(file, span, path)
    raise _no_header(path)


def _video_track(movie: Box, path: Path) -> Box:
    """The first enabled video track, else the first one."""
    tracks = [track for track in movie.all(b"trak") if mp4.is_video(track)]
    track = next((track for track in tracks if mp4.is_enabled(track)), next(iter(tracks), None))
    if track is None:
        raise _no_video(path)
    return track


def _check_panoramic(movie: Box, track: Box, path: Path, stereo: str) -> None:
    others = [each for each in movie.all(b"trak") if mp4.is_video(each) and each is not track]
    _check_shape(path, [mp4.picture_size(each, path) for each in (track, *others)], stereo)


def _check_shape(path: Path, sizes: list[tuple[int, int]], stereo: str) -> None:
    """Refuse what is no panorama by its shape: a track for each lens, and a square picture of one eye.

    sizes: (width, height) of each video track, that which is tagged first.
    """
    camera_originals.refuse_lenses(path, sizes)
    width, height = sizes[0]
    if width == height > 0 and stereo == "mono":
        raise MetadataError(
            f"{path} is {width} x {height}: a panorama is twice as wide as high, and a fisheye picture is none.",
            advice="Export it as an equirectangular video; two eyes above each other are top-bottom stereo.",
        )


def _check_self_contained(movie: Box, path: Path) -> None:
    """QuickTime can refer to pictures in other files, whose offsets are not ours to shift."""
    for references in movie.all(b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        if any(len(entry.content) < 4 or not entry.content[3] & 1 for entry in references.children):
            raise MetadataError(f"{path} refers to pictures or sound in other files.", advice=_REMUX)


def _is_marked_for_apple(track: Box, path: Path) -> bool:
    """Whether there is QuickTime's own projection, which Blender from 5.2 writes into a MOV."""
    try:
        return any(entry.first(b"vexu") is not None for entry in mp4.visual_sample_entries(track, path))
    except MetadataError:
        return False


def _is_v1(box: Box) -> bool:
    return box.kind == b"uuid" and box.content.startswith(_V1)


def _v1_xml(stereo: str, software: str) -> bytes:
    from xml.sax.saxutils import escape  # here, for it brings an XML parser that start-up need not wait for

    values = {
        "Spherical": "true",
        "Stitched": "true",
        "StitchingSoftware": software,
        "ProjectionType": "equirectangular",
        "StereoMode": stereo,
    }
    lines = "".join(f"<GSpherical:{name}>{escape(value)}</GSpherical:{name}>" for name, value in values.items())
    return (
        '<?xml version="1.0"?><rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        f'xmlns:GSpherical="{xmp.SPHERICAL_VIDEO}">{lines}</rdf:SphericalVideo>'
    ).encode()


def _v2_boxes(stereo: str, software: str) -> list[Box]:
    full_box = bytes(4)  # version and flags
    sphere = Box(
        b"sv3d",
        children=[
            Box(b"svhd", full_box + software.encode() + b"\0"),
            Box(b"proj", children=[Box(b"prhd", full_box + bytes(12)), Box(b"equi", full_box + bytes(16))]),
        ],
    )
    return [Box(b"st3d", full_box + bytes([_STEREO[stereo]])), sphere]


def _read_v1(track: Box, path: Path, warnings: list[str]) -> SphericalMetadata | None:
    box = next((child for child in track.children if _is_v1(child)), None)
    if box is None:
        return None
    try:
        values = xmp.properties(box.content[len(_V1) :], xmp.SPHERICAL_VIDEO)
    except xmp.HostileXmlError as error:
        raise xmp.HostileXmlError(f"{path}: {error.text}", advice=error.advice) from error
    except MetadataError as error:
        warnings.append(f"The spherical metadata of version 1 were ignored. {error.text}")
        return None
    if values.get("Spherical", "").lower() not in ("true", "1"):
        return None
    heading, pitch, roll = (_number(values.get(f"InitialView{name}Degrees")) for name in ("Heading", "Pitch", "Roll"))
    return SphericalMetadata(
        projection=values.get("ProjectionType", "equirectangular").lower(),
        stereo=values.get("StereoMode", "mono").lower(),
        heading=heading % 360.0,
        pitch=pitch,
        roll=roll,
        bounds=_v1_bounds(values),
        software=values.get("StitchingSoftware", ""),
    )


def _v1_bounds(values: dict[str, str]) -> tuple[float, float, float, float]:
    names = (
        "FullPanoWidthPixels", "FullPanoHeightPixels", "CroppedAreaImageWidthPixels", "CroppedAreaImageHeightPixels",
        "CroppedAreaLeftPixels", "CroppedAreaTopPixels",
    )  # fmt: skip
    full_width, full_height, width, height, left, top = (_number(values.get(name)) for name in names)
    if min(full_width, full_height, width, height) < 1:
        return (0.0, 0.0, 0.0, 0.0)
    return (
        left / full_width,
        top / full_height,
        max(1 - (left + width) / full_width, 0.0),
        max(1 - (top + height) / full_height, 0.0),
    )


def _read_v2(track: Box, path: Path, warnings: list[str]) -> SphericalMetadata | None:
    try:
        entry = next((entry for entry in mp4.visual_sample_entries(track, path) if entry.first(b"sv3d")), None)
        projection = entry.first(b"sv3d", b"proj") if entry else None
        if entry is None or projection is None:
            return None
        return _v2_values(entry, projection, warnings)
    except (MetadataError, struct.error) as error:
        warnings.append(f"The spherical metadata of version 2 are damaged and were ignored. {error}")
        return None


def _v2_values(entry: Box, projection: Box, warnings: list[str]) -> SphericalMetadata:
    stereo, source, pose = entry.first(b"st3d"), entry.first(b"sv3d", b"svhd"), projection.first(b"prhd")
    mode = stereo.content[4] if stereo and len(stereo.content) > 4 else 0
    angles = struct.unpack_from(">3i", pose.content, 4) if pose else (0, 0, 0)
    heading, pitch, roll = spherical.pose([angle / 65536 for angle in angles], warnings)
    kind = next((child.kind for child in projection.children if child.kind != b"prhd"), b"equi")
    bounds = projection.first(b"equi")
    top, bottom, left, right = struct.unpack_from(">4I", bounds.content, 4) if bounds else (0, 0, 0, 0)
    return SphericalMetadata(
        projection=_PROJECTIONS.get(kind, kind.decode("latin-1")),
        stereo={number: name for name, number in _STEREO.items()}.get(mode, "custom"),
        heading=heading,
        pitch=pitch,
        roll=roll,
        bounds=(left / 2**32, top / 2**32, right / 2**32, bottom / 2**32),
        software=source.content[4:].split(b"\0")[0].decode("utf-8", "replace") if source else "",
    )


def _number(text: str | None) -> float:
    """A finite number, or 0 if it is missing or no number."""
    try:
        number = float((text or "0")[:64])
    except ValueError:
        return 0.0
    return number if abs(number) < 1e9 else 0.0


def _no_video(path: Path) -> MetadataError:
    return MetadataError(f"{path} has no video in it.", advice="Choose a file with pictures.")


def _no_header(path: Path) -> MetadataError:
    return MetadataError(
        f"{path} has no movie header: its recording or export was not finished.", advice="Export it again."
    )


def _fragmented(path: Path) -> MetadataError:
    return MetadataError(f"{path} is a fragmented MP4, as made for streaming.", advice=_REMUX, code="fragmented")
