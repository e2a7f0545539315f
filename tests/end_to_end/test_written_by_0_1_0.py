"""What version 0.1.0 wrote keeps working: its .blend is read back whole, its job folders go on where they stopped.

The files lie in tests/data/written_by_0_1_0 and are never made anew; its README says how they came to be.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

pytest.importorskip("bpy", reason="needs Blender as a Python module")

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = ROOT / "tests" / "data" / "written_by_0_1_0"
DRAFT, HALF_DRAFT = "shot-Scene-Camera-finished", "shot-Scene-Camera-halfdone"
HALF_DIFFUSION, HALF_RECONSTRUCTION = "shot-Scene-Camera-clip1of3", "shot-Scene-Camera-cache-halfdone"
FRAMES = [1, 3, 5, 7, 9]
POINTS, RECONSTRUCTED = 1422, 189

RunBackend = Callable[..., "subprocess.CompletedProcess[str]"]

SCENE = {
    "eye_height": 1.5,
    "wall_distance": 5.5,
    "projection_width": 48,
    "nearest_capture_only": False,
    "reconstruction_poses": "GIVEN",
    "reconstruction_dense": "PI3X",
    "reconstruction_weights": "//weights",
    "reconstruction_width": 64,
    "reconstruction_confidence": 0.03125,
    "reconstruction_cache": "MERGE",
    "match_orientation": True,
    "width": 64,
    "near": 0.125,
    "frame_step": 2,
    "painter": "DIFFUSION",
    "seed": "18446744073709551615",
    "jobs_folder": "//jobs",
    "strip_source": "VIDEO",
}
DIFFUSION = {
    "model": "tiny",
    "steps": 2,
    "guidance": 2.5,
    "anchors": "SINGLE_FUSION",
    "weighting": "LINEAR",
    "roll": "RANDOM",
    "circular": False,
    "padding": 3,
    "scheduler": "EULER_ALIGNED",
    "guidance_start": 1.5,
    "fps": 6.0,
    "motion_bucket": 100,
    "noise_aug": 0.05,
    "every": 2,
    "clip": 3,
    "overlap": 2,
    "device": "CPU",
    "precision": "FLOAT32",
    "memory": "SINGLE",
    "compile": True,
    "save_seen": True,
}
CAPTURES = {
    "near": {
        "nadir": 0.25,
        "yaw": 0.25,
        "pitch": -0.125,
        "roll": 0.0625,
        "show_preview": False,
        "source_path": "//near.png",
        "has_position": True,
        "latitude": "48.137154",
        "longitude": "11.576124",
        "altitude": "519.5",
    },
    "far": {
        "nadir": 0.0,
        "yaw": -0.5,
        "pitch": 0.0,
        "roll": 0.0,
        "show_preview": True,
        "source_path": "//far.png",
        "has_position": True,
        "latitude": "48.137172",
        "longitude": "11.576131",
        "altitude": "",
    },
}
ATTRIBUTES = {
    "colour": "FLOAT_COLOR",
    "colour_gain": "FLOAT_VECTOR",
    "confidence": "FLOAT",
    "source": "INT",
    "footprint": "FLOAT",
}
WEIGHTS = {
    "image_encoder/model.safetensors": "244f8aecfd339f245086ae248dceee31c01361f9bffa99aab0e8e1a217439f96",
    "unet/diffusion_pytorch_model.safetensors": "e407160ff94833b5d110d11bb2280802421e65bfb4cc4c001642e7026b4f9c5b",
    "vae/diffusion_pytorch_model.safetensors": "eeaa781765bf4f516548769be3436521c7f239f83abe580f0c9cd9601cf7d3b5",
}
"""SHA-256 of the tiny model that 0.1.0 painted with."""


# Doors


def stop_backend(house: Callable[[str], ModuleType]) -> None:
    """End Blender's child, as leaving Blender does: the one thing here that no operator does."""
    house("scene.app.backend_process").stop_shared()


