"""LAS, LAZ and COPC files written by laspy, and broken ones."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

laspy = pytest.importorskip("laspy", reason="needs the backend's environment")

import pyproj  # noqa: E402

from backend.importers import (  # noqa: E402
    SourceError,
    open_source,
    reference_system,
)
from backend.importers import las as las_importer  # noqa: E402
from pantheon360_blender.core.errors import PantheonError  # noqa: E402
from pantheon360_blender.core.importers import MissingLibraryError  # noqa: E402
from pantheon360_blender.core.progress import run_to_end  # noqa: E402

COUNT = 3000
ROOT = Path(__file__).resolve().parents[2]
UTM = np.array([500_000.0, 5_400_000.0, 420.0])


def points(count: int = COUNT) -> np.ndarray:
    return np.asarray(np.random.default_rng(0).uniform(0, 50, (count, 3)) + UTM)


def colours(count: int = COUNT) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 65536, (count, 3)).astype(np.uint16)


def write(
    path: Path, kind: int = 7, shades: np.ndarray | None = None, places: np.ndarray | None = None, **fields: Any
) -> Path:
    places = points() if places is None else places
    header = laspy.LasHeader(point_format=kind, version="1.4" if kind > 5 else "1.2")
    header.scales, header.offsets = [0.001] * 3, UTM
    las = laspy.LasData(header)
    las.x, las.y, las.z = places.T
    if shades is not None:
        las.red, las.green, las.blue = shades.T
    for name, values in fields.items():
        setattr(las, name, values)
    las.write(str(path))
    return path


@pytest.mark.parametrize("suffix", [".las", ".laz"])
@pytest.mark.parametrize("kind", [2, 3, 7, 8])
def test_points_keep_their_millimetres_and_colours(tmp_path: Path, suffix: str, kind: int) -> None:
    imported = run_to_end(open_source(write(tmp_path / f"a{suffix}", kind, colours())))
    assert imported.cloud is not None
    np.testing.assert_allclose(imported.cloud.points + imported.offset, points(), atol=6e-4)
    np.testing.assert_array_equal(imported.cloud.colours, colours() >> 8)
    assert np.abs(imported.cloud.points[:, :2]).max() < 200
    assert any("far from the origin" in note for note in imported.notes)


def test_colours_of_eight_bits_are_not_darkened(tmp_path: Path) -> None:
    imported = run_to_end(open_source(write(tmp_path / "a.las", 2, colours() >> 8)))
    assert imported.cloud is not None
    np.testing.assert_array_equal(imported.cloud.colours, colours() >> 8)


@pytest.mark.parametrize("kind", [0, 7])
def test_intensity_stands_in_for_missing_colours(tmp_path: Path, kind: int) -> None:
    intensity = np.linspace(0, 4000, COUNT).astype(np.uint16)
    imported = run_to_end(open_source(write(tmp_path / "a.laz", kind, intensity=intensity)))
    assert imported.cloud is not None
    grey = imported.cloud.colours
    assert (grey == grey[:, :1]).all() and (np.diff(grey[:, 0].astype(int)) >= 0).all() and np.ptp(grey[:, 0]) > 250
    assert any("intensity" in note for note in imported.notes)


def test_noise_is_left_out(tmp_path: Path) -> None:
    classes = np.full(COUNT, 2, np.uint8)
    classes[:7], classes[7:10] = 7, 18
    imported = run_to_end(open_source(write(tmp_path / "a.laz", 7, colours(), classification=classes)))
    assert imported.cloud is not None and len(imported.cloud) == COUNT - 10
    assert any("10 points classified as noise" in note for note in imported.notes)


def test_withheld_points_are_left_out_and_synthetic_ones_are_told(tmp_path: Path) -> None:
    withheld, synthetic = (np.arange(COUNT) < number for number in (5, 9))
    for kind in (1, 7):
        file = write(tmp_path / "a.laz", kind, withheld=withheld, synthetic=synthetic)
        imported = run_to_end(open_source(file))
        assert imported.cloud is not None and len(imported.cloud) == COUNT - 5
        assert any("5 points marked as withheld" in note for note in imported.notes)
        assert any("4 points are marked as synthetic" in note for note in imported.notes)


@pytest.mark.parametrize("dark_first", [False, True])
@pytest.mark.parametrize("dark", [0, 200])
@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_colours_are_judged_by_all_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, dark: int, dark_first: bool
) -> None:
    monkeypatch.setattr(las_importer, "_PART", 500)
    shades = np.tile(np.uint16([51200, 25600, 12800]), (COUNT, 1))
    shades[slice(0, 2000) if dark_first else slice(1000, None)] = dark
    imported = run_to_end(open_source(write(tmp_path / f"a{suffix}", 7, shades)))
    assert imported.cloud is not None
    np.testing.assert_array_equal(imported.cloud.colours, shades >> 8)


def test_intensity_is_judged_by_all_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(las_importer, "_PART", 500)
    intensity = np.linspace(0, 40000, COUNT).astype(np.uint16)
    imported = run_to_end(open_source(write(tmp_path / "a.laz", 6, intensity=intensity)))
    assert imported.cloud is not None
    np.testing.assert_allclose(imported.cloud.colours[:2900, 0], np.linspace(0, 260, COUNT)[:2900], atol=2)


def test_points_without_any_shade_are_white_and_it_is_told(tmp_path: Path) -> None:
    imported = run_to_end(open_source(write(tmp_path / "a.las", 6)))
    assert imported.cloud is not None and (imported.cloud.colours == 255).all()
    assert any("nor intensity" in note for note in imported.notes)


FOOT, SURVEY_FOOT = 0.3048, 1200 / 3937
LOCAL = 'LOCAL_CS["site",UNIT["foot",0.3048]]'
DEPTH = (
    'COMPD_CS["sea",PROJCS["UTM",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",9],PARAMETER["scale_factor",0.9996],'
    'PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["metre",1]],'
    'VERT_CS["depth",VERT_DATUM["sea",2005],UNIT["metre",1],AXIS["Depth",DOWN]]]'
)


def in_system(path: Path, system: str | dict[int, int], places: np.ndarray | None = None) -> Path:
    """A file whose reference system is WKT, or GeoTIFF keys and their values."""
    places = points() if places is None else places
    header = laspy.LasHeader(point_format=6 if isinstance(system, str) else 2, version="1.4")
    header.scales, header.offsets = [0.0001] * 3, np.floor(places.min(axis=0))
    if isinstance(system, str):
        header.global_encoding.wkt = True
        header.vlrs.append(laspy.vlrs.known.WktCoordinateSystemVlr(system))
    else:
        keys = laspy.vlrs.known.GeoKeyDirectoryVlr()
        rows = [1, 1, 0, len(system), *(part for key, value in sorted(system.items()) for part in (key, 0, 1, value))]
        keys.parse_record_data(np.array(rows, "<u2").tobytes())
        header.vlrs.append(keys)
    las = laspy.LasData(header)
    las.x, las.y, las.z = places.T
    las.write(str(path))
    return path


def wkt(code: str, version: str = "WKT1_GDAL") -> str:
    return str(pyproj.CRS(code).to_wkt(version))


@pytest.mark.parametrize(
    ("system", "metres"),
    [
        ({1024: 1, 3076: 9001}, (1, 1, 1)),
        ({1024: 1, 3076: 9002}, (FOOT, FOOT, FOOT)),
        ({1024: 1, 3076: 9003}, (SURVEY_FOOT,) * 3),
        ({1024: 1, 3072: 2263}, (SURVEY_FOOT,) * 3),
        ({1024: 1, 3072: 26918, 3076: 9001, 4096: 6360, 4099: 9003}, (1, 1, SURVEY_FOOT)),
        ({1024: 1, 3072: 26918, 4096: 6360}, (1, 1, SURVEY_FOOT)),
        ({1024: 1, 3072: 2263, 4099: 9001}, (SURVEY_FOOT, SURVEY_FOOT, 1)),
        ({1024: 1, 3072: 26918, 4096: 5103}, (1, 1, 1)),
        (wkt("EPSG:2263"), (SURVEY_FOOT,) * 3),
        (wkt("EPSG:2263", "WKT2_2019"), (SURVEY_FOOT,) * 3),
        (wkt("EPSG:26918+6360"), (1, 1, SURVEY_FOOT)),
        (wkt("EPSG:2263+5703", "WKT2_2019"), (SURVEY_FOOT, SURVEY_FOOT, 1)),
        (LOCAL, (FOOT, FOOT, FOOT)),
        (DEPTH, (1, 1, -1)),
    ],
)
def test_each_axis_has_the_unit_of_the_reference_system(
    tmp_path: Path, system: str | dict[int, int], metres: tuple[float, ...]
) -> None:
    places = points() * (1, 0.04, 1)  # where every one of them is defined
    imported = run_to_end(open_source(in_system(tmp_path / "a.las", system, places)))
    assert imported.cloud is not None
    np.testing.assert_allclose(imported.cloud.points + imported.offset, places * metres, atol=1e-3)
    scaled = any("scaled to meters" in note for note in imported.notes)
    assert scaled == any(abs(metre) != 1 for metre in metres)
    assert any("turned over" in note for note in imported.notes) == (metres[2] < 0)


def test_what_a_map_stretches_is_put_right(tmp_path: Path) -> None:
    """Paris in the web's Mercator: 50 m across are shown as 76."""
    places = points() - UTM + (261848.0, 6250566.0, 30.0)
    imported = run_to_end(open_source(in_system(tmp_path / "a.las", wkt("EPSG:3857"), places)))
    assert imported.cloud is not None
    size = np.ptp(imported.cloud.points, axis=0) / np.ptp(places, axis=0)
    np.testing.assert_allclose(size, (np.cos(np.radians(48.8566)),) * 2 + (1,), rtol=5e-3)
    assert any("map projection" in note for note in imported.notes)


