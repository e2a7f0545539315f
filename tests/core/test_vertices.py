"""What programs mean by the properties of their vertices: colours of every scale, splats, intensity, transparency."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pantheon360_blender.core.errors import PointCloudError
from pantheon360_blender.core.formats import ply
from pantheon360_blender.core.importers import open_source
from pantheon360_blender.core.points import vertices
from pantheon360_blender.core.progress import run_to_end

COUNT = 40
COLOUR = np.array([200, 100, 50])


def columns(**more: np.ndarray) -> dict[str, np.ndarray]:
    return {axis: np.linspace(0, 3, COUNT) for axis in "xyz"} | more


def coloured(
    kind: type | str, scale: float = 1.0, names: tuple[str, ...] = ("red", "green", "blue")
) -> dict[str, np.ndarray]:
    """Half of the points black, half of the colour."""
    shown = np.where(np.arange(COUNT) % 2, 1.0, 0.0)
    return {name: (shown * value * scale).astype(kind) for name, value in zip(names, COLOUR.tolist(), strict=True)}


def read(path: Path, given: dict[str, np.ndarray], *, as_text: bool = False) -> vertices.Vertices:
    ply.write(path / "a.ply", given, ascii_text=as_text)
    return vertices.read(path / "a.ply")


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize(
    ("kind", "scale"),
    [
        ("u1", 1), ("u2", 1), ("i2", 1), ("i4", 1), ("u4", 1), ("f4", 1), ("f8", 1),
        ("u2", 257), ("i4", 257), ("u4", 257), ("f4", 257), ("f8", 257), ("u4", 16843009),
        ("f4", 1 / 255), ("f8", 1 / 255),
    ],
)  # fmt: skip
def test_colours_mean_what_their_values_say(tmp_path: Path, kind: str, scale: float, as_text: bool) -> None:
    found = read(tmp_path, columns(**coloured(kind, scale)), as_text=as_text)
    np.testing.assert_array_equal(found.colours[1::2], np.tile(COLOUR, (COUNT // 2, 1)))
    assert not found.colours[::2].any() and found.notes == ()


@pytest.mark.parametrize(
    "names",
    [
        ("Red", "Green", "Blue"),
        ("R", "G", "B"),
        ("scalar_R", "scalar_G", "scalar_B"),
        ("diffuse_red", "diffuse_green", "diffuse_blue"),
    ],
)
def test_names_of_colours_differ(tmp_path: Path, names: tuple[str, ...]) -> None:
    found = read(tmp_path, columns(**coloured("f4", 1, names)))
    np.testing.assert_array_equal(found.colours[1], COLOUR)


@pytest.mark.parametrize("name", ["rgb", "rgba", "RGB"])
@pytest.mark.parametrize("kind", ["bits", "u4", "i4", "f8"])
@pytest.mark.parametrize("as_text", [False, True])
def test_colours_packed_into_one_number_are_unpacked(tmp_path: Path, name: str, kind: str, as_text: bool) -> None:
    packed = np.full(COUNT, 200 << 16 | 100 << 8 | 50, np.uint32)
    column = packed.view(np.float32) if kind == "bits" else packed.astype(kind)
    found = read(tmp_path, columns(**{name: column}), as_text=as_text)
    np.testing.assert_array_equal(found.colours, np.tile(COLOUR, (COUNT, 1)))


def test_splats_have_the_colour_of_their_first_harmonic_and_those_not_seen_are_left_out(tmp_path: Path) -> None:
    harmonics = {
        f"f_dc_{index}": np.full(COUNT, (value / 255 - 0.5) / 0.28209479, "f4") for index, value in enumerate(COLOUR)
    }
    opacity = np.where(np.arange(COUNT) < 10, -8.0, 5.0).astype("f4")
    found = read(tmp_path, columns(**harmonics, opacity=opacity))
    np.testing.assert_allclose(found.colours, np.tile(COLOUR, (COUNT - 10, 1)), atol=1)
    np.testing.assert_array_equal(found.positions[:, 0], np.linspace(0, 3, COUNT)[10:])
    assert any("splats" in note for note in found.notes) and any("10 transparent" in note for note in found.notes)


@pytest.mark.parametrize("name", ["alpha", "Alpha", "scalar_alpha"])
def test_points_of_no_alpha_are_left_out_unless_all_are(tmp_path: Path, name: str) -> None:
    alpha = np.where(np.arange(COUNT) < 7, 0, 255).astype("u1")
    assert len(read(tmp_path, columns(**coloured("u1"), **{name: alpha})).positions) == COUNT - 7
    assert len(read(tmp_path, columns(**coloured("u1"), **{name: alpha * 0})).positions) == COUNT


@pytest.mark.parametrize(
    "values", [np.linspace(0, 1, COUNT), np.linspace(0, 2047, COUNT).astype("u2"), np.linspace(-25, 3, COUNT)]
)
@pytest.mark.parametrize("name", ["intensity", "scalar_Intensity", "reflectance"])
def test_intensity_stands_in_for_missing_colours_and_it_is_told(tmp_path: Path, values: np.ndarray, name: str) -> None:
    found = read(tmp_path, columns(**{name: values}))
    grey = found.colours[:, 0].astype(int)
    assert (found.colours == found.colours[:, :1]).all()
    assert (np.diff(grey) >= 0).all() and grey[0] < 10 and grey[-1] > 245
    assert any("no colors" in note for note in found.notes)


def test_white_points_are_told(tmp_path: Path) -> None:
    assert any("the points are white" in note for note in read(tmp_path, columns()).notes)
    (tmp_path / "faces.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 1\nproperty list uchar int vertex_indices\nproperty uchar red\nproperty uchar green\n"
        "property uchar blue\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2 200 100 50\n"
    )
    found = vertices.read(tmp_path / "faces.ply")
    assert (found.colours == 255).all() and any("Only the faces" in note for note in found.notes)


def test_the_artist_hears_of_it(tmp_path: Path) -> None:
    ply.write(tmp_path / "a.ply", columns())
    assert any("white" in note for note in run_to_end(open_source(tmp_path / "a.ply")).notes)


@pytest.mark.parametrize("kind", ["i4", "f8", "f4"])
def test_positions_are_as_exact_as_the_file_has_them(tmp_path: Path, kind: str) -> None:
    places = (np.arange(COUNT) + 500_000).astype(kind)
    found = read(tmp_path, dict.fromkeys("xyz", places) | coloured("u1"))
    np.testing.assert_array_equal(found.positions[:, 0], places)
    assert found.positions.dtype.kind == "f"


def test_a_file_that_is_exchanged_between_two_looks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ply.write(tmp_path / "a.ply", {axis: np.zeros(3, np.float32) for axis in "xyz"})
    known = ply.properties(tmp_path / "a.ply")
    ply.write(tmp_path / "a.ply", {"x": np.zeros(3, np.float32)})
    monkeypatch.setattr(ply, "properties", lambda _: known)
    with pytest.raises(PointCloudError, match="changed while"):
        vertices.read(tmp_path / "a.ply")


def test_vertices_without_a_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PointCloudError, match="lack z"):
        read(tmp_path, {"x": np.zeros(2), "y": np.zeros(2)})
