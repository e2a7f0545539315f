"""The painters an artist can choose: what each still needs before it can begin, and its settings in a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bpy

from ...core import repairs
from ...core.errors import JobError
from ...core.jobs import model_places, paint_settings
from ...core.plain_text import filled
from ..app import access, plugin_items, preferences
from ..app.disabled_reason import DisabledReason
from . import diffusion_settings, models

DIFFUSION = paint_settings.SETTINGS_KEY
"""The diffusion painter's name in a job, and of its settings there."""


def disabled_reason(scene: bpy.types.Scene, *, preparing: bool = False) -> DisabledReason | None:
    """Why the scene's painter cannot paint on this computer; None if it can. Cheap enough for a button.

    preparing: only what keeps a shot from being prepared for it: another computer may paint it.
    """
    chosen = access.of_scene(scene)
    if str(chosen.painter).lower() != DIFFUSION:
        return None
    model = diffusion_settings.model_of(chosen.diffusion)
    if not model:
        return DisabledReason(
            "Name the diffusion painter's model first", None if models.stored() else repairs.ADD_MODEL
        )
    if preparing:
        return None
    if preferences.backend_python() is None:
        return DisabledReason("Install the engine's part Diffusion first: it has torch", repairs.INSTALL_ENGINE)
    if models.find(model) is None and not model_places.is_hub_id(model):
        return DisabledReason(filled("There is no model {name}; add it first", name=model), repairs.ADD_MODEL)
    return None


def packages(painter: str) -> dict[str, str]:
    """Module -> package of what a painter needs beyond numpy; of an unknown painter nothing is known."""
    plugin = plugin_items.painter_plugins().get(painter)
    return {need.module: need.package for need in plugin.needs} if plugin else {}


def settings(scene: bpy.types.Scene, painter: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A painter's part of a job's settings: {"diffusion": {...}}, or {} of one without settings.

    painter: its name in a job. changes: settings that go before the scene's; None leaves one to the model.
    Raises JobError if there is no such painter, it has no such settings, or no model is named.
    """
    changes = changes or {}
    known = plugin_items.painter_plugins()
    if painter not in known:
        raise JobError(f"There is no painter {painter!r}.", advice=f"Choose one of: {', '.join(known)}.")
    if known[painter].settings != DIFFUSION:
        if changes:
            raise JobError(
                f"{', '.join(changes)}: these are settings of the diffusion painter, and the painter is {painter}.",
                advice="Choose the diffusion painter, or leave them away.",
            )
        return {}
    for name, value in changes.items():
        if problem := paint_settings.setting_error(name, value):
            raise JobError(f"The diffusion painter's settings are wrong: {problem}.")
    chosen = diffusion_settings.to_json(access.of_scene(scene).diffusion, changes)
    chosen["model"] = model_places.chosen(chosen["model"])
    if not chosen["model"]:
        raise JobError(
            "The diffusion painter has no model to paint with.",
            advice=f"Name one; if there is none yet, add it with: {models.HOW_TO_ADD} FOLDER_OR_HUB_ID",
            code="no-model",
        )
    return {DIFFUSION: chosen}
