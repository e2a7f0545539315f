"""Painting against stock diffusers, and what must hold of panoramas, noise, portions and broken numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")
pytest.importorskip("transformers", reason="the backend environment has transformers")

import diffusers
import torch
import transformers
from PIL import Image

from backend.diffusion.clip import passes, sampling
from backend.diffusion.clip.passes import Clip, Pass, prepare_passes
from backend.diffusion.execution import execution
from backend.diffusion.execution.execution import Execution
from backend.diffusion.models import tiny_model
from backend.diffusion.networks import autoencoder, conditioning, noise, panorama, schedulers
from pantheon360_blender.core.errors import ModelError
from pantheon360_blender.core.jobs.paint_settings import OFF, Recipe, SeamOptions
from pantheon360_blender.core.progress import run_to_end
from pantheon360_blender.core.render.splatting import GeometryFrame

WHOLE = SeamOptions(roll="none", padding=0, circular=True)
TURNING = SeamOptions(roll="quarter", padding=0, circular=True)


# Stock diffusers


def other_model() -> Any:
    """Networks of another shape than the tiny model's: fewer levels, more layers, a VAE of stride 4."""
    card = tiny_model.card("tiny")
    parts = tiny_model.configs(card)
    parts["unet"] |= {
        "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
        "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"],
        "block_out_channels": [32, 64],
        "num_attention_heads": [4, 2],
        "layers_per_block": 2,
        "cross_attention_dim": 48,
    }
    parts["vae"] |= {"block_out_channels": [32, 32, 64], "down_block_types": ["DownEncoderBlock2D"] * 3}
    parts["image_encoder"] |= {"projection_dim": 48, "patch_size": 56}
    networks = {name: tiny_model.network(name, parts[name], 9) for name in ("unet", "vae", "image_encoder")}
    return SimpleNamespace(**networks, scheduler=schedulers.scheduler("euler", parts["scheduler"]), card=card)


