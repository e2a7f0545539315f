"""What Pantheon360 keeps on Blender's data, and Blender's data looked up again after a pause."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import bpy

from ...core.errors import RenderError

Block = TypeVar("Block", bound=bpy.types.ID)


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


class _Reference(Generic[Block]):
    """A data-block over a pause in which undo may replace it and the artist rename it: neither changes its number.

    name: what it was called.
    """

    def __init__(self, block: Block) -> None:
        self.name = block.name
        self._number = block.session_uid

    def _find(self, blocks: Any) -> Block | None:
        named = blocks.get(self.name)
        if named is not None and named.session_uid == self._number:
            return named  # type: ignore[no-any-return]
        return next((block for block in blocks if block.session_uid == self._number), None)


class SceneReference(_Reference[bpy.types.Scene]):
    """A scene to be looked up again."""

    @property
    def scene(self) -> bpy.types.Scene:
        """The scene as it is now. Raises RenderError if it was deleted."""
        found = self._find(bpy.data.scenes)
        if found is None:
            raise RenderError(f"Scene {self.name} was deleted while a job was at work on it.", advice="Start it again.")
        return found


class ObjectReference(_Reference[bpy.types.Object]):
    """An object to be looked up again."""

    def find(self) -> bpy.types.Object | None:
        """The object as it is now; None if it was deleted."""
        return self._find(bpy.data.objects)

    @property
    def object(self) -> bpy.types.Object:
        """The object as it is now. Raises RenderError if it was deleted."""
        found = self.find()
        if found is None:
            raise RenderError(f"{self.name} was deleted while a job was at work on it.", advice="Start it again.")
        return found


def _view_layer(scene: bpy.types.Scene) -> bpy.types.ViewLayer:
    """The layer that the window shows if it shows this scene, else the first one that renders."""
    if bpy.context.scene == scene and bpy.context.view_layer is not None:
        return bpy.context.view_layer
    return next((layer for layer in scene.view_layers if layer.use), scene.view_layers[0])


def windows() -> list[Any]:
    """Every window of this Blender; none without an interface."""
    return [window for manager in bpy.data.window_managers for window in manager.windows]
