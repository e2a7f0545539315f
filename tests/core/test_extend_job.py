"""A job that extends a cache keeps frames, cache and cameras as they were written, or says what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core.errors import JobError
from pantheon360_blender.core.formats import png
from pantheon360_blender.core.importers import Imported
from pantheon360_blender.core.importers.joining import joined
from pantheon360_blender.core.jobs.job import ExtendJob, job_from_json
from pantheon360_blender.core.jobs.job_folder import ExtendFolder, JobFolder, PaintFolder
from pantheon360_blender.core.points.point_cloud import INVENTED, PointCloud

WIDTH = 32


def cloud() -> PointCloud:
    numbers = np.array([-1, INVENTED, 0, 1, 5, -7], np.int32)
    generator = np.random.default_rng(0)
    points = generator.normal(size=(len(numbers), 3)).astype(np.float32)
    return PointCloud(points, generator.integers(0, 256, points.shape, dtype=np.uint8), source=numbers)


def picture(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (WIDTH // 2, WIDTH, 3), dtype=np.uint8)
    return image, generator.random((WIDTH // 2, WIDTH)) < 0.5


def sealed(root: Path, **fields: Any) -> ExtendFolder:
    folder = ExtendFolder.new(root, "Take")
    for frame in (-3, 7):
        folder.write_painted(frame, *picture(frame % 5))
    folder.write_known(cloud())
    given = {"width": WIDTH, "frames": [-3, 7], "cameras": np.stack([np.eye(4)] * 2), "settings": {"near": 0.5}}
    folder.seal(ExtendJob(name="Take", **(given | fields)))
    return folder


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    folder = ExtendFolder.open(sealed(tmp_path).path)
    folder.verify()
    for frame in (-3, 7):
        for read, written in zip(folder.read_painted(frame), picture(frame % 5), strict=True):
            np.testing.assert_array_equal(read, written)
    np.testing.assert_array_equal(folder.read_known().points, cloud().points)
    np.testing.assert_array_equal(folder.read_known().source, cloud().source)
    assert [entry["path"] for entry in folder.job.inputs] == [
        "painted/-00003.png", "painted/000007.png", "known/cache.npz"
    ]  # fmt: skip
    with pytest.raises(JobError, match="holds a job of kind extend"):
        PaintFolder.open(folder.path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"settings": {}}, "settings"),
        ({"settings": {"near": -1}}, "near"),
        ({"settings": {"near": 0.1, "far": 2}}, "settings"),
        ({"frames": [1]}, "1 frames and 2 cameras"),
        ({"width": 31}, "width"),
        ({"painter": "draft"}, "painter"),
    ],
)
def test_what_is_wrong_with_it_is_named(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    record = json.loads((sealed(tmp_path).path / "job.json").read_text("utf-8"))
    with pytest.raises(JobError, match=told):
        job_from_json(record | change)


def test_inputs_of_another_job_are_refused(tmp_path: Path) -> None:
    folder = sealed(tmp_path)
    (folder.path / "painted" / "000007.png").write_bytes(png.encode(np.zeros((16, 32, 4), np.uint8)))
    with pytest.raises(JobError, match="SHA-256"):
        folder.read_painted(7)
    other = PointCloud.empty()
    other.save(folder.path / "known" / "cache.npz")
    with pytest.raises(JobError, match="SHA-256"):
        folder.read_known()


def test_points_of_another_cache_are_no_results(tmp_path: Path) -> None:
    folder = sealed(tmp_path)
    folder.begin()
    cloud().save(folder.invented_file)
    folder.write_painted(7, *picture(9))
    folder.seal(folder.job)
    changed = JobFolder.open(folder.path)
    assert isinstance(changed, ExtendFolder) and changed.has_results_of_another_job()
    changed.begin()
    assert not changed.invented_file.exists() and not changed.has_results_of_another_job()


def test_invented_points_stay_so_whatever_becomes_of_the_captures() -> None:
    found = cloud().renumbered([4, 3]).source
    np.testing.assert_array_equal(found, [-1, INVENTED, 4, 3, -1, -1])
    together = joined([Imported(cloud(), (), ()), Imported(cloud(), (), ())], 1000).cloud
    assert together is not None and int((together.source == INVENTED).sum()) == 2


def test_files_keep_the_mark(tmp_path: Path) -> None:
    for suffix in (".ply", ".npz"):
        cloud().save(tmp_path / f"a{suffix}")
        np.testing.assert_array_equal(PointCloud.load(tmp_path / f"a{suffix}").source, cloud().source)
