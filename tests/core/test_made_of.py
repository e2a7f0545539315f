"""Results name what they were made of: those of a job that was sealed otherwise since do not count."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core.formats import png
from pantheon360_blender.core.jobs import made_of, paint_settings, painting_record, reconstruct_settings
from pantheon360_blender.core.jobs.job import PaintJob, ReconstructJob
from pantheon360_blender.core.jobs.job_folder import PaintFolder, ReconstructFolder

from .test_job_folder import capture, geometry, pose, shot

FRAMES = (1, 2, 3)
IMAGE = np.zeros((16, 32, 3), np.uint8)


def finished(root: Path, painter: str) -> PaintFolder:
    """A shot whose frames are all painted."""
    folder = shot(root, frames=FRAMES)
    folder.seal(replace(folder.job, painter=painter, settings={"near": 0.1, "diffusion": {"model": "a", "steps": 2}}))
    for frame in FRAMES:
        folder.write_frame(frame, IMAGE)
    assert folder.finished_frames() == [*FRAMES]
    return folder


def moved(folder: PaintFolder) -> dict[str, Any]:
    cameras = folder.job.cameras.copy()
    cameras[1, 0, 3] += 1
    return {"cameras": cameras}


def exchanged(folder: PaintFolder, kind: str = "geometry") -> dict[str, Any]:
    folder.write_geometry(kind, 2, geometry(99))  # type: ignore[arg-type]
    return {}


def other_capture(folder: PaintFolder) -> dict[str, Any]:
    (folder.path / folder.job.captures[0]["image"]).write_bytes(png.encode(255 - capture().image))
    return {}


def other_mask(folder: PaintFolder) -> dict[str, Any]:
    (folder.path / str(folder.job.captures[0]["mask"])).write_bytes(png.encode(np.zeros((16, 32), np.uint8)))
    return {}


def other_range(folder: PaintFolder) -> dict[str, Any]:
    folder.write_range(folder.job.captures[0], np.full((512, 1024), 2.0, np.float32))
    return {}


def diffusion(**changed: Any) -> dict[str, Any]:
    return {"settings": {"near": 0.1, "diffusion": {"model": "a", "steps": 2} | changed}}


CHANGES: dict[str, tuple[Any, list[int], list[int]]] = {
    "nothing": (lambda folder: {}, [1, 2, 3], [1, 2, 3]),
    "name": (lambda folder: {"name": "another", "software": {"blender": "9.9.9"}}, [1, 2, 3], [1, 2, 3]),
    "geometry": (exchanged, [1, 3], []),
    "footprint": (lambda folder: exchanged(folder, "footprint"), [1, 3], []),
    "camera": (moved, [1, 3], []),
    "capture": (other_capture, [], []),
    "mask": (other_mask, [], []),
    "range": (other_range, [], []),
    "seed": (lambda folder: {"seed": "5"}, [1, 2, 3], []),
    "model": (lambda folder: diffusion(model="b"), [1, 2, 3], []),
    "setting": (lambda folder: diffusion(steps=3), [1, 2, 3], []),
    "device": (lambda folder: diffusion(device="cpu", memory="single", compile=True), [1, 2, 3], [1, 2, 3]),
    "anchors": (lambda folder: {"anchors": []}, [1, 2, 3], []),
    "painter": (lambda folder: {"painter": "third"}, [], []),
}
"""What is changed, and the frames of the draft and of the diffusion painter that count afterwards."""


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("painter", ["draft", "diffusion"])
@pytest.mark.parametrize("opened", [False, True])
def test_only_frames_of_the_job_as_it_is_count(change: str, painter: str, opened: bool, tmp_path: Path) -> None:
    folder = finished(tmp_path, painter)
    changed, draft, painted = CHANGES[change]
    fields = changed(folder)
    (PaintFolder.open(folder.path) if opened else folder).seal(replace(folder.job, **fields))
    if opened:
        folder = PaintFolder.open(folder.path)
    assert folder.finished_frames() == (draft if painter == "draft" else painted)
    assert {folder.lack(frame) for frame in FRAMES} <= {None, "was made of other inputs or settings"}


def test_every_field_of_a_job_decides_or_is_known_not_to(tmp_path: Path) -> None:
    folder = finished(tmp_path, "diffusion")
    others: dict[str, Any] = {
        "width": 64, "fps": 25.0, "frames": [1, 2, 4], "cameras": folder.job.cameras + 1, "captures": [], "anchors": [],
        "painter": "draft", "settings": {}, "seed": "1", "inputs": [],
    }  # fmt: skip
    assert {"kind", *made_of.NOT_DECIDING, *others} == PaintJob.fields.keys()
    for name, value in others.items():
        assert made_of.whole(replace(folder.job, **{name: value})) != made_of.whole(folder.job), name


def test_settings_that_do_not_decide_are_settings() -> None:
    assert set(made_of.SETTINGS_NOT_DECIDING[paint_settings.SETTINGS_KEY]) < set(paint_settings.SETTINGS)


def test_what_a_painter_keeps_counts_where_it_asks(tmp_path: Path) -> None:
    folder = finished(tmp_path, "diffusion")
    folder.write_frame(1, IMAGE, "abc")
    assert folder.is_finished(1, "abc") and folder.is_finished(1) and not folder.is_finished(1, "abd")
    assert folder.is_finished(2, "abc"), "it does not say what else it was made of"


def test_a_frame_of_somebody_else_counts(tmp_path: Path) -> None:
    """Retouched by the artist, or painted by a version that did not write it down."""
    folder = finished(tmp_path, "draft")
    png.write(folder.frame_file(2), IMAGE + 7)
    assert folder.finished_frames() == [*FRAMES]


def test_a_record_of_another_job_tells_nothing_of_this_one(tmp_path: Path) -> None:
    folder = finished(tmp_path, "diffusion")
    folder.painting_file.write_text(json.dumps({"made_of": folder.made_of, "device": "a card"}))
    assert painting_record.read(folder.painting_file, folder.made_of)["device"] == "a card"
    folder.seal(replace(folder.job, seed="5"))
    assert painting_record.read(folder.painting_file, folder.made_of) == {}


def reconstruction(root: Path) -> ReconstructFolder:
    """A job all of whose results are there, though none of them can be read."""
    folder = ReconstructFolder.new(root, "Place")
    entries = [folder.write_capture(replace(capture(name), pose=pose(float(at)))) for at, name in enumerate("ab")]
    folder.seal(ReconstructJob(name="Place", captures=entries, settings={}))
    folder.begin()
    for name in (*reconstruct_settings.RESULT_FILES, f"{reconstruct_settings.DEPTH_FOLDER}/a.npz"):
        folder.output.write_bytes(name, b"result")
    return folder


def results(folder: ReconstructFolder) -> set[str]:
    there = {path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_file()}
    return {name for name in there if not name.startswith("captures/")} - {"job.json", made_of.FILE}


@pytest.mark.parametrize("change", ["nothing", "capture", "seed", "settings"])
def test_stages_of_another_reconstruction_are_removed(change: str, tmp_path: Path) -> None:
    folder = reconstruction(tmp_path)
    before = results(folder)
    if change == "capture":
        (folder.path / folder.job.captures[0]["image"]).write_bytes(png.encode(255 - capture("a").image))
    fields = {"seed": {"seed": "5"}, "settings": {"settings": {"width": 128}}}.get(change, {})
    folder.seal(replace(folder.job, **fields))
    folder = ReconstructFolder.open(folder.path)
    assert len(before) == 6 and folder.has_results_of_another_job() == (change != "nothing")
    folder.begin()
    assert results(folder) == (before if change == "nothing" else set()) and not folder.has_results_of_another_job()


def test_stages_that_do_not_say_what_they_are_of_are_kept(tmp_path: Path) -> None:
    """They were taken over from an earlier job (reuse.py), or made by a version that did not write it down."""
    folder = reconstruction(tmp_path)
    (folder.path / made_of.FILE).unlink()
    folder.begin()
    assert len(results(folder)) == 6 and (folder.path / made_of.FILE).is_file()
