"""A JPEG that says it is a full panorama, so that viewers of 360° photographs open it as one.

Source: Google, "Photo Sphere XMP Metadata"; Adobe, "XMP Specification Part 3", 1.1.3 "JPEG"; ITU-T T.81, B.1.1.
"""

from __future__ import annotations

from ..errors import ImageError

_NAMESPACE = b"http://ns.adobe.com/xap/1.0/\0"
_LONGEST = 0xFFFF - 2


def tagged(jpeg: bytes, width: int, height: int, heading: float | None = None) -> bytes:
    """A JPEG with the metadata of a full equirectangular panorama, before everything but its beginning and JFIF.

    width, height: of the picture, pixels. heading: compass direction of its middle, degrees, if it is known.
    Raises ImageError if it is no JPEG.
    """
    if jpeg[:2] != b"\xff\xd8":
        raise ImageError("This is no JPEG file.")
    packet = _NAMESPACE + _packet(width, height, heading).encode()
    assert len(packet) <= _LONGEST
    segment = b"\xff\xe1" + (len(packet) + 2).to_bytes(2, "big") + packet
    place = _after_jfif(jpeg)
    return jpeg[:place] + segment + jpeg[place:]


def _after_jfif(jpeg: bytes) -> int:
    if jpeg[2:4] == b"\xff\xe0":
        return 4 + int.from_bytes(jpeg[4:6], "big")
    return 2


def _packet(width: int, height: int, heading: float | None) -> str:
    values = {
        "ProjectionType": "equirectangular",
        "UsePanoramaViewer": "True",
        "FullPanoWidthPixels": width,
        "FullPanoHeightPixels": height,
        "CroppedAreaImageWidthPixels": width,
        "CroppedAreaImageHeightPixels": height,
        "CroppedAreaLeftPixels": 0,
        "CroppedAreaTopPixels": 0,
        **({} if heading is None else {"PoseHeadingDegrees": f"{heading % 360:.2f}"}),
    }
    attributes = "\n    ".join(f'GPano:{name}="{value}"' for name, value in values.items())
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:GPano="http://ns.google.com/photos/1.0/panorama/"
    {attributes}/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
