"""The demo's shot, run inside Blender's Python: the same operators an artist presses, in the same order."""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FRAMES = 49
FPS = 12
WIDTH = 1024
PROJECTION_WIDTH = 2048
MOMENTS = [1 + round(index * (FRAMES - 1) / 4) for index in range(5)]
"""Frames that contact sheets show."""
CONFIDENCE = 0.3
"""Below the default: a plain road that the captures cannot be sure of looks better there than not."""

LEVELLING = {"street-2.jpg": (32.2, -3.5, -0.5), "street-3.jpg": (30.3, 0.9, 0.9)}
"""True heading, pitch and roll of the image centres, degrees.

The camera writes zeros into GPano, and its GPS direction follows the walk, off by up to 40 degrees. These make the
road's markings meet where both captures see them, as an artist levels captures by eye; the sun, at azimuth 118.7
degrees by almanac, confirms the headings.
"""

START, END = "street-2", "street-3"
"""The captures that the camera flies between."""

STATION = (45.0, 225.0)
"""Directions of the station's walls, degrees: they reach higher than the trees on the other side of the street."""

STATION_HEIGHT, TREE_HEIGHT = 16.0, 6.5
"""Heights of the walls, metres; what stays above them is at infinity."""


class Stopwatch:
    """Seconds of each stage, in order."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, float]] = []

    def run(self, name: str, stage: Callable[[], Any]) -> Any:
        print(f"[demo] {name} ...", flush=True)
        started = time.monotonic()
        result = stage()
        self.stages.append((name, time.monotonic() - started))
        print(f"[demo] {name}: {self.stages[-1][1]:.1f} s", flush=True)
        return result


def main() -> int:
    arguments = _arguments()
    resources = tempfile.mkdtemp(prefix="pantheon360-demo-")
    os.environ["BLENDER_USER_RESOURCES"] = resources
    try:
        if arguments.backend_python:
            os.environ["PANTHEON360_BACKEND_PYTHON"] = str(arguments.backend_python)
        return _shoot(arguments)
    finally:
        shutil.rmtree(resources, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--source", default="")
    parser.add_argument("--backend-python", type=Path, help="reconstruct the cache with it instead of a proxy")
    parser.add_argument("--diffusion", action="store_true", help="paint the path by diffusion, too, beside the draft")
    parser.add_argument("photographs", nargs="*", type=Path)
    return parser.parse_args()


def _shoot(arguments: argparse.Namespace) -> int:
    out = arguments.out.resolve()
    watch = Stopwatch()
    extension = watch.run("Start Blender, enable the extension", enable_extension)
    bpy = blender()
    print(f"[demo] Blender {bpy.app.version_string}")
    scene = watch.run("New scene", lambda: new_scene(out))
    pictures = arguments.photographs or blender_panoramas()
    watch.run(f"Import {len(pictures)} captures", lambda: import_captures(pictures))
    if not (arguments.backend_python and watch.run("Build the 3D cache", build_cache)):
        watch.run("Level the captures", level)
        watch.run("Make and shape the proxy", make_proxy)
        watch.run("Project captures onto geometry", lambda: bpy.ops.pantheon360.project_captures())
    watch.run("Keyframe the camera", lambda: animate_camera(scene))
    scene.pantheon360.strip_source = "FRAMES"
    watch.run(f"Geometry pass, painting, strip ({FRAMES} frames)", lambda: bpy.ops.pantheon360.generate())
    folder = newest_job(out / "jobs")
    video = watch.run("Encode and tag the MP4", lambda: encode(extension, folder, out / "fly-through.mp4"))
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "street.blend"))
    watch.run("Contact sheet", lambda: contact_sheet(folder, out / "contact-sheet.png"))
    if arguments.diffusion:
        painted = watch.run(f"Painting by diffusion ({FRAMES} frames)", lambda: paint_by_diffusion(scene, out))
        watch.run("Encode its MP4", lambda: encode(extension, painted, out / "diffusion.mp4"))
        bpy.ops.wm.save_as_mainfile(filepath=str(out / "street.blend"))
        watch.run("Its contact sheet", lambda: diffusion_sheet(painted, folder, out / "diffusion.png"))
    write_summary(out, watch, scene, folder, video, arguments.source)
    return 0


def blender() -> Any:
    """Blender as a module, imported late: where its preferences lie must be set before."""
    return importlib.import_module("bpy")


def enable_extension() -> Any:
    """Enable the repository as the extension it is, from a development repository of Blender's."""
    bpy = blender()
    addon_utils = importlib.import_module("addon_utils")  # on the path only once bpy is imported

    repository = Path(os.environ["BLENDER_USER_RESOURCES"]) / "repository"
    repository.mkdir(parents=True)
    (repository / "pantheon360").symlink_to(ROOT, target_is_directory=True)
    bpy.context.preferences.extensions.repos.new(name="Dev", module="dev", custom_directory=str(repository))
    module = addon_utils.enable("bl_ext.dev.pantheon360", default_set=True)
    if module is None:
        sys.exit("[demo] the extension cannot be enabled; its traceback is above")
    return module


