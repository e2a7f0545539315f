"""The scene's view transform: captures and frames are display colours, which all but the plain one would change."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import bpy

from ...core.plain_text import filled

PLAIN = "Standard"


def is_plain(scene: bpy.types.Scene) -> bool:
    """Whether rendered pictures show the captures' own colours."""
    view = _settings(scene)
    neutral = (view.look in {"None", ""}, view.exposure == 0.0, view.gamma == 1.0, not view.use_curve_mapping)
    return bool(view.view_transform == PLAIN and all(neutral))


def name(scene: bpy.types.Scene) -> str:
    """What the artist finds in Color Management, with what is done on top of it."""
    view = _settings(scene)
    extra = [] if view.look in {"None", ""} else [view.look]
    extra += [f"exposure {view.exposure:g}"] if view.exposure else []
    extra += [f"gamma {view.gamma:g}"] if view.gamma != 1.0 else []
    extra += ["curves"] if view.use_curve_mapping else []
    return " with ".join([view.view_transform, ", ".join(extra)]) if extra else str(view.view_transform)


def make_plain(scene: bpy.types.Scene) -> str:
    """Choose the plain view transform. Returns a sentence on what it was before, empty if nothing had to be done."""
    if is_plain(scene):
        return ""
    before, view = name(scene), _settings(scene)
    with suppress(TypeError):  # an OpenColorIO configuration of the studio may have no view of that name
        view.view_transform = PLAIN
    with suppress(TypeError):
        view.look = "None"
    view.exposure, view.gamma, view.use_curve_mapping = 0.0, 1.0, False
    if not is_plain(scene):
        return filled(
            "The view transform {name} changes the captures' colors in pictures and on screen, not in OpenEXR: "
            "this color configuration has no {plain}.",
            name=name(scene), plain=PLAIN,
        )  # fmt: skip
    return filled(
        "The view transform is {name} now, so that captures keep their colors; it was {before}.",
        name=PLAIN, before=before,
    )  # fmt: skip


def warning(scene: bpy.types.Scene) -> str:
    """What a view transform does that is not plain."""
    return filled(
        "The view transform {name} changes the captures' colors in pictures and on screen, not in OpenEXR. "
        "Set Up Rendering chooses Standard.",
        name=name(scene),
    )


def _settings(scene: bpy.types.Scene) -> Any:
    image: Any = scene.render.image_settings
    return image.view_settings if image.color_management == "OVERRIDE" else scene.view_settings
