"""Painting within little memory: every level paints the same, and running out of memory anywhere is survived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")
pytest.importorskip("transformers", reason="the backend environment has transformers")

import torch

from backend.diffusion.clip import sampling
from backend.diffusion.clip.passes import Clip
from backend.diffusion.execution import memory_plan
from backend.diffusion.execution.execution import Execution, out_of_memory
from backend.diffusion.execution.memory_plan import DECODINGS, LEVELS, Decoding, Need, Plan
from backend.diffusion.models import tiny_model
from backend.diffusion.models.loading import load
from backend.diffusion.models.model_folder import open as open_model
from backend.diffusion.networks import autoencoder, banded_decoder, noise
from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.jobs.paint_settings import MEMORY_LEVELS, Recipe
from pantheon360_blender.core.progress import run_to_end

RECIPE = Recipe(num_inference_steps=2)


@pytest.fixture(scope="module")
def model(smaller: Path) -> Any:
    return load(open_model(smaller))


@pytest.fixture
def clip(geometry: Callable[..., Any], panoramas: Callable[..., np.ndarray]) -> Clip:
    start, end = panoramas(1, 2, 128)
    return Clip(geometry(2, 4, 128), start=start, end=end)


@pytest.fixture(scope="module")
def reference(model: Any, geometry: Callable[..., Any], panoramas: Callable[..., np.ndarray]) -> np.ndarray:
    """What `clip` becomes with everything at once."""
    start, end = panoramas(1, 2, 128)
    return run_to_end(sampling.paint(Execution(model), Clip(geometry(2, 4, 128), start=start, end=end), RECIPE)).images


def difference(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other).max())


# Levels


@pytest.mark.parametrize("name", LEVELS)
def test_every_level_paints_the_same(name: str, model: Any, clip: Clip, reference: np.ndarray) -> None:
    """Up to rounding: at most one grey level. Afterwards the networks are whole and in the computer's memory."""
    weights = {key: value.clone() for key, value in model.unet.state_dict().items()}
    execution = Execution(model, Plan(LEVELS[name]))
    assert difference(run_to_end(sampling.paint(execution, clip, RECIPE)).images, reference) <= 1
    execution.release()
    found = model.unet.state_dict()
    assert all(torch.equal(found[key], value) for key, value in weights.items())
    assert not any(hasattr(module, "_hf_hook") for module in model.unet.modules())


