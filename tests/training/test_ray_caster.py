"""Hits of rays, against closed forms that are written otherwise, and in core's conventions."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from backend.training.worlds.ray_caster import Hits, cast
from backend.training.worlds.rays import Directions, PanoramaRays, ParallelRays
from backend.training.worlds.shapes import Paint, Solid, ball, box, gable, pole, prism
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import rotation_from_heading

PAINT = Paint()
WIDTH = 64


def panorama(
    solids: list[Solid], position: tuple[float, float, float], heading: float = 0.0
) -> tuple[Hits, np.ndarray]:
    """Hits, and the world directions of the pixels."""
    orientation = rotation_from_heading(heading)
    hits = cast(solids, PanoramaRays(Directions(WIDTH, orientation, "cpu"), np.array(position)))
    return hits, equirectangular.directions(WIDTH).astype(np.float64) @ orientation.T


def test_axes_are_those_of_cameras() -> None:
    """Heading 0 looks along +Y: a wall there is at the image's centre, one at +X at its right quarter."""
    north, east = box((0, 5, 0), (2, 1, 2), PAINT), box((7, 0, 0), (1, 2, 2), PAINT)
    hits, _ = panorama([north, east], (0, 0, 0))
    middle = WIDTH // 4
    assert hits.range[middle, WIDTH // 2] == pytest.approx(4.5, rel=0.01)
    assert hits.range[middle, WIDTH * 3 // 4] == pytest.approx(6.5, rel=0.01)
    assert torch.isinf(hits.range[middle, 0]) and hits.face[middle, 0] == -1


def test_ranges_are_distances_along_rays() -> None:
    hits, looking = panorama([box((0, 0, -1.5), (50, 50, 1), PAINT)], (0, 0, 0))
    seen = np.isfinite(hits.range.numpy())
    heights = (looking * hits.range.numpy()[..., None])[seen][:, 2]
    np.testing.assert_allclose(heights, -1, atol=1e-4)


def test_a_ball_is_hit_where_a_quadratic_says() -> None:
    centre, radius = np.array([1.0, 4.0, 0.5]), 1.3
    hits, looking = panorama([ball(centre, radius, PAINT)], (0, 0, 0), heading=40)
    along = looking @ centre
    root = along**2 - centre @ centre + radius**2
    expected = np.where((root > 0) & (along > 0), along - np.sqrt(np.maximum(root, 0)), np.inf)
    np.testing.assert_allclose(hits.range.numpy(), expected, rtol=1e-3)


def test_a_turned_box_is_hit_where_slabs_say() -> None:
    yaw, centre, size = 0.7, np.array([2.0, 3.0, 0.2]), np.array([1.0, 2.0, 3.0])
    hits, looking = panorama([box(centre, size, PAINT, yaw=yaw)], (0, 0, 0))
    turn = np.array([(math.cos(yaw), math.sin(yaw), 0), (-math.sin(yaw), math.cos(yaw), 0), (0, 0, 1)])
    own, start = looking @ turn.T, -turn @ centre
    near, far = ((-np.sign(own) * size / 2 * side - start) / own for side in (1, -1))
    first, last = near.max(axis=-1), far.min(axis=-1)
    expected = np.where((first < last) & (first > 0), first, np.inf)
    np.testing.assert_allclose(hits.range.numpy(), expected, rtol=1e-3)


def test_a_pole_has_a_side_and_ends() -> None:
    hits, looking = panorama([pole(0, 3, 0.5, -1, 1, PAINT)], (0, 0, 4))
    where = looking * hits.range.numpy()[..., None] + (0, 0, 4)
    caps, sides = where[hits.face.numpy() == 0], where[hits.face.numpy() == 2]
    assert len(caps) and len(sides)
    np.testing.assert_allclose(caps[:, 2], 1, atol=1e-3)
    np.testing.assert_allclose(np.hypot(sides[:, 0], sides[:, 1] - 3), 0.5, atol=1e-3)
    assert (sides[:, 2] < 1.001).all() and (sides[:, 2] > -1.001).all()


def random_solids(random: np.random.Generator) -> list[Solid]:
    solids = []
    for _ in range(12):
        centre, size, yaw = random.normal(0, 4, 3), random.uniform(0.2, 2.5, 3), float(random.uniform(0, 6))
        angles = np.sort(random.uniform(0, math.tau, 5))
        outline = np.stack([np.cos(angles), np.sin(angles)], axis=1) * size[0] + centre[:2]
        solids += [
            box(centre, size, PAINT, yaw=yaw),
            gable(-centre, size, PAINT, PAINT, yaw=yaw),
            ball(centre[[2, 0, 1]], size[0], PAINT),
            pole(*centre[[1, 2]], size[1] / 2, centre[0], centre[0] + size[2], PAINT),
            prism(outline, centre[2], centre[2] + size[2], PAINT, PAINT),
        ]
    return solids


def inside(solid: Solid, points: np.ndarray, slack: float) -> np.ndarray:
    """Whether points lie in a solid that is larger by `slack`."""
    within = (points @ solid.normals.T <= solid.offsets + slack).all(axis=-1)
    if solid.centre is not None:
        axes = 2 if solid.round == "pole" else 3
        within &= np.linalg.norm((points - solid.centre)[..., :axes], axis=-1) <= solid.radius + slack
    return np.asarray(within)


@pytest.mark.parametrize("seed", range(4))
def test_hits_lie_on_surfaces_and_nothing_lies_before_them(seed: int) -> None:
    """Whatever the shapes: where a ray ends some solid begins, and no point of the ray before lies in any of them."""
    random = np.random.default_rng(seed)
    solids = random_solids(random)
    position = random.normal(0, 3, 3)
    open_solids = [solid for solid in solids if not inside(solid, position, 1e-3)]
    hits, looking = panorama(open_solids, tuple(position), heading=random.uniform(0, 360))
    reach = hits.range.numpy().astype(np.float64)
    owner = np.concatenate([np.full(len(solid.faces), index) for index, solid in enumerate(open_solids)])
    ends = position + looking * np.where(np.isfinite(reach), reach, 0)[..., None]
    for index, solid in enumerate(open_solids):
        mine = np.isfinite(reach) & (owner[hits.face.numpy()] == index)
        assert inside(solid, ends[mine], 2e-3).all()
        for share in (0.2, 0.5, 0.8, 0.95):
            before = position + looking * np.where(np.isfinite(reach), reach, 30)[..., None] * share
            assert not inside(solid, before, -2e-3).any()


def test_parallel_rays_meet_what_panoramas_meet() -> None:
    """From the sun's side every point that it lights is as far as the map of the sun says, but for its pixels' size."""
    solids = [
        box((0, 0, -0.5), (30, 30, 1), PAINT),
        box((1, 2, 1), (1, 1, 2), PAINT, yaw=0.4),
        ball((-2, 0, 1), 1, PAINT),
    ]
    direction = np.array([0.3, -0.5, -1.0])
    rays = ParallelRays(direction, np.zeros(3), 6, 128, "cpu")
    hits = cast(solids, rays)
    window = (slice(0, 128), slice(0, 128))
    ends = (rays.origins(window) + rays.directions(window) * hits.range[..., None]).numpy().astype(np.float64)
    assert np.isfinite(ends).all()
    for solid in solids:
        assert not inside(solid, ends - rays.direction * 0.01, -1e-3).any()
    assert np.any([inside(solid, ends, 1e-2) for solid in solids], axis=0).all()
