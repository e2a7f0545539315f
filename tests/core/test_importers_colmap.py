"""COLMAP models packed by hand after its documentation, text and binary, and broken ones."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.importers import Imported, SourceError, open_source
from pantheon360_blender.core.panorama import cameras
from pantheon360_blender.core.progress import run_to_end

EQUIRECTANGULAR, PINHOLE = 17, 1
COUNT = 120


class Model:
    """A level walk along COLMAP's +Z, Y down, and points of known colours."""

    def __init__(self, far: float = 0.0) -> None:
        random = np.random.default_rng(3)
        self.centres = np.array([[0.1 * i, 0.02 * i, 2.0 * i] for i in range(4)]) + far
        self.quaternions = [np.array([np.cos(a / 2), 0, np.sin(a / 2), 0]) for a in (0.0, 0.3, -0.7, 3.0)]
        self.names = ["b.png", "a.png", "c/d.png", "e.png"]
        self.numbers = [7, 3, 12, 1]
        self.camera_of = [1, 1, 1, 2]
        self.points = random.uniform(-5, 5, (COUNT, 3)) + far
        self.colours = random.integers(0, 256, (COUNT, 3))
        self.tracks = [[self.numbers[i] for i in random.integers(0, 4, random.integers(0, 4))] for _ in range(COUNT)]

    def translation(self, index: int) -> np.ndarray:
        return np.asarray(-cameras.matrix_from_quaternion(self.quaternions[index]) @ self.centres[index])

    def write_binary(self, folder: Path, order: str = "<") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        kinds = [(1, EQUIRECTANGULAR, 1000, 500, (1000.0, 500.0)), (2, PINHOLE, 640, 480, (500.0, 500.0, 320.0, 240.0))]
        data = struct.pack(order + "Q", 2)
        for number, kind, width, height, parameters in kinds:
            data += struct.pack(f"{order}IiQQ{len(parameters)}d", number, kind, width, height, *parameters)
        (folder / "cameras.bin").write_bytes(data)
        data = struct.pack(order + "Q", 4)
        for index, name in enumerate(self.names):
            values = (*self.quaternions[index], *self.translation(index))
            data += struct.pack(order + "I7dI", self.numbers[index], *values, self.camera_of[index])
            data += name.encode() + b"\0" + struct.pack(order + "Q", index)
            data += struct.pack(order + "ddq", 1.0, 2.0, -1) * index
        (folder / "images.bin").write_bytes(data)
        data = struct.pack(order + "Q", COUNT)
        for index in range(COUNT):
            data += struct.pack(order + "Q3d3Bd", index + 1, *self.points[index], *self.colours[index].tolist(), 0.5)
            data += struct.pack(order + "Q", len(self.tracks[index]))
            data += b"".join(struct.pack(order + "II", image, 0) for image in self.tracks[index])
        (folder / "points3D.bin").write_bytes(data)

    def write_text(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cameras.txt").write_text(
            "# Camera list\n1 EQUIRECTANGULAR 1000 500 1000 500\n2 PINHOLE 640 480 500 500 320 240\n"
        )
        lines = ["# Image list with two lines of data per image:"]
        for index, name in enumerate(self.names):
            values = " ".join(
                f"{value!r}" for value in [*map(float, self.quaternions[index]), *self.translation(index).tolist()]
            )
            lines += [f"{self.numbers[index]} {values} {self.camera_of[index]} {name}", "1.0 2.0 -1 " * index]
        (folder / "images.txt").write_text("\n".join(lines) + "\n")
        lines = ["# 3D point list"]
        for index in range(COUNT):
            track = " ".join(f"{image} 0" for image in self.tracks[index])
            red, green, blue = self.colours[index]
            position = " ".join(map(repr, self.points[index].tolist()))
            lines.append(f"{index + 1} {position} {red} {green} {blue} 0.5 {track}")
        (folder / "points3D.txt").write_text("\n".join(lines) + "\n")

    def check(self, imported: Imported) -> None:
        """COLMAP's -Y is up here: (x, y, z) becomes (x, z, -y)."""
        assert imported.cloud is not None
        upright = self.points[:, [0, 2, 1]] * (1, 1, -1)
        np.testing.assert_allclose(imported.cloud.points + imported.offset, upright, atol=2e-6)
        np.testing.assert_array_equal(imported.cloud.colours, self.colours)
        order = sorted(range(4), key=lambda index: self.names[index])
        assert [capture.name for capture in imported.captures] == ["a", "b", "d", "e"]
        assert [capture.panoramic for capture in imported.captures] == [True, True, True, False]
        assert [capture.field_of_view for capture in imported.captures[:3]] == [None] * 3
        assert imported.captures[3].field_of_view == pytest.approx(2 * np.arctan(320 / 500))
        for capture, index in zip(imported.captures, order, strict=True):
            centre = self.centres[index][[0, 2, 1]] * (1, 1, -1)
            np.testing.assert_allclose(capture.pose[:3, 3] + imported.offset, centre, atol=1e-9)
            # What the camera sees at its image centre: OpenCV's +Z of the world-to-camera rotation.
            ahead = cameras.matrix_from_quaternion(self.quaternions[index])[2]
            np.testing.assert_allclose(-capture.pose[:3, 2], ahead[[0, 2, 1]] * (1, 1, -1), atol=1e-9)
            np.testing.assert_allclose(capture.pose[:3, 1], (0, 0, 1), atol=1e-9)
        assert imported.cloud.source is not None
        place = {self.numbers[index]: rank for rank, index in enumerate(order)}
        expected = [place[track[0]] if track else -1 for track in self.tracks]
        np.testing.assert_array_equal(imported.cloud.source, expected)
        assert any("-Y points up" in note for note in imported.notes)


