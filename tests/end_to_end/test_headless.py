"""A technical director's day without the interface: verbs in processes of their own, the engine as a farm runs it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("bpy", reason="needs Blender as a Python module")

ROOT = Path(__file__).resolve().parents[2]
House = Callable[[str], ModuleType]
Command = Callable[..., subprocess.CompletedProcess[str]]

VERBS = ("import", "project", "geometry", "generate", "extend", "run", "tag", "doctor")

BLENDER = """
import sys, warnings
import bpy, addon_utils

warnings.filterwarnings("default", category=DeprecationWarning, module="bl_ext")
bpy.context.preferences.extensions.repos.new(name="Dev", module="dev", custom_directory=sys.argv[1])
extension = addon_utils.enable("bl_ext.dev.pantheon360", default_set=True)
assert extension is not None
"""
"""What `blender` does before it comes to `--command` or to a script of its user."""

COMMAND = """
import importlib
sys.exit(importlib.import_module(extension.__name__ + ".cli.command_line").main(sys.argv[2:]))
"""

PATH_ENDS = """
bpy.ops.wm.open_mainfile(filepath=sys.argv[2])
bpy.context.scene.frame_end = 4
bpy.ops.pantheon360.set_path_ends()
bpy.ops.wm.save_mainfile()
"""

RENDER_ANIMATION = """
bpy.ops.wm.open_mainfile(filepath=sys.argv[2])
scene = bpy.context.scene
scene.render.engine = "PANTHEON360"
scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 256, 128, 100
scene.view_settings.view_transform = "Standard"
scene.render.dither_intensity = 0.0
settings = scene.render.image_settings
if hasattr(settings, "media_type"):
    settings.media_type = "IMAGE"
