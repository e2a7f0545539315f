"""Parsers of pictures, and of what pictures say of themselves."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from pantheon360_blender.core import budget
from pantheon360_blender.core.formats import exif, exr, openimageio, panorama_metadata, png, xmp

from . import mutations
from .mutations import BYTES, TEXT
from .parser import SIZE, WIDTH, Parser, each, photograph, ranges, written


def make_palette(folder: Path) -> list[Path]:
    from PIL import Image

    Image.fromarray(photograph()).quantize(16).save(folder / "a.png", transparency=3)
    return [folder / "a.png"]


def read_png(folder: Path) -> None:
    data = (folder / "a.png").read_bytes()
    each(lambda: png.decode(data, "it"), lambda: png.decode(data, "it", budget.exactly(WIDTH, WIDTH // 2)))


def openexr(channels: dict[str, np.ndarray], compression: int = 0, more: bytes = b"") -> bytes:
    """Scan lines, uncompressed or of ZIPS blocks stored as they are. more: further attributes."""
    height, width = SIZE
    kinds = {"<f2": 1, "<f4": 2, "<u4": 0}

    def attribute(name: str, of: str, value: bytes) -> bytes:
        return name.encode() + b"\0" + of.encode() + b"\0" + struct.pack("<i", len(value)) + value

    listed = b"".join(
        name.encode() + b"\0" + struct.pack("<iIii", kinds[values.dtype.str], 0, 1, 1)
        for name, values in sorted(channels.items())
    )
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    head = exr.MAGIC + struct.pack("<I", 2) + more + attribute("channels", "chlist", listed + b"\0")
    head += attribute("compression", "compression", bytes([compression])) + attribute("dataWindow", "box2i", window)
    head += attribute("displayWindow", "box2i", window) + attribute("lineOrder", "lineOrder", b"\0")
    head += attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    head += attribute("screenWindowCenter", "v2f", bytes(8)) + attribute("screenWindowWidth", "float", bytes(4)) + b"\0"
    rows = [b"".join(values[row].tobytes() for _, values in sorted(channels.items())) for row in range(height)]
    first = len(head) + 8 * height
    table = b"".join(struct.pack("<Q", first + row * (8 + len(rows[0]))) for row in range(height))
    return head + table + b"".join(struct.pack("<ii", row, len(each)) + each for row, each in enumerate(rows))


EXR_DATA = openexr({"Z": ranges(), "A": ranges().astype("<f2"), "id": np.zeros(SIZE, "<u4")}, 2)


def read_exr(folder: Path) -> None:
    exr.decode((folder / "a.exr").read_bytes(), "it", budget.DEPTH)


def read_exr_without_library(folder: Path) -> None:
    with mock.patch.object(openimageio, "find", return_value=None):
        read_exr(folder)


def library_exr(folder: Path) -> list[Path]:
    """Tiles, several parts and other packings, as the library writes them."""
    import OpenImageIO as library  # noqa: N813

    made = []
    for name, packing, tile in (("a", "piz", 0), ("b", "dwaa", 0), ("c", "zip", 16), ("d", "b44", 0), ("e", "rle", 0)):
        header = library.ImageSpec(WIDTH, SIZE[0], 2, "half")
        header.channelnames = ["A", "Z"]
        header.attribute("compression", packing)
        header.tile_width = header.tile_height = tile
        file = library.ImageOutput.create(str(folder / f"{name}.exr"))
        assert file.open(str(folder / f"{name}.exr"), header)
        assert file.write_image(np.stack([ranges(), ranges()], -1)) and file.close()
        made.append(folder / f"{name}.exr")
    return made


def read_all_exr(folder: Path) -> None:
    files = [file.read_bytes() for file in sorted(folder.glob("*.exr"))]
    each(*(lambda data=data: exr.decode(data, "it", budget.DEPTH) for data in files))


XMP = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
GPano:ProjectionType="equirectangular" GPano:FullPanoWidthPixels="64" GPano:FullPanoHeightPixels="32"
GPano:CroppedAreaImageWidthPixels="32" GPano:CroppedAreaImageHeightPixels="16" GPano:CroppedAreaLeftPixels="8"
GPano:CroppedAreaTopPixels="4" GPano:PoseHeadingDegrees="12.5" exif:GPSLatitude="49,0.4N" exif:GPSLongitude="8,24.1E"
exif:GPSAltitude="2500/10"><GPano:PosePitchDegrees>1.5</GPano:PosePitchDegrees><GPano:PoseRollDegrees>-2
</GPano:PoseRollDegrees></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def read_xmp(folder: Path) -> None:
    xmp.properties((folder / "a.xmp").read_bytes(), xmp.PANORAMA)


def tags() -> Any:
    from PIL import Image

    made = Image.Exif()
    made[0x0112] = 1
    made.get_ifd(0x8825).update(
        {1: "S", 2: (33.0, 51.0, 24.1), 3: "E", 4: (151.0, 12.0, 3.0), 5: b"\0", 6: 40.5, 16: "T", 17: 123.25}
    )
    return made


def picture(name: str) -> Callable[[Path], list[Path]]:
    """A photograph by Pillow with an XMP packet and GPS tags."""

    def make(folder: Path) -> list[Path]:
        from PIL import Image, PngImagePlugin

        path = folder / name
        options: dict[str, Any] = {"xmp": XMP, "exif": tags()}
        if path.suffix == ".png":
            text = PngImagePlugin.PngInfo()
            text.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
            options = {"pnginfo": text, "exif": tags()}
        elif path.suffix == ".tif":
            directory = dict(tags().items()) | {700: XMP}
            options = {"tiffinfo": directory, "format": "TIFF"}
        Image.fromarray(photograph()).save(path, **options)
        return [path]

    return make


def read_photograph(name: str) -> Callable[[Path], Any]:
    return lambda folder: panorama_metadata.read(folder / name)


def exif_block(folder: Path) -> list[Path]:
    (folder / "a.exif").write_bytes(tags().tobytes().removeprefix(b"Exif\0\0"))
    return [folder / "a.exif"]


def read_exif(folder: Path) -> None:
    with open(folder / "a.exif", "rb") as file:
        reader = exif.TagReader(file)
        exif.gps(reader)
        for field in reader.first.values():
            each(lambda field=field: reader.value(field))


def make_pictures(folder: Path) -> list[Path]:
    return [path for name in ("a.jpg", "b.tif", "c.webp", "d.png") for path in picture(name)(folder)]


def read_pictures(folder: Path) -> None:
    from backend.importers import decoders

    each(*(lambda path=path: decoders.picture(path) for path in sorted(folder.glob("?.*"))))


PARSERS = (
    Parser("png", written("a.png", png.encode(photograph())), read_png, mutations.PNG),
    Parser("png-grey-16", written("a.png", png.encode(np.full(SIZE, 999, np.uint16))), read_png, mutations.PNG),
    Parser("png-palette", make_palette, read_png, mutations.PNG, ("PIL",)),
    Parser("exr-own", written("a.exr", EXR_DATA), read_exr_without_library),
    Parser("exr-library", written("a.exr", EXR_DATA), read_exr, needs=("OpenImageIO",)),
    Parser("exr-library-packed", library_exr, read_all_exr, needs=("OpenImageIO",)),
    Parser("xmp", written("a.xmp", XMP), read_xmp, (*TEXT, *BYTES)),
    Parser("exif", exif_block, read_exif, needs=("PIL",)),
    Parser("jpeg-header", picture("a.jpg"), read_photograph("a.jpg"), TEXT, ("PIL",)),
    Parser("png-header", picture("a.png"), read_photograph("a.png"), mutations.PNG, ("PIL",)),
    Parser("tiff-header", picture("a.tif"), read_photograph("a.tif"), TEXT, ("PIL",)),
    Parser("webp-header", picture("a.webp"), read_photograph("a.webp"), TEXT, ("PIL",)),
    Parser("pictures", make_pictures, read_pictures, mutations.PNG, ("cv2", "PIL")),
)
