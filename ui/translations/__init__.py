"""The interface in other languages, through bpy.app.translations: a file a language, `de_DE.json` German.

A file has the English text -> the translation, in the order of the English. A text has one translation, whether it is a
button or a label. Where Blender's own tables know a label, theirs is shown, but for what asks in CONTEXT.
tests/interface/test_translations.py prints what a language lacks, as lines to be filled in, and what is left over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ...pantheon360_blender.core import inputs
from ...pantheon360_blender.scene.translation import CONTEXT

CONTEXTS = ("*", "Operator", CONTEXT)
"""Where Blender looks: for labels, tooltips and settings; for what buttons of operators say; for ours alone."""
_MOST = 1 << 20
"""Bytes of a language's file."""


def languages() -> dict[str, dict[str, str]]:
    """Blender's name of each language -> English -> translation."""
    paths = sorted(Path(__file__).parent.glob("*.json"))
    return {path.stem: inputs.read_json(path, _MOST) for path in paths}


def tables() -> dict[str, dict[tuple[str, str], str]]:
    """As Blender takes them: language -> (context, English) -> translation."""
    return {
        language: {(context, english): text for english, text in texts.items() for context in CONTEXTS}
        for language, texts in languages().items()
    }


def register() -> None:
    translations: Any = bpy.app.translations
    translations.register(__name__, tables())


def unregister() -> None:
    bpy.app.translations.unregister(__name__)
