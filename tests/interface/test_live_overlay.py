"""Where the live panorama stands, when spheres fade, and that Blender's own points are hidden only where ours are."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]
CORNERS = ("TOP_LEFT", "TOP_RIGHT", "BOTTOM_LEFT", "BOTTOM_RIGHT")


def overlaps(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    """Whether two rectangles (left, bottom, width, height) have pixels in common."""
    return (
        one[0] < two[0] + two[2] and two[0] < one[0] + one[2] and one[1] < two[1] + two[3] and two[1] < one[1] + one[3]
    )


@pytest.mark.parametrize("corner", CORNERS)
def test_it_keeps_clear_of_what_blender_draws(house: House, corner: str) -> None:
    overlay = house("ui.live_overlay")
    sizes = ((1574, 1063), (900, 400), (600, 900), (3000, 1800))
    for (width, height), share, scale in itertools.product(sizes, (0.1, 0.38, 1.0), (1.0, 2.0)):
        free = overlay.Free(40.0, 0.0, float(width), float(height))
        placed = overlay.place(free, corner, share, scale)
        if placed is None:
            continue
        whole = (*placed[:3], placed[3] + overlay.LINE * scale)
        assert placed[2] == pytest.approx(2 * placed[3], abs=1.0)
        assert placed[2] >= overlay.LEAST_WIDTH * scale - 1
        assert whole[0] >= free.left and whole[0] + whole[2] <= free.right
        assert whole[1] >= free.bottom and whole[1] + whole[3] <= free.top
        if corner.endswith("RIGHT"):
            turning = (width - 90 * scale, height - 90 * scale, 90 * scale, 90 * scale)
            assert corner == "BOTTOM_RIGHT" or not overlaps(whole, turning)
        if corner == "TOP_LEFT":
            assert not overlaps(whole, (40.0, height - 60 * scale, 300.0, 60 * scale))


def test_a_narrow_viewport_shows_none(house: House) -> None:
    overlay = house("ui.live_overlay")
    assert overlay.place(overlay.Free(0.0, 0.0, 150.0, 600.0), "BOTTOM_RIGHT", 1.0, 1.0) is None
    assert overlay.place(overlay.Free(0.0, 0.0, 900.0, 60.0), "BOTTOM_RIGHT", 1.0, 1.0) is None


def test_spheres_fade_where_the_view_or_the_camera_is(house: House) -> None:
    spheres = house("scene.live.photograph_spheres")
    middle = np.array([1.0, 2.0, 3.0])

    def seen(distance: float, camera: float | None = None) -> float:
        along = np.array([0.6, 0.0, 0.8])
        beside = None if camera is None else middle + along * camera
        return float(spheres.opacity(middle + along * distance, beside, middle, 0.5))

    found = [seen(distance) for distance in np.linspace(0.0, 3.0, 40)]
    assert found == sorted(found)
    assert seen(0.0) == seen(0.5) == 0.0
    assert seen(3.0) == 1.0
    assert 0.0 < seen(3.0, camera=0.1) < seen(3.0, camera=0.8) == 1.0
    assert spheres.opacity(None, None, middle, 0.5) == 1.0


def test_blenders_points_are_hidden_and_shown_again(house: House, blend: Any) -> None:
    import bpy

    hiding = house("scene.live.blender_points")
    spaces = [space for screen in bpy.data.screens for area in screen.areas for space in area.spaces]
    spaces = [space for space in spaces if space.type == "VIEW_3D"]
    assert len(spaces) > 1, "the factory's file has viewports"
    try:
        hiding.hide(spaces[0], hide=True)
        hiding._fulfil()
        assert [space.show_object_viewport_pointcloud for space in spaces[:2]] == [False, True]
        spaces[1].show_object_viewport_pointcloud = False  # by the artist
        hiding.hide(spaces[1], hide=False)
        hiding._fulfil()
        assert not spaces[1].show_object_viewport_pointcloud
        hiding.free()
        assert [space.show_object_viewport_pointcloud for space in spaces[:2]] == [True, False]
    finally:
        hiding.free()
        for space in spaces:
            space.show_object_viewport_pointcloud = True
