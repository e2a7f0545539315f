"""The add-on's preferences: what belongs to this machine rather than to a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bpy
from bpy.props import StringProperty

from ...core.jobs import requirements

ROOT_PACKAGE = __package__.rsplit(".", 3)[0] if __package__ else ""
"""The extension's own package (`bl_ext.<repository>.pantheon360`): what Blender knows the add-on by."""

PYTHON_VARIABLE = "PANTHEON360_BACKEND_PYTHON"
"""Environment variable that names the backend's Python and goes before the preference: for farms and tests."""

_RECONSTRUCTION = sorted(set(requirements.packages(list(requirements.STAGES)).values()))


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

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "backend_python", placeholder="Blender's own Python")
        column = layout.column(align=True)
        column.label(text="Building a 3D cache needs a Python 3.11 or newer of your own:", icon="INFO")
        column.label(text=f"python -m pip install numpy {' '.join(_RECONSTRUCTION)}", icon="BLANK1")
        layout.prop(self, "jobs_folder", placeholder="Extension's user folder")


def of_addon(context: bpy.types.Context | None = None) -> Any:
    """This add-on's PANTHEON360_AP_preferences, or None while it is not enabled (scripts, tests)."""
    preferences = (context or bpy.context).preferences
    addon = preferences.addons.get(ROOT_PACKAGE) if preferences else None
    return addon.preferences if addon else None


def backend_python(context: bpy.types.Context | None = None) -> Path | None:
    """The Python that runs the backend: by the environment variable, else as the preferences say; None: Blender's."""
    addon = of_addon(context)
    text = os.environ.get(PYTHON_VARIABLE, "").strip() or (str(addon.backend_python).strip() if addon else "")
    return Path(bpy.path.abspath(text)) if text else None


def register() -> None:
    bpy.utils.register_class(PANTHEON360_AP_preferences)


def unregister() -> None:
    bpy.utils.unregister_class(PANTHEON360_AP_preferences)
