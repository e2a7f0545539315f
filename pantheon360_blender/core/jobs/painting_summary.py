"""What painted a job, as its folder tells: the record that painters with a model write beside the frames."""

from __future__ import annotations

import json
from typing import Any

from . import json_values
from .job_folder import PaintFolder

_LARGEST_FILE = 16 << 20
_LARGEST_CARRIED = 1 << 18
_LONGEST_LINE = 120


def read(folder: PaintFolder) -> dict[str, Any] | None:
    """The record of a job, of at most _LARGEST_CARRIED characters as JSON; None where there is none, or none usable.

    It has an object "model" with a text "label". How each segment was painted is left out where there are too many.
    """
    value = json_values.read(folder.painting_file, _LARGEST_FILE)
    if _record_error(value) is not None:
        return None
    whole, short = value, {name: entry for name, entry in value.items() if name != "segments"}
    return next((record for record in (whole, short) if len(json.dumps(record)) <= _LARGEST_CARRIED), None)


def label(record: dict[str, Any]) -> str:
    """The model's name in one line; untrained ones say so."""
    model = record["model"]
    named = _line(model["label"])
    return named if model.get("trained", True) or "untrained" in named else f"{named} (untrained)"


def licence(record: dict[str, Any]) -> str:
    """The licence of the model's weights in one line; empty where it is not known."""
    return _line(record["model"].get("licence", ""))


def _record_error(value: Any) -> str | None:
    """What is wrong with a record; None where nothing is."""
    problem = json_values.object_error(value)
    if problem is not None:
        return problem
    model = value.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("label"), str) or not model["label"].strip():
        return "has no model with a label"
    if not isinstance(model.get("licence", ""), str) or not isinstance(model.get("trained", True), bool):
        return "has a model whose licence is no text, or that is neither trained nor untrained"
    return None


def _line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_LINE]
