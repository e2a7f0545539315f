"""Labels against brute force: message passing finds the best labelling where it can be proven, and parts walls right.

The oracles write the energy out: unary costs, and for neighbours of different labels what a step in depth costs.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs the backend's environment")
pytest.importorskip("scipy", reason="needs the backend's environment")

from backend.reconstruction.dense import labelling
from backend.reconstruction.dense.labelling import EXCLUDED, solve_labels
from pantheon360_blender.core.panorama import equirectangular


def steps(logs: np.ndarray) -> np.ndarray:
    """Cost (L, L) of neighbours that take two labels of depths `logs` (L,) where the colour is the same."""
    rise = np.minimum(np.abs(logs[:, None] - logs[None]) / labelling._STEP, 1) * labelling._COST_OF_STEP
    return np.where(np.eye(len(logs), dtype=bool), 0, rise + labelling._COST_OF_CHANGE)


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def everywhere(depths: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.broadcast_to(depths.astype(np.float32), (height, width, len(depths))).copy()


@pytest.mark.parametrize("seed", range(50))
def test_a_message_is_the_least_over_all_pairs_of_labels(seed: int) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 12))
    logs = random.choice(random.uniform(-2, 1, 8), count).astype(np.float32)  # some labels share their depth
    belief, back = random.uniform(0, 2, (2, count)).astype(np.float32)
    if seed % 3 == 0:
        belief[random.integers(count)] = EXCLUDED
    weight = np.float32(random.choice([0.0, 0.04, 1.0, 6.0]))
    expected = (0.5 * belief - back)[:, None] + weight * steps(logs)
    out = np.empty(count, np.float32)
    order = np.argsort(logs)
    sent = np.empty(count, np.float32)
    labelling._send(belief[order], back[order], logs[order], weight, sent)
    out[order] = sent
    np.testing.assert_allclose(out, expected.min(axis=0) - expected.min(), atol=2e-5)


def test_sorting_puts_labels_in_order_of_depth_from_any_order() -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        logs = random.normal(size=20).astype(np.float32)
        order, before = np.arange(20, dtype=np.int32), logs.copy()
        labelling._sort(order, logs)
        np.testing.assert_array_equal(logs, np.sort(before))
        np.testing.assert_array_equal(before[order], logs)


def best_chain(costs: np.ndarray, pairs: np.ndarray) -> list[int]:
    """The labels (N,) of least energy along a chain with costs (N, L), by dynamic programming."""
    best, before = costs[0].astype(np.float64), []
    for cost in costs[1:]:
        reached = best[:, None] + pairs
        before.append(reached.argmin(axis=0))
        best = reached.min(axis=0) + cost
    labels = [int(best.argmin())]
    for row in reversed(before):
        labels.append(int(row[labels[-1]]))
    return labels[::-1]


@pytest.mark.parametrize("seed", range(12))
def test_an_image_that_varies_along_v_alone_is_labelled_as_its_columns(seed: int) -> None:
    """Then the best labelling of the whole image is that of a chain, in each column."""
    random = np.random.default_rng(seed)
    height, width = 12, 24
    costs = random.uniform(0, 2, (height, 5)).astype(np.float32)
    depths = np.exp(random.uniform(-2, 0, 5))
    chosen, _ = solve_labels(
        np.repeat(costs[:, None], width, axis=1), everywhere(depths, height, width), grey(height, width), 20
    )
    expected = best_chain(costs, steps(np.log(depths)))
    assert len(set(expected)) > 1
    np.testing.assert_array_equal(chosen, np.repeat(np.array(expected)[:, None], width, axis=1))


@pytest.mark.parametrize("seed", range(6))
def test_two_labels_on_a_small_ring_are_decided_as_by_trying_all(seed: int) -> None:
    """With two labels the energy is submodular, and message passing is exact (Kolmogorov and Wainwright, UAI 2005)."""
    random = np.random.default_rng(seed)
    height, width = 3, 6
    costs = random.uniform(0, 1.2, (height, width, 2)).astype(np.float32)
    pair = steps(np.log([1.0, 1.05]))[0, 1]
    states = np.array(list(itertools.product((0, 1), repeat=height * width)), np.int8).reshape(-1, height, width)
    energy = np.where(states == 0, costs[..., 0], costs[..., 1]).sum(axis=(1, 2))
    narrow = 1 / np.cos(np.radians([60, 0, 60]))
    energy += pair * ((states != np.roll(states, -1, axis=2)).sum(axis=2) * narrow).sum(axis=1)
    energy += pair * (states[:, 1:] != states[:, :-1]).sum(axis=(1, 2))
    chosen, _ = solve_labels(costs, everywhere(np.array([1.0, 1.05]), height, width), grey(height, width), 40)
    np.testing.assert_array_equal(chosen, states[energy.argmin()])


WALLS = np.array([[0.5, 0, 0], [0, 0, -0.4], [-0.6, 0, 0], [0, 0, 0.45]], np.float32)  # m: at 2, 2.5, 1.7 and 2.2 m


def walls(width: int, textured: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Costs, inverse ranges (H, W, 4) and truth (H, W) of four plain walls, textured round their middles (radians)."""
    rays = equirectangular.directions(width)
    rho = (rays @ WALLS.T).astype(np.float32)
    truth = rho.argmax(axis=-1)
    longitude = np.arctan2(rays[..., 0], -rays[..., 2])
    middle = np.radians([90, 0, -90, 180])
    away = np.abs((longitude[..., None] - middle + np.pi) % (2 * np.pi) - np.pi)
    seen = (away < textured).any(axis=-1)
    costs = np.where(seen[..., None] & (np.arange(4) != truth[..., None]), 0.8, 0).astype(np.float32)
    costs[rho <= 0.03 * np.linalg.norm(WALLS, axis=1)] = EXCLUDED
    return costs, rho, truth


