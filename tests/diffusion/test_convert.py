"""Converting: pickles without running them, and Stable Video Diffusion's single files name by name."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("diffusers", reason="needs diffusers")

from safetensors.torch import load_file, save_file  # noqa: E402

from backend.__main__ import main  # noqa: E402
from backend.diffusion.models import architecture, convert, loading, model_folder, published_names, tiny_model  # noqa: E402
from pantheon360_blender.core.errors import ModelError  # noqa: E402
from pantheon360_blender.core.progress import run_to_end  # noqa: E402

STEMS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "image_encoder": "model"}


class RunsCode:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("executed",))


@pytest.fixture
def pickled(model: Callable[..., Path]) -> Path:
    """A folder as published before safetensors."""
    path = model("pickled")
    for part, stem in STEMS.items():
        file = path / part / f"{stem}.safetensors"
        torch.save(load_file(file), path / part / f"{'pytorch_model' if stem == 'model' else stem}.bin")
        file.unlink()
    return path


def weights(folder: Path) -> dict[str, Any]:
    loaded = loading.load(model_folder.open(folder))
    return {f"{part}.{name}": tensor for part in STEMS for name, tensor in getattr(loaded, part).state_dict().items()}


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_pickled_folders_keep_every_number(pickled: Path, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="pickle"):
        model_folder.open(pickled)
    converted = run_to_end(convert.convert(pickled, tmp_path / "safe"))
    assert converted.card == model_folder.open(tiny).card
    assert not [file for file in converted.path.rglob("*") if file.suffix == ".bin"]
    assert same(weights(tmp_path / "safe"), weights(tiny))


def test_large_parts_become_shards(pickled: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "SHARD", 1_000_000)
    run_to_end(convert.convert(pickled, tmp_path / "safe"))
    shards = list((tmp_path / "safe" / "unet").glob("*-of-*.safetensors"))
    assert len(shards) > 3 and all(shard.stat().st_size < 1_500_000 for shard in shards)
    assert same(weights(tmp_path / "safe"), weights(tiny))


def test_half_precision_halves(pickled: Path, tiny: Path, tmp_path: Path) -> None:
    small = run_to_end(convert.convert(pickled, tmp_path / "safe", half=True))
    assert small.bytes < 0.55 * model_folder.open(tiny).bytes


def test_pickled_shards_are_read(pickled: Path, tiny: Path, tmp_path: Path) -> None:
    whole = pickled / "unet" / "diffusion_pytorch_model.bin"
    tensors = torch.load(whole, weights_only=True)
    whole.unlink()
    weight_map = {}
    for index, names in enumerate((list(tensors)[::2], list(tensors)[1::2])):
        torch.save({name: tensors[name].clone() for name in names}, pickled / "unet" / f"part-{index}.bin")
        weight_map.update(dict.fromkeys(names, f"part-{index}.bin"))
    index_file = pickled / "unet" / "diffusion_pytorch_model.bin.index.json"
    index_file.write_text(json.dumps({"weight_map": weight_map}))
    run_to_end(convert.convert(pickled, tmp_path / "safe"))
    assert same(weights(tmp_path / "safe"), weights(tiny))


def test_tensors_under_state_dict_and_of_the_oldest_format(pickled: Path, tiny: Path, tmp_path: Path) -> None:
    file = pickled / "vae" / "diffusion_pytorch_model.bin"
    torch.save({"state_dict": torch.load(file, weights_only=True)}, file, _use_new_zipfile_serialization=False)
    run_to_end(convert.convert(pickled, tmp_path / "safe"))
    assert same(weights(tmp_path / "safe"), weights(tiny))


@pytest.mark.parametrize("how", ["bare", "torch", "old"])
def test_pickles_that_would_run_code_are_refused_and_do_not_run(
    pickled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = pickled / "unet" / "diffusion_pytorch_model.bin"
    if how == "bare":
        file.write_bytes(pickle.dumps({"conv_in.weight": RunsCode()}))
    else:
        torch.save({"conv_in.weight": RunsCode()}, file, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(ModelError) as refused:
        run_to_end(convert.convert(pickled, tmp_path / "safe"))
    assert refused.value.code == "pickle" and file.name in refused.value.text
    assert not (tmp_path / "executed").exists() and not (tmp_path / "safe").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04torn", b"\x80\x04]q\x00."])
def test_damaged_pickles(pickled: Path, tmp_path: Path, content: bytes) -> None:
    (pickled / "unet" / "diffusion_pytorch_model.bin").write_bytes(content)
    with pytest.raises(ModelError, match=r"diffusion_pytorch_model\.bin"):
        run_to_end(convert.convert(pickled, tmp_path / "safe"))
    assert [path.name for path in tmp_path.iterdir() if "safe" in path.name] == []


def test_what_cannot_be_converted(tmp_path: Path, tiny: Path) -> None:
    with pytest.raises(ModelError, match="no"):
        run_to_end(convert.convert(tmp_path / "nowhere", tmp_path / "safe"))
    with pytest.raises(ModelError, match="already"):
        run_to_end(convert.convert(tiny, tmp_path))
    with pytest.raises(ModelError, match="lacks"):
        run_to_end(convert.convert(tmp_path, tmp_path / "safe"))
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="no Stable Video Diffusion"):
        run_to_end(convert.convert(tmp_path / "other.safetensors", tmp_path / "safe"))


# Single files -------------------------------------------------------------------------------------------------------

SMALL = {
    # Heads of SVD's sizes, 64 channels in the U-Net and 80 in CLIP: no shape in a single file tells them.
    "unet": {"block_out_channels": [64, 64, 128, 128], "num_attention_heads": [1, 1, 2, 2], "layers_per_block": 2},
    "vae": {"layers_per_block": 2, "block_out_channels": [32, 32, 64, 64]},
    "image_encoder": {"hidden_size": 160, "num_attention_heads": 2, "patch_size": 14},
}


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    configs = tiny_model.configs(tiny_model.card(frames=25))
    return {part: tiny_model.network(part, {**configs[part], **SMALL[part]}) for part in STEMS}


def published(networks: dict[str, Any]) -> dict[str, Any]:
    """The networks as one file in the published layout, walked block by block as sgm builds its networks."""
    made: dict[str, Any] = {}
    _publish_unet(networks["unet"], made)
    _publish_vae(networks["vae"], made)
    _publish_vision(networks["image_encoder"], made)
    return {name: tensor.detach().clone().contiguous() for name, tensor in made.items()}


def _under(prefix: str, module: Any, made: dict[str, Any], names: dict[str, str] | None = None) -> None:
    """A module's weights below a prefix, its children called by other names."""
    for name, tensor in module.state_dict().items():
        head, _, tail = name.partition(".")
        made[f"{prefix}.{(names or {}).get(head, head)}{'.' if tail else ''}{tail}"] = tensor