def test_levels_do_what_they_say(model: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """GuidedUNet together, feed-forward frame by frame, weights on the device only while a layer works."""
    seen: dict[str, Any] = {}

    def noted(name: str) -> None:
        execution = Execution(model, Plan(LEVELS[name]))
        clips: list[int] = []
        lengths: list[int] = []
        absent: list[bool] = []
        hooks = [
            model.unet.register_forward_pre_hook(lambda module, inputs: clips.append(len(inputs[0]))),
            model.unet.mid_block.attentions[0]
            .transformer_blocks[0]
            .ff.register_forward_pre_hook(lambda module, inputs: lengths.append(len(inputs[0]))),
            model.unet.conv_out.register_forward_pre_hook(
                lambda module, inputs: absent.append(model.unet.conv_in.weight.is_meta)
            ),
        ]
        run_to_end(sampling.paint(execution, clip, replace(RECIPE, num_inference_steps=1)))
        execution.release()
        for hook in hooks:
            hook.remove()
        seen[name] = clips, max(lengths), absent[0]

    for name in LEVELS:
        noted(name)
    assert seen["all"] == ([4], 16, False)
    assert seen["pairs"] == ([2, 2], 8, False)
    assert seen["single"] == seen["offload"] == ([1] * 4, 4, False)
    assert seen["chunked"] == ([1] * 4, 1, False)
    assert seen["sequential"] == ([1] * 4, 1, True)


@pytest.mark.parametrize("part", ["unet", "vae", "image_encoder"])
def test_offloading_leaves_the_device_to_the_network_at_work(part: str, smaller: Path) -> None:
    """A stand-in for a GPU: the meta device, which holds tensors but not their numbers."""
    networks = load(open_model(smaller))
    execution = Execution(networks, Plan(LEVELS["offload"], device="cuda"), device="meta")
    execution._on_device(part)
    there = {name: next(getattr(networks, name).parameters()).is_meta for name in ("unet", "vae", "image_encoder")}
    assert [name for name, present in there.items() if present] == [part]


def test_a_decoder_that_works_in_bands_gives_the_same_frames(
    model: Any, reference: np.ndarray, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bands of a row and portions of a frame, the smallest there are."""
    monkeypatch.setattr(banded_decoder, "_BAND", 1)
    execution = Execution(model, Plan(LEVELS["all"], Decoding(banded=True)))
    assert difference(run_to_end(sampling.paint(execution, clip, RECIPE)).images, reference) <= 1
    assert not any("forward" in vars(module) for module in model.vae.modules())


# Running out


class Scarce:
    """A network that runs out of memory while it is asked for more than it can do at a time."""

    def __init__(self, network: Any, method: str, most: int, times: int = 1000) -> None:
        self.network, self.method, self.most, self.times = network, method, most, times
        self.original = getattr(network, method)
        self.asked: list[int] = []

    def __enter__(self) -> Scarce:
        def scarce(first: torch.Tensor, *others: Any, **named: Any) -> Any:
            self.asked.append(len(first))
            if len(first) > self.most and self.times > 0:
                self.times -= 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return self.original(first, *others, **named)

        setattr(self.network, self.method, scarce)
        return self

    def __exit__(self, *_: object) -> None:
        delattr(self.network, self.method)


def test_denoising_goes_on_where_memory_ran_out(model: Any, clip: Clip, reference: np.ndarray) -> None:
    """Two levels down within the step it happened in; no step is done twice, and the next ones begin there."""
    told: list[tuple[str, str]] = []
    execution = Execution(
        model, Plan(LEVELS["all"], device="cuda"), lowered=lambda plan, stage: told.append((plan.level.name, stage))
    )
    with Scarce(model.unet, "forward", most=1) as unet:
        images = run_to_end(sampling.paint(execution, clip, RECIPE)).images
    assert unet.asked == [4, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    assert told == [("pairs", "denoising"), ("single", "denoising")] and execution.plan.level.name == "single"
    assert difference(images, reference) <= 1


def test_memory_that_runs_out_in_the_last_step_costs_that_step_alone(
    model: Any, clip: Clip, reference: np.ndarray
) -> None:
    execution = Execution(model, Plan(LEVELS["single"], device="cuda"))
    forward, calls = model.unet.forward, []

    def scarce(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 7:
            raise RuntimeError("CUDA error: out of memory")
        return forward(*arguments, **named)

    model.unet.forward = scarce
    try:
        images = run_to_end(sampling.paint(execution, clip, RECIPE)).images
    finally:
        del model.unet.forward
        execution.release()
    assert len(calls) == 4 + 2 + 1 + 4 and execution.plan.level.name == "offload"
    assert difference(images, reference) <= 1


def test_decoding_in_smaller_portions(model: Any) -> None:
    """Portions with context: the decoder looks at neighbours, so that pixels differ a little; by far not as much as
    without.
    """
    latents = noise.frames(3, 8, (4, 8, 16))
    whole = autoencoder.images_of(run_to_end(Execution(model).decode(latents, RECIPE.seam)))
    execution = Execution(model, Plan(LEVELS["all"], device="cuda"))
    with Scarce(model.vae, "decode", most=5) as vae:
        images = autoencoder.images_of(run_to_end(execution.decode(latents, RECIPE.seam)))
    assert vae.asked == [8, 8, 6, 4, 6, 3, 4, 5, 5, 5, 5, 4, 3]
    assert execution.plan.decoding == Decoding(1, banded=True)
    assert execution.plan.level.name == "all", "only the decoder was short of memory"
    without = autoencoder.images_of(
        run_to_end(autoencoder.decode(model.vae, latents, RECIPE.seam, decode_chunk_size=1, context=0))
    )
    ours, theirs = (float(np.abs(each.astype(int) - whole).mean()) for each in (images, without))
    assert 0 < ours < 2 and ours < theirs / 2


@pytest.mark.parametrize(
    ("part", "method", "stage"), [("vae", "encode", "encoding"), ("image_encoder", "forward", "encoding anchors")]
)
def test_encoders_need_room_more_than_portions(
    part: str, method: str, stage: str, model: Any, clip: Clip, reference: np.ndarray
) -> None:
    told: list[str] = []
    execution = Execution(model, Plan(LEVELS["all"], device="cuda"), lowered=lambda plan, stage: told.append(stage))
    with Scarce(getattr(model, part), method, most=0, times=1):
        images = run_to_end(sampling.paint(execution, clip, RECIPE)).images
    assert told == [stage] and execution.plan.level.residence == "offload"
    assert difference(images, reference) <= 1


def test_an_encoder_that_cannot_be_converted_is_as_it_was(clip: Clip) -> None:
    """SVD's encoder is taken to full precision first: where memory runs out half-way through, there is a way back."""
    vae = tiny_model.network("vae", tiny_model.configs(tiny_model.card())["vae"]).to(torch.float16)
    video = autoencoder.video_of(np.zeros((2, 32, 64, 3), np.uint8))
    whole = run_to_end(autoencoder.encode(vae, video, RECIPE.seam))
    convert, calls = vae.to, []

    def scarce(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            vae.encoder.to(torch.float32)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return convert(*arguments, **named)

    vae.to = scarce
    with pytest.raises(torch.OutOfMemoryError):
        run_to_end(autoencoder.encode(vae, video, RECIPE.seam))
    del vae.to
    assert {weight.dtype for weight in vae.parameters()} == {torch.float16}
    assert torch.equal(run_to_end(autoencoder.encode(vae, video, RECIPE.seam)), whole)


def test_when_nothing_helps_it_says_what_would(model: Any, clip: Clip) -> None:
    with Scarce(model.unet, "forward", most=0), pytest.raises(PantheonError, match="most frugal") as refused:
        run_to_end(sampling.paint(Execution(model, Plan(LEVELS["all"], device="cuda")), clip, RECIPE))
    assert refused.value.code == "out-of-memory" and "clip" in refused.value.advice


def test_other_errors_are_not_taken_for_it(model: Any, clip: Clip) -> None:
    assert out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"))
    assert out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)")) and out_of_memory(
        MemoryError()
    )
    assert not out_of_memory(RuntimeError("shapes do not fit")) and not out_of_memory(ValueError("out of memory"))


# Plans

GB = 10**9


def choose(*arguments: Any, **named: Any) -> Plan:
    return run_to_end(memory_plan.choose(*arguments, **named))


def need(**changes: Any) -> Need:
    """A model of 3 + 1 + 1 GB: 2 GB for each evaluation, half where chunked; for each frame decoded 1/2 or 1/6 GB."""
    plain = Need(
        weights={"unet": 3 * GB, "vae": GB, "image_encoder": GB},
        encoding=GB,
        denoising=lambda clips, chunked: clips * (GB if chunked else 2 * GB),
        decoding=lambda frames, banded: frames * GB // (6 if banded else 2),
        held=0,
        streamed=GB // 10,
    )
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("free", "level", "decoding"),
    [
        (40, "all", Decoding()),  # decoding 25 frames takes most: 5 + 12.5
        (15, "all", Decoding(None, True)),  # denoising: 5 + 4 * 2; decoding in bands: 5 + 4.2
        (10.5, "pairs", Decoding(None, True)),  # 5 + 2 * 2, 5 + 4.2
        (8, "offload", Decoding(None, True)),  # 3 + 2, 1 + 4.2
        (5.6, "offload", Decoding(14, True)),  # 3 + 2, 1 + 18 / 6
        (5, "chunked", Decoding(14, True)),  # 3 + 1
        (3, "sequential", Decoding(4, True)),  # 1 + 8 / 6
        (1, "sequential", Decoding(1, True)),  # nothing fits: the most frugal
    ],
)
def test_the_plan_is_the_fastest_that_fits(free: float, level: str, decoding: Decoding) -> None:
    plan = choose(need(), "cuda", int(free * GB), evaluations=4, frames=25)
    assert (plan.level.name, plan.decoding) == (level, decoding)
    assert (plan.need <= 0.9 * free * GB) == (free > 1)


