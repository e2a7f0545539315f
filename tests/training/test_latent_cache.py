"""Clips that are learned from several times are encoded once, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")
pytest.importorskip("transformers", reason="the backend environment has transformers")

import torch

from backend.diffusion.networks import autoencoder, panorama
from backend.training.networks.latent_cache import LatentCache
from backend.training.trainer import clip_pool
from backend.training.trainer.clip_pool import Sample
from backend.training.trainer.painter_trainer import PainterLoss
from backend.training.trainer.settings import Settings
from backend.training.trainer.starts import Networks
from backend.training.training_clip import TrainingClip


@pytest.mark.parametrize("share", [0.1, 0.9], ids=["at every noise", "in one step"])
@torch.no_grad()
def test_what_is_learned_is_the_same(
    small: Any, learned: TrainingClip, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To rounding, of clips turned by any whole latents, with and without their last frame, and encoded but once."""
    networks = Networks(small.unet, small.vae, small.image_encoder, replace(small.card, geometry="filled"))
    batch = [Sample(number, learned, clip_pool.generator(4, number)) for number in range(3)]
    encoded = []
    inner = autoencoder.distribution
    monkeypatch.setattr(autoencoder, "distribution", lambda *given: encoded.append(len(given[1])) or inner(*given))
    with panorama.circular_convolutions(small.unet, small.vae):
        once = PainterLoss(networks, Settings(), None)(batch, share)["loss"]
        assert encoded == [2 * len(learned) + 2]
        monkeypatch.setattr(LatentCache, "fits", staticmethod(lambda card: False))
        batch = [Sample(number, learned, clip_pool.generator(4, number)) for number in range(3)]
        anew = PainterLoss(networks, Settings(), None)(batch, share)["loss"]
    assert len(encoded) > 2
    torch.testing.assert_close(once, anew, rtol=1e-4, atol=1e-5)


def test_noise_on_what_is_seen_is_another_each_time(small: Any) -> None:
    assert LatentCache.fits(small.card) and not LatentCache.fits(replace(small.card, noise_aug=0.02))