OPENAI = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip


def _publish_unet(unet: Any, made: dict[str, Any]) -> None:
    top = "model.diffusion_model"

    def resnet(place: str, module: Any) -> None:
        _under(place, module.spatial_res_block, made, OPENAI)
        _under(f"{place}.time_stack", module.temporal_res_block, made, OPENAI)
        made[f"{place}.time_mixer.mix_factor"] = module.time_mixer.mix_factor

    def transformer(place: str, module: Any) -> None:
        _under(place, module, made, {"temporal_transformer_blocks": "time_stack"})
        for layer, index in (("linear_1", 0), ("linear_2", 2)):
            for kind in ("weight", "bias"):
                made[f"{place}.time_pos_embed.{index}.{kind}"] = made.pop(f"{place}.time_pos_embed.{layer}.{kind}")

    for place, module in (
        ("time_embed.0", unet.time_embedding.linear_1), ("time_embed.2", unet.time_embedding.linear_2),
        ("label_emb.0.0", unet.add_embedding.linear_1), ("label_emb.0.2", unet.add_embedding.linear_2),
        ("input_blocks.0.0", unet.conv_in), ("out.0", unet.conv_norm_out), ("out.2", unet.conv_out),
    ):  # fmt: skip
        _under(f"{top}.{place}", module, made)
    number = 0
    for block in unet.down_blocks:
        for layer, module in enumerate(block.resnets):
            number += 1
            resnet(f"{top}.input_blocks.{number}.0", module)
            if getattr(block, "attentions", None):
                transformer(f"{top}.input_blocks.{number}.1", block.attentions[layer])
        if block.downsamplers:
            number += 1
            _under(f"{top}.input_blocks.{number}.0.op", block.downsamplers[0].conv, made)
    resnet(f"{top}.middle_block.0", unet.mid_block.resnets[0])
    transformer(f"{top}.middle_block.1", unet.mid_block.attentions[0])
    resnet(f"{top}.middle_block.2", unet.mid_block.resnets[1])
    number = -1
    for block in unet.up_blocks:
        attends = bool(getattr(block, "attentions", None))
        for layer, module in enumerate(block.resnets):
            number += 1
            resnet(f"{top}.output_blocks.{number}.0", module)
            if attends:
                transformer(f"{top}.output_blocks.{number}.1", block.attentions[layer])
        if block.upsamplers:
            _under(f"{top}.output_blocks.{number}.{1 + attends}.conv", block.upsamplers[0].conv, made)


