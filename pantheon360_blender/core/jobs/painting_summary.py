"""What painted a job, as its strip tells: the painter's record, short enough to be carried along."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..plain_text import filled, listed
from . import painting_record
from .job import PaintJob
from .job_folder import PaintFolder
from .painting_record import PaintingEntries

_LARGEST_CARRIED = 1 << 18
_LONGEST_LINE = 120
_MOST_WARNINGS = 20
_LONGEST_WARNING = 300


def read(folder: PaintFolder) -> PaintingEntries | None:
    """The record of a job, of at most _LARGEST_CARRIED characters as JSON. None if there is none, or none usable.

    How each segment was painted is left out if there are too many.
    """
    whole = painting_record.read(folder.painting_file, folder.made_of)
    if not whole:
        return None
    short = whole.copy()
    short.pop("segments", None)
    return next((record for record in (whole, short) if len(json.dumps(record)) <= _LARGEST_CARRIED), None)


def known_pixels(record: PaintingEntries) -> float | None:
    """The correlation of the painting with what was known, -1 to 1; None if it was not measured."""
    known = record.get("known_pixels")
    return None if known is None else float(known["correlation"])


def origins(record: PaintingEntries) -> str:
    """How much was photographed, points, filled or painted, in one line without what is nowhere; empty if not known."""
    shares = record.get("origins", {})
    told = {
        "photographed": filled("{share:.0%} photographed", share=shares.get("photographed", 0)),
        "points": filled("{share:.0%} points", share=shares.get("points", 0)),
        "filled": filled("{share:.0%} filled", share=shares.get("filled", 0)),
        "painted": filled("{share:.0%} painted", share=shares.get("painted", 0)),
    }
    return listed([text for name, text in told.items() if shares.get(name)])


def label(record: PaintingEntries) -> str:
    """The model's name in one line, empty if none painted; untrained ones say so."""
    model = record.get("model")
    if model is None:
        return ""
    named = _line(model["label"])
    return named if model.get("trained", True) or "untrained" in named else f"{named} (untrained)"


def painter(job: PaintJob, record: PaintingEntries | None) -> str:
    """What painted a job, in one line: the painter, and its model if it has one."""
    return ": ".join(filter(None, (job.painter, label(record) if record else "")))


def licence(record: PaintingEntries) -> str:
    """The licence of the model's weights in one line; empty if it is not known."""
    model = record.get("model")
    return _line(model.get("licence", "")) if model else ""


def warnings(record: PaintingEntries | None, told: Sequence[str] = ()) -> list[str]:
    """What the painter warned of, each once and in one line: at most _MOST_WARNINGS, the first ones.

    told: warnings of a painter that keeps no record.
    """
    recorded = record.get("warnings", []) if record else []
    return list(dict.fromkeys(_line(text, _LONGEST_WARNING) for text in [*recorded, *told]))[:_MOST_WARNINGS]


def _line(text: str, longest: int = _LONGEST_LINE) -> str:
    return " ".join(text.split())[:longest]
