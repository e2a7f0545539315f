"""Videos as training clips: what is cut is right, what is wrong is dropped with its reason, and all comes back."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")

import torch

from backend.diffusion.models import tiny_model
from backend.evaluation import clips
from backend.evaluation.metrics.known_pixels import known_pixel_correlation
from backend.training import filling
from backend.training.shards import faults, preparation, shard, shards, windows
from backend.training.shards.faults import Limits
from backend.training.shards.preparation import Preparation
from backend.training.shards.windows import WindowSettings
from backend.training.trainer import settings, sources
from backend.training.training_clip import TrainingClip
from pantheon360_blender.core.errors import FileError
from pantheon360_blender.core.output_folder import OutputFolder
from tests import known_room

SETTINGS = WindowSettings(frames=5, width=64, step=4)


def images(pictures: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(pictures.permute(0, 2, 3, 1).numpy())


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A walk, one that turns, one that stands still, one too short, and one whose poses belong to another place."""
    folder = tmp_path_factory.mktemp("videos")
    known_room.write(folder / "walk", known_room.path(9), 128)
    known_room.write(folder / "turn", known_room.path(9, 70.0), 128)
    known_room.write(folder / "still", known_room.path(9)[[4] * 9], 128)
    known_room.write(folder / "short", known_room.path(4), 128)
    known_room.write(folder / "lost", known_room.path(9, 160.0), 128)
    record = (folder / "walk" / "clip.json").read_text("utf-8")
    (folder / "lost" / "clip.json").write_text(record, encoding="utf-8")
    return folder


def clip_of(videos: Path, name: str) -> TrainingClip:
    (file,) = (each for each in clips.find(videos) if each.name == name)
    return windows.cut(file.read(), np.arange(5), SETTINGS, seed=1)


def test_a_turning_video_becomes_a_level_clip_of_the_same_place(videos: Path) -> None:
    """What the level cameras of the clip see is what the room is there; the cache lies on it."""
    clip = clip_of(videos, "turn")
    assert np.ptp(clip.cameras[:, :3, :3], axis=0).max() == 0 and clip.cameras[0, 2, 1] == pytest.approx(1)
    truth = np.stack([known_room.room(pose, 64)[0] for pose in clip.cameras])
    assert np.abs(images(clip.frames).astype(int) - truth).mean() < 12
    covered = clip.coverage.numpy()
    assert known_pixel_correlation(images(clip.geometry), truth, covered) > 0.95
    assert 0.005 < covered.mean() < 1
    ranges = np.stack([known_room.room(pose, 64)[1] for pose in clip.cameras])
    assert np.median(np.abs(clip.depth.numpy()[covered] / ranges[covered] - 1)) < 0.05


def test_clips_keep_the_draft_if_it_is_wanted(videos: Path) -> None:
    """It is nearer to the truth than that of points of a pixel, which a clip without it is filled with."""
    (file,) = (each for each in clips.find(videos) if each.name == "walk")
    clip = windows.cut(file.read(), np.arange(5), replace(SETTINGS, filled=True), seed=1)
    assert clip.filled is not None and clip_of(videos, "walk").filled is None
    points = filling.shown(replace(clip, filled=None), tiny_model.card(geometry="filled"))
    errors = [float((draft.float() - clip.frames.float()).square().mean()) for draft in (clip.filled, points)]
    assert errors[0] < errors[1] < 40**2


def test_windows_keep_the_pace_of_the_model() -> None:
    fast = [numbers.tolist() for numbers in windows.places(40, 14.0, SETTINGS)]
    assert fast[0] == [0, 2, 4, 6, 8] and fast[1] == [8, 10, 12, 14, 16] and fast[-1][-1] < 40
    assert [numbers.tolist() for numbers in windows.places(6, 5.0, SETTINGS)] == [[0, 1, 2, 3, 4]]
    assert not list(windows.places(4, 7.0, SETTINGS))


def test_a_shard_is_what_was_written(videos: Path, tmp_path: Path) -> None:
    clip = clip_of(videos, "walk")
    shard.write(OutputFolder(tmp_path), "clip.safetensors", clip)
    found = shard.read(tmp_path / "clip.safetensors")
    for name in ("frames", "geometry", "start", "end", "coverage"):
        assert torch.equal(getattr(found, name), getattr(clip, name))
    torch.testing.assert_close(found.depth, clip.depth, rtol=1e-3, atol=0)
    assert np.array_equal(found.cameras, clip.cameras) and (found.fps, found.name) == (clip.fps, clip.name)
    shard.write(OutputFolder(tmp_path), "open.safetensors", replace(clip, end=None))
    assert shard.read(tmp_path / "open.safetensors").end is None