@pytest.fixture(params=["binary", "text"])
def write(request: pytest.FixtureRequest) -> Callable[[Model, Path], None]:
    return Model.write_binary if request.param == "binary" else Model.write_text


@pytest.mark.parametrize("below", ["", "sparse/0"])
def test_poses_points_colours_and_tracks_come_in(
    write: Callable[[Model, Path], None], tmp_path: Path, below: str
) -> None:
    write(Model(), tmp_path / below)
    imported = run_to_end(open_source(tmp_path))
    Model().check(imported)
    assert not imported.offset.any()


def test_a_file_of_the_model_stands_for_its_folder(write: Callable[[Model, Path], None], tmp_path: Path) -> None:
    write(Model(), tmp_path)
    file = next(tmp_path.glob("points3D.*"))
    Model().check(run_to_end(open_source(file)))


def test_a_georeferenced_model_keeps_its_millimetres(write: Callable[[Model, Path], None], tmp_path: Path) -> None:
    model = Model(far=5_400_000.0)
    write(model, tmp_path)
    imported = run_to_end(open_source(tmp_path))
    model.check(imported)
    assert imported.offset.any() and imported.cloud is not None
    assert np.abs(imported.cloud.points).max() < 200
    assert any("far from the origin" in note for note in imported.notes)


def test_the_up_axis_and_the_scale_can_be_stated(write: Callable[[Model, Path], None], tmp_path: Path) -> None:
    write(Model(), tmp_path)
    imported = run_to_end(open_source(tmp_path, up="z", scale=2.0))
    assert imported.cloud is not None
    np.testing.assert_allclose(imported.cloud.points, Model().points * 2, atol=1e-5)
    by_name = {capture.name: capture.pose for capture in imported.captures}
    np.testing.assert_allclose(by_name["b"][:3, 3], Model().centres[0] * 2, atol=1e-12)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("observations", ["", "blank", "some"])
def test_images_are_all_found_whatever_stands_between_their_lines(tmp_path: Path, observations: str, end: str) -> None:
    """Also with comments among them, names with blanks and of digits, and the mark that Windows puts first."""
    model = Model()
    model.names = ["b c.png", "a.png", "c/d.png", "0012"]
    model.write_text(tmp_path)
    lines = [line for line in (tmp_path / "images.txt").read_text().splitlines() if line.endswith(tuple(model.names))]
    between = {"": [], "blank": [""], "some": ["1.5 2.5 -1 300.25 4 17", " # a comment"]}[observations]
    text = end.join(line for each in lines for line in (each, *between))
    (tmp_path / "images.txt").write_bytes(b"\xef\xbb\xbf# Image list" + end.encode() + text.encode())
    imported = run_to_end(open_source(tmp_path))
    assert [capture.name for capture in imported.captures] == ["0012", "a", "b c", "d"]


def test_pictures_are_found_beside_the_model_and_nowhere_else(tmp_path: Path) -> None:
    model = Model()
    model.names[3] = "../../secret.png"
    model.write_binary(tmp_path / "project/sparse/0")
    for name in ("a.png", "c/d.png"):
        place = tmp_path / "project/images" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"picture")
    (tmp_path / "secret.png").write_bytes(b"secret")
    imported = run_to_end(open_source(tmp_path / "project"))
    found = {capture.name: capture.image for capture in imported.captures}
    assert found["a"] == tmp_path / "project/images/a.png"
    assert found["d"] == tmp_path / "project/images/c/d.png"
    assert found["secret"] is None and found["b"] is None
    assert any("2 of 4 pictures were not found" in note for note in imported.notes)


