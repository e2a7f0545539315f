"""What survival.py disturbs: Blender with a job in its queue, driven as the timer would. Run by it.

`python scripts/survival_subjects.py build|draft|diffusion FOLDER` makes FOLDER/shot.blend and FOLDER/other.blend;
`... begin KIND FOLDER [--save] [--again]` begins the job, and works until it is delivered and the file saved;
`... restart KIND FOLDER` is what a person does who opens the file again;
`... disturb KIND FOLDER --seed N --ticks N` begins it, and undoes, loads, saves, copies ... at random ticks.

Each step is told as a line of JSON. What it came to stands in FOLDER/data/said.json.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kill_subjects
import kill_test
import numpy as np

ROOT = kill_subjects.ROOT
PACKAGE = f"{kill_subjects.MODULE}.pantheon360_blender"
MINE = "mine"
"""Custom property: 1 on the scene that the job is for, 0 on its copies."""
SAID = "said.json"
LINGERS = 0.4
"""Seconds between the delivery and saving, and after that: for a kill."""


def room(name: str) -> Any:
    """A module of the extension as Blender runs it; name: from `core` or `scene` on."""
    return importlib.import_module(f"{PACKAGE}.{name}")


# Subjects


def build(folder: Path) -> None:
    """Three captures of a room that wait for Build 3D Cache."""
    bpy = kill_subjects.enabled(folder)
    png = kill_subjects.core("formats.png")
    names = [f"view-{index}.png" for index in range(3)]
    for index, name in enumerate(names):
        png.write(folder / name, kill_subjects.panorama(kill_subjects.pose(index), 512))
    bpy.ops.pantheon360.import_captures(directory=str(folder), files=[{"name": name} for name in names])
    bpy.context.scene.pantheon360.reconstruction_width = 128
    save(bpy, folder)


def draft(folder: Path) -> None:
    """A shot that the draft painter paints, delivered as a video."""
    kill_subjects.blender(folder)
    finish_shot(folder, frames=16)


def diffusion(folder: Path) -> None:
    """A shot that a tiny untrained model paints in clips."""
    kill_subjects.blender(folder)
    python = os.environ["PANTHEON360_BACKEND_PYTHON"]
    sizes = "width=128, height=64, frames=4"
    load = "import sys, pathlib; from backend.diffusion.models import tiny_model"
    code = f"{load}; tiny_model.make(pathlib.Path(sys.argv[1]), {sizes})"
    subprocess.run([python, "-B", "-c", code, str(folder / "model")], check=True, cwd=ROOT)
    finish_shot(folder, frames=10, painter="DIFFUSION")


def finish_shot(folder: Path, frames: int, painter: str = "DRAFT") -> None:
    import bpy

    scene: Any = bpy.context.scene
    scene.frame_end = frames
    scene.pantheon360.painter = painter
    scene.pantheon360.diffusion.model = str(folder / "model")  # the same of all copies: frames tell what painted them
    scene.pantheon360.diffusion.steps, scene.pantheon360.diffusion.every = 3, 2
    save(bpy, folder)


def save(bpy: Any, folder: Path) -> None:
    """Save it, and another file to look at meanwhile."""
    bpy.context.scene[MINE] = 1
    bpy.data.scenes.new("Another")
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "shot.blend"), relative_remap=True)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "other.blend"))


KINDS: dict[str, Callable[[Path], None]] = {"build": build, "draft": draft, "diffusion": diffusion}


# Blender at work


class Blender:
    """A Blender with the file open, and its queue. ticks: that it had so far. said: what it came to."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.bpy = kill_subjects.enabled(folder)
        self.folder, self.kind = folder, kind
        self.queue, self.listing = room("scene.background.queue"), room("scene.background.listing")
        self.registry = room("core.jobs.registry")
        self.shot, self.reconstruct = room("scene.shot.shot"), room("scene.sources.reconstruct")
        self.ticks = 0
        self.said: dict[str, Any] = {}
        before = folder / "data" / SAID
        self.file = Path(json.loads(before.read_text())["file"]) if before.is_file() else folder / "shot.blend"
        self.open()

    def open(self) -> None:
        self.bpy.ops.wm.open_mainfile(filepath=str(self.file))
        self.bpy.ops.ed.undo_push(message="Original")  # as Blender does where it has windows

    def mine(self) -> Any:
        """The scene that the job is for; None in another file."""
        return next((scene for scene in self.bpy.data.scenes if scene.get(MINE) == 1), None)

    def prepare(self, between: Callable[[], None] = lambda: None) -> str:
        """Write the job's folder as the modal operator does, in ticks. Returns the job's id."""
        begin = self.reconstruct.begin if self.kind == "build" else self.shot.begin
        ticker = room("scene.app.jobs").Ticker(begin(self.mine()), self.kind)
        while True:
            try:
                step = ticker.tick()
            except StopIteration as end:
                return str(end.value.id)
            self.ticks += 1
            if self.registry.entries():  # before that, there is no job
                tell(step.phase, step.step)
            between()

    def drive(self, between: Callable[[], None] = lambda: None) -> None:
        """Work until the queue is empty."""
        while (pause := self.queue.step()) is not None:
            self.ticks += 1
            if (current := self.queue.current()) is not None:
                tell(current.ticker.newest.phase, current.ticker.newest.step)
            between()
            time.sleep(pause)

    def take_up_offers(self) -> None:
        """Press the button of every job that is offered, and work."""
        for item in self.listing.offers():
            ours = self.bpy.ops.pantheon360
            verb = ours.deliver_job if item.condition == "finished" else ours.resume_job
            verb(job=item.entry.id)
        self.drive()

    def offered(self) -> list[str]:
        return [item.condition for item in self.listing.offers()]

    def end(self) -> None:
        """Save the file, and say what is in it."""
        tell("Delivered", 0)
        time.sleep(LINGERS)
        self.bpy.ops.wm.save_mainfile()
        tell("Saved", 0)
        entries = self.registry.entries()
        self.said |= {
            "file": str(self.file),
            "states": [entry.state for entry in entries],
            "errors": [entry.error for entry in entries if entry.error],
            "left": self.offered(),
            "ticks": self.ticks,
            "result": self.result(),
        }
        (self.folder / "data" / SAID).write_text(json.dumps(self.said), encoding="utf-8")
        time.sleep(LINGERS)

    def result(self) -> dict[str, Any]:
        """What the file has of the job: strips and the scene they are for, points and poses."""
        identity, strips = room("scene.app.identity"), room("scene.shot.strips")
        cache_objects, scene = room("scene.cache.cache_objects"), self.mine()
        span = room("scene.app.versions").strip_range
        editors = [each.sequence_editor for each in self.bpy.data.scenes if each.sequence_editor is not None]
        made = [strip for editor in editors for strip in editor.strips if strips.JOB in strip]
        wrong = [strip for strip in made if strip.get(identity.IDENTITY) != identity.known_of(scene)]
        scene_of = room("scene.background.delivery").scene_of
        wrong += [entry for entry in self.registry.entries() if scene_of(entry) != scene]
        caches = {each.name: cache_objects.find(each) for each in self.bpy.data.scenes}
        cache = caches[scene.name]
        captures = room("scene.captures.capture_objects").in_scene(scene)
        poses = np.array([obj.matrix_world for obj in captures], dtype=np.float32)
        return {
            "strips": len(made),
            "frames": sorted(span(strip) for strip in made),
            "of another scene": len(wrong) + sum(each not in (None, cache) for each in caches.values()),
            "points": digest_of(cache.data) if cache is not None else "",
            "poses": hashlib.sha256(poses.tobytes()).hexdigest(),
        }


