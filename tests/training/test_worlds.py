"""Clips of worlds keep their contract: one for a seed, level, the truth at captures, points on what they show."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from backend.diffusion.models import tiny_model
from backend.training import filling
from backend.training.training_clip import TrainingClip
from backend.training.worlds import paths
from backend.training.worlds.cache_faults import Faults
from backend.training.worlds.generator import FAMILIES, Worlds, WorldSettings
from backend.training.worlds.place import Painter, Place
from backend.training.worlds.textures import TextureSet, TexturesMissing
from pantheon360_blender.core.panorama.cameras import check_pose
from tests.training import small_textures

WIDTH, FRAMES = 64, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_textures.make(tmp_path_factory.mktemp("textures"))


def worlds(folder: Path, **settings: object) -> Worlds:
    return Worlds(WorldSettings(folder, width=WIDTH, frames=FRAMES, **settings))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def clips(folder: Path) -> list[TrainingClip]:
    """A clip of every family."""
    return [worlds(folder, families=(family,)).clip(7) for family in FAMILIES]


def tensors(clip: TrainingClip) -> list[torch.Tensor]:
    ends = [clip.start, clip.end]
    return [clip.frames, clip.geometry, clip.depth, *(end for end in ends if end is not None)]


def test_the_contract(clips: list[TrainingClip]) -> None:
    for clip in clips:
        assert clip.frames.shape == clip.geometry.shape == (FRAMES, 3, WIDTH // 2, WIDTH)
        assert clip.frames.dtype == clip.geometry.dtype == torch.uint8
        assert clip.depth.shape == (FRAMES, WIDTH // 2, WIDTH) and clip.depth.dtype == torch.float32
        assert clip.coverage.any() and not clip.geometry.permute(0, 2, 3, 1)[~clip.coverage].any()
        assert clip.start is not None and clip.start.shape == (3, WIDTH // 2, WIDTH)


def test_pictures_show_something(clips: list[TrainingClip]) -> None:
    for clip in clips:
        assert 40 < clip.frames.float().mean() < 220, clip.name
        assert clip.frames.float().std() > 15, clip.name


def test_cameras_are_level_and_do_not_turn(clips: list[TrainingClip]) -> None:
    for clip in clips:
        for camera in clip.cameras:
            check_pose(camera)
            np.testing.assert_allclose(camera[:3, 1], (0, 0, 1), atol=1e-12)
            np.testing.assert_array_equal(camera[:3, :3], clip.cameras[0, :3, :3])
        assert np.ptp(clip.cameras[:, :3, 3], axis=0).max() > 0.05


def test_a_seed_gives_one_clip_and_others_give_others(folder: Path) -> None:
    first, again, other = (worlds(folder).clip(seed) for seed in (3, 3, 4))
    assert first.name == again.name and all(map(torch.equal, tensors(first), tensors(again)))
    np.testing.assert_array_equal(first.cameras, again.cameras)
    assert not torch.equal(first.frames, other.frames)


def test_captures_at_the_ends_show_the_truth_but_for_exposure(clips: list[TrainingClip], folder: Path) -> None:
    some = worlds(folder, families=("room",))
    ended = next(clip for clip in map(some.clip, range(20)) if clip.end is not None)
    for frame, capture in [(clip.frames[0], clip.start) for clip in clips] + [(ended.frames[-1], ended.end)]:
        assert capture is not None
        frame, capture = frame.double().flatten(), capture.double().flatten()
        assert np.corrcoef(frame, capture)[0, 1] > 0.995
        assert abs(math.log(float(capture.mean() / frame.mean()))) < 0.15


@pytest.mark.parametrize("family", ["room", "courtyard", "proxy"])
def test_points_of_an_exact_cache_lie_on_what_they_show(
    family: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one capture the covered pixels are the truth's where it stands, and move with the truth from there on."""
    monkeypatch.setattr(paths, "_beside", lambda *_: np.zeros((0, 3)))
    some = worlds(folder, families=(family,), faults=Faults(kept=0.5))
    clip = next(clip for clip in map(some.clip, range(20)) if clip.end is None)

    def correlation(geometry: int, frame: int) -> float:
        covered = clip.coverage[geometry].expand(3, -1, -1)
        seen, truth = clip.geometry[geometry][covered].double(), clip.frames[frame][covered].double()
        return float(np.corrcoef(seen, truth)[0, 1])

    assert correlation(0, 0) > 0.99
    moved, unmoved = correlation(FRAMES - 1, FRAMES - 1), correlation(FRAMES - 1, 0)
    assert moved > 0.8 and 1 - moved < 0.6 * (1 - unmoved)


