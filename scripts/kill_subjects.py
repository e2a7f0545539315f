"""What kill_test.py kills: small jobs of each kind, made in a folder. Run by it with the Python that each kind needs.

`python scripts/kill_subjects.py draft|diffusion|reconstruction FOLDER` makes FOLDER/job;
`python scripts/kill_subjects.py blender FOLDER` makes FOLDER/shot.blend, with Blender as a Python module;
`python scripts/kill_subjects.py command FOLDER VERB ...` is `blender --command pantheon360 VERB ...` for it.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
MODULE = "bl_ext.dev.pantheon360"

HALF = np.array([2.0, 3.0, 1.5])
"""Half the size of the room, metres."""
PLACES = ((-0.3, -0.8, 0.0), (0.0, 0.0, 0.1), (0.35, 0.75, 0.0))


def core(name: str) -> Any:
    return importlib.import_module(f"pantheon360_blender.core.{name}")


def draft(folder: Path) -> None:
    """Frames that take the draft painter a moment each; captures with masks."""
    paint(folder, "draft", frames=16, width=256, settings={})


def diffusion(folder: Path) -> None:
    """Three clips of a tiny untrained model, with frames between painted ones and videos of what the model sees."""
    made = importlib.import_module("backend.diffusion.models.tiny_model").make
    made(folder / "model", width=128, height=64, frames=4)
    options = {"model": str(folder / "model"), "steps": 3, "overlap": 1, "every": 2, "save_seen": True}
    paint(folder, "diffusion", frames=13, width=192, settings={"diffusion": options})


def paint(folder: Path, painter: str, frames: int, width: int, settings: dict[str, Any]) -> None:
    """A job of a camera that walks through the room past its captures."""
    jobs, splatting = core("jobs.job_folder"), core("render.splatting")
    job = jobs.PaintFolder.new(folder, "job")
    captures = [capture(index, 256, masked=True) for index in range(len(PLACES))]
    entries = [job.write_capture(each) for each in captures]
    cameras = np.stack([pose(0) for _ in range(frames)])
    cameras[:, :3, 3] = np.linspace(PLACES[0], PLACES[1], frames)
    numbers = list(range(1, frames + 1))
    random = np.random.default_rng(7)
    points = random.uniform(-HALF, HALF, (20_000, 3)).astype(np.float32)
    colours = random.integers(0, 256, points.shape, dtype=np.uint8)
    for number, camera in zip(numbers, cameras, strict=True):
        job.write_geometry("geometry", number, splatting.splat(points, colours, camera, width))
    anchors = [{"frame": numbers[0], "capture": entries[0]["name"]}]
    made = core("jobs.job").PaintJob(
        name="job",
        width=width,
        fps=24,
        frames=numbers,
        cameras=cameras,
        captures=entries,
        anchors=anchors,
        painter=painter,
        settings=settings,
    )
    seal(job, made, folder)


def reconstruction(folder: Path) -> None:
    """Three panoramas of a room, to be posed and swept."""
    job = core("jobs.job_folder").ReconstructFolder.new(folder, "job")
    entries = [job.write_capture(capture(index, 512)) for index in range(len(PLACES))]
    seal(job, core("jobs.job").ReconstructJob(name="job", captures=entries, settings={"width": 128}), folder)


def seal(job: Any, made: Any, folder: Path) -> None:
    job.seal(made)
    job.path.rename(folder / "job")


def capture(index: int, width: int, *, masked: bool = False) -> Any:
    valid = np.ones((width // 2, width), np.bool_)
    valid[width // 2 - width // 16 :] = False
    here = pose(index)
    return core("panorama.capture").Capture(f"view-{index}", panorama(here, width), here, valid if masked else None)


def pose(index: int) -> np.ndarray:
    """Level, looking to +Y and turned a little; (4, 4) camera-to-world."""
    angle = 0.4 * index - 0.3
    cosine, sine = np.cos(angle), np.sin(angle)
    made = np.eye(4)
    made[:3, :3] = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    made[:3, 3] = PLACES[index]
    return made


def panorama(here: np.ndarray, width: int) -> np.ndarray:
    """What is seen of the room, (H, W, 3) uint8: cells of random colours on every wall, fine and coarse."""
    rays = core("panorama.equirectangular").directions(width).astype(np.float64) @ here[:3, :3].T
    with np.errstate(divide="ignore"):
        ranges = np.where(rays > 0, (HALF - here[:3, 3]) / rays, (-HALF - here[:3, 3]) / rays)
    axis = ranges.argmin(axis=-1)
    points = here[:3, 3] + rays * ranges.min(axis=-1, keepdims=True)
    wall = 2 * axis + (np.take_along_axis(rays, axis[..., None], -1)[..., 0] > 0)
    random = np.random.default_rng(2)
    image = np.zeros((*wall.shape, 3))
    for size in (0.45, 0.11):
        table = random.integers(30, 110, (6, 64, 64, 64, 3))
        cell = np.floor((points + 4.0) / size).astype(int) % 64
        flat = np.where(np.arange(3) == (wall // 2)[..., None], 0, cell)
        image += table[wall, flat[..., 0], flat[..., 1], flat[..., 2]]
    return image.astype(np.uint8)


# In Blender


def blender(folder: Path) -> None:
    """A shot that lacks nothing but Generate, which delivers it as a video."""
    bpy = enabled(folder)
    png = core("formats.png")
    for index in range(2):
        png.write(folder / f"view-{index}.png", panorama(pose(index), 512))
    files = [{"name": f"view-{index}.png"} for index in range(2)]
    bpy.ops.pantheon360.import_captures(directory=str(folder), files=files)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 8
    settings = scene.pantheon360
    settings.width = settings.projection_width = 256
    settings.strip_source = "VIDEO"
    bpy.ops.pantheon360.make_proxy()
    bpy.ops.pantheon360.project_captures()
    bpy.ops.pantheon360.set_path_ends()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "shot.blend"), relative_remap=True)


def command(folder: Path, arguments: list[str]) -> int:
    """Run a verb of the command line."""
    enabled(folder)
    return int(importlib.import_module(f"{MODULE}.cli.command_line").main(arguments))


def enabled(folder: Path) -> Any:
    """Blender as a Python module, with the repository enabled as an extension."""
    bpy: Any = importlib.import_module("bpy")
    repository = folder / "repository"
    if not repository.exists():
        repository.mkdir()
        (repository / "pantheon360").symlink_to(ROOT, target_is_directory=True)
    bpy.context.preferences.extensions.repos.new(name="Dev", module="dev", custom_directory=str(repository))
    importlib.import_module("addon_utils").enable(MODULE, default_set=True)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    return bpy


MAKERS: dict[str, Callable[[Path], None]] = {
    "draft": draft,
    "diffusion": diffusion,
    "reconstruction": reconstruction,
    "blender": blender,
}


def main(kind: str, place: str, *arguments: str) -> int:
    if kind == "command":
        return command(Path(place), list(arguments))
    MAKERS[kind](Path(place))
    return 0


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # Blender as a module is slow to leave, and loud
