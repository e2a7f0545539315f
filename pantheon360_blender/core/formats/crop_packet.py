"""Where a picture lies in its full panorama, written into the bytes of a JPEG or PNG as GPano's XMP has it."""

from __future__ import annotations

import struct
import zlib

from ..errors import ImageError

_PACKET = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF \
xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" \
xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:ProjectionType="equirectangular" \
GPano:FullPanoWidthPixels="{}" GPano:FullPanoHeightPixels="{}" GPano:CroppedAreaImageWidthPixels="{}" \
GPano:CroppedAreaImageHeightPixels="{}" GPano:CroppedAreaLeftPixels="{}" GPano:CroppedAreaTopPixels="{}"/></rdf:RDF>\
</x:xmpmeta><?xpacket end="w"?>"""
_PNG_START = 33  # bytes of the signature and the header chunk
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"


def with_crop(data: bytes, size: tuple[int, int], full_size: tuple[int, int], offset: tuple[int, int]) -> bytes:
    """The bytes of a picture with a packet before all others, so that it counts.

    size: (width, height) of the picture in pixels. full_size: that of its panorama. offset: where it lies in that,
    (left, top).
    Raises ImageError if it is neither a JPEG nor a PNG.
    """
    packet = _PACKET.format(*full_size, *size, *offset).encode()
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        body = b"iTXt" + _PNG_XMP + packet
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return data[:_PNG_START] + chunk + data[_PNG_START:]
    if data[:2] == b"\xff\xd8":
        # JFIF wants its own segment to be the first.
        start = 4 + int.from_bytes(data[4:6], "big") if data[2:4] == b"\xff\xe0" else 2
        segment = _JPEG_XMP + packet
        return data[:start] + b"\xff\xe1" + struct.pack(">H", 2 + len(segment)) + segment + data[start:]
    raise ImageError("The picture is neither a JPEG nor a PNG.")
