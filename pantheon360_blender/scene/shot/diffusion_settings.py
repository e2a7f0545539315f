"""The diffusion painter's settings: as a .blend keeps them, and as the backend reads them in a job.

Properties have the names of the settings in a job (core/jobs/paint_settings.py). A number below its least value stands
for the model's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ...core.jobs import json_values
from . import models

OWN = {"steps": 1, "guidance": 1, "guidance_start": 1, "fps": 1, "motion_bucket": 0, "noise_aug": 0, "clip": 2}
"""Settings that may be left to the model -> the least value that is one."""

_SPELLED = {
    "SINGLE_FUSION": "single+fusion",
    "DUAL_FUSION": "dual+fusion",
    "EULER_ALIGNED": "euler-aligned",
    "DPM": "dpm++2m",
}
"""Items of enums that the backend spells otherwise than in lower case."""


def _model_names(_group: Any, _context: bpy.types.Context, _typed: str) -> list[tuple[str, str]]:
    return [(model.name, model.card.label if model.card else "") for model in models.stored()]


class PANTHEON360_PG_lora(bpy.types.PropertyGroup):
    """A LoRA that is added to the model."""

    file: StringProperty(  # type: ignore[valid-type]
        name="File",
        description="Safetensors file of a LoRA for the model's U-Net",
        default="",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    strength: FloatProperty(  # type: ignore[valid-type]
        name="Strength",
        description="How much of it is added; 0 is nothing",
        default=1.0,
        soft_min=0.0,
        soft_max=2.0,
    )


class PANTHEON360_PG_diffusion(bpy.types.PropertyGroup):
    """Settings of the diffusion painter."""

    model: StringProperty(  # type: ignore[valid-type]
        name="Model",
        description="Name of a model that was added, a folder with one, or its id on the Hugging Face hub where it "
        "was downloaded before",
        default="",
        subtype="DIR_PATH",
        search=_model_names,
        search_options={"SUGGESTION"},
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    steps: IntProperty(  # type: ignore[valid-type]
        name="Steps",
        description="Denoising steps; time grows with them. 0 is as many as the scheduler usually takes",
        default=0,
        min=0,
        max=1000,
        soft_max=50,
    )
    guidance: FloatProperty(  # type: ignore[valid-type]
        name="Guidance",
        description="How strongly the captures steer the painting (classifier-free guidance); 1 is none and takes "
        "half the time, below 1 it is the model's own",
        default=0.0,
        min=0.0,
        max=100.0,
        soft_max=10.0,
        step=100,
    )
    anchors: EnumProperty(  # type: ignore[valid-type]
        name="Anchors",
        description="Which captures a clip that has one at both ends is painted from, and in which direction",
        items=[
            ("AUTO", "Auto", "Both ends where the model knows both, and both directions fused"),
            ("DUAL_FUSION", "Both Ends, Fused", "Forwards and backwards, each from both ends, and fused"),
            ("DUAL", "Both Ends", "Once, forwards, from both ends"),
            ("SINGLE_FUSION", "One End Each, Fused", "Forwards from the start, backwards from the end, and fused"),
            ("SINGLE", "Start", "Once, forwards, from the start alone"),
        ],
        default="AUTO",
    )
    # Panorama
    weighting: EnumProperty(  # type: ignore[valid-type]
        name="Fusion",
        description="How the two directions are fused",
        items=[
            ("EQUAL", "Equal", "Half of each at every frame"),
            ("LINEAR", "Linear", "Each direction counts more near the end it began at"),
        ],
        default="EQUAL",
    )
    roll: EnumProperty(  # type: ignore[valid-type]
        name="Roll",
        description="How far the panorama is turned between steps, so that its seam is nowhere for long",
        items=[
            ("NONE", "None", "Not at all"),
            ("QUARTER", "Quarter", "By a quarter of the width"),
            ("RANDOM", "Random", "By a random part of the width"),
        ],
        default="QUARTER",
    )
    circular: BoolProperty(  # type: ignore[valid-type]
        name="Circular",
        description="Let the networks' convolutions wrap across the seam",
        default=True,
    )
    padding: IntProperty(  # type: ignore[valid-type]
        name="Padding",
        description="Columns from beyond the seam, of 8 pixels each, that are encoded and decoded with each panorama "
        "where convolutions are not circular",
        default=2,
        min=0,
        max=64,
        soft_max=16,
    )
    # Sampling
    scheduler: EnumProperty(  # type: ignore[valid-type]
        name="Scheduler",
        description="How noise becomes a picture",
        items=[
            ("EULER", "Euler", "As Stable Video Diffusion was made for; 25 steps are usual"),
            ("EULER_ALIGNED", "Euler, Aligned Steps", "Steps optimised for Stable Video Diffusion; 10 are usual"),
            ("DPM", "DPM-Solver++", "Of second order, about as good as Euler in half the steps; 13 are usual"),
        ],
        default="EULER",
    )
    guidance_start: FloatProperty(  # type: ignore[valid-type]
        name="Start Guidance",
        description="Guidance where a clip begins, rising or falling evenly from there; below 1 it is the same "
        "everywhere",
        default=0.0,
        min=0.0,
        max=100.0,
        soft_max=10.0,
        step=100,
    )
    fps: FloatProperty(  # type: ignore[valid-type]
        name="Frame Rate",
        description="Frames a second that the model is told, whatever the shot's are; below 1 the model's own",
        default=0.0,
        min=0.0,
        max=240.0,
        soft_max=30.0,
        step=100,
    )
    motion_bucket: IntProperty(  # type: ignore[valid-type]
        name="Motion Bucket",
        description="How much motion the model is told there is; -1 is the model's own",
        default=-1,
        min=-1,
        max=1000,
        soft_max=255,
    )
    noise_aug: FloatProperty(  # type: ignore[valid-type]
        name="Noise Augmentation",
        description="Noise added to the captures: more leaves the model more freedom; below 0 it is the model's own",
        default=-1.0,
        min=-1.0,
        max=10.0,
        soft_max=1.0,
        precision=3,
    )
    # Clips
    every: IntProperty(  # type: ignore[valid-type]
        name="Paint Every",
        description="Paint every n-th frame; those between are warped from their neighbours",
        default=1,
        min=1,
        max=1000,
        soft_max=10,
    )
    clip: IntProperty(  # type: ignore[valid-type]
        name="Clip",
        description="Frames that are painted together; below 2 as many as the model was made for",
        default=0,
        min=0,
        max=1000,
        soft_max=50,
    )
    overlap: IntProperty(  # type: ignore[valid-type]
        name="Overlap",
        description="Frames that a clip shares with the one before it where no capture parts them",
        default=5,
        min=1,
        max=1000,
        soft_max=12,
    )
    # Device
    device: EnumProperty(  # type: ignore[valid-type]
        name="Device",
        description="What computes",
        items=[
            ("AUTO", "Auto", "The fastest there is"),
            ("CUDA", "CUDA", "NVIDIA's graphics cards, and AMD's with ROCm"),
            ("MPS", "Metal", "Apple's graphics processors"),
            ("CPU", "Processor", "Everywhere, slowly"),
        ],
        default="AUTO",
    )
    precision: EnumProperty(  # type: ignore[valid-type]
        name="Precision",
        description="Bits of the numbers that are computed with",
        items=[
            ("AUTO", "Auto", "What suits the device"),
            ("FLOAT32", "float32", "Full precision: twice the memory"),
            ("FLOAT16", "float16", "Half precision, for older graphics cards"),
            ("BFLOAT16", "bfloat16", "Half precision with the range of float32"),
        ],
        default="AUTO",
    )
    memory: EnumProperty(  # type: ignore[valid-type]
        name="Memory",
        description="How much is on the device at a time: less needs less of its memory and more time",
        items=[
            ("AUTO", "Auto", "As much as is free, and less where that was too much"),
            ("ALL", "All", "Every network, all evaluations of a step together"),
            ("PAIRS", "Pairs", "Every network, two evaluations at a time"),
            ("SINGLE", "Single", "Every network, one evaluation at a time"),
            ("OFFLOAD", "Offload", "The network at work, one evaluation at a time"),
            ("CHUNKED", "Chunked", "As Offload, feed-forward layers frame by frame"),
            ("SEQUENTIAL", "Sequential", "As Chunked, layer by layer; slowest"),
        ],
        default="AUTO",
    )
    compile: BoolProperty(  # type: ignore[valid-type]
        name="Compile",
        description="Let torch compile the network first: minutes at the start, faster afterwards",
        default=False,
    )
    save_seen: BoolProperty(  # type: ignore[valid-type]
        name="Save What the Model Sees",
        description="Keep the model's inputs as videos in the job folder",
        default=False,
    )
    loras: CollectionProperty(  # type: ignore[valid-type]
        name="LoRAs", description="LoRAs that are added to the model, in turn", type=PANTHEON360_PG_lora
    )


CLASSES = (PANTHEON360_PG_lora, PANTHEON360_PG_diffusion)
"""In the order of their registration."""

SETTINGS = tuple(PANTHEON360_PG_diffusion.__annotations__)
"""Names of the settings."""


def to_json(group: Any, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The object under `settings`, `diffusion` of a job. What is left to the model is not in it.

    changes: settings without `setting_error` that go before the group's; None leaves one to the model.
    """
    values = {name: _value(group, name) for name in SETTINGS} | dict(changes or {})
    return {name: _independent(name, value) for name, value in values.items() if value is not None}


