"""The geometry pass as a render engine: F12, Ctrl F12, `blender -b FILE -a` and farms render what the camera will see.

Passes: Combined (the draft: surfaces over the captures at infinity, holes filled), Geometry (what the model
sees: one pixel a point, alpha 1 where one is), Depth (Euclidean range in metres, infinity where nothing is), Coverage
(1 where a point is) and Confidence (0 to 1, how sure that point is, 1 in a cache without confidences; 0 where none is).
"""

from __future__ import annotations

import dataclasses
import json
import math
import zlib
from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np

from ...core import plain_text, repairs
from ...core.errors import PantheonError, RenderError
from ...core.panorama import cameras
from ...core.panorama.capture import UnreadCapture
from ...core.points.point_cloud import PointCloud
from ...core.render import draft, origin, stereo
from ...core.version import version
from ..app import access
from ..camera import camera_path
from ..captures.colour import scene_linear
from ..translation import translated
from . import rendered_view, view_transform
from .geometry_pass import (
    capture_range,
    capture_width,
    even_width,
    footprint_frame,
    geometry_frame,
    points,
    unread_captures,
)

PASSES: Any = (
    ("Combined", 4, "RGBA", "COLOR"),
    ("Geometry", 4, "RGBA", "COLOR"),
    ("Depth", 1, "Z", "VALUE"),
    ("Coverage", 1, "X", "VALUE"),
    ("Confidence", 1, "X", "VALUE"),
    ("Invented", 1, "X", "VALUE"),
)
"""Name, channels, channel letters and kind of every pass."""


