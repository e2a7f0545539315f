"""The live panorama follows a hand that drags the timeline; then its picture is what the processor would draw."""

from __future__ import annotations

import importlib
import math
from collections.abc import Generator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Euler

PACKAGE = "bl_ext.user_default.pantheon360.pantheon360_blender"
MOST_DIFFERENT = 0.01
"""Share of pixels that may differ from the processor's pass by more than two levels."""


def house(name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.{name}")


def steps(hand: Any, told: dict[str, Any]) -> Generator[float, None, None]:
    scene = bpy.context.scene
    _furnish(scene)
    yield 1.0
    yield from _settled(hand)
    yield from hand.picture("there")
    assert not any(obj.hide_viewport for obj in scene.objects if obj.pantheon360.is_cache)
    told["seen_while_dragging"] = yield from _drag(hand, scene)
    yield from _settled(hand)
    yield from hand.picture("dragged")
    told["differs"] = _differs(scene)
    assert told["differs"] <= MOST_DIFFERENT, told["differs"]
    assert told["seen_while_dragging"] >= 3, "the picture did not follow"
    hand.area("VIEW_3D").spaces.active.region_3d.view_perspective = "CAMERA"
    yield from _settled(hand)
    yield from hand.picture("through-the-camera")
    region = hand.region("VIEW_3D", "HEADER")
    yield from hand.click(region.x + region.width - 18, region.y + region.height // 2, "click the switch")
    yield 0.5
    assert not scene.pantheon360.live, "the header has no switch"
    yield from hand.picture("off")


def _furnish(scene: Any) -> None:
    """A room of points, two captures and a camera that moves through it in 48 frames."""
    for name in ("Cube", "Light"):
        bpy.data.objects.remove(bpy.data.objects[name])
    generator = np.random.default_rng(1)
    half = np.array([5.0, 8.0, 1.6])
    areas = np.array([half[1] * half[2], half[0] * half[2], half[0] * half[1]])
    count = 120_000
    axis = generator.choice(3, count, p=areas / areas.sum())
    places = generator.uniform(-1.0, 1.0, (count, 3))
    places[np.arange(count), axis] = np.sign(places[np.arange(count), axis])
    places = places[~((axis == 2) & (places[:, 2] > 0) & (np.abs(places[:, 0]) < 0.4))]  # a skylight
    points = (places * half + (0.0, 3.0, 1.6)).astype(np.float32)
    colours = (127 + 127 * np.sin(3.0 * points + (0, 1, 2))).astype(np.uint8)
    footprint = np.full(len(points), 1.3 * math.sqrt(8.0 * areas.sum() / count), np.float32)
    cloud = house("core.points.point_cloud").PointCloud(points, colours, footprint=footprint)
    house("scene.cache.cache_objects").replace(scene, cloud)
    photographs = sorted(Path("~").expanduser().glob("*.jpg"))
    importing = house("scene.captures.capture_objects").import_files(scene, photographs)
    house("scene.app.jobs").run_blocking(importing)
    for number, obj in enumerate(obj for obj in scene.objects if obj.pantheon360.is_capture):
        obj.location = (0.0, 6.0 * number, 1.6)
    scene.camera.rotation_euler = (math.pi / 2, 0.0, 0.0)
    for frame, y in ((1, -3.0), (48, 8.0)):
        scene.camera.location = (0.3, y, 1.6)
        scene.camera.keyframe_insert("location", frame=frame)
    scene.frame_end = 48
    scene.frame_set(1)
    view = max((a for a in bpy.context.window_manager.windows[0].screen.areas if a.type == "VIEW_3D"), key=_size)
    view.spaces.active.region_3d.view_location = (0.0, 3.0, 1.5)
    view.spaces.active.region_3d.view_distance = 14.0
    view.spaces.active.region_3d.view_rotation = Euler((0.9, 0.0, 0.6)).to_quaternion()


def _size(area: Any) -> int:
    return int(area.width * area.height)


def _drag(hand: Any, scene: Any) -> Generator[float, None, int]:
    """Drag the current frame along the timeline; how many pictures were begun meanwhile."""
    area = hand.area("DOPESHEET_EDITOR")
    region = next(each for each in area.regions if each.type == "WINDOW")
    row = region.y + region.height - 10
    seen = set()
    yield from hand.move(region.x + 60, row)
    hand._event("LEFTMOUSE", "PRESS", region.x + 60, row)
    for x in range(60, region.width // 3, 40):
        hand._event("MOUSEMOVE", "NOTHING", region.x + x, row)
        yield 0.3
        seen.add(_panorama(scene)._key[:1])
    hand._event("LEFTMOUSE", "RELEASE", *hand.place)
    yield 0.3
    return len(seen)


def _panorama(scene: Any) -> Any:
    return next(iter(house("scene.live.live_panorama")._panoramas.values()))


def _differs(scene: Any) -> float:
    """Share of the pixels with points that are another color than the processor's pass has there."""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    panorama = _panorama(scene)
    texture = panorama.texture(depsgraph)
    picture = np.array(texture.read().to_list(), np.float32).reshape(texture.height, texture.width, 4)[::-1]
    picture = picture if picture.max() > 1.0 else picture * 255.0
    cloud = house("scene.cache.cache_objects").evaluated_points(depsgraph)
    frame = house("core.render.splatting").splat_footprints(
        cloud.points,
        cloud.colours,
        cloud.footprint,
        house("scene.camera.camera_path").pose(depsgraph),
        panorama.width,
        near=scene.pantheon360.near,
    )
    off = np.abs(picture[..., :3] - frame.colour).max(axis=2) > 2.0
    return round(float(off[frame.coverage].mean()), 5)


def _settled(hand: Any) -> Generator[float, None, None]:
    yield 0.5
    yield from hand.until(lambda: not house("scene.live.refining").is_busy(), 300, "a finished picture")
    yield 0.5