def _publish_vae(vae: Any, made: dict[str, Any]) -> None:
    encoder, decoder = "conditioner.embedders.3.encoder.encoder", "first_stage_model.decoder"
    shortcut = {"conv_shortcut": "nin_shortcut"}

    def attention(place: str, module: Any) -> None:
        _under(f"{place}.norm", module.group_norm, made)
        for name, linear in (
            ("q", module.to_q),
            ("k", module.to_k),
            ("v", module.to_v),
            ("proj_out", module.to_out[0]),
        ):
            made[f"{place}.{name}.weight"] = linear.weight[:, :, None, None]
            made[f"{place}.{name}.bias"] = linear.bias

    def temporal(place: str, module: Any) -> None:
        _under(place, module.spatial_res_block, made, shortcut)
        _under(f"{place}.time_stack", module.temporal_res_block, made, OPENAI)
        made[f"{place}.mix_factor"] = module.time_mixer.mix_factor

    _under("conditioner.embedders.3.encoder.quant_conv", vae.quant_conv, made)
    for place, module in ((encoder, vae.encoder), (decoder, vae.decoder)):
        _under(f"{place}.conv_in", module.conv_in, made)
        _under(f"{place}.norm_out", module.conv_norm_out, made)
        _under(f"{place}.conv_out", module.conv_out, made)
        attention(f"{place}.mid.attn_1", module.mid_block.attentions[0])
    _under(f"{decoder}.conv_out.time_mix_conv", vae.decoder.time_conv_out, made)
    for index in (0, 1):
        _under(f"{encoder}.mid.block_{index + 1}", vae.encoder.mid_block.resnets[index], made, shortcut)
        temporal(f"{decoder}.mid.block_{index + 1}", vae.decoder.mid_block.resnets[index])
    for level, block in enumerate(vae.encoder.down_blocks):
        for layer, module in enumerate(block.resnets):
            _under(f"{encoder}.down.{level}.block.{layer}", module, made, shortcut)
        if block.downsamplers:
            _under(f"{encoder}.down.{level}.downsample.conv", block.downsamplers[0].conv, made)
    for level, block in enumerate(reversed(vae.decoder.up_blocks)):
        for layer, module in enumerate(block.resnets):
            temporal(f"{decoder}.up.{level}.block.{layer}", module)
        if block.upsamplers:
            _under(f"{decoder}.up.{level}.upsample.conv", block.upsamplers[0].conv, made)


def _publish_vision(clip: Any, made: dict[str, Any]) -> None:
    top = "conditioner.embedders.0.open_clip.model.visual"
    vision = clip.vision_model
    made[f"{top}.class_embedding"] = vision.embeddings.class_embedding
    made[f"{top}.conv1.weight"] = vision.embeddings.patch_embedding.weight
    made[f"{top}.positional_embedding"] = vision.embeddings.position_embedding.weight
    made[f"{top}.proj"] = clip.visual_projection.weight.T
    _under(f"{top}.ln_pre", vision.pre_layrnorm, made)
    _under(f"{top}.ln_post", vision.post_layernorm, made)
    for index, layer in enumerate(vision.encoder.layers):
        place = f"{top}.transformer.resblocks.{index}"
        _under(f"{place}.ln_1", layer.layer_norm1, made)
        _under(f"{place}.ln_2", layer.layer_norm2, made)
        _under(f"{place}.mlp.c_fc", layer.mlp.fc1, made)
        _under(f"{place}.mlp.c_proj", layer.mlp.fc2, made)
        _under(f"{place}.attn.out_proj", layer.self_attn.out_proj, made)
        three = (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)
        made[f"{place}.attn.in_proj_weight"] = torch.cat([linear.weight for linear in three])
        made[f"{place}.attn.in_proj_bias"] = torch.cat([linear.bias for linear in three])


