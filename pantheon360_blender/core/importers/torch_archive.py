"""Arrays out of a torch file (.pt) without unpickling it: its program is read as a text and never run.

Such a file is a zip archive: `data.pkl` says by pickle opcodes which tensors there are, `data/KEY` hold their bytes.
The few opcodes that build dictionaries, lists, numbers and tensors are followed here; what a program would call is only
compared with the names of torch's tensors. A file with anything else is refused.
Source: Python, Lib/pickletools.py; PyTorch, "Serialization semantics".
"""

from __future__ import annotations

import math
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_LARGEST_PROGRAM = 1 << 20
_TYPES = {
    "torch DoubleStorage": "<f8",
    "torch FloatStorage": "<f4",
    "torch HalfStorage": "<f2",
    "torch LongStorage": "<i8",
    "torch IntStorage": "<i4",
    "torch ShortStorage": "<i2",
    "torch CharStorage": "<i1",
    "torch ByteStorage": "<u1",
    "torch BoolStorage": "?",
}
_TENSOR, _ORDERED = "torch._utils _rebuild_tensor_v2", "collections OrderedDict"


@dataclass(frozen=True)
class _Name:
    """A function or class that the program names."""

    text: str


@dataclass(frozen=True)
class _Tensor:
    """dtype: of numpy. key: its file's name. offset, shape, strides: in elements."""

    dtype: str
    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: Path, names: tuple[str, ...], largest: int) -> dict[str, np.ndarray]:
    """The tensors of these names in the dictionary that a file holds.

    largest: bytes above which an array is refused. Raises ValueError, or another of npz.DAMAGED, where one is missing
    or the file is damaged or holds anything but tensors, numbers, texts and collections of them.
    """
    with zipfile.ZipFile(path) as archive:
        programs = [member for member in archive.infolist() if member.filename.endswith("/data.pkl")]
        if len(programs) != 1 or programs[0].file_size > _LARGEST_PROGRAM:
            raise ValueError("it is not a torch file")
        folder = programs[0].filename[: -len("data.pkl")]
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("its numbers are big-endian")
        try:
            held = _described(archive.read(programs[0]))
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError("its program is damaged") from error
        if not isinstance(held, dict):
            raise ValueError("it holds no dictionary")
        return {name: _array(archive, folder, name, held.get(name), largest) for name in names}


def _array(archive: zipfile.ZipFile, folder: str, name: str, tensor: Any, largest: int) -> np.ndarray:
    if not isinstance(tensor, _Tensor):
        raise ValueError(f"it holds no array {name!r}")
    numbers = (tensor.offset, *tensor.shape, *tensor.strides)
    if len(tensor.shape) != len(tensor.strides) or not all(type(each) is int and each >= 0 for each in numbers):
        raise ValueError(f"{name} has a shape that cannot be")
    dtype = np.dtype(tensor.dtype)
    if math.prod(tensor.shape) * dtype.itemsize > largest:
        raise ValueError(f"{name} is larger than {largest:,} bytes")
    member = f"{folder}data/{tensor.key}"
    if member not in archive.namelist() or archive.getinfo(member).file_size > largest:
        raise ValueError(f"the bytes of {name} are missing or too many")
    stored = np.frombuffer(archive.read(member), dtype)
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, dtype)
    if last >= len(stored):
        raise ValueError(f"{name} is cut short")
    steps = [stride * dtype.itemsize for stride in tensor.strides]
    return np.array(np.lib.stride_tricks.as_strided(stored[tensor.offset :], tensor.shape, steps))


def _described(program: bytes) -> Any:
    """What a pickle program would make, with tensors described and everything else that it names refused."""
    stack: list[Any] = []
    marks: list[int] = []
    kept: dict[Any, Any] = {}

    def above_mark() -> list[Any]:
        start = marks.pop()
        taken = stack[start:]
        del stack[start:]
        return taken

    for opcode, argument, _ in pickletools.genops(program):
        name = opcode.name
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name](argument))
        elif name == "MARK":
            marks.append(len(stack))
        elif name in {"BINPUT", "LONG_BINPUT"}:
            kept[argument] = stack[-1]
        elif name in {"BINGET", "LONG_BINGET"}:
            stack.append(kept[argument])
        elif name == "TUPLE":
            stack.append(tuple(above_mark()))
        elif name in {"TUPLE1", "TUPLE2", "TUPLE3"}:
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name in {"APPEND", "APPENDS"}:
            more = above_mark() if name == "APPENDS" else [stack.pop()]
            stack[-1].extend(more)
        elif name in {"SETITEM", "SETITEMS"}:
            pairs = above_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_made(stack.pop(), arguments))
        elif name == "STOP":
            return stack.pop()
        elif name not in {"PROTO", "FRAME"}:
            raise ValueError(f"its program does more than hold tensors ({name})")
    raise ValueError("its program does not end")


_CONSTANTS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"), lambda x: x
    ),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
    "GLOBAL": _Name,
}


def _storage(told: Any) -> tuple[str, str]:
    """dtype and key of a tensor's bytes, of what names them: ("storage", type, key, device, elements)."""
    kind, storage, key, _, _ = told
    if kind != "storage" or not isinstance(storage, _Name) or storage.text not in _TYPES or not isinstance(key, str):
        raise ValueError("it holds numbers of a kind that is not known here")
    return _TYPES[storage.text], key


def _made(function: Any, arguments: Any) -> Any:
    """What torch's way to make a tensor is called with, or an empty dictionary. Calls nothing."""
    if function == _Name(_ORDERED) and arguments == ():
        return {}
    if function != _Name(_TENSOR):
        named = function.text if isinstance(function, _Name) else function
        raise ValueError(f"its program would call {str(named)[:80]!r}, which no array needs")
    (dtype, key), offset, shape, strides = arguments[:4]
    return _Tensor(dtype, key, offset, tuple(shape), tuple(strides))
