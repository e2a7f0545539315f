"""What goes wrong on a set, the whole way through: each fault has its clear error or just works, and nothing is lost.

Every refusal is a cancelled operator whose report names the input and says what to do; never a traceback.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests import large_picture

pytest.importorskip("bpy", reason="needs Blender as a Python module")

WIDTH, FRAMES = 256, 6
House = Callable[[str], ModuleType]
Contents = Callable[[Path], dict[str, bytes]]
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes as Linux shows them")


def jobs(scene: Any) -> list[Path]:
    """The job folders beside the .blend, oldest first."""
    import bpy

    folder = Path(bpy.data.filepath).parent / "pantheon360_jobs"
    return sorted(folder.iterdir(), key=lambda path: path.stat().st_ctime_ns) if folder.exists() else []


def frames_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "frames").glob("[0-9]*.png"))}


def strips() -> list[Any]:
    """Strips of all results, in the order they were delivered."""
    import bpy

    return [
        strip
        for scene in bpy.data.scenes
        if scene.get("pantheon360_results") and scene.sequence_editor
        for strip in sorted(scene.sequence_editor.strips, key=lambda strip: strip.channel)
    ]


# The backend dies


def backend_child() -> int | None:
    """Process id of the backend, found as a person who is about to kill it finds it."""
    for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
        with suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"backend" in command and b"serve" in command:
                return int(pid)
    return None


class Killer(threading.Thread):
    """Kills the backend as soon as a job has its first frames, without warning."""

    def __init__(self, root: Path, frames: int) -> None:
        super().__init__(daemon=True)
        self.root, self.frames, self.killed = root, frames, False

    def run(self) -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and not self.killed:
            if len(list(self.root.glob("*/frames/[0-9]*.png"))) >= self.frames:
                pid = backend_child()
                assert pid is not None
                os.kill(pid, 9)
                self.killed = True
            time.sleep(0.001)


@linux
@pytest.mark.ends
def test_a_killed_backend_costs_nothing_that_was_finished(street: Any, refused: Any, contents: Contents) -> None:
    import bpy

    count = 30
    street.frame_end = count
    root = Path(bpy.data.filepath).parent / "pantheon360_jobs"
    killer = Killer(root, frames=3)
    killer.start()
    told = refused(bpy.ops.pantheon360.generate)
    killer.join()
    assert killer.killed
    (folder,) = jobs(street)
    assert "was killed (SIGKILL)" in told and "memory" in told
    assert "Finished frames are kept" in told and str(folder) in told and "Resume" in told
    assert not strips()
    kept = frames_of(folder)
    assert 3 <= len(kept) < count
    times = {name: (folder / "frames" / name).stat().st_mtime_ns for name in kept}

    assert bpy.ops.pantheon360.resume() == {"FINISHED"}
    resumed = frames_of(folder)
    assert len(resumed) == count
    assert {name: (folder / "frames" / name).stat().st_mtime_ns for name in kept} == times
    assert not list(folder.rglob("*.part")) and len(strips()) == 1

    assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    undisturbed = jobs(street)[-1]
    assert undisturbed != folder
    assert frames_of(undisturbed) == resumed
    for part in ("geometry", "footprint", "captures"):
        assert contents(undisturbed / part) == contents(folder / part)
    with pytest.raises(RuntimeError, match="No job of this scene is unfinished"):
        bpy.ops.pantheon360.resume()


# Files that are no captures


@pytest.fixture
def shelf(tmp_path: Path, street: Any) -> Path:
    """A folder of files of which two are photographs and the others have each something wrong with them."""
    from PIL import Image

    folder = tmp_path / "card"
    folder.mkdir()
    good = Image.open(tmp_path / "street" / "near.png")
    for name in ("good.png", "good.jpg", "good.tif"):
        good.save(folder / name)
    for name in ("good.png", "good.jpg", "good.tif"):
        data = (folder / name).read_bytes()
        (folder / name.replace("good", "truncated")).write_bytes(data[: len(data) * 2 // 3])
    damaged = bytearray((folder / "good.png").read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    (folder / "damaged.png").write_bytes(damaged)
    (folder / "text.jpg").write_text("This is not a photograph.")
    (folder / "empty.png").touch()
    (folder / "folder.png").mkdir()
    good.resize((1, 1)).save(folder / "pixel.png")
    good.resize((2, 1)).save(folder / "tiny.png")
    good.resize((300, 100)).save(folder / "wide.png")
    good.resize((256, 127)).save(folder / "almost.png")
    return folder


BAD = {
    "truncated.png": "truncated.png is",
    "truncated.jpg": "truncated.jpg is",
    "truncated.tif": "truncated.tif is",
    "damaged.png": "damaged.png",
    "text.jpg": "text.jpg is not a JPEG",
    "empty.png": "empty.png is empty",
    "folder.png": "folder.png is a folder",
    "missing.png": "missing.png does not exist",
    "pixel.png": "pixel.png is 1 x 1: a full panorama is twice as wide as high",
    "tiny.png": "tiny.png is 2 x 1: too small",
    "wide.png": "wide.png is 300 x 100: a full panorama is twice as wide as high",
    "almost.png": "almost.png is 256 x 127: a full panorama is twice as wide as high",
}
"""File and what is said of it."""


def blocks() -> tuple[set[str], set[str]]:
    import bpy

    return {image.name for image in bpy.data.images}, {obj.name for obj in bpy.data.objects}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_capture_is_named(street: Any, shelf: Path, refused: Any, name: str) -> None:
    import bpy

    before = blocks()
    told = refused(bpy.ops.pantheon360.import_captures, directory=str(shelf), files=[{"name": name}])
    assert BAD[name] in told
    assert len(told.split(". ")) >= 2, f"it does not say what to do: {told}"
    assert blocks() == before


def test_good_files_among_bad_ones_are_imported_and_the_bad_ones_named(
    street: Any, shelf: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import bpy

    images, objects = blocks()
    names = sorted([*BAD, "good.png", "good.jpg"])
    capfd.readouterr()
    assert bpy.ops.pantheon360.import_captures(directory=str(shelf), files=[{"name": name} for name in names]) == {
        "FINISHED"
    }
    printed = capfd.readouterr()
    told = printed.out + printed.err
    assert "2 captures imported" in told and "Traceback" not in told
    for said in BAD.values():
        assert said in told
    assert {image.removesuffix(".001") for image in blocks()[0] - images} == {"good.png", "good.jpg"}
    assert len({obj for obj in blocks()[1] - objects if "preview" not in obj.lower()}) == 2
    assert bpy.ops.pantheon360.project_captures() == {"FINISHED"}


@pytest.mark.ends
@pytest.mark.parametrize("damage", ["truncated", "gone", "replaced"])
def test_a_photograph_damaged_after_import_stops_the_shot_and_leaves_no_half_job(
    street: Any, refused: Any, tmp_path: Path, contents: Contents, damage: str
) -> None:
    import bpy

    assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    bpy.ops.wm.save_mainfile()
    before = contents(tmp_path / "street" / "pantheon360_jobs")
    far = tmp_path / "street" / "far.png"
    whole = far.read_bytes()
    if damage == "truncated":
        far.write_bytes(whole[: len(whole) // 2])
    elif damage == "gone":
        far.unlink()
    else:
        far.write_text("not a picture any more")
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    points = len(bpy.context.scene.pantheon360.cache.data.vertices)
    for operator in (bpy.ops.pantheon360.generate, bpy.ops.pantheon360.project_captures):
        told = refused(operator)
        assert "far.png" in told and ("is missing" if damage == "gone" else "cannot be read") in told
    assert contents(tmp_path / "street" / "pantheon360_jobs") == before
    assert len(bpy.context.scene.pantheon360.cache.data.vertices) == points
    far.write_bytes(whole)
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    assert bpy.ops.pantheon360.generate() == {"FINISHED"}


# A very large capture

LARGE = (16000, 8000)
LARGEST_MEMORY = 1.8
"""GiB of memory at its peak that an import, a projection and a shot of a 16000 x 8000 capture may take altogether.

