"""Shots of any length through the diffusion painter: what is kept, gone on with, told, and refused."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")
pytest.importorskip("transformers", reason="the backend environment has transformers")

import safetensors.torch
import torch

from backend import runner
from backend.diffusion.clip import sampling
from backend.diffusion.execution.execution import Execution
from backend.diffusion.execution.memory_plan import LEVELS, Plan
from backend.diffusion.models import model_folder, tiny_model
from backend.diffusion.models.loading import load
from backend.diffusion.networks import autoencoder
from backend.diffusion.shot.trajectory import Trajectory
from pantheon360_blender.core.errors import FileError, JobError, PantheonError
from pantheon360_blender.core.formats import png
from pantheon360_blender.core.jobs import model_card, model_places
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.jobs.paint_settings import PaintOptions
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.progress import Progress, run_to_end
from pantheon360_blender.core.render.draft import DraftPainter

ROOT = Path(__file__).resolve().parents[2]
Shot = Callable[..., PaintFolder]


def frames(folder: PaintFolder) -> list[bytes]:
    return [folder.frame_file(frame).read_bytes() for frame in folder.job.frames]


def copy_of(folder: PaintFolder, place: Path) -> PaintFolder:
    """The job as it was before it was painted."""
    return PaintFolder.open(Path(shutil.copytree(folder.path, place)))


def painted(folder: PaintFolder) -> PaintFolder:
    run_to_end(runner.run(folder.path))
    return folder


def record(folder: PaintFolder) -> Any:
    return json.loads((folder.path / "painting.json").read_text("utf-8"))


# What is painted


def test_the_first_clip_is_the_one_painted_alone(shot: Shot, smaller: Path) -> None:
    """Of a path of three clips the first has the very latents and frames of a clip without the others."""
    folder = shot(9, overlap=1)
    model = model_folder.open(smaller)
    trajectory = Trajectory(folder, 128, clip=4, overlap=1)
    assert [(part.first, part.last) for part in trajectory.segments] == [(0, 3), (3, 6), (6, 8)]
    recipe = PaintOptions.from_json(folder.job.settings["diffusion"]).recipe(model.card, int(folder.job.seed))
    execution = Execution(load(model), Plan(LEVELS["all"]))
    alone = run_to_end(sampling.paint(execution, run_to_end(trajectory.clip(0)), recipe)).images
    painted(folder)
    for index in range(3):  # the fourth belongs to the second clip
        seen = trajectory.views[0].into_camera(alone[index], folder.job.cameras[index], 128)
        assert np.array_equal(png.read(folder.frame_file(index + 1)), seen)
    assert not np.array_equal(png.read(folder.frame_file(5)), png.read(folder.frame_file(1)))


def test_a_clip_goes_on_from_what_was_painted(shot: Shot, smaller: Path) -> None:
    """Where no capture is, a clip knows all frames that the one before painted there, and fades over from them."""
    folder = painted(shot(12, overlap=2, clip=8))
    trajectory = Trajectory(folder, 128, clip=8, overlap=2)
    assert [(part.first, part.last, part.overlap) for part in trajectory.segments] == [(0, 6, 0), (5, 11, 2)]
    execution = Execution(load(model_folder.open(smaller)), Plan(LEVELS["all"]))
    recipe = PaintOptions(steps=2).recipe(execution.model.card, int(folder.job.seed))
    first, second = stored(folder, 0), stored(folder, 1)
    decoded = autoencoder.images_of(run_to_end(execution.decode(first["latents"], recipe.seam)))
    assert np.array_equal(first["handover"], decoded[5:])

    clip = run_to_end(trajectory.clip(1, decoded[5:]))
    assert np.array_equal(clip.start, decoded[5]) and np.array_equal(clip.known[1], decoded[6]) and len(clip.known) == 1
    latents = run_to_end(sampling.paint(execution, clip, recipe)).latents
    shares = torch.tensor([1, 1 / 2]).view(2, 1, 1, 1)
    expected = torch.cat([shares * first["latents"][5:] + (1 - shares) * latents[:2], latents[2:]])
    assert torch.allclose(second["latents"], expected, atol=1e-5)


def stored(folder: PaintFolder, index: int) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder.path / "segments" / f"{index + 1:04d}.safetensors")


def test_where_a_capture_is_a_clip_ends_at_it_and_the_next_begins_there(shot: Shot) -> None:
    folder = shot(7, anchors=(0, 3, 6))
    trajectory = Trajectory(folder, 128, clip=4)
    clips = [run_to_end(trajectory.clip(index)) for index in range(2)]
    assert [len(clip) for clip in clips] == [4, 4] and clips[1].first == 3
    assert clips[0].end is not None and np.array_equal(clips[0].end, clips[1].start)
    painted(folder)
    assert torch.equal(stored(folder, 0)["latents"][-1], stored(folder, 1)["latents"][0]), "the shared frame is one"
    assert [entry["passes"] for entry in record(folder)["segments"].values()] == [2, 2]


@pytest.mark.parametrize("width", [128, 512])
def test_a_model_that_wants_the_draft_sees_what_the_draft_painter_paints(shot: Shot, width: int) -> None:
    """Of points as large as they are, at the shot's size; and where points are is still known."""
    folder = shot(4, width=width, footprint=0.3)
    trajectory = Trajectory(folder, 128, clip=4, filled=True)
    clip = run_to_end(trajectory.clip(0))
    painter = DraftPainter(folder.unread_captures(), width)
    for number in range(4):
        if not clip.is_known(number):
            pose = trajectory.views[0].pose(trajectory.camera(number))
            surfaces = trajectory.views[0].geometry(folder.read_surfaces(number + 1), trajectory.camera(number))
            assert surfaces.coverage.mean() > 1.2 * folder.read_geometry("geometry", number + 1).coverage.mean()
            expected = equirectangular.resize(painter.paint(surfaces, pose), 128)
            np.testing.assert_array_equal(clip.picture(number), expected)
            assert (clip.coverage(number) == clip.geometry[number].coverage).all()
    assert run_to_end(Trajectory(folder, 128, clip=4).clip(0)).filled is None