def test_a_damaged_shard_is_told_by_its_name(videos: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.safetensors"
    shard.write(OutputFolder(tmp_path), path.name, clip_of(videos, "walk"))
    data = path.read_bytes()
    for damaged in (data[:-100], data[:50], b"", data.replace(b'"schema":"1"', b'"schema":"2"')):
        path.write_bytes(damaged)
        with pytest.raises(FileError, match=r"clip\.safetensors is no training clip"):
            shard.read(path)


def faulty(clip: TrainingClip) -> dict[str, TrainingClip]:
    """Clips that must be dropped, by a word of the reason."""
    jumping, fast = clip.cameras.copy(), clip.cameras.copy()
    jumping[3:, :3, 3] += (0, 5, 0)
    fast[:, :3, 3] *= 100
    cut = clip.frames.clone()
    cut[2:] = 255 - cut[2:]
    narrow = clip.frames.clone()
    narrow[..., :32] = narrow[..., :32] // 4
    narrow[..., 32:] = 128 + narrow[..., 32:] // 2
    nothing = torch.full_like(clip.depth, torch.inf)
    return {
        "nothing": replace(clip, frames=clip.frames // 40),
        "cut": replace(clip, frames=cut),
        "jumps": replace(clip, cameras=jumping),
        "too fast": replace(clip, cameras=fast),
        "stands still": replace(clip, cameras=clip.cameras[[0] * 5]),
        "seam": replace(clip, frames=narrow),
        "never seen": replace(clip, depth=nothing),
        "does not fit": replace(clip, geometry=clip.geometry.roll(20, dims=-1)),
    }


def test_each_fault_is_found_and_named(videos: Path) -> None:
    clip = clip_of(videos, "walk")
    assert faults.first_fault(clip, Limits()) is None
    for word, wrong in faulty(clip).items():
        found = faults.first_fault(wrong, Limits())
        assert found is not None and word in found, (word, found)


def test_what_is_prepared_is_checked_split_and_reported(videos: Path, tmp_path: Path, capsys: Any) -> None:
    request = Preparation(videos, tmp_path / "out", SETTINGS)
    split = preparation.prepare(request)
    kept = sorted(name for names in split.values() for name in names)
    assert kept == [f"{name}-{first:05d}.safetensors" for name in ("turn", "walk") for first in (0, 4)]
    with open(tmp_path / "out" / "dropped.csv", encoding="utf-8") as file:
        reasons = {row["video"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons.keys() == {"still", "short", "lost"}
    assert "stands still" in reasons["still"] and "too short" in reasons["short"] and "fit" in reasons["lost"]
    report = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "5 videos" in report and "| 2 | the camera stands still |" in report
    assert "5 of 5: walk, 2 clips kept, 0 dropped" in capsys.readouterr().out


def test_a_preparation_goes_on_where_it_stopped(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Preparation(videos, tmp_path, SETTINGS)
    split = preparation.prepare(request)
    (tmp_path / "walk-00004.safetensors").unlink()
    cut: list[str] = []
    whole = windows.cut
    monkeypatch.setattr(windows, "cut", lambda video, *others: cut.append(video.name) or whole(video, *others))
    assert preparation.prepare(request) == split and set(cut) == {"walk"}
    preparation.prepare(replace(request, windows=replace(SETTINGS, width=32)))
    assert set(cut) == {"walk", "turn", "still", "lost"}


def test_a_video_stays_in_its_split_when_others_come() -> None:
    request = Preparation(Path(), Path(), validation=0.1, test=0.2)
    names = [f"video-{number}" for number in range(2000)]
    found = [preparation.split_of(name, request) for name in names]
    assert found.count("test") == pytest.approx(400, abs=60) and found.count("validation") == pytest.approx(200, abs=45)
    assert found[:10] == [preparation.split_of(name, request) for name in names[:10]]


def test_a_recipe_may_name_shards(videos: Path, tmp_path: Path) -> None:
    preparation.prepare(Preparation(videos, tmp_path, SETTINGS, validation=0.5, test=0.0))
    clips = settings.Clips(source="shards", folder=str(tmp_path))
    learned, kept_back = (sources.source(clips, "cpu", held_out=held_out) for held_out in (False, True))
    names = [{each.clip(seed).name.split()[0] for seed in range(4)} for each in (learned, kept_back)]
    assert names[0] and names[1] and not names[0] & names[1]


def test_shards_are_a_source_that_sees_every_clip(videos: Path, tmp_path: Path) -> None:
    split = preparation.prepare(Preparation(videos, tmp_path, SETTINGS, validation=0.0, test=0.0))
    source = shards.Shards(tmp_path)
    assert len(source) == len(split["train"]) == 4
    assert len({source.clip(seed).name for seed in range(4)}) == 4
    assert source.clip(7).name == source.clip(7).name
    with pytest.raises(FileError, match="no clips for test"):
        shards.Shards(tmp_path, "test")
    (tmp_path / "split.json").write_text('{"train": ["../else.safetensors"]}', encoding="utf-8")
    with pytest.raises(FileError, match="elsewhere"):
        shards.Shards(tmp_path)