Measured: 1.35 in Blender 4.5 and 5.0, 1.40 in 5.2. The program has 0.3, Blender holds the picture as 0.48 GiB of bytes
and needs as much again for the copy that it makes smaller. Its pixels as floats would be another 1.9.
"""

LARGE_SHOT = """
import json, resource, sys
import bpy, addon_utils
from pathlib import Path

def most_memory():
    # Kilobytes. Not ru_maxrss where it can be had otherwise: that of a child begins with its parent's.
    status = Path("/proc/self/status")
    if status.exists():
        return int(dict(line.split(":", 1) for line in status.read_text().splitlines())["VmHWM"].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


repository, photograph = sys.argv[1:]
bpy.context.preferences.extensions.repos.new(name="Dev", module="dev", custom_directory=repository)
addon_utils.enable("bl_ext.dev.pantheon360", default_set=True)
bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
scene = bpy.context.scene
idle = most_memory()
photograph = Path(photograph)
bpy.ops.pantheon360.import_captures(directory=str(photograph.parent), files=[{"name": photograph.name}])
scene.frame_start = scene.frame_end = 1
scene.pantheon360.width = scene.pantheon360.projection_width = 256
scene.pantheon360.jobs_folder = str(photograph.parent / "jobs")
bpy.ops.pantheon360.make_proxy()
bpy.ops.pantheon360.project_captures()
scene.pantheon360.match_orientation = True
bpy.ops.pantheon360.set_path_ends()
bpy.ops.pantheon360.generate()
largest = most_memory()
print("REPORT " + json.dumps({"idle": idle / 2**20, "largest": largest / 2**20}))
"""


def band_colours() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (16, 3), dtype=np.uint8)


@pytest.mark.slow
@pytest.mark.ends
def test_16000_x_8000_is_a_capture_and_takes_bounded_memory(extension: ModuleType, tmp_path: Path) -> None:
    row = np.repeat(band_colours(), LARGE[0] // 16, axis=0)
    large_picture.write(tmp_path / "large.png", row, LARGE[1])
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "pantheon360").symlink_to(Path(__file__).resolve().parents[2], target_is_directory=True)
    child = [sys.executable, "-B", "-c", LARGE_SHOT, str(repository), str(tmp_path / "large.png")]
    done = subprocess.run(child, capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
    report = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("REPORT "))[7:])
    assert report["idle"] < report["largest"] < LARGEST_MEMORY, report
    assert_bands(next((tmp_path / "jobs").glob("*/frames/000001.png")))


def assert_bands(frame: Path) -> None:
    """Seen from the capture's own place, the middle of every band has its colour."""
    from PIL import Image

    picture = np.asarray(Image.open(frame))[:, 8::16]
    found = picture[[32, 64, 96]].astype(int)
    assert np.abs(found - band_colours()).max() <= 1


# A cache that is not as it should be


def edit_cache(scene: Any, edit: Callable[[Any], None]) -> None:
    """Edit the vertices of the cache as an artist's script does."""
    import bmesh

    mesh = scene.pantheon360.cache.data
    edited = bmesh.new()
    edited.from_mesh(mesh)
    edit(edited)
    edited.to_mesh(mesh)
    edited.free()
    mesh.update()


def test_points_that_are_not_numbers_are_as_if_deleted(street: Any, house: House, contents: Contents) -> None:
    import bpy

    def spoil(mesh: Any) -> None:
        for index, vertex in enumerate(mesh.verts):
            if index % 3 == 0:
                vertex.co[index % 9 // 3] = (float("nan"), float("inf"), -float("inf"))[index // 9 % 3]

    edit_cache(street, spoil)
    assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    evaluated = house("scene.cache.cache_objects").evaluated_points(bpy.context.evaluated_depsgraph_get())
    assert np.isfinite(evaluated.points).all()
    bpy.ops.wm.revert_mainfile()
    scene = bpy.context.scene

    def delete(mesh: Any) -> None:
        import bmesh

        bmesh.ops.delete(mesh, geom=[vertex for vertex in mesh.verts if vertex.index % 3 == 0], context="VERTS")

    edit_cache(scene, delete)
    assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    with_nan, without = jobs(scene)
    for part in ("geometry", "footprint", "frames"):
        assert contents(with_nan / part) == contents(without / part)


def test_an_empty_cache_is_said_and_can_be_projected_again(street: Any, refused: Any) -> None:
    import bpy

    cache = street.pantheon360.cache
    bpy.context.view_layer.objects.active = cache
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.delete(type="VERT")
    bpy.ops.object.mode_set(mode="OBJECT")
    assert len(cache.data.vertices) == 0
    for operator in (bpy.ops.pantheon360.generate, bpy.ops.pantheon360.render_geometry):
        told = refused(operator)
        assert "no visible points" in told and "build or project one" in told
        assert not jobs(street) and not strips()
    assert bpy.ops.pantheon360.project_captures() == {"FINISHED"}
    assert bpy.ops.pantheon360.generate() == {"FINISHED"}


@pytest.mark.parametrize("place", ["in the wall", "on a point", "behind the wall"])
def test_a_camera_inside_a_wall_just_works(street: Any, house: House, place: str) -> None:
    import bpy
    from PIL import Image

    wall = bpy.data.objects["Proxy Wall"].location
    cloud = house("scene.cache.cache_objects").evaluated_points(bpy.context.evaluated_depsgraph_get())
    centre = np.array(street.pantheon360.start_capture.location)
    where = {
        "in the wall": np.array(wall),
        "on a point": cloud.points[len(cloud.points) // 2].astype(float),
        "behind the wall": centre + 1.5 * (np.array(wall) - centre),
    }[place]
    street.camera.animation_data_clear()
    street.camera.location = where
    street.frame_end = 2
    assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    (folder,) = jobs(street)
    assert len(frames_of(folder)) == 2
    depth = np.load(folder / "geometry" / "000001.npz")["depth"]
    assert depth.min() >= street.pantheon360.near - 1e-6
    assert np.asarray(Image.open(folder / "frames" / "000001.png")).std() > 10


# The disk


def fill(folder: Path, leave: int) -> Path:
    """Fill the disk of a folder but for some bytes; the file that does it."""
    ballast = folder / "ballast"
    ballast.unlink(missing_ok=True)
    free = os.statvfs(folder)
    size = max(free.f_bavail * free.f_frsize - leave, 0)
    ballast.write_bytes(bytes(size))
    return ballast


@pytest.mark.ends
def test_a_full_disk_while_preparing_leaves_nothing_half(
    street: Any, refused: Any, small_disk: Any, tmp_path: Path, contents: Contents
) -> None:
    import bpy

    disk = tmp_path / "Ünïcode 空 disk"
    with small_disk(disk, "16m"):
        street.pantheon360.jobs_folder = str(disk)
        ballast = fill(disk, leave=400_000)
        told = refused(bpy.ops.pantheon360.generate)
        assert str(disk) in told and "the disk is full" in told and "Free some space" in told
        assert list(disk.iterdir()) == [ballast] and not strips()
        ballast.unlink()
        assert bpy.ops.pantheon360.generate() == {"FINISHED"}
        (folder,) = disk.iterdir()
        assert len(frames_of(folder)) == FRAMES


@pytest.mark.ends
def test_a_full_disk_while_painting_keeps_finished_frames_and_resume_goes_on(
    street: Any, refused: Any, small_disk: Any, tmp_path: Path
) -> None:
    import bpy

    assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    undisturbed = frames_of(jobs(street)[0])
    disk = tmp_path / "disk"
    with small_disk(disk, "16m"):
        street.pantheon360.jobs_folder = str(disk)
        assert bpy.ops.pantheon360.render_geometry() == {"FINISHED"}
        (folder,) = disk.iterdir()
        ballast = fill(disk, leave=4 * len(undisturbed["000001.png"]))
        told = refused(bpy.ops.pantheon360.resume)
        assert str(folder) in told and "the disk is full" in told and "Resume" in told
        kept = frames_of(folder)
        assert 0 < len(kept) < FRAMES and kept.items() <= undisturbed.items()
        assert not list(folder.rglob("*.part"))
        ballast.unlink()
        assert bpy.ops.pantheon360.resume() == {"FINISHED"}
        assert frames_of(folder) == undisturbed
        with pytest.raises(RuntimeError, match="No job of this scene is unfinished"):
            bpy.ops.pantheon360.resume()


def test_a_full_disk_while_encoding_keeps_the_frames_and_makes_no_half_video(
    street: Any, refused: Any, small_disk: Any, tmp_path: Path, house: House
) -> None:
    import bpy

    disk = tmp_path / "disk"
    with small_disk(disk, "16m"):
        street.pantheon360.jobs_folder = str(disk)
        street.pantheon360.strip_source = "VIDEO"
        assert bpy.ops.pantheon360.render_geometry() == {"FINISHED"}
        (folder,) = disk.iterdir()
        ballast = fill(disk, leave=1 << 21)
        house("scene.app.jobs").run_blocking(
            house("scene.app.backend_process").run(house("core.jobs.job_folder").JobFolder.open(folder))
        )
        painted = frames_of(folder)
        assert len(painted) == FRAMES
        fill(disk, leave=8192)
        told = refused(bpy.ops.pantheon360.resume)
        assert str(folder) in told and "full" in told, told
        assert frames_of(folder) == painted and not list(folder.rglob("*.mp4")) and not strips()
        assert "Pantheon360 Encoding" not in bpy.data.scenes
        ballast.unlink()
        assert bpy.ops.pantheon360.resume() == {"FINISHED"}
        assert frames_of(folder) == painted
        assert house("core.formats.spherical_video").read(folder / "video.mp4").v2


@pytest.mark.ends
def test_a_read_only_disk_is_named_and_nothing_of_the_scene_is_lost(
    street: Any, refused: Any, small_disk: Any, tmp_path: Path
) -> None:
    import bpy

    disk = tmp_path / "disk"
    with small_disk(disk, "16m"):
        street.pantheon360.jobs_folder = str(disk)
        assert bpy.ops.pantheon360.render_geometry() == {"FINISHED"}
        (folder,) = disk.iterdir()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for operator in (bpy.ops.pantheon360.generate, bpy.ops.pantheon360.render_geometry):
            told = refused(operator)
            assert str(disk) in told and "read-only" in told and "Choose a folder on a writable disk" in told
        told = refused(bpy.ops.pantheon360.resume)
        assert str(folder) in told and "read-only" in told
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert bpy.ops.pantheon360.resume() == {"FINISHED"}
        assert len(frames_of(folder)) == FRAMES and len(strips()) == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere; see the read-only disk")
def test_a_folder_without_permission_is_named(street: Any, refused: Any, tmp_path: Path) -> None:
    import bpy

    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    street.pantheon360.jobs_folder = str(locked)
    told = refused(bpy.ops.pantheon360.generate)
    assert str(locked) in told and "not writable for you" in told


def test_a_file_where_the_jobs_folder_belongs_is_named(street: Any, refused: Any, tmp_path: Path) -> None:
    import bpy

    (tmp_path / "jobs").write_text("precious")
    street.pantheon360.jobs_folder = str(tmp_path / "jobs")
    told = refused(bpy.ops.pantheon360.generate)
    assert str(tmp_path / "jobs") in told and "Choose another folder" in told
    assert (tmp_path / "jobs").read_text() == "precious"


# Places


def test_everything_works_in_a_folder_of_any_name(build_street: Any, house: House, tmp_path: Path) -> None:
    """Spaces, accents, other scripts, quotes and signs that mean something to Blender, shells or URLs."""
    import bpy

    place = tmp_path / "Ünïcode 空 dir" / "it's 100% #1 & [a] {b}"
    blend = build_street(place, frames=2)
    scene = bpy.context.scene
    try:
        for source in ("FRAMES", "VIDEO"):
            scene.pantheon360.strip_source = source
            assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    finally:
        house("scene.app.backend_process").stop_shared()
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    image, movie = strips()
    assert Path(bpy.path.abspath(image.directory)).is_dir() and len(image.elements) == 2
    assert Path(bpy.path.abspath(movie.filepath)).parent.parent == place / "pantheon360_jobs"
    for strip in (image, movie):
        assert Path(bpy.path.abspath(strip["pantheon360_folder"])) in jobs(scene)
    assert bpy.ops.pantheon360.tag_360(filepath=bpy.path.abspath(movie.filepath)) == {"FINISHED"}
    assert house("core.formats.spherical_video").read(jobs(scene)[-1] / "video_360.mp4").v1


@pytest.mark.ends
def test_a_half_finished_job_moved_elsewhere_goes_on_there(
    street: Any, run_backend: Any, tmp_path: Path, contents: Contents
) -> None:
    import bpy

    assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    (folder,) = jobs(street)
    undisturbed = frames_of(folder)
    moved = tmp_path / "farm" / "Ünïcode 空 dir" / "job"
    shutil.copytree(folder, moved)
    shutil.rmtree(folder)
    for name in ("000002.png", "000005.png"):
        (moved / "frames" / name).unlink()
    half = (moved / "frames" / "000003.png").read_bytes()
    (moved / "frames" / "000003.png").write_bytes(half[: len(half) // 2])
    inputs = {part: contents(moved / part) for part in ("geometry", "footprint", "captures")}
    kept = (moved / "frames" / "000001.png").stat().st_mtime_ns
    done = run_backend("run", moved)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert "Frame 3 is damaged" in done.stderr
    assert frames_of(moved) == undisturbed
    assert (moved / "frames" / "000001.png").stat().st_mtime_ns == kept
    assert {part: contents(moved / part) for part in inputs} == inputs
    assert str(folder) not in (moved / "job.json").read_text("utf-8"), "the job knows where it was made"
    before = contents(moved)
    assert run_backend("run", moved).returncode == 0
    assert contents(moved) == before


@pytest.mark.ends
def test_a_job_folder_that_is_gone_is_named_by_resume(street: Any, refused: Any, tmp_path: Path) -> None:
    import bpy

    assert bpy.ops.pantheon360.render_geometry() == {"FINISHED"}
    (folder,) = jobs(street)
    away = folder.rename(tmp_path / "away")
    told = refused(bpy.ops.pantheon360.resume)
    assert str(folder) in told and len(told.split(". ")) >= 2, told
    away.rename(folder)
    assert bpy.ops.pantheon360.resume() == {"FINISHED"}


def test_a_project_moved_as_a_whole_still_shows_its_strips(street: Any, tmp_path: Path) -> None:
    """The .blend, its photographs and its jobs in another folder, the old one gone: another machine."""
    import bpy

    for source in ("FRAMES", "VIDEO"):
        street.pantheon360.strip_source = source
        assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    name = Path(bpy.data.filepath).name
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    moved = (tmp_path / "street").rename(tmp_path / "another machine")
    bpy.ops.wm.open_mainfile(filepath=str(moved / name))
    image, movie = strips()
    for path in (image.directory, movie.filepath, image["pantheon360_folder"], movie["pantheon360_folder"]):
        assert Path(bpy.path.abspath(path)).resolve().is_relative_to(moved) and Path(bpy.path.abspath(path)).exists()
    assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    assert {folder.parent.parent for folder in jobs(bpy.context.scene)} == {moved}


@pytest.mark.ends
def test_a_job_that_lost_a_file_on_the_way_says_which(street: Any, run_backend: Any) -> None:
    import bpy

    assert bpy.ops.pantheon360.render_geometry() == {"FINISHED"}
    (folder,) = jobs(street)
    lost = folder / "geometry" / "000004.png"
    lost.unlink()
    done = run_backend("run", folder)
    assert done.returncode == 1 and str(lost) in done.stderr and "Copy the whole job folder" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("folder", ["//../elsewhere", "//shots/", "/{tmp}/a/../b"])
def test_a_jobs_folder_may_be_written_in_any_way(street: Any, tmp_path: Path, folder: str) -> None:
    import bpy

    street.pantheon360.jobs_folder = folder.replace("/{tmp}", str(tmp_path))
    street.frame_end = 1
    assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    with pytest.raises(RuntimeError, match="No job of this scene is unfinished"):
        bpy.ops.pantheon360.resume()
    (strip,) = strips()
    assert Path(bpy.path.abspath(strip["pantheon360_folder"]), "job.json").is_file()


def test_generating_again_after_reopening_overwrites_nothing(street: Any, contents: Contents) -> None:
    import bpy

    for source in ("FRAMES", "VIDEO"):
        street.pantheon360.strip_source = source
        assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    first = {folder: contents(folder) for folder in jobs(street)}
    known = {strip.name: (strip.channel, strip["pantheon360_job"]) for strip in strips()}
    assert len(first) == len(known) == 2
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    scene = bpy.context.scene
    assert not scene.get("pantheon360_results"), "the artist's own scene is still the one that opens"
    assert bpy.ops.pantheon360.generate() == {"FINISHED"}
    found = {strip.name: (strip.channel, strip["pantheon360_job"]) for strip in strips()}
    assert len(found) == 3 and found.items() > known.items()
    assert len({channel for channel, _ in found.values()}) == 3
    assert len({strip.id_data.name for strip in strips()}) == 1
    assert len(jobs(scene)) == 3
    assert {folder: contents(folder) for folder in first} == first
