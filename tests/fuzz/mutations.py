"""Valid files made hostile: seeded changes of bytes, numbers and text, and of what lies behind checksums.

A mutation is a function of (bytes, random.Random) that returns other bytes.
"""

from __future__ import annotations

import copy
import io
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Mutation = Callable[[bytes, Random], bytes]

# Bytes


def flipped(data: bytes, random: Random) -> bytes:
    """A few bits turned round."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        if out:
            out[random.randrange(len(out))] ^= 1 << random.randrange(8)
    return bytes(out)


def overwritten(data: bytes, random: Random) -> bytes:
    """A span of other bytes: random ones, zeros, or ones."""
    if not data:
        return b"\xff"
    start = random.randrange(len(data))
    length = random.choice((1, 2, 4, 16))
    fill = random.choice((random.randbytes(length), bytes(length), b"\xff" * length))
    return (data[:start] + fill + data[start + length :])[: len(data)]


def deleted(data: bytes, random: Random) -> bytes:
    """A span taken out."""
    start, length = _span(data, random)
    return data[:start] + data[start + length :]


def truncated(data: bytes, random: Random) -> bytes:
    """The end missing."""
    return data[: random.randrange(len(data) + 1)]


def duplicated(data: bytes, random: Random) -> bytes:
    """A span twice, or many times."""
    start, length = _span(data, random)
    span = data[start : start + length]
    times = random.choice((1, 1, 1, 50)) if length < 1 << 16 else 1
    return data[: start + length] + span * times + data[start + length :]


def extended(data: bytes, random: Random) -> bytes:
    """Bytes behind the end."""
    return data + random.choice((b"\0", random.randbytes(20), bytes(4096), data))


_SIZES = {1: "bB", 2: "hH", 4: "iI", 8: "qQ"}
_EXTREMES = (0, 1, 2, 255, 256, 1000, 1 << 15, 1 << 16, 1 << 24, 30_000, 100_000_000, 1 << 30)


def extreme_integer(data: bytes, random: Random) -> bytes:
    """A number of 1 to 8 bytes, either byte order, that is the largest, the smallest, or asks for much."""
    size = random.choice((1, 2, 4, 4, 8))
    low, high = -(1 << (8 * size - 1)), (1 << (8 * size)) - 1
    value = random.choice((high, high >> 1, low, -1, high - 1, (high >> 1) - 1, len(data), *_EXTREMES))
    value = max(low, min(value, high))
    packed = (value % (1 << (8 * size))).to_bytes(size, random.choice(("little", "big")))
    return _placed(data, packed, random)


def extreme_float(data: bytes, random: Random) -> bytes:
    """A float or double that is not finite, or farther away than anything."""
    value = random.choice((math.nan, math.inf, -math.inf, 1e248, -1e300, 1e38, 1e11, 5e-324, 0.0, -1.0))
    form = random.choice("<>") + random.choice("fd")
    with_limit = value if form[1] == "d" or not math.isfinite(value) else max(-3e38, min(value, 3e38))
    return _placed(data, struct.pack(form, with_limit), random)


BYTES: tuple[Mutation, ...] = (
    flipped, overwritten, deleted, truncated, duplicated, extended, extreme_integer, extreme_integer, extreme_float,
)  # fmt: skip


def _span(data: bytes, random: Random) -> tuple[int, int]:
    start = random.randrange(len(data) + 1)
    return start, random.choice((1, 2, 4, 8, 64, random.randrange(len(data) + 1)))


def _placed(data: bytes, packed: bytes, random: Random) -> bytes:
    """Put bytes at a place, most often near the start, where headers are, and aligned."""
    if len(data) <= len(packed):
        return packed
    reach = random.choice((64, 512, len(data)))
    at = random.randrange(min(reach, len(data) - len(packed)))
    at -= at % random.choice((1, 1, 2, 4))
    return data[:at] + packed + data[at + len(packed) :]


# Text

HOSTILE_WORDS = (
    "nan", "inf", "-inf", "1e248", "-1e308", "1e999", "0", "-1", "1", "99999999999999999999999", "-99999999999",
    "4294967296", "18446744073709551615", "1e-320", "0x10", "1_0", "", "\0", "%s%n", "../../etc/passwd", "/dev/zero",
    "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "\x1b[2J", "٣", "true", "9" * 400, "a" * 5000,
)  # fmt: skip
_WORD = re.compile(rb"[^\s,;:=<>\"'(){}\[\]]+")


def reworded(data: bytes, random: Random) -> bytes:
    """A word or number of a text that is another one."""
    words = list(_WORD.finditer(data[: 1 << 16]))
    if not words:
        return overwritten(data, random)
    for found in sorted(random.sample(words, min(len(words), random.choice((1, 1, 3)))), key=lambda m: -m.start()):
        other = random.choice((random.choice(HOSTILE_WORDS).encode("latin-1", "replace"), random.choice(words)[0]))
        data = data[: found.start()] + other + data[found.end() :]
    return data


def lines_moved(data: bytes, random: Random) -> bytes:
    """Lines that are missing, double, or exchanged."""
    lines = data.split(b"\n")
    at, other = random.randrange(len(lines)), random.randrange(len(lines))
    kind = random.randrange(4)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, lines[other])
    elif kind == 2:
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at] = lines[at] * 200
    return b"\n".join(lines)


TEXT: tuple[Mutation, ...] = (reworded, reworded, reworded, lines_moved)

# JSON

HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, -(10**30), 0.5, 1e248, -1e308, 1e-320, math.nan,
    math.inf, "", "\0", "\ud800", "a\nb", "\x1b[2J", "../../../etc/passwd", "/dev/zero", "C:\\x", "a" * 5000, "nan",
    "1", "spécial", [], {}, [[]], [None], [True, 3], {"": None}, {"a": {"a": {}}}, [0] * 17, "/dev/stdin",
)  # fmt: skip


def json_changed(data: bytes, random: Random) -> bytes:
    """A JSON text one of whose values is another, missing, double or nested."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):  # it was changed already
        return reworded(data, random)
    for _ in range(random.choice((1, 1, 2))):
        value = _json_changed(value, random)
    text = json.dumps(value)
    if random.random() < 0.05:
        text = text.replace("{", random.choice(("[" * 2000, '{"a":' * 2000, "{" + '"a":0,' * 2000)), 1)
    return text.encode()