@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
def test_any_cut_is_refused_or_leaves_whole_records(
    write: Callable[[Model, Path], None], tmp_path: Path, name: str
) -> None:
    write(Model(), tmp_path)
    file = next(tmp_path.glob(f"{name}.*"))
    data = file.read_bytes()
    for length in np.unique(np.linspace(0, len(data) - 1, 40).astype(int)):
        file.write_bytes(data[:length])
        if file.suffix == ".bin":
            with pytest.raises(PantheonError, match=name):
                run_to_end(open_source(tmp_path))
        else:  # a text file that ends early may still be a whole one
            try:
                run_to_end(open_source(tmp_path))
            except PantheonError as error:
                assert name in str(error) or "camera" in str(error)


def test_the_wrong_byte_order_is_named(tmp_path: Path) -> None:
    Model().write_binary(tmp_path, ">")
    with pytest.raises(SourceError, match="little-endian"):
        run_to_end(open_source(tmp_path))


@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
def test_a_count_that_lies_costs_no_memory(tmp_path: Path, name: str) -> None:
    Model().write_binary(tmp_path)
    file = tmp_path / f"{name}.bin"
    file.write_bytes(struct.pack("<Q", 1 << 40) + file.read_bytes()[8:])
    tracemalloc.start()
    with pytest.raises(SourceError, match="cut short"):
        run_to_end(open_source(tmp_path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize(
    "camera", ["OPENCV_FISHEYE 640 480 500 500 320 240 0 0 0 0", "PINHOLE 640 480 0 0 320 240", "PINHOLE 640 480"]
)
def test_no_field_of_view_is_told_where_there_is_none(tmp_path: Path, camera: str) -> None:
    Model().write_text(tmp_path)
    (tmp_path / "cameras.txt").write_text(f"1 {camera}\n2 {camera}\n")
    assert {capture.field_of_view for capture in run_to_end(open_source(tmp_path)).captures} == {None}


def test_a_track_that_lies_about_its_length_is_refused(tmp_path: Path) -> None:
    Model().write_binary(tmp_path)
    file = tmp_path / "points3D.bin"
    data = bytearray(file.read_bytes())
    data[8 + 43 : 8 + 51] = struct.pack("<Q", 1 << 60)
    file.write_bytes(data)
    with pytest.raises(SourceError, match="cut short"):
        run_to_end(open_source(tmp_path))


@pytest.mark.parametrize("flips", range(8))
def test_damaged_bytes_give_an_error_or_points_and_nothing_else(tmp_path: Path, flips: int) -> None:
    random = np.random.default_rng(flips)
    Model().write_binary(tmp_path)
    for file in sorted(tmp_path.iterdir()):
        data = file.read_bytes()
        for _ in range(15):
            broken = bytearray(data)
            for place in random.integers(0, min(len(data), 400), 3):
                broken[place] = random.integers(256)
            file.write_bytes(broken)
            with contextlib.suppress(PantheonError):
                run_to_end(open_source(tmp_path))
        file.write_bytes(data)


def test_poses_that_are_not_numbers_are_refused(write: Callable[[Model, Path], None], tmp_path: Path) -> None:
    model = Model()
    model.quaternions[2] = np.array([np.nan, 0, 0, 1])
    model.translation = lambda index: np.zeros(3)  # type: ignore[method-assign]
    write(model, tmp_path)
    with pytest.raises(SourceError, match=r"d\.png is damaged"):
        run_to_end(open_source(tmp_path))


def test_points_that_are_not_numbers_are_left_out(write: Callable[[Model, Path], None], tmp_path: Path) -> None:
    model = Model()
    model.points[5] = np.nan
    write(model, tmp_path)
    imported = run_to_end(open_source(tmp_path))
    assert imported.cloud is not None and len(imported.cloud) == COUNT - 1
    assert any("1 points without a finite position" in note for note in imported.notes)


def test_a_model_larger_than_the_limit_is_thinned_and_says_so(tmp_path: Path) -> None:
    Model().write_binary(tmp_path)
    imported = run_to_end(open_source(tmp_path, limit=60))
    assert imported.cloud is not None and 15 <= len(imported.cloud) <= 60
    assert any("120 points were thinned" in note for note in imported.notes)
