"""A reconstruction's job in Blender's own Python: what is missing is explained, finished stages are used, nothing lost.

The captures stand in a hollow sphere, whose range from anywhere inside is known in closed form.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core.jobs import reconstruct_settings
from pantheon360_blender.core.jobs.job import ReconstructJob
from pantheon360_blender.core.jobs.job_folder import ReconstructFolder
from pantheon360_blender.core.jobs.reconstruct_settings import PosedCapture
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.points.point_cloud import PointCloud

RADIUS = 5.0
WIDTH = 128
RunBackend = Callable[..., subprocess.CompletedProcess[str]]

lacks_numba = pytest.mark.skipif(
    importlib.util.find_spec("numba") is not None, reason="this Python has what is to be missing"
)


def place(x: float, y: float, turned: float) -> np.ndarray:
    """A level camera at (x, y, 0) that looks to +Y, turned to the left by radians."""
    cosine, sine = np.cos(turned), np.sin(turned)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    pose[:3, 3] = x, y, 0.0
    return pose


PLACES = {"A": place(-1.5, 0, 0.3), "B": place(1.5, 0.5, -1.0)}


def sphere_range(pose: np.ndarray, width: int = WIDTH) -> np.ndarray:
    """Exact range to the sphere, (H, W) float32: the positive root of |p + t d| = RADIUS."""
    rays = equirectangular.directions(width).astype(np.float64) @ pose[:3, :3].T
    along = rays @ pose[:3, 3]
    return np.asarray(-along + np.sqrt(along**2 + RADIUS**2 - pose[:3, 3] @ pose[:3, 3]), np.float32)


def captures() -> list[Capture]:
    colours = {"A": (200, 40, 40), "B": (40, 40, 200)}
    return [
        Capture(name, np.full((WIDTH // 2, WIDTH, 3), colours[name], np.uint8), pose) for name, pose in PLACES.items()
    ]


@pytest.fixture
def place_job(tmp_path: Path) -> Callable[..., ReconstructFolder]:
    def make(**settings: Any) -> ReconstructFolder:
        folder = ReconstructFolder.new(tmp_path, "Sphere")
        entries = [folder.write_capture(capture) for capture in captures()]
        folder.seal(ReconstructJob(name="Sphere", captures=entries, settings={"width": WIDTH, **settings}))
        return folder

    return make


def with_stages(folder: ReconstructFolder) -> ReconstructFolder:
    """As an earlier run leaves it that was ended before the points were written."""
    posed = [PosedCapture(name, pose, True) for name, pose in PLACES.items()]
    reconstruct_settings.write_poses(
        folder.output, posed, {"method": "solve", "scale_from": "gps", "notes": ["Mind the gap."]}
    )
    (folder.path / "depth").mkdir()
    for capture in captures():
        ranges = sphere_range(capture.pose)
        arrays = {"confidence": np.full(ranges.shape, 0.8, np.float32), "sky": np.zeros(ranges.shape, np.bool_)}
        np.savez(folder.path / "depth" / f"{capture.name}.npz", range=ranges, **arrays)
    return folder


@lacks_numba
def test_missing_packages_are_named_with_how_to_get_them(
    place_job: Callable[..., ReconstructFolder], run_backend: RunBackend
) -> None:
    folder = place_job()
    told = run_backend("run", folder.path, "--json")
    error = json.loads(told.stdout.splitlines()[-1])
    assert told.returncode == 1 and error["kind"] == "error" and error["code"] == "missing-package"
    for expected in ("numba", "pycolmap", "solving poses"):
        assert expected in error["text"]
    for expected in ("pip install", "Backend Python", "PANTHEON360_BACKEND_PYTHON"):
        assert expected in error["advice"]
    assert folder.state().status == "failed" and folder.state().error["code"] == "missing-package"  # type: ignore[index]
    assert "Traceback" not in told.stderr


@lacks_numba
def test_only_what_is_used_is_asked_for(place_job: Callable[..., ReconstructFolder], run_backend: RunBackend) -> None:
    told = run_backend("run", place_job(poses="given").path)
    assert told.returncode == 1 and "numba" in told.stderr and "pycolmap" not in told.stderr


@lacks_numba
def test_doctor_says_it_beforehand(run_backend: RunBackend) -> None:
    stages = {stage["name"]: stage for stage in json.loads(run_backend("doctor", "--json").stdout)["reconstruction"]}
    assert {"Solving poses", "Dense points"} < set(stages)
    assert not stages["Dense points"]["ready"] and "pip install numba" in stages["Dense points"]["missing"]
    told = run_backend("doctor").stdout
    assert "3D cache from captures" in told and "Dense points: lacks numba" in told


def test_an_unknown_reconstructor_is_refused(
    place_job: Callable[..., ReconstructFolder], run_backend: RunBackend
) -> None:
    told = run_backend("run", place_job(poses="given", dense="crystal_ball").path)
    assert told.returncode == 1 and "crystal_ball" in told.stderr and "Choose one of" in told.stderr


def test_finished_stages_become_a_cloud_without_their_packages(
    place_job: Callable[..., ReconstructFolder], run_backend: RunBackend
) -> None:
    folder = with_stages(place_job())
    told = run_backend("run", folder.path)
    assert told.returncode == 0, told.stderr
    assert str(folder.path) in told.stdout and "0 frames" not in told.stdout
    cloud = PointCloud.load(folder.path / "cache.npz")
    np.testing.assert_allclose(np.linalg.norm(cloud.points, axis=1), RADIUS, rtol=1e-4)
    assert folder.state().status == "done"
    report = reconstruct_settings.read_report(folder.path)
    assert report["points"] == len(cloud) and report["posed"] == 2
    assert report["steps_metres"] == [pytest.approx(np.hypot(3.0, 0.5), abs=1e-3)]
    assert "GPS" in report["text"] and "Mind the gap." in report["text"]
    assert [row["complete_percent"] for row in report["captures"]] == [100.0, 100.0]


def test_done_is_done(place_job: Callable[..., ReconstructFolder], run_backend: RunBackend) -> None:
    folder = with_stages(place_job())
    assert run_backend("run", folder.path).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*") if path.is_file()}
    assert run_backend("run", folder.path).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*") if path.is_file()} == before


def test_a_lost_result_is_made_again(place_job: Callable[..., ReconstructFolder], run_backend: RunBackend) -> None:
    folder = with_stages(place_job())
    assert run_backend("run", folder.path).returncode == 0
    first = (folder.path / "cache.npz").read_bytes()
    (folder.path / "cache.npz").write_bytes(first[: len(first) // 2])
    assert run_backend("run", folder.path).returncode == 0
    again = PointCloud.load(folder.path / "cache.npz")
    (folder.path / "whole.npz").write_bytes(first)
    np.testing.assert_array_equal(again.points, PointCloud.load(folder.path / "whole.npz").points)


def test_no_point_is_sure_enough(place_job: Callable[..., ReconstructFolder], run_backend: RunBackend) -> None:
    told = run_backend("run", with_stages(place_job(confidence=0.9)).path)
    assert told.returncode == 1 and "0.9" in told.stderr and "threshold" in told.stderr