settings.file_format, settings.color_mode = "PNG", "RGB"
scene.render.filepath = sys.argv[3]
print(bpy.ops.render.render(animation=True))
"""


@pytest.fixture
def blender(tmp_path: Path) -> Command:
    """blender(code, arguments): a process with the extension enabled that runs the code."""
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "pantheon360").symlink_to(ROOT, target_is_directory=True)
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "resources")}

    def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-B", "-X", "utf8", "-c", BLENDER + code, str(repository), *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=300)
        assert "DeprecationWarning" not in done.stderr
        return done

    return run


@pytest.fixture
def command(blender: Command) -> Command:
    """command("import", file, ...): `blender --command pantheon360 import file ...`."""
    return lambda *arguments: blender(COMMAND, *arguments)


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    from PIL import Image

    paths = []
    for seed, name in enumerate(("a.png", "b.jpg")):
        paths.append(tmp_path / name)
        small = np.random.default_rng(seed).integers(0, 256, (8, 16, 3), dtype=np.uint8)
        Image.fromarray(small).resize((256, 128), Image.Resampling.BICUBIC).save(paths[-1], quality=95)
    return paths


def told(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The JSON lines on stdout, all of it; the last says done. Nothing went wrong."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["kind"] == "done"
    assert all(line["kind"] in ("progress", "warning", "preview", "started") for line in lines[:-1])
    return lines


def test_a_directors_day(
    command: Command, blender: Command, run_backend: Command, photographs: Any, tmp_path: Path
) -> None:
    """import, project, geometry, run on another machine, generate: each a process, each answering in JSON."""
    file = tmp_path / "show" / "street.blend"
    imported = told(command("import", file, *photographs, "--proxy", "--json"))
    assert imported[-1]["captures"] == ["a", "b"] and imported[-1]["blend"] == str(file)
    assert any(line["kind"] == "warning" and "a.png" in line["text"] for line in imported), "nobody said where they are"

    projected = told(command("project", file, "--width", 256, "--json"))
    assert projected[-1]["points"] > 10_000
    steps = [line for line in projected if line["kind"] == "progress" and line["of"]]
    assert {"Reading captures", "Projecting captures"} <= {line["phase"] for line in steps}
    assert all(0 <= line["step"] <= line["of"] for line in steps)

    done = blender(PATH_ENDS, file)
    assert done.returncode == 0, done.stderr
    untouched = file.read_bytes()
    prepared = told(command("geometry", file, "--width", 256, "--output", tmp_path / "farm", "--json"))[-1]
    assert prepared["frames"] == 4 and file.read_bytes() == untouched
    folder = Path(prepared["folder"])
    moved = folder.rename(tmp_path / "Ünïcode 空 dir")

    painted = run_backend("run", moved, "--json")
    assert painted.returncode == 0, painted.stderr
    lines = [json.loads(line) for line in painted.stdout.splitlines()]
    assert (lines[0]["kind"], lines[-1]["kind"], lines[-1]["frames"]) == ("started", "done", 4)
    again = told(command("run", moved, "--json"))
    assert again[-1]["frames"] == 4

    made = told(command("generate", file, "--width", 256, "--strip", "FRAMES", "--json"))[-1]
    assert made["frames"] == 4 and made["blend"] == str(file)
    assert file.read_bytes() != untouched
    for name in sorted(path.name for path in (moved / "frames").iterdir()):
        assert (Path(made["folder"]) / "frames" / name).read_bytes() == (moved / "frames" / name).read_bytes()

    import bpy

    bpy.ops.wm.open_mainfile(filepath=str(file))
    (results,) = [scene for scene in bpy.data.scenes if scene.get("pantheon360_results")]
    assert [strip.name for strip in results.sequence_editor.strips] == [made["strip"]]

    rendered = blender(RENDER_ANIMATION, file, tmp_path / "renders" / "frame_####.png")
    assert rendered.returncode == 0 and "{'FINISHED'}" in rendered.stdout, rendered.stdout + rendered.stderr
    for frame in range(1, 5):
        mine, backends = tmp_path / f"renders/frame_{frame:04d}.png", moved / f"frames/{frame:06d}.png"
        np.testing.assert_array_equal(picture_of(mine), picture_of(backends))


def test_a_failure_is_one_line_and_exit_code_1(command: Command, tmp_path: Path) -> None:
    done = command("geometry", tmp_path / "none.blend", "--json")
    (line,) = done.stdout.splitlines()
    error = json.loads(line)
    assert (done.returncode, error["kind"]) == (1, "error")
    assert "none.blend does not exist" in error["text"] and error["advice"]
    assert "Traceback" not in done.stderr


def test_wrong_usage_is_exit_code_2(command: Command) -> None:
    done = command("paint")
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: blender --command pantheon360" in done.stderr


OPTIONS = {
    "import": ("FILE.blend", "PATH", "--depth", "--up", "--merge", "--proxy", "--save-as", "--scene", "--json"),
    "extend": ("FILE.blend", "FOLDER", "--output", "--save-as", "--json"),
    "reconstruct": ("FILE.blend", "--poses", "--dense", "--guess-by", "--ways", "--save-as", "--json"),
    "project": ("FILE.blend", "--width", "--proxy", "--save-as", "--scene", "--json"),
    "geometry": ("FILE.blend", "--output", "--frames", "--width", "--scene", "--json"),
    "generate": ("FILE.blend", "--output", "--frames", "--width", "--seed", "--painter", "--strip", "--no-save"),
    "run": ("FOLDER", "--json"),
    "tag": ("VIDEO.mp4", "--check", "--output", "--stereo"),
    "doctor": ("--json",),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_helps(house: House, capfd: pytest.CaptureFixture[str], verb: str) -> None:
    capfd.readouterr()
    assert house("cli.command_line").main([verb, "--help"]) == 0
    out = capfd.readouterr().out
    assert f"usage: blender --command pantheon360 {verb}" in out
    for option in OPTIONS[verb]:
        assert option in out


def test_a_saved_file_on_a_read_only_disk_keeps_its_frames(
    house: House, street: Any, small_disk: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The job is done, the .blend cannot be saved: said, with what to do, and the frames are there."""
    import bpy

    disk = tmp_path / "disk"
    with small_disk(disk, "16m"):
        bpy.ops.wm.save_as_mainfile(filepath=str(disk / "street.blend"))
        before = (disk / "street.blend").read_bytes()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        capfd.readouterr()
        arguments = ["generate", str(disk / "street.blend"), "--frames", "1-2", "--output", str(tmp_path / "out")]
        assert house("cli.command_line").main(arguments) == 1
        err = capfd.readouterr().err
        assert str(disk / "street.blend") in err and "cannot be saved" in err and "--save-as" in err
        assert "Traceback" not in err
        assert (disk / "street.blend").read_bytes() == before
        assert len(list((tmp_path / "out").glob("*/frames/*.png"))) == 2
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)


