"""What painted a shot, written down while it is painted (core/jobs/painting_record.py)."""

from __future__ import annotations

import importlib.metadata
from dataclasses import asdict
from typing import Any

from pantheon360_blender.core.errors import JobError
from pantheon360_blender.core.jobs import painting_record
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.jobs.model_card import ModelCard
from pantheon360_blender.core.jobs.paint_settings import PaintOptions, Recipe

from ..execution.memory_plan import DECODINGS, LEVELS, Plan

_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy")


class PaintingRecord:
    """The record of a job folder; what was written before is kept if it is of the same job."""

    def __init__(self, folder: PaintFolder) -> None:
        self._folder = folder
        self.entries = painting_record.read(folder.painting_file, folder.made_of)

    def describe(self, card: ModelCard, fingerprint: str, options: PaintOptions, recipe: Recipe, size: int) -> None:
        """Say what paints. size: width of the panoramas it paints, pixels.

        Raises JobError if another model painted a part of the job already.
        """
        earlier = self.entries.get("model")
        if earlier is not None and earlier.get("fingerprint") != fingerprint:
            raise JobError(
                f"{self._folder.path} was begun with another model, {earlier['label']}; now {options.model} is "
                f"{card.label}.",
                advice="Go on with that model, or generate the shot again.",
                code="model-changed",
            )
        self.entries["made_of"] = self._folder.made_of
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
        self.entries["draft_share"] = options.share_of_draft(card)
        self.entries["software"] = {name: importlib.metadata.version(name) for name in _PACKAGES}

    def plan(self, kind: str, device: str) -> Plan | None:
        """The plan a part of the job was painted by on this device, so that the rest is painted alike.

        kind: "cuda", "mps" or "cpu"; device: its name for people.
        """
        memory = self.entries.get("memory")
        if memory is None or memory.get("level") not in LEVELS:
            return None
        if (memory.get("device"), self.entries.get("device")) != (kind, device):
            return None
        decodings = [each for each in DECODINGS if asdict(each) == memory.get("decoding")]
        return Plan(LEVELS[memory["level"]], decodings[0], kind) if decodings else None

    def use(self, plan: Plan, device: str, precision: str) -> None:
        """Say how memory is used. device: its name for people."""
        memory = self.entries.setdefault("memory", {})
        memory |= {"device": plan.device, "level": plan.level.name, "decoding": asdict(plan.decoding)}
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

    def segment(self, index: int, entry: dict[str, Any]) -> None:
        """Say how a segment was painted. index: from 0."""
        segments = self.entries.setdefault("segments", {})
        segments[str(index + 1)] = entry
        self.entries["seconds"] = round(sum(each["seconds"] for each in segments.values()), 3)

    def warn(self, text: str) -> None:
        """Keep what the artist was told."""
        warnings = self.entries.setdefault("warnings", [])
        if text not in warnings:
            warnings.append(text)

    def write(self) -> None:
        """Write it. Raises FileError."""
        self._folder.output.write_json(self._folder.painting_file, self.entries)
