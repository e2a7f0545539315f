"""Plain walls and ceilings get their range from what little is seen on them and round them.

The oracle casts rays into a box: its floor is textured, each wall has one picture, all else is plain. What matching
would find is given where there is texture, and nonsense elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs the backend's environment")
pytest.importorskip("scipy", reason="needs the backend's environment")

import numba

from backend.reconstruction.dense.place import PlaneSet, _KnownCosts, label
from backend.reconstruction.dense.view import DenseView, taken
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import rotation_from_heading

LOW, HIGH = np.array([-2.6, -2.1, 0.0]), np.array([2.6, 2.1, 2.6])
SHADES = np.array([[170, 150], [160, 185], [0, 235]])  # of the walls at -x, +x, -y, +y, the floor (unused), the ceiling
CAMERAS = [
    ((-0.5, -0.4, 1.5), (20.0, 2.0, 1.0)),
    ((0.4, -0.1, 1.4), (-35.0, 35.0, -20.0)),
    ((-0.1, 0.6, 1.6), (80.0, 0, 3)),
]


@dataclass
class Scene:
    """views; ranges: (H, W) true metres each; surfaces: (H, W) each, 2 axis + (1 at the far side)."""

    views: list[DenseView]
    ranges: list[np.ndarray]
    surfaces: list[np.ndarray]

    @property
    def neighbours(self) -> list[list[int]]:
        return [[other for other in range(len(self.views)) if other != index] for index in range(len(self.views))]


def waves(points: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(5)
    colours = np.full((len(points), 3), 120.0)
    for _ in range(40):
        colours += np.sin(points @ random.normal(0, 6, 3) + random.uniform(0, 7))[:, None] * random.uniform(3, 14, 3)
    return colours


def scene(width: int, cameras: int = 3, turn: np.ndarray | None = None) -> Scene:
    """The room, or a room turned as a whole by `turn` (3, 3): a world that is not upright."""
    random = np.random.default_rng(2)
    found = Scene([], [], [])
    for place, angles in CAMERAS[:cameras]:
        pose = np.eye(4)
        pose[:3, :3] = rotation_from_heading(*angles)
        pose[:3, 3] = place
        rays = equirectangular.directions(2 * width).reshape(-1, 3).astype(np.float64) @ pose[:3, :3].T
        with np.errstate(divide="ignore"):
            distances = np.where(rays > 0, (HIGH - place) / rays, (LOW - place) / rays)
        axis = distances.argmin(axis=1)
        distance = distances.min(axis=1)
        far = rays[np.arange(len(rays)), axis] > 0
        points = np.array(place) + rays * distance[:, None]
        along = np.where(axis == 0, points[:, 1], points[:, 0])
        picture = (axis != 2) & (np.abs(along - 0.3) < 0.5) & (np.abs(points[:, 2] - 1.4) < 0.4)
        textured = picture | ((axis == 2) & ~far)
        colours = np.where(textured[:, None], waves(points), SHADES[axis, far.astype(int)][:, None])
        colours += random.normal(0, 0.7, colours.shape)
        image = np.clip(np.rint(colours), 0, 255).astype(np.uint8).reshape(width, 2 * width, 3)
        nothing = np.zeros((width // 2, width), bool)
        view = DenseView(equirectangular.resize(image, width), ~nothing, nothing, pose)
        view.at(width)
        # what matching knows: the plane of what is textured, and a guess elsewhere
        normals = np.eye(3)[axis] * np.where(far, 1, -1)[:, None]
        planes = (normals @ pose[:3, :3]) / (normals * (points - place)).sum(axis=1)[:, None]
        planes = taken(planes.reshape(width, 2 * width, 3), width).astype(np.float32)
        seen = taken(textured.reshape(width, 2 * width), width)
        guess = view.rays * random.uniform(0.2, 1.5, seen.shape)[..., None]
        view.planes = np.where(seen[..., None], planes, guess).astype(np.float32)
        view.reliable, view.photometric_cost = seen, np.where(seen, 0.1, 0.9).astype(np.float32)
        if turn is not None:
            view.pose = pose.copy()
            view.pose[:3] = turn @ pose[:3]
        found.views.append(view)
        found.ranges.append(taken(distance.reshape(width, 2 * width), width))
        found.surfaces.append(taken((2 * axis + far).reshape(width, 2 * width), width))
    return found


def labelled(room: Scene, rounds: int = 4, seed: int = 0) -> PlaneSet:
    plane_set = PlaneSet(seed)
    assert list(label(plane_set, room.views, room.neighbours, rounds)) == list(range(rounds))
    return plane_set


def plain_errors(room: Scene, surfaces: tuple[int, ...]) -> np.ndarray:
    """Relative errors of range of what is plain on some surfaces, with the labels adopted."""
    errors = []
    for view, true, surface in zip(room.views, room.ranges, room.surfaces, strict=True):
        plain = np.isin(surface, surfaces) & ~view.reliable
        rho = (np.where(view.prior.any(axis=-1, keepdims=True), view.prior, view.planes) * view.rays).sum(axis=-1)
        errors.append(np.abs(1 / np.maximum(rho, 1e-6) - true)[plain] / true[plain])
    return np.concatenate(errors)


CEILING, WALLS, ALL = (5,), (0, 1, 2, 3), (0, 1, 2, 3, 4, 5)


@pytest.fixture(scope="module")
def three() -> tuple[Scene, PlaneSet]:
    room = scene(256)
    return room, labelled(room)


def heights(plane_set: PlaneSet) -> np.ndarray:
    levels = plane_set.planes[np.abs(plane_set.planes[:, 2]) > 0.98]
    return np.asarray(levels[:, 3] / levels[:, 2])


def test_the_height_of_a_white_ceiling_is_found(three: tuple[Scene, PlaneSet]) -> None:
    room, plane_set = three
    assert np.abs(heights(plane_set) - HIGH[2]).min() < 0.02 * HIGH[2]
    assert np.median(plain_errors(room, CEILING)) < 0.02


def test_plain_walls_get_their_range_of_their_pictures(three: tuple[Scene, PlaneSet]) -> None:
    assert (plain_errors(three[0], WALLS) < 0.05).mean() > 0.95


def test_what_is_trusted_more_is_wrong_less_often(three: tuple[Scene, PlaneSet]) -> None:
    room, _ = three
    trust = np.concatenate([view.trust[~view.reliable] for view in room.views])
    wrong = plain_errors(room, ALL) > 0.1
    assert wrong[trust > 0.5].mean() < 0.08
    assert wrong[trust > 0.5].mean() < 0.3 * wrong[trust < 0.1].mean()


def test_the_same_planes_are_found_again_from_what_is_known_already(three: tuple[Scene, PlaneSet]) -> None:
    room, plane_set = three
    assert plane_set.edges is not None and len(plane_set.edges.points)
    again = PlaneSet(1, plane_set.planes.copy(), plane_set.edges)
    assert list(label(again, room.views, room.neighbours, 1)) == [0]
    assert np.abs(heights(again) - HIGH[2]).min() < 0.02 * HIGH[2]
    assert (plain_errors(room, WALLS) < 0.05).mean() > 0.95


def test_two_captures_are_enough() -> None:
    room = scene(256, cameras=2)
    plane_set = labelled(room, rounds=3)
    assert np.abs(heights(plane_set) - HIGH[2]).min() < 0.02 * HIGH[2]
    assert (plain_errors(room, WALLS) < 0.05).mean() > 0.9


def test_widths_that_are_no_multiple_of_the_small_one_are_labelled() -> None:
    """288 is half of 576, a width that jobs may have, and is labelled at 256 first."""
    room = scene(288)
    labelled(room, rounds=2)
    assert (plain_errors(room, WALLS) < 0.05).mean() > 0.9


def test_a_world_that_is_not_upright_keeps_the_walls_with_pictures() -> None:
    room = scene(128, turn=rotation_from_heading(0, 25, 30))
    labelled(room)
    assert (plain_errors(room, WALLS) < 0.05).mean() > 0.8


def test_where_nothing_is_known_nothing_is_believed() -> None:
    """No view is sure of anything: labelling proposes nothing, and does not take guesses for certain."""
    room = scene(64)
    for view in room.views:
        view.reliable[:] = False
    plane_set = labelled(room, rounds=2)
    for view in room.views:
        assert not view.prior.any() and not view.trust.any()
    assert plane_set.planes.shape == (0, 4)


def test_where_no_plane_competes_what_is_sure_keeps_its_trust() -> None:
    room = scene(64)
    for view in room.views:
        few = np.flatnonzero(view.reliable)[::40]
        view.reliable[:] = False
        view.reliable.ravel()[few] = True
    plane_set = labelled(room, rounds=1)
    assert plane_set.planes.shape == (0, 4)
    for view in room.views:
        assert view.reliable.any() and (view.trust[view.reliable] > 0.25).all() and not view.trust[~view.reliable].any()


def test_on_open_ground_estimates_that_agree_with_it_are_believed() -> None:
    """A single plane: nothing competes with it but the pixels' own estimates, which say the same."""
    room = scene(64)
    for view, surface in zip(room.views, room.surfaces, strict=True):
        view.active = surface == 4
        view.reliable = view.active & (np.indices(surface.shape).sum(axis=0) % 2 == 0)
    plane_set = labelled(room, rounds=2)
    np.testing.assert_allclose(np.abs(plane_set.planes), [[0, 0, 1, 0]], atol=0.01)
    for view in room.views:
        assert np.median(view.trust[view.active & ~view.reliable]) > 0.5


