"""A reconstruction's job names what is wrong with its settings, and its results are read back or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core.errors import JobError
from pantheon360_blender.core.jobs import reconstruct_settings as results
from pantheon360_blender.core.jobs.job import ReconstructJob, job_from_json
from pantheon360_blender.core.jobs.job_folder import JobFolder, PaintFolder, ReconstructFolder
from pantheon360_blender.core.jobs.reconstruct_settings import PosedCapture, ReconstructionSettings
from pantheon360_blender.core.output_folder import OutputFolder
from pantheon360_blender.core.panorama.capture import Capture


def sealed(root: Path, settings: dict[str, Any] | None = None, **fields: Any) -> ReconstructFolder:
    folder = ReconstructFolder.new(root, "Place")
    entries = [
        folder.write_capture(Capture(name, np.full((32, 64, 3), 90, np.uint8), np.eye(4))) for name in ("A", "B")
    ]
    folder.seal(ReconstructJob(name="Place", captures=entries, settings=settings or {}, **fields))
    return folder


def test_it_needs_no_frames_cameras_or_width(tmp_path: Path) -> None:
    folder = sealed(tmp_path)
    written = json.loads((folder.path / "job.json").read_text("utf-8"))
    assert not {"frames", "cameras", "width", "fps", "painter"} & set(written)
    read = JobFolder.open(folder.path)
    read.verify()
    assert isinstance(read, ReconstructFolder) and isinstance(read.job, ReconstructJob)
    assert written["kind"] == "reconstruct" and read.finished_frames() == []
    assert read.job.inputs == folder.job.inputs and len(read.job.inputs) == 2


def test_what_only_a_shot_has_is_refused(tmp_path: Path) -> None:
    record = sealed(tmp_path).job.to_json() | {"frames": [1]}
    with pytest.raises(JobError, match=r"reconstruct has no field 'frames'"):
        job_from_json(record)


def test_it_is_opened_as_nothing_else(tmp_path: Path) -> None:
    path = sealed(tmp_path).path
    assert ReconstructFolder.open(path).job.id == ReconstructFolder.open(path).id
    with pytest.raises(JobError, match="holds a job of kind reconstruct"):
        PaintFolder.open(path)


def test_a_shot_still_needs_its_frames(tmp_path: Path) -> None:
    record = sealed(tmp_path).job.to_json() | {"kind": "paint"}
    with pytest.raises(JobError, match="'width' is missing"):
        job_from_json(record)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"posse": "solve"}, "unknown setting 'posse'"),
        ({"poses": "guess"}, "poses"),
        ({"dense": "../evil"}, "dense"),
        ({"width": 1000}, "multiple of 64"),
        ({"width": 64.0}, "width"),
        ({"width": 1 << 20}, "width"),
        ({"confidence": 1.5}, "confidence"),
        ({"confidence": True}, "confidence"),
        ({"nearest_only": 1}, "nearest_only"),
        ({"complete": "yes"}, "complete"),
        ({"guess_by": "../evil"}, "guess_by"),
        ({"guess_by": "sweep"}, "no reconstructor"),
        ({"camera_height": -2}, "camera_height"),
        ({"distance": ["A", "A", 2.0]}, "distance"),
        ({"distance": ["A", "B", 0]}, "distance"),
        ({"distance": ["A", "C", 2.0]}, "'C'"),
        ({"priors": {"C": {"position": None, "heading": None}}}, "'C'"),
        ({"priors": {"A": {"position": [1, 2], "heading": None}}}, "position"),
        ({"priors": {"A": {"heading": 3.0}}}, "position and heading"),
        ({"options": []}, "options"),
        ({"poses": "given", "dense": "none"}, "neither"),
        ({"poses": "model"}, "names no model"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(JobError, match=told):
        sealed(tmp_path, settings)
    assert not list(tmp_path.glob("*/job.json"))


def test_settings_survive_the_file(tmp_path: Path) -> None:
    settings = ReconstructionSettings(
        poses="given",
        dense="vggt",
        width=512,
        confidence=0.25,
        camera_height=1.7,
        distance=["A", "B", 2.5],
        priors={"A": {"position": [0.125, 2.0, -1.0], "heading": 359.5}},
        options={"device": "cpu"},
    )
    folder = sealed(tmp_path, settings.to_json())
    read = ReconstructionSettings.from_json(JobFolder.open(folder.path).job.settings)
    assert read == settings and read.reconstructor == read.learned == "vggt" and not read.guesser
    guessing = ReconstructionSettings(guess_by="da360")
    assert guessing.guesser == guessing.learned == "da360" and not guessing.reconstructor
    assert not ReconstructionSettings(guess_by="da360", complete=False).learned
    older = ReconstructionSettings.from_json({})
    assert older == ReconstructionSettings(complete=False), "a version that did not guess wrote no such setting"


def test_without_captures_there_is_nothing_to_reconstruct(tmp_path: Path) -> None:
    record = sealed(tmp_path).job.to_json() | {"captures": [], "inputs": []}
    with pytest.raises(JobError, match="no captures"):
        job_from_json(record)


def test_poses_are_read_back_to_the_last_bit(tmp_path: Path) -> None:
    pose = np.eye(4)
    pose[:3, 3] = 1 / 3, 1e-7, 12345.678901234567
    posed = [PosedCapture("Ünïcode 空", pose, True), PosedCapture("B", np.eye(4), False, "too dark.")]
    results.write_poses(OutputFolder(tmp_path), posed, {"scale_from": "gps"})
    read, solution = results.read_poses(tmp_path)
    assert [(one.name, one.registered, one.reason) for one in read] == [
        ("Ünïcode 空", True, ""),
        ("B", False, "too dark."),
    ]
    np.testing.assert_array_equal(read[0].pose, pose)
    assert solution == {"scale_from": "gps"}


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        b"{",
        b'{"captures": [], "solution": 3}',
        b'{"captures": [{"name": "A"}], "solution": {}}',
        b'{"captures": [{"name": "A", "pose": [[1]], "registered": true, "reason": ""}], "solution": {}}',
        b'{"captures": [{"name": "A", "pose": [[2,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]], "registered": true,'
        b' "reason": ""}], "solution": {}}',
        b'{"captures": [{"name": "A", "pose": [[1'
        + b"0" * 400
        + b']], "registered": true, "reason": ""}], "solution": {}}',
        b'{"captures": [{"name": "A", "pose": {"a": 1}, "registered": true, "reason": ""}], "solution": {}}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_damaged_poses_are_refused(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "poses.json").write_bytes(damage)
    with pytest.raises(JobError, match=r"poses\.json"):
        results.read_poses(tmp_path)
    with pytest.raises(JobError, match=r"report\.json"):
        results.read_report(tmp_path)