class PANTHEON360_RenderEngine(bpy.types.RenderEngine):
    """Renders the 3D cache as the scene's camera sees it, as a 360° panorama"""

    bl_idname = "PANTHEON360"
    bl_label = "Pantheon360"
    bl_use_preview = False
    bl_use_eevee_viewport = True  # the cache in material preview
    bl_use_spherical_stereo = True  # two panoramas of which every column is seen by both eyes, as in Cycles

    _rendered_view: Any = None  # a RenderedView; Blender makes an engine for each viewport, and reads annotations

    def update_render_passes(self, scene: Any = None, renderlayer: Any = None) -> None:
        for name, channels, letters, kind in PASSES:
            self.register_pass(scene, renderlayer, name, channels, letters, kind)

    def render(self, depsgraph: Any) -> None:  # type: ignore[override]
        """Render one view layer, each eye of it if the scene has two: Blender calls this once for each layer."""
        try:
            self._render(depsgraph)
        except PantheonError as error:
            self.error_set(plain_text.paragraph(str(error)))  # for the render window
            self._tell("ERROR", str(error))  # for scripts and the console: the one above does not reach them

    def view_update(self, _context: Any, _depsgraph: Any) -> None:
        self._shown().forget()

    def view_draw(self, context: Any, depsgraph: Any) -> None:
        """Draw the viewport in Rendered shading."""

        def draft(cloud: PointCloud, pose: np.ndarray, width: int) -> np.ndarray:
            near = float(access.of_scene(access.scene_of(depsgraph)).near)
            painter = _VIEWPORT.painter(unread_captures(depsgraph), width)
            return painter.paint(footprint_frame(cloud, pose, width, near), pose)

        self.bind_display_space_shader(access.scene_of(depsgraph))
        try:
            self._shown().draw(context, depsgraph, draft)
            self.update_stats("", "")
        except PantheonError as error:
            self.update_stats("", plain_text.one_line(str(error)))
        finally:
            self.unbind_display_space_shader()

    def _shown(self) -> rendered_view.RenderedView:
        view: rendered_view.RenderedView = self._rendered_view or rendered_view.RenderedView()
        self._rendered_view = view
        return view

    def _render(self, depsgraph: Any) -> None:
        scene, layer = access.scene_of(depsgraph), depsgraph.view_layer.name
        width = panorama_width(scene)
        self._warn_of_colours(scene)
        self.update_stats("", plain_text.one_line(translated("Reading the 3D cache")))
        cloud = points(depsgraph)
        if self.test_break():
            return
        self.update_stats("", plain_text.one_line(translated("Loading captures")))
        near, own_pixels = float(access.of_scene(scene).near), bool(access.of_scene(scene).own_pixels)
        captures = unread_captures(depsgraph, capture_width(width, own_pixels))
        for name, channels, letters, _kind in PASSES[1:]:
            self.add_pass(name, channels, letters, layer=layer)  # registered ones alone do not reach a 5.x EXR
        views = self._view_names(layer)
        for index, view in enumerate(views):
            self.update_progress((index + 0.2) / len(views))
            self.active_view_set(view)
            pose, seen = self._seen(depsgraph, view, cloud)
            own = own_pixels and seen is cloud  # what an eye of two sees has been moved: captures did not see it so
            painter = _PAINTERS.painter(captures, width, _Surfaces(cloud, near) if own else None)
            pictures = self._pictures(seen, pose, painter, near)
            if pictures is None:
                return
            self._deliver(scene, layer, view, pictures)
            self._stamp({"points": len(cloud.points), "pose": pose.tolist()})
        self.update_progress(1.0)

    def _warn_of_colours(self, scene: bpy.types.Scene) -> None:
        if not view_transform.is_plain(scene) and (not self.is_animation or scene.frame_current == scene.frame_start):
            self._tell("WARNING", view_transform.warning(scene))

    def _tell(self, level: str, text: str) -> None:
        """Report a text, which Blender prints in its terminal, too: names in it may come from anywhere."""
        self.report({level}, plain_text.paragraph(translated(text)))  # type: ignore[arg-type]

    def _view_names(self, layer: str) -> list[str]:
        """The eyes or cameras that the scene renders from; one without a name if it is no multi-view scene."""
        probe = self.begin_result(0, 0, 1, 1, layer=layer)
        names = [view.name for view in probe.views]
        self.end_result(probe, cancel=True)
        return names or [""]

    def _seen(self, depsgraph: Any, view: str, cloud: PointCloud) -> tuple[np.ndarray, PointCloud]:
        """The pose that the active view renders from, and the cloud as it is seen from there."""
        camera: Any = self.camera_override
        if camera is None:
            return camera_path.pose(depsgraph), cloud  # raises: the scene has no camera
        spherical = self.use_spherical_stereo(camera)
        pose = cameras.without_scale(np.array(self.camera_model_matrix(camera, use_spherical_stereo=spherical)))
        eye = eye_of(camera.data.stereo, view) if spherical else None
        if eye is None:
            return pose, cloud
        return pose, dataclasses.replace(cloud, points=stereo.seen_by(eye, cloud.points, pose))

    def _pictures(
        self, cloud: PointCloud, pose: np.ndarray, painter: draft.DraftPainter, near: float
    ) -> dict[str, np.ndarray] | None:
        """Every pass of a full panorama, (H, W, channels) or (H, W) float32; None if the artist stopped it."""
        width = painter.width
        splatting = translated("Splatting {count:,} points", count=len(cloud.points))
        self.update_stats("", plain_text.one_line(splatting))
        if self.test_break():
            return None
        geometry = geometry_frame(cloud, pose, width, near)
        if self.test_break():
            return None
        footprints = footprint_frame(cloud, pose, width, near)
        self.update_stats("", plain_text.one_line(translated("Painting the draft")))
        if self.test_break():
            return None
        painted = painter.painted(footprints, pose)
        return {
            "Combined": with_alpha(scene_linear(painted.image), np.ones(geometry.coverage.shape, dtype=bool)),
            "Geometry": with_alpha(scene_linear(geometry.colour), geometry.coverage),
            "Depth": geometry.depth,
            "Coverage": geometry.coverage,
            "Confidence": geometry.sureness,
            "Invented": (painted.origin == origin.MADE_UP).astype(np.float32),
        }

    def _deliver(self, scene: bpy.types.Scene, layer: str, view: str, pictures: dict[str, np.ndarray]) -> None:
        """Hand over one layer's pictures of one view, the part of them that the scene renders."""
        height, width = pictures["Depth"].shape
        columns, rows = render_region(scene, width, height)
        size = (columns.stop - columns.start, rows.stop - rows.start)
        result = self.begin_result(0, 0, *size, layer=layer, view=view)
        filled = result.layers[0].passes
        for name, picture in pictures.items():
            _fill(filled[name], picture[rows, columns])
        self.end_result(result)

    def _stamp(self, facts: dict[str, Any]) -> None:
        stamp = self.get_result()
        stamp.stamp_data_add_field("Pantheon360", version())
        stamp.stamp_data_add_field("Pantheon360Points", str(facts["points"]))
        stamp.stamp_data_add_field("Pantheon360CameraToWorld", json.dumps(facts["pose"]))
        stamp.stamp_data_add_field("ProjectionType", "equirectangular")


def panorama_width(scene: bpy.types.Scene) -> int:
    """Width of what the scene renders, in pixels. Raises RenderError if they are not 2:1."""
    render = scene.render
    width = render.resolution_x * render.resolution_percentage // 100
    height = render.resolution_y * render.resolution_percentage // 100
    if width != 2 * height or width < 2:
        raise RenderError(
            f"The resolution is {width} x {height}; a panorama is twice as wide as high.",
            advice=f"Set it to {2 * max(height, 1)} x {max(height, 1)} in the Output properties.",
            code="not-2-to-1",
            repair=repairs.SET_UP_RENDERING,
        )
    return width


