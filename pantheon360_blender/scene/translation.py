"""Texts in the language of Blender's interface.

Blender itself translates labels and tooltips, and what panels draw as it stands in the tables of `ui/translations`.
What is put together from a template and values goes through `translated`, and so does what is wrapped or reported.
"""

from __future__ import annotations

from typing import Any

import bpy

from ..core.plain_text import Filled

CONTEXT = "Pantheon360"
"""Of Blender's look-ups, where our tables alone are asked: Blender's own take "Look" for how something looks."""


def translated(text: str, /, **values: object) -> str:
    """A text as this Blender's interface says it; as it is if no table has it.

    text: in English; a Filled; or a template for the values, as of core.plain_text.filled, written out at the call.
    """
    if isinstance(text, Filled):
        return translated(text.template, **text.values)
    told = _in_language(text)
    said = {name: translated(value) if isinstance(value, Filled) else value for name, value in values.items()}
    return told.format_map(said) if said else told


def _in_language(text: str) -> str:
    """As our tables have it, else as Blender's do; its answer to an empty text would be the head of a table."""
    translations: Any = bpy.app.translations
    ours = str(translations.pgettext_iface(text, CONTEXT)) if text else ""
    return ours if ours != text or not text else str(translations.pgettext_iface(text))
