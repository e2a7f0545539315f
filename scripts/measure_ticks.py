"""`make ticks`: how long a tick of ours keeps Blender's main thread busy, by activity. Writes out/interface/ticks.json.

Each activity is driven as in the interface, tick by tick, on five captures of 5760 x 2880 and a million points, in the
newest Blender; a tick's cost is the processor time of the thread that would draw. The same is done with an earlier
commit of this repository, where git has it: that is "before".

`python scripts/measure_ticks.py --of FOLDER` measures the checkout in FOLDER and prints one JSON object.
"""

from __future__ import annotations

import compileall
import importlib
import inspect
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import environments
import numpy as np

OUT = environments.ROOT / "out" / "interface"
BEFORE = "c2f1b2bb8a43"
"""The last commit that decoded and encoded in the main thread."""

CAPTURES, WIDTH = 5, 5760
POINTS = 1_000_000
FRAMES, FRAME_WIDTH = 24, 2048
MODULE = "bl_ext.dev.pantheon360"
SCENE = f"{MODULE}.pantheon360_blender.scene"

Step = Callable[[], Any]


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--of"]:
        return Measured(Path(arguments[1])).report()
    python = environments.needed("ticks", environments.BLENDERS[-1])
    with tempfile.TemporaryDirectory() as folder:
        before = _measure(python, Path(folder)) if _extracted(BEFORE, Path(folder)) else {}
    record = {"before": before, "after": _measure(python, environments.ROOT)}
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "ticks.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(table(record["before"], record["after"]))
    return 0


