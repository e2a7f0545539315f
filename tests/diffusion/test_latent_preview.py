"""Previews of latents: a colour map learned from the clip at hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")

import torch

from backend.diffusion.clip.latent_preview import WIDTH, LatentPreview


def patches(seed: int) -> np.ndarray:
    """(2, 64, 128, 3) uint8 of patches of 8 pixels, each the colour of one latent."""
    colours = np.random.default_rng(seed).integers(0, 256, (2, 8, 16, 3), dtype=np.uint8)
    return colours.repeat(8, axis=1).repeat(8, axis=2)


def encoded(images: np.ndarray) -> torch.Tensor:
    """Latents of an encoder that turns colours linearly, as those of Stable Diffusion nearly do."""
    turn = torch.tensor([[1.0, 0.5, -0.2], [0.3, -1.0, 0.4], [0.2, 0.1, 0.9], [-0.4, 0.6, 0.3]])
    small = torch.from_numpy(images[:, ::8, ::8].astype(np.float32) / 127.5 - 1)
    return torch.einsum("cd,fhwd->fchw", turn, small) + torch.tensor([0.3, -0.1, 0.0, 2.0]).view(1, 4, 1, 1)


def test_it_shows_pictures_it_has_not_seen() -> None:
    preview = LatentPreview.learned(encoded(patches(0)), patches(0))
    shown = preview.picture(encoded(patches(1))[0])
    times = shown.shape[1] // 16
    assert shown.shape[1] >= WIDTH and shown.shape[1] == 2 * shown.shape[0] and shown.dtype == np.uint8
    assert np.abs(shown[::times, ::times].astype(int) - patches(1)[0, ::8, ::8]).max() <= 2


def test_one_black_picture_is_shown_black() -> None:
    black = np.zeros((1, 64, 128, 3), np.uint8)
    latents = encoded(black)
    assert LatentPreview.learned(latents, black).picture(latents[0]).max() <= 2