@pytest.mark.parametrize("filled", [False, True])
def test_masked_pixels_of_an_anchor_show_what_the_model_sees_else(shot: Shot, filled: bool) -> None:
    folder = shot(4, footprint=0.3, masked=0.3)
    trajectory = Trajectory(folder, 128, clip=4, filled=filled)
    clip = run_to_end(trajectory.clip(0))
    camera = trajectory.views[0].pose(trajectory.camera(0))
    points = clip.geometry[0].colour
    surfaces = trajectory.views[0].geometry(folder.read_surfaces(1), trajectory.camera(0))
    behind = DraftPainter(folder.unread_captures(), 128).paint(surfaces, camera) if filled else points
    assert clip.start is not None
    np.testing.assert_array_equal(clip.start[-8:], behind[-8:])
    assert not np.array_equal(clip.start[:8], behind[:8])


def test_as_much_of_the_draft_stays_as_is_said(shot: Shot) -> None:
    """At the shot's own size and in the camera's orientation: all of it is what the draft painter paints."""
    folders = {share: painted(shot(3, width=256, footprint=0.3, draft_share=share)) for share in (0.0, 0.5, 1.0)}
    alone, mixed, draft = (frames(folder) for folder in folders.values())
    folder = folders[1.0]
    painter = DraftPainter(folder.unread_captures(), 256)
    for number in range(3):
        expected = painter.paint(folder.read_surfaces(number + 1), folder.job.camera(number + 1))
        images = [png.read(each.frame_file(number + 1)).astype(int) for each in folders.values()]
        np.testing.assert_array_equal(images[2], expected)
        assert np.abs(images[1] - (images[0] + images[2]) / 2).max() <= 0.5
    assert len({*alone, *mixed, *draft}) == 9
    assert record(folders[0.5])["draft_share"] == 0.5


def test_another_share_of_the_draft_keeps_what_was_painted(shot: Shot, smaller: Path, tmp_path: Path) -> None:
    """The card's own if nobody says; clips stay, frames are written anew."""
    path = Path(shutil.copytree(smaller, tmp_path / "model"))
    folder = painted(shot(3, model=str(path)))
    before, kept = frames(folder), stored(folder, 0)["latents"]
    card = model_card.read(path)
    assert card is not None
    model_card.write(path, replace(card, draft_share=0.25))
    folder.frame_file(3).unlink()
    after = frames(painted(folder))
    assert not {*before} & {*after} and torch.equal(stored(folder, 0)["latents"], kept)
    assert record(folder)["segments"]["1"]["seconds"] >= 0 and record(folder)["draft_share"] == 0.25