@pytest.mark.parametrize(
    ("other", "frames", "guidance", "noise_aug", "chunk"),
    [(False, 4, (3.0, 3.0), 0.0, None), (True, 5, (1.0, 2.5), 0.02, 2)],
    ids=["tiny", "other"],
)
def test_equals_stock_diffusers(
    components: Any,
    panoramas: Callable[..., np.ndarray],
    other: bool,
    frames: int,
    guidance: tuple[float, float],
    noise_aug: float,
    chunk: int | None,
    record_property: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A still image as geometry, one token, no panoramic seam: latents and frames are those of the pipeline.

    By the very function that shots are painted with; the noises, and CLIP's single token, are the pipeline's.
    """
    model = other_model() if other else components
    picture = panoramas(3, 1, 128)[0]
    start = noise.frames(5, frames, (4, 64 // autoencoder.factor(model.vae), 128 // autoencoder.factor(model.vae)))

    last: dict[str, Any] = {}
    pipeline = diffusers.StableVideoDiffusionPipeline(
        model.vae, model.image_encoder, model.unet, schedulers.scheduler("euler", dict(model.scheduler.config)), clip()
    )
    pipeline.set_progress_bar_config(disable=True)
    stock = pipeline(
        Image.fromarray(picture),
        height=64,
        width=128,
        num_frames=frames,
        num_inference_steps=4,
        min_guidance_scale=guidance[0],
        max_guidance_scale=guidance[1],
        noise_aug_strength=noise_aug,
        decode_chunk_size=chunk,
        generator=torch.Generator().manual_seed(2),
        latents=start[None],
        output_type="pt",
        callback_on_step_end=lambda pipeline, step, timestep, values: last.update(values) or {},
    ).frames[0]

    laid_over = torch.randn(1, 3, 64, 128, generator=torch.Generator().manual_seed(2))[0]
    monkeypatch.setattr(noise, "frames", lambda *which, **more: start)
    monkeypatch.setattr(noise, "on_condition", lambda *which: laid_over)
    token = conditioning.image_embeddings(model.image_encoder, picture[None])
    everywhere = np.ones((64, 128), np.bool_)
    still = GeometryFrame(picture, np.ones((64, 128), np.float32), everywhere, np.zeros((64, 128), np.int32))
    recipe = Recipe(num_inference_steps=4, guidance_scale=guidance, noise_aug_strength=noise_aug, seam=OFF)

    def painted(recipe: Recipe = recipe, token: torch.Tensor = token) -> torch.Tensor:
        executed = Execution(model)
        monkeypatch.setattr(executed, "image_embeddings", lambda panorama: token)
        return run_to_end(sampling.paint(executed, Clip([still] * frames), recipe)).latents

    ours = painted()
    video = run_to_end(autoencoder.decode(model.vae, ours, OFF, decode_chunk_size=chunk))
    in_latents, in_frames = difference(ours, last["latents"][0]), difference((video / 2 + 0.5).clamp(0, 1), stock)
    record_property("stock_max_abs_difference", max(in_latents, in_frames))
    assert in_latents <= 1e-5 and in_frames <= 1e-5
    assert difference(painted(token=torch.zeros_like(token)), ours) > 1e-4, "the token's being right proves nothing"
    assert difference(painted(replace(recipe, noise_aug_strength=0.3)), ours) > 1e-4, "nor does the noise's"


def test_noise_lies_on_what_is_seen_and_leaves_black_black(components: Any, geometry: Callable[..., Any]) -> None:
    """Of the strength that the model is told, another for each frame of the path, the same in every clip and device."""
    frames = geometry(3, 3)
    clip, later = Clip(frames, first=4), Clip(frames[1:], first=5)
    quiet, loud = Recipe(noise_aug_strength=0.0, seed=9), Recipe(noise_aug_strength=0.25, seed=9)
    clean, noisy, again = (
        passes._noised(each, range(len(each)), recipe, 8)
        for each, recipe in ((clip, quiet), (clip, loud), (later, loud))
    )
    seen = torch.from_numpy(np.stack([frame.coverage for frame in frames]))[:, None].expand_as(clean)
    laid_over = (noisy - clean)[seen]
    assert (noisy[~seen] == -1).all() and torch.equal(noisy[1:], again)
    assert float(laid_over.std()) == pytest.approx(0.25, rel=0.02) and abs(float(laid_over.mean())) < 0.01
    assert difference((noisy - clean)[0], (noisy - clean)[1]) > 0.1
    panorama_known = replace(clip, known={1: frames[1].colour})
    assert ((passes._noised(panorama_known, [1], loud, 8) != -1).float().mean()) > 0.99, (
        "all of a known panorama is seen"
    )


@pytest.mark.parametrize("columns", [8, -16])
def test_a_clip_in_another_heading_is_the_same_clip_turned(
    components: Any, geometry: Callable[..., Any], panoramas: Any, columns: int
) -> None:
    """Noise, both of it, belongs to directions of the world: turned by the strides of VAE and U-Net together."""
    start, frames = panoramas(1, 1)[0], geometry(2, 3)
    turned = [
        replace(frame, colour=np.roll(frame.colour, -8 * columns, 1), coverage=np.roll(frame.coverage, -8 * columns, 1))
        for frame in frames
    ]
    recipe = Recipe(num_inference_steps=2, seam=TURNING, noise_aug_strength=0.2)
    clips = Clip(frames, start=start), Clip(turned, start=np.roll(start, -8 * columns, 1), columns=columns)
    latents = [run_to_end(sampling.paint(Execution(components), clip, recipe)).latents for clip in clips]
    assert difference(panorama.roll(latents[0], -columns), latents[1]) < 2e-3 * float(latents[0].abs().max())


def clip() -> Any:
    return transformers.CLIPImageProcessor(
        image_mean=list(conditioning.CLIP_MEAN), image_std=list(conditioning.CLIP_DEVIATION)
    )


# Panoramas


def test_turning_the_panorama_turns_the_painting(
    components: Any, geometry: Callable[..., Any], panoramas: Any, record_property: Callable[..., None]
) -> None:
    """Anchor, geometry and noise turned by the strides of VAE and U-Net together (64 pixels).

    Exact but for the crops' colours: they are rounded to 8 bits, and half a turn of the grid rounds some otherwise.
    """
    start, frames = panoramas(1, 1)[0], geometry(2, 3)
    turned = [replace(frame, colour=np.roll(frame.colour, 64, axis=1)) for frame in frames]
    clips = Clip(frames, start=start), Clip(turned, start=np.roll(start, 64, axis=1))
    noises = [noise.frames(4, 3, (4, 16, 32))]
    noises.append(panorama.roll(noises[0], 8))

    def turning_error(seam: SeamOptions) -> float:
        recipe = Recipe(num_inference_steps=3, seam=seam, noise_aug_strength=0.0)
        videos = [video(components, clip, recipe, start) for clip, start in zip(clips, noises, strict=True)]
        return difference(panorama.roll(videos[0], 64), videos[1])

    with_handling, without = turning_error(TURNING), turning_error(OFF)
    record_property("turning_difference_with", with_handling)
    record_property("turning_difference_without", without)
    assert with_handling < 1e-4 and without > 0.1


@pytest.mark.parametrize("roll", ["none", "quarter", "random"])
def test_turning_for_the_unet_alone_changes_nothing_where_it_commutes(components: Any, roll: Any) -> None:
    """With circular convolutions and turns by its stride the U-Net sees the same panorama from elsewhere."""
    told, start = random_pass(3, 32), noise.frames(0, 3, (4, 8, 32))
    recipe = Recipe(num_inference_steps=3, seam=replace(WHOLE, roll=roll))
    with panorama.circular_convolutions(components.unet):
        still = denoised(components, [told], start, replace(recipe, seam=WHOLE))
        turning = denoised(components, [told], start, recipe)
    assert (difference(still, turning) < 5e-5) == (roll != "random")
    assert difference(still, turning) < 5


def seam_ratio(images: np.ndarray, stride: int = 1) -> float:
    """How much larger the step across the seam is than steps between columns elsewhere; 1 where there is no seam.

    images: (F, H, W, C), any number type.
    stride: compare only with steps between columns that begin at its multiples. A decoder that draws blocks of so many
    pixels has other steps within them than between them, and the seam is between.
    """
    values = images.astype(np.float64)
    steps = np.abs(np.diff(values, axis=2, append=values[:, :, :1])).mean(axis=(0, 1, 3))
    return float(steps[-1] / steps[stride - 1 : -1 : stride].mean())


def test_seam_ratio(panoramas: Callable[..., np.ndarray]) -> None:
    """Waves that close have none; a slope has its whole height; blocks are compared with blocks."""
    x = np.arange(64)
    wave = np.broadcast_to(np.abs((x + 4) % 16 - 8)[None, None, :, None], (1, 4, 64, 1))
    slope = np.broadcast_to(x[None, None, :, None], (1, 4, 64, 1))
    assert seam_ratio(wave) == pytest.approx(1, abs=0.05)
    assert seam_ratio(slope) == pytest.approx(63)
    blocks = panoramas(0, 16)
    assert seam_ratio(blocks, 8) == pytest.approx(1, abs=0.1)
    assert seam_ratio(blocks) > 7


def test_there_is_no_seam(
    components: Any, geometry: Callable[..., Any], panoramas: Any, record_property: Callable[..., None]
) -> None:
    """Steps across the seam are as large as steps elsewhere between the decoder's blocks; without handling not."""

    def ratio(seam: SeamOptions, clips: int) -> float:
        painted = []
        for seed in range(clips):
            clip = Clip(geometry(seed, 8, 128), start=panoramas(seed + 20, 1, 128)[0])
            painted.append(
                run_to_end(
                    sampling.paint(Execution(components), clip, Recipe(num_inference_steps=3, seam=seam, seed=seed))
                ).images
            )
        return seam_ratio(np.concatenate(painted), stride=8)

    with_handling, without = ratio(TURNING, 8), ratio(OFF, 2)
    record_property("seam_ratio_with", with_handling)
    record_property("seam_ratio_without", without)
    assert with_handling == pytest.approx(1, abs=0.05) and without != pytest.approx(1, abs=0.2)


# Guidance, noise, portions


def test_guidance_of_one_asks_once(components: Any) -> None:
    """As the published formula has it: unconditional + 1 * (conditional - unconditional)."""
    asked: list[int] = []
    predict = execution.predictor(components.unet)

    def counted(inputs: Any, *others: Any) -> Any:
        asked.append(len(inputs))
        return predict(inputs, *others)

    told, start = random_pass(3, 16), noise.frames(0, 3, (4, 8, 16))
    recipe = Recipe(num_inference_steps=2, guidance_scale=(1, 1), seam=OFF)
    once = run_to_end(sampling.denoise(counted, components.scheduler, [told], start, recipe))
    assert asked == [1, 1]
    nearly = run_to_end(
        sampling.denoise(counted, components.scheduler, [told], start, replace(recipe, guidance_scale=(1, 1 + 1e-6)))
    )
    assert asked == [1, 1, 2, 2]
    assert difference(once, nearly) < 1e-3
    assert difference(once, denoised(components, [told], start, replace(recipe, guidance_scale=(3, 3)))) > 1e-2


def test_guidance_rises_along_a_pass(components: Any) -> None:
    """The first frame is guided as its end says, so is the last: here against constant guidance, frame by frame."""
    told, start = random_pass(3, 16), noise.frames(0, 3, (4, 8, 16))
    ramped, low, high = (
        denoised(components, [told], start, Recipe(num_inference_steps=1, guidance_scale=guidance, seam=OFF))
        for guidance in ((2.0, 6.0), (2.0, 2.0), (6.0, 6.0))
    )
    assert torch.equal(ramped[0], low[0]) and torch.equal(ramped[2], high[2])
    assert difference(ramped[1], (low[1] + high[1]) / 2) < 1e-4 * float(high.abs().max())


def test_a_longer_clip_begins_with_the_same_noise() -> None:
    long = noise.frames(2**64 - 1, 7, (4, 8, 16))
    assert torch.equal(noise.frames(2**64 - 1, 3, (4, 8, 16)), long[:3])
    assert torch.equal(noise.frames(2**64 - 1, 4, (4, 8, 16), first=3), long[3:])
    assert difference(noise.frames(2**64 - 1 - 2**32, 7, (4, 8, 16)), long) > 1, "half of the seed is not used"
    many = noise.frames(0, 60, (4, 16, 32)).flatten(1)
    assert abs(float(many.mean())) < 0.01 and abs(float(many.std()) - 1) < 0.01
    assert float((torch.corrcoef(many) - torch.eye(60)).abs().max()) < 0.15, "frames repeat one another"


def test_the_same_seed_gives_the_same_bytes(components: Any, geometry: Callable[..., Any], panoramas: Any) -> None:
    clip = Clip(geometry(0, 3, 128), start=panoramas(1, 1, 128)[0])
    recipe = Recipe(num_inference_steps=2, seam=SeamOptions(roll="random"), seed=2**63 + 5)
    painted = [run_to_end(sampling.paint(Execution(components), clip, recipe)).images for _ in range(2)]
    assert painted[0].tobytes() == painted[1].tobytes()
    assert painted[0].shape == (3, 64, 128, 3) and painted[0].dtype == np.uint8
    other = run_to_end(sampling.paint(Execution(components), clip, replace(recipe, seed=5))).images
    assert np.abs(other.astype(int) - painted[0]).mean() > 1


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_evaluations_in_turn_give_what_all_together_give(components: Any, batch_size: int) -> None:
    passes = [random_pass(3, 16), random_pass(3, 16, seed=6, backwards=True)]
    start = noise.frames(1, 3, (4, 8, 16))
    together = denoised(components, passes, start, Recipe(num_inference_steps=3, seam=OFF))
    in_turn = denoised(components, passes, start, Recipe(num_inference_steps=3, seam=OFF), batch_size)
    assert difference(together, in_turn) < 5e-5


def test_frames_encoded_together_and_decoded_with_context(components: Any) -> None:
    """Chunks of the encoder change nothing; chunks of the decoder do, and less the more context they have."""
    film = autoencoder.video_of(np.random.default_rng(0).integers(0, 256, (5, 32, 64, 3), dtype=np.uint8))
    alone, together = (
        run_to_end(autoencoder.encode(components.vae, film, WHOLE, encode_chunk_size=chunk)) for chunk in (1, 5)
    )
    assert difference(alone, together) < 1e-5
    latents = noise.frames(0, 6, (4, 4, 8))
    whole = run_to_end(autoencoder.decode(components.vae, latents, WHOLE))
    errors = [
        difference(
            run_to_end(autoencoder.decode(components.vae, latents, WHOLE, decode_chunk_size=2, context=context)), whole
        )
        for context in (0, 2, 4)
    ]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-5


def test_the_encoder_works_in_full_precision(components: Any) -> None:
    """In half precision SVD's encoder overflows; its decoder stays as it is loaded."""
    half = tiny_model.network("vae", tiny_model.configs(components.card)["vae"]).to(torch.float16)
    video = autoencoder.video_of(np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), dtype=np.uint8))
    dtypes = []
    half.encoder.register_forward_pre_hook(lambda module, inputs: dtypes.append(inputs[0].dtype))
    encoded = run_to_end(autoencoder.encode(half, video, WHOLE))
    assert set(dtypes) == {torch.float32} and half.dtype == torch.float16 and encoded.dtype == torch.float32


