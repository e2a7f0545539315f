"""What the live panorama and a redraw of the viewport take, by the number of the cache's points."""

from __future__ import annotations

import importlib
import math
import statistics
import time
from collections.abc import Callable, Generator
from typing import Any

import bpy
import numpy as np
from mathutils import Euler, Quaternion

PACKAGE = "bl_ext.user_default.pantheon360.pantheon360_blender"
COUNTS = (100_000, 1_000_000, 1_300_000, 5_000_000)
WIDTH = 1024
REPEATED = 5


def house(name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.{name}")


def steps(hand: Any, told: dict[str, Any]) -> Generator[float, None, None]:
    """Figures are milliseconds: of the processor, all threads together, and on the clock."""
    names = ("shader", "cpu", "viewport_with_cache", "viewport_without", "viewport_at_rest")
    figures: dict[str, Any] = {kind: {name: {} for name in names} for kind in ("processor", "clock")}
    told["figures"] = figures
    scene = bpy.context.scene
    for name in ("Cube", "Light"):
        bpy.data.objects.remove(bpy.data.objects[name])
    scene.camera.location = (0.0, 0.0, 1.6)
    scene.pantheon360.live = False  # the viewport alone
    view = _viewport(hand).spaces.active.region_3d
    view.view_location, view.view_distance = (0.0, 3.0, 1.5), 18.0
    view.view_rotation = Euler((1.0, 0.0, 0.6)).to_quaternion()
    for count in COUNTS:
        cloud = room(count)
        obj = house("scene.cache.cache_objects").replace(scene, cloud)
        obj.pantheon360.most_shown = count
        yield 1.0
        yield from _settled(hand)
        yield from hand.picture(f"{count}")
        pose = house("scene.camera.camera_path").pose(bpy.context.evaluated_depsgraph_get())
        _measure(figures, "shader", count, _shader(cloud, pose))
        _measure(figures, "cpu", count, _cpu(cloud, pose))
        yield 0.5
        yield from _settled(hand)
        _measure(figures, "viewport_at_rest", count, _redraw(hand, turn=False))
        _measure(figures, "viewport_with_cache", count, _redraw(hand, turn=True))
        obj.hide_viewport = True
        yield 0.5
        _measure(figures, "viewport_without", count, _redraw(hand, turn=True))
        obj.hide_viewport = False


def room(count: int) -> Any:
    """Points of the floor, the walls and the ceiling of a room of 10 x 16 x 3.2 m."""
    generator = np.random.default_rng(1)
    half = np.array([5.0, 8.0, 1.6])
    areas = np.array([half[1] * half[2], half[0] * half[2], half[0] * half[1]])
    axis = generator.choice(3, count, p=areas / areas.sum())
    places = generator.uniform(-1.0, 1.0, (count, 3))
    places[np.arange(count), axis] = np.sign(places[np.arange(count), axis])
    spacing = math.sqrt(8.0 * areas.sum() / count)
    colours = generator.integers(0, 256, (count, 3), dtype=np.uint8)
    footprint = np.full(count, 1.3 * spacing, np.float32)
    points = (places * half + (0.0, 3.0, 1.6)).astype(np.float32)
    return house("core.points.point_cloud").PointCloud(points, colours, footprint=footprint)


def _shader(cloud: Any, pose: np.ndarray) -> Callable[[], Any]:
    shader, points = house("scene.live.panorama_shader"), house("scene.live.card_points")
    layer = shader.Layer(WIDTH)
    card = points.upload(points.pack(cloud))

    def draw() -> None:
        layer.clear()
        layer.splat(card, range(card.count), pose, np.eye(4), 0.05)
        shader.wait()

    return draw


def _cpu(cloud: Any, pose: np.ndarray) -> Callable[[], Any]:
    splatting = house("core.render.splatting")
    return lambda: splatting.splat_footprints(cloud.points, cloud.colours, cloud.footprint, pose, WIDTH, near=0.05)


def _redraw(hand: Any, *, turn: bool) -> Callable[[], Any]:
    """One redraw of the viewport. turn: by a degree before, as while one orbits."""
    area = _viewport(hand)
    region = next(each for each in area.regions if each.type == "WINDOW")
    view = area.spaces.active.region_3d

    def draw() -> None:
        if turn:
            view.view_rotation = Quaternion((0.0, 0.0, 1.0), math.radians(1.0)) @ view.view_rotation
            view.update()
        with bpy.context.temp_override(window=hand.window, area=area, region=region):
            bpy.ops.wm.redraw_timer(type="DRAW", iterations=1)

    return draw


def _viewport(hand: Any) -> Any:
    return hand.area("VIEW_3D")


def _measure(figures: dict[str, Any], name: str, count: int, work: Callable[[], Any]) -> None:
    work()
    spent: dict[str, list[float]] = {"processor": [], "clock": []}
    for _ in range(REPEATED):
        began = time.process_time(), time.perf_counter()
        work()
        spent["processor"].append(time.process_time() - began[0])
        spent["clock"].append(time.perf_counter() - began[1])
    for kind, seconds in spent.items():
        figures[kind][name][str(count)] = round(1000 * statistics.median(seconds), 1)
    print(name, count, {kind: round(1000 * statistics.median(each)) for kind, each in spent.items()}, flush=True)


def _settled(hand: Any) -> Generator[float, None, None]:
    """Until all points are in the picture."""
    refining = house("scene.live.refining")
    yield 0.5
    yield from hand.until(lambda: not refining.is_busy(), 240, "all points in the viewport")