@pytest.mark.parametrize("masked", [1, 3], ids=["one view", "all views"])
def test_views_that_are_masked_entirely_are_left_alone(masked: int) -> None:
    room = scene(64)
    for view in room.views[:masked]:
        view.active[:] = False
        view.reliable[:] = False
    labelled(room, rounds=2)
    for view in room.views[:masked]:
        assert not view.trust.any() and np.isfinite(view.prior).all()
    for view in room.views[masked:]:
        assert view.trust.any()


def test_the_result_is_the_same_on_any_number_of_threads() -> None:
    results = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        room = scene(128)
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        try:
            plane_set = labelled(room, rounds=2)
        finally:
            numba.set_num_threads(before)
        results.append([plane_set.planes, *(view.prior for view in room.views), *(view.trust for view in room.views)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_less_memory_gives_the_same_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = [scene(64), scene(64)]
    labelled(rooms[0], rounds=1)
    monkeypatch.setattr("backend.reconstruction.dense.place._MEMORY", 1)
    labelled(rooms[1], rounds=1)
    for one, other in zip(rooms[0].views, rooms[1].views, strict=True):
        np.testing.assert_array_equal(one.prior, other.prior)


@pytest.mark.parametrize("width", [32, 64, 96, 128, 250, 256, 1000])
def test_values_are_taken_to_any_width_by_what_pixel_centres_lie_on(width: int) -> None:
    given = 64 if width != 250 else 1000
    directions = equirectangular.directions(given)
    values = taken(directions, width)
    assert values.shape == (width // 2, width, 3) and values.flags.c_contiguous
    apart = np.arccos(np.clip((values * equirectangular.directions(width)).sum(axis=-1), -1, 1))
    assert apart.max() <= np.pi / given * np.sqrt(2) + 1e-3  # half a diagonal of the given pixels
    values[:] = 0
    assert taken(directions, given).all(axis=-1).any() and taken(directions, given) is not directions


def test_no_kernel_trades_repeatability_for_speed() -> None:
    """With fastmath, what numba has just compiled and what it takes from its cache round differently."""
    from backend.reconstruction.dense import consistency, labelling, matching, planes, propagation, semiglobal

    kernels = [
        kernel
        for module in (consistency, labelling, matching, planes, propagation, semiglobal)
        for kernel in vars(module).values()
        if hasattr(kernel, "targetoptions")
    ]
    assert len(kernels) > 15
    assert not [kernel.__name__ for kernel in kernels if kernel.targetoptions.get("fastmath")]


def test_of_many_planes_the_nearest_compete_and_few_all_do() -> None:
    from backend.reconstruction.dense import place

    random = np.random.default_rng(3)
    normals = random.normal(size=(200, 3))
    planes = np.column_stack([normals / np.linalg.norm(normals, axis=1, keepdims=True), random.uniform(-30, 30, 200)])
    here = np.array([1.0, 2.0, 1.5])
    near = place._nearest(planes, here)
    distance = np.abs(planes[:, :3] @ here - planes[:, 3])
    assert len(near) == place._MOST < 200 and (np.diff(near) > 0).all()
    assert distance[near].max() <= np.delete(distance, near).min()
    np.testing.assert_array_equal(place._nearest(planes[:20], here), np.arange(20))


def test_a_plane_that_did_not_move_is_priced_once() -> None:
    random = np.random.default_rng(0)
    planes, asked = random.normal(size=(6, 4)), []

    def price(which: np.ndarray) -> np.ndarray:
        asked.append(which)
        return np.broadcast_to(which.sum(axis=1), (4, 8, len(which))).astype(np.float32)

    known = _KnownCosts()
    for chosen in ([0, 1, 2], [2, 0, 3], [3, 4], [0, 4, 5]):
        found = known.of(planes[chosen], price)
        np.testing.assert_array_equal(found[3, 7], np.float32(planes[chosen].sum(axis=1)))
        assert found.shape == (4, 8, len(chosen))
    assert [len(which) for which in asked] == [3, 1, 1, 2]
    moved = planes + np.array([0, 0, 0, 1e-12])
    known.of(moved[[0, 4, 5]], price)
    assert len(asked[-1]) == 3