def table(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Both as a table for people."""
    rows = ["| activity | before, ms | after, ms | ticks | the longest one is |", "|---|---|---|---|---|"]
    for name, now in after.items():
        then = f"{before[name]['cpu_ms']:.0f}" if name in before else ""
        rows.append(f"| {name} | {then} | {now['cpu_ms']:.0f} | {now['ticks']} | {now['phase']} |")
    return "\n".join(rows)


def _extracted(commit: str, folder: Path) -> bool:
    """Put a commit's files into a folder, if git has it."""
    done = subprocess.run(["git", "archive", commit], cwd=environments.ROOT, capture_output=True)
    if done.returncode != 0:
        print(f"[ticks] without before: git does not have {commit}")
        return False
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return True


def _measure(python: Path, checkout: Path) -> dict[str, Any]:
    """Measure a checkout in a Blender of its own, whose preferences and registry are nobody's."""
    with tempfile.TemporaryDirectory() as resources:
        environment = {**os.environ, "BLENDER_USER_RESOURCES": resources, "XDG_DATA_HOME": resources}
        environment["PYTHONPYCACHEPREFIX"] = resources
        command = [str(python), "-B", str(Path(__file__).resolve()), "--of", str(checkout)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"[ticks] {checkout} could not be measured (exit code {done.returncode})")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


class Measured:
    """A checkout's activities in this Blender, and the longest tick of each."""

    def __init__(self, checkout: Path) -> None:
        self.bpy: Any = importlib.import_module("bpy")
        self.folder = Path(tempfile.mkdtemp(prefix="pantheon360-ticks-"))
        repository = self.folder / "repository"
        repository.mkdir()
        (repository / "pantheon360").symlink_to(checkout.resolve(), target_is_directory=True)
        for room in ("pantheon360_blender", "operators", "ui"):  # as the second start of an installed one finds them
            compileall.compile_dir(repository / "pantheon360" / room, quiet=1)
        self.bpy.context.preferences.extensions.repos.new(name="Dev", module="dev", custom_directory=str(repository))
        importlib.import_module("addon_utils").enable(MODULE, default_set=True)
        self.longest: dict[str, dict[str, Any]] = {}

    def room(self, name: str) -> Any:
        return importlib.import_module(f"{MODULE}.pantheon360_blender.{name}")

    def report(self) -> int:
        """Do everything once and print what was measured."""
        try:
            self._as_with_an_interface()
            for _ in self._activities():
                pass
            print(json.dumps(self.longest))
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        return 0

    def _as_with_an_interface(self) -> None:
        """Without one, the work is done in this process: there is nobody to wait for it."""
        with suppress(ModuleNotFoundError):  # a commit before there was a second process
            self.room("scene.worker.process").is_wanted = lambda: True

    def _activities(self) -> Iterator[None]:
        bpy, scene = self.bpy, self.bpy.context.scene
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
        scene = bpy.context.scene
        photographs = self._photographs()
        captures, caches = self.room("scene.captures.capture_objects"), self.room("scene.cache.cache_objects")
        made = self.drive("import", captures.import_files(scene, photographs, warn=lambda _: None))
        for index, obj in enumerate(made):
            obj.location = (0.0, 2.0 * index, 1.6)
        yield
        self._cloud(POINTS).save(self.folder / "points.ply")
        points = self.room("scene.sources.import_files").import_files(scene, [self.folder / "points.ply"])
        self.drive("import points", points)
        yield
        self.room("scene.sources.proxy").create(scene)
        scene.pantheon360.projection_width = 1024
        projection = self.room("scene.sources.projection")
        cloud = self.drive("project", projection.project(scene, bpy.context.evaluated_depsgraph_get()))
        self.once("project", "Bringing the points into the scene", lambda: caches.replace(scene, cloud))
        yield
        reconstruct = self.room("scene.sources.reconstruct")
        built = self.drive("build", reconstruct.prepare(scene, root=self.folder))
        self._finish(built)
        if inspect.isgeneratorfunction(reconstruct.deliver):
            self.drive("build", reconstruct.deliver(scene, built))
        else:
            self.once("build", "Delivering", lambda: reconstruct.deliver(scene, built))
        yield
        self._camera(scene)
        coverage, way = self.room("scene.camera.coverage_check"), self.room("scene.camera.camera_path")
        self.drive("coverage", coverage.check(scene, way.frame_numbers(scene, 2)))
        yield
        shot, strips, video = (self.room(f"scene.shot.{name}") for name in ("shot", "strips", "video"))
        folder = self.drive("geometry", shot.begin(scene, root=self.folder))
        self.drive("generate", shot.paint(folder))
        self.drive("generate", strips.deliver(scene, folder, "FRAMES"))
        yield
        self.drive("encode", video.encode(folder, self.folder / "video.mp4"))
        self.cancel("cancel", video.encode(folder, self.folder / "cancelled.mp4"))
        for name, job in (
            ("Building", reconstruct.prepare(scene, root=self.folder)),
            ("Geometry", shot.begin(scene, root=self.folder)),
        ):
            self.cancel("cancel", job, name)
        yield

    # What is measured

    def drive(self, activity: str, job: Any) -> Any:
        """Advance a job to its end as the interface does. Returns its result."""
        ticker = self.room("scene.app.jobs").Ticker(job, activity)
        while True:
            with _Timed(self, activity, ticker):
                try:
                    step = ticker.tick()
                except StopIteration as end:
                    return end.value
            ticker.rest()
            if step.waiting:
                time.sleep(0.02)

    def cancel(self, activity: str, job: Any, name: str = "Encoding", ticks: int = 12) -> None:
        """Advance a job a while, then cancel it."""
        ticker = self.room("scene.app.jobs").Ticker(job, activity)
        for _ in range(ticks):
            try:
                ticker.tick()
            except StopIteration:
                return
            ticker.rest()
            time.sleep(0.02)
        self.once(activity, f"{name}, after {ticker.newest.phase}", ticker.close)

    def once(self, activity: str, phase: str, work: Step) -> Any:
        with _Timed(self, activity, phase):
            return work()

    def note(self, activity: str, phase: str, cpu: float, wall: float) -> None:
        """Keep the longest tick."""
        known = self.longest.setdefault(activity, {"cpu_ms": 0.0, "wall_ms": 0.0, "ticks": 0, "phase": ""})
        known["ticks"] += 1
        known["wall_ms"] = max(known["wall_ms"], round(wall * 1000, 1))
        if cpu * 1000 > known["cpu_ms"]:
            known["cpu_ms"], known["phase"] = round(cpu * 1000, 1), phase

    # What it is measured on

    def _photographs(self) -> list[Path]:
        """Five JPEG files of a usual camera's size; compressing takes what it takes for photographs."""
        random, made = np.random.default_rng(1), []
        for index in range(CAPTURES):
            coarse = random.random((WIDTH // 32, WIDTH // 16, 4), np.float32)
            image = self.bpy.data.images.new("photograph", WIDTH, WIDTH // 2)
            image.pixels.foreach_set(np.kron(coarse, np.ones((16, 16, 1), np.float32)).ravel())
            made.append(self.folder / f"photograph-{index}.jpg")
            image.file_format = "JPEG"
            image.filepath_raw = str(made[-1])
            image.save()
            self.bpy.data.images.remove(image)
        return made

    def _finish(self, folder: Any) -> None:
        """A reconstruction's results, as the backend leaves them."""
        settings = self.room("core.jobs.reconstruct_settings")
        self._cloud(POINTS).save(folder.path / settings.CACHE_FILE)
        posed = [
            settings.PosedCapture(entry["name"], np.asarray(entry["pose"]), True, "") for entry in folder.job.captures
        ]
        settings.write_poses(folder.output, posed, {})
        folder.output.write_json(settings.REPORT_FILE, {"text": "made for measuring"})

    def _cloud(self, count: int) -> Any:
        """Points round the captures."""
        random = np.random.default_rng(2)
        directions = random.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return self.room("core.points.point_cloud").PointCloud(
            points=(directions * (8.0, 12.0, 5.0) + (0.0, 4.0, 2.0)).astype(np.float32),
            colours=random.integers(0, 256, (count, 3), dtype=np.uint8),
            confidence=random.random(count, np.float32),
            source=random.integers(0, CAPTURES, count, dtype=np.int32),
            footprint=np.full(count, 0.02, np.float32),
        )

    def _camera(self, scene: Any) -> None:
        camera = self.bpy.data.objects.new("Camera", self.bpy.data.cameras.new("Camera"))
        scene.collection.objects.link(camera)
        scene.camera, camera.rotation_euler = camera, (np.pi / 2, 0.0, 0.0)
        scene.frame_start, scene.frame_end = 1, FRAMES
        for frame, y in ((1, 0.0), (FRAMES, 8.0)):
            camera.location = (0.0, y, 1.6)
            camera.keyframe_insert("location", frame=frame)
        scene.pantheon360.painter, scene.pantheon360.width = "DRAFT", FRAME_WIDTH


class _Timed:
    """One tick: processor time of this thread, and time on the clock."""

    def __init__(self, measured: Measured, activity: str, told: Any) -> None:
        self._measured, self._activity, self._told = measured, activity, told

    def __enter__(self) -> None:
        self._cpu, self._wall = time.thread_time(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        cpu, wall = time.thread_time() - self._cpu, time.perf_counter() - self._wall
        phase = self._told if isinstance(self._told, str) else self._told.newest.phase
        self._measured.note(self._activity, phase, cpu, wall)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
