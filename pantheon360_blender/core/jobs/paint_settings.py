"""What an artist may choose of the diffusion painter: the settings of a job, checked. It imports no library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast, get_args

from ..errors import JobError
from .json_values import is_integer, is_number, is_unicode, object_error
from .model_card import ModelCard

Configuration = Literal["single", "single+fusion", "dual", "dual+fusion"]
Weighting = Literal["equal", "linear"]
Roll = Literal["none", "quarter", "random"]
AUTO = "auto"
DEVICES = ("cuda", "mps", "cpu")
PRECISIONS = ("float32", "bfloat16", "float16")

MEMORY_LEVELS = ("all", "pairs", "single", "offload", "chunked", "sequential")
"""How much is on the device at a time, from the fastest to the most frugal (memory_plan.py)."""

USUAL_STEPS = {"euler": 25, "euler-aligned": 10, "dpm++2m": 13}
"""Way to step (schedulers.SCHEDULERS) -> how many steps it usually takes."""


@dataclass(frozen=True)
class Handling:
    """How the seam is handled (panorama.py).

    roll: turn of the panorama between steps: "none", "quarter" of the width (Argus), "random" (PanoWan).
    padding: latent columns from beyond the seam on either side of what the VAE decodes, and more of what it encodes;
    unused where `circular`.
    circular: whether convolutions wrap.
    """

    roll: Roll = "quarter"
    padding: int = 2
    circular: bool = True

    @property
    def columns(self) -> int:
        """Latent columns the VAE's decoder is to be given on either side."""
        return 0 if self.circular else self.padding


OFF = Handling(roll="none", padding=0, circular=False)
"""A model as it was published."""


@dataclass(frozen=True)
class Recipe:
    """How a clip is painted, every choice made.

    steps: denoising steps.
    guidance: classifier-free guidance at the first and at the last frame of a pass, evenly in between; 1 is none.
    fps, motion_bucket, noise_aug: what the model is told of the clip.
    configuration, weighting: which passes, and how they are fused (anchors.py).
    handling: of the seam. seed: 0 to 2^64 - 1.
    """

    steps: int = 25
    guidance: tuple[float, float] = (3.0, 3.0)
    fps: float = 7.0
    motion_bucket: float = 127.0
    noise_aug: float = 0.02
    configuration: Configuration = "dual+fusion"
    weighting: Weighting = "equal"
    handling: Handling = field(default_factory=Handling)
    seed: int = 0

    @property
    def most_evaluations(self) -> int:
        """Evaluations of the U-Net that a step takes at most."""
        passes = 2 if self.configuration.endswith("+fusion") else 1
        return passes * (2 if max(self.guidance) > 1 else 1)


@dataclass(frozen=True)
class PaintOptions:
    """What an artist chose. None stands for what the model was made for.

    model: name, folder or hub id of the model.
    scheduler: a key of USUAL_STEPS.
    loras: [{"file": path of a safetensors file, "strength": number}], applied in turn.
    guidance_start: guidance at the frame a pass begins with, if it is not to be `guidance` everywhere.
    anchors: "auto", or a configuration, for clips with an anchor at both ends.
    every: paint every so manieth frame of the path; those between are warped from their neighbours.
    clip: frames that are painted together. overlap: frames by which a clip that does not begin at a capture begins
    before the end of the one before it.
    memory: "auto", or one of MEMORY_LEVELS. device, precision: "auto", or one of DEVICES, PRECISIONS.
    save_seen: keep what the model sees as videos in the job folder. compile: let torch compile the U-Net first.
    The others: see Recipe and Handling.
    """

    model: str = ""
    scheduler: str = "euler"
    loras: list[dict[str, Any]] = field(default_factory=list)
    steps: int | None = None
    guidance: float | None = None
    guidance_start: float | None = None
    fps: float | None = None
    motion_bucket: float | None = None
    noise_aug: float | None = None
    anchors: str = AUTO
    weighting: Weighting = "equal"
    roll: Roll = "quarter"
    padding: int = 2
    circular: bool = True
    every: int = 1
    clip: int | None = None
    overlap: int = 5
    memory: str = AUTO
    device: str = AUTO
    precision: str = AUTO
    save_seen: bool = False
    compile: bool = False

    def to_json(self) -> dict[str, Any]:
        """The object that stands under `settings`, `diffusion` in `job.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Any) -> PaintOptions:
        """Read a job's settings; what is missing has its default. Raises JobError that names the first wrong one."""
        problem = options_error(record)
        if problem is not None:
            raise JobError(
                f"These are no settings of the diffusion painter: the object {problem}.",
                advice="Correct the painter's settings and prepare the shot again.",
            )
        return cls(**record)

    def recipe(self, card: ModelCard, seed: int) -> Recipe:
        """Every choice made: the artist's, or else the model's own."""
        fused = "dual+fusion" if card.anchors == 2 else "single+fusion"
        guidance = _chosen(self.guidance, card.guidance)
        return Recipe(
            steps=USUAL_STEPS[self.scheduler] if self.steps is None else self.steps,
            guidance=(_chosen(self.guidance_start, guidance), guidance),
            fps=_chosen(self.fps, card.fps),
            motion_bucket=_chosen(self.motion_bucket, card.motion_bucket),
            noise_aug=_chosen(self.noise_aug, card.noise_aug),
            configuration=cast(Configuration, fused if self.anchors == AUTO else self.anchors),
            weighting=self.weighting,
            handling=Handling(self.roll, self.padding, self.circular),
            seed=seed,
        )