@pytest.fixture
def shot(
    extension: ModuleType, house: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The file of 0.1.0 opened from a copy of its folder; its scene."""
    import bpy

    monkeypatch.setenv("PANTHEON360_MODELS", str(tmp_path / "models"))
    folder = Path(shutil.copytree(WRITTEN, tmp_path / "written"))
    bpy.ops.wm.open_mainfile(filepath=str(folder / "shot.blend"))
    yield bpy.data.scenes["Scene"]
    stop_backend(house)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str], Path]:
    """job(name): a copy of a job folder, with the times of its files."""
    return lambda name: Path(shutil.copytree(WRITTEN / "jobs" / name, tmp_path / "moved" / name))


def path_of(text: str) -> Path:
    """The path that Blender's `//` text stands for."""
    import bpy

    return Path(os.path.normpath(bpy.path.abspath(text)))


def cache_of(scene: Any) -> Any:
    cache = scene.pantheon360.cache
    assert cache is not None and cache.name == "3D Cache" and cache.pantheon360.is_cache
    return cache


def strips_of(results: Any) -> list[Any]:
    editor = results.sequence_editor
    return list(editor.strips if hasattr(editor, "strips") else editor.sequences)


def record(folder: Path) -> dict[str, Any]:
    """A job's description."""
    loaded: dict[str, Any] = json.loads((folder / "job.json").read_text("utf-8"))
    return loaded


def picture(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as opened:
        return np.asarray(opened)


def files(folder: Path, *patterns: str) -> dict[str, tuple[int, bytes]]:
    """Files by their relative paths, with when they were last written and their bytes."""
    found = sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def done(told: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The last of the JSON lines of a backend that succeeded."""
    assert told.returncode == 0, told.stdout + told.stderr
    last: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    assert last["kind"] == "done"
    return last


# The .blend


def test_every_setting_of_the_scene_is_read_back(shot: Any) -> None:
    settings = shot.pantheon360
    assert {name: getattr(settings, name) for name in SCENE} == SCENE
    painting = settings.diffusion
    found = {name: getattr(painting, name) for name in DIFFUSION}
    assert found == pytest.approx(DIFFUSION)
    assert [(lora.file, lora.strength) for lora in painting.loras] == [("//style.safetensors", 0.75)]
    assert (settings.start_capture.name, settings.end_capture.name) == ("near", "far")


def test_captures_and_geometry_are_read_back(shot: Any) -> None:
    for name, stored in CAPTURES.items():
        capture = shot.objects[name]
        settings = capture.pantheon360
        assert settings.is_capture and not settings.is_cache and not settings.is_geometry
        assert {key: getattr(settings, key) for key in stored} == stored
        assert tuple(settings.image.size) == (64, 32) and path_of(settings.image.filepath).name == f"{name}.png"
        (preview,) = capture.children
        assert preview["pantheon360_preview"] and preview.hide_viewport == (name == "near")
    assert shot.objects["near"].pantheon360.mask is None
    assert tuple(shot.objects["far"].pantheon360.mask.size) == (64, 32)
    marked = {obj.name for obj in shot.objects if obj.pantheon360.is_geometry}
    assert marked == {"Kiosk", "Proxy Ground", *(f"Proxy Wall{end}" for end in ("", ".001", ".002", ".003"))}


def test_the_cache_is_read_back(shot: Any) -> None:
    cache = cache_of(shot)
    mesh = cache.data
    assert len(mesh.vertices) == POINTS and cache.pantheon360.most_shown == 1200
    assert {name: mesh.attributes[name].data_type for name in ATTRIBUTES} == ATTRIBUTES
    sources = np.empty(POINTS, np.int32)
    mesh.attributes["source"].data.foreach_get("value", sources)
    assert np.bincount(sources).tolist() == [775, 647]
    assert cache["pantheon360_captures"] == "far\nnear"
    assert cache["pantheon360_report"].startswith(f"{RECONSTRUCTED} points")
    assert path_of(cache["pantheon360_folder"]).name == HALF_RECONSTRUCTION


def test_the_caches_own_display_still_answers_to_its_setting(shot: Any) -> None:
    """The setting reaches the Mesh to Points nodes that 0.1.0 made: fewer points are shown, then all."""
    import bpy

    cache = cache_of(shot)

    def shown() -> int:
        found = (each.object for each in bpy.context.evaluated_depsgraph_get().object_instances)
        return sum(len(obj.data.points) for obj in found if obj.type == "POINTCLOUD" and obj.original == cache)

    (modifier,) = cache.modifiers
    assert modifier.type == "NODES" and modifier.node_group["pantheon360_cache"]
    assert 900 < shown() <= 1200
    cache.pantheon360.most_shown = 10_000
    assert shown() == POINTS
    cache.pantheon360.most_shown = 400
    assert 200 < shown() <= 400


def test_the_geometry_pass_sees_the_same_captures_path_and_points(shot: Any) -> None:
    """A shot prepared anew is described as 0.1.0 described it, and the camera sees as much."""
    import bpy

    earlier = path_of("//jobs") / DRAFT
    shot.pantheon360.painter = "DRAFT"
    assert bpy.ops.pantheon360.render_geometry() == {"FINISHED"}
    folder = path_of(shot["pantheon360_unfinished"])
    assert folder.parent == path_of("//jobs") and not (WRITTEN / "jobs" / folder.name).exists()
    was, now = record(earlier), record(folder)
    for key in ("name", "kind", "width", "fps", "frames", "anchors", "painter", "settings", "seed"):
        assert now[key] == was[key], key
    np.testing.assert_allclose(now["cameras"], was["cameras"], atol=1e-6)
    for mine, theirs in zip(now["captures"], was["captures"], strict=True):
        assert [mine[key] for key in ("name", "image", "mask")] == [theirs[key] for key in ("name", "image", "mask")]
        np.testing.assert_allclose(mine["pose"], theirs["pose"], atol=1e-6)
        for part in (mine["image"], mine["mask"]):
            np.testing.assert_array_equal(picture(folder / part), picture(earlier / part))
    for frame in FRAMES:
        mine, theirs = (picture(each / "geometry" / f"{frame:06d}.png") for each in (folder, earlier))
        covered, before = mine[..., 3] > 0, theirs[..., 3] > 0
        assert before.sum() > 100 and (covered == before).mean() > 0.98
        both = covered & before
        assert (np.abs(mine[both].astype(int) - theirs[both]) <= 2).mean() > 0.95


def test_its_render_engine_renders_the_points(shot: Any, tmp_path: Path) -> None:
    """F12: the engine is chosen in the file, as its size is."""
    import bpy
    from PIL import Image

    assert shot.render.engine == "PANTHEON360"
    assert (shot.render.resolution_x, shot.render.resolution_y, shot.render.resolution_percentage) == (64, 32, 100)
    settings = shot.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_mode = "PNG", "RGB"
    shot.render.filepath = str(tmp_path / "f12.png")
    assert bpy.ops.render.render(write_still=True) == {"FINISHED"}
    rendered = picture(tmp_path / "f12.png")
    assert rendered.shape == (32, 64, 3) and rendered.std() > 10
    stamp = Image.open(tmp_path / "f12.png").info
    assert stamp["Pantheon360Points"] == str(POINTS)
    camera = record(path_of("//jobs") / DRAFT)["cameras"][FRAMES.index(shot.frame_current)]
    np.testing.assert_allclose(json.loads(stamp["Pantheon360CameraToWorld"]), camera, atol=1e-6)


def test_the_strip_carries_its_record(shot: Any) -> None:
    import bpy

    results = bpy.data.scenes["Pantheon360 Results"]
    assert results["pantheon360_results"]
    (strip,) = strips_of(results)
    folder = path_of(strip["pantheon360_folder"])
    assert folder == path_of("//jobs") / DRAFT
    assert (strip["pantheon360_painter"], strip["spherical"]) == ("draft", "equirectangular")
    assert strip["pantheon360_seed"] == SCENE["seed"] and "pantheon360_licence" not in strip
    told, job = json.loads(strip["pantheon360_job"]), record(folder)
    for key in ("id", "name", "width", "fps", "frames", "painter", "settings", "seed", "anchors", "inputs", "software"):
        assert told[key] == job[key], key
    assert told["software"]["pantheon360"] == "0.1.0"
    assert path_of(strip.directory) == folder / "frames"
    assert all((folder / "frames" / element.filename).is_file() for element in strip.elements)


def test_the_sequencer_tells_what_made_the_strip(shot: Any) -> None:
    import bpy

    (strip,) = strips_of(bpy.data.scenes["Pantheon360 Results"])
    panel = MagicMock()
    context = MagicMock(active_strip=strip, active_sequence_strip=strip, scene=shot)
    bpy.types.PANTHEON360_PT_sequencer.draw(panel, context)
    calls = [call for call in panel.layout.mock_calls if call[0].endswith("label")]
    labels = {call.kwargs["text"] for call in calls}
    assert {"Painter: draft", f"Seed: {SCENE['seed']}", f"Job: //jobs/{DRAFT}"} <= labels


def test_resume_finishes_the_job_that_the_scene_remembers(shot: Any) -> None:
    """Frames that were finished stay, and the strip comes to the one of 0.1.0, into the same results scene."""
    import bpy

    folder = path_of(shot["pantheon360_unfinished"])
    assert folder.name == HALF_DRAFT
    kept = files(folder, "frames/*", "geometry/*", "footprint/*", "captures/*", "job.json")
    assert [name for name in kept if name.startswith("frames/")] == ["frames/000001.png", "frames/000003.png"]
    shot.pantheon360.strip_source = "FRAMES"
    assert bpy.ops.pantheon360.resume() == {"FINISHED"}
    assert {name: files(folder, "**/*")[name] for name in kept} == kept
    assert sorted(path.name for path in (folder / "frames").iterdir()) == [f"{frame:06d}.png" for frame in FRAMES]
    strips = strips_of(bpy.data.scenes["Pantheon360 Results"])
    assert {path_of(strip["pantheon360_folder"]).name for strip in strips} == {DRAFT, HALF_DRAFT}
    assert len({strip.channel for strip in strips}) == 2
    assert "pantheon360_unfinished" not in shot and not bpy.ops.pantheon360.resume.poll()


def test_building_again_takes_over_the_last_reconstructions_stages(shot: Any) -> None:
    """Poses and range maps are the old ones, so that Blender's own Python is enough; the points are merged."""
    import bpy

    last = path_of(shot["pantheon360_reconstruction"])
    assert last.name == HALF_RECONSTRUCTION
    shot.pantheon360.reconstruction_dense, shot.pantheon360.reconstruction_weights = "SWEEP", ""
    shot.pantheon360.reconstruction_complete = False
    assert bpy.ops.pantheon360.build_cache() == {"FINISHED"}
    folder = path_of(shot["pantheon360_reconstruction"])
    assert folder != last and path_of(cache_of(shot)["pantheon360_folder"]) == folder
    for name in ("poses.json", "depth/far.npz", "depth/near.npz"):
        assert (folder / name).read_bytes() == (last / name).read_bytes()
    assert len(cache_of(shot).data.vertices) == POINTS + RECONSTRUCTED


def test_colour_match_and_coverage_check_can_be_taken_back(shot: Any) -> None:
    import bpy

    mesh = cache_of(shot).data
    before = np.empty(4 * POINTS, np.float32)
    mesh.attributes["colour"].data.foreach_get("color", before)
    assert bpy.ops.pantheon360.restore_colours() == {"FINISHED"}
    after = np.empty_like(before)
    mesh.attributes["colour"].data.foreach_get("color", after)
    assert np.abs(after - before).max() > 0.01 and not bpy.ops.pantheon360.restore_colours.poll()

    assert [marker.name for marker in shot.timeline_markers] == ["360° too fast"]
    assert bpy.ops.pantheon360.clear_coverage() == {"FINISHED"}
    assert not shot.timeline_markers and "pantheon360_coverage" not in shot


# Job folders, on a machine without the .blend


def test_a_finished_job_is_not_touched(job: Callable[[str], Path], run_backend: RunBackend) -> None:
    folder = job(DRAFT)
    before = files(folder, "**/*")
    assert done(run_backend("run", folder, "--json"))["frames"] == len(FRAMES)
    assert files(folder, "**/*") == before


def test_a_half_painted_draft_goes_on(job: Callable[[str], Path], run_backend: RunBackend) -> None:
    folder = job(HALF_DRAFT)
    kept = files(folder, "frames/*", "geometry/*", "footprint/*", "captures/*", "job.json")
    assert done(run_backend("run", folder, "--json"))["frames"] == len(FRAMES)
    now = files(folder, "**/*")
    assert {name: now[name] for name in kept} == kept
    images = [picture(folder / "frames" / f"{frame:06d}.png") for frame in FRAMES]
    assert all(image.shape == (32, 64, 3) and image.std() > 10 for image in images)
    assert len({image.tobytes() for image in images}) == len(FRAMES)
    assert json.loads((folder / "state.json").read_text("utf-8"))["finished"] == FRAMES


def test_a_half_finished_reconstruction_goes_on_from_its_stages(
    job: Callable[[str], Path], run_backend: RunBackend
) -> None:
    """Its poses and range maps are used as they are: Blender's own Python could make no range maps."""
    folder = job(HALF_RECONSTRUCTION)
    kept = files(folder, "captures/*", "depth/*", "poses.json", "job.json")
    assert {"poses.json", "depth/far.npz", "depth/near.npz"} <= set(kept) and not (folder / "cache.npz").exists()
    done(run_backend("run", folder, "--json"))
    now = files(folder, "**/*")
    assert {name: now[name] for name in kept} == kept
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["text"].startswith(f"{RECONSTRUCTED} points")
    assert (folder / "cache.npz").stat().st_size > 0


@pytest.fixture
def painting_python() -> Path:
    """A Python with torch."""
    found = ROOT / ".environments" / "backend" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not found.exists():
        pytest.skip("the backend environment has not been made: python scripts/environments.py backend")
    return found


def run_painting(python: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-B", "-m", "backend", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=300)


@pytest.fixture
def tiny_model(painting_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model that 0.1.0 painted with, in the store: its own small files, and its weights made again."""
    store = tmp_path / "models"
    monkeypatch.setenv("PANTHEON360_MODELS", str(store))
    made = run_painting(painting_python, "models", "make-tiny", store / "tiny")
    assert made.returncode == 0, made.stderr
    shutil.copytree(WRITTEN / "models" / "tiny", store / "tiny", dirs_exist_ok=True)
    weights = {name: hashlib.sha256((store / "tiny" / name).read_bytes()).hexdigest() for name in WEIGHTS}
    if weights != WEIGHTS and not random_numbers_are_the_same(painting_python):
        pytest.skip("other libraries or processors draw other random weights than 0.1.0 had")
    assert weights == WEIGHTS, "make-tiny makes another model than 0.1.0 did"
    return store / "tiny"


def random_numbers_are_the_same(python: Path) -> bool:
    """Whether a Python has the libraries, on the processor, that the weights of 0.1.0 were drawn with."""
    software = json.loads((WRITTEN / "jobs" / HALF_DIFFUSION / "painting.json").read_text("utf-8"))["software"]
    drawn = {name: software[name] for name in ("torch", "diffusers", "transformers", "safetensors")}
    code = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    told = subprocess.run([str(python), "-c", code, *drawn], capture_output=True, text=True, check=True).stdout
    return bool(json.loads(told) == drawn and platform.machine() in ("x86_64", "AMD64"))


@pytest.mark.slow
@pytest.mark.ends
def test_a_half_painted_diffusion_job_goes_on_from_its_clip(
    job: Callable[[str], Path], painting_python: Path, tiny_model: Path
) -> None:
    """Its finished frames stay as they are. Clips are painted otherwise since, which is told; the rest is painted."""
    folder = job(HALF_DIFFUSION)
    first = json.loads((folder / "painting.json").read_text("utf-8"))["segments"]["1"]
    kept = files(folder, "frames/*", "geometry/*", "footprint/*", "captures/*", "job.json")
    assert "frames/000001.png" in kept
    assert done(run_painting(painting_python, "run", folder, "--json"))["frames"] == 9
    now = files(folder, "**/*")
    assert {name: now[name] for name in kept} == kept
    painting = json.loads((folder / "painting.json").read_text("utf-8"))
    assert painting["segments"]["1"] != first and any("Clip 1" in text for text in painting["warnings"])
    assert len(list((folder / "segments").iterdir())) >= len(painting["segments"]) > 1
    images = [picture(folder / "frames" / f"{frame:06d}.png") for frame in range(1, 10)]
    assert all(image.shape == (32, 64, 3) and image.std() > 1 for image in images)
    assert len({image.tobytes() for image in images}) == 9
