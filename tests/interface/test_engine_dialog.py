"""The dialog of Install Engine: the plan, and leave to use the network asked for where it is missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.interface.conftest import House, Layout


@pytest.mark.parametrize(("wheels", "asked"), [("", True), ("/packages", False)])
def test_leave_to_use_the_network_is_asked_for_if_it_is_needed(
    wheels: str, asked: bool, house: House, blend: Any
) -> None:
    import bpy

    if bpy.app.online_access or bpy.app.online_access_override:
        pytest.skip("this Blender may use the network, or was told not to")
    operator = house("operators.install_engine").PANTHEON360_OT_install_engine
    dialog = SimpleNamespace(layout=Layout(), bl_rna=bpy.ops.pantheon360.install_engine.get_rna_type(), wheels=wheels)
    dialog._plan, dialog._online, dialog._planned = "of old", True, lambda: "The plan"
    operator.draw(dialog, bpy.context)
    assert ("use_online_access" in dialog.layout.shown) == asked
    assert "The plan" in dialog.layout.labels, "made anew when the leave was given or taken"
    assert {"reconstruction", "importers", "diffusion", "learned", "wheels", "python"} <= set(dialog.layout.shown)