def new_scene(out: Path) -> Any:
    """An empty scene with a camera, saved so that everything else can be relative to it."""
    bpy = blender()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    scene = bpy.context.scene
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    camera.data.type = "PANO"
    camera.data.panorama_type = "EQUIRECTANGULAR"
    scene.frame_start, scene.frame_end = 1, FRAMES
    scene.render.fps = FPS
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, WIDTH // 2
    scene.render.resolution_percentage = 100
    scene.pantheon360.width = WIDTH
    scene.pantheon360.projection_width = PROJECTION_WIDTH
    scene.pantheon360.reconstruction_confidence = CONFIDENCE
    scene.pantheon360.jobs_folder = "//jobs"
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "street.blend"))
    return scene


def blender_panoramas() -> list[Path]:
    """Two of the CC0 panoramas that come with Blender, for when the street cannot be fetched."""
    bpy = blender()
    folder = Path(bpy.utils.system_resource("DATAFILES", path="studiolights/world"))
    return [folder / "city.exr", folder / "courtyard.exr"]


def import_captures(pictures: list[Path]) -> None:
    """Import, and ignore the photographer."""
    bpy = blender()
    folder = str(pictures[0].parent)
    bpy.ops.pantheon360.import_captures(directory=folder, files=[{"name": picture.name} for picture in pictures])
    for index, capture in enumerate(captures()):
        if Path(capture.pantheon360.source_path).name.startswith("street"):
            capture.pantheon360.nadir = 0.25
        else:
            capture.location.y += 3.0 * index


def build_cache() -> bool:
    """Poses and points from the captures themselves; says why and returns False where that is not possible."""
    bpy = blender()
    try:
        bpy.ops.pantheon360.build_cache()
    except RuntimeError as error:
        print(f"[demo] {error}\n[demo] going on with a proxy")
        return False
    print(bpy.context.scene.pantheon360.cache["pantheon360_report"])
    return True


def level() -> None:
    """Level each capture whose true heading is known, and go without the others of the street."""
    for capture in captures():
        name = Path(capture.pantheon360.source_path).name
        if name.startswith("street") and name not in LEVELLING:
            blender().data.objects.remove(capture)
        elif name in LEVELLING:
            true_heading, pitch, roll = map(math.radians, LEVELLING[name])
            capture.pantheon360.yaw = true_heading - heading(capture)
            capture.pantheon360.pitch, capture.pantheon360.roll = pitch, roll


def captures() -> list[Any]:
    bpy = blender()
    found = [thing for thing in bpy.context.scene.objects if thing.pantheon360.is_capture]
    return sorted(found, key=lambda thing: thing.name)


def heading(capture: Any) -> float:
    """Compass heading of a level capture's image centre, radians clockwise from +Y."""
    backward = capture.matrix_world.col[2]
    return math.atan2(-backward.x, -backward.y)


def make_proxy() -> None:
    """The starter proxy, its walls as high as what stands there."""
    bpy = blender()
    bpy.ops.pantheon360.make_proxy()
    for wall in bpy.data.objects:
        if wall.pantheon360.is_geometry and wall.dimensions.z > 0:
            height = STATION_HEIGHT if STATION[0] < compass(wall) < STATION[1] else TREE_HEIGHT
            wall.scale.z *= height / wall.dimensions.z
            wall.location.z = height / 2


def compass(thing: Any) -> float:
    """Direction from the first capture to an object's origin, degrees clockwise from +Y, 0 to 360."""
    offset = thing.location - captures()[0].location
    return math.degrees(math.atan2(offset.x, offset.y)) % 360.0


def animate_camera(scene: Any) -> None:
    """Fly from the first capture to the second and look 50 degrees to the right and back on the way."""
    bpy = blender()
    named = {thing.name: thing for thing in captures()}
    first, second = (named[START], named[END]) if START in named and END in named else captures()[:2]
    scene.pantheon360.start_capture, scene.pantheon360.end_capture = first, second
    scene.pantheon360.match_orientation = True
    bpy.ops.pantheon360.set_path_ends()
    camera = scene.camera
    middle = (scene.frame_start + scene.frame_end) // 2
    scene.frame_set(middle)
    camera.rotation_euler.z -= math.radians(50.0)
    camera.keyframe_insert("rotation_euler", frame=middle)
    scene.frame_set(scene.frame_start)


def paint_by_diffusion(scene: Any, out: Path) -> Path:
    """The same path painted by the model that comes with the extension, as a second strip; returns the job's folder."""
    scene.pantheon360.painter = "DIFFUSION"
    blender().ops.pantheon360.generate()
    return newest_job(out / "jobs")


