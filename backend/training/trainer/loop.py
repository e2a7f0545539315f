"""The loop of every run: steps over batches, on any number of processes; checkpoints, log, and a way to stop.

All that a step draws follows from the run's seed and its samples' numbers, and its rate from its own number. A run that
was stopped goes on from weights, average and AdamW's moments to the very bytes it would have come to undisturbed.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator, DistributedType
from torch.distributed.checkpoint import state_dict as whole_state

from pantheon360_blender.core import duration
from pantheon360_blender.core.errors import ModelError, PantheonError, reason
from pantheon360_blender.core.progress import Job, Progress

from ..training_clip import ClipSource
from . import checkpoints, clip_pool, clip_workers
from .average import Average
from .checkpoints import Checkpoint
from .clip_pool import ClipPool, Sample, Share, batches
from .settings import Clips, Optimizer, Run, Settings
from .training_log import TrainingLog

CHECKPOINTS = "checkpoints"
"""Where they lie in a run's folder."""
_FULL = whole_state.StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)


class Source(Protocol):
    """Makes sources of clips, as sources.source does."""

    def __call__(self, clips: Clips, device: str, *, held_out: bool) -> ClipSource: ...


class Trainee(Protocol):
    """What is trained.

    module: its forward, of samples and the share of the run that is done, gives "loss" and further numbers for the log,
    each a scalar tensor. Its parameters that ask for gradients are trained.
    """

    module: torch.nn.Module

    def running(self) -> Any:
        """A context that holds while the module runs, forwards and backwards."""

    def judge(self, held_out: Sequence[Sample]) -> Mapping[str, float]:
        """Numbers by which the module as it is now is judged, for the log."""

    def show(self, held_out: Sequence[Sample], stem: Path) -> None:
        """Write pictures or videos of what the module does now; `stem` lacks their suffix."""

    def finish(self, folder: Path, held_out: Sequence[Sample]) -> str:
        """Write what the module has become into the run's folder; returns a sentence."""


@dataclass(frozen=True)
class Outcome:
    """step: how many are finished. ended: whether they are all. told: a sentence of what was written."""

    step: int
    ended: bool
    told: str


def rate(optimizer: Optimizer, step: int, share: float) -> float:
    """The learning rate of a step, the first being 0: a linear warm-up, then half a cosine over the run's share."""
    if step < optimizer.warm_up:
        return optimizer.rate * (step + 1) / optimizer.warm_up
    return optimizer.rate * (optimizer.lowest + (1 - optimizer.lowest) * (1 + math.cos(math.pi * min(share, 1))) / 2)


def accelerator(settings: Settings) -> Accelerator:
    """Processes, device and precision, as the recipe, and whatever launched this process, say."""
    from ... import device as devices

    kind, _ = devices.choose(settings.run.device)
    mixed = settings.run.precision == "bfloat16" and not (kind == "cpu" and slow_in_bfloat16())
    return Accelerator(cpu=kind == "cpu", mixed_precision="bf16" if mixed else "no")


def slow_in_bfloat16() -> bool:
    """Whether the processor has to work bfloat16 out of other numbers: four times as slow as float32 (measured)."""
    return torch.backends.cpu.get_cpu_capability() in ("AVX2", "NO AVX")


