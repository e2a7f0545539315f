"""The captures' photographs on their spheres, in every shading mode: one looks through the near side onto the far one.

A sphere fades where the view comes near, so that a camera at a capture sees the place and not the sphere, and becomes
pale where the scene's camera stands in it.
"""

from __future__ import annotations

from typing import Any

import gpu
import numpy as np
from mathutils import Matrix

from ...core.panorama import equirectangular
from ..app import units
from ..app.access import of_object
from ..captures import capture_objects, preview_sphere
from . import panorama_shader, photographs
from .photographs import PHOTOGRAPHS, Shown

GONE, WHOLE = 1.15, 2.2
"""Distances of the view from a sphere's middle, in radii: at which it has faded, and from which on it is whole."""
WITH_CAMERA = 0.3
"""Opacity of a sphere in which the scene's camera stands."""

_COLUMNS, _ROWS = 64, 32

_VERTICES = """
void main()
{
  local = position;
  gl_Position = clip_from_sphere * vec4(position, 1.0);
}
"""

_PIXELS = """
#define TAU 6.283185307179586

void main()
{
  if (dot(local, eye.xyz - local * eye.w) > 0.0) {
    discard;  // the side that is nearer than the middle
  }
  vec3 look = normalize(local);
  vec2 at = vec2(0.5 + atan(look.x, -look.z) / TAU, 0.5 + asin(clamp(look.y, -1.0, 1.0)) / (TAU / 2.0));
  // The viewport's framebuffer takes linear light and encodes it itself.
  vec3 encoded = textureLod(photograph, at, 0.0).rgb;
  vec3 low = encoded / 12.92, high = pow((encoded + 0.055) / 1.055, vec3(2.4));
  result = vec4(mix(high, low, vec3(lessThanEqual(encoded, vec3(0.04045)))), opacity);
}
"""

_gpu: Any = gpu  # its classes' constructors are unknown to type checkers


def opacity(eye: np.ndarray | None, camera: np.ndarray | None, middle: np.ndarray, radius: float) -> float:
    """Of a sphere: 0 to 1.

    eye, camera, middle: (3,), world: where the view stands, None if it is infinitely far away; the scene's camera, None
    if it has none; the sphere's middle.
    """
    away = WHOLE if eye is None else float(np.linalg.norm(eye - middle)) / radius
    whole = min(max((away - GONE) / (WHOLE - GONE), 0.0), 1.0)
    near = camera is not None and float(np.linalg.norm(camera - middle)) < radius
    return whole * (WITH_CAMERA if near else 1.0)


def draw(context: Any) -> None:
    """Draw the spheres of the captures that the viewport at hand shows."""
    photographs.watch()
    scene, view = context.scene, context.region_data
    depsgraph = context.evaluated_depsgraph_get()
    wanted = {
        obj.name
        for obj in capture_objects.in_scene(scene)
        if of_object(obj).show_preview and obj.visible_get(viewport=context.space_data)
    }
    shown = [each for each in PHOTOGRAPHS.shown(scene, depsgraph) if each.name in wanted]
    if not shown:
        return
    world_from_eye = np.linalg.inv(np.array(view.view_matrix, np.float64))
    eye = world_from_eye[:3, 3] if view.is_perspective else None
    camera = np.array(scene.camera.matrix_world.translation) if scene.camera is not None else None
    radius = preview_sphere.RADIUS * units.per_metre(scene)
    shown.sort(key=lambda each: -float(np.linalg.norm(each.pose[:3, 3] - world_from_eye[:3, 3])))
    clip_from_world = np.array(view.perspective_matrix, np.float64)
    gpu.state.depth_test_set("LESS_EQUAL")
    gpu.state.blend_set("ALPHA")
    for each in shown:
        share = opacity(eye, camera, each.pose[:3, 3], radius)
        if share > 0.0:
            gpu.state.depth_mask_set(share == 1.0)
            _draw_sphere(each, share, radius, clip_from_world, world_from_eye, orthographic=eye is None)
    gpu.state.depth_mask_set(False)
    gpu.state.blend_set("NONE")
    gpu.state.depth_test_set("NONE")


def _draw_sphere(
    shown: Shown,
    share: float,
    radius: float,
    clip_from_world: np.ndarray,
    world_from_eye: np.ndarray,
    *,
    orthographic: bool,
) -> None:
    world_from_sphere = shown.pose @ np.diag([radius, radius, radius, 1.0])
    seen_from = world_from_eye[:, 2] * (1, 1, 1, 0) if orthographic else world_from_eye[:, 3]
    shader = panorama_shader.kept("sphere", _info)
    shader.bind()
    shader.uniform_float("clip_from_sphere", Matrix((clip_from_world @ world_from_sphere).tolist()))
    shader.uniform_float("eye", (np.linalg.inv(world_from_sphere) @ seen_from).tolist())
    shader.uniform_float("opacity", share)
    shader.uniform_sampler("photograph", shown.texture)
    panorama_shader.kept_batch("sphere", _batch).draw(shader)


def _batch() -> Any:
    """A sphere of radius 1."""
    columns, rows = np.meshgrid(np.linspace(0, 2 * _ROWS, _COLUMNS + 1), np.linspace(0, _ROWS, _ROWS + 1))
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 2)
    points = equirectangular.pixels_to_directions(pixels, 2 * _ROWS).astype(np.float32)
    corner = (np.arange(_ROWS)[:, None] * (_COLUMNS + 1) + np.arange(_COLUMNS)).ravel()
    lower = corner + _COLUMNS + 1
    triangles = np.concatenate([np.stack([corner, lower, lower + 1], 1), np.stack([corner, lower + 1, corner + 1], 1)])
    layout = _gpu.types.GPUVertFormat()
    layout.attr_add(id="position", comp_type="F32", len=3, fetch_mode="FLOAT")
    vertices = _gpu.types.GPUVertBuf(layout, len(points))
    vertices.attr_fill("position", np.ascontiguousarray(points))
    elements = _gpu.types.GPUIndexBuf(type="TRIS", seq=np.ascontiguousarray(triangles, np.int32))
    return _gpu.types.GPUBatch(type="TRIS", buf=vertices, elem=elements)


def _info() -> Any:
    info = _gpu.types.GPUShaderCreateInfo()
    between = _gpu.types.GPUStageInterfaceInfo("pantheon360_sphere")
    between.smooth("VEC3", "local")
    info.vertex_in(0, "VEC3", "position")
    info.vertex_out(between)
    info.fragment_out(0, "VEC4", "result")
    info.sampler(0, "FLOAT_2D", "photograph")
    info.push_constant("MAT4", "clip_from_sphere")
    info.push_constant("VEC4", "eye")
    info.push_constant("FLOAT", "opacity")
    info.vertex_source(_VERTICES)
    info.fragment_source(_PIXELS)
    return info
