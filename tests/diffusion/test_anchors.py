"""Two anchors: what each pass sees, and that a clip painted backwards is the clip painted forwards, reversed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")

import torch

from backend.diffusion.clip import sampling
from backend.diffusion.clip.passes import (
    END,
    START,
    Clip,
    Pass,
    PassInputs,
    fuse_passes,
    fusion_weights,
    pass_inputs,
    pass_video,
    prepare_passes,
    to_pass_order,
)
from backend.diffusion.execution import execution
from backend.diffusion.execution.execution import Execution
from backend.diffusion.networks import autoencoder, conditioning, noise
from pantheon360_blender.core.jobs.paint_settings import OFF, Configuration, Recipe
from pantheon360_blender.core.progress import run_to_end

CONFIGURATIONS: tuple[Configuration, ...] = get_args(Configuration)
SHAPE = (4, 8, 16)


@pytest.fixture
def clip(geometry: Callable[..., Any], panoramas: Callable[..., np.ndarray]) -> Clip:
    start, end = panoramas(30, 2, 128)
    return Clip(geometry(31, 5, 128), start=start, end=end)


def reversed_clip(clip: Clip) -> Clip:
    return Clip(tuple(reversed(clip.geometry)), start=clip.end, end=clip.start)


def difference(a: Any, b: Any) -> float:
    return float((a - b).abs().max())


def latents(components: Any, clip: Clip, recipe: Recipe, start: Any, batch_size: int | None = 1) -> Any:
    passes = run_to_end(prepare_passes(Execution(components), clip, recipe))
    predict = execution.predictor(components.unet, batch_size)
    return run_to_end(sampling.denoise(predict, components.scheduler, passes, start, recipe))


def test_what_the_passes_of_each_configuration_see() -> None:
    def seen(configuration: Configuration) -> tuple[PassInputs, ...]:
        return pass_inputs(configuration, 4, start=True, end=True)

    assert seen("single") == (PassInputs((START, 1, 2, 3)),)
    assert seen("single+fusion") == (PassInputs((START, 1, 2, 3)), PassInputs((END, 2, 1, 0), backwards=True))
    assert seen("dual") == (PassInputs((START, 1, 2, END)),)
    assert seen("dual+fusion") == (PassInputs((START, 1, 2, END)), PassInputs((END, 2, 1, START), backwards=True))


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_clips_with_fewer_anchors_have_one_pass(configuration: Configuration) -> None:
    """It begins at the anchor there is."""
    assert pass_inputs(configuration, 3, start=True, end=False) == (PassInputs((START, 1, 2)),)
    assert pass_inputs(configuration, 3, start=False, end=True) == (PassInputs((END, 1, 0), backwards=True),)
    assert pass_inputs(configuration, 3, start=False, end=False) == (PassInputs((0, 1, 2)),)
    assert pass_inputs(configuration, 1, start=True, end=True) == (PassInputs((START,)),)
    assert pass_inputs(configuration, 2, start=True, end=True)[0].pictures[0] == START


def test_the_model_sees_black_where_nothing_is_and_whole_anchors(clip: Clip) -> None:
    forward, backward = pass_inputs("single+fusion", 5, start=True, end=True)
    ahead, back = pass_video(clip, forward), pass_video(clip, backward)
    assert clip.start is not None and clip.end is not None
    assert np.array_equal(ahead[0], clip.start) and np.array_equal(back[0], clip.end)
    assert np.array_equal(ahead[1:], [frame.colour for frame in clip.geometry[1:]])
    assert np.array_equal(back[::-1][:4], [frame.colour for frame in clip.geometry[:4]])
    assert (ahead[2][~clip.geometry[2].coverage] == 0).all()


def test_passes_hold_the_latents_of_what_they_see(components: Any, clip: Clip) -> None:
    """Each picture is encoded once, in whatever order the passes see them; tokens are those of the first."""
    encoded: list[int] = []
    hook = components.vae.encoder.register_forward_pre_hook(lambda module, given: encoded.append(len(given[0])))
    try:
        passes = run_to_end(
            prepare_passes(
                Execution(components), clip, Recipe(configuration="single+fusion", seam=OFF, noise_aug_strength=0.0)
            )
        )
    finally:
        hook.remove()
    assert sum(encoded) == 5 + 2, "four ends and three frames between them"
    for each, sight in zip(passes, pass_inputs("single+fusion", 5, start=True, end=True), strict=True):
        seen = pass_video(clip, sight)
        expected = run_to_end(autoencoder.encode(components.vae, autoencoder.video_of(seen), OFF))
        assert difference(each.condition, expected) < 1e-5
        assert (
            difference(each.encoder_hidden_states, conditioning.horizon_embeddings(components.image_encoder, seen[0]))
            < 1e-5
        )
        assert each.backwards == sight.backwards


@pytest.mark.parametrize("weighting", ["equal", "linear"])
@pytest.mark.parametrize("configuration", ["single+fusion", "dual+fusion"])
def test_swapping_the_anchors_and_reversing_time_reverses_the_result(
    components: Any,
    clip: Clip,
    configuration: Configuration,
    weighting: Any,
    record_property: Callable[..., None],
) -> None:
    start = noise.frames(1, 5, SHAPE)
    recipe = Recipe(
        num_inference_steps=3,
        guidance_scale=(2, 4),
        configuration=configuration,
        weighting=weighting,
        noise_aug_strength=0.0,
    )
    there = latents(components, clip, recipe, start)
    back = latents(components, reversed_clip(clip), recipe, start.flip(0))
    reversal = difference(there, back.flip(0))
    record_property("fusion_reversal_difference", reversal)
    assert reversal < 1e-5
    assert difference(there, back) > 0.1


def test_one_pass_minds_the_direction_of_time(components: Any, clip: Clip) -> None:
    """Without fusion the reversal does not hold: it is the passes that bring it about, not the network."""
    start, recipe = noise.frames(1, 5, SHAPE), Recipe(num_inference_steps=2, configuration="single")
    there = latents(components, clip, recipe, start)
    assert difference(there, latents(components, reversed_clip(clip), recipe, start.flip(0)).flip(0)) > 1e-3


def test_a_clip_with_an_end_alone_is_painted_backwards(components: Any, clip: Clip) -> None:
    """As the same clip reversed, which has a start alone."""
    start, recipe = (
        noise.frames(1, 5, SHAPE),
        Recipe(num_inference_steps=3, guidance_scale=(1, 3), noise_aug_strength=0.0),
    )
    ending = replace(clip, start=None)
    there = latents(components, ending, recipe, start)
    back = latents(components, reversed_clip(ending), recipe, start.flip(0))
    assert torch.equal(there, back.flip(0))


@pytest.mark.parametrize("configuration", ["single+fusion", "dual+fusion"])
def test_symmetric_clips_make_both_passes_agree(components: Any, clip: Clip, configuration: Configuration) -> None:
    """The same panorama at both ends, geometry and noise the same forwards and backwards: fusing changes nothing."""
    there_and_back = tuple(clip.geometry[index] for index in (0, 1, 2, 1, 0))
    symmetric = Clip(there_and_back, start=clip.start, end=clip.start)
    start = noise.frames(2, 3, SHAPE)[[0, 1, 2, 1, 0]]
    recipe = Recipe(num_inference_steps=3, configuration=configuration, noise_aug_strength=0.0)
    passes = run_to_end(prepare_passes(Execution(components), symmetric, recipe))
    assert difference(passes[0].condition, passes[1].condition) < 1e-6
    predicted: list[Any] = []
    predict = execution.predictor(components.unet, 1)

    def watched(*given: Any) -> Any:
        predicted.append(predict(*given))
        return predicted[-1]

    painted = run_to_end(sampling.denoise(watched, components.scheduler, passes, start, recipe))
    assert all(difference(each[[0, 2]], each[[1, 3]]) < 1e-5 for each in predicted)
    assert difference(painted, painted.flip(0)) < 1e-5


def test_single_without_fusion_is_the_plain_sampler(components: Any, clip: Clip) -> None:
    """Against the formulas of the method: x0 = v (-s / sqrt(s^2 + 1)) + x / (s^2 + 1), and one Euler step."""
    recipe = Recipe(num_inference_steps=5, configuration="single", seam=OFF)
    start = noise.frames(1, 5, SHAPE)
    (told,) = run_to_end(prepare_passes(Execution(components), clip, recipe))
    ramp = np.linspace(700 ** (1 / 7), 0.002 ** (1 / 7), 5) ** 7
    sigmas = [float(sigma) for sigma in np.float32([*ramp, 0])]
    x = start.double() * (sigmas[0] ** 2 + 1) ** 0.5

    def velocity(x: Any, sigma: float, condition: Any, tokens: Any) -> Any:
        given = torch.cat([(x / (sigma**2 + 1) ** 0.5).float(), condition], dim=1)[None]
        numbers = torch.tensor([[6.0, 127.0, 0.02]])
        with torch.no_grad():
            return components.unet(given, 0.25 * np.log(sigma), tokens[None], numbers).sample[0].double()

    for sigma, following in itertools.pairwise(sigmas):
        with_all = velocity(x, sigma, told.condition, told.encoder_hidden_states)
        without = velocity(x, sigma, torch.zeros_like(told.condition), torch.zeros_like(told.encoder_hidden_states))
        v = without + 3 * (with_all - without)
        clean = v * (-sigma / (sigma**2 + 1) ** 0.5) + x / (sigma**2 + 1)
        x = x + (x - clean) / sigma * (following - sigma)
    painted = latents(components, clip, recipe, start)
    assert difference(painted.double(), x) < 1e-3


def test_shares_of_the_two_passes() -> None:
    assert fusion_weights("equal", 3).tolist() == [0.5, 0.5, 0.5]
    assert fusion_weights("linear", 5).tolist() == [1, 0.75, 0.5, 0.25, 0]
    there, back = (
        Pass(torch.zeros(3, 4, 1, 1), torch.zeros(1, 1)),
        Pass(torch.zeros(3, 4, 1, 1), torch.zeros(1, 1), True),
    )
    ahead = torch.tensor([0.0, 1, 2]).view(3, 1, 1, 1)
    views = torch.stack([ahead, ahead + 10])
    assert fuse_passes(views, [there, back], "equal").flatten().tolist() == [6, 6, 6]
    assert fuse_passes(views, [there, back], "linear").flatten().tolist() == [0, 6, 10]
    assert fuse_passes(views[1:], [back], "equal").flatten().tolist() == [12, 11, 10]
    assert to_pass_order(ahead, [there, back]).flatten().tolist() == [0, 1, 2, 2, 1, 0]


def test_channels_that_a_model_declares(components: Any, clip: Clip) -> None:
    """Coverage and range follow the geometry in the pass's own time; anchors cover everything."""
    card = replace(components.card, conditioning=("noise:4", "geometry:4", "depth:1", "coverage:1"))
    model = SimpleNamespace(vae=components.vae, image_encoder=components.image_encoder, card=card)
    ahead, back = run_to_end(
        prepare_passes(Execution(model), clip, Recipe(configuration="single+fusion", seam=OFF, noise_aug_strength=0.0))
    )
    assert ahead.condition.shape == back.condition.shape == (5, 6, 8, 16)
    blocks = clip.geometry[2].coverage.reshape(8, 8, 16, 8).mean(axis=(1, 3))
    nearness = (1 / (1 + clip.geometry[2].depth)).reshape(8, 8, 16, 8).mean(axis=(1, 3))
    for each in (ahead, back):
        assert np.allclose(each.condition[2, 4], nearness, atol=1e-6)
        assert np.allclose(each.condition[2, 5], blocks, atol=1e-6)
        assert (each.condition[0, 5] == 1).all() and not (each.condition[4, 5] == 1).all()
    last = (1 / (1 + clip.geometry[4].depth)).reshape(8, 8, 16, 8).mean(axis=(1, 3))
    assert np.allclose(back.condition[0, 4], last, atol=1e-6)
