"""What painted a shot: `painting.json` in the job folder, for people, for the strip and for going on later."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pantheon360_blender.core import files
from pantheon360_blender.core.errors import JobError
from pantheon360_blender.core.jobs import json_values
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.jobs.model_card import ModelCard
from pantheon360_blender.core.jobs.paint_settings import PaintOptions, Recipe

from ..execution.memory_plan import DECODINGS, LEVELS, Plan

_LARGEST = 16 << 20
_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy")


class PaintingRecord:
    """The record of a job folder; what was written before is kept."""

    def __init__(self, folder: PaintFolder) -> None:
        self._file = folder.painting_file
        self.entries: dict[str, Any] = _read(self._file)

    def describe(self, card: ModelCard, fingerprint: str, options: PaintOptions, recipe: Recipe, size: int) -> None:
        """Say what paints. size: width of the panoramas it paints, pixels.

        Raises JobError where another model painted a part of the job already.
        """
        earlier = self.entries.get("model")
        if isinstance(earlier, dict) and earlier.get("fingerprint") != fingerprint:
            raise JobError(
                f"{self._file.parent} was begun with another model, {earlier.get('label')}; now {options.model} is "
                f"{card.label}.",
                advice="Go on with that model, or generate the shot again.",
                code="model-changed",
            )
        self.entries["model"] = {
            "label": card.label,
            "kind": card.kind,
            "trained": card.trained,
            "capability": card.capability,
            "licence": card.licence,
            "source": card.source,
            "native": [card.width, card.height],
            "fingerprint": fingerprint,
        }
        self.entries["painted_size"] = [size, size // 2]
        self.entries["settings"] = options.to_json()
        self.entries["recipe"] = recipe.to_json() | {"seed": str(recipe.seed)}
        self.entries["software"] = {name: importlib.metadata.version(name) for name in _PACKAGES}

    def plan(self, kind: str, device: str) -> Plan | None:
        """The plan a part of the job was painted by on this device, so that the rest is painted alike.

        kind: "cuda", "mps" or "cpu"; device: its name for people.
        """
        memory = self.entries.get("memory")
        if not isinstance(memory, dict) or memory.get("level") not in LEVELS:
            return None
        if (memory.get("device"), self.entries.get("device")) != (kind, device):
            return None
        decodings = [each for each in DECODINGS if asdict(each) == memory.get("decoding")]
        return Plan(LEVELS[memory["level"]], decodings[0], kind) if decodings else None

    def use(self, plan: Plan, device: str, precision: str) -> None:
        """Say how memory is used. device: its name for people."""
        memory = self.entries.setdefault("memory", {})
        memory |= {
            "device": plan.device,
            "level": plan.level.name,
            "decoding": asdict(plan.decoding),
        }
        if plan.need:
            memory |= {"need_bytes": plan.need, "budget_bytes": plan.free}
        self.entries |= {"device": device, "precision": precision}

    def ran_out(self, stage: str) -> None:
        """Memory ran out in a stage, and painting went on more frugally."""
        self.entries["memory"].setdefault("ran_out_in", []).append(stage)

    def peak(self, count: int) -> None:
        """The most memory that was taken at once so far, bytes."""
        memory = self.entries["memory"]
        memory["peak_bytes"] = max(count, memory.get("peak_bytes", 0))

    def segment(self, index: int, entry: Mapping[str, Any]) -> None:
        """Say how a segment was painted. index: from 0."""
        segments = self.entries.setdefault("segments", {})
        segments[str(index + 1)] = dict(entry)
        self.entries["seconds"] = round(sum(each["seconds"] for each in segments.values()), 3)

    def warn(self, text: str) -> None:
        """Keep what the artist was told."""
        warnings = self.entries.setdefault("warnings", [])
        if text not in warnings:
            warnings.append(text)

    def write(self) -> None:
        """Write it. Raises FileError."""
        files.write_json(self._file, self.entries)


def _read(file: Path) -> dict[str, Any]:
    """The record; an empty one where there is none or it is damaged: what is finished is judged by other files."""
    value = json_values.read(file, _LARGEST)
    return value if isinstance(value, dict) and _fits_together(value) else {}


def _fits_together(value: dict[str, Any]) -> bool:
    """Whether what is added to has the types it was written with."""
    types = {"model": dict, "memory": dict, "segments": dict, "warnings": list}
    segments = value.get("segments")
    timed = isinstance(segments, dict) and all(_is_timed(entry) for entry in segments.values())
    return all(isinstance(value.get(name, kind()), kind) for name, kind in types.items()) and (
        segments is None or timed
    )


def _is_timed(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("seconds"), int | float)
