"""Parsers of what other programs made: points, poses, depth."""

from __future__ import annotations

import functools
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np

from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.formats import ply, png
from pantheon360_blender.core.importers import import_folder, open_source
from pantheon360_blender.core.importers.imported import Imported, ImportedCapture
from pantheon360_blender.core.output_folder import OutputFolder
from pantheon360_blender.core.points import vertices
from pantheon360_blender.core.progress import run_to_end

from . import mutations
from .mutations import JSON, NPZ, TEXT
from .parser import SIZE, Parser, cloud, each, photograph, ranges, written
from .pictures import openexr


def source(name: str = "") -> Callable[[Path], Any]:
    """What reads a file of the folder, or the folder, as an import."""
    return lambda folder: run_to_end(open_source(folder / name))


def cloud_file(name: str, **options: Any) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        ply.write(folder / name, cloud()._columns(), comments=["a comment"], **options)
        return [folder / name]

    return make


LISTS = b"""ply
format ascii 1.0
element face 2
property list uchar int vertex_indices
element vertex 3
property float x
property float y
property list uchar float extra
property float z
property uchar red
property uchar green
property uchar blue
element edge 1
property int a
end_header
3 0 1 2
4 0 1 2 0
0 0 1 5 0 10 20 30
1 0 2 5 6 0 11 21 31
0 1 0 0 12 22 32
7
"""


def binary_lists() -> bytes:
    head = LISTS[: LISTS.index(b"end_header")].replace(b"ascii", b"binary_big_endian") + b"end_header\n"
    faces = struct.pack(">B3iB4i", 3, 0, 1, 2, 4, 0, 1, 2, 0)
    rows = struct.pack(">2fBff3B", 0, 0, 1, 5, 0, 1, 2, 3) + struct.pack(">2fBfff3B", 1, 0, 2, 5, 6, 0, 1, 2, 3)
    return head + faces + rows + struct.pack(">2fBf3B", 0, 1, 0, 0, 1, 2, 3) + struct.pack(">i", 7)


def make_cloud_npz(folder: Path) -> list[Path]:
    cloud().save(folder / "a.npz")
    return [folder / "a.npz"]


# Other programs' poses


def make_transforms(folder: Path) -> list[Path]:
    poses = [np.eye(4).tolist(), [[1, 0, 0, 2.5], [0, 1, 0, 0], [0, 0, 1, 1]]]
    frames = [
        {"file_path": f"images/{index}.png", "transform_matrix": pose, "mask_path": "images/0.png"}
        for index, pose in enumerate(poses)
    ]
    shared = {"camera_model": "EQUIRECTANGULAR", "w": 32, "h": 16, "fl_x": 20.0, "camera_angle_x": 0.7}
    (folder / "images").mkdir()
    png.write(folder / "images/0.png", photograph())
    ply.write(folder / "points.ply", cloud()._columns())
    path = folder / "transforms.json"
    path.write_text(json.dumps({**shared, "ply_file_path": "points.ply", "frames": frames}))
    return [path]


def make_colmap_text(folder: Path) -> list[Path]:
    (folder / "cameras.txt").write_text("# cameras\n1 EQUIRECTANGULAR 32 16 32 16\n2 PINHOLE 64 48 50 50 32 24\n")
    lines = ("# images", "1 1 0 0 0 0 0 0 1 a.png", "1 2 -1", "2 0.9 0.1 0 0 1.5 0 0.25 2 b.jpg", "")
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    rows = [f"{n} {n / 7} {n % 3} {n % 5} 10 20 {n} 0.5 1 0 2 0" for n in range(1, 9)]
    (folder / "points3D.txt").write_text("# points\n" + "\n".join(rows) + "\n")
    return sorted(folder.glob("*.txt"))