def render_region(scene: bpy.types.Scene, width: int, height: int) -> tuple[slice, slice]:
    """Columns and rows, from the top, that the scene's render region takes of a frame: all without one.

    Blender cuts with single precision and towards zero, and counts rows from the bottom.
    """
    render = scene.render
    if not render.use_border:
        return slice(0, width), slice(0, height)
    left, right = (int(np.float32(at) * np.float32(width)) for at in (render.border_min_x, render.border_max_x))
    low, high = (int(np.float32(at) * np.float32(height)) for at in (render.border_min_y, render.border_max_y))
    return slice(left, right), slice(height - high, height - low)


def set_up(scene: bpy.types.Scene) -> str:
    """Make this the scene's engine, at the shot's width and 2:1, in the captures' own colours.

    Returns what the artist should know: a view transform that was another before.
    """
    width = even_width(access.of_scene(scene).width)
    render: Any = scene.render
    render.engine = PANTHEON360_RenderEngine.bl_idname
    render.resolution_x, render.resolution_y = width, width // 2
    render.resolution_percentage = 100
    return view_transform.make_plain(scene)


def is_set_up(scene: bpy.types.Scene) -> bool:
    """Whether the scene renders with this engine at the shot's width, in the captures' own colours."""
    width = even_width(access.of_scene(scene).width)
    render: Any = scene.render
    size = (render.engine, render.resolution_x, render.resolution_y, render.resolution_percentage)
    ready = size == (PANTHEON360_RenderEngine.bl_idname, width, width // 2, 100)
    return bool(ready and view_transform.is_plain(scene))


def with_alpha(colour: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 colour and (H, W) bool coverage as (H, W, 4) float32, alpha 1 where covered."""
    return np.concatenate([colour, coverage[..., None].astype(np.float32)], axis=2)


class _Surfaces:
    """The points that captures see, and how near they may be; the same if their bytes are, whoever read them."""

    def __init__(self, cloud: PointCloud, near: float) -> None:
        self.cloud, self.near = cloud, near
        footprint = b"" if cloud.footprint is None else np.ascontiguousarray(cloud.footprint).data
        self._sum = zlib.crc32(footprint, zlib.crc32(np.ascontiguousarray(cloud.points).data))

    def same_as(self, other: _Surfaces | None) -> bool:
        if other is None:
            return False
        return (len(self.cloud), self.near, self._sum) == (len(other.cloud), other.near, other._sum)

    def ranges(self, captures: Sequence[UnreadCapture]) -> draft.Ranges:
        return lambda index: capture_range(self.cloud, captures[index].pose, self.near)


class _Painters:
    """The last draft painter, used again while captures, width and surfaces are the same objects and numbers."""

    def __init__(self) -> None:
        self._painter: draft.DraftPainter | None = None
        self._captures: Sequence[UnreadCapture] = []
        self._width = 0
        self._surfaces: _Surfaces | None = None

    def painter(
        self, wanted: Sequence[UnreadCapture], width: int, surfaces: _Surfaces | None = None
    ) -> draft.DraftPainter:
        """surfaces: of which the picture shows the captures' own pixels; None shows points."""
        same = width == self._width and [id(each) for each in wanted] == [id(each) for each in self._captures]
        same = same and (self._surfaces is None if surfaces is None else surfaces.same_as(self._surfaces))
        if self._painter is None or not same:
            ranges = None if surfaces is None else surfaces.ranges(wanted)
            self._painter = draft.DraftPainter(wanted, width, ranges)
            self._captures, self._width, self._surfaces = wanted, width, surfaces
        return self._painter

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]


def eye_of(settings: Any, view: str) -> stereo.Eye | None:
    """The eye of a view by a camera's stereoscopy settings; None for a view that is neither left nor right."""
    side = {"left": -0.5, "right": 0.5}.get(view)
    if side is None:
        return None
    return stereo.Eye(
        offset=side * settings.interocular_distance,
        convergence=math.inf if settings.convergence_mode == "PARALLEL" else settings.convergence_distance,
        merge_from=settings.pole_merge_angle_from if settings.use_pole_merge else None,
        merge_to=settings.pole_merge_angle_to,
    )


def _fill(render_pass: Any, picture: np.ndarray) -> None:
    """Blender's render results have their first row at the bottom."""
    render_pass.rect.foreach_set(np.ascontiguousarray(picture[::-1], dtype=np.float32).ravel())


def _panels() -> list[Any]:
    """Blender's own panels that make sense here: output, resolution, metadata, view layers, camera; no shading."""
    unwanted = {"RENDER_PT_gpencil", "RENDER_PT_freestyle", "RENDER_PT_simplify", "VIEWLAYER_PT_filter"}
    return [
        panel
        for panel in bpy.types.Panel.__subclasses__()
        if "BLENDER_RENDER" in getattr(panel, "COMPAT_ENGINES", ()) and panel.__name__ not in unwanted
    ]


_PAINTERS = _Painters()
_VIEWPORT = _Painters()  # those of viewports, which show points: each redraw waits for the picture


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
    _PAINTERS.clear()
    _VIEWPORT.clear()
