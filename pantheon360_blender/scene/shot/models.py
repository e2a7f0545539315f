"""The models that can be chosen as the interface shows them: read from their cards, nothing of them is loaded."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import ModelError
from ...core.jobs import model_card, model_places
from ...core.jobs.model_card import ModelCard
from ...core.jobs.model_places import STATE_FILE, ModelState

HOW_TO_ADD = "python -m backend models add"


@dataclass(frozen=True)
class StoredModel:
    """A model's folder. name: in the store, or the folder's. card: None if it has none that can be read.

    state: what was found when it was checked last, None if it never was.
    """

    name: str
    path: Path
    card: ModelCard | None
    state: ModelState | None

    @property
    def shipped(self) -> bool:
        """Whether it is the extension's own, of which nothing is noted."""
        return self.path == model_places.shipped()


def stored() -> list[StoredModel]:
    """Every model there is, by name; those that cannot be used, too: the backend says why."""
    try:
        return [_model(path) for path in model_places.folders()]
    except OSError:
        return []


def find(text: str) -> StoredModel | None:
    """The model of this name in the store, else the one in this folder; None if there is neither.

    text: as `resolved` returns it.
    """
    folder = model_places.folder_of(text) or _folder(text)
    return _model(folder) if folder is not None else None


def resolved(text: str) -> str:
    """A model as a job names it: a name of the store or a hub id as it is, a folder by its absolute path.

    text: as it was typed; a relative folder is relative to the working folder.
    """
    text = text.strip()
    folder = None if model_places.folder_of(text) is not None else _folder(text)
    return str(folder) if folder is not None else text


def _folder(text: str) -> Path | None:
    try:
        path = Path(text).expanduser()
        return path.absolute() if text and path.is_dir() else None
    except (OSError, ValueError, RuntimeError):  # characters no path has; a home folder nobody has
        return None


def _model(folder: Path) -> StoredModel:
    return StoredModel(
        folder.name, folder, _card(folder, _stamp(folder, model_card.FILE)), _state(folder, _stamp(folder, STATE_FILE))
    )


def _stamp(folder: Path, name: str) -> tuple[int, int] | None:
    """Time and size of a file. Panels ask at every redraw: it is read again only if they have changed."""
    try:
        status = (folder / name).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=64)
def _card(folder: Path, stamp: tuple[int, int] | None) -> ModelCard | None:
    try:
        return model_card.read(folder) if stamp else None
    except ModelError:
        return None


@functools.lru_cache(maxsize=64)
def _state(folder: Path, stamp: tuple[int, int] | None) -> ModelState | None:
    return model_places.read_state(folder) if stamp else None
