"""How to paint a clip within the memory that is free: the levels there are, and which of them to begin at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pantheon360_blender.core.jobs.paint_settings import AUTO
from pantheon360_blender.core.progress import Job, Progress

Residence = Literal["resident", "offload", "sequential"]

SPARE = 0.1
"""Share of the free memory that is left alone: kernels take some of their own, and so do other programs."""
CONTEXT = 2
"""Frames decoded before and after each portion, and thrown away."""


@dataclass(frozen=True)
class Decoding:
    """How latents become frames.

    frames: at a time, None for all. The decoder looks at neighbouring frames: portions give slightly other pixels.
    banded: work in bands (banded_decoder.py), which takes a third of the memory, and more time.
    """

    frames: int | None = None
    banded: bool = False

    def together(self, frames: int) -> int:
        """Frames of a clip that the decoder has at a time, those of the context included."""
        return frames if self.frames is None else min(self.frames + 2 * CONTEXT, frames)

    def __str__(self) -> str:
        portion = "decoding all frames together" if self.frames is None else f"decoding {self.frames} frames at a time"
        return portion + (", in bands" if self.banded else "")


DECODINGS = (Decoding(), *(Decoding(frames, banded=True) for frames in (None, 14, 8, 4, 2, 1)))
"""From the best to the most frugal."""


@dataclass(frozen=True)
class Level:
    """How much is on the device at a time while denoising. It changes memory and time, not what is painted.

    residence: "resident": all networks; "offload": the one at work; "sequential": of the U-Net the layer at work.
    evaluations: of the U-Net at a time, None for all. A step has up to four: two passes, each with and without
    conditions. chunked: whether its feed-forward layers work frame by frame.
    """

    name: str
    residence: Residence = "resident"
    evaluations: int | None = 1
    chunked: bool = False
    text: str = ""


LEVELS = {
    level.name: level
    for level in (
        Level("all", evaluations=None, text="every network on the device, all evaluations of a step together"),
        Level("pairs", evaluations=2, text="every network on the device, two evaluations at a time"),
        Level("single", text="every network on the device, one evaluation at a time"),
        Level("offload", "offload", text="the network at work on the device, one evaluation at a time"),
        Level("chunked", "offload", chunked=True, text="as offload, feed-forward layers frame by frame"),
        Level("sequential", "sequential", chunked=True, text="as chunked, the U-Net's weights layer by layer"),
    )
}
"""Name (options.MEMORY_LEVELS) -> level, from the fastest to the most frugal."""

_ON_PROCESSOR = ("all", "pairs", "single", "chunked")
"""Levels that differ if the device's memory is the computer's: nothing can be moved out of it."""


@dataclass(frozen=True)
class Plan:
    """How a clip is painted.

    level: while denoising. decoding: afterwards. device: "cuda", "mps" or "cpu".
    need: bytes it is estimated to take at most, 0 if nobody estimated; free: bytes it may take.
    """

    level: Level = LEVELS["all"]
    decoding: Decoding = DECODINGS[0]
    device: str = "cpu"
    need: int = 0
    free: int = 0

    def lower(self, stage: str, frames: int = 1) -> Plan | None:
        """The next plan after memory ran out in a stage; None if there is none.

        frames: how many the stage worked on.
        """
        if stage == "decoding":
            later = DECODINGS[DECODINGS.index(self.decoding) + 1 :]
            smaller = [decoding for decoding in later if decoding in decodings_of(frames)]
            if smaller:
                return replace(self, decoding=smaller[0], need=0)
        below = levels_below(self.level, self.device)
        if stage != "denoising":  # only more room helps them, and a processor has none
            below = [level for level in below if level.residence != self.level.residence and self.device == "cuda"]
        return replace(self, level=below[0], need=0) if below else None

    def __str__(self) -> str:
        need = f"; about {_size(self.need)} of {_size(self.free)}" if self.need else ""
        return f"{self.level.name} ({self.level.text}), {self.decoding}{need}"


@dataclass(frozen=True)
class Need:
    """What painting a clip takes, in bytes.

    weights: of each network. encoding: activations of the VAE's encoder; CLIP's are fewer and do not count.
    denoising: (evaluations at a time, chunked) -> activations of the U-Net.
    decoding: (frames at a time, banded) -> activations of the VAE's decoder.
    held: tensors held through a clip. streamed: weights of the U-Net on the device if they come layer by layer.
    """

    weights: dict[str, int]
    encoding: int
    denoising: Callable[[int, bool], int]
    decoding: Callable[[int, bool], int]
    held: int
    streamed: int

    def bytes_needed(self, plan: Plan, evaluations: int, frames: int) -> int:
        """The most bytes that a plan takes. evaluations: of a step. frames: of a clip."""
        return max(
            self._with("image_encoder", plan, 0),
            self._with("vae", plan, self.encoding),
            self._while_denoising(plan, evaluations),
            self._with("vae", plan, self.decoding(plan.decoding.together(frames), plan.decoding.banded)),
        )

    def weight_bytes(self, plan: Plan) -> int:
        """Bytes that a plan takes while denoising, without the U-Net's activations."""
        streamed = plan.level.residence == "sequential" and plan.device == "cuda"
        return self.held + self.streamed if streamed else self._with("unet", plan, 0)

    def _while_denoising(self, plan: Plan, evaluations: int) -> int:
        batch_size = min(plan.level.evaluations or evaluations, evaluations)
        return self.weight_bytes(plan) + self.denoising(batch_size, plan.level.chunked)

    def _with(self, part: str, plan: Plan, activations: int) -> int:
        """Activations and the weights of a part, or of all parts: a processor has no other memory to put them."""
        together = plan.level.residence == "resident" or plan.device != "cuda"
        return self.held + (sum(self.weights.values()) if together else self.weights[part]) + activations