def _hostile(random: Random) -> Any:
    return copy.deepcopy(random.choice(HOSTILE_VALUES))  # the next change may be inside it


def _json_changed(value: Any, random: Random) -> Any:
    places = list(_json_places(value, None, None))
    parent, key = random.choice(places)
    if parent is None:
        return _hostile(random) if random.random() < 0.1 else value
    kind = random.randrange(8)
    if kind < 4:
        parent[key] = _hostile(random)
    elif kind == 4:
        parent[key] = _other_number(parent[key], random)
    elif kind == 5:
        del parent[key]
    elif kind == 6 and isinstance(parent, list):
        parent.insert(key, parent[key])
    elif kind == 6:
        parent[random.choice(("", "x", "\ud800", "__metadata__", "a" * 3000))] = parent[key]
    else:
        parent[key] = [parent[key]]
    return value


def _other_number(value: Any, random: Random) -> Any:
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 64):
        return random.choice((value + 1, -value, value * 1e9, value * 1e250, float(value), str(value), value * 2))
    return _hostile(random)


def _json_places(value: Any, parent: Any, key: Any) -> Iterator[tuple[Any, Any]]:
    yield parent, key
    inside: Any = ()
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    for name, each in inside:
        yield from _json_places(each, value, name)


JSON: tuple[Mutation, ...] = (json_changed, json_changed, json_changed, json_changed, reworded)

# PNG


def png_changed(data: bytes, random: Random) -> bytes:
    """A PNG with a changed chunk under a right checksum."""
    chunks = list(_png_chunks(data))
    if not chunks:
        return overwritten(data, random)
    at = random.randrange(len(chunks))
    kind, body = chunks[at]
    what = random.randrange(7)
    if what == 0:
        chunks.insert(at, random.choice(chunks))
    elif what == 1:
        del chunks[at]
    elif what == 2:
        chunks[at] = (random.choice((b"IHDR", b"IDAT", b"PLTE", b"tRNS", b"iTXt", b"eXIf", b"ABCD", b"abcd")), body)
    elif kind == b"IHDR" and len(body) == 13:
        chunks[at] = (kind, _other_header(body, random))
    elif kind == b"IDAT":
        chunks[at] = (kind, _repacked(body, random))
    else:
        chunks[at] = (kind, random.choice(BYTES)(body, random))
    return data[:8] + b"".join(map(_png_chunk, chunks))


