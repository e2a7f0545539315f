"""Why a button is gray, and which button helps."""

from __future__ import annotations

from dataclasses import dataclass

import bpy


@dataclass(frozen=True)
class DisabledReason:
    """What stands in the way of an operator.

    text: as the tooltip of its gray button says it, without a final period.
    repair: id of the operator that clears it away (core/repairs.py), or None.
    """

    text: str
    repair: str | None = None


def repair_label(repair: str | None) -> str:
    """What the button of a repairing operator says; empty if there is no repair, or none that is registered."""
    if not repair:
        return ""
    group, _, verb = repair.partition(".")
    kind = getattr(bpy.types, f"{group.upper()}_OT_{verb}", None)
    return kind.bl_label if kind is not None else ""
