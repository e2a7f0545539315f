"""Settings live in the .blend, double precision where a metre depends on it, and leave nothing when unregistered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

House = Callable[[str], ModuleType]


def test_a_scene_starts_with_the_settings_of_a_shot(house: House, blend: Any) -> None:
    settings = blend.pantheon360
    assert (settings.width, settings.projection_width, settings.frame_step) == (1024, 1024, 1)
    assert settings.nearest_capture_only and settings.cache is None
    assert settings.painter == "DRAFT" and settings.strip_source == "FRAMES"
    chosen = settings.diffusion
    assert chosen.circular and (chosen.roll, chosen.padding, chosen.weighting) == ("QUARTER", 2, "EQUAL")
    assert (chosen.anchors, chosen.every, chosen.model) == ("AUTO", 1, "")


def test_seeds_keep_their_64_bits(house: House, blend: Any) -> None:
    blend.pantheon360.seed = str(2**64 - 1)
    assert int(blend.pantheon360.seed) == 2**64 - 1


def test_places_survive_the_file_to_the_centimetre(house: House, blend: Any, tmp_path: Path) -> None:
    import bpy

    captures, images = house("scene.captures.capture_objects"), house("scene.captures.images")
    obj = captures.create(blend, "here", images.from_array("here", np.zeros((16, 32, 3), np.uint8)))
    place = house("core.geography").Position(48.123456789012, -2.987654321098, 35.25)
    settings = obj.pantheon360
    settings.has_position = True
    settings.latitude, settings.longitude, settings.altitude = map(
        repr, (place.latitude, place.longitude, place.altitude)
    )
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "places.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "places.blend"))
    assert captures.position(bpy.data.objects["here"]) == place


def test_only_captures_are_offered_as_ends_of_the_path(house: House, blend: Any) -> None:
    import bpy

    captures, images = house("scene.captures.capture_objects"), house("scene.captures.images")
    capture = captures.create(blend, "there", images.from_array("there", np.zeros((16, 32, 3), np.uint8)))
    other = bpy.data.objects.new("other", None)
    offered = house("scene.properties").is_capture_object
    assert offered(blend.pantheon360, capture) and not offered(blend.pantheon360, other)


def test_preferences_belong_to_the_extension(extension: ModuleType, house: House) -> None:
    preferences = house("scene.app.preferences")
    assert extension.__name__ == preferences.ROOT_PACKAGE
    assert preferences.of_addon().backend_python == ""
