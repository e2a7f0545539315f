"""A person's painter models, for both processes: where they are, and what was found of each when it was checked last.

One model comes with the extension, and stands beside those that a person has added.

The backend keeps them there and alone can read weights; Blender lists them without starting a process.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from .. import budget, json_values, person_folder
from ..output_folder import OutputFolder

STATE_FILE = "pantheon360-state.json"
"""Beside a model's card in the store."""

SHIPPED = "pantheon360-small"
"""Name of the model that comes with the extension and paints where nobody has chosen another."""
_SHIPPED_IN = Path(__file__).resolve().parents[3] / "backend" / "models"

_NAME = re.compile(r"[\w][\w.+-]{0,63}")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def is_name(text: str) -> bool:
    """Whether a text may be a model's name in the store."""
    return _NAME.fullmatch(text) is not None


def is_hub_id(text: str) -> bool:
    """Whether a text may be a model's id on the Hugging Face hub, as in OWNER/MODEL."""
    return _HUB_ID.fullmatch(text) is not None


def root(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """The store's folder: PANTHEON360_MODELS, or one in the person's data folder. It may not exist yet."""
    stated = environment.get("PANTHEON360_MODELS")
    if stated:
        return Path(stated).expanduser().absolute()
    return person_folder.path(environment, platform) / "models"


def shipped() -> Path | None:
    """The folder of the model that comes with the extension; nothing is ever written there. None if it is left out."""
    folder = _SHIPPED_IN / SHIPPED
    return folder if (folder / "unet").is_dir() else None


def folder_of(name: str) -> Path | None:
    """The folder of a model by its name: of the store, else the one that comes with the extension; None of another."""
    if not is_name(name):
        return None
    stored = root() / name
    if stored.is_dir():
        return stored
    return shipped() if name == SHIPPED else None


def folders() -> list[Path]:
    """The folder of every model there is, by name: of the store, and the one that comes with the extension unless the
    store has its own of that name. Raises OSError if the store cannot be read."""
    place = root()
    found = {path.name: path for path in place.iterdir() if path.is_dir()} if place.is_dir() else {}
    own = shipped()
    if own is not None:
        found.setdefault(own.name, own)
    return [found[name] for name in sorted(found, key=str.lower) if not name.startswith(".")]


def chosen(name: str) -> str:
    """The model to paint with: the one named, or, if none is, the one that comes with the extension; else ""."""
    return name or (SHIPPED if folder_of(SHIPPED) else "")


@dataclass(frozen=True)
class ModelState:
    """What was found of a model.

    problem: why it cannot be used, empty if it can. bytes: of the weights that are loaded, 0 if unknown. checked: when
    that was, ISO 8601 in UTC.
    """

    problem: str
    bytes: int
    checked: str


def read_state(folder: Path) -> ModelState | None:
    """The state in a model's folder; None if there is none, or none that is sound."""
    value = json_values.read(folder / STATE_FILE, budget.RECORD_FILE)
    if not isinstance(value, dict) or not json_values.is_integer(value.get("bytes")) or value["bytes"] < 0:
        return None
    texts = (value.get("problem"), value.get("checked"))
    if not all(isinstance(text, str) and json_values.is_unicode(text) for text in texts):
        return None
    return ModelState(value["problem"], value["bytes"], value["checked"])


def write_state(folder: Path, problem: str, size: int) -> None:
    """Write what was found just now. size: bytes of the weights. Raises FileError."""
    state = ModelState(problem, size, datetime.now(UTC).isoformat(timespec="seconds"))
    OutputFolder(folder).write_json(STATE_FILE, asdict(state))
