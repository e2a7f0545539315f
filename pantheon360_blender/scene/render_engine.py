"""The geometry pass as a render engine: F12, Ctrl F12, `blender -b FILE -a` and farms render what the camera will see.

Passes: Combined (the draft: footprint splats over the captures at infinity, holes filled), Geometry (what the model
sees: one pixel a point, alpha where one is), Depth (Euclidean range in metres, infinity where nothing is) and
Coverage (1 where a point is).
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..core import splatting, srgb
from ..core.capture import Capture
from ..core.draft import DraftPainter
from ..core.errors import CacheError, CaptureError, PantheonError, RenderError
from ..core.point_cloud import PointCloud
from . import cache, camera_path, captures, properties, software

PASSES: Any = (
    ("Combined", 4, "RGBA", "COLOR"),
    ("Geometry", 4, "RGBA", "COLOR"),
    ("Depth", 1, "Z", "VALUE"),
    ("Coverage", 1, "X", "VALUE"),
)
"""Name, channels, channel letters and kind of every pass."""

CAPTURE_WIDTH = 2048
"""Captures wider than this gain the draft nothing: they are reduced to it when loaded."""


class PANTHEON360_RenderEngine(bpy.types.RenderEngine):
    """Renders the 3D cache as the scene's camera sees it, as a 360° panorama"""

    bl_idname = "PANTHEON360"
    bl_label = "Pantheon360"
    bl_use_preview = False
    bl_use_eevee_viewport = True  # the cache in material preview; without view_draw there is no "rendered" to draw

    def update_render_passes(self, scene: Any = None, renderlayer: Any = None) -> None:
        for name, channels, letters, kind in PASSES:
            self.register_pass(scene, renderlayer, name, channels, letters, kind)

    def render(self, depsgraph: Any) -> None:  # type: ignore[override]
        try:
            self._render(depsgraph)
        except PantheonError as error:
            self.error_set(str(error))  # for the render window
            self.report({"ERROR"}, str(error))  # for scripts and the console: the one above does not reach them

    def _render(self, depsgraph: Any) -> None:
        scene = camera_path.scene_of(depsgraph)
        width = panorama_width(scene)
        self.update_stats("", "Reading the 3D cache")
        pose = camera_path.pose(depsgraph)
        cloud = points(depsgraph)
        if self.test_break():
            return
        self.update_stats("", "Loading captures")
        painter = _PAINTERS.of(loaded_captures(depsgraph), width)
        self.update_progress(0.2)
        if self.test_break():
            return
        self.update_stats("", f"Splatting {len(cloud.points):,} points")
        near = float(properties.of_scene(scene).near)
        geometry = splatting.splat(cloud.points, cloud.colours, pose, width, near=near)
        self.update_progress(0.4)
        if self.test_break():
            return
        footprints = footprint_frame(cloud, pose, width, near)
        self.update_progress(0.6)
        if self.test_break():
            return
        self.update_stats("", "Painting the draft")
        draft = painter.paint(footprints, pose)
        if self.test_break():
            return
        self._deliver(depsgraph, geometry, draft, {"points": len(cloud.points), "pose": pose.tolist()})
        self.update_progress(1.0)

    def _deliver(
        self,
        depsgraph: Any,
        geometry: splatting.GeometryFrame,
        draft: np.ndarray,
        facts: dict[str, Any],
    ) -> None:
        height, width = geometry.coverage.shape
        layer_name = depsgraph.view_layer.name
        for name, channels, letters, _kind in PASSES[1:]:
            self.add_pass(name, channels, letters, layer=layer_name)  # registered ones alone do not reach a 5.x EXR
        result = self.begin_result(0, 0, width, height)
        filled = result.layers[0].passes
        _fill(filled["Combined"], with_alpha(scene_linear(draft), np.ones((height, width), dtype=bool)))
        _fill(filled["Geometry"], with_alpha(scene_linear(geometry.colour), geometry.coverage))
        _fill(filled["Depth"], geometry.depth)
        _fill(filled["Coverage"], geometry.coverage)
        stamp = self.get_result()
        stamp.stamp_data_add_field("Pantheon360", software.version())
        stamp.stamp_data_add_field("Pantheon360Points", str(facts["points"]))
        stamp.stamp_data_add_field("Pantheon360CameraToWorld", json.dumps(facts["pose"]))
        stamp.stamp_data_add_field("ProjectionType", "equirectangular")
        self.end_result(result)