def train(
    trainee: Trainee, settings: Settings, out: Path, machine: Accelerator, source: Source, *, resume: bool = False
) -> Job[Outcome]:
    """Train until the steps are done, the time is over, or a signal comes. out: the run's folder.

    source: makes the source of clips for a device, or that of held-out ones. resume: go on from the newest checkpoint
    there. Raises PantheonError.
    """
    with ExitStack() as stack:
        # 1. Where the run stands
        told = ""
        if settings.run.precision == "bfloat16" and machine.mixed_precision == "no":
            told = "in float32: this processor has no bfloat16"
        yield Progress("Preparing", text=told)
        run = _Run(trainee, settings, machine)
        first = run.restore(checkpoints.newest(out / CHECKPOINTS) if resume else None)
        log = TrainingLog(out, first) if machine.is_main_process else None
        device = str(machine.device)
        clips = stack.enter_context(_clips(source, settings.clips, device))
        pool = ClipPool(clips, settings.clips, settings.seed)
        held_out: list[Sample] = []
        sharded = machine.distributed_type == DistributedType.FSDP  # no process has whole networks to paint with
        if machine.is_main_process and settings.clips.held_out and not sharded:
            judged_by = source(settings.clips, device, held_out=True)
            held_out = clip_pool.held_out(judged_by, settings.clips, settings.seed)
        stop = stack.enter_context(stopping())
        stack.enter_context(trainee.running())
        steps = settings.run.steps
        clock = _Clock(settings.run, machine)
        seen = stack.enter_context(batches(pool, run.share, run.samples, settings.clips.ahead))

        # 2. Steps
        step = first
        while step < steps:
            numbers = run.step(next(seen), step, clock.share(step))
            step += 1
            ending = run.any_process(stop.is_set() or clock.is_over) or step == steps
            if log is not None and (step % settings.run.log_every == 0 or ending):
                row = {name: float(value) for name, value in numbers.items()}
                _refuse_overflow(row, step)
                log.add({"step": step, "seconds": clock.seconds, **row})
                yield _progress(step, first, steps, clock, row)
            if ending or step % settings.run.checkpoint_every == 0 or run.any_process(clock.is_due):
                clock.kept()
                yield Progress("Checkpoint", step, steps)
                run.checkpoint(out / CHECKPOINTS, step)
                if log is not None:
                    _judge(trainee, held_out, run.average, log, step)
            shown = settings.run.samples_every and step % settings.run.samples_every == 0
            if held_out and (shown or step == steps):
                with run.average.in_place():
                    trainee.show(held_out, out / "samples" / f"{step:08d}")
            if ending:
                break

        # 3. What has come of it
        told = "The checkpoint is kept: go on with --resume."
        ended = step == steps or (settings.run.by_clock and clock.is_over)
        if sharded and ended:
            told = "Write the model with --export FOLDER."
        elif machine.is_main_process and ended:
            with run.average.in_place():
                told = trainee.finish(out, held_out)
        machine.wait_for_everyone()
        return Outcome(step, ended, told)


class _Run:
    """Network, optimizer and average on this machine."""

    def __init__(self, trainee: Trainee, settings: Settings, machine: Accelerator) -> None:
        self.settings, self.machine = settings, machine
        trained = [each for each in trainee.module.parameters() if each.requires_grad]
        chosen = settings.optimizer
        adam = torch.optim.AdamW(
            trained, lr=chosen.rate, betas=(chosen.beta1, chosen.beta2), weight_decay=chosen.decay, foreach=True
        )
        self.model, self.optimizer = machine.prepare(trainee.module, adam)
        self.average = Average(self.model, chosen.average)
        clips = settings.clips
        self.share = Share(clips.batch, clips.accumulate, machine.process_index, machine.num_processes)
        self.samples = 0

    @property
    def _adam(self) -> torch.optim.Optimizer:
        """torch's own, without what accelerate wraps it in."""
        return getattr(self.optimizer, "optimizer", self.optimizer)

    def step(self, micro_batches: Sequence[Sequence[Sample]], step: int, share: float) -> dict[str, torch.Tensor]:
        """One step; returns the mean numbers of this process's batches. share: of the run that is done."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.settings.optimizer, step, share)
        told: list[dict[str, torch.Tensor]] = []
        for index, batch in enumerate(micro_batches):
            last = index + 1 == len(micro_batches)
            with nullcontext() if last else self.machine.no_sync(self.model):
                numbers = self.model(batch, share)
                self.machine.backward(numbers["loss"] / len(micro_batches))
            told.append({name: value.detach() for name, value in numbers.items()})
        norm = self.machine.clip_grad_norm_(self.model.parameters(), self.settings.optimizer.clip or math.inf)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(step)
        self.samples += self.share.of_step
        names = dict.fromkeys(name for each in told for name in each)
        means = {name: torch.stack([each[name] for each in told if name in each]).mean() for name in names}
        return {**means, "gradient": torch.as_tensor(norm), "rate": torch.tensor(self.optimizer.param_groups[0]["lr"])}

    def any_process(self, here: bool) -> bool:
        """Whether it holds for any of the processes; each has to ask."""
        if self.machine.num_processes == 1:
            return here
        flag = torch.tensor([float(here)], device=self.machine.device)
        return bool(self.machine.reduce(flag, "sum").item() > 0)

    def checkpoint(self, folder: Path, step: int) -> None:
        """Write a checkpoint; every process takes part in gathering what is written."""
        weights = whole_state.get_model_state_dict(self.model, options=_FULL)
        weights = {name: tensor.clone() for name, tensor in weights.items()}
        with self.average.in_place():
            average = whole_state.get_model_state_dict(self.model, options=_FULL)
            average = {name: tensor.clone() for name, tensor in average.items()}
        moments = whole_state.get_optimizer_state_dict(self.model, self._adam, options=_FULL)
        if self.machine.is_main_process:
            named = {
                f"{name}/{kind}": tensor for name, each in moments["state"].items() for kind, tensor in each.items()
            }
            groups = {"weights": weights, "average": average, "optimizer": named}
            kept = Checkpoint(step, self.samples, self.settings.as_json(), groups)
            checkpoints.write(folder, kept, self.settings.run.keep)
        self.machine.wait_for_everyone()

    def restore(self, path: Path | None) -> int:
        """Take over a checkpoint; returns its step. Raises ModelError if it is of another network."""
        if path is None:
            return 0
        kept = checkpoints.read(path)
        options = replace(_FULL, strict=False)
        try:
            with self.average.in_place():
                self._take(kept.tensors["average"], options)
            self._take(kept.tensors["weights"], options)
            if kept.tensors["optimizer"]:  # what came back from a machine at hand for minutes has none
                moments = _moments(kept.tensors["optimizer"], self._adam)
                whole_state.set_optimizer_state_dict(self.model, self._adam, moments, options=options)
        except (RuntimeError, KeyError, ValueError) as error:
            raise ModelError(
                f"{path} does not fit the recipe: {reason(error)[:300]}", advice="Resume it with its own recipe."
            ) from error
        self.samples = kept.samples
        return kept.step

    def _take(self, weights: checkpoints.Tensors, options: whole_state.StateDictOptions) -> None:
        trained = {
            name for name, each in self.machine.unwrap_model(self.model).named_parameters() if each.requires_grad
        }
        if trained != set(weights):
            raise KeyError(f"it has {len(weights)} weights, {len(trained)} are trained")
        whole_state.set_model_state_dict(self.model, dict(weights), options=options)


def _moments(named: checkpoints.Tensors, adam: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimizer's state as torch has it by the parameters' names; all but its moments is the recipe's."""
    state: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in named.items():
        parameter, _, kind = name.rpartition("/")
        state.setdefault(parameter, {})[kind] = tensor
    group = {name: value for name, value in adam.param_groups[0].items() if name != "params"}
    return {"state": state, "param_groups": [{**group, "params": list(state)}]}


