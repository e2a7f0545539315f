"""What Pantheon360 keeps on Blender's data, and Blender's data looked up again by name."""

from __future__ import annotations

from typing import Any

import bpy

from ...core.errors import RenderError


def of_scene(scene: bpy.types.Scene) -> Any:
    """The scene's PANTHEON360_PG_scene, for type checkers that do not know properties added at run time."""
    return scene.pantheon360  # type: ignore[attr-defined]


def of_object(obj: bpy.types.Object) -> Any:
    """The object's PANTHEON360_PG_object."""
    return obj.pantheon360  # type: ignore[attr-defined]


def of_window_manager(window_manager: bpy.types.WindowManager) -> Any:
    """The window manager's PANTHEON360_PG_window_manager."""
    return window_manager.pantheon360  # type: ignore[attr-defined]


def evaluated(scene: bpy.types.Scene) -> bpy.types.Depsgraph:
    """The up-to-date depsgraph of the scene's view layer, of whatever scene the window shows."""
    layer: Any = _view_layer(scene)
    layer.update()  # makes the depsgraph if the layer has none yet
    return layer.depsgraph  # type: ignore[no-any-return]


def scene_of(depsgraph: Any) -> bpy.types.Scene:
    """The scene a depsgraph evaluates: the artist's own data, not the evaluated copy."""
    return depsgraph.scene.original  # type: ignore[no-any-return]


def scene_named(name: str) -> bpy.types.Scene:
    """Look a scene up again after a pause in which it may have been deleted or undone. Raises RenderError."""
    scene = bpy.data.scenes.get(name)
    if scene is None:
        raise RenderError(f"Scene {name} was deleted or renamed while a job was reading it.", advice="Start it again.")
    return scene


def _view_layer(scene: bpy.types.Scene) -> bpy.types.ViewLayer:
    """The layer that the window shows if it shows this scene, else the first one that renders."""
    if bpy.context.scene == scene and bpy.context.view_layer is not None:
        return bpy.context.view_layer
    return next((layer for layer in scene.view_layers if layer.use), scene.view_layers[0])