def model_of(group: Any) -> str:
    """The model as a job names it; empty where none is named."""
    return str(_independent("model", _value(group, "model")))


def setting_error(name: str, value: Any) -> str | None:
    """Why a JSON value cannot be the setting of this name, which may be none; None where it can."""
    if name not in SETTINGS:
        return f"there is no setting {name!r}; there are: {', '.join(SETTINGS)}"
    if name in OWN and value is None:
        return None
    described = PANTHEON360_PG_diffusion.bl_rna.properties[name]
    problem = _CHECKS[described.type](described, value)
    return f"{name} {problem}" if problem else None


def _value(group: Any, name: str) -> Any:
    value = getattr(group, name)
    kind = group.bl_rna.properties[name].type
    if name in OWN and value < OWN[name]:
        return None
    if kind == "COLLECTION":
        return [{"file": lora.file, "strength": _decimal(lora.strength)} for lora in value if lora.file]
    if kind == "ENUM":
        return _spelled(value)
    return _decimal(value) if kind == "FLOAT" else value


def _independent(name: str, value: Any) -> Any:
    """A setting whose paths need neither the .blend nor a working folder to be found."""
    if name == "model":
        return models.resolved(bpy.path.abspath(value))
    if name == "loras":
        return [lora | {"file": str(Path(bpy.path.abspath(lora["file"])).absolute())} for lora in value]
    return value


