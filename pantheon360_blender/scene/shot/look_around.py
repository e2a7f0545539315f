"""A result from within: its panoramas on the inside of a sphere, which the artist looks around in as in any viewport.

The sphere stands in the results' scene, which is not the artist's, so that it plays with the strip. It is shown in a
workspace that is a copy of the one at hand. Both go when no window shows that workspace any more. A viewport in Solid
shading shows textures as they are: nothing is compiled, and no view transform changes their colors.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent
from mathutils import Euler

from ...core import inputs
from ...core.errors import JobError
from ..app import access, paths, registration, versions
from ..captures import preview_sphere

WORKSPACE = "Look Around"
MARK = "pantheon360_look_around"
"""Custom property of the workspace: the workspace to go back to; and of what stands in the results' scene."""
_SCENE = "pantheon360_look_around_from"
"""Custom property of the workspace: the scene to go back to."""
RADIUS = 100.0
"""Of the sphere, in Blender's units: far beyond where the view stands."""
_NEAR_MIDDLE = 0.001
"""Distance of the view from the middle that it is turned about: what is orbited by is looked around by then."""
_LENS = 18.0
"""Millimeters: a view of 90 degrees."""
_WATCH = 0.5  # seconds between two looks whether the artist has left

Steps = Generator[None]
"""What is done in a window over several drawings: it goes on when Blender has drawn."""


def require(strip: Any) -> Path:
    """The movie of a result, or the first of its frames. Raises JobError if it is gone or cannot be played."""
    if strip.type == "MOVIE":
        file = paths.absolute_path(strip.filepath)
    else:
        file = paths.absolute_path(strip.directory) / strip.elements[0].filename
    if file.stem.startswith("-"):
        raise JobError(f"{file.name} is before frame 0: Blender plays no such files.", advice="Deliver it as a video.")
    if not inputs.is_file(file):
        raise JobError(f"{file} is gone.", advice="Deliver the take again, or run its job again.")
    return file


def place(results: bpy.types.Scene, strip: Any) -> bpy.types.Object:
    """Put the sphere with a result into the results' scene, in place of one that is there.

    Raises JobError if the result's files are gone.
    """
    file = require(strip)
    tidy()
    sphere = bpy.data.objects.new("Look Around", preview_sphere.inward_mesh())
    sphere[MARK] = True
    sphere.scale = (RADIUS / preview_sphere.RADIUS,) * 3
    sphere.rotation_euler = (math.radians(90), 0.0, 0.0)  # from a camera that looks down to one that looks along +Y
    sphere.hide_select = sphere.hide_render = True
    sphere.material_slots[0].link = "OBJECT"
    sphere.material_slots[0].material = _material(strip, _image(file, strip.type))
    results.collection.objects.link(sphere)
    return sphere


def enter(window: Any, results: bpy.types.Scene, back: tuple[str, str], *, split: bool) -> Steps:
    """Make the workspace of the one that a window shows, and go there.

    back: names of the workspace and the scene to go back to. split: beside the sequencer's preview, in the same area,
    rather than in the largest viewport.
    """
    known = set(bpy.data.workspaces)
    with bpy.context.temp_override(window=window):
        bpy.ops.workspace.duplicate()
    while window.workspace in known or not window.screen.areas:
        yield
    workspace: Any = window.workspace
    workspace.name = WORKSPACE
    workspace[MARK], workspace[_SCENE] = back
    window.scene = results
    versions.assign_sequencer(window, results)
    while any(area.width < 2 for area in window.screen.areas):
        yield
    area = _preview(window) if split else _largest(window)
    area.type = "VIEW_3D"
    yield
    _look_ahead(area)
    _watch_soon()


def leave(workspace: Any) -> None:
    """Remove the workspace and the sphere, and give windows back the scene that they showed."""
    scene = bpy.data.scenes.get(str(workspace.get(_SCENE, "")))
    for window in access.windows():
        if scene is not None and window.scene.get("pantheon360_results") and not _is_sequencer(window):
            window.scene = scene
            _stop(window)
    bpy.data.batch_remove([workspace, *workspace.screens])
    tidy()


def _stop(window: Any) -> None:
    """Playing would go on with the artist's scene."""
    if window.screen.is_animation_playing:
        with bpy.context.temp_override(window=window, screen=window.screen):
            bpy.ops.screen.animation_cancel(restore_frame=False)


def is_here(workspace: Any) -> bool:
    """Whether a workspace is for looking around."""
    return workspace is not None and MARK in workspace


def way_back(workspace: Any) -> Any:
    """The workspace that the artist came from, or another one if it is gone."""
    others = [each for each in bpy.data.workspaces if not is_here(each)]
    named = bpy.data.workspaces.get(str(workspace.get(MARK, "")))
    return named if named in others else others[0]


def tidy() -> None:
    """Remove every sphere, with what belongs to it alone: undo and older files bring them back."""
    owners: tuple[Any, ...] = (bpy.data.objects, bpy.data.materials, bpy.data.images)
    bpy.data.batch_remove([each for owner in owners for each in owner if each.get(MARK) and each.library is None])
    preview_sphere.remove_unused_mesh()