@pytest.mark.parametrize(("name", "kind", "frames"), [("svd.safetensors", "svd", 14), ("svd_xt.ckpt", "svd-xt", 25)])
def test_single_files_become_the_networks_they_were(
    networks: dict[str, Any], tmp_path: Path, name: str, kind: str, frames: int
) -> None:
    tensors = published(networks)
    tensors["model_ema.decay"] = torch.tensor(0.5)  # what nobody needs is left
    if name.endswith(".ckpt"):
        torch.save({"state_dict": tensors, "global_step": 7}, tmp_path / name)
    else:
        save_file(tensors, tmp_path / name)
    folder = run_to_end(convert.convert(tmp_path / name, tmp_path / "folder"))
    assert (folder.card.kind, folder.card.frames) == (kind, frames)
    loaded = loading.load(folder)
    for part, network in networks.items():
        expected = network.state_dict()
        found = getattr(loaded, part).state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected), part
    # Weights alone do not tell that heads, blocks and activations agree.
    sample, ids = torch.randn(1, 2, 8, 8, 8), torch.tensor([[6.0, 127.0, 0.02]])
    pixels = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        painted = [unet(sample, 1.0, torch.ones(1, 1, 32), ids).sample for unet in (loaded.unet, networks["unet"])]
        seen = [clip(pixels).image_embeds for clip in (loaded.image_encoder, networks["image_encoder"])]
    torch.testing.assert_close(*painted)
    torch.testing.assert_close(*seen)


def test_a_single_file_that_lacks_a_tensor(networks: dict[str, Any], tmp_path: Path) -> None:
    tensors = published(networks)
    del tensors["first_stage_model.decoder.up.0.block.0.time_stack.in_layers.0.bias"]
    save_file(tensors, tmp_path / "svd.safetensors")
    with pytest.raises(ModelError, match="time_stack"):
        run_to_end(convert.convert(tmp_path / "svd.safetensors", tmp_path / "folder"))
    assert not (tmp_path / "folder").exists()


def test_names_of_the_full_model_are_those_of_the_published_file() -> None:
    """Every weight has a name of its own, and names that other programs read are among them.

    Source of the list: keys that DiffSynth-Studio and ComfyUI look up in svd.safetensors.
    """
    configs = tiny_model.configs(tiny_model.card("full"), "full")
    names: dict[str, set[str]] = {}
    for part, rename in (("unet", published_names.unet), ("vae", published_names.vae)):
        shapes = architecture.shapes(part, configs[part], Path(part))
        names[part] = {rename(name, configs[part]) for name in shapes}
        assert len(names[part]) == len(shapes)
    vision = architecture.shapes("image_encoder", configs["image_encoder"], Path("image_encoder"))
    named = [published_names.image_encoder(name) for name in vision]
    assert len(set(named)) == len(named)
    for known in (
        "model.diffusion_model.input_blocks.11.0.time_stack.out_layers.3.weight",
        "model.diffusion_model.input_blocks.8.1.time_stack.0.ff_in.net.0.proj.weight",
        "model.diffusion_model.input_blocks.3.0.op.weight",
        "model.diffusion_model.middle_block.1.time_mixer.mix_factor",
        "model.diffusion_model.output_blocks.2.1.conv.weight",
        "model.diffusion_model.output_blocks.5.2.conv.weight",
        "model.diffusion_model.output_blocks.11.1.time_pos_embed.2.bias",
    ):
        assert known in names["unet"]
    for known in (
        "conditioner.embedders.3.encoder.encoder.down.1.block.0.nin_shortcut.weight",
        "conditioner.embedders.3.encoder.encoder.down.2.downsample.conv.bias",
        "conditioner.embedders.3.encoder.encoder.mid.attn_1.proj_out.weight",
        "conditioner.embedders.3.encoder.encoder.norm_out.bias",
        "conditioner.embedders.3.encoder.quant_conv.weight",
        "first_stage_model.decoder.up.0.block.0.time_stack.in_layers.0.bias",
        "first_stage_model.decoder.mid.block_1.mix_factor",
        "first_stage_model.decoder.conv_out.time_mix_conv.weight",
    ):
        assert known in names["vae"]
    assert not [
        name for part in names.values() for name in part if re.search("resnets|attentions|samplers|_blocks_", name)
    ]


def test_convert_from_the_command_line(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "convert", str(pickled), str(tmp_path / "safe"), "--half"]) == 0
    assert "untrained" in capsys.readouterr().out
    assert main(["models", "check", str(tmp_path / "safe")]) == 0
    assert main(["models", "convert", str(pickled), str(tmp_path / "safe")]) == 1
