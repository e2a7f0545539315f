"""Few captures are all matched with each other; of many each meets those that see the same things, wherever they stand
in the list, and the work grows with their number."""

from __future__ import annotations

import numpy as np
import pytest

from backend.reconstruction.poses import pairs


def seen(places: np.ndarray, reach: float = 3.0) -> list[np.ndarray]:
    """Descriptors (n, 128) of what captures at `places` (N,) on a street see within `reach`: each thing has its own,
    which noise changes a little from one capture to the next."""
    random = np.random.default_rng(4)
    things = np.arange(places.min() - reach, places.max() + reach, 0.05)
    codes = random.integers(0, 100, (len(things), 128))
    found = []
    for place in places:
        near = codes[np.abs(things - place) < reach]
        found.append((near + random.normal(0, 5, near.shape)).clip(0, 255).astype(np.uint8)[: pairs.LARGEST])
    return found


def test_few_are_all_matched() -> None:
    every = pairs.chosen([np.zeros((0, 128), np.uint8)] * pairs.EVERY)
    assert len(every) == len(set(every)) == pairs.EVERY * (pairs.EVERY - 1) // 2
    assert all(one < other for one, other in every)


@pytest.mark.parametrize("count", [20, 40])
def test_of_many_each_meets_its_nearest_in_any_order(count: int) -> None:
    places = np.random.default_rng(1).permutation(count).astype(float)
    found = set(pairs.chosen(seen(places)))
    assert len(found) <= count * (pairs.MATES + 2)
    for one in range(count):
        for other in range(one + 1, count):
            if abs(places[one] - places[other]) <= 2:
                assert (one, other) in found, (places[one], places[other])


def test_neighbours_in_the_list_are_matched_though_nothing_looks_alike() -> None:
    found = pairs.chosen([np.zeros((0, 128), np.uint8)] * 30)
    assert {(one, one + 1) for one in range(29)} < set(found) and len(found) < 60
