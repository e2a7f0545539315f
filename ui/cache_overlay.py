"""The 3D cache in its colours where Blender shows point clouds grey: viewports in solid shading.

Blender's own points are hidden in these viewports: they would lie beneath ours and take most of a redraw. Cards that
lack what scene/live takes draw points over Blender's own instead, each as large and just in front of them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import bpy
import gpu
import numpy as np
from mathutils import Matrix, Vector

from ..pantheon360_blender.core.points.point_cloud import PointCloud
from ..pantheon360_blender.scene.app.access import of_object
from ..pantheon360_blender.scene.cache import cache_objects
from ..pantheon360_blender.scene.live import blender_points, cache_view, live_panorama
from ..pantheon360_blender.scene.render.render_engine import PANTHEON360_RenderEngine

_VERTEX = """
void main()
{
  vec3 towards = normalize(eye.xyz - position * eye.w);
  gl_Position = model_view_projection * vec4(position + towards * radius * 1.1, 1.0);
  gl_PointSize = clamp(size * radius / gl_Position.w, 1.0, 64.0);
  // The viewport's framebuffer takes linear light and encodes it itself.
  vec3 low = colour.rgb / 12.92;
  vec3 high = pow((colour.rgb + 0.055) / 1.055, vec3(2.4));
  shade = vec4(mix(high, low, vec3(lessThanEqual(colour.rgb, vec3(0.04045)))), 1.0);
}
"""
_FRAGMENT = """
void main()
{
  result = shade;
}
"""

_gpu: Any = gpu  # its classes' constructors are unknown to type checkers
_log = logging.getLogger(__name__)


@dataclass
class _Overlay:
    """What is kept between redraws; `failed` once the graphics system refused, so that it is said only once."""

    shader: Any = None
    batches: dict[int, Any] | None = None
    handle: Any = None
    failed: bool = False
    drawn: bool = False


_overlay = _Overlay()


def _draw() -> None:
    context: Any = bpy.context
    if _overlay.failed:
        return
    space = context.space_data
    wanted = _wanted(context, space.shading.type) and space.overlay.show_overlays
    able = wanted and _has_cache(context.scene) and live_panorama.card_can()
    blender_points.hide(space, hide=able and not _has_others(context.scene))
    if not wanted:
        return
    try:
        if able:
            _overlay.drawn = True
            cache_view.draw(context)
            return
        for obj in context.scene.objects:
            if of_object(obj).is_cache and obj.mode == "OBJECT" and obj.visible_get(viewport=space):
                _draw_cache(obj, context)
    except Exception:
        _overlay.failed = True
        blender_points.show_all()
        _log.exception("The 3D cache cannot be shown in color in solid shading")


def _has_cache(scene: bpy.types.Scene) -> bool:
    return any(of_object(obj).is_cache and obj.mode == "OBJECT" for obj in scene.objects)


def _has_others(scene: bpy.types.Scene) -> bool:
    """Whether the scene has points that are no cache's: Blender hides point clouds all together."""
    return any(obj.type == "POINTCLOUD" for obj in scene.objects)


def _wanted(context: Any, shading: str) -> bool:
    """Whether nothing else shows the points in colour: in solid shading, and in rendered shading, which only our
    engine can leave without a picture of its own, unless one looks through the camera."""
    rendered = shading == "RENDERED" and context.engine == PANTHEON360_RenderEngine.bl_idname
    return shading == "SOLID" or (rendered and context.region_data.view_perspective != "CAMERA")


def _draw_cache(obj: bpy.types.Object, context: Any) -> None:
    depsgraph = context.evaluated_depsgraph_get()
    batch = _batch(obj, depsgraph)
    if batch is None:
        return
    view = context.region_data
    world_from_object = obj.evaluated_get(depsgraph).matrix_world
    shader = _shader()
    shader.bind()
    shader.uniform_float("model_view_projection", view.perspective_matrix @ world_from_object)
    shader.uniform_float("eye", _eye(view, world_from_object))
    # Pixels a length of one metre spans at unit distance; scale of the object as a whole.
    scale = abs(world_from_object.determinant()) ** (1 / 3)
    shader.uniform_float("size", abs(view.window_matrix[1][1]) * context.region.height * scale)
    gpu.state.depth_test_set("LESS_EQUAL")
    gpu.state.depth_mask_set(True)
    gpu.state.program_point_size_set(True)
    batch.draw(shader)
    gpu.state.program_point_size_set(False)
    gpu.state.depth_mask_set(False)
    gpu.state.depth_test_set("NONE")