def diffusion_sheet(folder: Path, draft: Path, target: Path) -> None:
    """The draft beside what the model painted, at moments of the path. The model paints at its own size."""
    model = json.loads((folder / "painting.json").read_text("utf-8"))["model"]["label"]
    rows = []
    for moment in MOMENTS:
        name = f"{moment:06d}.png"
        drawn = (f"draft, frame {moment}", draft / "frames" / name)
        rows.append([drawn, (f"{model}, frame {moment}", folder / "frames" / name)])
    sheet_of(rows, target)


def newest_job(jobs: Path) -> Path:
    return max((path.parent for path in jobs.glob("*/job.json")), key=lambda folder: folder.stat().st_mtime)


def encode(extension: Any, folder: Path, target: Path) -> Path:
    """The MP4 by Blender's encoder, tagged; the same code the VIDEO strip source uses."""
    house = f"{extension.__name__}.pantheon360_blender"
    video = importlib.import_module(f"{house}.scene.shot.video")
    jobs = importlib.import_module(f"{house}.scene.app.jobs")
    job_folder = importlib.import_module(f"{house}.core.jobs.job_folder")
    jobs.run_blocking(video.encode(job_folder.JobFolder.open(folder), target))
    return target


def contact_sheet(folder: Path, target: Path) -> None:
    """Captures on top; below, geometry pass and painted frame side by side at five moments of the path."""
    used = [picture for picture in sorted(folder.glob("captures/*.png")) if not picture.stem.endswith(".mask")]
    used = [picture for picture in used if picture.stem in (START, END)] or used
    rows = [[(f"capture {picture.stem}", picture) for picture in used]]
    for moment in MOMENTS:
        name = f"{moment:06d}.png"
        painted = folder / "frames" / name
        rows.append(
            [(f"geometry pass, frame {moment}", folder / "geometry" / name), (f"painted, frame {moment}", painted)]
        )
    sheet_of(rows, target)


def sheet_of(rows: list[list[tuple[str, Path]]], target: Path) -> None:
    """Rows of two pictures, each under its text."""
    from PIL import Image, ImageDraw

    cell, gap, line = (640, 320), 8, 20
    sheet = Image.new("RGB", (2 * cell[0] + 3 * gap, len(rows) * (cell[1] + line + gap) + gap), "#202020")
    draw = ImageDraw.Draw(sheet)
    for row, cells in enumerate(rows):
        for column, (label, path) in enumerate(cells[:2]):
            x, y = gap + column * (cell[0] + gap), gap + row * (cell[1] + line + gap)
            draw.text((x, y + 2), label, fill="#e0e0e0")
            with Image.open(path) as picture:
                sheet.paste(picture.convert("RGB").resize(cell, Image.Resampling.LANCZOS), (x, y + line))
    sheet.save(target)


def coverage(folder: Path) -> list[float]:
    """Percent of the sphere that the cache's points cover at each frame, as large as they are."""
    import numpy as np
    from PIL import Image

    shares = []
    for path in sorted(folder.glob("footprint/*.png")):
        with Image.open(path) as picture:
            covered = np.asarray(picture)[..., 3] > 0
        rows = np.cos((np.arange(len(covered)) + 0.5) / len(covered) * np.pi - np.pi / 2)
        shares.append(100 * float(covered.mean(axis=1) @ rows / rows.sum()))
    return shares


def write_summary(out: Path, watch: Stopwatch, scene: Any, folder: Path, video: Path, source: str) -> None:
    """`summary.txt` for people and `summary.json` for programs."""
    bpy = blender()
    points = len(scene.pantheon360.cache.data.vertices)
    total = sum(seconds for _, seconds in watch.stages)
    found = scene.pantheon360.cache.get("pantheon360_report", "Captures projected onto a proxy.")
    covered = coverage(folder)
    average = sum(covered) / len(covered)
    lines = [f"Pantheon360 demo, Blender {bpy.app.version_string}", f"Photographs: {source}", ""]
    lines += [f"{name:48} {seconds:7.1f} s" for name, seconds in watch.stages]
    lines += [f"{'Total':48} {total:7.1f} s", "", f"Cache: {points:,} points", *found.splitlines(), ""]
    lines += [f"Coverage along the path: {average:.0f} % of the sphere on average, {min(covered):.0f} % at the least"]
    lines += [f"Video: {video.name}, {FRAMES} frames"]
    lines += [f"Job folder: {folder.relative_to(out)}", "Painter: draft (no model)"]
    (out / "summary.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    record = {"blender": bpy.app.version_string, "source": source, "points": points, "frames": FRAMES}
    record["cache"] = found
    record["coverage_percent"] = {"average": round(average, 2), "least": round(min(covered), 2)}
    record["seconds"] = {name: round(seconds, 2) for name, seconds in watch.stages}
    (out / "summary.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
