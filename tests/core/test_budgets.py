"""Files that declare more than their reader can use are refused before they are unpacked."""

from __future__ import annotations

import hashlib
import json
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core import budget
from pantheon360_blender.core.budget import PictureBudget
from pantheon360_blender.core.errors import ImageError, JobError, PantheonError, PointCloudError, PoseError
from pantheon360_blender.core.formats import exr, image_headers, npz, ply, png, zip_archive
from pantheon360_blender.core.importers import open_source
from pantheon360_blender.core.importers.imported import Options
from pantheon360_blender.core.jobs import job_fields
from pantheon360_blender.core.jobs.job import PaintJob
from pantheon360_blender.core.jobs.job_folder import JobFolder, PaintFolder
from pantheon360_blender.core.panorama import cameras
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.points.point_cloud import PointCloud
from pantheon360_blender.core.progress import run_to_end
from pantheon360_blender.core.render.splatting import GeometryFrame

WIDTH = 64


@contextmanager
def cheap(megabytes: float = 40, seconds: float = 2.0) -> Iterator[None]:
    """What happens in the block takes little memory and little time of the processor: others may have it meanwhile."""
    tracemalloc.start()
    started = process_time()
    try:
        yield
    finally:
        taken, (_, peak) = process_time() - started, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < megabytes * 1e6 and taken < seconds


