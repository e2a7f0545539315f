"""A model that sees the draft sees the product's: the same pixels, in training as in a shot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")
pytest.importorskip("transformers", reason="the backend environment has transformers")

import torch

from backend.training import filling
from backend.training.networks import conditions
from backend.training.shards import shard
from backend.training.trainer import samples
from backend.training.training_clip import TrainingClip
from pantheon360_blender.core.output_folder import OutputFolder


def test_points_alone_or_filled_as_the_card_says(small: Any, learned: TrainingClip) -> None:
    filled = replace(small.card, geometry="filled")
    assert filling.shown(learned, small.card) is learned.geometry
    shown = filling.shown(learned, filled)
    covered = learned.coverage[:, None].expand_as(shown)
    assert torch.equal(shown[covered], learned.geometry[covered]), "points keep their colours"
    assert shown[~covered].float().mean() > 50, "and between them it is no longer black"
    assert torch.equal(filling.shown(replace(learned, filled=learned.frames), filled), learned.frames)
    clip = samples.product_clip(learned, filled)
    np.testing.assert_array_equal(clip.picture(1), filling.picture(shown[1]))
    np.testing.assert_array_equal(
        samples.product_clip(learned, small.card).picture(1), filling.picture(learned.geometry[1])
    )
    assert (clip.coverage(1) == learned.coverage[1].numpy()).all(), "what is filled in is not covered"


@torch.no_grad()
def test_the_model_is_told_of_the_draft(small: Any, learned: TrainingClip) -> None:
    """Its latents are those of the draft, and coverage still says where points are."""
    told = {}
    for geometry in ("points", "filled"):
        card = replace(small.card, geometry=geometry)
        generator = torch.Generator().manual_seed(0)
        told[geometry] = conditions.of_clips(
            [learned], small.vae, small.image_encoder, card, generator=generator, show_end=[False]
        ).condition[0]
    draft = filling.shown(learned, replace(small.card, geometry="filled"))
    expected = conditions.encode(conditions.video_of(draft[1:])[None], small.vae)[0]
    torch.testing.assert_close(told["filled"][1:, :16], expected)
    assert not torch.equal(told["filled"][:, :16], told["points"][:, :16])
    assert torch.equal(told["filled"][:, 16:], told["points"][:, 16:])


def test_a_shard_keeps_what_was_filled(learned: TrainingClip, tmp_path: Path) -> None:
    shard.write(OutputFolder(tmp_path), "clip.safetensors", replace(learned, filled=learned.frames.flip(0)))
    kept = shard.read(tmp_path / "clip.safetensors").filled
    assert kept is not None and torch.equal(kept, learned.frames.flip(0))
