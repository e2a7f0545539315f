"""The diffusion painter's settings: as a .blend keeps them, and as the backend reads them in a job.

Properties have the names of the settings in a job (core/jobs/paint_settings.py). A number below its least value stands
for the model's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ...core.jobs import model_places
from ...core.jobs.paint_settings import SETTINGS
from ...core.jobs.settings import STRONGEST_LORA, Setting
from ..translation import CONTEXT
from . import models


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
        min=-STRONGEST_LORA,
        max=STRONGEST_LORA,
        soft_min=0.0,
        soft_max=2.0,
    )


class PANTHEON360_PG_diffusion(bpy.types.PropertyGroup):
    """Settings of the diffusion painter: a property for each of core/jobs/paint_settings.py."""


def _property(name: str, setting: Setting) -> Any:
    """The Blender property of a setting."""
    about: dict[str, Any] = {
        "name": setting.label, "description": setting.description, "translation_context": CONTEXT
    }  # fmt: skip
    if name == "model":
        return StringProperty(
            **about,
            subtype="DIR_PATH",
            search=_model_names,
            search_options={"SUGGESTION"},
            options={"PATH_SUPPORTS_BLEND_RELATIVE"},
        )
    if setting.kind == "loras":
        return CollectionProperty(**about, type=PANTHEON360_PG_lora)
    if setting.kind == "bool":
        return BoolProperty(**about, default=setting.default)
    if setting.kind == "choice":
        items = [(choice.identifier, choice.label, choice.description) for choice in setting.choices]
        chosen = next(choice.identifier for choice in setting.choices if choice.value == setting.default)
        return EnumProperty(**about, items=items, default=chosen)
    least = setting.least if setting.unset is None else setting.unset
    default = least if setting.default is None else setting.default
    if setting.kind == "int":
        most, usual = int(setting.most), int(setting.usual)
        return IntProperty(**about, default=int(default), min=int(least), max=most, soft_max=usual)
    return FloatProperty(
        **about,
        default=float(default),
        min=least,
        max=setting.most,
        soft_max=setting.usual,
        step=100,
        precision=setting.digits,
    )


PANTHEON360_PG_diffusion.__annotations__ = {name: _property(name, setting) for name, setting in SETTINGS.items()}

CLASSES = (PANTHEON360_PG_lora, PANTHEON360_PG_diffusion)
"""In the order of their registration."""


def to_json(group: Any, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The object under `settings`, `diffusion` of a job. What is left to the model is not in it.

    changes: settings without paint_settings.setting_error that go before the group's; None leaves one to the model.
    """
    values = {name: _value(group, name) for name in SETTINGS} | dict(changes or {})
    return {name: _independent(name, value) for name, value in values.items() if value is not None}


def from_json(group: Any, record: Mapping[str, Any]) -> None:
    """Set the group as `to_json` read it. What the record does not have is left to the model again."""
    for name, setting in SETTINGS.items():
        if setting.kind == "loras":
            _set_loras(group, record.get(name, []))
        elif name not in record:
            group.property_unset(name)
        elif setting.kind == "choice":
            chosen = (choice.identifier for choice in setting.choices if choice.value == record[name])
            setattr(group, name, next(chosen))
        else:
            setattr(group, name, record[name])


def _set_loras(group: Any, loras: Sequence[Mapping[str, Any]]) -> None:
    group.loras.clear()
    for each in loras:
        lora = group.loras.add()
        lora.file, lora.strength = each["file"], each["strength"]


def model_of(group: Any) -> str:
    """The model as a job names it: the chosen one, or the extension's own; empty if there is neither."""
    return model_places.chosen(str(_independent("model", _value(group, "model"))))


def _value(group: Any, name: str) -> Any:
    """The setting as a job has it; None if it is left to the model."""
    value, setting = getattr(group, name), SETTINGS[name]
    if setting.unset is not None and value < setting.least:
        return None
    if setting.kind == "loras":
        return [{"file": lora.file, "strength": _decimal(lora.strength)} for lora in value if lora.file]
    if setting.kind == "choice":
        return next(choice.value for choice in setting.choices if choice.identifier == value)
    return _decimal(value) if setting.kind == "float" else value


def _independent(name: str, value: Any) -> Any:
    """A setting whose paths need neither the .blend nor a working folder to be found."""
    if name == "model":
        return models.resolved(bpy.path.abspath(value))
    if name == "loras":
        return [lora | {"file": str(Path(bpy.path.abspath(lora["file"])).absolute())} for lora in value]
    return value


def _decimal(value: float) -> float:
    """The number a person typed: Blender keeps 0.02 as the nearest of 32 bits."""
    return float(f"{value:.6g}")
