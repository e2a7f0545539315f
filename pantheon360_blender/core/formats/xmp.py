"""Properties out of XMP packets and other RDF, read so that hostile XML can neither hang nor fill the machine."""

from __future__ import annotations

import re
from xml.parsers import expat

from ..errors import MetadataError

PANORAMA = "http://ns.google.com/photos/1.0/panorama/"
SPHERICAL_VIDEO = "http://ns.google.com/videos/1.0/spherical/"
EXIF = "http://ns.adobe.com/exif/1.0/"
TIFF = "http://ns.adobe.com/tiff/1.0/"
NOTE = "http://ns.adobe.com/xmp/note/"

LARGEST_PACKET = 32 << 20
"""Bytes; extended XMP of phones carries whole pictures."""

ADVICE = "Export the file again without its metadata, or get it from a source you trust."

_DEEPEST = 100
_MOST_ELEMENTS = 500_000
_MOST_ATTRIBUTES = 500_000
_LONGEST_VALUE = 4096
_DECLARATION = re.compile(r"<!(?!--|\[CDATA\[)")
_ENCODINGS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"<\x00\x00\x00", "utf-32-le"),
    (b"\x00\x00\x00<", "utf-32-be"),
    (b"<\x00", "utf-16-le"),
    (b"\x00<", "utf-16-be"),
)


class HostileXmlError(MetadataError):
    """XML with what no camera writes: document types, entities, absurd depth, number or size of elements."""

    code = "hostile-metadata"


def properties(packet: bytes, namespace: str) -> dict[str, str]:
    """Simple properties of one namespace, be they written as attributes or as elements.

    packet: an XMP packet or another piece of RDF/XML in UTF-8, -16 or -32.
    namespace: the namespace's URI, whatever prefix the packet gives it.
    Returns local names and values, white space stripped; if a name comes twice, the first counts.
    Raises HostileXmlError, before any parsing if it can; MetadataError if this is not well-formed XML.
    Source: XMP specification part 1 (ISO 16684-1), 7: RDF serialisation; parts of it only.
    """
    return _Reader(namespace).read(_text(packet))


class _Reader:
    """An expat parser that gathers one namespace and refuses what is out of proportion."""

    def __init__(self, namespace: str) -> None:
        self._prefix = f"{namespace} "
        self._found: dict[str, str] = {}
        self._depth = 0
        self._elements = 0
        self._name = ""
        self._name_depth = 0
        self._value: list[str] = []
        self._length = 0

    def read(self, text: str) -> dict[str, str]:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = _refuse_document_type
        try:
            parser.Parse(text, True)
        except (expat.ExpatError, UnicodeEncodeError) as error:
            raise MetadataError(f"The XML is damaged: {error}.") from error
        return self._found

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > _DEEPEST or self._elements > _MOST_ELEMENTS:
            raise HostileXmlError("The metadata nests elements absurdly deep or has absurdly many.", advice=ADVICE)
        for key, value in attributes.items():
            if key.startswith(self._prefix):
                self._keep(key, value)
        if name.startswith(self._prefix) and not self._name:
            self._name, self._name_depth, self._value, self._length = name, self._depth, [], 0

    def _end(self, name: str) -> None:
        if self._name and self._depth == self._name_depth:
            self._keep(self._name, "".join(self._value))
            self._name = ""
        self._depth -= 1

    def _characters(self, text: str) -> None:
        if self._name and self._length < _LONGEST_VALUE:
            self._value.append(text)
            self._length += len(text)

    def _keep(self, name: str, value: str) -> None:
        self._found.setdefault(name.removeprefix(self._prefix), value[:_LONGEST_VALUE].strip())


def _text(packet: bytes) -> str:
    """The packet as text without its padding; HostileXmlError if it is too large or declares things."""
    if len(packet) > LARGEST_PACKET:
        raise HostileXmlError(f"The metadata takes {len(packet)} bytes.", advice=ADVICE)
    encoding = next((name for mark, name in _ENCODINGS if packet.startswith(mark)), "utf-8")
    text = packet.decode(encoding, errors="replace").strip("\0 \t\r\n")
    if text.count("=") > _MOST_ATTRIBUTES:  # the parser makes all attributes of an element at once
        raise HostileXmlError("The metadata have absurdly many attributes.", advice=ADVICE)
    if _DECLARATION.search(text):
        raise HostileXmlError("The metadata declares a document type or entities.", advice=ADVICE)
    return text


def _refuse_document_type(*_: object) -> None:
    raise HostileXmlError("The metadata declares a document type.", advice=ADVICE)
