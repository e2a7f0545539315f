"""LoRA: what diffusers' format says is what happens to the U-Net, and it can be taken back."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("diffusers", reason="needs diffusers")

from safetensors.torch import save_file  # noqa: E402

from backend.diffusion.models import loading, lora, model_folder  # noqa: E402
from pantheon360_blender.core.errors import ModelError  # noqa: E402

TO_Q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
TO_OUT = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0"
PROCESSOR = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor"
CONVOLUTION = "down_blocks.0.resnets.0.spatial_res_block.conv1"


def factors(*shape: int, rank: int = 4, seed: int = 0) -> tuple[Any, Any]:
    """down (rank, in, ...) and up (out, rank, 1 ...) for a weight of this shape."""
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(rank, *shape[1:], generator=generator)
    return down, torch.randn(shape[0], rank, *[1] * len(shape[2:]), generator=generator)


DOWN, UP = factors(32, 32)


@pytest.fixture(scope="module")
def loaded(tiny: Path) -> Any:
    return loading.load(model_folder.open(tiny)).unet


@pytest.fixture
def unet(loaded: Any) -> Any:
    """A U-Net of this test's own."""
    return copy.deepcopy(loaded)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(tensors: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
        path = tmp_path / "lora.safetensors"
        save_file(tensors, path, metadata)
        return path

    return write


def painted(unet: Any) -> Any:
    generator = torch.Generator().manual_seed(5)
    sample = torch.randn(1, 2, 8, 8, 8, generator=generator)
    with torch.inference_mode():
        return unet(sample, 1.0, torch.ones(1, 8, 32), torch.tensor([[6.0, 127.0, 0.02]])).sample


def test_it_changes_what_is_painted(tiny: Path, written: Callable[..., Path]) -> None:
    folder = model_folder.open(tiny)
    plain = painted(loading.load(folder).unet)
    path = written({f"unet.{TO_Q}.lora_A.weight": DOWN, f"unet.{TO_Q}.lora_B.weight": UP})
    changed = loading.load(folder, loras=[(path, 0.5), (path, 0.25)])
    assert (painted(changed.unet) - plain).abs().max() > 1e-4
    assert torch.equal(painted(loading.load(folder).unet), plain), "its files stay as they are"


def test_strength_nought_is_without(unet: Any, loaded: Any, written: Callable[..., Path]) -> None:
    lora.apply(unet, lora.read(written({f"{TO_Q}.lora_A.weight": DOWN, f"{TO_Q}.lora_B.weight": UP})), 0.0)
    assert all(torch.equal(*pair) for pair in zip(unet.parameters(), loaded.parameters(), strict=True))


@pytest.mark.parametrize(
    ("names", "module"),
    [
        ((f"unet.{TO_Q}.lora_A.weight", f"unet.{TO_Q}.lora_B.weight"), TO_Q),
        ((f"{TO_Q}.lora_A.default.weight", f"{TO_Q}.lora_B.default.weight"), TO_Q),
        ((f"base_model.model.{TO_Q}.lora_A.weight", f"base_model.model.{TO_Q}.lora_B.weight"), TO_Q),
        ((f"unet.{TO_Q}.lora.down.weight", f"unet.{TO_Q}.lora.up.weight"), TO_Q),
        (
            (f"{PROCESSOR}.to_q_lora.down.weight", f"{PROCESSOR}.to_q_lora.up.weight"),
            TO_Q,
        ),
        (
            (f"unet.{PROCESSOR}.to_out_lora.down.weight", f"unet.{PROCESSOR}.to_out_lora.up.weight"),
            TO_OUT,
        ),
    ],
)
def test_every_way_of_writing_it_adds_up_times_down(
    unet: Any, written: Callable[..., Path], names: tuple[str, str], module: str
) -> None:
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    lora.apply(unet, lora.read(written({names[0]: DOWN, names[1]: UP})), 0.5)
    for name, tensor in unet.state_dict().items():
        change = 0.5 * UP @ DOWN if name == f"{module}.weight" else torch.zeros(())
        torch.testing.assert_close(tensor, before[name] + change)


def test_convolutions_are_a_small_one_after_another(unet: Any, written: Callable[..., Path]) -> None:
    convolution = unet.get_submodule(CONVOLUTION)
    down, up = factors(*convolution.weight.shape)
    picture = torch.randn(1, convolution.weight.shape[1], 6, 6)
    low = torch.nn.functional.conv2d(picture, down, padding=1)
    expected = convolution(picture) + torch.nn.functional.conv2d(low, up)
    lora.apply(
        unet, lora.read(written({f"{CONVOLUTION}.lora_A.weight": down, f"{CONVOLUTION}.lora_B.weight": up})), 1.0
    )
    torch.testing.assert_close(convolution(picture), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("where", ["tensor", "metadata", "pattern"])
def test_alpha_scales_by_the_rank(written: Callable[..., Path], where: str) -> None:
    tensors = {f"unet.{TO_Q}.lora_A.weight": DOWN, f"unet.{TO_Q}.lora_B.weight": UP}
    adapter: dict[str, Any] = {"unet.r": 4, "unet.lora_alpha": 2 if where == "metadata" else 100}
    if where == "tensor":
        tensors[f"unet.{TO_Q}.alpha"] = torch.tensor(2.0)
    if where == "pattern":
        adapter["unet.alpha_pattern"] = {TO_Q: 2}
    change = lora.read(written(tensors, {"lora_adapter_metadata": json.dumps(adapter)})).changes[TO_Q]
    torch.testing.assert_close(change.delta(torch.zeros(32, 32)), 0.5 * UP @ DOWN)


def test_half_precision_rounds_once(tiny: Path, written: Callable[..., Path]) -> None:
    path = written({f"{TO_Q}.lora_A.weight": DOWN.half(), f"{TO_Q}.lora_B.weight": UP.half()})
    loaded = loading.load(model_folder.open(tiny), dtype=torch.float16)
    before = loaded.unet.get_parameter(f"{TO_Q}.weight").clone()
    lora.apply(loaded.unet, lora.read(path), 1.0)
    expected = (before.float() + UP.half().float() @ DOWN.half().float()).half()
    assert torch.equal(loaded.unet.get_parameter(f"{TO_Q}.weight"), expected)


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({f"{TO_Q}.lora_A.weight": DOWN}, "half"),
        ({f"{TO_Q}.lora_A.weight": DOWN, f"{TO_Q}.lora_B.weight": UP[:, :3].clone()}, "do not fit"),
        ({f"{TO_Q}.lora_A.weight": DOWN[:, :8].clone(), f"{TO_Q}.lora_B.weight": UP}, "its weight is"),
        ({"text_model.to_q.lora_A.weight": DOWN, "text_model.to_q.lora_B.weight": UP}, "does not have"),
        ({"conv_in.weight": DOWN}, "no part of a LoRA"),
        ({f"{TO_Q}.lora_A.weight": DOWN * float("nan"), f"{TO_Q}.lora_B.weight": UP}, "not finite"),
        ({f"{TO_Q}.lora_A.weight": torch.zeros(()), f"{TO_Q}.lora_B.weight": UP}, "do not fit"),
        ({}, "nothing"),
    ],
)
def test_what_does_not_fit_leaves_the_network_alone(
    unet: Any, written: Callable[..., Path], tensors: dict[str, Any], says: str
) -> None:
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    fitting = {f"{TO_OUT}.lora_A.weight": DOWN.clone(), f"{TO_OUT}.lora_B.weight": UP.clone()} if tensors else {}
    with pytest.raises(ModelError, match=says):
        lora.apply(unet, lora.read(written({**tensors, **fitting})), 1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in unet.state_dict().items())


