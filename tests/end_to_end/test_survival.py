"""Blender is killed while a job of its queue is at work: the next one is offered it, goes on, and delivers it once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import ROOT
from tests.end_to_end.test_headless import BLENDER

pytestmark = [pytest.mark.ends, pytest.mark.skipif(os.name != "posix", reason="kills by signals")]

FRAMES = 60
"""So many that no machine has painted them all before Blender hears of the second one."""

SET_UP = """
import importlib, json, os, signal, time
def room(name):
    return importlib.import_module(extension.__name__ + "." + name)
queue = room("pantheon360_blender.scene.background.queue")
listing = room("pantheon360_blender.scene.background.listing")
jobs, shot = room("pantheon360_blender.scene.app.jobs"), room("pantheon360_blender.scene.shot.shot")
bpy.ops.wm.open_mainfile(filepath=sys.argv[2])
scene = bpy.context.scene
"""

BEGIN = (
    SET_UP
    + """
scene.frame_end, scene.pantheon360.jobs_folder = int(sys.argv[4]), sys.argv[3]
bpy.ops.wm.save_mainfile()
jobs.LONGEST_TICK = 0.0  # one step a tick: none is passed over
def at(phase, step):
    if phase == sys.argv[5] and step >= int(sys.argv[6]):
        os.kill(os.getpid(), signal.SIGKILL)
def tell(step):
    at(step.phase, step.step)
folder = jobs.run_blocking(shot.begin(scene), tell)
queue.enqueue(folder.id)
while (pause := queue.step()) is not None:
    if queue.current():
        tell(queue.current().ticker.newest)
    time.sleep(pause)
bpy.ops.wm.save_mainfile()
at("saved", 0)
"""
)
"""Begins and queues a job, and is killed at a step of it: a signal from elsewhere would come some steps later.
sys.argv: .blend, jobs folder, frames, phase, step."""

GO_ON = (
    SET_UP
    + """
offered = [item.condition for item in listing.offers()]
for item in listing.offers():
    verb = bpy.ops.pantheon360.deliver_job if item.condition == "finished" else bpy.ops.pantheon360.resume_job
    assert verb(job=item.entry.id) == {"FINISHED"}
queue.run_to_end()
bpy.ops.wm.save_mainfile()
strips = [strip for each in bpy.data.scenes if each.sequence_editor for strip in each.sequence_editor.strips]
left = [item.condition for item in listing.items()]
print(json.dumps({"offered": offered, "strips": len(strips), "left": left}))
"""
)
"""What an artist does who opens the file again."""


class Blender:
    """Processes with the extension enabled and a person's folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "repository").mkdir()
        (folder / "repository" / "pantheon360").symlink_to(ROOT, target_is_directory=True)
        resources = {"BLENDER_USER_RESOURCES": str(folder / "resources"), "XDG_DATA_HOME": str(folder / "data")}
        self.environment = {**os.environ, **resources}

    def start(self, code: str, *arguments: object) -> subprocess.Popen[str]:
        place = str(self.folder / "repository")
        command = [sys.executable, "-B", "-X", "utf8", "-c", BLENDER + code, place, *map(str, arguments)]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )


@pytest.fixture
def blender(tmp_path: Path) -> Blender:
    return Blender(tmp_path)


def went_on(blender: Blender, blend: Path) -> dict[str, Any]:
    said, errors = (process := blender.start(GO_ON, blend)).communicate(timeout=300)
    assert process.returncode == 0, errors
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("phase", "step", "offered"),
    [("Geometry pass", 3, "interrupted"), ("Painting", 2, "interrupted"), ("saved", 0, None)],
)
def test_a_killed_blender_loses_and_doubles_nothing(
    phase: str, step: int, offered: str | None, build_street: Any, blender: Blender, tmp_path: Path
) -> None:
    blend = build_street(tmp_path / "street", FRAMES)
    process = blender.start(BEGIN, blend, tmp_path / "jobs", FRAMES, phase, step)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, errors
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "jobs").glob("*/frames/[!.]*.png")}
    found = went_on(blender, blend)
    assert found == {"offered": [offered] if offered else [], "strips": 1, "left": []}
    assert all(path.stat().st_mtime_ns == changed for path, changed in kept.items()), "nothing is painted twice"
    assert went_on(blender, blend) == {"offered": [], "strips": 1, "left": []}
    assert not list((tmp_path / "jobs").rglob("*.part"))