def _other_header(body: bytes, random: Random) -> bytes:
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", body)
    sizes = (0, 1, width, height, 30_000, 32_768, 32_769, 100_000_000, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
    what = random.randrange(4)
    if what == 0:
        width, height = random.choice(sizes), random.choice(sizes)
    elif what == 1:
        depth, colour = random.choice((1, 2, 4, 8, 16)), random.choice((0, 2, 3, 4, 6))
    elif what == 2:
        depth, colour = random.randrange(256), random.randrange(256)
    else:
        rest[random.randrange(3)] = random.choice((1, 2, 255))
    return struct.pack(">IIBBBBB", width, height, depth, colour, *rest)


def _repacked(body: bytes, random: Random) -> bytes:
    """Other pixels, or a stream that swells."""
    try:
        raw = zlib.decompress(body)
    except zlib.error:
        return flipped(body, random)
    if random.random() < 0.1:
        return zlib.compress(bytes(50_000_000), 9)
    return zlib.compress(random.choice(BYTES)(raw, random), 1)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def _png_chunk(chunk: tuple[bytes, bytes]) -> bytes:
    kind, body = chunk
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


PNG: tuple[Mutation, ...] = (png_changed, png_changed, *BYTES[:4])

# ZIP

_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)


def zip_changed(inner: tuple[Mutation, ...]) -> Mutation:
    """A mutation of an archive: of a member's content, packed again; of its headers; of its members.

    inner: mutations of what members hold.
    """

    def changed(data: bytes, random: Random) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        except Exception:  # it is one that was changed already
            return overwritten(data, random)
        what = random.randrange(8)
        if what == 0:
            return _zip_header_changed(data, random)
        packing = random.choice((*_PACKINGS[:2], *_PACKINGS)) if what == 1 else random.choice(_PACKINGS[:2])
        at = random.randrange(len(members)) if members else 0
        if what == 2 and members:
            del members[at]
        elif what == 3 and members:
            name = random.choice(("", "\0", "../a", "depth", "a" * 300, *(name for name, _ in members)))
            members[at] = (name, members[at][1])
        elif what == 4 and members:
            members[at] = (members[at][0], members[at][1] + bytes(20_000_000))
            packing = zipfile.ZIP_DEFLATED
        elif members:
            members[at] = (members[at][0], random.choice(inner)(members[at][1], random))
        return _zipped(members, packing)

    return changed


def _zip_header_changed(data: bytes, random: Random) -> bytes:
    """A field of a local header, an entry of the table of contents, or the table's end, that is extreme."""
    marks = [found.start() for found in re.finditer(rb"PK(?:\x01\x02|\x03\x04|\x05\x06|\x06\x06|\x06\x07)", data)]
    if not marks:
        return data
    start = random.choice(marks) + 4
    size = random.choice((2, 4))
    at = start + 2 * random.randrange(20)
    value = random.choice(((1 << 8 * size) - 1, 0, 1, 12, 14, 99, 0x7FFF, len(data)))
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]


def _zipped(members: list[tuple[str, bytes]], packing: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, packing)
    return out.getvalue()


def npy_changed(data: bytes, random: Random) -> bytes:
    """An array whose header says something else, at its right length."""
    if data[:6] != b"\x93NUMPY" or len(data) < 10:
        return overwritten(data, random)
    length = int.from_bytes(data[8:10], "little")
    header, body = data[10 : 10 + length], data[10 + length :]
    what = random.randrange(3)
    if what == 0:
        shape = random.choice(
            (b"(True, 3)", b"(-1,)", b"()", b"(0, 3)", b"(1 << 40,)", b"(1000000000, 3)", b"(3,)", b"(1.0,)", b"None",
             b"(99999999999999999999,)", b"(0, 99999999999999999999)", b"(2, 2, 2)", b"'a'", b"(" * 90 + b")" * 90)
        )  # fmt: skip
        header = re.sub(rb"'shape':.*\)", lambda _: b"'shape': " + shape, header)
    elif what == 1:
        kind = random.choice(
            (b"'|O'", b"'<f8'", b"'<f2'", b"'>f4'", b"'|u1'", b"'<c16'", b"'<U9'", b"'|V8'", b"'<M8[s]'", b"'<i8'",
             b"[('a', '<f4')]", b"'|S0'", b"'<f16'", b"'<U100000000'", b"('<f4', (1000, 1000))", b"None", b"'|b1'")
        )  # fmt: skip
        header = re.sub(rb"'descr': [^,]+,", lambda _: b"'descr': " + kind + b",", header)
    else:
        header = reworded(header, random)
    return data[:8] + len(header[:65535]).to_bytes(2, "little") + header[:65535] + body