def picture(width: int, height: int, kind: int = 2) -> bytes:
    """A PNG of zeros, as small as they can be packed."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    packer = zlib.compressobj(9)
    row = bytes(1 + width * {0: 1, 2: 3, 6: 4}[kind])
    rows = max(1, (1 << 22) // len(row))
    body = b"".join(packer.compress(row * min(rows, height - at)) for at in range(0, height, rows)) + packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def shot(root: Path) -> PaintFolder:
    folder = PaintFolder.new(root, "Shot")
    image = np.zeros((WIDTH // 2, WIDTH, 3), np.uint8)
    entry = folder.write_capture(Capture("A", image, np.eye(4), np.ones(image.shape[:2], bool)))
    depth = np.ones(image.shape[:2], np.float32)
    frame = GeometryFrame(image, depth, depth > 0, np.zeros(depth.shape, np.int32))
    folder.write_geometry("geometry", 1, frame)
    job = PaintJob(name="Shot", width=WIDTH, fps=24, frames=[1], cameras=np.eye(4)[None], captures=[entry])
    folder.seal(job)
    folder.write_frame(1, image)
    return PaintFolder.open(folder.path)


@pytest.fixture(scope="module")
def large() -> dict[str, bytes]:
    return {"square": picture(16_000, 16_000), "tall": picture(1, 10_000_000, 0), "panorama": picture(8192, 4096)}


@pytest.mark.parametrize("name", ["square", "tall", "panorama"])
def test_pictures_of_a_job_have_its_size_or_are_not_unpacked(
    tmp_path: Path, large: dict[str, bytes], name: str
) -> None:
    folder = shot(tmp_path)
    folder.geometry_file(1).write_bytes(large[name])
    folder.frame_file(1).write_bytes(large[name])
    (folder.path / "captures/A.mask.png").write_bytes(large[name])
    folder = as_if_made_so(folder, "geometry/000001.png", "captures/A.mask.png")
    with cheap():
        with pytest.raises(JobError, match="64 x 32 are wanted"):
            folder.read_geometry("geometry", 1)
        with pytest.raises(JobError, match="64 x 32 are wanted"):
            folder.captures()
        assert not folder.is_finished(1)


def as_if_made_so(folder: Any, *names: str) -> Any:
    """The job as whoever made it could have sealed it: with the hashes of these files as they are now."""
    record = json.loads((folder.path / "job.json").read_text("utf-8"))
    for entry in record["inputs"]:
        if entry["path"] in names:
            entry["sha256"] = hashlib.sha256((folder.path / entry["path"]).read_bytes()).hexdigest()
    (folder.path / "job.json").write_text(json.dumps(record), "utf-8")
    return type(folder).open(folder.path)


@pytest.mark.parametrize("name", ["square", "tall"])
def test_pictures_of_unknown_size_have_a_limit_that_is_told(tmp_path: Path, large: dict[str, bytes], name: str) -> None:
    data = large[name] if name == "tall" else picture(33_000, 100)
    (tmp_path / "a.png").write_bytes(data)
    with cheap(2 + 3 * len(data) / 1e6):
        for read in (png.read, image_headers.check_whole):
            with pytest.raises(ImageError, match=r"at most 32768 x 16384 are read\. Make it smaller"):
                read(tmp_path / "a.png")


def test_budgets_of_pictures_count_their_layers() -> None:
    most = PictureBudget(100, 50, layers=2)
    most.check(100, 50, "a", 2)
    most.check(50, 50, "a", 4)
    for width, height, layers in ((101, 1, 1), (1, 51, 1), (100, 50, 3), (50, 50, 5)):
        with pytest.raises(ImageError):
            most.check(width, height, "a", layers)


def openexr(width: int, height: int, channels: int = 1, parts: int = 1, tile: tuple[int, int] | None = None) -> bytes:
    """The headers of an OpenEXR file, and little more."""

    def attribute(name: str, of: str, value: bytes) -> bytes:
        return name.encode() + b"\0" + of.encode() + b"\0" + struct.pack("<i", len(value)) + value

    listed = b"".join(f"c{index}".encode() + b"\0" + struct.pack("<iIii", 2, 0, 1, 1) for index in range(channels))
    head = attribute("channels", "chlist", listed + b"\0") + attribute("compression", "compression", b"\3")
    head += attribute("dataWindow", "box2i", struct.pack("<4i", 0, 0, width - 1, height - 1))
    if tile:
        head += attribute("tiles", "tiledesc", struct.pack("<2IB", *tile, 0))
    return exr.MAGIC + struct.pack("<I", 2 | (0x1000 if parts > 1 else 0)) + (head + b"\0") * parts + bytes(99)


@pytest.mark.parametrize(
    "data",
    [
        openexr(30_000, 15_000),
        openexr(16_384, 8_192, channels=3),
        openexr(16_384, 8_192, channels=2, parts=2),
        openexr(4096, 2048, tile=(1, 1)),
        openexr(64, 32, tile=(1 << 20, 1 << 20)),
        openexr(64, 32, channels=50, tile=(4096, 4096)),
    ],
)
def test_openexr_is_measured_before_a_library_sees_it(data: bytes) -> None:
    with cheap(1), pytest.raises(ImageError):
        exr.check_declared(data, "the depth", budget.DEPTH)


def test_openexr_of_many_passes_is_within_the_budget() -> None:
    for width, channels, parts in ((4096, 32, 1), (8192, 8, 1), (16384, 2, 1), (4096, 16, 2)):
        exr.check_declared(openexr(width, width // 2, channels, parts, (128, 128)), "the depth", budget.DEPTH)


def archive(path: Path, packing: int = zipfile.ZIP_DEFLATED, **arrays: np.ndarray) -> Path:
    with zipfile.ZipFile(path, "w", packing) as file:
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)
    return path


def test_a_cloud_unpacks_to_no_more_than_clouds_do(tmp_path: Path) -> None:
    count = 8_000_000
    zeros = archive(tmp_path / "a.npz", points=np.zeros((count, 3), np.float32), colours=np.zeros((count, 3), np.uint8))
    with cheap(), pytest.raises(PointCloudError, match=r"unpacks to 96,000,\d+ bytes.*Save it again, unpacked"):
        PointCloud.load(zeros)
    random = np.random.default_rng(0)
    cloud = PointCloud(random.normal(size=(1000, 3)).astype(np.float32), np.zeros((1000, 3), np.uint8))
    cloud.save(tmp_path / "b.npz")
    assert len(PointCloud.load(tmp_path / "b.npz")) == 1000


def test_depth_of_a_frame_has_its_size_or_is_not_unpacked(tmp_path: Path) -> None:
    folder = shot(tmp_path)
    archive(folder.geometry_depth_file(1), depth=np.zeros((4000, 8000), np.float32))
    folder = as_if_made_so(folder, "geometry/000001.npz")
    with cheap(), pytest.raises(JobError, match="unpacks to 128,000,"):
        folder.read_geometry("geometry", 1)


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_packings_without_a_limit_are_refused(tmp_path: Path, packing: int) -> None:
    folder = shot(tmp_path)
    archive(folder.geometry_depth_file(1), packing, depth=np.zeros((32, 64), np.float32))
    folder = as_if_made_so(folder, "geometry/000001.npz")
    with pytest.raises(JobError, match="packed in a way that is not read"):
        folder.read_geometry("geometry", 1)


def test_an_archive_of_too_many_members_is_not_listed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a", b"")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    entry = bytes(data[data.index(b"PK\1\2") : data.index(b"PK\5\6")])
    count = budget.ARCHIVE_TABLE // len(entry) + 1
    end = data[data.index(b"PK\5\6") :]
    end[12:16] = struct.pack("<I", count * len(entry))
    (tmp_path / "a.zip").write_bytes(data[: data.index(b"PK\1\2")] + entry * count + end)
    with cheap(1), pytest.raises(ValueError, match="table of contents"), zip_archive.opened(tmp_path / "a.zip"):
        pass


def header(text: str) -> bytes:
    padded = text.encode("latin-1") + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(padded)) + padded


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1000000000000000000000000)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1099511627776, 1099511627776)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 200 + ")" * 200 + "}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<U1000000000', 'fortran_order': False, 'shape': (0,)}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
        "-" * 20000 + "1",
    ],
)
def test_headers_of_arrays_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", header(text) + bytes(4))
    with npz.opened(tmp_path / "a.npz") as opened, pytest.raises(ValueError):
        npz.read(opened, "a", 1 << 20)


def test_lists_of_a_ply_are_counted_before_they_are_walked(tmp_path: Path) -> None:
    rows = budget.LIST_ROWS + 1
    lines = ("ply", "format binary_little_endian 1.0", f"element face {rows}", "property list uchar int a")
    lines += ("element vertex 1", *(f"property float {axis}" for axis in "xyz"), "end_header")
    (tmp_path / "a.ply").write_bytes("\n".join(lines).encode() + b"\n" + bytes(rows + 12))
    with cheap(1), pytest.raises(PointCloudError, match="rows of lists"):
        ply.read(tmp_path / "a.ply")


# Places

FAR = (1e11, 1e248, 1.7e308)


def pose(value: float) -> list[list[float]]:
    rows = np.eye(4)
    rows[0, 3] = value
    return rows.tolist()


@pytest.mark.parametrize("value", FAR)
def test_cameras_stand_somewhere(tmp_path: Path, value: float) -> None:
    with pytest.raises(PoseError, match="no place"):
        cameras.check_pose(np.array(pose(value)))
    with pytest.raises(PoseError):
        cameras.without_scale(np.array(pose(value)))
    assert "is not a rotation and a position" in (job_fields.pose_error(pose(value)) or "")
    assert job_fields.pose_error(pose(6.4e9)) is None  # from the Earth's centre, in millimetres
    folder = shot(tmp_path)
    record = json.loads((folder.path / "job.json").read_text("utf-8"))
    for changes in ({"cameras": [pose(value)]}, {"captures": [{**record["captures"][0], "pose": pose(value)}]}):
        (folder.path / "job.json").write_text(json.dumps(record | changes), "utf-8")
        with pytest.raises(JobError, match="no place"):
            JobFolder.open(folder.path)


@pytest.mark.parametrize("value", FAR)
@pytest.mark.filterwarnings("error")
def test_places_of_other_programs_are_some(tmp_path: Path, value: float) -> None:
    (tmp_path / "images").mkdir()
    frames = [{"file_path": "a.png", "transform_matrix": pose(value)}]
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": frames}))
    (tmp_path / "images.txt").write_text(f"1 1 0 0 0 {value} 0 0 1 a.png\n\n")
    (tmp_path / "cameras.txt").write_text("1 PINHOLE 64 32 50 50 32 16\n")
    for path in (tmp_path / "transforms.json", tmp_path / "images.txt"):
        with pytest.raises(PantheonError):
            run_to_end(open_source(path))
    points = np.array([[value, 0, 0], [0, 0, 0], [1, 0, 0]])
    ply.write(tmp_path / "a.ply", {axis: points[:, index] for index, axis in enumerate("xyz")})
    imported = run_to_end(open_source(tmp_path / "a.ply"))
    assert imported.cloud is not None and len(imported.cloud) == 2
    assert any("1 points without a finite position" in note for note in imported.notes)


@pytest.mark.parametrize("options", [{"scale": 1e30}, {"scale": 1e-30}, {"voxel": 1e30}, {"offset": (0, 0, 1e30)}])
def test_options_that_make_places_none_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(PantheonError):
        Options(**options)


# Names


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "a\x1b[2Jb"])
def test_names_in_files_come_as_they_can_be_shown(tmp_path: Path, name: str) -> None:
    frames = [{"file_path": name, "transform_matrix": pose(0)}]
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": frames, "ply_file_path": name}))
    imported = run_to_end(open_source(tmp_path))
    for text in (imported.captures[0].name, *imported.notes):
        assert text.encode("utf-8") and text.isprintable()
    assert imported.captures[0].name.startswith("a\\")


def test_a_hostile_name_in_an_error_is_shown_and_short() -> None:
    error = PantheonError("There is no \x1b]0;title\x07\udc80 " + "x" * 10_000_000, advice="\ud800")
    assert str(error).isprintable() and len(str(error)) < 20_000 and str(error).encode("utf-8")


def test_what_takes_long_for_its_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty lines, empty chunks, parts and channels of nothing, frames by the hundred thousand."""
    monkeypatch.setattr(budget, "BLANK_LINES", 100)
    monkeypatch.setattr(budget, "PICTURES", 100)
    monkeypatch.setattr(png, "_MOST_CHUNKS", 100)
    head = b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nend_header\n1\n"
    (tmp_path / "a.ply").write_bytes(head + b"\n" * 200 + b"2\n")
    with pytest.raises(PointCloudError, match="nearly empty"):
        ply.read(tmp_path / "a.ply")
    whole = png.encode(np.zeros((1, 2), np.uint8))
    empty = struct.pack(">I4sI", 0, b"tEXt", zlib.crc32(b"tEXt"))
    with pytest.raises(ImageError, match="cut short"):
        png.decode(whole[:33] + empty * 200 + whole[33:])
    for data, what in ((openexr(1, 1, channels=5000), "channels"), (openexr(1, 1, parts=2000), "parts")):
        with pytest.raises(ImageError, match=what):
            exr.check_declared(data, "the depth", budget.DEPTH)
    frames = [{"file_path": "a.png", "transform_matrix": pose(0)}] * 101
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": frames}))
    (tmp_path / "images.txt").write_text("".join(f"{n} 1 0 0 0 0 0 0 1 a.png\n\n" for n in range(101)))
    (tmp_path / "cameras.txt").write_text("1 PINHOLE 64 32 50 50 32 16\n")
    for path in (tmp_path / "transforms.json", tmp_path / "images.txt"):
        with pytest.raises(PantheonError, match=r"100 (are the most|pictures)"):
            run_to_end(open_source(path))