def test_the_draft_is_of_points_as_large_as_they_are(folder: Path) -> None:
    """As in the product: it is nearer to the truth than that of points of a pixel."""
    errors: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(6):
        clip = worlds(folder, faults=Faults(kept=0.3)).clip(seed)
        assert clip.filled is not None and clip.filled.shape == clip.frames.shape
        for large, seen in ((True, clip), (False, replace(clip, filled=None))):
            draft = filling.shown(seen, tiny_model.card(geometry="filled"))
            errors[large].append(float((draft.float() - clip.frames.float()).square().mean()))
    assert np.mean(errors[True]) < 0.95 * np.mean(errors[False])


def test_some_caches_are_our_own_reconstructions(folder: Path) -> None:
    """Of the same clips: what they show stays, and so do the caches of single captures."""
    for name in ("cv2", "numba", "scipy"):
        pytest.importorskip(name, reason="reconstruction needs it")
    several = 0
    for seed in range(4):
        made, real = worlds(folder).clip(seed), worlds(folder, reconstructed=1.0).clip(seed)
        assert torch.equal(made.frames, real.frames)
        several += not torch.equal(made.geometry, real.geometry)
        assert real.coverage.any() and real.filled is not None
    assert 0 < several < 4


def test_half_of_the_clips_end_at_a_capture(folder: Path) -> None:
    place = places(folder, 1)[0]
    random = np.random.default_rng(0)
    drawn = [paths.random_path(place, 8, 7.0, random) for _ in range(120)]
    assert np.mean([path.last_is_end for path in drawn]) == pytest.approx(0.5, abs=0.15)
    assert {len(path.captures) for path in drawn} == {1, 2, 3}
    for path in drawn:
        np.testing.assert_array_equal(path.captures[0], path.positions[0])
        assert path.seconds[0] == 0


def places(folder: Path, count: int) -> list[Place]:
    random = np.random.default_rng(0)
    textures = TextureSet.load(folder, "train")
    return [make(Painter(random, textures)) for _, make in list(FAMILIES.values())[:count]]


def test_paths_lead_through_nothing(folder: Path) -> None:
    """Of each family: no camera stands in a solid, nor crosses one between two frames, and steps are even."""
    for place in places(folder, len(FAMILIES)):
        path = paths.random_path(place, 12, 7.0, np.random.default_rng(1))
        between = np.linspace(path.positions[:-1], path.positions[1:], 5).reshape(-1, 3)
        assert paths.Clearing(place.solids).distance(between).min() > 0.1, place.name
        steps = np.linalg.norm(np.diff(path.positions, axis=0), axis=1)
        assert steps.max() < 3 * np.median(steps) + 0.02, place.name


def test_every_seed_gives_a_place(folder: Path) -> None:
    """Whatever the dice say: some made a room whose walls were to stand nearer than its nearest."""
    textures = TextureSet.load(folder, "train")
    for name, (_, make) in FAMILIES.items():
        for seed in range(60):
            assert make(Painter(np.random.default_rng(seed), textures)).solids, (name, seed)


def test_no_textures_no_worlds(tmp_path: Path) -> None:
    with pytest.raises(TexturesMissing):
        worlds(tmp_path)