class _Clock:
    """How long a run has lasted, and how much of it is done. Raises PantheonError if processes would disagree."""

    def __init__(self, run: Run, machine: Accelerator) -> None:
        self._run = run
        self._limit, self._between = run.seconds, run.checkpoint_seconds
        self._begun = self._kept = time.monotonic()
        if run.by_clock and machine.num_processes > 1:
            raise PantheonError(
                "Several processes cannot go by the clock: each has its own.",
                advice="Set run.by_clock to false and run.steps to what the time allows.",
                code="recipe",
            )

    def share(self, step: int) -> float:
        """Of the run that is done after so many steps."""
        done = step / self._run.steps
        return max(done, min(self.seconds / self._limit, 1)) if self._run.by_clock else done

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    @property
    def left(self) -> float | None:
        """Seconds to the run's end if it goes by the clock, or None."""
        return max(self._limit - self.seconds, 0) if self._run.by_clock else None

    @property
    def is_over(self) -> bool:
        return bool(self._limit) and self.seconds >= self._limit

    @property
    def is_due(self) -> bool:
        return bool(self._between) and time.monotonic() - self._kept >= self._between

    def kept(self) -> None:
        self._kept = time.monotonic()


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Within the block, SIGTERM and the first Ctrl-C set the event; the second Ctrl-C interrupts."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, _: Any) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _clips(source: Source, clips: Clips, device: str) -> Iterator[ClipSource]:
    """What makes the clips that are learned from: this process, or others."""
    if not clips.workers:
        yield source(clips, device, held_out=False)
        return
    with clip_workers.working(partial(source, clips, "cpu", held_out=False), clips.workers, device) as workers:
        yield workers


def _judge(trainee: Trainee, held_out: Sequence[Sample], average: Average, log: TrainingLog, step: int) -> None:
    if held_out:
        with average.in_place():
            log.add({"step": step, **trainee.judge(held_out)})
    log.write()


def _refuse_overflow(row: Mapping[str, float], step: int) -> None:
    if not math.isfinite(row["loss"]):
        raise PantheonError(
            f"The loss is no number any more at step {step}.",
            advice="Resume from the last checkpoint with a lower optimizer.rate, or in float32.",
            code="not-finite",
        )


def _progress(step: int, first: int, steps: int, clock: _Clock, row: Mapping[str, float]) -> Progress:
    pace = (step - first) / max(clock.seconds, 1e-9)
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
    left = duration.as_text(clock.left if clock.left is not None else (steps - step) / pace)
    return Progress("Training", step, steps, text=f"{numbers}, {pace:.3g} steps/s, {left} left")
