"""What all learned reconstructors share: crops that agree, runs of captures, edges, sky and scale."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba", reason="range maps are merged in the backend's environment")

from backend.reconstruction.crops import crop_alignment, from_crops
from backend.reconstruction.crops.from_crops import DISPARITY, CropGeometry
from backend.reconstruction.reconstruction import Reconstruction
from backend.reconstruction.rig import Layout, Rig, bands, cube, horizon, icosahedron
from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import rotation_from_heading
from pantheon360_blender.core.panorama.capture import Capture

LOW, HIGH = np.array([-3.0, -4.0, 0.0]), np.array([4.0, 5.0, 3.0])
SIZE, WIDTH = 64, 128


def capture(position: tuple[float, float, float] = (0.3, -1.2, 1.6), heading: float = 30.0) -> Capture:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation_from_heading(heading), position
    return Capture(f"at {position}", np.full((32, 64, 3), 90, np.uint8), pose)


def depth_of(rig: Rig) -> np.ndarray:
    """(V, s, s) depth along each crop's axis of the room's walls."""
    local = rig.layout.directions()
    world = local @ rig.capture.pose[:3, :3].T
    with np.errstate(divide="ignore"):
        steps = np.where(world > 0, (HIGH - rig.centre) / world, (LOW - rig.centre) / world)
    ahead = np.einsum("vhwi,vi->vhw", local, -rig.layout.rotations[:, :, 2])
    return np.asarray(np.nan_to_num(steps, nan=np.inf).min(axis=-1) * ahead)


def truth(where: Capture) -> np.ndarray:
    world = equirectangular.directions(WIDTH).astype(np.float64) @ where.pose[:3, :3].T
    with np.errstate(divide="ignore"):
        steps = np.where(world > 0, (HIGH - where.pose[:3, 3]) / world, (LOW - where.pose[:3, 3]) / world)
    return np.asarray(np.nan_to_num(steps, nan=np.inf).min(axis=-1))


def reconstruct(rigs: list[Rig], answers: list[tuple[list[int], CropGeometry]], **options: Any) -> Reconstruction:
    job = from_crops.reconstruction(rigs, rigs[0].layout, answers, {"width": WIDTH, "sky": False, **options})
    while True:
        try:
            next(job)
        except StopIteration as end:
            assert isinstance(end.value, Reconstruction)
            return end.value


LAYOUTS = [horizon(size=SIZE), bands(size=SIZE), icosahedron("vertices", size=SIZE), cube(np.radians(5), size=SIZE)]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=5, deadline=None)
def test_scales_of_crops_follow_from_their_overlaps(layout: Layout, seed: int) -> None:
    """Whatever factor each crop comes with, one is left for all of them."""
    depth = depth_of(Rig(capture(), layout))
    factors = np.exp(np.random.default_rng(seed).uniform(-1, 1, len(layout)))
    left = factors * crop_alignment.align_scales(depth * factors[:, None, None], layout)
    assert np.abs(left / left.mean() - 1).max() < 2e-3


def test_something_that_moved_between_crops_does_not_bend_their_scales() -> None:
    """A third of a crop at half its depth: the medians of overlaps pass over it."""
    layout = horizon(size=SIZE)
    depth = depth_of(Rig(capture(), layout))
    depth[2, :, : SIZE // 4] *= 0.5
    assert np.abs(crop_alignment.align_scales(depth, layout) - 1).max() < 0.01


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=3, deadline=None)
def test_affine_inverse_depth_becomes_depth(layout: Layout, seed: int) -> None:
    """Scale and shift of each crop's inverse depth: one factor is left for all."""
    depth = depth_of(Rig(capture(), layout))
    random = np.random.default_rng(seed)
    values = random.uniform(0.2, 9, (len(depth), 1, 1)) / depth + random.uniform(-0.5, 0.5, (len(depth), 1, 1))
    scale, shift = crop_alignment.align_disparities(values, layout)
    left = (scale[:, None, None] * values + shift[:, None, None]) * depth
    assert (scale > 0).all() and np.abs(left / np.median(left) - 1).max() < 0.05
    assert np.percentile(np.abs(left / np.median(left) - 1), 90) < 0.01


def test_agreement_is_low_where_a_crop_stands_alone_with_its_depth() -> None:
    layout = horizon(size=SIZE)
    depth = depth_of(Rig(capture(), layout))
    assert np.percentile(crop_alignment.agreement(depth, layout)[:, 20:44], 2) > 0.9
    depth[3] *= 1.2
    confidence = crop_alignment.agreement(depth, layout)
    assert np.median(confidence[3, 20:44]) < 0.1 < 0.9 < np.median(confidence[0, 20:44])


@pytest.mark.parametrize("layout", LAYOUTS[1:], ids=lambda layout: layout.name)
def test_one_panorama_without_borders_of_crops(layout: Layout) -> None:
    """Crops a tenth apart in scale: what is left of it changes smoothly; no row or column of the map steps."""
    rig = Rig(capture(), layout)
    factors = np.exp(np.random.default_rng(4).normal(0, 0.1, len(layout)))[:, None, None]
    geometry = CropGeometry((depth_of(rig) * factors)[None], metric=True)
    seen = reconstruct([rig], [([0], geometry)]).maps[0]
    assert seen is not None
    ratio = np.log(seen.range / truth(rig.capture))
    known = np.isfinite(ratio)
    assert known.mean() > 0.85 and ratio[known].std() < 0.02
    steps = np.abs(np.diff(np.where(known, ratio, np.nan), axis=1))
    assert np.nanpercentile(steps, 99) < 0.02