def panorama_width(scene: bpy.types.Scene) -> int:
    """Width of what the scene renders, in pixels. Raises RenderError where they are not 2:1."""
    render = scene.render
    share = render.resolution_percentage / 100
    width, height = int(render.resolution_x * share), int(render.resolution_y * share)
    if width != 2 * height or width < 2:
        raise RenderError(
            f"The resolution is {width} x {height}; a panorama is twice as wide as high.",
            advice=f"Set it to {2 * max(height, 1)} x {max(height, 1)} in the Output properties.",
            code="not-2-to-1",
        )
    return width


def set_up(scene: bpy.types.Scene) -> None:
    """Make this the scene's engine, at the shot's width and 2:1."""
    width = even_width(properties.of_scene(scene).width)
    render: Any = scene.render
    render.engine = PANTHEON360_RenderEngine.bl_idname
    render.resolution_x, render.resolution_y = width, width // 2
    render.resolution_percentage = 100


def is_set_up(scene: bpy.types.Scene) -> bool:
    """Whether the scene renders with this engine at the shot's width."""
    width = even_width(properties.of_scene(scene).width)
    render: Any = scene.render
    size = (render.engine, render.resolution_x, render.resolution_y, render.resolution_percentage)
    return bool(size == (PANTHEON360_RenderEngine.bl_idname, width, width // 2, 100))


def even_width(width: int) -> int:
    """Panoramas have an even width: an odd setting is taken one pixel wider."""
    return int(width) + int(width) % 2


def points(depsgraph: bpy.types.Depsgraph) -> PointCloud:
    """The scene's cache points, world coordinates. Raises CacheError where there are none."""
    cloud = cache.evaluated_points(depsgraph)
    if not len(cloud.points):
        raise CacheError(
            f"The 3D cache of scene {camera_path.scene_of(depsgraph).name} has no visible points.",
            advice="Project the captures onto geometry, or make the cache object visible.",
            repair="pantheon360.project_captures",
        )
    return cloud


def footprint_frame(cloud: PointCloud, pose: np.ndarray, width: int, near: float) -> splatting.GeometryFrame:
    """The cache as a preview shows it: every point covers what it is wide, or a pixel where its width is unknown."""
    footprint = cloud.footprint if cloud.footprint is not None else 0.0
    return splatting.splat_footprints(cloud.points, cloud.colours, footprint, pose, width, near=near)


def loaded_captures(depsgraph: bpy.types.Depsgraph, width: int = CAPTURE_WIDTH) -> list[Capture]:
    """The scene's captures at their evaluated poses; pixels come from memory while image and mask are unchanged.

    Raises CaptureError where the scene has none or an image is missing or damaged.
    """
    scene = camera_path.scene_of(depsgraph)
    objects = captures.in_scene(scene)
    if not objects:
        raise CaptureError(
            f"Scene {scene.name} has no captures.",
            advice="Import 360° photographs first.",
            repair="pantheon360.import_captures",
        )
    return _CAPTURES.of(objects, depsgraph, width)


def scene_linear(colour: np.ndarray) -> np.ndarray:
    """sRGB bytes as the linear values whose Standard view is those very bytes.

    colour: (H, W, 3) uint8. Returns (H, W, 3) float32 in the working space of the file, which is linear Rec. 709
    except where a 5.x file chooses a wider one.
    """
    linear: np.ndarray = srgb.LINEAR_OF_BYTE[colour]
    to_working = _rec709_to_working_space()
    return linear if to_working is None else np.asarray(linear @ to_working, dtype=np.float32)


def with_alpha(colour: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 colour and (H, W) bool coverage as (H, W, 4) float32, alpha 1 where covered."""
    return np.concatenate([colour, coverage[..., None].astype(np.float32)], axis=2)


class _LoadedCaptures:
    """Captures' pixels kept between frames, keyed by everything that can change them; no Blender data is held."""

    def __init__(self) -> None:
        self._kept: dict[tuple, Capture] = {}

    def of(self, objects: list[bpy.types.Object], depsgraph: bpy.types.Depsgraph, width: int) -> list[Capture]:
        wanted = {}
        for obj in objects:
            key = _capture_key(obj, width)
            kept = self._kept.get(key) if key is not None else None
            wanted[key or (obj.name,)] = kept or captures.load(obj, width=_no_wider(obj, width))
        found = []
        for obj, (key, capture) in zip(objects, wanted.items(), strict=True):
            pose = captures.pose(obj, depsgraph)
            if not np.array_equal(capture.pose, pose):
                wanted[key] = capture = dataclasses.replace(capture, pose=pose)
            found.append(capture)
        self._kept = {key: capture for key, capture in wanted.items() if len(key) > 1}
        return found

    def clear(self) -> None:
        self._kept = {}


class _Painters:
    """The last draft painter, used again while captures and width are the same objects and numbers."""

    def __init__(self) -> None:
        self._painter: DraftPainter | None = None
        self._captures: list[Capture] = []
        self._width = 0

    def of(self, wanted: list[Capture], width: int) -> DraftPainter:
        same = width == self._width and [id(each) for each in wanted] == [id(each) for each in self._captures]
        if self._painter is None or not same:
            self._painter = DraftPainter(wanted, width)
            self._captures, self._width = wanted, width
        return self._painter

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]


def _no_wider(obj: bpy.types.Object, width: int) -> int | None:
    """The width to load a capture at: enlarging would invent pixels. None lets the loader say what is wrong with it."""
    own = properties.of_object(obj).image.size[0]
    return min(own, width) or None


def _capture_key(obj: bpy.types.Object, width: int) -> tuple | None:
    """All that decides a capture's pixels; None where an image is being painted on and so cannot be told apart."""
    settings = properties.of_object(obj)
    key: tuple = (obj.name, width, float(settings.nadir))
    for image in (settings.image, settings.mask):
        if image is None:
            key += (None,)
            continue
        if image.is_dirty or image.source not in {"FILE", "TILED"}:
            return None
        key += (image.session_uid, image.filepath, _file_state(image), image.colorspace_settings.name, image.alpha_mode)
    return key


def _file_state(image: bpy.types.Image) -> tuple:
    if image.packed_file is not None:
        return ("packed", image.packed_file.size)
    path = Path(bpy.path.abspath(image.filepath, library=image.library))
    try:
        state = path.stat()
    except OSError:
        return ("missing",)
    return (state.st_mtime_ns, state.st_size)


def _fill(render_pass: Any, picture: np.ndarray) -> None:
    """Blender's render results have their first row at the bottom."""
    render_pass.rect.foreach_set(np.ascontiguousarray(picture[::-1], dtype=np.float32).ravel())


def _rec709_to_working_space() -> np.ndarray | None:
    """(3, 3) float32 to multiply linear Rec. 709 rows with, or None where the working space is just that."""
    from mathutils import Color

    rows = [Color(primary).from_rec709_linear_to_scene_linear() for primary in np.eye(3).tolist()]
    matrix = np.array([row[:] for row in rows], dtype=np.float32)
    return None if np.allclose(matrix, np.eye(3), atol=1e-6) else matrix


def _panels() -> list[Any]:
    """Blender's own panels that make sense here: output, resolution, metadata, view layers, camera; no shading."""
    unwanted = {"RENDER_PT_gpencil", "RENDER_PT_freestyle", "RENDER_PT_simplify", "VIEWLAYER_PT_filter"}
    return [
        panel
        for panel in bpy.types.Panel.__subclasses__()
        if "BLENDER_RENDER" in getattr(panel, "COMPAT_ENGINES", ()) and panel.__name__ not in unwanted
    ]


_CAPTURES = _LoadedCaptures()
_PAINTERS = _Painters()


def register() -> None:
    bpy.utils.register_class(PANTHEON360_RenderEngine)
    for panel in _panels():
        panel.COMPAT_ENGINES.add(PANTHEON360_RenderEngine.bl_idname)


def unregister() -> None:
    panels: list[Any] = bpy.types.Panel.__subclasses__()
    for panel in panels:
        if PANTHEON360_RenderEngine.bl_idname in getattr(panel, "COMPAT_ENGINES", ()):
            panel.COMPAT_ENGINES.remove(PANTHEON360_RenderEngine.bl_idname)
    bpy.utils.unregister_class(PANTHEON360_RenderEngine)
    _CAPTURES.clear()
    _PAINTERS.clear()
