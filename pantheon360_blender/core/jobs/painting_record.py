"""What painted a shot: `painting.json` in the job folder, for people, for the strip and for going on later.

Painters with a model write it, and every painting has in it how well it keeps to what was known. Its names are in files
that people have: they stay.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict, cast

from .. import budget, json_values

FILE = "painting.json"


class ModelEntry(TypedDict, total=False):
    """What the model's card says. native: width and height it paints, pixels. fingerprint: of its weights."""

    label: str
    kind: str
    trained: bool
    capability: str
    licence: str
    source: str
    native: list[int]
    fingerprint: str


class KnownPixels(TypedDict):
    """How well a painting keeps to the points of the geometry pass (backend/known_pixels.py).

    correlation: -1 to 1. frames: how many were compared.
    """

    correlation: float
    frames: int


class PaintingEntries(TypedDict, total=False):
    """The whole record. made_of: what the job was (made_of.py). segments: by their number from 1, as text, with
    `seconds`. device: its name for people. origins: shares of the sphere that were photographed, points, filled or
    painted (backend/origins.py), 0 to 1.
    """

    made_of: str
    model: ModelEntry
    painted_size: list[int]
    settings: dict[str, Any]
    recipe: dict[str, Any]
    draft_share: float
    software: dict[str, str]
    memory: dict[str, Any]
    device: str
    precision: str
    segments: dict[str, dict[str, Any]]
    seconds: float
    warnings: list[str]
    known_pixels: KnownPixels
    origins: dict[str, float]


def read(file: Path, made_of: str | None) -> PaintingEntries:
    """The record in a file. Empty if there is none, it is damaged, or it is of a job that was made of something else:
    other files tell what is finished. made_of: None takes it whatever it was made of.
    """
    value = json_values.read(file, budget.RECORD_FILE)
    if _error(value) is not None or value.get("made_of", made_of) != (made_of or value.get("made_of")):
        return {}
    return cast(PaintingEntries, value)


def _error(value: Any) -> str | None:
    """What is wrong with a record, of what is shown or added to. None if nothing is."""
    problem = json_values.object_error(value)
    if problem is not None:
        return problem
    for name, kind in (("model", dict), ("memory", dict), ("segments", dict), ("warnings", list)):
        if not isinstance(value.get(name, kind()), kind):
            return f"has {name} of another type"
    if not all(isinstance(text, str) for text in value.get("warnings", [])):
        return "has a warning that is no text"
    known = value.get("known_pixels", {"correlation": 1.0})
    if not isinstance(known, dict) or not json_values.is_number(known.get("correlation")):
        return "has known pixels without a correlation"
    origins = value.get("origins", {})
    if not isinstance(origins, dict) or not all(map(json_values.is_number, origins.values())):
        return "has origins that are no shares"
    segments = value.get("segments", {}).values()
    if not all(isinstance(entry, dict) and json_values.is_number(entry.get("seconds")) for entry in segments):
        return "has a segment without its time"
    return _model_error(value["model"]) if "model" in value else None


def _model_error(model: dict[str, Any]) -> str | None:
    if not isinstance(model.get("label"), str) or not model["label"].strip():
        return "has a model without a label"
    if not isinstance(model.get("licence", ""), str) or not isinstance(model.get("trained", True), bool):
        return "has a model whose license is no text, or that is neither trained nor untrained"
    return None