@pytest.mark.parametrize(
    "system",
    [{1024: 2}, {1024: 2, 2048: 4326}, {2048: 4326}, wkt("EPSG:4326"), wkt("EPSG:4326", "WKT2_2019"),
     wkt("EPSG:4979", "WKT2_2019"), wkt("EPSG:4326+5773", "WKT2_2019"), wkt("EPSG:4978", "WKT2_2019"), {1024: 3}],
)  # fmt: skip
def test_degrees_are_refused_unless_a_scale_is_stated(tmp_path: Path, system: str | dict[int, int]) -> None:
    file = in_system(tmp_path / "a.las", system, points() - UTM)
    with pytest.raises(SourceError, match=r"degrees|center"):
        run_to_end(open_source(file))
    assert run_to_end(open_source(file, scale=1.0)).cloud is not None


@pytest.mark.parametrize("system", ["PROJCS[", "nonsense", {1024: 1, 3076: 32767}, {1024: 1, 3072: 1025}])
def test_a_system_that_is_not_understood_is_told(tmp_path: Path, system: str | dict[int, int]) -> None:
    imported = run_to_end(open_source(in_system(tmp_path / "a.las", system)))
    assert imported.cloud is not None and np.ptp(imported.cloud.points, axis=0) == pytest.approx(50, abs=0.2)
    assert any("not understood" in note for note in imported.notes)