def test_files_that_are_no_lora(tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "lora.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match="pickle"):
        lora.read(tmp_path / "lora.bin")
    with pytest.raises(ModelError, match="cannot be read"):
        lora.read(tmp_path / "nowhere.safetensors")
    (tmp_path / "torn.safetensors").write_bytes((tiny / "unet/diffusion_pytorch_model.safetensors").read_bytes()[:999])
    with pytest.raises(ModelError, match="truncated"):
        lora.read(tmp_path / "torn.safetensors")
    with pytest.raises(ModelError, match="no part of a LoRA"):
        loading.load(model_folder.open(tiny), loras=[(tiny / "unet/diffusion_pytorch_model.safetensors", 1.0)])


@pytest.mark.parametrize("alpha", ["1" + "0" * 400, "NaN", "true", '"4"', "[1]", "{}"])
def test_a_scale_that_is_no_number_is_none(written: Callable[..., Path], alpha: str) -> None:
    stored = {"lora_adapter_metadata": f'{{"lora_alpha": {alpha}}}'}
    change = lora.read(written({f"{TO_Q}.lora_A.weight": DOWN, f"{TO_Q}.lora_B.weight": UP}, stored)).changes[TO_Q]
    assert change.scale == 1.0


def test_more_than_one_scale_is_refused_and_floats_of_eight_bits_are_not(written: Callable[..., Path]) -> None:
    tensors = {f"{TO_Q}.lora_A.weight": DOWN, f"{TO_Q}.lora_B.weight": UP}
    with pytest.raises(ModelError, match="more than one number"):
        lora.read(written({**tensors, f"{TO_Q}.alpha": torch.ones(2)}))
    small = {name: tensor.to(torch.float8_e4m3fn) for name, tensor in tensors.items()}
    assert lora.read(written(small)).changes[TO_Q].scale == 1.0
    for text in ("{", "[" * 5000):
        with pytest.raises(ModelError, match="damaged metadata"):
            lora.read(written(tensors, {"lora_adapter_metadata": text}))