def test_batches_of_evaluations_are_bounded_by_memory() -> None:
    hungry = need(decoding=lambda frames, banded: 0)
    levels = [choose(hungry, "cuda", int(free * GB), evaluations=4, frames=25).level.name for free in (15, 11, 8, 6, 5)]
    assert levels == ["all", "pairs", "single", "offload", "chunked"]
    one_pass = choose(hungry, "cuda", 9 * GB, evaluations=1, frames=25)
    assert one_pass.level.name == "all", "a single evaluation is all there is"


def test_on_a_processor_nothing_is_moved() -> None:
    """Offloading would not help: all weights stay, 5 GB."""
    plans = [choose(need(), "cpu", int(free * GB), evaluations=4, frames=25) for free in (40, 15, 9, 7)]
    assert [(plan.level.name, plan.decoding.frames) for plan in plans] == [
        ("all", None), ("all", None), ("single", 14), ("chunked", 2)
    ]  # fmt: skip


def test_a_level_the_artist_chose_is_kept() -> None:
    for name in LEVELS:
        assert choose(need(), "cuda", 40 * GB, evaluations=4, frames=25, level=name).level.name == name
    assert choose(need(), "cuda", 9 * GB, evaluations=4, frames=25, level="single").decoding == Decoding(14, True)


def test_plans_get_more_frugal_until_there_is_nothing_left() -> None:
    plan: Plan | None = Plan(LEVELS["all"], device="cuda")
    seen = []
    while plan is not None:
        seen.append(plan.level.name)
        plan = plan.lower("denoising")
    assert seen == list(MEMORY_LEVELS) == list(LEVELS)
    following = [plan := Plan(device="cuda")]
    while (plan := following[-1].lower("decoding", frames=25)) is not None:
        following.append(plan)
    assert [plan.decoding for plan in following[: len(DECODINGS)]] == list(DECODINGS)
    assert [plan.level.residence for plan in following[len(DECODINGS) :]] == ["offload", "sequential"]


def test_short_clips_are_decoded_in_portions_as_short() -> None:
    plan = Plan(LEVELS["sequential"], Decoding(4, banded=True), "cuda").lower("decoding", frames=3)
    assert plan is not None and plan.decoding == Decoding(2, banded=True)
    assert Plan(LEVELS["all"], Decoding(1, banded=True), "cpu").lower("decoding", frames=3) is None


def test_plans_that_cannot_fit_are_not_estimated() -> None:
    """Their weights alone are too many; an estimate of a full-size U-Net takes seconds."""
    asked: list[tuple[int, bool]] = []
    counted = need(denoising=lambda clips, chunked: asked.append((clips, chunked)) or 0, decoding=lambda *_: 0)
    assert choose(counted, "cuda", 5 * GB, evaluations=4, frames=25).level.name == "offload"
    assert asked == [(1, False)]
