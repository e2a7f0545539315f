"""The add-on's preferences: what belongs to this machine rather than to a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
from bpy.props import EnumProperty, StringProperty

from ...core import repairs
from ...core.engine import installed, parts
from ..translation import translated

ROOT_PACKAGE = __package__.rsplit(".", 3)[0] if __package__ else ""
"""The extension's own package (`bl_ext.<repository>.pantheon360`): what Blender knows the add-on by."""

PYTHON_VARIABLE = "PANTHEON360_BACKEND_PYTHON"
"""Environment variable that names the backend's Python and goes before the preference: for farms and tests."""

ENGINE_VARIABLE = "PANTHEON360_ENGINE"
"""Environment variable that names the folder of engines: for farms and tests."""

WHEN_QUITTING = (
    ("GO_ON", "Go On", "A process of its own finishes them; they are delivered the next time"),
    ("PAUSE", "Pause", "They stop; what is finished is kept, and they are offered the next time"),
)
"""What may become of jobs when Blender quits."""


sections: list[Callable[[Any, bpy.types.Context], None]] = []
"""What draws further parts of the preferences, each into a layout of its own: whoever stands above puts it here."""


class PANTHEON360_AP_preferences(bpy.types.AddonPreferences):
    """Where the backend's Python is, and where shots go."""

    bl_idname = ROOT_PACKAGE

    backend_python: StringProperty(  # type: ignore[valid-type]
        name="Backend Python",
        description=(
            "Python that runs the backend; empty is Blender's own, which is enough for the draft painter, while "
            "building a 3D cache needs one with numba, scipy and pycolmap"
        ),
        default="",
        subtype="FILE_PATH",
    )
    jobs_folder: StringProperty(  # type: ignore[valid-type]
        name="Jobs Folder",
        description="Where shots of unsaved files are written; empty is the extension's folder for user data",
        default="",
        subtype="DIR_PATH",
    )

    when_quitting: EnumProperty(  # type: ignore[valid-type]
        name="Jobs When Quitting",
        description="What becomes of jobs that are at work or wait when Blender quits",
        items=WHEN_QUITTING,
        default="GO_ON",
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        _draw_engine(layout)
        for section in sections:
            section(layout.column(), context)
        layout.prop(self, "backend_python", text="Use This Python Instead", placeholder="The engine, or Blender's")
        layout.prop(self, "jobs_folder", placeholder="Extension's user folder")
        layout.prop(self, "when_quitting")


def _draw_engine(layout: Any) -> None:
    """What is installed of the engine, and the buttons that change it."""
    box = layout.box()
    engine = installed.current(engine_root())
    there = engine.parts if engine is not None else []
    for part in parts.PARTS.values():
        icon = "CHECKMARK" if part.name in there else "X"
        box.label(text=f"{translated(part.title)}: {translated(part.enables)}", icon=icon)
    row = box.row()
    row.operator(repairs.INSTALL_ENGINE, text="Add Parts" if there else "Install Engine", icon="IMPORT")
    row.operator("pantheon360.test_engine", icon="CHECKMARK")
    row.operator("pantheon360.remove_engine", icon="TRASH")


def of_addon(context: bpy.types.Context | None = None) -> Any:
    """This add-on's PANTHEON360_AP_preferences, or None while it is not enabled (scripts, tests)."""
    preferences = (context or bpy.context).preferences
    addon = preferences.addons.get(ROOT_PACKAGE) if preferences else None
    return addon.preferences if addon else None


def backend_python(context: bpy.types.Context | None = None) -> Path | None:
    """The Python that runs the backend: by the environment variable, else as the preferences say, else that of the
    engine that was installed; None: Blender's."""
    if text := chosen_python(context):
        return Path(bpy.path.abspath(text))
    engine = installed.current(engine_root())
    return engine.interpreter(engine_root()) if engine is not None else None


def chosen_python(context: bpy.types.Context | None = None) -> str:
    """The Python that a person named, in the environment or the preferences: it goes before an engine. Or empty."""
    addon = of_addon(context)
    return os.environ.get(PYTHON_VARIABLE, "").strip() or (str(addon.backend_python).strip() if addon else "")


def is_online() -> bool:
    """Whether Blender may use the network."""
    app: Any = bpy.app
    return bool(app.online_access)


def engine_root() -> Path:
    """The folder of engines: in the extension's folder for user data, which updates leave alone. It may not exist."""
    if told := os.environ.get(ENGINE_VARIABLE, "").strip():
        return Path(told)
    return Path(bpy.utils.extension_path_user(ROOT_PACKAGE, path="engine"))


def register() -> None:
    bpy.utils.register_class(PANTHEON360_AP_preferences)


def unregister() -> None:
    bpy.utils.unregister_class(PANTHEON360_AP_preferences)
