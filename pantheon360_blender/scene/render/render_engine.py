"""The geometry pass as a render engine: F12, Ctrl F12, `blender -b FILE -a` and farms render what the camera will see.

Passes: Combined (the draft: footprint splats over the captures at infinity, holes filled), Geometry (what the model
sees: one pixel a point, alpha 1 where one is), Depth (Euclidean range in metres, infinity where nothing is) and
Coverage (1 where a point is).
"""

from __future__ import annotations

import json
from typing import Any

import bpy
import numpy as np

from ...core import repairs
from ...core.errors import PantheonError, RenderError
from ...core.panorama.capture import UnreadCapture
from ...core.render import splatting
from ...core.render.draft import DraftPainter
from ...core.version import version
from ..app import access
from ..camera import camera_path
from ..captures.colour import scene_linear
from .geometry_pass import KNOWN_CAPTURES, even_width, footprint_frame, points, unread_captures

PASSES: Any = (
    ("Combined", 4, "RGBA", "COLOR"),
    ("Geometry", 4, "RGBA", "COLOR"),
    ("Depth", 1, "Z", "VALUE"),
    ("Coverage", 1, "X", "VALUE"),
)
"""Name, channels, channel letters and kind of every pass."""


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
        scene = access.scene_of(depsgraph)
        width = panorama_width(scene)
        self.update_stats("", "Reading the 3D cache")
        pose = camera_path.pose(depsgraph)
        cloud = points(depsgraph)
        if self.test_break():
            return
        self.update_stats("", "Loading captures")
        painter = _PAINTERS.painter(unread_captures(depsgraph), width)
        self.update_progress(0.2)
        if self.test_break():
            return
        self.update_stats("", f"Splatting {len(cloud.points):,} points")
        near = float(access.of_scene(scene).near)
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
        self, depsgraph: Any, geometry: splatting.GeometryFrame, draft: np.ndarray, facts: dict[str, Any]
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
        stamp.stamp_data_add_field("Pantheon360", version())
        stamp.stamp_data_add_field("Pantheon360Points", str(facts["points"]))
        stamp.stamp_data_add_field("Pantheon360CameraToWorld", json.dumps(facts["pose"]))
        stamp.stamp_data_add_field("ProjectionType", "equirectangular")
        self.end_result(result)


def panorama_width(scene: bpy.types.Scene) -> int:
    """Width of what the scene renders, in pixels. Raises RenderError if they are not 2:1."""
    render = scene.render
    share = render.resolution_percentage / 100
    width, height = int(render.resolution_x * share), int(render.resolution_y * share)
    if width != 2 * height or width < 2:
        raise RenderError(
            f"The resolution is {width} x {height}; a panorama is twice as wide as high.",
            advice=f"Set it to {2 * max(height, 1)} x {max(height, 1)} in the Output properties.",
            code="not-2-to-1",
            repair=repairs.SET_UP_RENDERING,
        )
    return width


def set_up(scene: bpy.types.Scene) -> None:
    """Make this the scene's engine, at the shot's width and 2:1."""
    width = even_width(access.of_scene(scene).width)
    render: Any = scene.render
    render.engine = PANTHEON360_RenderEngine.bl_idname
    render.resolution_x, render.resolution_y = width, width // 2
    render.resolution_percentage = 100


def is_set_up(scene: bpy.types.Scene) -> bool:
    """Whether the scene renders with this engine at the shot's width."""
    width = even_width(access.of_scene(scene).width)
    render: Any = scene.render
    size = (render.engine, render.resolution_x, render.resolution_y, render.resolution_percentage)
    return bool(size == (PANTHEON360_RenderEngine.bl_idname, width, width // 2, 100))


def with_alpha(colour: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 colour and (H, W) bool coverage as (H, W, 4) float32, alpha 1 where covered."""
    return np.concatenate([colour, coverage[..., None].astype(np.float32)], axis=2)


class _Painters:
    """The last draft painter, used again while captures and width are the same objects and numbers."""

    def __init__(self) -> None:
        self._painter: DraftPainter | None = None
        self._captures: list[UnreadCapture] = []
        self._width = 0

    def painter(self, wanted: list[UnreadCapture], width: int) -> DraftPainter:
        same = width == self._width and [id(each) for each in wanted] == [id(each) for each in self._captures]
        if self._painter is None or not same:
            self._painter = DraftPainter(wanted, width)
            self._captures, self._width = wanted, width
        return self._painter

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]


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
    KNOWN_CAPTURES.clear()
    _PAINTERS.clear()
