"""What a reconstruction at work shows of its points: it comes early, takes nothing away, and yields to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.scene.conftest import House
from tests.scene.test_build_cache import answered, capture, solved_pose, street

__all__ = ["street"]  # a fixture

LOOKED, WHOLE = 5, 10


@pytest.fixture(autouse=True)
def _own(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house("core.person_folder"), "path", lambda *_: tmp_path / "data")


@pytest.fixture
def queue(house: House, street: Any) -> Iterator[ModuleType]:
    module = house("scene.background.queue")
    yield module
    module.unregister()


@pytest.fixture
def begun(house: House, run: Any, street: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """begun(): the id of a job whose backend shows five points after two steps and has ten after five."""

    def compute(folder: Any) -> Iterator[Any]:
        progress, results = house("core.progress").Progress, house("core.jobs.reconstruct_settings")
        yield progress("Sweeping", 0, 2)
        posed = [
            results.PosedCapture(entry["name"], solved_pose(0.1, 2.5 * index), True)
            for index, entry in enumerate(folder.job.captures)
        ]
        results.write_poses(folder.output, posed, {})
        points = np.full((LOOKED, 3), 3.0, np.float32)
        cloud = house("core.points.point_cloud").PointCloud(
            points, np.zeros((LOOKED, 3), np.uint8), np.ones(LOOKED, np.float32), np.zeros(LOOKED, np.int32)
        )
        cloud.save(folder.path / results.LOOK_FILE)
        yield progress("First look ready", 1, 1, preview=str(folder.path / results.LOOK_FILE))
        for number in range(50):
            yield progress("Matching", number, 50, waiting=True)
        answered(house, folder)

    def begin() -> str:
        reconstruct = house("scene.sources.reconstruct")
        monkeypatch.setattr(reconstruct, "compute", compute)
        return str(run(reconstruct.prepare(street)).id)

    return begin


def cache_of(house: House, scene: Any) -> Any:
    return house("scene.cache.cache_objects").find(scene)


def points_of(house: House, scene: Any) -> int:
    cache = cache_of(house, scene)
    return 0 if cache is None else len(cache.data.vertices)


def work_until(queue: ModuleType, happened: Callable[[], bool]) -> None:
    for _ in range(200):
        if happened():
            return
        assert queue.step() is not None
    raise AssertionError("It never happened.")


def test_points_come_while_the_backend_works_and_the_finished_ones_take_their_place(
    house: House,
    queue: ModuleType,
    begun: Callable[[], str],
    street: Any,
) -> None:
    job = begun()
    street.pantheon360.reconstruction_cache = "MERGE"  # a first look is nothing to be kept
    before = np.array(capture("A").matrix_world)
    queue.enqueue(job)
    work_until(queue, lambda: points_of(house, street) == LOOKED)
    assert queue.current() is not None and not queue.current().delivers
    assert np.abs(np.array(capture("A").matrix_world) - before).max() > 0.05  # where the points were seen from
    assert "first look" in cache_of(house, street)["pantheon360_report"].lower()
    assert not house("scene.background.delivery").is_here(queue.current().entry)
    queue.run_to_end()
    cache = cache_of(house, street)
    assert points_of(house, street) == WHOLE and "pantheon360_look" not in cache
    assert "pantheon360_folder" in cache and house("core.jobs.registry").find(job).state == "delivered"


def test_stopped_it_leaves_what_was_seen_and_goes_on_later(
    house: House,
    queue: ModuleType,
    begun: Callable[[], str],
    street: Any,
) -> None:
    job = begun()
    queue.enqueue(job)
    work_until(queue, lambda: points_of(house, street) == LOOKED)
    queue.pause(job)
    assert points_of(house, street) == LOOKED and queue.current() is None
    queue.enqueue(job)
    queue.run_to_end()
    assert points_of(house, street) == WHOLE


def test_a_cache_that_is_there_waits_for_the_finished_points(
    house: House,
    run: Any,
    queue: ModuleType,
    begun: Callable[[], str],
    street: Any,
) -> None:
    cloud = house("core.points.point_cloud").PointCloud(np.ones((3, 3), np.float32), np.zeros((3, 3), np.uint8))
    house("scene.cache.cache_objects").replace(street, cloud)
    before = np.array(capture("A").matrix_world)
    queue.enqueue(begun())
    while points_of(house, street) == 3:
        np.testing.assert_array_equal(np.array(capture("A").matrix_world), before)
        assert queue.step() is not None
    assert points_of(house, street) == WHOLE
    assert np.abs(np.array(capture("A").matrix_world) - before).max() > 0.05


def test_undo_takes_the_first_look_away_and_the_job_goes_on(
    house: House,
    queue: ModuleType,
    begun: Callable[[], str],
    street: Any,
) -> None:
    import bpy

    bpy.context.preferences.edit.use_global_undo = True
    job = begun()
    bpy.ops.ed.undo_push(message="before")
    queue.enqueue(job)
    work_until(queue, lambda: points_of(house, street) == LOOKED)
    bpy.ops.ed.undo()
    assert points_of(house, bpy.context.scene) == 0
    queue.run_to_end()
    assert points_of(house, bpy.context.scene) == WHOLE


def test_a_look_that_is_gone_or_damaged_hinders_nothing(
    house: House,
    run: Any,
    begun: Callable[[], str],
    street: Any,
) -> None:
    folder = run(house("scene.sources.reconstruct").prepare(street))
    assert run(house("scene.sources.reconstruct").show(street, folder)) is False
    answered(house, folder)
    (folder.path / "look.npz").write_bytes(b"PK")
    assert run(house("scene.sources.reconstruct").show(street, folder)) is False
    assert points_of(house, street) == 0
