"""Blender quits while a job is at work: a process of its own goes on with it, or it is offered the next time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pantheon360_blender.core.version import EXTENSION_ROOT
from tests.scene.conftest import House


@pytest.fixture
def begun(house: House, shot_scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A job that the queue works on: (queue, registry, its id)."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    queue, registry = house("scene.background.queue"), house("core.jobs.registry")
    folder = house("scene.app.jobs").run_blocking(house("scene.shot.shot").prepare(shot_scene))
    queue.enqueue(folder.id)
    while queue.current() is None or queue.current().ticker.newest.phase != "Painting":
        queue.step()
    yield queue, registry, str(folder.id)
    queue.unregister()


def wait_until_finished(registry: ModuleType, job: str) -> None:
    deadline = time.monotonic() + 300
    while registry.find(job).state != "finished" and time.monotonic() < deadline:
        time.sleep(0.05)


def test_a_process_of_its_own_goes_on_and_the_result_is_offered(house: House, begun: Any) -> None:
    queue, registry, job = begun
    quitting = house("scene.background.quitting")
    quitting.decide("GO_ON")
    process = quitting.leave()
    assert process is not None and queue.current() is None
    wait_until_finished(registry, job)
    os.waitpid(process, 0)
    (offer,) = house("scene.background.listing").offers()
    assert offer.entry.id == job and offer.condition == "finished"
    queue.deliver(job)
    queue.run_to_end()
    assert registry.find(job).state == "delivered"


def test_a_paused_job_starts_no_process(house: House, begun: Any) -> None:
    _, registry, job = begun
    quitting = house("scene.background.quitting")
    quitting.decide("PAUSE")
    assert quitting.leave() is None and registry.find(job).condition == "paused"


def test_disabling_all_add_ons_is_how_blender_says_that_it_quits(house: House) -> None:
    quitting = house("scene.background.quitting")
    assert not quitting._all_are_disabled()
    found: list[bool] = []
    namespace = {"__name__": "addon_utils", "unregister": lambda: found.append(quitting._all_are_disabled())}
    exec("def disable_all():\n    unregister()\ndisable_all()", namespace)
    assert found == [True]


def test_the_backend_lists_and_does_jobs(begun: Any) -> None:
    queue, registry, job = begun

    def backend(*ids: str) -> Any:
        command = [sys.executable, "-B", "-m", "backend", "jobs", *ids]
        return subprocess.run(command, cwd=EXTENSION_ROOT, capture_output=True, text=True, timeout=300)

    refused = backend(job)
    assert refused.returncode == 1 and "Another process works" in refused.stderr, "Blender has it in hand"
    assert "no job missing" in backend("missing").stderr
    queue.pause(job)
    assert job in backend().stdout and "paused" in backend().stdout
    assert backend(job).returncode == 0 and registry.find(job).state == "finished"
    assert registry.find(job).state == "finished" and backend(job).returncode == 0, "what is done is left alone"


def test_a_process_that_goes_on_can_be_asked_to_stop(house: House, begun: Any) -> None:
    queue, registry, job = begun
    queue.pause(job)
    with registry.at_work(job, registry.find(job).path):
        registry.ask_to_stop(job)
    assert registry.is_asked_to_stop(job) and not registry.is_asked_to_stop(job)
