"""A job's networks: planned for and loaded when they are first needed, and what they take written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from pantheon360_blender.core.jobs.paint_settings import AUTO, PaintOptions, Recipe
from pantheon360_blender.core.progress import Job, Progress

from ... import device as devices
from ..execution import memory_need, memory_plan
from ..execution.execution import Execution
from ..execution.memory_plan import Plan
from ..models import loading
from ..models.model_folder import WEIGHTS, ModelFolder
from .painting_record import PaintingRecord


class Networks:
    """The networks that paint one job.

    width: of the panoramas, pixels. frames: of the longest clip. lead: further frames decoded before a clip.
    log: is given the plan. warn: is given what the artist should know. check: is called when they are loaded.
    """

    def __init__(
        self,
        model: ModelFolder,
        options: PaintOptions,
        recipe: Recipe,
        record: PaintingRecord,
        *,
        width: int,
        frames: int,
        lead: int,
        log: Callable[[str], None],
        warn: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        self._model, self._options, self._recipe, self._record = model, options, recipe, record
        self._width, self._frames, self._lead = width, frames, lead
        self._log, self._warn, self._check = log, warn, check
        self._execution: Execution | None = None

    def ready(self) -> Job[Execution]:
        """The networks, ready to run. Raises PantheonError: no such device, a file damaged or changed."""
        if self._execution is None:
            kind, precision = devices.choose(self._options.device, self._options.precision, half="float16")
            plan = yield from self._plan(kind, precision)
            yield Progress("Loading the model", text=self._model.card.label)
            loaded = self._loaded(kind, precision)
            self._check()
            self._execution = Execution(loaded, plan, device=kind, lowered=self._lowered, warn=self._warn)
            if self._options.compile:
                self._compiled(self._execution)
        return self._execution

    def measure(self) -> None:
        """Note in the record how much memory was taken so far."""
        if self._execution is not None:
            self._record.peak(devices.peak_memory(self._execution.device.type))

    def close(self) -> None:
        """Let go of the networks."""
        if self._execution is not None:
            self._execution.release()
            self._execution = None

    def _plan(self, kind: str, precision: str) -> Job[Plan]:
        """How to use the memory there is, told before it is used."""
        yield Progress("Planning memory")
        plan = yield from self._chosen(kind, precision)
        self._record.use(plan, devices.name(kind), precision)
        self._record.write()
        self._log(f"memory: {plan}; {devices.name(kind)}, {precision}")
        free = devices.free_memory(kind)
        if plan.need > free:
            self._warn(f"Painting may take {plan.need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free.")
        if plan.decoding.frames is not None:
            self._warn(f"Memory is short: {plan.decoding}, which may show in the video.")
        yield Progress(f"Memory: {plan}")
        return plan

    def _chosen(self, kind: str, precision: str) -> Job[Plan]:
        """The plan that began the job on this device if it still fits, so that the rest looks alike; else the best."""
        configs = {part: self._model.config(part) for part in WEIGHTS}
        dtype, seam = getattr(torch, precision), self._recipe.seam
        need = memory_need.need(configs, self._model.card, self._width, self._frames, dtype, seam)
        evaluations, decoded, budget = self._recipe.most_evaluations, self._frames + self._lead, devices.budget(kind)
        earlier = self._record.plan(kind, devices.name(kind)) if self._options.memory == AUTO else None
        if earlier is not None:
            earlier = replace(earlier, need=need.bytes_needed(earlier, evaluations, decoded), free=budget)
            if memory_plan.fits(earlier):
                return earlier
        return (
            yield from memory_plan.choose(
                need, kind, budget, evaluations=evaluations, frames=decoded, level=self._options.memory
            )
        )

    def _loaded(self, kind: str, precision: str) -> loading.Components:
        loras = [(Path(entry["file"]), float(entry["strength"])) for entry in self._options.loras]
        model = loading.load(
            self._model, dtype=getattr(torch, precision), loras=loras, scheduler=self._options.scheduler
        )
        if kind == "cuda":
            torch.cuda.reset_peak_memory_stats()
        elif precision != "float32":
            self._warn(f"{precision} is slow on {devices.name(kind)}; float32 is not.")
        return model

    def _compiled(self, execution: Execution) -> None:
        """Have the U-Net compiled at its first step."""
        if execution.plan.level.residence == "sequential":
            self._warn("The U-Net is not compiled: at this level of memory its layers are not there together.")
            return
        self._warn("The U-Net is compiled: the first step takes minutes.")
        execution.compile()

    def _lowered(self, plan: Plan, stage: str) -> None:
        self._record.ran_out(stage)
        self._record.use(plan, self._record.entries["device"], self._record.entries["precision"])
        self._record.write()
        self._log(f"memory ran out in {stage}; now: {plan}")
        self._warn(f"Memory ran out in {stage}: going on with {plan}.")
