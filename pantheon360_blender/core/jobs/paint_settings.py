"""What an artist may choose of the diffusion painter, and what follows from it. It imports no library."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

from ..errors import JobError
from ..json_values import object_error
from . import model_card, settings

Configuration = Literal["single", "single+fusion", "dual", "dual+fusion"]
Weighting = Literal["equal", "linear"]
Roll = Literal["none", "quarter", "random"]

SETTINGS_KEY = "diffusion"
"""Where the settings of a job hold those of this painter."""
AUTO = "auto"
DEVICES = ("cuda", "mps", "cpu")
PRECISIONS = ("float32", "bfloat16", "float16")
MEMORY_LEVELS = ("all", "pairs", "single", "offload", "chunked", "sequential")
"""How much is on the device at a time, from the fastest to the most frugal (diffusion/execution/memory_plan.py)."""
USUAL_STEPS = {"euler": 25, "euler-aligned": 10, "dpm++2m": 13}
"""Scheduler (diffusion/networks/schedulers.py) -> how many steps it usually takes."""


@dataclass(frozen=True)
class PaintOptions:
    """The settings of a job for the diffusion painter. None stands for what the model was made for.

    Names, values and the order of choices are stored in .blend files and in `job.json`: they stay.
    """

    model: str = settings.text(
        "Model",
        "Name of a model that was added, a folder with one, or its id on the Hugging Face hub if it was downloaded "
        "before",
    )
    steps: int | None = settings.integer(
        "Steps",
        "Denoising steps; time grows with them, and 0 is as many as the model, or the scheduler, usually takes",
        None, 1, 1000, usual=50, unset=0,
    )  # fmt: skip
    guidance: float | None = settings.number(
        "Guidance",
        "How strongly the captures steer the painting (classifier-free guidance); 1 is none and takes half the time, "
        "below 1 it is the model's own",
        None, 1, 100, usual=10, unset=0,
    )  # fmt: skip
    anchors: str = settings.choice(
        "Anchors",
        "Which captures a clip that has one at both ends is painted from, and in which direction",
        (AUTO, "Auto", "Both ends if the model knows both, and both directions fused"),
        ("dual+fusion", "Both Ends, Fused", "Forwards and backwards, each from both ends, and fused", "DUAL_FUSION"),
        ("dual", "Both Ends", "Once, forwards, from both ends"),
        (
            "single+fusion",
            "One End Each, Fused",
            "Forwards from the start, backwards from the end, and fused",
            "SINGLE_FUSION",
        ),
        ("single", "Start", "Once, forwards, from the start alone"),
    )
    weighting: Weighting = settings.choice(
        "Fusion",
        "How the two directions are fused",
        ("equal", "Equal", "Half of each at every frame"),
        ("linear", "Linear", "Each direction counts more near the end it began at"),
    )
    roll: Roll = settings.choice(
        "Roll",
        "How far the panorama is turned between steps, so that its seam is nowhere for long",
        ("none", "None", "Not at all"),
        ("quarter", "Quarter", "By a quarter of the width"),
        ("random", "Random", "By a random part of the width"),
        default="quarter",
    )
    circular: bool = settings.switch("Circular", "Let the networks' convolutions wrap across the seam", True)
    padding: int = settings.integer(
        "Padding",
        "Columns from beyond the seam, of 8 pixels each, that are encoded and decoded with each panorama if "
        "convolutions are not circular",
        2, 0, 64, usual=16,
    )  # fmt: skip
    scheduler: str = settings.choice(
        "Scheduler",
        "How noise becomes a picture",
        ("euler", "Euler", "As Stable Video Diffusion was made for; 25 steps are usual"),
        (
            "euler-aligned",
            "Euler, Aligned Steps",
            "Steps optimized for Stable Video Diffusion; 10 are usual",
            "EULER_ALIGNED",
        ),
        ("dpm++2m", "DPM-Solver++", "Of second order, about as good as Euler in half the steps; 13 are usual", "DPM"),
    )
    guidance_start: float | None = settings.number(
        "Start Guidance",
        "Guidance at the frame a clip begins with, rising or falling evenly from there; below 1 it is the model's own, "
        "or the same everywhere if Guidance is chosen",
        None, 1, 100, usual=10, unset=0,
    )  # fmt: skip
    fps: float | None = settings.number(
        "Frame Rate",
        "Frames a second that the model is told, whatever the shot's are; below 1 the model's own",
        None, 1, 240, usual=30, unset=0,
    )  # fmt: skip
    motion_bucket: float | None = settings.integer(
        "Motion Bucket",
        "How much motion the model is told there is; -1 is the model's own",
        None, 0, 1000, usual=255, unset=-1,
    )  # fmt: skip
    noise_aug: float | None = settings.number(
        "Noise Augmentation",
        "How much noise is laid over the captures and points that the model sees, which it is told; more leaves it "
        "more freedom, below 0 is the model's own",
        None, 0, 10, usual=1, unset=-1, digits=3,
    )  # fmt: skip
    draft_share: float | None = settings.number(
        "Draft Share",
        "How much of the draft stays in each frame: at 0 the model paints all of it, at 1 nothing; below 0 as much as "
        "the model was made for",
        None, 0, 1, usual=1, unset=-1, digits=2,
    )  # fmt: skip
    every: int = settings.integer(
        "Paint Every", "Paint every n-th frame; those between are warped from their neighbors", 1, 1, 1000, usual=10
    )
    clip: int | None = settings.integer(
        "Clip",
        "Frames that are painted together; below 2 as many as the model was made for",
        None, 2, 1000, usual=50, unset=0,
    )  # fmt: skip
    overlap: int = settings.integer(
        "Overlap",
        "Frames that a clip shares with the one before it if no capture parts them",
        5, 1, 1000, usual=12,
    )  # fmt: skip
    device: str = settings.choice(
        "Device",
        "What computes",
        (AUTO, "Auto", "The fastest there is"),
        ("cuda", "CUDA", "NVIDIA's graphics cards, and AMD's with ROCm"),
        ("mps", "Metal", "Apple's graphics processors"),
        ("cpu", "Processor", "Everywhere, slowly"),
    )
    precision: str = settings.choice(
        "Precision",
        "Bits of the numbers that are computed with",
        (AUTO, "Auto", "What suits the device"),
        ("float32", "float32", "Full precision: twice the memory"),
        ("float16", "float16", "Half precision, for older graphics cards"),
        ("bfloat16", "bfloat16", "Half precision with the range of float32"),
    )
    memory: str = settings.choice(
        "Memory",
        "How much is on the device at a time: less needs less of its memory and more time",
        (AUTO, "Auto", "As much as is free, and less if that was too much"),
        ("all", "All", "Every network, all evaluations of a step together"),
        ("pairs", "Pairs", "Every network, two evaluations at a time"),
        ("single", "Single", "Every network, one evaluation at a time"),
        ("offload", "Offload", "The network at work, one evaluation at a time"),
        ("chunked", "Chunked", "As Offload, feed-forward layers frame by frame"),
        ("sequential", "Sequential", "As Chunked, layer by layer; slowest"),
    )
    compile: bool = settings.switch(
        "Compile", "Let torch compile the network first: minutes at the start, faster afterwards", False
    )
    save_seen: bool = settings.switch(
        "Save What the Model Sees", "Keep the model's inputs as videos in the job folder", False
    )
    loras: list[dict[str, Any]] = settings.loras("LoRAs", "LoRAs that are added to the model, in turn")

    def to_json(self) -> dict[str, Any]:
        """The object that stands under SETTINGS_KEY in the settings of a job."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Any) -> PaintOptions:
        """Read a job's settings; what is missing has its default. Raises JobError that names the first wrong one."""
        problem = options_error(record)
        if problem is not None:
            raise JobError(
                f"These are no settings of the diffusion painter: {problem}.",
                advice="Correct the painter's settings and prepare the shot again.",
            )
        return cls(**record)

    def share_of_draft(self, card: model_card.ModelCard) -> float:
        """How much of the draft stays in each frame, 0 to 1: the artist's choice, or else the model's own."""
        return _chosen(self.draft_share, card.draft_share)

    def recipe(self, card: model_card.ModelCard, seed: int) -> Recipe:
        """Every choice made: the artist's, or else the model's own."""
        fused = "dual+fusion" if card.anchors == 2 else "single+fusion"
        guidance = _chosen(self.guidance, card.guidance)
        own_start = guidance if self.guidance is not None or card.guidance_start is None else card.guidance_start
        return Recipe(
            num_inference_steps=int(_chosen(self.steps, card.steps or USUAL_STEPS[self.scheduler])),
            guidance_scale=(_chosen(self.guidance_start, own_start), guidance),
            fps=_chosen(self.fps, card.fps),
            motion_bucket_id=_chosen(self.motion_bucket, card.motion_bucket),
            noise_aug_strength=_chosen(self.noise_aug, card.noise_aug),
            configuration=cast(Configuration, fused if self.anchors == AUTO else self.anchors),
            weighting=self.weighting,
            seam=SeamOptions(self.roll, self.padding, self.circular),
            seed=seed,
        )