def _eye(view: Any, world_from_object: Matrix) -> Vector:
    """Where the viewer is in the object's frame, homogeneous: a direction (w = 0) in orthographic views."""
    world_from_eye = view.view_matrix.inverted_safe()
    place = world_from_eye.col[3] if view.is_perspective else Vector((*world_from_eye.col[2][:3], 0.0))
    return world_from_object.inverted_safe() @ place


def _batch(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> Any:
    """The object's points on the graphics card, or None if it has none."""
    if _overlay.batches is None:
        _overlay.batches = {}
    key = obj.session_uid
    if key not in _overlay.batches:
        _overlay.batches[key] = _new_batch(*cache_objects.shown_points(obj, depsgraph))
    return _overlay.batches[key]


def _new_batch(cloud: PointCloud, radii: np.ndarray) -> Any:
    if not len(cloud):
        return None
    layout = _gpu.types.GPUVertFormat()
    layout.attr_add(id="position", comp_type="F32", len=3, fetch_mode="FLOAT")
    layout.attr_add(id="radius", comp_type="F32", len=1, fetch_mode="FLOAT")
    layout.attr_add(id="colour", comp_type="U8", len=4, fetch_mode="INT_TO_FLOAT_UNIT")
    vertices = _gpu.types.GPUVertBuf(layout, len(cloud))
    colours = np.full((len(cloud), 4), 255, np.uint8)
    colours[:, :3] = cloud.colours
    vertices.attr_fill("position", np.ascontiguousarray(cloud.points))
    vertices.attr_fill("radius", np.ascontiguousarray(radii))
    vertices.attr_fill("colour", colours)
    return _gpu.types.GPUBatch(type="POINTS", buf=vertices)


def _shader() -> Any:
    if _overlay.shader is None:
        info = _gpu.types.GPUShaderCreateInfo()
        between = _gpu.types.GPUStageInterfaceInfo("pantheon360_cache")
        between.flat("VEC4", "shade")
        info.push_constant("MAT4", "model_view_projection")
        info.push_constant("VEC4", "eye")
        info.push_constant("FLOAT", "size")
        info.vertex_in(0, "VEC3", "position")
        info.vertex_in(1, "FLOAT", "radius")
        info.vertex_in(2, "VEC4", "colour")
        info.vertex_out(between)
        info.fragment_out(0, "VEC4", "result")
        info.vertex_source(_VERTEX)
        info.fragment_source(_FRAGMENT)
        _overlay.shader = gpu.shader.create_from_info(info)
    return _overlay.shader


@bpy.app.handlers.persistent
def _after_change(_scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    """Forget the points of caches whose geometry changed."""
    if not _overlay.batches:
        return
    for update in depsgraph.updates:
        changed: Any = update.id
        if update.is_updated_geometry and changed.id_type == "OBJECT":
            _overlay.batches.pop(changed.original.session_uid, None)


@bpy.app.handlers.persistent
def _forget_all(*_: Any) -> None:
    _overlay.batches = None


_HANDLERS = (
    ("depsgraph_update_post", _after_change),
    ("undo_post", _forget_all),
    ("redo_post", _forget_all),
    ("load_pre", _forget_all),
)


def register() -> None:
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)
    if not bpy.app.background:
        _overlay.handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")


def unregister() -> None:
    if _overlay.handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_overlay.handle, "WINDOW")
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
    if _overlay.drawn:  # else its file was not run
        cache_view.free()
        live_panorama.free()
        blender_points.free()
    _overlay.handle = _overlay.shader = _overlay.batches = None
    _overlay.failed = _overlay.drawn = False
