"""Where a shot's jobs lie, and how a .blend names files."""

from __future__ import annotations

import os
from pathlib import Path

import bpy

from . import access, preferences


def relative_path(path: Path) -> str:
    """A path as Blender writes it, `//` standing for the .blend's folder; absolute if the file is unsaved."""
    if not bpy.data.filepath:
        return str(path)
    try:
        return bpy.path.relpath(str(path))
    except ValueError:  # another drive on Windows
        return str(path)


def jobs_root(scene: bpy.types.Scene) -> Path:
    """The folder that job folders are made in.

    The scene's setting; else `pantheon360_jobs` beside the saved .blend; else the preference; else the extension's
    folder for user data.
    """
    chosen = str(access.of_scene(scene).jobs_folder).strip()
    if chosen and (bpy.data.filepath or not chosen.startswith("//")):
        return absolute_path(chosen)
    if bpy.data.filepath:
        return Path(bpy.data.filepath).parent / "pantheon360_jobs"
    addon = preferences.of_addon()
    if addon is not None and addon.jobs_folder:
        return absolute_path(addon.jobs_folder)
    return Path(bpy.utils.extension_path_user(preferences.ROOT_PACKAGE, path="jobs", create=True))


def absolute_path(path: str) -> Path:
    """Blender's path without the ".." that its relative ones have: it is compared with others, and people read it."""
    return Path(os.path.normpath(bpy.path.abspath(path)))


def shot_name(scene: bpy.types.Scene) -> str:
    """What the job is called: the .blend, the scene and the camera."""
    blend = Path(bpy.data.filepath).stem if bpy.data.filepath else "untitled"
    return "-".join([blend, scene.name, scene.camera.name if scene.camera else "no camera"])