def test_frames_of_a_model_shown_points_do_not_count_for_it_shown_the_draft(
    shot: Shot, smaller: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(smaller, tmp_path / "model"))
    folder = painted(shot(3, model=str(path)))
    before = frames(folder)
    card = model_card.read(path)
    assert card is not None and not card.sees_draft
    model_card.write(path, replace(card, geometry="filled"))
    folder.frame_file(3).unlink()
    assert not {*frames(painted(folder))} & {*before}


def test_a_shot_that_names_no_model_is_painted_by_the_extensions_own(
    shot: Shot, smaller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(smaller, tmp_path / "models" / model_places.SHIPPED)
    monkeypatch.setattr(model_places, "_SHIPPED_IN", tmp_path / "models")
    unnamed, named = painted(shot(2, model="")), painted(shot(2, model=str(smaller)))
    for frame in (1, 2):
        np.testing.assert_array_equal(png.read(unnamed.frame_file(frame)), png.read(named.frame_file(frame)))
    assert not list((tmp_path / "models").rglob(model_places.STATE_FILE))


def test_without_a_capture_the_nearest_tells_what_the_place_looks_like(shot: Shot) -> None:
    trajectory = Trajectory(shot(8, anchors=(4,)), 128, clip=8)
    clip = run_to_end(trajectory.clip(0))
    assert clip.start is None and clip.end is not None and clip.clip_image is not None
    assert (clip.clip_image > 0).mean() > 0.9 > 0.5 > (clip.geometry[0].colour > 0).mean()


def test_frames_between_painted_ones_are_warped(shot: Shot) -> None:
    """A camera that turns on the spot: between panoramas of one place the place itself is seen, turned."""
    folder = painted(shot(7, anchors=(0, 6), every=2, distance=0.0))
    assert record(folder)["segments"]["1"]["painted"] == 4
    waves = np.sin(np.linspace(0, 2 * np.pi, 128, endpoint=False)[None, :, None] + np.arange(3))
    place = (127 + 100 * waves * np.sin(np.linspace(0, np.pi, 64))[:, None, None]).astype(np.uint8)

    def seen(index: int) -> np.ndarray:
        return equirectangular.rotate(place, folder.job.cameras[index][:3, :3])

    for index in (0, 2, 4, 6):
        folder.write_frame(index + 1, seen(index))
    for index in (1, 3, 5):
        folder.frame_file(index + 1).unlink()
    painted(folder)
    for index in (1, 3, 5):
        image = png.read(folder.frame_file(index + 1))
        assert difference(image, seen(index)) < 1 < difference(image, seen(index + 1))


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_another_width_is_said_plainly(shot: Shot) -> None:
    """The model paints at its own size; frames have the shot's."""
    large, native = painted(shot(3, width=256)), painted(shot(3))
    assert png.read(large.frame_file(1)).shape == (128, 256, 3)
    assert any("128 x 64" in text and "enlarged to 256 x 128" in text for text in record(large)["warnings"])
    assert not any("enlarged" in text for text in record(native)["warnings"])


def test_a_path_of_one_frame(shot: Shot) -> None:
    assert png.read(painted(shot(1)).frame_file(1)).std() > 1


def test_decoding_happens_once_a_clip(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the next clip begins with a frame of it."""
    decoded: list[int] = []
    decode = autoencoder.decode
    monkeypatch.setattr(
        autoencoder, "decode", lambda vae, latents, *rest, **named: (
            decoded.append(len(latents)) or decode(vae, latents, *rest, **named)
        )
    )  # fmt: skip
    painted(shot(9, overlap=1))
    assert decoded == [4, 4 + 2, 3 + 2], "the decoder sees the last two frames of the clip before"


# What is kept


def test_what_is_finished_is_not_painted_again(shot: Shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost frame is decoded from its clip's latents; a lost clip is painted again alike. Same bytes."""
    folder = painted(shot(7, overlap=1))
    undisturbed = frames(folder)
    asked = []
    denoise = sampling.denoise
    monkeypatch.setattr(sampling, "denoise", lambda *arguments: asked.append(1) or denoise(*arguments))
    folder.frame_file(2).unlink()
    folder.frame_file(6).write_bytes(b"damaged")
    assert frames(painted(folder)) == undisturbed and not asked
    (folder.path / "segments" / "0002.safetensors").write_bytes(b"damaged")
    folder.frame_file(5).unlink()
    assert frames(painted(folder)) == undisturbed and len(asked) == 1


@pytest.mark.parametrize("change", ["geometry", "setting", "model"])
def test_a_job_that_was_sealed_otherwise_ends_as_one_never_painted(
    change: str, shot: Shot, smaller: Path, tmp_path: Path
) -> None:
    """Its clips, its frames and its record are of another job."""
    folder = painted(shot(7, overlap=1))
    fields: dict[str, Any] = {}
    if change == "geometry":
        shutil.copy(folder.geometry_file(2), folder.geometry_file(3))
    else:
        other = tmp_path / "other"
        tiny_model.make(other, seed=8, width=128, height=64, frames=4)
        own = {"model": str(other)} if change == "model" else {"steps": 3}
        fields = {"settings": folder.job.settings | {"diffusion": folder.job.settings["diffusion"] | own}}
    folder = PaintFolder.open(folder.path)
    folder.seal(replace(folder.job, **fields))
    assert not folder.finished_frames()
    fresh = copy_of(folder, tmp_path / "fresh")
    for name in ("frames", "segments"):
        shutil.rmtree(fresh.path / name)
    (fresh.path / "painting.json").unlink()
    assert frames(painted(folder)) == frames(painted(fresh))
    assert record(folder)["model"] == record(fresh)["model"]


def test_frames_of_exchanged_weights_do_not_count_without_a_record(shot: Shot, smaller: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(smaller, tmp_path / "model"))
    folder = painted(shot(3, model=str(model)))
    before = frames(folder)
    shutil.rmtree(model)
    tiny_model.make(model, width=128, height=64, frames=4, seed=8)
    folder.frame_file(3).unlink()
    (folder.path / "painting.json").unlink()
    assert not {*frames(painted(folder))} & {*before}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_at_random_moments_it_ends_as_if_undisturbed(
    shot: Shot, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    folder = shot(7, anchors=(0, 4), overlap=1)
    killed = copy_of(folder, tmp_path / "killed")
    moments = random.Random(3)
    command = [sys.executable, "-B", "-m", "backend", "run", str(killed.path)]
    kills = 0
    for _ in range(3):
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert child.stdout is not None
        while (line := child.stdout.readline()) and not line.startswith(("Denoising", "Decoding", "Writing")):
            pass
        time.sleep(moments.uniform(0, 1) if kills else 0.0)  # the first one hits on the fastest machine, too
        kills += child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    assert kills
    identical = frames(painted(killed)) == frames(painted(folder))
    record_property("resume_identical", identical)
    assert identical


def test_cancelled_within_one_step_and_gone_on_with(shot: Shot, tmp_path: Path) -> None:
    folder = shot(7, overlap=1, steps=3)
    cancelled = copy_of(folder, tmp_path / "cancelled")
    job = runner.run(cancelled.path)
    seen: list[Progress] = []
    for step in job:
        seen.append(step)
        if step.phase.startswith("Denoising, clip 2 of 2") and step.step == 1:
            break
    job.close()
    assert cancelled.state().status == "cancelled" and cancelled.finished_frames() == [1, 2, 3]
    assert frames(painted(cancelled)) == frames(painted(folder))
    assert record(cancelled)["segments"].keys() == {"1", "2"}


def test_progress_names_phase_step_and_clip(shot: Shot) -> None:
    steps = list(runner.run(shot(7, overlap=1).path))
    phases = list(dict.fromkeys(step.phase for step in steps))
    stages = ("Reading the geometry", "Encoding", "Encoding anchors", "Denoising", "Decoding", "Writing frames")
    named = [phase for phase in phases if phase.startswith(stages)]
    assert named == [f"{stage}, clip {clip} of 2" for clip in (1, 2) for stage in stages]
    denoising = [(step.step, step.of) for step in steps if step.phase == "Denoising, clip 2 of 2"]
    assert denoising == [(0, 2), (1, 2), (2, 2)]


def test_previews_change_while_a_clip_is_denoised(shot: Shot) -> None:
    """One after each of few steps, all before the first frame is finished."""
    folder = shot(3, steps=4)
    seen = []
    for step in runner.run(folder.path):
        if isinstance(step, sampling.Step):
            seen.append(folder.preview_file.read_bytes() if folder.preview_file.exists() else b"")
            assert not folder.finished_frames()
    assert len(set(seen)) == 4 and seen[0]
    assert png.read(folder.preview_file).shape[1] >= 128


def test_a_resumed_job_is_painted_by_the_plan_it_was_begun_with(shot: Shot) -> None:
    """Here that of a run that had less memory. It is estimated anew, and told."""
    folder = painted(shot(3))
    entries = record(folder)
    entries["memory"] |= {"level": "single", "decoding": {"frames": 2, "banded": True}}
    (folder.path / "painting.json").write_text(json.dumps(entries), "utf-8")
    folder.frame_file(2).unlink()
    painted(folder)
    assert record(folder)["memory"]["level"] == "single" and record(folder)["memory"]["decoding"]["frames"] == 2
    assert [line for line in folder.log_file.read_text().splitlines() if "memory: single" in line and "GB" in line]
    entries["device"] = "another card"
    (folder.path / "painting.json").write_text(json.dumps(entries), "utf-8")
    folder.frame_file(2).unlink()
    painted(folder)
    assert record(folder)["memory"]["level"] == "all"


@pytest.mark.parametrize("text", ["", "[]", '{"memory": []}', '{"segments": {"1": 3}}', '{"model": "x"}', "{" * 10_000])
def test_a_damaged_record_loses_nothing_else(shot: Shot, text: str) -> None:
    folder = shot(2)
    (folder.path / "painting.json").write_text(text, "utf-8")
    assert record(painted(folder))["model"]["label"] == "Tiny (untrained)"


# What is told


def test_the_record_says_what_painted(shot: Shot) -> None:
    folder = painted(shot(3, guidance=1))
    found = record(folder)
    assert found["model"]["label"] == "Tiny (untrained)" and found["model"]["native"] == [128, 64]
    assert found["recipe"]["guidance"] == [1, 1] and found["recipe"]["seed"] == str(2**64 - 1)
    assert found["memory"]["level"] == "all" and found["memory"]["peak_bytes"] > 1e6
    assert found["memory"]["need_bytes"] > 1e6 and found["precision"] == "float32"
    assert any("untrained" in text.lower() for text in found["warnings"])
    assert found["seconds"] > 0 and found["software"]["torch"] == torch.__version__
    assert any("memory: all" in line for line in folder.log_file.read_text().splitlines())


def test_what_the_model_sees_is_saved_as_videos(shot: Shot) -> None:
    import av

    folder = painted(shot(4, anchors=(0, 3), save_seen=True))
    trajectory = Trajectory(folder, 128, clip=4)
    clip = run_to_end(trajectory.clip(0))
    for name, picture in (("0001.mp4", clip.start), ("0001-2.mp4", clip.end)):
        with av.open(str(folder.path / "seen" / name)) as video:
            shown = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert len(shown) == 4 and shown[0].shape == (64, 128, 3)
        assert picture is not None and difference(shown[0], picture) < 12, "chroma is halved, nothing else is lost"


def test_a_trained_model_of_the_native_size_needs_no_warning(shot: Shot, tmp_path: Path) -> None:
    tiny_model.make(tmp_path / "good", width=128, height=64, frames=4, kind="pantheon360", trained=True, capability="")
    folder = painted(shot(2, model=str(tmp_path / "good")))
    assert record(folder).get("warnings", []) == []


def test_half_precision_on_a_processor_paints_and_warns(shot: Shot) -> None:
    folder, whole = painted(shot(2, precision="bfloat16", steps=1)), painted(shot(2, steps=1))
    assert any("bfloat16 is slow" in text for text in record(folder)["warnings"])
    images = [png.read(each.frame_file(2)) for each in (folder, whole)]
    assert 0 < difference(*images) < 10


def test_where_the_unet_cannot_be_compiled_it_goes_on(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer without a compiler: a warning, and the very frames of an uncompiled run."""
    plain = painted(shot(2, steps=1))

    def broken(network: torch.nn.Module) -> None:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("InvalidCxxCompiler: no compiler was found")

        network._compiled_call_impl = fail

    monkeypatch.setattr(torch.nn.Module, "compile", broken)
    folder = painted(shot(2, steps=1, compile=True))
    assert any("cannot be compiled here" in text for text in record(folder)["warnings"])
    assert frames(folder) == frames(plain)


# What is refused


def test_another_model_does_not_go_on_with_a_job(shot: Shot, smaller: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(smaller, tmp_path / "model"))
    folder = painted(shot(7, overlap=1, model=str(model)))
    shutil.rmtree(model)
    tiny_model.make(model, width=128, height=64, frames=4, seed=8)
    folder.frame_file(7).unlink()
    before = frames_there(folder)
    with pytest.raises(JobError, match="begun with another model") as refused:
        painted(folder)
    assert refused.value.code == "model-changed" and frames_there(folder) == before


@pytest.mark.parametrize("when", ["while it is loaded", "of the geometry"])
def test_what_is_exchanged_after_it_was_looked_at_paints_nothing(
    when: str, shot: Shot, smaller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Path(shutil.copytree(smaller, tmp_path / "model"))
    folder = shot(3, model=str(model))
    other = tiny_model.make(tmp_path / "other", seed=1, width=128, height=64, frames=4)
    assert other.width == model_folder.open(model).card.width
    job = runner.run(folder.path)
    while next(job).phase != "Loading the model":
        pass
    if when == "while it is loaded":
        shutil.rmtree(model / "unet")
        shutil.copytree(tmp_path / "other" / "unet", model / "unet")
        code = "model-changed"
    else:
        shutil.copy(folder.geometry_file(2), folder.geometry_file(3))
        code = "input-changed"
    with pytest.raises(JobError) as refused:
        run_to_end(job)
    assert refused.value.code == code and not folder.finished_frames() and not (folder.path / "segments").exists()


def frames_there(folder: PaintFolder) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder.path / "frames").iterdir())]


@pytest.mark.parametrize(
    ("settings", "code", "text"),
    [
        ({"model": ""}, "no-model", "names no model"),
        ({"model": "nowhere"}, "no-model", "nowhere"),
        ({"stepz": 3}, "job", "stepz"),
        ({"device": "cuda"}, "no-device", "cuda"),
        ({"loras": [{"file": "/nowhere/rain.safetensors", "strength": 1}]}, "file", "rain.safetensors"),
    ],
)
def test_impossible_settings_are_named(shot: Shot, settings: Any, code: str, text: str) -> None:
    if code == "no-device" and torch.cuda.is_available():
        pytest.skip("this computer has the device")
    folder = shot(2, **settings)
    with pytest.raises(PantheonError, match=text) as refused:
        painted(folder)
    assert refused.value.code == code and folder.state().status == "failed"


@pytest.mark.parametrize(
    ("part", "name", "stage"),
    [("unet", "conv_out.weight", "step 1"), ("vae", "decoder.conv_out.weight", "decoding"),
     ("vae", "encoder.conv_out.weight", "step 1")],
)  # fmt: skip
def test_numbers_that_overflow_are_explained(
    part: str, name: str, stage: str, shot: Shot, smaller: Path, tmp_path: Path
) -> None:
    """Weights so large that a network answers infinity: an error, and not a frame of black or noise."""
    model = Path(shutil.copytree(smaller, tmp_path / "model"))
    file = model / part / "diffusion_pytorch_model.safetensors"
    weights = safetensors.torch.load_file(file)
    weights[name] = torch.full_like(weights[name], 3e38)
    safetensors.torch.save_file(weights, file)
    folder = shot(2, model=str(model))
    with pytest.raises(PantheonError, match=f"{stage}.*not finite") as refused:
        painted(folder)
    assert refused.value.code == "not-finite" and not folder.finished_frames()


def test_output_that_cannot_be_written(shot: Shot) -> None:
    folder = shot(2)
    (folder.path / "segments").write_text("in the way")
    with pytest.raises(FileError, match="segments"):
        painted(folder)


def test_a_damaged_model_is_named(shot: Shot, smaller: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(smaller, tmp_path / "model"))
    file = model / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(PantheonError, match=r"vae.*truncated|truncated"):
        painted(shot(2, model=str(model)))