def test_paints_in_other_precision(components: Any, geometry: Callable[..., Any], panoramas: Any) -> None:
    """bfloat16 networks: the same picture but for their rounding. Latents stay float32."""
    card = components.card
    parts = tiny_model.configs(card)
    networks = {
        name: tiny_model.network(name, parts[name], offset).to(torch.bfloat16)
        for offset, name in enumerate(("unet", "vae", "image_encoder"))
    }
    model = SimpleNamespace(**networks, scheduler=components.scheduler, card=card)
    clip = Clip(geometry(0, 2, 128), start=panoramas(1, 1, 128)[0])
    coarse, fine = (
        run_to_end(sampling.paint(Execution(each), clip, Recipe(num_inference_steps=2))).images.astype(int)
        for each in (model, components)
    )
    assert 0 < np.abs(coarse - fine).mean() < 3


@pytest.mark.parametrize("name", schedulers.SCHEDULERS)
def test_every_scheduler_paints_what_the_model_believes(components: Any, name: str) -> None:
    """A model that always sees the same picture behind the noise: every way of stepping ends there."""
    picture = noise.frames(8, 3, (4, 8, 16))
    scheduler = schedulers.scheduler(name, dict(components.scheduler.config))

    def certain(inputs: Any, timestep: Any, tokens: Any, numbers: Any) -> Any:
        """The v-prediction of `picture`: the input is x / sqrt(s^2 + 1), the timestep log(s) / 4."""
        sigma = float(torch.exp(4 * timestep.double()))
        x = inputs[:, :, :4].double() * (sigma**2 + 1) ** 0.5
        return ((x / (sigma**2 + 1) - picture) * (sigma**2 + 1) ** 0.5 / sigma).float()

    recipe, start = Recipe(num_inference_steps=7, seam=OFF), noise.frames(0, 3, (4, 8, 16))
    steps = list(sampling.denoise(certain, scheduler, [random_pass(3, 16)], start, recipe))
    believed = [step.pred_original_sample for step in steps if isinstance(step, sampling.Step)]
    assert len(believed) == 7
    assert max(difference(clean, picture) for clean in believed) < 5e-3
    painted = run_to_end(sampling.denoise(certain, scheduler, [random_pass(3, 16)], start, recipe))
    assert difference(painted, picture) < 1e-2


