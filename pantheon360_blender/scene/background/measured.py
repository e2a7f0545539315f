"""How long a clip took with a model on this computer, and how much memory: read from what was painted here last."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...core import json_values
from ...core.jobs import painting_record, registry
from ...core.jobs.painting_record import PaintingEntries
from ...core.plain_text import filled
from ..shot.models import StoredModel

_FULL_SIZE = (1024, 512, 25)
"""Width, height and frames of what docs/performance.md has figures of."""
_ELSEWHERE = "Time: not measured here (20 s a clip with one anchor on an H100); memory: 4 to 37 GB, by the level"


@dataclass(frozen=True)
class Measured:
    """The last painting with a model. seconds: for a clip, on average. width: pixels of the panoramas. bytes: the most
    memory that was taken, 0 if nobody measured. device: its name for people, or empty.
    """

    seconds: float
    width: int
    bytes: int
    device: str

    @property
    def text(self) -> str:
        """In one line."""
        memory = f", {self.bytes / 1e9:.1f} GB" if self.bytes else ""
        device = filled(" on {device}", device=self.device) if self.device else ""
        return filled(
            "{seconds:,.1f} s a clip of {width} x {height}{memory}{device}",
            seconds=self.seconds, width=self.width, height=self.width // 2, memory=memory, device=device,
        )  # fmt: skip


def text_of(model: StoredModel) -> str:
    """Time and memory of a clip, as far as anybody measured them."""
    here, card = of_model(model), model.card
    if here is not None:
        return here.text
    full = card is not None and card.trained and (card.width, card.height, card.frames) == _FULL_SIZE
    return _ELSEWHERE if full else filled("Time and memory of a clip: not measured here")


def of_model(model: StoredModel) -> Measured | None:
    """What the last painting with a model took; None if nothing of it is left here. Cheap enough to draw."""
    known = _all(registry.stamp())
    return known.get(model.name) or known.get(str(model.path))


@lru_cache(maxsize=1)
def _all(_stamp: int) -> dict[str, Measured]:
    """By what the jobs call their models, the newest last."""
    entries = [entry for entry in registry.entries() if entry.kind == "paint"]
    found = [_of_painting(entry.path, entry.updated) for entry in sorted(entries, key=lambda entry: entry.updated)]
    return dict(each for each in found if each is not None)


@lru_cache(maxsize=1024)
def _of_painting(folder: Path, _updated: str) -> tuple[str, Measured] | None:
    """Under the name of its model; None of a painting without one, or without a time."""
    record = painting_record.read(folder / painting_record.FILE, None)
    seconds = [float(each["seconds"]) for each in record.get("segments", {}).values()]
    model, size = record.get("settings", {}), record.get("painted_size", [0])
    name = model.get("model") if isinstance(model, dict) else None
    if not seconds or not isinstance(name, str) or not isinstance(size, list) or not json_values.is_integer(size[0]):
        return None
    return name, Measured(sum(seconds) / len(seconds), int(size[0]), _peak(record), str(record.get("device", "")))


def _peak(record: PaintingEntries) -> int:
    peak = record.get("memory", {}).get("peak_bytes", 0)
    return int(peak) if json_values.is_integer(peak) else 0