@pytest.fixture
def engine(street: Any, house: House) -> Iterator[Any]:
    """The street with the engine set up by its operator, at the shot's size."""
    import bpy

    assert bpy.ops.pantheon360.render_geometry(use_engine=True) == {"FINISHED"}
    assert street.render.engine == "PANTHEON360"
    street.view_settings.view_transform = "Standard"
    street.render.dither_intensity = 0.0
    yield street


def test_an_animation_has_a_frame_for_every_place_of_the_camera(engine: Any, tmp_path: Path) -> None:
    """Ctrl F12: frames of the range, none like the one before, each stamped with where the camera stood."""
    import bpy
    from PIL import Image

    settings = engine.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_mode = "PNG", "RGB"
    engine.frame_start, engine.frame_end, engine.frame_step = 1, 5, 2
    engine.render.filepath = str(tmp_path / "out" / "f_")
    assert bpy.ops.render.render(animation=True) == {"FINISHED"}
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["f_0001.png", "f_0003.png", "f_0005.png"]
    pictures = [picture_of(file) for file in files]
    assert all(picture.shape == (128, 256, 3) for picture in pictures)
    assert all((one != other).mean() > 0.1 for one, other in itertools.pairwise(pictures))
    for file, frame in zip(files, (1, 3, 5), strict=True):
        pose = np.array(json.loads(Image.open(file).info["Pantheon360CameraToWorld"]))
        engine.frame_set(frame)
        np.testing.assert_allclose(pose, np.array(engine.camera.matrix_world), atol=1e-6)


def test_the_engines_geometry_and_depth_are_the_jobs(engine: Any, tmp_path: Path) -> None:
    """Every pass of the EXR a farm writes beside the job folder's files of the same frames."""
    import bpy

    bpy.utils.expose_bundled_modules()
    oiio = pytest.importorskip("OpenImageIO", reason="comes with upstream's builds of Blender")
    (job,) = (Path(bpy.data.filepath).parent / "pantheon360_jobs").iterdir()
    settings = engine.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format, settings.color_depth = "OPEN_EXR_MULTILAYER", "32"
    for frame in (1, 4, 6):
        engine.frame_set(frame)
        engine.render.filepath = str(tmp_path / f"{frame}.exr")
        assert bpy.ops.render.render(write_still=True) == {"FINISHED"}
        channels = layers(oiio, tmp_path / f"{frame}.exr")
        geometry = picture_of(job / "geometry" / f"{frame:06d}.png")
        known = np.load(job / "geometry" / f"{frame:06d}.npz")
        np.testing.assert_array_equal(channels["Depth.Z"], known["depth"])
        np.testing.assert_allclose(channels["Confidence.X"], known["confidence"] / 255, atol=0.5 / 255 + 1e-6)
        np.testing.assert_array_equal(channels["Coverage.X"] == 1, geometry[..., 3] == 255)
        np.testing.assert_array_equal(channels["Geometry.A"] == 1, geometry[..., 3] == 255)
        colour = np.stack([channels[f"Geometry.{letter}"] for letter in "RGB"], axis=-1)
        np.testing.assert_array_equal(encoded(colour), geometry[..., :3])


def layers(oiio: Any, path: Path) -> dict[str, np.ndarray]:
    """Channels of all parts of an EXR, without the name of the view layer."""
    file = oiio.ImageInput.open(str(path))
    found: dict[str, np.ndarray] = {}
    while True:
        pixels = file.read_image("float")
        for index, name in enumerate(file.spec().channelnames):
            found[name.split(".", 1)[1]] = pixels[..., index]
        if not file.seek_subimage(file.current_subimage() + 1, 0):
            return found


def encoded(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, written out here so that nothing of the project is its own witness."""
    curve = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.clip(linear, 0, None) ** (1 / 2.4) - 0.055)
    return np.rint(np.clip(curve, 0, 1) * 255).astype(np.uint8)


def picture_of(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path))
