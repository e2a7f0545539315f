"""A layout that stands for Blender's, and what draws panels into it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

House = Callable[[str], ModuleType]


class Layout:
    """Stands for Blender's layout, which exists only while a window draws: notes what is shown, refuses what is not."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.labels: list[str] = []

    def _part(self, **_: Any) -> Layout:
        return self

    row = column = box = _part

    def separator(self) -> None:
        pass

    def label(self, *, text: str, icon: str = "NONE") -> None:
        self.labels.append(text)

    def prop(self, data: Any, name: str, **_: Any) -> None:
        assert name in data.bl_rna.properties, f"{data} has no {name}"
        self.shown.append(name)

    template_ID = prop  # noqa: N815

    def prop_enum(self, data: Any, name: str, value: str, **_: Any) -> None:
        assert value in data.bl_rna.properties[name].enum_items
        self.shown.append(value)

    def operator(self, name: str, **_: Any) -> Any:
        import bpy

        group, _, verb = name.partition(".")
        getattr(getattr(bpy.ops, group), verb).get_rna_type()
        self.shown.append(name)
        return SimpleNamespace()

    def operator_menu_enum(self, name: str, choice: str, **_: Any) -> None:
        import bpy

        group, _, verb = name.partition(".")
        assert getattr(getattr(bpy.ops, group), verb).get_rna_type().properties[choice].enum_items
        self.shown.append(f"{name}:{choice}")

    def menu(self, name: str, **_: Any) -> None:
        import bpy

        getattr(bpy.types, name).draw(SimpleNamespace(layout=Layout()), bpy.context)  # what it holds must be there
        self.shown.append(name)

    def template_icon(self, *, icon_value: int, scale: float) -> None:
        assert icon_value > 0 and scale > 0
        self.shown.append("preview")

    def progress(self, *, factor: float, text: str) -> None:
        assert 0 <= factor <= 1
        self.labels.append(text)


@pytest.fixture
def draw(house: House, blend: Any) -> Callable[..., Layout]:
    """Draw every panel of the sidebar, or of the sequencer, into one layout."""
    import bpy

    def run(space_type: str = "VIEW_3D", room: str = "ui.panel", **also: Any) -> Layout:
        layout = Layout()
        context = SimpleNamespace(
            scene=blend,
            object=bpy.context.view_layer.objects.active,
            window_manager=bpy.context.window_manager,
            space_data=SimpleNamespace(shading=blend.display.shading),  # solid, as in a new file
            **also,
        )
        for panel in house(room).CLASSES:
            poll = getattr(panel, "poll", None)
            if panel.bl_space_type == space_type and (poll is None or "poll" not in vars(panel) or poll(context)):
                panel.draw(SimpleNamespace(layout=layout), context)
        return layout

    return run