def options_error(value: Any) -> str | None:
    """What is wrong with the settings of a job; None where nothing is."""
    problem = object_error(value)
    if problem is not None:
        return problem
    for name in value:
        if name not in _VALIDATORS:
            return f"holds the unknown setting {name!r}"
        problem = _VALIDATORS[name](value[name])
        if problem is not None:
            return f"holds a {name} that {problem}"
    return None


def _chosen(value: float | None, own: float) -> float:
    return float(own if value is None else value)


def _text_error(value: Any) -> str | None:
    return None if isinstance(value, str) and is_unicode(value) else "is not a text"


def _one_of(*choices: str) -> Callable[[Any], str | None]:
    return lambda value: None if value in choices else f"is {value!r}, known are: {', '.join(choices)}"


def _whole(least: int, most: int) -> Callable[[Any], str | None]:
    wanted = f"is not a whole number from {least} to {most}"
    return lambda value: None if is_integer(value) and least <= value <= most else wanted


def _number(least: float, most: float) -> Callable[[Any], str | None]:
    wanted = f"is not a number from {least:g} to {most:g}"
    return lambda value: None if is_number(value) and least <= value <= most else wanted


def _switch(value: Any) -> str | None:
    return None if isinstance(value, bool) else "is neither true nor false"


def _or_none(validator: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
    return lambda value: None if value is None else validator(value)


def _loras_error(value: Any) -> str | None:
    if not isinstance(value, list):
        return "is not a list"
    for entry in value:
        if not isinstance(entry, dict) or entry.keys() != {"file", "strength"}:
            return "holds an entry that does not have exactly: file, strength"
        if not isinstance(entry["file"], str) or not entry["file"] or not is_number(entry["strength"]):
            return "holds an entry whose file is no path or whose strength is no number"
    return None


_VALIDATORS: dict[str, Callable[[Any], str | None]] = {
    "model": _text_error,
    "scheduler": _one_of(*USUAL_STEPS),
    "loras": _loras_error,
    "steps": _or_none(_whole(1, 1000)),
    "guidance": _or_none(_number(1, 100)),
    "guidance_start": _or_none(_number(1, 100)),
    "fps": _or_none(_number(1, 240)),
    "motion_bucket": _or_none(_number(0, 1000)),
    "noise_aug": _or_none(_number(0, 10)),
    "anchors": _one_of(AUTO, *get_args(Configuration)),
    "weighting": _one_of(*get_args(Weighting)),
    "roll": _one_of(*get_args(Roll)),
    "padding": _whole(0, 64),
    "circular": _switch,
    "every": _whole(1, 1000),
    "clip": _or_none(_whole(2, 1000)),
    "overlap": _whole(1, 1000),
    "memory": _one_of(AUTO, *MEMORY_LEVELS),
    "device": _one_of(AUTO, *DEVICES),
    "precision": _one_of(AUTO, *PRECISIONS),
    "save_seen": _switch,
    "compile": _switch,
}
