"""Estimates of memory against torch's profiler, which sees every allocation of the same work done in earnest."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")

import torch
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from backend.diffusion.execution import dry_run, execution
from backend.diffusion.models import tiny_model
from backend.diffusion.networks import autoencoder, feed_forward, panorama
from pantheon360_blender.core.jobs.paint_settings import OFF, SeamOptions
from pantheon360_blender.core.progress import run_to_end

CONFIGS = tiny_model.configs(tiny_model.card())
CIRCULAR = SeamOptions(roll="none", padding=0, circular=True)
SHAPE: dict[str, Any] = {"clips": 1, "frames": 4, "height": 8, "width": 16, "dtype": torch.float32}
COUNT = 4096
BYTES = 4 * COUNT

Work = Callable[[Any], Any]


@pytest.fixture
def two_threads() -> Iterator[None]:
    """With one thread torch unfolds the decoder's convolutions over time, which takes three times their image."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def profiled(work: Callable[[], Any]) -> int:
    """The peak of memory on the CPU: the largest sum of what had been allocated and not yet freed."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        kept = work()
    del kept
    events = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def sliced_and_kept(x: Any) -> Any:
    first = x.clone()[:1]
    return first, x + 1


def reused(x: Any) -> Any:
    for _ in range(3):
        x = x + 1
    return x


@pytest.mark.parametrize(
    ("work", "tensors"),
    [
        (lambda x: x, 0),
        (lambda x: x + 1, 1),
        (lambda x: torch.ones_like(x) + torch.ones_like(x), 3),
        (lambda x: x.view(2, -1).t()[1:], 0),
        (lambda x: x.add_(1), 0),
        (lambda x: x.clone().add_(1).view(2, -1).mul_(2), 1),
        (lambda x: (x + 1) * 2 + 3, 2),
        (reused, 2),
        (lambda x: [x + number for number in range(5)], 5),
        (lambda x: torch.cat([x, x]).chunk(2), 2),
        (sliced_and_kept, 2),
        (lambda x: x.half(), 0.5),
        (lambda x: x.view(1, 1, -1).expand(8, 1, -1), 0),
        (lambda x: torch.tensor([1.0] * COUNT) + 1, 2),
        (lambda x: [torch.full((COUNT,), number, device=x.device) for number in (1, 1.0)], 3),
    ],
    ids=str,
)
def test_peak_is_what_one_counts_by_hand(work: Work, tensors: float) -> None:
    for device in ("cpu", "meta"):
        x = torch.ones(COUNT, device=device)
        assert dry_run.peak(lambda x=x: work(x)) == tensors * BYTES
    x = torch.ones(COUNT)
    assert profiled(lambda: work(x)) == pytest.approx(tensors * BYTES, abs=64)


@torch.no_grad()
@pytest.mark.parametrize("channels", [(64, 32), (32, 64)], ids=str)
def test_convolutions_work_on_copies(channels: tuple[int, int]) -> None:
    image, weight = torch.ones(2, channels[0], 64, 64), torch.ones(channels[1], channels[0], 3, 3)
    blank = image.to("meta"), weight.to("meta")
    found = dry_run.peak(lambda: functional.conv2d(*blank, padding=1))
    assert found == profiled(lambda: functional.conv2d(image, weight, padding=1))


@torch.no_grad()
@pytest.mark.parametrize("queries", [256, 1024])
def test_attention_never_has_all_its_scores(queries: int) -> None:
    query = torch.ones(4, queries, 8, 16).transpose(1, 2)
    blank = query.to("meta")
    found = dry_run.peak(lambda: functional.scaled_dot_product_attention(blank, blank, value=blank))
    assert found == pytest.approx(query.nbytes, rel=0.1)
    measured = profiled(lambda: functional.scaled_dot_product_attention(query, query, value=query))
    assert measured < 2 * query.nbytes < 4 * 8 * queries**2 * query.itemsize, "torch's own is not fused here"


@torch.no_grad()
@pytest.mark.parametrize(("clips", "seam"), [(1, OFF), (2, CIRCULAR)], ids=["flat", "circular"])
def test_unet_takes_what_was_estimated(components: Any, clips: int, seam: SeamOptions) -> None:
    """In chunks first: what an estimate does to the network must not reach the next."""
    told = torch.zeros(clips, 8, 32), torch.zeros(clips, 3)

    def predict() -> Any:
        return execution.predictor(components.unet)(torch.zeros(clips, 4, 8, 8, 16), torch.zeros(()), *told)

    for chunked in (True, False):
        estimate = dry_run.unet_peak(CONFIGS["unet"], **{**SHAPE, "clips": clips}, seam=seam, chunked=chunked)
        with panorama.circular_convolutions(*[components.unet] if seam.circular else []):
            if chunked:
                with feed_forward.chunked(components.unet):
                    measured = profiled(predict)
            else:
                measured = profiled(predict)
        assert estimate == pytest.approx(measured, rel=0.02)


@torch.no_grad()
@pytest.mark.parametrize("seam", [OFF, CIRCULAR, SeamOptions("none", 2, False)], ids=["flat", "circular", "padded"])
def test_vae_takes_what_was_estimated(seam: SeamOptions, two_threads: None) -> None:
    """Its last level is half as wide as those below, as in the full size: there the seam costs most."""
    config = {**CONFIGS["vae"], "block_out_channels": [32, 64, 64, 64]}
    vae = tiny_model.network("vae", config).requires_grad_(False)
    frames, height, width = 2, 48, 8  # large enough for oneDNN to take the convolutions over time
    video = torch.zeros(()).expand(frames, 3, 8 * height, 8 * width)
    latents = torch.zeros(frames, 4, height, width)
    given = {"frames": frames, "dtype": torch.float32, "seam": seam}
    encoding = dry_run.encode_peak(config, height=8 * height, width=8 * width, **given)
    decoding = dry_run.decode_peak(config, height=height, width=width, **given)
    encoded = profiled(lambda: run_to_end(autoencoder.encode(vae, video, seam, encode_chunk_size=frames)))
    decoded = profiled(lambda: run_to_end(autoencoder.decode(vae, latents, seam)))
    assert encoding == pytest.approx(encoded, rel=0.05)
    assert decoding == pytest.approx(decoded, rel=0.05)


@pytest.mark.parametrize("larger", ["clips", "frames", "height", "width"])
def test_twice_as_much_takes_twice_as_much(larger: str) -> None:
    twice = {**SHAPE, larger: 2 * SHAPE[larger]}
    assert 1.8 < dry_run.unet_peak(CONFIGS["unet"], **twice) / dry_run.unet_peak(CONFIGS["unet"], **SHAPE) < 2.4
    if larger == "clips":
        return
    for estimate in (dry_run.encode_peak, dry_run.decode_peak):
        small, large = ({**shape, "height": 8 * shape["height"]} for shape in (SHAPE, twice))
        del small["clips"], large["clips"]
        assert estimate(CONFIGS["vae"], **large) == pytest.approx(2 * estimate(CONFIGS["vae"], **small), rel=0.05)


def test_half_precision_takes_half() -> None:
    half = {**SHAPE, "dtype": torch.float16}
    whole, halved = (dry_run.unet_peak(CONFIGS["unet"], **shape) for shape in (SHAPE, half))
    assert halved == pytest.approx(whole / 2, rel=0.05)
    del half["clips"]
    whole, halved = (
        dry_run.decode_peak(CONFIGS["vae"], **{**half, "dtype": d}) for d in (torch.float32, torch.float16)
    )
    assert halved == pytest.approx(whole / 2, rel=0.05)


def test_encoder_that_must_not_be_in_half_precision_takes_as_much_as_in_full() -> None:
    """And its weights in full precision besides (autoencoder.encode)."""
    shape = {name: value for name, value in SHAPE.items() if name not in ("clips", "dtype")}
    kept = {**CONFIGS["vae"], "force_upcast": False}
    full = dry_run.encode_peak(CONFIGS["vae"], **shape, dtype=torch.float32)
    converted = full + dry_run.weights("vae", CONFIGS["vae"], torch.float32)
    assert dry_run.encode_peak(CONFIGS["vae"], **shape, dtype=torch.float16) == converted
    assert dry_run.encode_peak(kept, **shape, dtype=torch.float16) < 0.6 * full


def test_chunks_take_less_and_predict_the_same(components: Any) -> None:
    noise = torch.randn(1, 4, 8, 8, 16, generator=torch.Generator().manual_seed(1))
    given = (noise, torch.tensor(0.5), torch.zeros(1, 8, 32), torch.zeros(1, 3))
    predict = execution.predictor(components.unet)
    with torch.no_grad():
        whole = predict(*given)
        taken = dry_run.peak(lambda: predict(*given))
        with feed_forward.chunked(components.unet):
            assert torch.allclose(predict(*given), whole, atol=1e-5)
            assert dry_run.peak(lambda: predict(*given)) < 0.8 * taken
        assert dry_run.peak(lambda: predict(*given)) == taken


@pytest.mark.parametrize("part", ["unet", "vae", "image_encoder"])
def test_weights_take_what_is_loaded(components: Any, part: str) -> None:
    loaded = sum(weight.nbytes for weight in getattr(components, part).parameters())
    assert dry_run.weights(part, CONFIGS[part], torch.float32) == loaded
    assert dry_run.weights(part, CONFIGS[part], torch.float16) == loaded / 2


def test_weights_of_full_size_are_those_that_stability_published() -> None:
    """SVD-XT's U-Net in half precision is a file of 3.05 GB."""
    card = tiny_model.card("full", conditioning=("noise:4", "geometry:4"))
    published = dry_run.weights("unet", tiny_model.configs(card, "full")["unet"], torch.float16)
    assert published == pytest.approx(3.05e9, rel=0.002)


def tensors_alive() -> int:
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def test_nothing_is_left_behind() -> None:
    dry_run.unet_peak(CONFIGS["unet"], **{**SHAPE, "width": 40})  # the network is kept
    before = tensors_alive()
    dry_run.unet_peak(CONFIGS["unet"], **{**SHAPE, "width": 24}, chunked=True)
    assert tensors_alive() == before


def test_work_that_fails_leaves_torch_as_it_was() -> None:
    def fail() -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        dry_run.peak(fail)
    query = torch.ones(1, 2, 8, 16, device="meta")
    bare = functional.scaled_dot_product_attention(query, query, query)
    assert bare.is_contiguous() and torch.utils._python_dispatch._get_current_dispatch_mode() is None
