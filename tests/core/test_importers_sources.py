"""The one entry: which reader is chosen, what is refused, and what all sources have in common."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core.errors import FileError, PantheonError
from pantheon360_blender.core.formats import ply
from pantheon360_blender.core.importers import (
    Imported,
    ImportedCapture,
    Options,
    SourceError,
    import_folder,
    open_source,
    source_of,
)
from pantheon360_blender.core.importers.imported import UP_AXES
from pantheon360_blender.core.output_folder import OutputFolder
from pantheon360_blender.core.points.point_cloud import PointCloud
from pantheon360_blender.core.progress import run_to_end


def a_cloud(count: int = 1000) -> PointCloud:
    random = np.random.default_rng(0)
    return PointCloud(
        random.uniform(-3, 3, (count, 3)).astype(np.float32),
        random.integers(0, 256, (count, 3), dtype=np.uint8),
        random.random(count, dtype=np.float32),
        random.integers(-1, 3, count, dtype=np.int32),
        random.random(count, dtype=np.float32),
    )


@pytest.mark.parametrize("suffix", [".ply", ".npz"])
def test_point_clouds_come_in_as_they_are(tmp_path: Path, suffix: str) -> None:
    cloud = a_cloud()
    cloud.save(tmp_path / f"a{suffix}")
    imported = run_to_end(open_source(tmp_path / f"a{suffix}"))
    assert imported.cloud is not None and not imported.notes and not imported.captures
    for name in ("points", "colours", "confidence", "source", "footprint"):
        np.testing.assert_array_equal(getattr(imported.cloud, name), getattr(cloud, name))


def test_a_survey_in_doubles_keeps_its_millimetres(tmp_path: Path) -> None:
    local = np.random.default_rng(0).uniform(0, 50, (500, 3))
    points = np.add(local, (500_000, 5_400_000, 420))
    ply.write(tmp_path / "utm.ply", {axis: points[:, index] for index, axis in enumerate("xyz")})
    imported = run_to_end(open_source(tmp_path / "utm.ply"))
    assert imported.cloud is not None
    np.testing.assert_allclose(imported.cloud.points + imported.offset, points, atol=1e-5)
    assert imported.offset[2] == 0 and np.abs(imported.cloud.points[:, :2]).max() < 200


def test_tiles_stay_together_by_one_offset(tmp_path: Path) -> None:
    for name, east in (("a", 500_000.0), ("b", 500_400.0)):
        ply.write(tmp_path / f"{name}.ply", {"x": np.full(9, east), "y": np.full(9, 7e6), "z": np.zeros(9)})
    first = run_to_end(open_source(tmp_path / "a.ply"))
    second = run_to_end(open_source(tmp_path / "b.ply", offset=first.offset))
    assert first.cloud is not None and second.cloud is not None
    np.testing.assert_allclose(second.cloud.points[0] - first.cloud.points[0], (400, 0, 0), atol=1e-3)


def test_far_points_that_go_astray_do_not_move_the_rest(tmp_path: Path) -> None:
    cloud = a_cloud()
    cloud.points[:3] = 1e7
    cloud.save(tmp_path / "a.ply")
    assert not run_to_end(open_source(tmp_path / "a.ply")).offset.any()


@pytest.mark.parametrize("up", UP_AXES)
def test_the_stated_axis_points_up_and_nothing_is_mirrored(tmp_path: Path, up: str) -> None:
    axis = np.zeros(3)
    axis["xyz".index(up[-1])] = -1 if up[0] == "-" else 1
    np.testing.assert_array_equal(UP_AXES[up] @ axis, (0, 0, 1))
    assert np.linalg.det(UP_AXES[up]) == pytest.approx(1)
    cloud = a_cloud()
    cloud.save(tmp_path / "a.ply")
    imported = run_to_end(open_source(tmp_path / "a.ply", up=up))
    assert imported.cloud is not None
    np.testing.assert_allclose(imported.cloud.points[:, 2], cloud.points @ axis, atol=1e-6)
    assert (up == "z") == (not imported.notes)


def test_voxels_can_be_asked_for(tmp_path: Path) -> None:
    a_cloud().save(tmp_path / "a.ply")
    imported = run_to_end(open_source(tmp_path / "a.ply", voxel=3.0))
    assert imported.cloud is not None and len(imported.cloud) == 8
    assert any("1,000 points were thinned to 8 by voxels of 3 m" in note for note in imported.notes)


def test_what_is_unknown_is_told_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(SourceError) as refusal:
        run_to_end(open_source(tmp_path / "notes.txt"))
    for kind in ("PLY", "COLMAP", "nerfstudio", "ViPE", "depth"):
        assert kind in str(refusal.value)
    with pytest.raises(SourceError, match="no known kind"):
        run_to_end(open_source(tmp_path))


@pytest.mark.parametrize(("start", "what"), [(b"LASF", "LAS"), (b"ASTM-E57", "E57")])
def test_what_needs_the_backend_says_so(tmp_path: Path, start: bytes, what: str) -> None:
    (tmp_path / "scan").write_bytes(start + bytes(1000))
    with pytest.raises(SourceError, match=f"{what}.*backend"):
        run_to_end(open_source(tmp_path / "scan"))


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.ply").touch()
    for path in (tmp_path / "missing.ply", tmp_path / "empty.ply", Path("a\0b")):
        with pytest.raises(FileError):
            run_to_end(open_source(path))


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    a_cloud().save(tmp_path / "a.ply")
    (tmp_path / "a.txt").write_bytes((tmp_path / "a.ply").read_bytes())
    assert source_of(tmp_path / "a.txt").name == "ply"


@pytest.mark.parametrize(
    "options",
    [{"up": "north"}, {"scale": 0.0}, {"scale": float("nan")}, {"offset": (1, 2)}, {"offset": (0, 0, float("nan"))},
     {"every": 0}, {"depth_scale": -1.0}, {"limit": 0}, {"voxel": -1.0}],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    a_cloud().save(tmp_path / "a.ply")
    with pytest.raises(PantheonError):
        run_to_end(open_source(tmp_path / "a.ply", **options))


@pytest.mark.parametrize("values", [np.zeros(0), np.full(3, np.nan)])
def test_a_source_without_points_is_refused(tmp_path: Path, values: np.ndarray) -> None:
    ply.write(tmp_path / "a.ply", dict.fromkeys("xyz", values))
    with pytest.raises(SourceError, match="holds no points"):
        run_to_end(open_source(tmp_path / "a.ply"))


def test_closing_the_job_stops_it(tmp_path: Path) -> None:
    a_cloud().save(tmp_path / "a.ply")
    job = open_source(tmp_path / "a.ply")
    next(job)
    job.close()
    with pytest.raises(StopIteration):
        next(job)


def test_options_have_defaults_that_work() -> None:
    assert Options().limit > 1_000_000


def test_an_import_travels_as_a_folder(tmp_path: Path) -> None:
    pose = np.eye(4)
    pose[:3, 3] = [0.1, 2.0, 1e-7]
    captures = (
        ImportedCapture("a", tmp_path / "ä.png", pose),
        ImportedCapture("b", None, np.eye(4), False, None, 0.7),
        ImportedCapture("c", tmp_path / "new" / "pictures" / "c.png", pose),
    )
    given = Imported(a_cloud(), captures, ("a note",), np.array([5e5, 5.4e6, 0.1]))
    import_folder.write(given, OutputFolder.made(tmp_path / "new"))
    moved = (tmp_path / "new").rename(tmp_path / "moved")
    read = import_folder.read(moved)
    assert read.cloud is not None and given.cloud is not None
    np.testing.assert_array_equal(read.cloud.points, given.cloud.points)
    np.testing.assert_array_equal(read.offset, given.offset)
    assert read.notes == given.notes
    captures = (*captures[:2], replace(captures[2], image=moved / "pictures" / "c.png"))
    for ours, theirs in zip(read.captures, captures, strict=True):
        assert (ours.name, ours.image, ours.panoramic, ours.mask) == (theirs.name, theirs.image, theirs.panoramic, None)
        np.testing.assert_array_equal(ours.pose, theirs.pose)
        assert ours.field_of_view == theirs.field_of_view


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "points": 3}', '{"schema": 1'])
def test_damaged_import_folders_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "import.json").write_text(content)
    with pytest.raises(PantheonError):
        import_folder.read(tmp_path)
    with pytest.raises(PantheonError):
        import_folder.read(tmp_path / "missing")