SETTINGS = settings.table(PaintOptions)
"""Every setting by its name."""


@dataclass(frozen=True)
class SeamOptions:
    """How the seam is handled (diffusion/networks/panorama.py).

    roll: turn of the panorama between steps: "none", "quarter" of the width (Argus), "random" (PanoWan).
    padding: latent columns from beyond the seam on either side of what the VAE decodes, and more of what it encodes;
    unused if `circular`.
    circular: whether convolutions wrap.
    """

    roll: Roll = "quarter"
    padding: int = 2
    circular: bool = True

    @property
    def columns(self) -> int:
        """Latent columns the VAE's decoder is to be given on either side."""
        return 0 if self.circular else self.padding


OFF = SeamOptions(roll="none", padding=0, circular=False)
"""A model as it was published."""


@dataclass(frozen=True)
class Recipe:
    """How a clip is painted, every choice made. Names are those of diffusers' pipelines.

    num_inference_steps: denoising steps.
    guidance_scale: classifier-free guidance at the first and at the last frame of a pass, evenly in between; 1 is none.
    fps, motion_bucket_id, noise_aug_strength: what the model is told of the clip.
    configuration, weighting: which passes, and how they are fused (diffusion/clip/passes.py).
    seam: how the seam is handled. seed: 0 to 2^64 - 1.
    """

    num_inference_steps: int = 25
    guidance_scale: tuple[float, float] = (3.0, 3.0)
    fps: float = 7.0
    motion_bucket_id: float = 127.0
    noise_aug_strength: float = 0.02
    configuration: Configuration = "dual+fusion"
    weighting: Weighting = "equal"
    seam: SeamOptions = field(default_factory=SeamOptions)
    seed: int = 0

    @property
    def most_evaluations(self) -> int:
        """Evaluations of the U-Net that a step takes at most."""
        passes = 2 if self.configuration.endswith("+fusion") else 1
        return passes * (2 if max(self.guidance_scale) > 1 else 1)

    def to_json(self) -> dict[str, Any]:
        """What is written of it to `painting.json`, and decides the keys of kept clips; the names stay."""
        return {
            "steps": self.num_inference_steps,
            "guidance": list(self.guidance_scale),
            "fps": self.fps,
            "motion_bucket": self.motion_bucket_id,
            "noise_aug": self.noise_aug_strength,
            "configuration": self.configuration,
            "weighting": self.weighting,
            "handling": asdict(self.seam),
            "seed": self.seed,
        }


def options_error(value: Any) -> str | None:
    """What is wrong with the settings of a job, as a clause; None if nothing is."""
    problem = object_error(value)
    if problem is not None:
        return f"the object {problem}"
    return next((problem for name in value if (problem := setting_error(name, value[name]))), None)


def setting_error(name: str, value: Any) -> str | None:
    """Why a JSON value cannot be the setting of this name, as a clause; None if it can."""
    if name not in SETTINGS:
        return f"there is no setting {name!r}; there are: {', '.join(SETTINGS)}"
    problem = SETTINGS[name].error(value)
    return f"{name} {problem}" if problem else None


def _chosen(value: float | None, own: float) -> float:
    return float(own if value is None else value)
