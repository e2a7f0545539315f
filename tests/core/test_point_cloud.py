"""Point clouds: checked shapes, joining and moving, files of ours and of others."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pantheon360_blender.core.errors import FileError, PointCloudError
from pantheon360_blender.core.formats import ply
from pantheon360_blender.core.points.point_cloud import PointCloud

OPTIONAL = ("confidence", "source", "footprint")
FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


def cloud_of(count: int, *optional: str, seed: int = 0) -> PointCloud:
    generator = np.random.default_rng(seed)
    shares: dict[str, Any] = {
        "confidence": generator.random(count, np.float32),
        "source": generator.integers(-1, 9, count, dtype=np.int32),
        "footprint": generator.random(count, np.float32),
    }
    return PointCloud(
        generator.normal(0, 10, (count, 3)).astype(np.float32),
        generator.integers(0, 256, (count, 3), dtype=np.uint8),
        **{name: shares[name] for name in optional},
    )


@st.composite
def clouds(draw: st.DrawFn) -> PointCloud:
    count = draw(st.integers(0, 6))
    shares = {
        name: draw(st.none() | arrays(dtype, count))
        for name, dtype in (("confidence", np.float32), ("source", np.int32), ("footprint", np.float32))
    }
    return PointCloud(draw(arrays(np.float32, (count, 3))), draw(arrays(np.uint8, (count, 3))), **shares)


def assert_same(first: PointCloud, second: PointCloud) -> None:
    for name in ("points", "colours", *OPTIONAL):
        one, other = getattr(first, name), getattr(second, name)
        assert (one is None) == (other is None), name
        if one is not None:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


# Files


@FILES
@given(cloud=clouds(), suffix=st.sampled_from([".ply", ".npz", ".PLY"]))
def test_what_is_saved_is_loaded(cloud: PointCloud, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"Ünïcode 空{suffix}"
    cloud.save(path)
    assert_same(PointCloud.load(path), cloud)


def test_arrays_in_any_memory_order_are_saved(tmp_path: Path) -> None:
    cloud = cloud_of(20)
    turned = PointCloud(np.asfortranarray(cloud.points), cloud.colours[:, ::-1][:, ::-1])
    for name in ("a.ply", "a.npz"):
        turned.save(tmp_path / name)
        assert_same(PointCloud.load(tmp_path / name), cloud)


def test_loaded_arrays_can_be_changed(tmp_path: Path) -> None:
    for name in ("a.ply", "a.npz"):
        cloud_of(3).save(tmp_path / name)
        cloud = PointCloud.load(tmp_path / name)
        assert cloud.points.flags.writeable
        assert cloud.colours.flags.writeable


def test_other_programs_read_the_file(tmp_path: Path) -> None:
    plyfile = pytest.importorskip("plyfile")
    cloud = cloud_of(30, *OPTIONAL)
    cloud.save(tmp_path / "a.ply")
    rows = plyfile.PlyData.read(tmp_path / "a.ply")["vertex"].data
    assert [rows.dtype[name].str[1:] for name in rows.dtype.names] == ["f4"] * 3 + ["u1"] * 3 + ["f4", "i4", "f4"]
    np.testing.assert_array_equal(np.column_stack([rows["x"], rows["y"], rows["z"]]), cloud.points)
    np.testing.assert_array_equal(np.column_stack([rows["red"], rows["green"], rows["blue"]]), cloud.colours)


def columns(count: int = 3, **more: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.arange(count, dtype=np.float64) for name in "xyz"} | more


def loaded(tmp_path: Path, given: dict[str, np.ndarray]) -> PointCloud:
    ply.write(tmp_path / "a.ply", given)
    return PointCloud.load(tmp_path / "a.ply")


BYTES = np.array([0, 51, 255], np.uint8)


@pytest.mark.parametrize(
    "colour",
    [
        BYTES,
        BYTES.astype(np.int32),
        BYTES.astype(np.uint16) * 257,
        BYTES / np.float32(255),
        BYTES.astype(np.float64) / 255,
        BYTES.astype(np.float32),
    ],
    ids=["bytes", "integers", "sixteen bits", "floats", "doubles", "floats to 255"],
)
@pytest.mark.parametrize(
    "names", [("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue")]
)
def test_colours_of_other_programs(colour: np.ndarray, names: tuple[str, ...], tmp_path: Path) -> None:
    cloud = loaded(tmp_path, columns(**{name: np.roll(colour, shift) for shift, name in enumerate(names)}))
    np.testing.assert_array_equal(cloud.colours, np.column_stack([np.roll(BYTES, shift) for shift in range(3)]))


def test_colours_out_of_range_are_kept_in_it(tmp_path: Path) -> None:
    wild = np.array([-0.5, 1.01, np.nan], np.float32)
    assert loaded(tmp_path, columns(red=wild, green=wild, blue=wild)).colours[:, 0].tolist() == [0, 255, 0]
    wild = np.array([-5, 300, 7], np.int32)
    assert loaded(tmp_path, columns(red=wild, green=wild, blue=wild)).colours[:, 0].tolist() == [0, 255, 7]


def test_normals_and_unknown_fields_are_left_out_and_missing_colours_are_white(tmp_path: Path) -> None:
    normal = np.ones(3, np.float32)
    cloud = loaded(tmp_path, columns(nx=normal, ny=normal, nz=normal, intensity=normal))
    assert (cloud.colours == 255).all()
    assert [getattr(cloud, name) for name in OPTIONAL] == [None] * 3
    np.testing.assert_array_equal(cloud.points[:, 1], [0, 1, 2])


def test_fields_that_went_through_cloudcompare_come_back(tmp_path: Path) -> None:
    cloud = loaded(tmp_path, columns(scalar_confidence=np.float32([0, 0.5, 1]), scalar_source=np.float32([0, 3, -1])))
    assert cloud.confidence is not None
    assert cloud.confidence.tolist() == [0, 0.5, 1]
    assert cloud.source is not None
    assert cloud.source.dtype == np.int32
    assert cloud.source.tolist() == [0, 3, -1]


def test_points_without_a_coordinate_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PointCloudError, match="lack z"):
        loaded(tmp_path, {"x": np.zeros(2, np.float32), "y": np.zeros(2, np.float32)})


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return path


def npy(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


GOOD = npy(np.zeros((2, 3), np.float32))
BYTE_COLOURS = npy(np.zeros((2, 3), np.uint8))
HUGE = GOOD.replace(b"(2, 3), }      ", b"(10000000000,3)}"[:15])


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"points": GOOD},
        {"points": GOOD, "colours": GOOD},
        {"points": GOOD, "colours": npy(np.zeros((3, 3), np.uint8))},
        {"points": npy(np.zeros((2, 3))), "colours": BYTE_COLOURS},
        {"points": GOOD[:-1], "colours": BYTE_COLOURS},
        {"points": GOOD[:20], "colours": BYTE_COLOURS},
        {"points": b"", "colours": BYTE_COLOURS},
        {"points": b"nonsense", "colours": BYTE_COLOURS},
        {"points": GOOD.replace(b"(2, 3)", b"(-2,3)"), "colours": BYTE_COLOURS},
        {"points": GOOD.replace(b"(2, 3)", b"(9**9)"), "colours": BYTE_COLOURS},
        {"points": GOOD.replace(b"(2, 3), }     ", b"(99999999, 3)}"), "colours": BYTE_COLOURS},
        {"points": GOOD.replace(b"'<f4'", b"'|O'  "), "colours": BYTE_COLOURS},
        {"points": GOOD.replace(b"'<f4'", b"()   "), "colours": BYTE_COLOURS},
        {"points": GOOD.replace(b"'descr'", b"12345  "), "colours": BYTE_COLOURS},
        {"points": GOOD.replace(b"{'descr'", b"[['descr"), "colours": BYTE_COLOURS},
    ],
)
def test_damaged_archives_are_refused(members: dict[str, bytes], tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", **members)
    with pytest.raises(PointCloudError, match=r"a\.npz"):
        PointCloud.load(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    trap = np.array([Trap()], dtype=object)
    path = archive(tmp_path / "a.npz", points=npy(trap, allow_pickle=True), colours=BYTE_COLOURS)
    with pytest.raises(PointCloudError):
        PointCloud.load(path)
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(PointCloudError):
        PointCloud.load(tmp_path / "b.npz")
    assert not (tmp_path / "sprung").exists()


def test_every_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    cloud_of(5).save(path)
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(PointCloudError):
            PointCloud.load(path)


def test_a_flipped_bit_in_an_archive_is_noticed(tmp_path: Path) -> None:
    path, cloud = tmp_path / "a.npz", cloud_of(50)
    cloud.save(path)
    data = bytearray(path.read_bytes())
    data[data.find(cloud.points.tobytes()[:16]) + 5] ^= 4
    path.write_bytes(data)
    with pytest.raises(PointCloudError):
        PointCloud.load(path)


def test_files_are_named_in_errors(tmp_path: Path) -> None:
    with pytest.raises(PointCloudError, match=r"none\.npz"):
        PointCloud.load(tmp_path / "none.npz")
    for call in (PointCloud.load, PointCloud.empty().save):
        with pytest.raises(PointCloudError, match="suffix"):
            call(tmp_path / "cloud.xyz")
    (tmp_path / "file").touch()
    with pytest.raises(FileError):
        PointCloud.empty().save(tmp_path / "file" / "a.ply")


# Shapes


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((np.zeros((2, 3)), np.zeros((2, 3), np.uint8)), "points"),
        ((np.zeros((2, 4), np.float32), np.zeros((2, 3), np.uint8)), "points"),
        ((np.zeros(3, np.float32), np.zeros((3, 3), np.uint8)), "points"),
        (([[0, 0, 0]], np.zeros((1, 3), np.uint8)), "points"),
        ((np.zeros((2, 3), np.float32), np.zeros((3, 3), np.uint8)), "colours"),
        ((np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)), "colours"),
        ((np.zeros((2, 3), np.float32), np.zeros((2, 3), np.uint8), np.zeros(2)), "confidence"),
        ((np.zeros((2, 3), np.float32), np.zeros((2, 3), np.uint8), None, np.zeros(2, np.int64)), "source"),
        ((np.zeros((2, 3), np.float32), np.zeros((2, 3), np.uint8), None, None, np.zeros((2, 1), "f4")), "footprint"),
    ],
)
def test_other_shapes_and_types_are_refused_by_name(arguments: tuple[Any, ...], name: str) -> None:
    with pytest.raises(PointCloudError, match=name):
        PointCloud(*arguments)


# Joining, choosing, moving


def test_joined_clouds_keep_every_point_and_fill_what_is_unknown() -> None:
    first, second = cloud_of(3, "confidence"), cloud_of(2, "source", "footprint", seed=1)
    joined = PointCloud.concatenate([first, PointCloud.empty(), second])
    assert len(joined) == 5
    np.testing.assert_array_equal(joined.points, np.concatenate([first.points, second.points]))
    np.testing.assert_array_equal(joined.colours, np.concatenate([first.colours, second.colours]))
    assert joined.confidence is not None
    assert joined.source is not None
    assert joined.footprint is not None
    assert joined.confidence[3:].tolist() == [1, 1]
    assert joined.source[:3].tolist() == [-1, -1, -1]
    assert joined.footprint[:3].tolist() == [0, 0, 0]
    assert_same(PointCloud.concatenate([cloud_of(4)]), cloud_of(4))
    assert len(PointCloud.concatenate([])) == 0


def test_points_that_are_not_finite_are_dropped_with_all_that_belongs_to_them() -> None:
    cloud = cloud_of(6, *OPTIONAL)
    cloud.points[1, 2], cloud.points[4, 0] = np.nan, np.inf
    kept = cloud.finite()
    assert_same(kept, cloud.selected(np.array([0, 2, 3, 5])))
    assert kept.finite() is kept


def test_points_are_moved_and_footprints_grow_with_the_scale() -> None:
    cloud = cloud_of(10, *OPTIONAL)
    matrix = np.array([[0, -2.0, 0, 5], [2, 0, 0, 6], [0, 0, 2, 7], [0, 0, 0, 1]])
    moved = cloud.transformed(matrix)
    homogeneous = np.column_stack([cloud.points, np.ones(10)])
    np.testing.assert_allclose(moved.points, (homogeneous @ matrix.T)[:, :3], rtol=1e-6)
    np.testing.assert_allclose(moved.footprint, 2 * cloud.footprint, rtol=1e-6)
    assert moved.points.dtype == moved.footprint.dtype == np.float32
    back = moved.transformed(np.linalg.inv(matrix))
    np.testing.assert_allclose(back.points, cloud.points, atol=1e-5)


@pytest.mark.parametrize("matrix", [np.eye(3), np.full((4, 4), np.nan)])
def test_impossible_moves_are_refused(matrix: np.ndarray) -> None:
    with pytest.raises(PointCloudError, match="matrix"):
        cloud_of(2).transformed(matrix)
