"""The interface in German: what Blender itself says of our buttons, settings and panels once a person chose it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import bpy

EXTENSION = "bl_ext.user_default.pantheon360"
PACKAGE = f"{EXTENSION}.pantheon360_blender"


def steps(hand: Any, told: dict[str, Any]) -> Generator[float, None, None]:
    """Pictures are for eyes; what Blender answers is compared with the table."""
    view = bpy.context.preferences.view
    names = [item.identifier for item in view.bl_rna.properties["language"].enum_items]
    german = next((name for name in ("de_DE", "de") if name in names), None)
    assert german, f"this Blender has no German, but {', '.join(names)}: make its root anew (scripts/application.py)"
    view.language = german
    view.use_translate_interface = view.use_translate_tooltips = view.use_translate_reports = True
    told["language"] = german
    yield 1.0
    texts = json.loads(
        (Path(importlib.import_module(EXTENSION).__file__).parent / "ui/translations/de_DE.json").read_text()
    )
    say = bpy.app.translations.pgettext_iface
    told["by Blender itself"] = _differing(texts, say)
    assert say("Build 3D Cache", "Operator") == "3D-Cache aufbauen"
    assert say("Eye Height") == "Augenhöhe"
    assert len(told["by Blender itself"]) < len(texts) / 8
    translation = importlib.import_module(f"{PACKAGE}.scene.translation")
    assert translation.translated("{count} walls", count=4) == "4 Wände"
    assert say("Look") == "Aussehen" and translation.translated("Look") == say("Look", translation.CONTEXT) == "Blick"
    poses = bpy.context.scene.pantheon360.bl_rna.properties["reconstruction_poses"]
    assert say(poses.enum_items["SOLVE"].name, poses.translation_context) == "Berechnen"
    importlib.import_module(f"{PACKAGE}.scene.app.sidebar").open_in(hand.window)
    yield 1.0
    yield from hand.picture("empty")
    bpy.ops.pantheon360.import_captures(directory="/home/artist", files=_photographs())
    bpy.ops.pantheon360.make_proxy()
    bpy.context.scene.pantheon360.projection_width = 64
    bpy.ops.pantheon360.project_captures()
    bpy.ops.pantheon360.set_path_ends()
    bpy.context.scene.frame_end = 4
    bpy.ops.pantheon360.check_coverage()
    yield 1.0
    yield from hand.picture("work")
    bpy.ops.preferences.addon_disable(module=EXTENSION)
    yield 0.5
    assert say("Build 3D Cache", "Operator") == "Build 3D Cache", "disabling takes our texts away"


def _photographs() -> list[dict[str, str]]:
    found = [path for path in Path("/home/artist").iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    return [{"name": path.name} for path in sorted(found)[:2]]


def _differing(texts: dict[str, str], say: Any) -> dict[str, str]:
    """Where Blender's own table goes before ours: English -> what it says."""
    return {english: say(english) for english, german in texts.items() if say(english) != german}
