"""The models of this person's store as the interface shows them: read from their cards, nothing of them is loaded."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.jobs import json_values, model_places
from ...core.jobs.model_places import CARD

HOW_TO_ADD = "python -m backend models add"

_LARGEST_CARD = 1 << 20


@dataclass(frozen=True)
class Card:
    """What a model says of itself.

    label: its name, with what is to be said of untrained ones. width: of the panoramas it paints, pixels.
    frames: length of a clip. capability: a sentence on what it was trained for; licence: of its weights.
    """

    label: str
    width: int
    frames: int
    trained: bool
    capability: str
    licence: str


@dataclass(frozen=True)
class Model:
    """A model's folder. name: in the store, or the folder's; card: None where it has none that can be read."""

    name: str
    path: Path
    card: Card | None


def stored() -> list[Model]:
    """Every model of the store, by name; those that cannot be used, too: the backend says why."""
    try:
        folders = [path for path in model_places.root().iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        return []
    return [_model(path) for path in sorted(folders, key=lambda path: path.name.lower())]


def find(text: str) -> Model | None:
    """The model of this name in the store, else the one in this folder; None where there is neither.

    text: as `resolved` returns it.
    """
    folder = _stored(text) or _folder(text)
    return _model(folder) if folder is not None else None


def resolved(text: str) -> str:
    """A model as a job names it: a name of the store or a hub id as it is, a folder by its absolute path.

    text: as it was typed; a relative folder is relative to the working folder.
    """
    text = text.strip()
    folder = None if _stored(text) is not None else _folder(text)
    return str(folder) if folder is not None else text


def _stored(text: str) -> Path | None:
    path = model_places.root() / text if model_places.is_name(text) else None
    return path if path is not None and path.is_dir() else None


def _folder(text: str) -> Path | None:
    try:
        path = Path(text).expanduser()
        return path.absolute() if text and path.is_dir() else None
    except (OSError, ValueError, RuntimeError):  # characters no path has; a home folder nobody has
        return None


def _model(path: Path) -> Model:
    return Model(path.name, path, _card(path / CARD))


def _card(path: Path) -> Card | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return _read(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=64)
def _read(path: Path, _changed: int, _size: int) -> Card | None:
    """Panels ask at every redraw: a card is read again only where its file has changed."""
    return _checked(json_values.read(path, _LARGEST_CARD))


def _checked(value: Any) -> Card | None:
    """A card of a JSON value; None where it lacks what is shown. The backend checks all of it."""
    if not isinstance(value, dict):
        return None
    name, capability, licence = texts = [value.get(key, "") for key in ("name", "capability", "licence")]
    width, frames = sizes = [value.get(key, 0) for key in ("width", "frames")]
    trained = value.get("trained", True)
    if not all(isinstance(text, str) and json_values.is_unicode(text) for text in texts) or not name:
        return None
    if not all(json_values.is_integer(size) and size > 0 for size in sizes) or not isinstance(trained, bool):
        return None
    label = name if trained else f"{name} (untrained)"
    return Card(label, width, frames, trained, capability, licence or "unknown")
