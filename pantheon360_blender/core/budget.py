"""How much a file may cost whoever reads it.

A file says how large it is long before it has to prove it: four megabytes of PNG may unpack to four gigabytes. Whoever
has a file read knows what it is for, and hands the reader a budget; the reader compares what the file declares with it
before it decodes anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ImageError

_METADATA = 64 << 20  # bytes of a picture's file besides its pixels: profiles, XMP with whole pictures in it


@dataclass(frozen=True)
class PictureBudget:
    """Sizes that a picture may have.

    width, height: pixels of the largest one. exact: no other size will do.
    layers: values of each pixel of the largest one; a smaller one may have more, as renderers write their passes.
    """

    width: int
    height: int
    exact: bool = False
    layers: int = 4

    def check(self, width: int, height: int, name: str, layers: int = 1) -> None:
        """Compare a size that a file declares. Raises ImageError that names the limit and says what to do."""
        if self.exact and (width, height) != (self.width, self.height):
            raise ImageError(
                f"{name} is {width} x {height} pixels; {self.width} x {self.height} are wanted.",
                advice="Copy it again, or prepare it again.",
            )
        if width > self.width or height > self.height:
            raise ImageError(
                f"{name} says that it is {width} x {height} pixels; at most {self.width} x {self.height} are read.",
                advice="Make it smaller.",
            )
        if width * height * layers > self.width * self.height * self.layers:
            raise ImageError(
                f"{name} says that it has {layers} layers of {width} x {height} pixels, which is more than is read.",
                advice="Save only the layers that are needed.",
            )

    @property
    def bytes(self) -> int:
        """The most bytes that the file of such a picture may have: four for each value, and its metadata."""
        return 4 * self.width * self.height * self.layers + _METADATA


def exactly(width: int, height: int) -> PictureBudget:
    """The budget of a picture whose size is known."""
    return PictureBudget(width, height, exact=True)


PANORAMA = PictureBudget(32768, 16384)
"""A photograph, its mask: twice as wide as what 360° cameras and stitchers make."""
DEPTH = PictureBudget(16384, 8192, layers=2)
"""A depth image, or what a renderer wrote beside it."""
CLIP = PictureBudget(8192, 4096, layers=1)
"""The depth and the mask of a frame of a video."""
PREVIEW = PictureBudget(2048, 1024)
"""A glimpse of what is being painted."""

JOB_FILE = 64 << 20
"""Bytes of a `job.json`: a hundred thousand frames."""
LIST_FILE = 64 << 20
"""Bytes of other lists of captures: `transforms.json`, `import.json`."""
RECORD_FILE = 16 << 20
"""Bytes of what a job says of its results."""
CARD_FILE = 1 << 20
"""Bytes of a model's card, of one of its configurations, of the state of a job."""
JSON_VALUES = 1 << 22
"""Values in a JSON file: `[]` takes two bytes there and thirty times as many in memory."""

MOVIE_HEADER = 128 << 20
"""Bytes of a video's movie header: the tables of two days."""
TRACKS = 16 << 20
"""Bytes of what a Matroska video says of itself before its pictures."""
ARCHIVE_TABLE = 8 << 20
"""Bytes of a ZIP archive's table of contents: a hundred thousand members."""
CLIP_FRAMES = 100_000
"""Frames of a clip of another program: an hour of video."""
PICTURES = 50_000
"""Pictures, or cameras, of a model of another program: each is looked for on the disk."""
BLANK_LINES = 1 << 20
"""Lines of a PLY file between two rows that are empty."""
LIST_ROWS = 1 << 23
"""Rows of a PLY file that have lists and must be walked one by one: half a minute."""

FARTHEST = 1e10
"""Metres from the origin that anything may lie: beyond what surveys count in, and its cube is still a float32."""

_SMALL = 64 << 20
_SQUEEZED = 32


def points(packed: int) -> int:
    """Bytes that so many bytes of packed points may unpack to: coordinates do not repeat themselves a thousand times.

    >>> points(8_000_000)
    256000000
    """
    return max(_SMALL, _SQUEEZED * packed)
