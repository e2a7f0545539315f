"""PLY files against plyfile in both directions, and headers that lie."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pantheon360_blender.core.errors import PointCloudError
from pantheon360_blender.core.formats import ply

plyfile = pytest.importorskip("plyfile")

TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"]
ENCODINGS = ["ascii", "little", "big"]
HEADER = "ply\nformat {} 1.0\n{}end_header\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"
FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


def save(path: Path, encoding: str, *elements: object) -> None:
    order = {"ascii": "=", "little": "<", "big": ">"}[encoding]
    plyfile.PlyData(elements, text=encoding == "ascii", byte_order=order).write(path)


@st.composite
def vertices(draw: st.DrawFn) -> np.ndarray:
    """A structured array of random scalar types."""
    kinds = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=6))
    rows = np.empty(draw(st.integers(0, 5)), [(f"p{index}", kind) for index, kind in enumerate(kinds)])
    for index, kind in enumerate(kinds):
        elements = {"width": 8 * int(kind[1])} if kind[0] == "f" else None
        column = arrays(kind, len(rows), elements=st.floats(allow_nan=False, **elements) if elements else None)
        rows[f"p{index}"] = draw(column)
    return rows


@FILES
@given(rows=vertices(), encoding=st.sampled_from(ENCODINGS))
def test_what_plyfile_writes_is_read(rows: np.ndarray, encoding: str, tmp_path: Path) -> None:
    save(tmp_path / "a.ply", encoding, plyfile.PlyElement.describe(rows, "vertex"))
    columns = ply.read(tmp_path / "a.ply")
    theirs = plyfile.PlyData.read(tmp_path / "a.ply")["vertex"]  # its ascii floats may have lost digits
    assert list(columns) == list(rows.dtype.names or ())
    for name, column in columns.items():
        assert column.dtype == rows.dtype[name]
        np.testing.assert_array_equal(column, theirs[name])


@FILES
@given(rows=vertices(), as_text=st.booleans())
def test_plyfile_reads_what_is_written(rows: np.ndarray, as_text: bool, tmp_path: Path) -> None:
    names = rows.dtype.names or ()
    ply.write(tmp_path / "b.ply", {name: rows[name] for name in names}, comments=["a\nb"], ascii_text=as_text)
    data = plyfile.PlyData.read(tmp_path / "b.ply")
    assert data.comments == ["a b"]
    for name, column in ply.read(tmp_path / "b.ply").items():
        np.testing.assert_array_equal(column, rows[name])
        np.testing.assert_array_equal(data["vertex"][name], rows[name])


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_other_elements_are_passed_over(encoding: str, tmp_path: Path) -> None:
    rows = np.array([(1, 2), (3, 4), (5, 6)], [("x", "f4"), ("y", "i2")])
    faces = np.array([([0, 1, 2], 5), ([0, 1, 2, 1], 6)], [("vertex_indices", "O"), ("flag", "u1")])
    edges = np.array([(0, 1), (1, 2)], [("a", "i4"), ("b", "i4")])
    save(
        tmp_path / "a.ply",
        encoding,
        plyfile.PlyElement.describe(faces, "face", val_types={"vertex_indices": "i4"}),
        plyfile.PlyElement.describe(edges, "edge"),
        plyfile.PlyElement.describe(rows, "vertex"),
        plyfile.PlyElement.describe(edges, "more"),
    )
    columns = ply.read(tmp_path / "a.ply")
    assert list(columns) == ["x", "y"]
    np.testing.assert_array_equal(columns["x"], [1, 3, 5])
    np.testing.assert_array_equal(columns["y"], [2, 4, 6])


@pytest.mark.parametrize(("form", "order"), [("ascii", ""), ("binary_little_endian", "<"), ("binary_big_endian", ">")])
def test_lists_of_vertices_are_passed_over(form: str, order: str, tmp_path: Path) -> None:
    """Written by hand: plyfile does not swap the bytes of numbers beside lists."""
    header = "element vertex 3\nproperty float x\nproperty list ushort double around\nproperty short y\n"
    body = b""
    for x, around, y in [(1.0, [7.0, 8.0], 2), (3.0, [9.0], 4), (5.0, [], 6)]:
        if order:
            body += struct.pack(f"{order}fH{len(around)}dh", x, len(around), *around, y)
        else:
            body += " ".join(map(str, [x, len(around), *around, y])).encode() + b"\n"
    (tmp_path / "a.ply").write_bytes(HEADER.format(form, header).encode() + body)
    columns = ply.read(tmp_path / "a.ply")
    assert list(columns) == ["x", "y"]
    np.testing.assert_array_equal(columns["x"], [1, 3, 5])
    np.testing.assert_array_equal(columns["y"], [2, 4, 6])


def test_only_the_wanted_columns_are_read(tmp_path: Path) -> None:
    columns = {name: np.arange(4, dtype=np.float32) for name in ("x", "nx", "y")}
    ply.write(tmp_path / "a.ply", columns)
    assert list(ply.read(tmp_path / "a.ply", ["y", "x", "z"])) == ["x", "y"]


def test_many_vertices_take_more_than_one_block(tmp_path: Path) -> None:
    column = np.arange(150_000, dtype=np.int32)
    for as_text in (False, True):
        ply.write(tmp_path / "a.ply", {"x": column, "y": -column}, ascii_text=as_text)
        read = ply.read(tmp_path / "a.ply")
        np.testing.assert_array_equal(read["x"], column)
        np.testing.assert_array_equal(read["y"], -column)


def test_line_ends_and_blank_lines_of_other_systems(tmp_path: Path) -> None:
    text = HEADER.format("ascii", f"comment a\nobj_info b\n\nelement vertex 2\n{XYZ}") + "1 2 3\n\n 4\t5 nan"
    (tmp_path / "a.ply").write_bytes(text.replace("\n", "\r\n").encode())
    columns = ply.read(tmp_path / "a.ply")
    np.testing.assert_array_equal(np.column_stack(list(columns.values())), [[1, 2, 3], [4, 5, np.nan]])


def test_special_floats_survive_as_text(tmp_path: Path) -> None:
    values = np.array([np.nan, np.inf, -np.inf, 1e-45, 3.4e38, 0.1], np.float32)
    ply.write(tmp_path / "a.ply", {"x": values}, ascii_text=True)
    np.testing.assert_array_equal(ply.read(tmp_path / "a.ply")["x"], values)


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"x": np.zeros(2, np.float32), "y": np.zeros(3, np.float32)},
        {"x": np.zeros((2, 2), np.float32)},
        {"x": np.zeros(2, np.int64)},
        {"a b": np.zeros(2, np.float32)},
        {"": np.zeros(2, np.float32)},
        {"ä": np.zeros(2, np.float32)},
    ],
)
def test_what_a_ply_file_cannot_hold_is_refused(columns: dict[str, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(PointCloudError):
        ply.write(tmp_path / "a.ply", columns)
    assert not list(tmp_path.iterdir())


# Damage and lies


@pytest.mark.parametrize("as_text", [False, True])
def test_every_truncation_is_noticed(as_text: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    ply.write(path, {"x": np.arange(9, dtype=np.float32), "y": np.arange(9, dtype=np.uint8)}, ascii_text=as_text)
    data = path.read_bytes()
    for length in range(len(data) - (1 if as_text else 0)):  # the last line of a text needs no end
        path.write_bytes(data[:length])
        with pytest.raises(PointCloudError):
            ply.read(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    lines=st.lists(
        st.sampled_from(
            [
                "format ascii 1.0",
                "format binary_big_endian 1.0",
                "element vertex 3",
                "element face 2",
                "element vertex 99999999999999999",
                "property float x",
                "property list uchar int l",
                "property list int double m",
                "property uchar red",
                "comment",
                "nonsense",
            ]
        )
    ),
    body=st.binary(max_size=60) | st.text("0123456789 .-\n", max_size=60).map(str.encode),
)
def test_any_file_is_read_or_refused(lines: list[str], body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    path.write_bytes("\n".join(["ply", *lines, "end_header", ""]).encode() + body)
    try:
        columns = ply.read(path)
    except PointCloudError as error:
        assert "a.ply" in error.text
    else:
        assert len({len(column) for column in columns.values()}) <= 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "not a PLY"),
        ("plywood\n", "not a PLY"),
        ("ply\n", "does not end"),
        ("ply\n" + "comment x\n" * 200_000, "does not end"),
        ("ply\ncomment " + "x" * 3_000_000, "does not end"),
        (f"ply\nelement vertex 1\n{XYZ}end_header\n1 2 3\n", "no format"),
        (HEADER.format("ascii", ""), "no vertices"),
        (HEADER.format("ascii", "element face 1\nproperty int a\n") + "1\n", "no vertices"),
        (HEADER.format("binary_middle_endian", f"element vertex 1\n{XYZ}"), "binary_middle_endian"),
        (HEADER.format("ascii", "element vertex -1\n"), "vertex -1"),
        (HEADER.format("ascii", "element vertex 1e3\n"), "vertex 1e3"),
        (HEADER.format("ascii", "element vertex 1\nproperty quad x\n"), "quad"),
        (HEADER.format("ascii", "property float x\n"), "property float x"),
        (HEADER.format("ascii", f"element vertex 1\nelement vertex 1\n{XYZ}") + "1 2 3\n", "vertex twice"),
        (HEADER.format("ascii", f"element face 0\nelement face 0\nelement vertex 1\n{XYZ}") + "1 2 3\n", "face twice"),
        (HEADER.format("ascii", "element vertex 1\nproperty list float int x\n"), "length is no integer"),
        (HEADER.format("ascii", f"element vertex 2\n{XYZ}") + "1 2 3\n1 2 \n", "numbers"),
        (HEADER.format("ascii", f"element vertex 2\n{XYZ}") + "1 2 3\n1 2 3 4\n", "numbers"),
        (HEADER.format("ascii", f"element vertex 1\n{XYZ}") + "1 2 cat\n", "numbers"),
        (HEADER.format("ascii", f"element vertex 2\n{XYZ}") + "1 2 3          \n", "ends before"),
        (HEADER.format("ascii", "element vertex 1\nproperty uchar red\n") + "256\n", "fit its type"),
        (HEADER.format("ascii", "element vertex 1\nproperty uchar red\n") + "nan\n", "fit its type"),
        (HEADER.format("ascii", "element vertex 1\nproperty list char int a\n") + "-1\n", "numbers"),
        (HEADER.format("binary_little_endian", "element vertex 1\nproperty list char int a\n") + "\x7f", "ends before"),
        (HEADER.format("ascii", f"element vertex 1\n{XYZ}") + "1 2 " + "3" * 100_000 + "\n", "too long"),
    ],
)
def test_lies_are_told_in_words(data: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_text(data)
    with pytest.raises(PointCloudError, match=reason):
        ply.read(tmp_path / "a.ply")


@pytest.mark.parametrize("where", ["vertex", "face"])
def test_a_list_of_negative_length_is_refused(where: str, tmp_path: Path) -> None:
    after = "" if where == "vertex" else f"element vertex 1\n{XYZ}"
    header = f"element {where} 2\nproperty list char uchar a\n{after}"
    (tmp_path / "a.ply").write_bytes(HEADER.format("binary_little_endian", header).encode() + b"\xff" * 40)
    with pytest.raises(PointCloudError, match="negative length"):
        ply.read(tmp_path / "a.ply")


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("elements", [f"element vertex {{}}\n{XYZ}", f"element a {{}}\n{XYZ}element vertex 1\n{XYZ}"])
@pytest.mark.parametrize("extra", ["", "property list uchar int indices\n"])
def test_a_count_beyond_the_file_reserves_no_memory(form: str, elements: str, extra: str, tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_text(HEADER.format(form, elements.format(10**12) + extra) + "1 2 3\n")
    tracemalloc.start()
    with pytest.raises(PointCloudError, match="ends before"):
        ply.read(tmp_path / "a.ply")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6


def test_endless_elements_of_nothing_end(tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_text(HEADER.format("binary_little_endian", f"element vertex {10**17}\n"))
    assert ply.read(tmp_path / "a.ply") == {}


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(PointCloudError, match=r"none\.ply"):
        ply.read(tmp_path / "none.ply")
    with pytest.raises(PointCloudError):
        ply.read(tmp_path)