def test_a_system_of_absurd_length_is_not_parsed(tmp_path: Path) -> None:
    """An extended record may be as long as the file: the library takes 15 s for 100 million letters."""
    record = SimpleNamespace(user_id="LASF_Projection", string="PROJCS[" + "a" * 100_000_000)
    header = SimpleNamespace(vlrs=[], evlrs=[record], global_encoding=SimpleNamespace(wkt=True))
    started = time.process_time()
    found = reference_system.units(header, tmp_path / "a.las")
    assert time.process_time() - started < 3 and "not understood" in found.notes[0]


def test_systems_ask_for_the_library_that_knows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyproj", None)
    with pytest.raises(MissingLibraryError, match="pyproj"):
        run_to_end(open_source(in_system(tmp_path / "a.las", LOCAL)))
    assert run_to_end(open_source(in_system(tmp_path / "a.las", LOCAL), scale=1.0)).cloud is not None
    assert run_to_end(open_source(write(tmp_path / "b.las"))).cloud is not None


def test_large_clouds_are_thinned_to_the_limit(tmp_path: Path) -> None:
    imported = run_to_end(open_source(write(tmp_path / "a.laz", 7, colours()), limit=500))
    assert imported.cloud is not None and 125 <= len(imported.cloud) <= 500
    assert any("3,000 points were thinned" in note for note in imported.notes)