def decodings_of(frames: int) -> Sequence[Decoding]:
    """The DECODINGS that differ for a clip of `frames` frames."""
    return [decoding for decoding in DECODINGS if decoding.frames is None or decoding.frames < frames]


def levels_below(level: Level, device: str) -> list[Level]:
    """Levels more frugal than one, on a device."""
    names = list(LEVELS)
    below = names[names.index(level.name) + 1 :]
    return [LEVELS[name] for name in below if device == "cuda" or name in _ON_PROCESSOR]


def choose(need: Need, device: str, free: int, *, evaluations: int, frames: int, level: str = AUTO) -> Job[Plan]:
    """The fastest plan that fits into the free memory, or the most frugal one if none does.

    Decoding whole clips counts for more than speed, as portions can show. free: bytes. evaluations: of a step.
    frames: the most that are decoded together. level: the artist's choice of LEVELS, or "auto".
    """
    levels = [LEVELS[level]] if level != AUTO else _levels_of(device, evaluations)
    decodings = decodings_of(frames)
    portions = list(dict.fromkeys(decoding.frames for decoding in decodings))
    plans = [
        Plan(candidate, decoding, device, free=free)
        for portion in portions
        for candidate in levels
        for decoding in decodings
        if decoding.frames == portion
    ]
    for index, plan in enumerate(plans):
        yield Progress("Planning memory", index, len(plans), text=plan.level.name)
        last = plan is plans[-1]
        if last or fits(replace(plan, need=need.weight_bytes(plan))):  # estimates of the rest take seconds
            plan = replace(plan, need=need.bytes_needed(plan, evaluations, frames))
            if last or fits(plan):
                return plan
    raise AssertionError("there is always a plan")


def fits(plan: Plan) -> bool:
    """Whether a plan's need fits into its free memory less SPARE."""
    return plan.need <= (1 - SPARE) * plan.free


def _levels_of(device: str, evaluations: int) -> list[Level]:
    """Levels that differ on a device, for a step of `evaluations`."""
    names = list(LEVELS) if device == "cuda" else list(_ON_PROCESSOR)
    return [LEVELS[name] for name in names if name != "pairs" or evaluations > 2]


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
