"""Nothing changes at the seam: models commute with turning the panorama, and are as they were afterwards."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")

import torch

from backend.diffusion.models import tiny_model
from backend.diffusion.networks import autoencoder, panorama
from pantheon360_blender.core.jobs.paint_settings import OFF, SeamOptions
from pantheon360_blender.core.progress import run_to_end

CIRCULAR = SeamOptions(roll="none", padding=0, circular=True)


def noise(*shape: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def velocity(components: Any, inputs: Any) -> Any:
    told = {"encoder_hidden_states": noise(1, 3, 32), "added_time_ids": torch.tensor([[6.0, 127.0, 0.02]])}
    with torch.no_grad():
        return components.unet(inputs, 0.5, **told, return_dict=False)[0]


def difference(a: Any, b: Any) -> float:
    return float((a - b).abs().max())


def test_unet_commutes_with_turning_only_with_circular_convolutions(components: Any) -> None:
    """The U-Net halves its latents three times: it commutes with multiples of eight columns."""
    inputs = noise(1, 2, 8, 8, 24)
    turned = panorama.roll(inputs, 8)
    with panorama.circular_convolutions(components.unet):
        straight, around = velocity(components, inputs), velocity(components, turned)
    assert difference(panorama.roll(straight, 8), around) < 1e-5
    plain = panorama.roll(velocity(components, inputs), 8)
    assert difference(plain, velocity(components, turned)) > 1e-2


def test_circular_convolutions_change_the_edges_and_leave_far_columns_to_attention(components: Any) -> None:
    """A convolution alone: only the columns that its kernel reaches from the edge differ from zero padding."""
    convolution = components.unet.conv_in
    image = noise(1, 8, 6, 12)
    with torch.no_grad():
        plain = convolution(image)
        with panorama.circular_convolutions(components.unet):
            wrapped = convolution(image)
        wide = convolution(torch.cat([image] * 3, dim=-1))[..., 12:24]
    assert torch.equal(plain[..., 1:-1], wrapped[..., 1:-1])
    assert difference(wrapped, wide) < 1e-6 < difference(plain, wide)


@pytest.mark.parametrize("nested", [False, True])
def test_models_are_as_they_were_afterwards(components: Any, nested: bool) -> None:
    inputs = noise(1, 2, 8, 8, 8)
    before = velocity(components, inputs)
    with pytest.raises(RuntimeError, match="stop"), panorama.circular_convolutions(components.unet):
        if nested:
            with panorama.circular_convolutions(components.unet):
                pass
        assert difference(velocity(components, inputs), before) > 1e-3, "the outer context ended too early"
        raise RuntimeError("stop")
    assert torch.equal(velocity(components, inputs), before)


def test_convolutions_wrap_while_weights_are_offloaded() -> None:
    """Sequential offload replaces what modules call; the seam is closed all the same, and stays theirs afterwards."""
    accelerate = pytest.importorskip("accelerate", reason="the backend environment has accelerate")
    unet = tiny_model.network("unet", tiny_model.configs(tiny_model.card())["unet"])
    model, inputs = SimpleNamespace(unet=unet), noise(1, 2, 8, 8, 8)
    with panorama.circular_convolutions(unet):
        resident = velocity(model, inputs)
        accelerate.cpu_offload(unet, execution_device=torch.device("cpu"))
    assert next(unet.parameters()).device.type == "meta"
    open_seam = velocity(model, inputs)
    with panorama.circular_convolutions(unet):
        assert torch.equal(velocity(model, inputs), resident)
    assert torch.equal(velocity(model, inputs), open_seam) and difference(open_seam, resident) > 1e-3


@pytest.mark.parametrize(("seam", "commutes"), [(CIRCULAR, True), (OFF, False)])
def test_vae_commutes_with_turning(components: Any, seam: SeamOptions, commutes: bool) -> None:
    video, latents = noise(2, 3, 32, 64).clamp(-1, 1), noise(2, 4, 4, 8)
    coded = [run_to_end(autoencoder.encode(components.vae, panorama.roll(video, t), seam)) for t in (0, 24)]
    drawn = [run_to_end(autoencoder.decode(components.vae, panorama.roll(latents, t), seam)) for t in (0, 3)]
    worst = max(difference(panorama.roll(coded[0], 3), coded[1]), difference(panorama.roll(drawn[0], 24), drawn[1]))
    assert worst < 1e-5 if commutes else worst > 1e-2


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_padding_comes_near_to_circular_convolutions(components: Any, direction: str) -> None:
    """Two columns from beyond the seam take most of what is wrong there away."""
    given = noise(2, 4, 8, 32) if direction == "decode" else noise(1, 3, 64, 256).clamp(-1, 1)
    edge = 4 if direction == "decode" else 1

    def painted(seam: SeamOptions) -> Any:
        return run_to_end(getattr(autoencoder, direction)(components.vae, given, seam))

    def seam_error(columns: int) -> float:
        error = (painted(SeamOptions("none", columns, circular=False)) - painted(CIRCULAR)).abs()
        return float(torch.cat([error[..., :edge], error[..., -edge:]]).mean())

    assert seam_error(2) < seam_error(0) / 4


def test_padding_is_cropped_again() -> None:
    columns = torch.arange(6.0).expand(1, 2, 6)
    assert panorama.padded(columns, 2)[0, 0].tolist() == [4, 5, 0, 1, 2, 3, 4, 5, 0, 1]
    assert torch.equal(panorama.cropped(panorama.padded(columns, 2), 2), columns)


def test_turns_of_the_steps() -> None:
    assert [panorama.columns_of_step("none", step, 128, 0) for step in range(3)] == [0, 0, 0]
    assert [panorama.columns_of_step("quarter", step, 128, 0) for step in range(5)] == [0, 32, 64, 96, 0]
    random = [panorama.columns_of_step("random", step, 128, 7) for step in range(50)]
    assert random == [panorama.columns_of_step("random", step, 128, 7) for step in range(50)]
    assert random != [panorama.columns_of_step("random", step, 128, 8) for step in range(50)]
    assert min(random) < 32 and max(random) >= 96 and all(0 <= columns < 128 for columns in random)