def _spelled(item: str) -> str:
    return _SPELLED.get(item, item.lower())


def _decimal(value: float) -> float:
    """The number a person typed: Blender keeps 0.02 as the nearest of 32 bits."""
    return float(f"{value:.6g}")


def _number_error(described: Any, value: Any) -> str | None:
    least, most = OWN.get(described.identifier, described.hard_min), described.hard_max
    whole = described.type == "INT"
    fits = json_values.is_integer(value) if whole else json_values.is_number(value)
    what = "whole number" if whole else "number"
    return None if fits and least <= value <= most else f"is not a {what} from {least:g} to {most:g}"


def _enum_error(described: Any, value: Any) -> str | None:
    choices = [_spelled(item.identifier) for item in described.enum_items]
    return None if value in choices else f"is not one of: {', '.join(choices)}"


def _text_error(_described: Any, value: Any) -> str | None:
    return None if isinstance(value, str) and json_values.is_unicode(value) else "is not a text"


def _switch_error(_described: Any, value: Any) -> str | None:
    return None if isinstance(value, bool) else "is neither true nor false"


def _loras_error(_described: Any, value: Any) -> str | None:
    wanted = 'is not a list of {"file": PATH, "strength": NUMBER}'
    if not isinstance(value, list):
        return wanted
    for lora in value:
        if not isinstance(lora, dict) or lora.keys() != {"file", "strength"}:
            return wanted
        if not isinstance(lora["file"], str) or not lora["file"] or not json_values.is_number(lora["strength"]):
            return wanted
    return None


_CHECKS = {
    "INT": _number_error,
    "FLOAT": _number_error,
    "ENUM": _enum_error,
    "STRING": _text_error,
    "BOOLEAN": _switch_error,
    "COLLECTION": _loras_error,
}
"""Type of a property -> what is wrong with a JSON value for it."""
