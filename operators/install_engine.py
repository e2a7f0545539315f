"""The engine from Blender: Install Engine, Test Engine, Remove Engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, StringProperty

from ..pantheon360_blender.core.engine import parts
from ..pantheon360_blender.core.errors import PantheonError
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene.app import engine, preferences
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.sources import reconstruct
from ..pantheon360_blender.scene.translation import CONTEXT, translated
from . import base
from .base import JobOperator


def _part(name: str, *, default: bool) -> Any:
    part = parts.PARTS[name]
    return BoolProperty(name=part.title, description=part.enables, default=default, translation_context=CONTEXT)


class PANTHEON360_OT_install_engine(JobOperator):
    """Give the backend a Python of its own with the packages it needs, in a folder of yours, not in Blender's"""

    bl_idname = "pantheon360.install_engine"
    bl_label = "Install Engine"
    stage = "engine"
    changes_data = False
    left = "What was downloaded is kept: installing again goes on from there."
    _plan = ""
    _online = False
    """Whether Blender might use the network when the plan was made."""

    reconstruction: _part("reconstruction", default=True)  # type: ignore[valid-type]
    importers: _part("importers", default=True)  # type: ignore[valid-type]
    diffusion: _part("diffusion", default=False)  # type: ignore[valid-type]
    learned: _part("learned", default=False)  # type: ignore[valid-type]
    wheels: StringProperty(  # type: ignore[valid-type]
        name="Packages",
        description="Folder of packages for a computer without a network, as `engine download` makes it elsewhere; "
        "empty downloads them",
        default="",
        subtype="DIR_PATH",
    )
    python: StringProperty(  # type: ignore[valid-type]
        name="Python",
        description="Python 3.11 to 3.14 that the engine is made with; empty is the one that Blender brings, or one "
        "that is fetched if that does not fit",
        default="",
        subtype="FILE_PATH",
    )

    def invoke(self, context: Any, _event: bpy.types.Event) -> set[Any]:
        if not self.properties.is_property_set("diffusion"):
            self.diffusion = context.scene is not None and context.scene.pantheon360.painter == "DIFFUSION"
        if not self.properties.is_property_set("learned"):
            self.learned = context.scene is not None and reconstruct.settings_of(context.scene).learned != ""
        self._plan = self._planned()
        return context.window_manager.invoke_props_dialog(  # type: ignore[no-any-return]
            self, width=base.DIALOG, confirm_text="Install"
        )

    def check(self, _context: Any) -> bool:
        """Blender asks this when something in the dialog was changed: whether to draw it anew."""
        self._plan = self._planned()
        return True

    def draw(self, context: Any) -> None:
        layout: Any = self.layout
        app: Any = bpy.app
        if self._online != preferences.is_online():
            self._plan = self._planned()
        there = engine.with_parts_there([])
        for part in parts.PARTS.values():
            row = layout.row()
            row.enabled = part.name not in there
            row.prop(self, part.name, text=part.title)
            base.dialog_text(layout, part.enables, icon="BLANK1").active = False
        layout.separator()
        column = layout.column()
        column.use_property_split = True
        column.prop(self, "wheels", placeholder="From the network")
        column.prop(self, "python", placeholder="Blender's own")
        if not self.wheels.strip() and not preferences.is_online() and not app.online_access_override:
            column.prop(context.preferences.system, "use_online_access", text="Allow Online Access")
        base.dialog_text(layout, self._plan)

    def execute(self, context: Any) -> set[Any]:
        return self.start(context)

    def job(self, _context: Any) -> Job[Any]:
        return engine.install_parts(self._flight())

    def finished(self, _context: Any, result: Any) -> None:
        titles = ", ".join(translated(parts.PARTS[name].title) for name in result.parts)
        self.tell("INFO", translated("The engine is installed: {parts}", parts=titles))

    def _flight(self) -> Any:
        names = engine.with_parts_there([name for name in parts.PARTS if getattr(self, name)])
        return engine.check(names, python=self._folder(self.python), wheels=self._folder(self.wheels))

    def _planned(self) -> str:
        """What installing will do, or why it cannot: asking Python and the driver takes a moment."""
        self._online = preferences.is_online()
        try:
            return translated(self._flight().text)
        except PantheonError as error:
            return str(error)

    @staticmethod
    def _folder(text: str) -> Path | None:
        return Path(bpy.path.abspath(text.strip())) if text.strip() else None


class _OfEngine(JobOperator):
    """What is done with the engine that is installed."""

    stage = "engine"
    changes_data = False

    @classmethod
    def disabled_reason(cls, _context: Any) -> DisabledReason | None:
        return None if engine.current() is not None else DisabledReason("No engine is installed")


class PANTHEON360_OT_test_engine(_OfEngine):
    """Have the engine reconstruct two small panoramas, and paint with a tiny model, which takes a minute or two"""

    bl_idname = "pantheon360.test_engine"
    bl_label = "Test Engine"
    left = "Nothing was changed."

    def job(self, _context: Any) -> Job[Any]:
        return engine.self_test()

    def finished(self, _context: Any, result: Any) -> None:
        titles = ", ".join(translated(part.title) for part in parts.PARTS.values() if part.name in result)
        self.tell("INFO", translated("The engine works: {parts}", parts=titles))


class PANTHEON360_OT_remove_engine(_OfEngine):
    """Remove the engine and everything that was downloaded for it"""

    bl_idname = "pantheon360.remove_engine"
    bl_label = "Remove Engine"
    left = "What is removed is gone: install it again."

    def invoke(self, context: Any, event: bpy.types.Event) -> set[Any]:
        return context.window_manager.invoke_confirm(self, event)  # type: ignore[no-any-return]

    def execute(self, context: Any) -> set[Any]:
        return self.start(context)

    def job(self, _context: Any) -> Job[Any]:
        return engine.remove()

    def finished(self, _context: Any, result: Any) -> None:
        self.tell("INFO", translated("{size:.0f} MB are free again", size=result / 1e6))


register, unregister = base.registration(
    PANTHEON360_OT_install_engine, PANTHEON360_OT_test_engine, PANTHEON360_OT_remove_engine
)