# What goes wrong


def test_numbers_that_overflow_are_told(components: Any) -> None:
    def broken(inputs: Any, *others: Any) -> Any:
        return inputs[:, :, :4] * float("inf")

    job = sampling.denoise(broken, components.scheduler, [random_pass(2, 8)], noise.frames(0, 2, (4, 8, 8)), Recipe())
    with pytest.raises(ModelError, match="not finite") as caught:
        run_to_end(job)
    assert caught.value.code == "not-finite"


def test_cancelled_between_two_steps(components: Any, geometry: Callable[..., Any], panoramas: Any) -> None:
    """Nothing more is computed, and the model is as it was."""
    job = sampling.paint(
        Execution(components), Clip(geometry(0, 2, 128), start=panoramas(1, 1, 128)[0]), Recipe(num_inference_steps=50)
    )
    seen = next(step for step in job if isinstance(step, sampling.Step))
    assert (seen.step, seen.of, seen.phase) == (1, 50, "Denoising")
    changed = [part for part in components.unet.modules() if "_conv_forward" in vars(part)]
    job.close()
    assert changed and not any("_conv_forward" in vars(part) for part in components.unet.modules())
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_gradients_are_untouched_while_a_step_is_awaited(components: Any) -> None:
    """The generator turns gradients off for itself alone, not for whoever drives it."""
    job = sampling.denoise(
        execution.predictor(components.unet),
        components.scheduler,
        [random_pass(2, 8)],
        noise.frames(0, 2, (4, 8, 8)),
        Recipe(),
    )
    next(job)
    next(job)
    assert torch.is_grad_enabled()
    job.close()


def random_pass(frames: int, columns: int, seed: int = 3, backwards: bool = False) -> Pass:
    generator = torch.Generator().manual_seed(seed)
    condition = torch.randn(frames, 4, 8, columns, generator=generator)
    return Pass(condition, torch.randn(8, 32, generator=generator), backwards)


def denoised(components: Any, passes: list[Pass], start: Any, recipe: Recipe, batch_size: int | None = None) -> Any:
    predict = execution.predictor(components.unet, batch_size)
    return run_to_end(sampling.denoise(predict, components.scheduler, passes, start, recipe))


def video(components: Any, clip: Clip, recipe: Recipe, start: Any) -> Any:
    """As sampling.paint, with other noise and without rounding."""
    passes = run_to_end(prepare_passes(Execution(components), clip, recipe))
    if recipe.seam.circular:
        with panorama.circular_convolutions(components.unet):
            latents = denoised(components, list(passes), start, recipe)
    else:
        latents = denoised(components, list(passes), start, recipe)
    return run_to_end(autoencoder.decode(components.vae, latents, recipe.seam))


def difference(a: Any, b: Any) -> float:
    return float((a - b).abs().max())