def _image(file: Path, kind: str) -> bpy.types.Image:
    """kind: of the strip."""
    image = bpy.data.images.load(str(file))
    image[MARK] = True
    image.source = "MOVIE" if kind == "MOVIE" else "SEQUENCE"
    stated: Any = image.colorspace_settings
    stated.name = "sRGB"
    return image


def _material(strip: Any, image: bpy.types.Image) -> bpy.types.Material:
    """A material whose active texture shows the result's picture of each frame."""
    material = bpy.data.materials.new("Look Around")
    material[MARK] = True
    material.use_backface_culling = True
    tree = versions.node_tree(material)
    tree.nodes.clear()
    texture = tree.nodes.new("ShaderNodeTexImage")
    texture.image = image
    tree.nodes.active = texture
    user = texture.image_user
    start, after = versions.strip_content_start(strip), versions.strip_range(strip)[1]
    user.frame_start, user.frame_duration, user.use_auto_refresh = start, after - start, True
    if strip.type == "IMAGE":
        _keep_time(user, start, [int(Path(element.filename).stem) for element in strip.elements])
    return material


def _keep_time(user: Any, start: int, numbers: list[int]) -> None:
    """Have frame `start` + i show the picture of the i-th number: Blender counts files, and leaves out none.

    numbers: with a frame step each stays for some frames.
    """
    offsets = [number - index - 1 for index, number in enumerate(numbers)]
    user.frame_offset = offsets[0]
    if len(set(offsets)) > 1:
        for index, offset in enumerate(offsets):
            user.frame_offset = offset
            user.keyframe_insert("frame_offset", frame=start + index)


def _largest(window: Any) -> Any:
    """The largest viewport of a window, or its largest area if it has none."""
    areas = list(window.screen.areas)
    return max([area for area in areas if area.type == "VIEW_3D"] or areas, key=lambda area: area.width * area.height)


def _preview(window: Any) -> Any:
    """One half of the sequencer's preview, which keeps the other one."""
    areas = [area for area in window.screen.areas if area.type == "SEQUENCE_EDITOR"]
    previews = [area for area in areas if area.spaces.active.view_type != "SEQUENCER"]
    area = max(previews or window.screen.areas, key=lambda area: area.width * area.height)
    with bpy.context.temp_override(window=window, screen=window.screen, area=area):
        bpy.ops.screen.area_split(direction="VERTICAL", factor=0.5)
    return window.screen.areas[-1]


def _look_ahead(area: Any) -> None:
    """Stand in the middle of the sphere, looking where the camera looked, at nothing but the picture."""
    space = area.spaces.active
    space.shading.type, space.shading.light, space.shading.color_type = "SOLID", "FLAT", "TEXTURE"
    space.shading.show_xray = space.shading.show_cavity = space.shading.show_object_outline = False
    space.overlay.show_overlays = space.show_gizmo = False
    space.show_region_toolbar = space.show_region_tool_header = space.show_region_ui = False
    space.use_local_camera = space.lock_camera = False
    space.clip_start, space.clip_end, space.lens = 0.01, 10 * RADIUS, _LENS
    view = space.region_3d
    view.view_perspective = "PERSP"
    view.view_location, view.view_distance = (0.0, 0.0, 0.0), _NEAR_MIDDLE
    view.view_rotation = Euler((math.radians(90), 0.0, 0.0)).to_quaternion()


def _is_sequencer(window: Any) -> bool:
    """Whether a window has to show the results' scene for its sequencers' sake: before Blender 5.0."""
    if not versions.SEQUENCER_HAS_WINDOWS_SCENE:
        return False
    return any(area.type == "SEQUENCE_EDITOR" for area in window.screen.areas)


def _watch() -> float | None:
    """Timer: leave as soon as no window shows the workspace."""
    there = [workspace for workspace in bpy.data.workspaces if is_here(workspace)]
    shown = {window.workspace for window in access.windows()}
    for workspace in there:
        if workspace not in shown:
            leave(workspace)
    return _WATCH if any(workspace in shown for workspace in there) else None


def _watch_soon() -> None:
    if not bpy.app.timers.is_registered(_watch):
        bpy.app.timers.register(_watch, first_interval=_WATCH, persistent=True)


@persistent
def _look_after(*_: Any) -> None:
    """After undo and another file: go on if the workspace is there, else remove what came back."""
    if any(is_here(workspace) for workspace in bpy.data.workspaces):
        _watch_soon()
    elif any(obj.get(MARK) for obj in bpy.data.objects):
        tidy()


_HANDLERS = {"load_post": _look_after, "undo_post": _look_after, "redo_post": _look_after}


def register() -> None:
    registration.add_handlers(_HANDLERS)


def unregister() -> None:
    registration.remove_handlers(_HANDLERS)
    if bpy.app.timers.is_registered(_watch):
        bpy.app.timers.unregister(_watch)