def digest_of(mesh: Any) -> str:
    places = np.empty(len(mesh.vertices) * 3, dtype=np.float32)
    mesh.vertices.foreach_get("co", places)
    return hashlib.sha256(places.tobytes()).hexdigest()


def tell(phase: str, step: int) -> None:
    print(json.dumps({"kind": "progress", "phase": phase, "step": step}), flush=True)


def begin(blender: Blender, options: argparse.Namespace) -> None:
    """--save: the file is saved once the job is there. --again: what fails is resumed, without a restart."""
    job = blender.prepare()
    if options.save:
        blender.bpy.ops.wm.save_mainfile()
    blender.queue.enqueue(job)
    blender.drive()
    entry = blender.registry.find(job)
    if entry.state == "failed":
        blender.said["failed"] = entry.error
        kept = kill_test.finished(blender.folder)
        if options.again:
            blender.take_up_offers()
        blender.said["twice"] = kill_test.made_again(kept, kill_test.finished(blender.folder))
    blender.end()


def restart(blender: Blender, _options: argparse.Namespace) -> None:
    """Take up what is offered."""
    blender.said["offered"] = blender.offered()
    blender.take_up_offers()
    blender.end()


class Disturbance:
    """What a person does while a job is at work: each thing once, at a tick drawn by the seed."""

    def __init__(self, blender: Blender, seed: int, ticks: int) -> None:
        self._blender, self._ops, self._data = blender, blender.bpy.ops, blender.bpy.data
        self._random = random.Random(seed)
        self.done: list[str] = []
        kinds = [self.undo, self.redo, self.load_another, self.load_again, self.save_as, self.delete, self.rename]
        kinds += [self.copy, self.save]
        self._plan = sorted((self._random.randrange(ticks), self._random.random(), kind) for kind in kinds)

    def __call__(self) -> None:
        """Between two ticks."""
        while self._plan and self._plan[0][0] <= self._blender.ticks:
            kind = self._plan.pop(0)[2]
            if self._blender.registry.entries() and not self._is_over():
                self.done.append(kind.__name__)
                kind()

    def _is_over(self) -> bool:
        """Once results are in the file, undo takes them away, as it should."""
        return any(entry.state == "delivered" for entry in self._blender.registry.entries())

    def _is_prepared(self) -> bool:
        return all(entry.state != "preparing" for entry in self._blender.registry.entries())

    def undo(self) -> None:
        self._push()
        self._ops.ed.undo()

    def redo(self) -> None:
        self.undo()
        self._wait()
        if self._ops.ed.redo.poll():  # not if results have come meanwhile
            self._ops.ed.redo()

    def load_another(self) -> None:
        """And come back, saved or not; while its folder is written, another file ends a job."""
        if self._is_prepared():
            if self._random.random() < 0.5:
                self._ops.wm.save_mainfile()
            self._ops.wm.open_mainfile(filepath=str(self._blender.folder / "other.blend"))
            self._wait(most=60)
            self._blender.open()

    def load_again(self) -> None:
        if self._is_prepared():
            self._blender.open()

    def save_as(self) -> None:
        self._blender.file = self._blender.folder / f"shot-{self._random.randrange(1000)}.blend"
        self._ops.wm.save_as_mainfile(filepath=str(self._blender.file), relative_remap=True)

    def save(self) -> None:
        self._ops.wm.save_mainfile()

    def delete(self) -> None:
        """The scene, and undo it."""
        if self._is_prepared():  # else the job is about nothing
            self._push()
            self._data.scenes.remove(self._blender.mine())
            self._push()
            self._wait()
            self._ops.ed.undo()

    def rename(self) -> None:
        self._blender.mine().name = self._random.choice("AZ")

    def copy(self) -> None:
        """A copy, which Blender puts before or behind the scene by its name."""
        scene = self._blender.mine()
        copied = scene.copy()
        copied[MINE] = 0
        copied.name = self._random.choice("BY")
        self._push()

    def _push(self) -> None:
        self._ops.ed.undo_push(message="Survival")

    def _wait(self, most: int = 10) -> None:
        """Some ticks of the queue."""
        for _ in range(self._random.randrange(1, most)):
            if self._is_prepared() and self._blender.queue.step() is not None:
                self._blender.ticks += 1
                time.sleep(0.02)


def disturb(blender: Blender, options: argparse.Namespace) -> None:
    disturbance = Disturbance(blender, options.seed, options.ticks)
    blender.queue.enqueue(blender.prepare(disturbance))
    blender.drive(disturbance)
    blender.said["disturbed"] = disturbance.done
    blender.said["offered"] = blender.offered()
    blender.take_up_offers()
    blender.end()


VERBS = {"begin": begin, "restart": restart, "disturb": disturb}


def main(arguments: list[str]) -> int:
    if arguments[0] in KINDS:
        KINDS[arguments[0]](Path(arguments[1]).absolute())
        return 0
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("verb", choices=VERBS)
    made.add_argument("kind", choices=KINDS)
    made.add_argument("folder", type=lambda text: Path(text).absolute())
    made.add_argument("--save", action="store_true")
    made.add_argument("--again", action="store_true")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--ticks", type=int, default=100)
    options = made.parse_args(arguments)
    os.environ["XDG_DATA_HOME"] = str(options.folder / "data")
    (options.folder / "data").mkdir(exist_ok=True)
    VERBS[options.verb](Blender(options.folder, options.kind), options)
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # Blender as a module is slow to leave, and loud
