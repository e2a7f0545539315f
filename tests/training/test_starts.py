"""What networks begin as: a VAE keeps a picture, a U-Net paints what it sees, before either has learned anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")
pytest.importorskip("transformers", reason="the backend environment has transformers")

import torch
from torch.nn import functional

from backend.diffusion.models import tiny_model
from backend.diffusion.networks import autoencoder, panorama
from backend.training.networks import draft_start, objective, patch_transform, small_model

CARD = small_model.card(width=64, height=32, frames=4)


def network(part: str) -> Any:
    return tiny_model.network(part, small_model.configs(CARD)[part], 1)


@pytest.fixture(scope="module")
def vae() -> Any:
    made = network("vae")
    patch_transform.begin(made)
    made.register_to_config(scaling_factor=0.8)
    return made


def video(seed: int = 0, count: int = 4) -> torch.Tensor:
    """Smooth pictures with some detail, (F, 3, 32, 64) in [-1, 1]."""
    random = torch.Generator().manual_seed(seed)
    coarse = functional.interpolate(torch.rand(count, 3, 4, 8, generator=random), (32, 64), mode="bicubic")
    return (1.4 * coarse + 0.1 * torch.rand(count, 3, 32, 64, generator=random) - 0.75).clamp(-1, 1)


def psnr(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(-10 * torch.log10(((first - second) / 2).square().mean()))


def test_the_transform_is_orthonormal_and_patches_lie_as_torch_lays_them() -> None:
    basis, spread = patch_transform.transform(4)
    torch.testing.assert_close(basis @ basis.T, torch.eye(48))
    flat = functional.pixel_unshuffle(torch.ones(1, 3, 4, 4), 4).flatten()
    torch.testing.assert_close(basis @ flat, torch.eye(48)[0] * flat.norm())
    assert spread.argmax() == 0 and len(patch_transform.averages(16, 4)) == 3


@torch.no_grad()
def test_a_new_vae_keeps_what_the_transform_keeps(vae: Any) -> None:
    """Against the linear map itself, in numpy: the strongest frequencies of each patch, and nothing else."""
    frames = video()
    latents = autoencoder.distribution(vae, frames).mode()
    back = autoencoder.frames_of(vae, latents, len(frames))
    basis, spread = patch_transform.transform(4)
    kept = basis[torch.argsort(spread, descending=True)[:16]].numpy()
    patches = functional.pixel_unshuffle(frames, 4).numpy()
    exact = functional.pixel_shuffle(torch.from_numpy(np.einsum("nk,nl,blhw->bkhw", kept, kept, patches)), 4)
    assert psnr(exact, frames) > 28 and psnr(back, exact) > 35
    assert latents.shape == (4, 16, 8, 16) and 0.2 < latents.std() < 3


@torch.no_grad()
def test_a_new_painter_paints_what_it_sees(vae: Any) -> None:
    """Whatever noise it is given: what comes out is what went in, but for the strength that a normalisation takes."""
    unet = network("unet")
    draft_start.begin(unet, vae)
    seen = autoencoder.distribution(vae, video(3)).mode()
    condition = torch.cat([seen, torch.ones(4, 1, 8, 16)], dim=1)[None]
    noise = 700 * torch.randn(1, 4, 16, 8, 16, generator=torch.Generator().manual_seed(2))
    with panorama.circular_convolutions(unet):
        clean = objective.denoised(
            unet, noise, torch.tensor([700.0]), condition, torch.zeros(1, 4, 96), torch.zeros(1, 3)
        )[0]
    for channel in range(16):
        alike = torch.corrcoef(torch.stack([clean[:, channel].flatten(), seen[:, channel].flatten()]))[0, 1]
        assert alike > 0.97, channel
    untouched = network("unet").state_dict()
    assert sum(not torch.equal(each, untouched[name]) for name, each in unet.state_dict().items()) <= 12


@torch.no_grad()
def test_networks_of_another_shape_stay_as_they_are(vae: Any) -> None:
    given = tiny_model.card(conditioning=CARD.conditioning)
    other = tiny_model.network("unet", tiny_model.configs(given)["unet"], 1)
    before = {name: each.clone() for name, each in other.state_dict().items()}
    draft_start.begin(other, vae)
    assert all(torch.equal(each, before[name]) for name, each in other.state_dict().items())
