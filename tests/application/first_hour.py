"""A newcomer's first hour: the engine, captures, a cache, a video that plays. By the mouse and the keyboard alone."""

from __future__ import annotations

import importlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import bpy

PACKAGE = "bl_ext.user_default.pantheon360.pantheon360_blender"
SIDEBAR = ("VIEW_3D", "UI")


def steps(hand: Any, told: dict[str, Any]) -> Generator[float, None, None]:
    """What is pressed is in `told["actions"]`; installing the engine is told apart."""
    bpy.context.scene.frame_end = 48  # as a studio's own startup file may have it
    yield from hand.picture("empty")
    yield from _import(hand)
    yield from hand.picture("imported")
    first = hand.actions
    hand.actions = told["engine_actions"] = []
    yield from _install_engine(hand)
    hand.actions = told["actions"] = first
    yield from _build(hand)
    yield from _generate(hand)
    yield from hand.press_button("pantheon360.show_result", *SIDEBAR, "click Show Result")
    yield from hand.until(lambda: _playing(hand), 300, "a playing sequencer")
    yield 2.0
    yield from hand.picture("playing")
    told |= _what_is_there()


def _import(hand: Any) -> Generator[float, None, None]:
    window = hand.window
    yield from hand.click(46, window.height - 13, "click File")
    yield 0.5
    found = None
    for row in range(window.height - 40, window.height - 560, -20):
        yield from hand.move(60, row)
        yield 0.35  # a submenu opens
        yield from hand.move(160, row)
        if (yield from hand.seek("import", [(320, row + 4), (320, row - 16)])):  # one of Blender's own
            found = yield from hand.seek("pantheon360.import_captures", [(320, y) for y in range(row, row - 500, -15)])
            break
    assert found, "File > Import has no 360° captures"
    yield from hand.picture("menu")
    yield from hand.click(*found, "click Import > 360° Captures")
    yield from hand.until(lambda: hand.area("FILE_BROWSER") is not None, 300, "the file browser")
    yield from hand.picture("browser")
    yield from hand.press_button("file.execute", "FILE_BROWSER", "EXECUTE", "click Import 360° Captures", at=0.93)
    yield from hand.until(lambda: len(_captures()) >= 2, 300, "two captures")


def _install_engine(hand: Any) -> Generator[float, None, None]:
    yield from hand.press_button("pantheon360.install_engine", *SIDEBAR, "click Install Engine")
    yield 1.0
    yield from hand.picture("engine")
    x, y = hand.place
    yield from hand.fill(
        os.environ["WHEELS"], [(x - 60, y - dy) for dy in range(0, 400, hand.ROW)], "name the packages"
    )
    yield 1.0
    yield from hand.picture("engine-filled")
    yield from hand.press("RET", "press Enter")
    engine = importlib.import_module(f"{PACKAGE}.scene.app.engine")
    yield 2.0
    yield from hand.picture("engine-installing")
    yield from hand.until(lambda: _went_well() and engine.current() is not None, 400, "the engine")
    yield from hand.picture("engine-installed")


def _build(hand: Any) -> Generator[float, None, None]:
    yield from hand.press_button("pantheon360.build_cache", *SIDEBAR, "click Build 3D Cache")
    yield 3.0
    yield from hand.picture("building")
    yield from hand.until(lambda: _went_well() and _cache() is not None, 400, "a first look at the 3D cache")
    yield from hand.picture("first-look")
    yield from hand.until(lambda: _went_well() and "pantheon360_look" not in _cache(), 400, "a 3D cache")
    yield from hand.picture("built")


def _generate(hand: Any) -> Generator[float, None, None]:
    yield from hand.press_button("pantheon360.generate", *SIDEBAR, "click Generate 360° Video")
    yield 5.0
    yield from hand.picture("generating")
    strips = importlib.import_module(f"{PACKAGE}.scene.shot.strips")
    yield from hand.until(lambda: _went_well() and strips.newest(bpy.context.scene) is not None, 900, "a strip")
    yield from hand.picture("generated")


def _went_well() -> bool:
    """Raises AssertionError with what the panels say of a job that failed."""
    outcomes = importlib.import_module(f"{PACKAGE}.scene.background.outcomes")
    for stage in ("captures", "cache", "video", "engine"):
        outcome = outcomes.of(bpy.context.scene, stage)
        assert outcome is None or not outcome.error, outcome.error
    return True


def _captures() -> list[Any]:
    return [obj for obj in bpy.context.scene.objects if obj.pantheon360.is_capture]


def _cache() -> Any:
    return next((obj for obj in bpy.context.scene.objects if obj.pantheon360.is_cache), None)


def _playing(hand: Any) -> bool:
    return bool(hand.window.screen.is_animation_playing) and hand.area("SEQUENCE_EDITOR") is not None


def _what_is_there() -> dict[str, Any]:
    scene = bpy.context.window_manager.windows[0].scene
    strips = importlib.import_module(f"{PACKAGE}.scene.shot.strips")
    strip = strips.newest(scene)
    cache = next(obj for obj in scene.objects if obj.pantheon360.is_cache)
    frames = sorted((Path(bpy.path.abspath(strip.directory))).glob("*.png"))
    assert len(frames) == scene.frame_end, f"{len(frames)} frames are painted"
    assert len(cache.data.vertices) > 10_000, f"{len(cache.data.vertices)} points are in the cache"
    assert scene.camera.animation_data is not None, "the camera does not move"
    return {"points": len(cache.data.vertices), "strip": strip.name, "frames": len(frames), "camera": scene.camera.name}