def test_a_crop_with_a_wrong_pose_does_not_move_its_panorama() -> None:
    """The rig holds the crops of a panorama together; the model's outlier is outvoted."""
    layout = horizon(size=SIZE)
    rigs = [Rig(capture(), layout), Rig(capture((1.0, 0.8, 1.6), 120.0), layout)]
    poses = np.stack([rig.poses_opencv for rig in rigs])
    poses[1, 3, :3, :3] = poses[1, 3, :3, :3] @ rotation_from_heading(90)
    poses[1, 3, :3, 3] += 2.0
    geometry = CropGeometry(np.stack([depth_of(rig) for rig in rigs]), None, poses, metric=True)
    result = reconstruct(rigs, [([0, 1], geometry)], poses="model")
    assert result.registered == [True, True]
    assert np.abs(result.poses[1] - rigs[1].capture.pose).max() < 1e-3


def test_a_panorama_whose_crops_scatter_is_not_registered() -> None:
    layout = horizon(size=SIZE)
    rigs = [Rig(capture(), layout), Rig(capture((1.0, 0.8, 1.6)), layout)]
    poses = np.stack([rig.poses_opencv for rig in rigs])
    for view in range(len(layout)):
        poses[1, view, :3, :3] = rotation_from_heading(97.0 * view, 61.0 * view)
    geometry = CropGeometry(np.stack([depth_of(rig) for rig in rigs]), None, poses, metric=True)
    result = reconstruct(rigs, [([0, 1], geometry)], poses="model")
    assert result.registered == [True, False] and result.maps[1] is None
    assert any("do not fit" in note for note in result.notes)


def test_smeared_edges_leave_no_points_between_two_surfaces() -> None:
    """Models answer depths between a post and the wall behind it; none of these may float there."""
    layout = cube(np.radians(5), size=SIZE)
    rig = Rig(capture(), layout)
    depth = np.full((6, SIZE, SIZE), 4.0)
    depth[0, :, 20:30] = 1.0
    depth[0, :, [19, 30]] = 2.0
    seen = reconstruct([rig], [([0], CropGeometry(depth[None], np.ones((1, 6, SIZE, SIZE)), metric=True))]).maps[0]
    assert seen is not None
    looking = np.abs(equirectangular.directions(WIDTH)).max(axis=-1)
    along_axis = seen.range * looking
    near_horizon = along_axis[WIDTH // 4 - 6 : WIDTH // 4 + 6, WIDTH // 2 - 14 : WIDTH // 2 + 14]
    known = np.isfinite(near_horizon)
    assert (np.abs(near_horizon[known] - 1) < 0.1).any() and (np.abs(near_horizon[known] - 4) < 0.4).any()
    assert not ((near_horizon > 1.2) & (near_horizon < 3.4)).any()


def test_each_monocular_capture_takes_its_own_scale_from_the_ground() -> None:
    layout = bands(size=SIZE)
    rigs = [Rig(capture(), layout), Rig(capture((1.0, 0.8, 1.6)), layout)]
    values = np.stack([factor / depth_of(rig) + 0.1 for factor, rig in zip((0.7, 3.0), rigs, strict=True)])
    geometry = [CropGeometry(values[row : row + 1], kind=DISPARITY, shared_scale=False) for row in range(2)]
    result = reconstruct(rigs, [([0], geometry[0]), ([1], geometry[1])], camera_height=1.6)
    assert result.scale_known
    for index, rig in enumerate(rigs):
        seen = result.maps[index]
        assert seen is not None
        known = np.isfinite(seen.range)
        assert np.median(np.abs(seen.range[known] / truth(rig.capture)[known] - 1)) < 0.03


def test_sky_has_no_range_whatever_the_model_says_of_it() -> None:
    layout = bands(size=SIZE)
    image = np.full((64, 128, 3), (105, 95, 80), np.uint8)
    image[:30] = (110, 160, 230)
    rig = Rig(Capture("street", image, capture().pose), layout)
    depth = np.full((12, SIZE, SIZE), 30.0)
    seen = reconstruct([rig], [([0], CropGeometry(depth[None], metric=True))], sky=True).maps[0]
    assert seen is not None
    assert seen.sky[:24].all() and np.isinf(seen.range[seen.sky]).all() and (seen.confidence[seen.sky] == 0).all()
    assert np.isfinite(seen.range[40:50]).mean() > 0.9


@given(count=st.integers(1, 40), batch_size=st.integers(1, 12))
def test_runs_cover_every_capture_and_share_one_with_the_run_before(count: int, batch_size: int) -> None:
    runs = from_crops.together(count, batch_size)
    assert sorted({index for run in runs for index in run}) == list(range(count))
    assert max(map(len, runs)) <= batch_size
    if batch_size > 1:
        assert all(before[-1] == after[0] and len(after) > 1 for before, after in pairwise(runs))


def test_nothing_to_reconstruct_is_said() -> None:
    with pytest.raises(PantheonError, match="no capture"):
        from_crops.shared_layout([])
    with pytest.raises(PantheonError, match="another way"):
        from_crops.shared_layout([Rig(capture(), horizon()), Rig(capture(), cube())])
    rig = Rig(capture(), horizon(size=SIZE))
    with pytest.raises(PantheonError, match="no geometry"):
        reconstruct([rig], [([0], CropGeometry(np.full((1, 8, SIZE, SIZE), np.nan)))])
