"""Clips that other processes make are the same clips, and what goes wrong there is told here."""

from __future__ import annotations

from functools import partial

import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("accelerate", reason="the backend environment has accelerate")

import torch

from backend.training.trainer import clip_pool, clip_workers
from backend.training.trainer.clip_pool import ClipPool, Share
from backend.training.trainer.settings import Clips
from backend.training.training_clip import TrainingClip
from pantheon360_blender.core.errors import PantheonError
from tests.training.moving_patterns import MovingPatterns

CLIPS = Clips(source="patterns", width=64, frames=2, kept=4, uses=2, ahead=2, workers=2)


class Refusing:
    """A source whose third clip cannot be made."""

    def clip(self, seed: int) -> TrainingClip:
        if seed == 2:
            raise PantheonError("The texture is torn.", advice="Mend it.", code="torn")
        return MovingPatterns(CLIPS).clip(seed)


def test_batches_are_the_same_whoever_makes_the_clips() -> None:
    def first(pool: ClipPool) -> list[TrainingClip]:
        with clip_pool.batches(pool, Share(2, 2), 0, CLIPS.ahead) as steps:
            return [sample.clip for _ in range(3) for batch in next(steps) for sample in batch]

    with clip_workers.working(partial(MovingPatterns, CLIPS), CLIPS.workers, "cpu") as workers:
        made = first(ClipPool(workers, CLIPS, 7))
    for found, expected in zip(made, first(ClipPool(MovingPatterns(CLIPS), CLIPS, 7)), strict=True):
        assert (found.name, found.fps) == (expected.name, expected.fps)
        assert found.filled is None and (found.cameras == expected.cameras).all()
        for name in ("frames", "geometry", "depth", "start", "end"):
            assert torch.equal(getattr(found, name), getattr(expected, name))


def test_what_a_process_cannot_make_is_told_as_it_says() -> None:
    with clip_workers.working(Refusing, 1, "cpu") as workers:
        assert workers.clip(1).name == "waves 1"
        with pytest.raises(PantheonError, match="torn") as told:
            workers.clip(2)
        assert (told.value.advice, told.value.code) == ("Mend it.", "torn")
        assert workers.clip(3).name == "waves 3"
