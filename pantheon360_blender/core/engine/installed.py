"""Where engines lie in a person's folder, and which one is in use."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from .. import files, json_values

RECORD = "engine.json"
LOG = "engine.log"
KEPT = ("cache", "pythons")
"""Folders beside an engine's that are no engines: what uv.py keeps."""
_LARGEST = 1 << 16


@dataclass(frozen=True)
class Engine:
    """An engine that was installed. folder: its name below the root. parts, device: what it was made of and for.
    python: version of its interpreter. made: when, as ISO 8601."""

    folder: str
    parts: list[str]
    device: str
    python: str
    made: str

    def interpreter(self, root: Path) -> Path:
        """Its Python."""
        return interpreter_of(root / self.folder)


def interpreter_of(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def current(root: Path) -> Engine | None:
    """The engine in use, if one was installed and is still there."""
    record = json_values.read(root / RECORD, _LARGEST)
    if not isinstance(record, dict) or record.keys() != {"folder", "parts", "device", "python", "made"}:
        return None
    texts = all(isinstance(record[name], str) for name in ("folder", "device", "python", "made"))
    parts = isinstance(record["parts"], list) and all(isinstance(part, str) for part in record["parts"])
    if not texts or not parts or Path(record["folder"]).name != record["folder"]:
        return None
    engine = Engine(**record)
    return engine if engine.interpreter(root).exists() else None


def use(root: Path, engine: Engine) -> None:
    """Make this engine the one in use, and remove all others. Raises FileError."""
    files.write_json(root / RECORD, asdict(engine))
    for folder in root.iterdir():
        if folder.is_dir() and folder.name not in (engine.folder, *KEPT):
            shutil.rmtree(folder, ignore_errors=True)


def remove(root: Path) -> int:
    """Remove everything that was installed. Returns how many bytes that freed. Raises FileError."""
    freed = size(root)
    with files.translate_os_errors(root):
        if root.is_dir():
            shutil.rmtree(root)
    return freed


def size(root: Path) -> int:
    """Bytes below a folder. A file with several names, as an engine's have in the cache, counts once."""
    sizes = {}
    for place, _, names in os.walk(root):
        for name in names:
            with suppress(OSError):  # gone meanwhile
                status = (Path(place) / name).lstat()
                sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())


def dump(engine: Engine | None) -> str:
    """An engine as JSON, for programs."""
    return json.dumps(asdict(engine) if engine else None)