NPY: tuple[Mutation, ...] = (npy_changed, npy_changed, extreme_float, extreme_float, extreme_integer, truncated)
NPZ: tuple[Mutation, ...] = (zip_changed(NPY), zip_changed(NPY), zip_changed(NPY), *BYTES[:4])

# Files with lengths in front


def behind_length(inner: tuple[Mutation, ...], size: int = 8, order: Any = "little") -> Mutation:
    """A mutation of a header that has its length in front of it, as safetensors' has; the length fits."""

    def changed(data: bytes, random: Random) -> bytes:
        length = int.from_bytes(data[:size], order)
        header = random.choice(inner)(data[size : size + length], random)
        return len(header).to_bytes(size, order) + header + data[size + length :]

    return changed


_CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl")


def boxes_changed(data: bytes, random: Random) -> bytes:
    """An MP4 whose boxes fit each other, one of them changed, missing, double or renamed."""
    boxes = _boxes(data)
    places = list(_box_places(boxes))
    if not places:
        return overwritten(data, random)
    siblings, at = random.choice(places)
    kind, content = siblings[at]
    what = random.randrange(6)
    if what == 0:
        del siblings[at]
    elif what == 1:
        siblings.insert(at, siblings[at])
    elif what == 2:
        siblings[at] = (random.choice((b"uuid", b"stco", b"co64", b"stsd", b"free", *_CONTAINERS)), content)
    elif what == 3:
        siblings[at] = (kind, [(kind, content)])
    elif isinstance(content, bytes):
        siblings[at] = (kind, random.choice((*BYTES, extreme_integer, extreme_integer))(content, random))
    else:
        random.shuffle(content)
    return b"".join(map(_box, boxes))


def _boxes(data: bytes) -> list[Any]:
    found, at = [], 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            break
        inside = data[at + 8 : at + size]
        found.append((kind, _boxes(inside) if kind in _CONTAINERS else inside))
        at += size
    return found


def _box_places(boxes: list[Any]) -> Iterator[tuple[list[Any], int]]:
    for index, (_, content) in enumerate(boxes):
        yield boxes, index
        if isinstance(content, list):
            yield from _box_places(content)


def _box(box: tuple[bytes, Any]) -> bytes:
    kind, content = box
    inside = content if isinstance(content, bytes) else b"".join(map(_box, content))
    return struct.pack(">I4s", len(inside) + 8, kind) + inside


# E57

_PAGE, _CHECKSUM = 1024, 4


def pages_changed(data: bytes, random: Random) -> bytes:
    """An E57 whose content is changed under right checksums of its pages."""
    plain = b"".join(data[at : at + _PAGE - _CHECKSUM] for at in range(0, len(data), _PAGE))
    if random.random() < 0.6:
        start = plain.find(b"<?xml")
        xml = random.choice((reworded, reworded, flipped, lines_moved))(plain[start:], random)
        changed = plain[:start] + xml
    else:
        changed = random.choice((flipped, overwritten, extreme_integer, extreme_float))(plain, random)
    return with_checksums(changed[: len(plain)].ljust(len(plain), b" "))


def with_checksums(plain: bytes) -> bytes:
    """The pages of an E57 with the checksum of each. plain: what is in them, whole pages. Source: ASTM E2807, 8.2."""
    step = _PAGE - _CHECKSUM
    pages = (plain[at : at + step] for at in range(0, len(plain), step))
    return b"".join(page + struct.pack(">I", _crc32c(page)) for page in pages)


def _crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ _CRC32C[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC32C = _crc_table()
