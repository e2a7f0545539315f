"""What a model is told in training is what it is told in the product, and what it learns is what one step paints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")
pytest.importorskip("transformers", reason="the backend environment has transformers")

import torch

from backend.diffusion.clip import passes, sampling
from backend.diffusion.clip.passes import Clip
from backend.diffusion.execution import execution
from backend.diffusion.execution.execution import Execution
from backend.diffusion.networks import noise, panorama
from backend.training.networks import conditions, horizon, objective
from backend.training.networks.objective import NoiseLevels
from backend.training.training_clip import TrainingClip
from pantheon360_blender.core.jobs.paint_settings import PaintOptions, SeamOptions
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.progress import run_to_end
from pantheon360_blender.core.render.splatting import GeometryFrame

WHOLE = SeamOptions(roll="none", padding=0, circular=True)


def product_clip(clip: TrainingClip, *, end: bool) -> Clip:
    """The same clip as the product has it."""

    def picture(tensor: Any) -> np.ndarray:
        return np.ascontiguousarray(tensor.permute(1, 2, 0).numpy())

    frames = [
        GeometryFrame(picture(colour), depth.numpy(), covered.numpy(), np.full(covered.shape, -1, np.int32))
        for colour, depth, covered in zip(clip.geometry, clip.depth, clip.coverage, strict=True)
    ]
    return Clip(frames, start=picture(clip.start), end=picture(clip.end) if end else None)


def told(small: Any, clips: list[TrainingClip], *, end: bool, dropout: float = 0.0) -> conditions.Conditions:
    with panorama.circular_convolutions(small.vae), torch.no_grad():
        return conditions.of_clips(
            clips,
            small.vae,
            small.image_encoder,
            small.card,
            generator=torch.Generator().manual_seed(1),
            show_end=[end] * len(clips),
            dropout=dropout,
        )


@pytest.mark.parametrize("end", [False, True], ids=["one anchor", "two anchors"])
def test_training_tells_what_the_product_tells(small: Any, learned: TrainingClip, end: bool) -> None:
    recipe = replace(PaintOptions(model="x", anchors="dual").recipe(small.card, 0), seam=WHOLE)
    (expected,) = run_to_end(passes.prepare_passes(Execution(small), product_clip(learned, end=end), recipe))
    found = told(small, [learned, learned], end=end)
    for each in range(2):
        torch.testing.assert_close(found.condition[each], expected.condition, rtol=0, atol=1e-5)
        torch.testing.assert_close(found.encoder_hidden_states[each], expected.encoder_hidden_states, rtol=0, atol=1e-5)
    assert found.added_time_ids.tolist() == [[6.0, 127.0, 0.0]] * 2


def test_noise_lies_on_what_is_seen_alone(small: Any, learned: TrainingClip) -> None:
    """Black stays black: the model knows holes by it."""
    noisy = small.card.__class__(**{**vars(small.card), "noise_aug": 0.5})
    empty = replace(learned, geometry=learned.geometry * 0, depth=learned.depth + torch.inf, start=None, end=None)
    of = [
        conditions.of_clips(
            [clip],
            small.vae,
            small.image_encoder,
            card,
            generator=torch.Generator().manual_seed(1),
            show_end=[False],
        ).condition
        for card in (small.card, noisy)
        for clip in (empty, learned)
    ]
    assert torch.equal(of[0], of[2]) and not torch.equal(of[1], of[3])


def test_what_is_dropped_is_told_nothing(small: Any, learned: TrainingClip) -> None:
    found = told(small, [learned], end=True, dropout=1.0)
    assert not found.condition.any() and not found.encoder_hidden_states.any()
    assert found.added_time_ids.any()


def test_one_step_paints_what_the_objective_asks_for(small: Any, learned: TrainingClip) -> None:
    """From the highest noise, one step of the product's sampler is the prediction that was trained."""
    recipe = replace(PaintOptions(model="x", anchors="dual").recipe(small.card, 7), seam=WHOLE)
    assert recipe.num_inference_steps == 1 and recipe.guidance_scale == (1.0, 1.0)
    prepared = run_to_end(passes.prepare_passes(Execution(small), product_clip(learned, end=True), recipe))
    start = noise.frames(7, 4, (16, 8, 16))
    predict = execution.predictor(small.unet)
    painted = run_to_end(sampling.denoise(predict, small.scheduler, prepared, start, recipe))
    found = told(small, [learned], end=True)
    sigma = torch.tensor([700.0])
    with torch.no_grad():
        clean = objective.denoised(
            small.unet,
            start[None] * (700.0**2 + 1) ** 0.5,
            sigma,
            found.condition,
            found.encoder_hidden_states,
            found.added_time_ids,
        )
    torch.testing.assert_close(clean[0], painted, rtol=0, atol=2e-3)


def test_gradients_reach_the_image_encoder_and_not_the_vae(small: Any, learned: TrainingClip) -> None:
    found = conditions.of_clips(
        [learned],
        small.vae,
        small.image_encoder,
        small.card,
        generator=torch.Generator().manual_seed(1),
        show_end=[True],
    )
    assert found.encoder_hidden_states.requires_grad and not found.condition.requires_grad


def test_the_loss_is_the_squared_error_of_the_networks_own_output() -> None:
    random = torch.Generator().manual_seed(2)
    target, noisy_part, velocity = (torch.randn(3, 2, 4, 8, 16, generator=random) for _ in range(3))
    sigma = torch.tensor([0.1, 3.0, 700.0]).view(-1, 1, 1, 1, 1)
    noisy = target + sigma * noisy_part
    clean = sampling.pred_original_sample(noisy, velocity, sigma)
    wanted = (noisy / (sigma**2 + 1) - target) * (sigma**2 + 1) ** 0.5 / sigma
    expected = ((velocity - wanted) ** 2).mean()
    found = objective.loss(clean, target, sigma.flatten(), latitude=False)
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=0)
    counted = torch.tensor([[1.0, 0.0]] * 3)
    first = objective.loss(clean[:, :1], target[:, :1], sigma.flatten(), latitude=False)
    torch.testing.assert_close(objective.loss(clean, target, sigma.flatten(), latitude=False, frames=counted), first)


def test_latitudes_count_by_what_they_hold() -> None:
    weights = objective.latitude_weights(64)
    assert float(weights.mean()) == pytest.approx(1, abs=1e-5)
    assert torch.equal(weights, weights.flip(0)) and weights.argmax() in (31, 32)
    assert float(weights[0] / weights[32]) == pytest.approx(0.34, abs=0.05)


def test_half_of_the_clips_are_at_the_highest_noise() -> None:
    levels = NoiseLevels()
    drawn = levels.draw(torch.Generator().manual_seed(0), 20_000)
    assert drawn.min() >= 0.002 and drawn.max() <= 700
    rest = levels.draw(torch.Generator().manual_seed(0), 20_000, ease=0.0).log()
    assert float((drawn >= 20).float().mean()) == pytest.approx(0.5 + 0.5 * 0.106, abs=0.02)
    assert float(rest[drawn < 20].mean()) < float(drawn[drawn < 20].log().mean())


def test_views_on_a_device_are_those_of_the_product() -> None:
    """For each of several panoramas, to a grey level of rounding."""
    panoramas = np.random.default_rng(3).integers(0, 256, (2, 64, 128, 3), dtype=np.uint8)
    found = horizon.views(torch.from_numpy(panoramas).permute(0, 3, 1, 2)).permute(0, 1, 3, 4, 2).numpy()
    expected = np.stack([equirectangular.horizon_crops(each, 8, size=(32, 32)) for each in panoramas])
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found != expected).mean() < 0.01