def test_plain_walls_between_textured_middles_part_at_their_creases() -> None:
    width = 128
    costs, rho, truth = walls(width, 0.25)
    chosen, margin = solve_labels(costs, rho, grey(width // 2, width))
    middle = slice(width // 8, 3 * width // 8)
    crease = truth != np.roll(truth, 1, axis=1)
    near = crease | np.roll(crease, 1, axis=1) | np.roll(crease, -1, axis=1) | np.roll(crease, -2, axis=1)
    wrong = chosen != truth
    assert not wrong[middle][~near[middle]].any()
    assert (margin[middle][~near[middle]] > 0).all()


def test_walls_of_different_depth_part_at_an_edge_of_colour() -> None:
    """Two labels, one at half the depth; what is known lies far from the edge, which lies nearer to one of them."""
    height, width = 32, 64
    image = grey(height, width)
    image[:, 20:50] = 60
    costs = np.zeros((height, width, 2), np.float32)
    costs[:, :8, 1] = costs[:, 60:, 1] = 1
    costs[:, 34:38, 0] = 1
    chosen, _ = solve_labels(costs, everywhere(np.array([1.0, 2.0]), height, width), image)
    expected = np.zeros((height, width), int)
    expected[:, 20:50] = 1
    np.testing.assert_array_equal(chosen, expected)


@pytest.mark.parametrize("turn", [1, 31, 64])
def test_it_does_not_matter_where_the_panorama_begins(turn: int) -> None:
    costs, rho, _ = walls(128, 0.25)
    chosen, margin = solve_labels(costs, rho, grey(64, 128))
    turned = [np.roll(each, turn, axis=1) for each in (costs, rho, grey(64, 128))]
    other, other_margin = solve_labels(*turned)
    assert (np.roll(chosen, turn, axis=1) != other).mean() < 0.005
    assert np.median(np.abs(np.roll(margin, turn, axis=1) - other_margin)) < 0.02


def test_it_does_not_matter_how_labels_are_numbered() -> None:
    costs, rho, _ = walls(64, 0.25)
    costs += np.random.default_rng(3).uniform(0, 0.1, costs.shape).astype(np.float32)
    chosen, margin = solve_labels(costs, rho, grey(32, 64))
    order = np.array([2, 0, 3, 1])
    other, other_margin = solve_labels(costs[..., order], rho[..., order], grey(32, 64))
    np.testing.assert_array_equal(order[other], chosen)
    np.testing.assert_array_equal(other_margin, margin)


def test_the_margin_counts_answers_of_another_depth_alone() -> None:
    height, width = 8, 16
    depths = np.array([1.0, 1.02, 2.0])
    costs = everywhere(np.array([0.0, 0.05, 0.6]), height, width)
    chosen, margin = solve_labels(costs, everywhere(depths, height, width), grey(height, width))
    assert (chosen == 0).all() and (margin > 0.5).all()
    costs[..., 2] = EXCLUDED
    _, alone = solve_labels(costs, everywhere(depths, height, width), grey(height, width))
    assert (alone > EXCLUDED / 2).all()
    _, single = solve_labels(costs[..., :1], everywhere(depths[:1], height, width), grey(height, width))
    assert (single == EXCLUDED).all()


def test_labels_that_do_not_compete_change_nothing_by_being_left_out() -> None:
    """The same with costs a little below EXCLUDED, at which they are in every list and win nowhere."""
    random = np.random.default_rng(4)
    costs = random.uniform(0, 1.5, (24, 48, 7)).astype(np.float32)
    rho = np.exp(random.uniform(-2, 1, (12, 24, 7))).repeat(2, axis=0).repeat(2, axis=1).astype(np.float32)
    absent = random.uniform(size=(6, 12, 6)).repeat(4, axis=0).repeat(4, axis=1) < 0.7
    costs[..., :6][absent] = EXCLUDED
    listed = np.where(costs == EXCLUDED, EXCLUDED - 1, costs)
    chosen, margin = solve_labels(costs, rho, grey(24, 48))
    other, other_margin = solve_labels(listed, rho, grey(24, 48))
    np.testing.assert_array_equal(chosen, other)
    competing = other_margin < EXCLUDED / 2
    assert 0.5 < competing.mean() < 1
    np.testing.assert_allclose(margin[competing], other_margin[competing], atol=1e-4)
    assert (margin[~competing] > EXCLUDED / 2).all()


def test_no_message_crosses_pixels_that_have_no_neighbours() -> None:
    """What is known lies in one half; a ring of the sky parts the other from it."""
    height, width = 16, 32
    active = np.ones((height, width), np.bool_)
    active[:, [0, 16]] = False
    costs = np.zeros((height, width, 2), np.float32)
    costs[:, 4:8, 1] = 1
    costs[:, 16:, 0] = 0.1
    depths = everywhere(np.array([1.0, 2.0]), height, width)
    chosen, _ = solve_labels(costs, depths, grey(height, width), active=active)
    assert (chosen[:, 1:16] == 0).all() and (chosen[:, 17:] == 1).all()
    crossed, _ = solve_labels(costs, depths, grey(height, width))
    assert (crossed[:, 17:] == 0).any()


def test_labels_behind_the_camera_and_colours_of_any_kind_give_finite_margins() -> None:
    random = np.random.default_rng(0)
    costs = random.uniform(0, 1, (16, 32, 4)).astype(np.float32)
    rho = random.normal(0, 1, (16, 32, 4)).astype(np.float32)
    rho[..., 3] = 0
    chosen, margin = solve_labels(costs, rho, random.integers(0, 256, (16, 32, 3)).astype(np.uint8))
    assert np.isfinite(margin).all() and chosen.min() >= 0 and chosen.max() < 4
