"""The models of this person in the preferences: what each is, whether it is whole, what it takes; add and check."""

from __future__ import annotations

from typing import Any

from ..pantheon360_blender.scene.app import jobs, preferences
from ..pantheon360_blender.scene.background import measured
from ..pantheon360_blender.scene.shot import models
from ..pantheon360_blender.scene.translation import translated
from .job_state import draw_outcome, draw_running
from .text_lines import paragraph


def draw(layout: Any, context: Any) -> None:
    """The last outcomes of the preferences' own work, its progress, and the list."""
    layout.use_property_split = False
    for stage in ("engine", "models"):
        draw_outcome(layout, None, stage)
    if jobs.running():
        draw_running(layout, context.window_manager.pantheon360)
    box = layout.box()
    box.label(text="Models", icon="ASSET_MANAGER")
    for model in models.stored():
        _draw_model(box.column(align=True), model)
    box.operator("pantheon360.add_model", icon="IMPORT")


def _draw_model(layout: Any, model: models.StoredModel) -> None:
    row = layout.row(align=True)
    row.label(text=_title(model), icon=_icon(model))
    row.operator("pantheon360.check_model", text="Check", icon="FILE_REFRESH").model = model.name
    for text in (_facts(model), _state(model), measured.text_of(model)):
        paragraph(layout, text, icon="BLANK1")


def _title(model: models.StoredModel) -> str:
    """Its name in the store, and what its card calls it if that is another."""
    label = model.card.label if model.card is not None else model.name
    return label if label.startswith(model.name) else f"{model.name}: {label}"


def _icon(model: models.StoredModel) -> str:
    if model.state is None:
        return "QUESTION"
    return "CANCEL" if model.state.problem else "CHECKMARK"


def _facts(model: models.StoredModel) -> str:
    """Size of what it paints, size of its weights, licence."""
    known = model.state is not None and model.state.bytes
    size = f"{model.state.bytes / 1e6:,.0f} MB" if model.state and known else translated("size unknown")
    if model.card is None:
        return translated("{size}; no model card tells its license", size=size)
    card = model.card
    return translated(
        "{width} x {height}, {frames} frames; {size}; license: {license}",
        width=card.width, height=card.height, frames=card.frames, size=size,
        license=card.licence or translated("unknown"),
    )  # fmt: skip


def _state(model: models.StoredModel) -> str:
    if model.state is None:
        return translated("Comes with the extension" if model.shipped else "Not checked yet")
    return model.state.problem or translated("Whole, checked {day}", day=model.state.checked[:10])


def register() -> None:
    preferences.sections.append(draw)


def unregister() -> None:
    preferences.sections.remove(draw)
