"""A camera's raw recording, known by what is in it and by its name before anything is decoded.

Such files hold fisheye pictures or undeveloped sensor values. What other programs show of them is a small preview, or
one lens of two, which would pass for a panorama.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import MetadataError
from .exif import TagReader
from .media_files import reading

_BY_NAME = {
    ".insp": ("an Insta360 photograph as the camera stores it", "Export it as a 360° JPEG with Insta360 Studio."),
    ".insv": ("an Insta360 video as the camera stores it", "Export it as a 360° MP4 with Insta360 Studio."),
    ".360": ("a GoPro MAX video as the camera stores it", "Export it as an equirectangular MP4 with GoPro Player."),
    ".osv": ("a DJI Osmo 360 video as the camera stores it", "Export it as a 360° MP4 with DJI Studio."),
}
_RAW = "a raw photograph as the camera stores it"
_DEVELOP = "Develop and stitch it with the camera maker's program, and export it as a 360° JPEG or TIFF."
_LENSES = "a camera's own video, with a track for each lens"
_STITCH = "Stitch it with the camera maker's program, and export it as a 360° MP4."

_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")  # Fujifilm, Olympus, Panasonic
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_CANON, _CANON_3 = b"CR\x02", b"ftypcrx "  # at bytes 8 and 4
_INSTA360_END = b"8db42d694ccc418790edff439fe026bf"

_COLOURS, _FURTHER_IMAGES, _DNG_VERSION = 262, 330, 50706
_SENSOR = (32803, 34892)
"""What "photometric interpretation" calls a colour filter array and linear sensor values. Source: Adobe DNG 1.7."""
_MOST_IMAGES = 32


def refuse(path: Path) -> None:
    """Raise MetadataError for a recording that is not equirectangular yet, telling how to export it.

    A file that cannot be read or is no picture passes: its reader says what is wrong with it.
    """
    if named := _BY_NAME.get(Path(path).suffix.lower()):
        raise _refusal(path, *named)
    with reading(path) as (file, _length):
        start = file.read(16)
        if start.startswith(_RAW_STARTS) or start[4:].startswith(_CANON_3) or _is_raw_tiff(file, start):
            raise _refusal(path, _RAW, _DEVELOP)


def refuse_lenses(path: Path, sizes: Sequence[tuple[int, int]]) -> None:
    """Raise MetadataError if a video has a track for each lens. sizes: (width, height) of each of its video tracks."""
    if len(sizes) > 1 and len(set(sizes)) < len(sizes):
        raise _refusal(path, _LENSES, _STITCH)


def ends_as_insta360(file: BinaryIO, length: int) -> bool:
    """Whether an Insta360 camera's data end the file, as they do in raw recordings, renamed ones too."""
    file.seek(max(length - len(_INSTA360_END), 0))
    return file.read() == _INSTA360_END


def _is_raw_tiff(file: BinaryIO, start: bytes) -> bool:
    """Whether a TIFF structure holds sensor values, be its first image a preview or not."""
    if not start.startswith(_TIFF_STARTS):
        return False
    if start[8:].startswith(_CANON):
        return True
    with suppress(MetadataError):
        reader = TagReader(file)
        further = reader.numbers(reader.first, _FURTHER_IMAGES)[:_MOST_IMAGES]
        images = [reader.first, *(reader.directory(int(place)) for place in further)]
        return _DNG_VERSION in reader.first or any(reader.integer(each, _COLOURS) in _SENSOR for each in images)
    return False


def _refusal(path: Path, what: str, advice: str) -> MetadataError:
    return MetadataError(f"{path} is {what}, not an equirectangular picture.", advice=advice, code="camera-original")
