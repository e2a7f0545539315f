"""Safetensors files: what they hold, from their header alone and in bounded memory, and the library behind that check.

Source: the format's description, https://github.com/huggingface/safetensors#format: 8 bytes little-endian length of the
header, the header as JSON, then the tensors' bytes without holes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pantheon360_blender.core import inputs, json_values
from pantheon360_blender.core.errors import FileError, ModelError, reason

LARGEST_HEADER = 16 << 20
"""Bytes; that of SVD's U-Net, with 1,400 tensors, has 0.2 MB."""

_BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8,
    "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
}  # fmt: skip
_AGAIN = "Get the file again: its download or copy was not finished, or it is no safetensors file."

Shapes = dict[str, tuple[int, ...]]
"""Name of a tensor -> its shape."""


def shapes(path: Path) -> Shapes:
    """The shape of every tensor in the file.

    The header must describe exactly the bytes that follow it, so that a truncated file is found without reading it.
    Raises ModelError.
    """
    try:
        size = path.stat().st_size
        with inputs.open_regular(path) as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 10 or length > size - 8:
                raise ModelError(f"{path} is truncated: it ends before its header does.", advice=_AGAIN)
            if length > LARGEST_HEADER:
                raise ModelError(f"{path} has a header of {length >> 20} MB, which no model needs.", advice=_AGAIN)
            header = inputs.parsed(file.read(length))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {inputs.why(error)}.") from error
    except ValueError as error:
        raise ModelError(f"{path} has a damaged header: {str(error)[:200]}.", advice=_AGAIN) from error
    if not isinstance(header, dict):
        raise ModelError(f"{path} has a damaged header: it is not an object.", advice=_AGAIN)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ModelError(f"{path} has a damaged header: its metadata are no texts.", advice=_AGAIN)
    return _checked(path, header, size - 8 - length)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The library's reader of a file, for torch, once the header was found sound.

    Raises ModelError, also for what the library meets in the block.
    """
    from safetensors import SafetensorError, safe_open

    shapes(path)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {reason(error)}", advice=_AGAIN) from error


def write(path: Path, tensors: Mapping[str, Any], metadata: dict[str, str]) -> None:
    """Write torch's tensors as a file, in place. Raises FileError."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), path, metadata)
    except (SafetensorError, OSError) as error:  # what the system said is in the library's text
        advice = "Free some space or choose another folder, then run it again."
        raise FileError(f"{path} cannot be written: {reason(error)}.", advice=advice) from error


def is_finite(tensor: Any) -> bool:
    """Whether all of a tensor's numbers are. Types of one byte are widened: torch does not ask all of them."""
    return bool((tensor.float() if tensor.element_size() == 1 else tensor).isfinite().all())


def _checked(path: Path, header: dict[str, object], payload: int) -> Shapes:
    found: Shapes = {}
    spans = []
    for name, entry in header.items():
        described = _described(entry)
        if described is None:
            raise ModelError(f"{path} describes its tensor {name[:200]!r} impossibly.", advice=_AGAIN)
        found[name], span = described
        spans.append(span)
    end = 0
    for first, last in sorted(spans):
        if first != end:
            raise ModelError(f"{path} has a damaged header: its tensors overlap or leave holes.", advice=_AGAIN)
        end = last
    if end != payload:
        much = "truncated" if end > payload else "followed by bytes that belong to nothing"
        raise ModelError(f"{path} is {much}: its tensors take {end} bytes, there are {payload}.", advice=_AGAIN)
    return found


def _described(entry: object) -> tuple[tuple[int, ...], tuple[int, int]] | None:
    """Shape and byte span of a header's entry; None if it is impossible."""
    if not isinstance(entry, dict):
        return None
    shape, span = _whole_numbers(entry.get("shape")), _whole_numbers(entry.get("data_offsets"))
    bits = _BITS.get(str(entry.get("dtype")))
    if bits is None or shape is None or len(shape) > 16 or span is None or len(span) != 2:
        return None
    if math.prod(shape) * bits != (span[1] - span[0]) * 8:
        return None
    return shape, (span[0], span[1])


def _whole_numbers(value: object) -> tuple[int, ...] | None:
    if isinstance(value, list) and all(json_values.is_integer(number) and number >= 0 for number in value):
        return tuple(value)
    return None