def make_colmap_binary(folder: Path) -> list[Path]:
    data = struct.pack("<Q", 2) + struct.pack("<IiQQ2d", 1, 17, 32, 16, 32, 16)
    (folder / "cameras.bin").write_bytes(data + struct.pack("<IiQQ4d", 2, 1, 64, 48, 50, 50, 32, 24))
    data = struct.pack("<Q", 2)
    for number in (1, 2):
        data += struct.pack("<I7dI", number, 1, 0, 0, 0, number, 0, 0, number) + f"{number}.png".encode() + b"\0"
        data += struct.pack("<Q", 1) + struct.pack("<ddq", 1, 2, -1)
    (folder / "images.bin").write_bytes(data)
    data = struct.pack("<Q", 6)
    for number in range(6):
        data += struct.pack("<Q3d3BdQ", number, number / 7, 1, 2, 10, 20, 30, 0.5, 2) + struct.pack("<4I", 1, 0, 2, 0)
    (folder / "points3D.bin").write_bytes(data)
    return sorted(folder.glob("*.bin"))


def make_clip(folder: Path) -> list[Path]:
    for name in ("pose", "depth", "mask", "vipe", "intrinsics"):
        (folder / name).mkdir()
    poses = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
    poses[:, 2, 3] = (0, 1)
    np.savez(folder / "pose/clip.npz", data=poses, inds=np.arange(2))
    with zipfile.ZipFile(folder / "depth/clip.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(2):
            archive.writestr(f"{index:05d}.exr", openexr({"Z": ranges().astype("<f2")}))
    with zipfile.ZipFile(folder / "mask/clip.zip", "w") as archive:
        archive.writestr("00001.png", png.encode(np.zeros(SIZE, np.uint8)))
    arrays = {"dense_disp_xyz": cloud().points, "dense_disp_rgb": cloud().colours}
    np.savez(folder / "vipe/clip_slam_map.npz", **arrays)
    (folder / "intrinsics/clip_camera.txt").write_text("0: PANORAMA\n1: PANORAMA\n")
    return [folder / "pose/clip.npz", folder / "depth/clip.zip", folder / "mask/clip.zip",
            folder / "vipe/clip_slam_map.npz", folder / "intrinsics/clip_camera.txt"]  # fmt: skip


def clip_changed(data: bytes, random: Random) -> bytes:
    if data[:2] != b"PK":
        return random.choice(TEXT)(data, random)
    return mutations.zip_changed((*mutations.NPY, *mutations.PNG, *mutations.BYTES))(data, random)


def make_depth(folder: Path) -> list[Path]:
    png.write(folder / "room_depth.png", (ranges() * 1000).astype(np.uint16))
    png.write(folder / "room.png", photograph())
    return [folder / "room_depth.png", folder / "room.png"]


def make_import_folder(folder: Path) -> list[Path]:
    captures = (ImportedCapture("a", folder / "a.png", np.eye(4)), ImportedCapture("b", None, np.eye(4), False))
    import_folder.write(Imported(cloud(), captures, ("A note.",), np.ones(3)), OutputFolder(folder))
    import_folder.write_range(ranges(), OutputFolder(folder))
    return [folder / name for name in ("import.json", "import.json", "cache.npz", "range.npz")]


def read_import_folder(folder: Path) -> None:
    each(lambda: import_folder.read(folder), lambda: import_folder.read_range(folder))


def by_kind(data: bytes, random: Random) -> bytes:
    """A mutation that fits what a file is."""
    if data[:2] == b"PK":
        return random.choice(NPZ)(data, random)
    if data[:4] == b"\x89PNG":
        return random.choice(mutations.PNG)(data, random)
    return random.choice(JSON)(data, random)


def laser_scan(name: str, kind: int) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        import laspy

        random = np.random.default_rng(0)
        header = laspy.LasHeader(point_format=kind, version="1.4" if kind > 5 else "1.2")
        header.scales, header.offsets = [0.001] * 3, [500_000.0, 5_400_000.0, 420.0]
        keys = laspy.vlrs.known.GeoKeyDirectoryVlr()
        keys.parse_record_data(np.array([1, 1, 0, 2, 1024, 0, 1, 1, 3076, 0, 1, 9002], "<u2").tobytes())
        header.vlrs.append(keys)
        header.add_extra_dim(laspy.ExtraBytesParams("confidence", np.float32))
        las = laspy.LasData(header)
        las.x, las.y, las.z = random.uniform(0, 50, (3, 60)) + np.array([[500_000.0], [5_400_000.0], [420.0]])
        las.red, las.green, las.blue = random.integers(0, 65536, (3, 60)).astype(np.uint16)
        las.write(str(folder / name))
        return [folder / name]

    return make


def backend_source(name: str = "") -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        import backend.importers

        return run_to_end(backend.importers.open_source(folder / name, pictures=OutputFolder.made(folder / "pictures")))

    return read


def make_e57(folder: Path) -> list[Path]:
    import pye57
    from pye57 import libe57

    random = np.random.default_rng(0)
    points = random.uniform(-10, 10, (50, 3)).astype(np.float32)
    columns = {f"cartesian{axis}": points[:, index] for index, axis in enumerate("XYZ")}
    columns |= {f"color{name}": random.integers(0, 256, 50).astype(np.uint8) for name in ("Red", "Green", "Blue")}
    file = pye57.E57(str(folder / "a.e57"), "w")
    file.write_scan_raw(columns, rotation=np.array([1.0, 0, 0, 0]), translation=np.ones(3), name="a scan")
    image = libe57.StructureNode(file.image_file)
    image.set("name", libe57.StringNode(file.image_file, "panorama"))
    sphere = libe57.StructureNode(file.image_file)
    data = png.encode(photograph())
    blob = libe57.BlobNode(file.image_file, len(data))
    sphere.set("pngImage", blob)
    image.set("sphericalRepresentation", sphere)
    file.root["images2D"].append(image)
    blob.write(np.frombuffer(data, np.uint8).copy(), 0, len(data))
    file.close()
    return [folder / "a.e57"]


def vertex_columns() -> dict[str, dict[str, np.ndarray]]:
    """Columns of vertices that tell their colours in every way that is known, by name of the file."""
    random = np.random.default_rng(0)
    count = 40
    places = {axis: random.normal(size=count).astype(np.float32) for axis in "xyz"}
    packed = random.integers(0, 1 << 24, count, dtype=np.uint32)
    shorts = {
        f"diffuse_{name}": random.integers(0, 65536, count).astype(np.uint16) for name in ("red", "green", "blue")
    }
    floats = {name: random.random(count).astype(np.float32) for name in ("r", "g", "b")}
    splats = {name: random.normal(size=count).astype(np.float32) for name in ("f_dc_0", "f_dc_1", "f_dc_2", "opacity")}
    return {
        "bits": places | {"rgb": packed.view(np.float32)},
        "number": places | {"rgba": packed | np.uint32(0xFF000000)},
        "shorts": places | shorts | {"alpha": np.ones(count, np.uint8)},
        "floats": places | floats | {"scalar_confidence": floats["r"], "source": packed.astype(np.int32)},
        "splats": places | splats,
        "greys": places | {"scalar_intensity": splats["opacity"]},
    }


def make_vertices(folder: Path) -> list[Path]:
    made = []
    for name, columns in vertex_columns().items():
        for text in (False, True):
            path = folder / f"{name}-{text}.ply"
            ply.write(path, columns, ascii_text=text)
            made.append(path)
    return made


def read_vertices(folder: Path) -> None:
    each(*(lambda path=path: vertices.read(path) for path in sorted(folder.glob("*.ply"))))


KEYS = (
    {1024: 1, 3072: 25832, 3076: 9001, 4096: 7837, 4099: 9001},
    {1024: 1, 3072: 2227, 3076: 9003},
    {1024: 1, 3076: 9002},
    {1024: 1, 3072: 3857, 4096: 5703, 4099: 9003},
)
"""GeoTIFF keys: UTM, feet of the United States, feet of nothing, Mercator of the web."""


def make_reference_systems(folder: Path) -> list[Path]:
    """WKT of both versions, and keys as pairs of numbers of 16 bits."""
    import pyproj

    made = []
    for number, code in enumerate(("EPSG:25832", "EPSG:2227+6360", "EPSG:3857", "EPSG:25832+5336")):
        for version in ("WKT1_GDAL", "WKT2_2019"):
            made.append(folder / f"{number}-{version}.wkt")
            made[-1].write_text(pyproj.CRS(code).to_wkt(version), "utf-8")
    for number, keys in enumerate(KEYS):
        made.append(folder / f"{number}.keys")
        made[-1].write_bytes(np.array([*keys.items()], "<u2").tobytes())
    return made


def read_reference_systems(folder: Path) -> None:
    files = sorted(folder.iterdir())
    each(*(lambda path=path: read_reference_system(path.suffix, path.read_bytes()) for path in files))


@functools.lru_cache(maxsize=32)
def read_reference_system(suffix: str, data: bytes) -> None:
    """Those that are whole once: the library takes its time."""
    from backend.importers import reference_system

    if suffix == ".wkt":
        record: dict[str, Any] = {"string": data.decode("utf-8", "surrogateescape")}
    else:
        pairs = np.frombuffer(data[: len(data) // 4 * 4], "<u2").reshape(-1, 2).tolist()
        record = {"geo_keys": [SimpleNamespace(id=key, value_offset=value) for key, value in pairs]}
    ours = SimpleNamespace(user_id="LASF_Projection", **record)
    middle = np.array([565_000.0, 5_930_000.0, 20.0])
    coded = SimpleNamespace(wkt=suffix == ".wkt")
    header = SimpleNamespace(vlrs=[ours], evlrs=[], global_encoding=coded, mins=middle, maxs=middle + 9)
    found = reference_system.units(header, Path("a.las"))
    assert found.metres.shape == (3,) and np.isfinite(found.metres).all() and found.metres.all()
    if any("not understood" in note for note in found.notes):
        raise PantheonError(found.notes[0])


PARSERS = (
    Parser("ply-ascii", cloud_file("a.ply", ascii_text=True), source("a.ply"), TEXT),
    Parser("ply-binary", cloud_file("a.ply"), source("a.ply"), TEXT),
    Parser("ply-lists", written("a.ply", LISTS), source("a.ply"), TEXT),
    Parser("ply-binary-lists", written("a.ply", binary_lists()), source("a.ply"), TEXT),
    Parser("vertices", make_vertices, read_vertices, (*TEXT, mutations.extreme_float)),
    Parser("npz-cloud", make_cloud_npz, source("a.npz"), NPZ),
    Parser("transforms", make_transforms, source(), JSON),
    Parser("colmap-text", make_colmap_text, source(), TEXT),
    Parser("colmap-binary", make_colmap_binary, source()),
    Parser("vipe", make_clip, source(), (clip_changed, clip_changed)),
    Parser("depth-png", make_depth, source("room_depth.png"), mutations.PNG),
    Parser("depth-exr", written("a.exr", openexr({"Z": ranges()})), source("a.exr")),
    Parser("import-folder", make_import_folder, read_import_folder, (by_kind, by_kind)),
    Parser("las", laser_scan("a.las", 3), backend_source("a.las"), needs=("laspy", "lazrs")),
    Parser("las-newer", laser_scan("a.las", 7), backend_source("a.las"), needs=("laspy", "lazrs")),
    Parser("laz", laser_scan("a.laz", 3), backend_source("a.laz"), needs=("laspy", "lazrs")),
    Parser("laz-newer", laser_scan("a.laz", 7), backend_source("a.laz"), needs=("laspy", "lazrs")),
    Parser("reference-systems", make_reference_systems, read_reference_systems, TEXT, ("pyproj",)),
    Parser("e57", make_e57, backend_source("a.e57"), (mutations.pages_changed,) * 9, ("pye57",)),
)
