"""Crop layouts: what they cover, and that a rig's cameras see in world directions what the panorama shows there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.reconstruction import rig
from backend.reconstruction.rig import LAYOUTS, Layout, Rig
from pantheon360_blender.core.errors import PoseError
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import pose_matrix, rotation_from_heading
from pantheon360_blender.core.panorama.capture import Capture

WIDTH = 256


def world_colours(pose: np.ndarray, width: int = WIDTH) -> np.ndarray:
    """A panorama whose colour is the world direction: (d + 1) / 2 in 8 bits."""
    world = equirectangular.directions(width) @ pose[:3, :3].T
    return np.rint((world + 1) * 127.5).astype(np.uint8)


@pytest.fixture(params=sorted(LAYOUTS))
def layout(request: pytest.FixtureRequest) -> Layout:
    return LAYOUTS[request.param]


def test_counts_are_the_fields_usual_ones() -> None:
    assert {name: len(layout) for name, layout in LAYOUTS.items()} == {
        "horizon": 8,
        "bands": 12,
        "icosahedron": 20,
        "cube": 6,
    }
    assert len(rig.icosahedron("vertices")) == 12


@pytest.mark.parametrize("name", ["icosahedron", "cube"])
def test_whole_sphere_layouts_leave_nothing_out(name: str) -> None:
    _, inside = LAYOUTS[name].project(equirectangular.directions(WIDTH))
    assert inside.any(axis=0).all()


def test_crops_overlap_so_that_neighbours_can_be_joined(layout: Layout) -> None:
    _, inside = layout.project(equirectangular.directions(WIDTH))
    for view in range(len(layout)):
        shared = inside[view] & np.delete(inside, view, axis=0).any(axis=0)
        assert shared.sum() > 0.05 * inside[view].sum()


def test_directions_of_icosahedron_are_evenly_spread() -> None:
    for of, nearest in (("vertices", 63.435), ("faces", 41.810)):
        looking = -rig.icosahedron(of).rotations[:, :, 2]
        cosines = np.sort(looking @ looking.T, axis=1)[:, -2]
        assert np.degrees(np.arccos(cosines)) == pytest.approx(nearest, abs=1e-3)


def test_projection_undoes_directions(layout: Layout) -> None:
    small = layout.resized(16)
    looking = small.directions()
    for view in range(len(small)):
        pixels, inside = small.project(looking[view])
        v, u = np.mgrid[:16, :16] + 0.5
        assert inside[view].all()
        np.testing.assert_allclose(pixels[view], np.stack([u, v], axis=-1), atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.floats(-180, 180), st.floats(-60, 60), st.floats(-180, 180))
def test_crops_show_what_the_world_shows_in_their_rays(heading: float, pitch: float, roll: float) -> None:
    pose = pose_matrix(rotation_from_heading(heading, pitch, roll), np.array([1.0, 2.0, 3.0]))
    crops = Rig(Capture("c", world_colours(pose), pose), rig.cube(size=24))
    pictures = crops.crops()
    for picture, opencv in zip(pictures, crops.poses_opencv, strict=True):
        v, u = np.mgrid[:24, :24] + 0.5
        rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(crops.layout.intrinsics).T
        rays = rays / np.linalg.norm(rays, axis=-1, keepdims=True) @ opencv[:3, :3].T
        shown = picture / 127.5 - 1
        assert np.abs(shown - rays).max() < 0.04  # two levels, and half a pixel of the resized panorama


def test_all_crops_share_the_captures_centre_and_both_conventions_agree(layout: Layout) -> None:
    pose = pose_matrix(rotation_from_heading(40, 5, -3), np.array([1.0, -2.0, 1.7]))
    crops = Rig(Capture("c", world_colours(pose, 64), pose), layout)
    np.testing.assert_array_equal(crops.poses_blender[:, :3, 3], np.tile(crops.centre, (len(layout), 1)))
    np.testing.assert_allclose(crops.poses_opencv[:, :3, 2], -crops.poses_blender[:, :3, 2])
    np.testing.assert_allclose(crops.poses_opencv[:, :3, 0], crops.poses_blender[:, :3, 0])


def test_first_horizon_crop_looks_along_the_image_centre_and_the_next_to_the_right() -> None:
    looking = -rig.horizon().rotations[:, :, 2]
    np.testing.assert_allclose(looking[0], (0, 0, -1), atol=1e-12)
    np.testing.assert_allclose(looking[2], (1, 0, 0), atol=1e-12)


def test_a_mask_keeps_every_pixel_it_took_part_in_out() -> None:
    valid = np.ones((128, 256), np.bool_)
    valid[100:] = False
    pose = np.eye(4)
    crops = Rig(Capture("c", np.zeros((128, 256, 3), np.uint8), pose, valid), rig.cube(size=64))
    kept = crops.valid()
    lowest = np.arcsin(crops.layout.directions()[..., 1])
    assert not kept[lowest < np.pi * (0.5 - 100 / 128) + 0.001].any()
    assert kept[lowest > np.pi * (0.5 - 98 / 128) + 0.05].all()
    assert kept[4].all() and not kept[5, 20:44, 20:44].any()


@pytest.mark.parametrize("fov", [0.0, np.pi, -1.0])
def test_impossible_cameras_are_refused(fov: float) -> None:
    with pytest.raises(ValueError, match="no camera"):
        rig.horizon(fov=fov)


def test_a_rotation_that_mirrors_is_refused() -> None:
    with pytest.raises(PoseError):
        Layout("bad", np.diag([1.0, 1.0, -1.0])[None], 1.0, 8)