def test_no_points_are_refused(tmp_path: Path) -> None:
    for suffix in (".las", ".laz"):
        with pytest.raises(SourceError, match="no points"):
            run_to_end(open_source(write(tmp_path / f"a{suffix}", 7, places=np.zeros((0, 3)))))


@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_any_cut_is_refused(tmp_path: Path, suffix: str) -> None:
    file = write(tmp_path / f"a{suffix}", 7, colours())
    data = file.read_bytes()
    for length in np.linspace(1, len(data) - 1, 40).astype(int):
        file.write_bytes(data[:length])
        with pytest.raises(PantheonError):
            run_to_end(open_source(file))


@pytest.mark.parametrize(
    ("place", "value"),
    [(94, b"\xff\xff"), (96, b"\xff\xff\xff\x7f"), (100, b"\xff\xff\xff\x7f"), (105, b"\0\0"), (247, b"\xff" * 8),
     (131, b"\xff" * 8), (24, b"\x09"), (243, b"\xff" * 4)],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_headers_that_lie_are_refused(tmp_path: Path, suffix: str, place: int, value: bytes) -> None:
    file = write(tmp_path / f"a{suffix}", 7, colours())
    data = bytearray(file.read_bytes())
    data[place : place + len(value)] = value
    file.write_bytes(data)
    with pytest.raises(PantheonError):
        run_to_end(open_source(file))


FUZZ = """
import contextlib, resource, sys
from pathlib import Path
import numpy as np
from backend.importers import open_source
from pantheon360_blender.core.errors import PantheonError

file = Path(sys.argv[1])
data = file.read_bytes()
random = np.random.default_rng(int(sys.argv[2]))
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
for _ in range(400):
    broken = bytearray(data)
    for place in random.integers(0, len(data), 4):
        broken[place] = random.integers(256)
    broken[-12 + random.integers(12)] = random.integers(256)
    file.write_bytes(broken)
    with contextlib.suppress(PantheonError):
        for _ in open_source(file):
            pass
# Not ru_maxrss: that of a child begins with its parent's.
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(status["VmHWM"].split()[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("kind", [3, 7])
def test_damage_ends_neither_the_process_nor_the_memory(tmp_path: Path, kind: int) -> None:
    """lazrs aborts where it runs out of memory, and reserves what a damaged chunk asks for."""
    file = write(tmp_path / "a.laz", kind, colours())
    done = subprocess.run(
        [sys.executable, "-B", "-c", FUZZ, str(file), "7"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-1500:]
    assert int(done.stdout) < 400_000, "kilobytes"


def test_extended_records_are_walked_before_the_library_reserves_memory_for_them(tmp_path: Path) -> None:
    file = write(tmp_path / "a.las", 7, colours())
    las = laspy.read(str(file))
    las.evlrs = laspy.vlrs.vlrlist.VLRList([laspy.VLR("us", 1, "a record", b"1234")])
    las.write(str(file))
    assert run_to_end(open_source(file)).cloud is not None
    data = bytearray(file.read_bytes())
    start = int.from_bytes(data[235:243], "little")
    data[start + 20 : start + 28] = (1 << 40).to_bytes(8, "little")
    file.write_bytes(data)
    with pytest.raises(SourceError, match="extended records"):
        run_to_end(open_source(file))


@pytest.mark.parametrize("kind", [3, 7])
def test_dimensions_of_no_size_are_damage(tmp_path: Path, kind: int) -> None:
    """The library divides by the number of a dimension's elements."""
    file = write(tmp_path / "a.las", kind, colours())
    las = laspy.read(str(file))
    las.add_extra_dim(laspy.ExtraBytesParams("mine", np.float32))
    las.write(str(file))
    data = bytearray(file.read_bytes())
    place = data.index(b"mine\0") - 4  # the descriptor: two bytes, its type, its options, its name
    data[place + 2 : place + 4] = b"\0\0"
    file.write_bytes(data)
    with pytest.raises(SourceError, match="damaged"):
        run_to_end(open_source(file))


def test_chunks_of_more_points_than_memory_has_room_for_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.laz", 3, colours())
    data = bytearray(file.read_bytes())
    place = data.index(b"laszip encoded") - 2 + 54 + 12
    data[place : place + 4] = (16_000_000).to_bytes(4, "little")
    file.write_bytes(data)
    with pytest.raises(SourceError, match="chunks of 16,000,000 points"):
        run_to_end(open_source(file))
