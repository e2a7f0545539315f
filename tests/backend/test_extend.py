"""A job of a take in a process of its own: points come out, done is done, what is missing or damaged is told."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pantheon360_blender.core.errors import BackendError
from pantheon360_blender.core.jobs.job import ExtendJob
from pantheon360_blender.core.jobs.job_folder import ExtendFolder
from pantheon360_blender.core.panorama import cameras
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.points.equirectangular_depth import cloud_from_depth
from pantheon360_blender.core.points.point_cloud import INVENTED, PointCloud
from pantheon360_blender.core.progress import run_to_end
from pantheon360_blender.core.render import splatting
from tests import known_room

WIDTH = 128
RunBackend = Callable[..., subprocess.CompletedProcess[str]]

takes_scipy = pytest.mark.skipif(importlib.util.find_spec("scipy") is None, reason="completing surfaces takes scipy")


@pytest.fixture
def take(tmp_path: Path) -> ExtendFolder:
    """Of the room whose block hides a part of it from the capture: the truth, painted from where that is seen."""
    turn = cameras.rotation_from_heading(0.0)
    stands, looks = (cameras.pose_matrix(turn, np.array(place)) for place in ((-1.5, -1.2, 0.1), (1.5, -1.0, 0.2)))
    image, distance = known_room.furnished(stands, WIDTH)
    capture = Capture("A", image, stands)
    known = cloud_from_depth(capture, distance, source=0)
    assert known.footprint is not None
    seen = splatting.splat_footprints(known.points, known.colours, known.footprint, looks, WIDTH)
    folder = ExtendFolder.new(tmp_path, "Take")
    entries = [folder.write_capture(capture)]
    folder.write_painted(4, known_room.furnished(looks, WIDTH)[0], ~seen.coverage)
    folder.write_known(known)
    folder.seal(
        ExtendJob(name="Take", width=WIDTH, frames=[4], cameras=looks[None], captures=entries, settings={"near": 0.01})
    )
    return folder


@takes_scipy
def test_points_come_out_and_done_is_done(take: ExtendFolder, run_backend: RunBackend) -> None:
    told = run_backend("run", take.path, "--json")
    assert told.returncode == 0, told.stderr
    kinds = [json.loads(line)["kind"] for line in told.stdout.splitlines()]
    assert kinds[0] == "started" and kinds[-1] == "done" and "progress" in kinds
    found = PointCloud.load(take.invented_file)
    assert len(found) > 100 and found.source is not None and (found.source == INVENTED).all()
    assert (np.abs(found.points) < 1.2 * known_room.HALF).all(axis=1).mean() > 0.95
    written = take.invented_file.stat().st_mtime_ns
    assert run_backend("run", take.path).returncode == 0 and take.invented_file.stat().st_mtime_ns == written
    take.invented_file.write_bytes(b"PK")
    assert run_backend("run", take.path).returncode == 0
    np.testing.assert_array_equal(PointCloud.load(take.invented_file).points, found.points)


@takes_scipy
def test_a_frame_that_was_changed_is_refused(take: ExtendFolder, run_backend: RunBackend) -> None:
    (take.path / "painted" / "000004.png").write_bytes(b"another one")
    told = run_backend("run", take.path)
    assert told.returncode == 1 and "SHA-256" in told.stderr and not take.invented_file.exists()


def test_what_is_missing_is_named_with_how_to_get_it(take: ExtendFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.reconstruction import extend

    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(BackendError, match="lacks scipy, needed for completing surfaces") as missing:
        run_to_end(extend.run(take))
    assert missing.value.code == "missing-package" and "pip install" in missing.value.advice
