"""Folders of models: whole ones load, everything else is refused with a reason before anything is read."""

from __future__ import annotations

import json
import math
import os
import pickle
import shutil
import struct
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("diffusers", reason="needs diffusers")

import safetensors.torch  # noqa: E402
from safetensors import SafetensorError  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from backend.diffusion.models import (  # noqa: E402
    architecture,
    convert,
    loading,
    lora,
    model_folder,
    model_store,
    tensor_file,
    tiny_model,
)
from backend.diffusion.networks import conditioning, schedulers  # noqa: E402
from pantheon360_blender.core.errors import FileError, ModelError  # noqa: E402
from pantheon360_blender.core.jobs import model_card  # noqa: E402
from pantheon360_blender.core.jobs.paint_settings import PaintOptions  # noqa: E402
from pantheon360_blender.core.progress import run_to_end  # noqa: E402

UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"


def replace(path: Path, data: bytes) -> None:
    """Give a file of a linked copy other contents."""
    path.unlink()
    path.write_bytes(data)


def edit(path: Path, **changes: Any) -> None:
    """Change entries of a JSON file; None removes one."""
    value = {**json.loads(path.read_text()), **changes}
    replace(path, json.dumps({key: entry for key, entry in value.items() if entry is not None}).encode())


def edit_tensors(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    tensors = load_file(path)
    change(tensors)
    path.unlink()
    save_file(tensors, path)


def with_header(header: bytes, length: int | None = None, payload: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + payload


class RunsCode:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("executed",))


# Whole folders ------------------------------------------------------------------------------------------------------


def test_a_whole_folder_opens_and_says_that_it_is_untrained(tiny: Path) -> None:
    folder = model_folder.open(tiny)
    assert not folder.card.trained and "untrained" in folder.card.label
    assert folder.bytes == sum(file.stat().st_size for file in tiny.rglob("*.safetensors"))


def test_stock_diffusers_reads_the_same_weights(tiny: Path) -> None:
    from diffusers import StableVideoDiffusionPipeline

    stock = StableVideoDiffusionPipeline.from_pretrained(tiny, local_files_only=True)
    ours = loading.load(model_folder.open(tiny))
    for part in ("unet", "vae", "image_encoder"):
        theirs = getattr(stock, part).state_dict()
        for name, tensor in getattr(ours, part).state_dict().items():
            assert torch.equal(tensor, theirs[name]), name
    stock.scheduler.set_timesteps(25)
    ours.scheduler.set_timesteps(25)
    assert torch.equal(stock.scheduler.sigmas, ours.scheduler.sigmas)


def test_the_same_seed_makes_the_same_model(tiny: Path, tmp_path: Path) -> None:
    torch.rand(7)
    tiny_model.make(tmp_path / "again")
    tiny_model.make(tmp_path / "other", seed=1)
    assert (tmp_path / "again" / UNET).read_bytes() == (tiny / UNET).read_bytes()
    assert (tmp_path / "other" / UNET).read_bytes() != (tiny / UNET).read_bytes()


def test_a_fingerprint_tells_models_apart_and_not_copies(
    tiny: Path, model: Callable[..., Path], tmp_path: Path
) -> None:
    """Another seed, another setting, one changed number: another model. A copy elsewhere is the same."""
    first = model_folder.fingerprint(model_folder.open(tiny))
    assert first == model_folder.fingerprint(model_folder.open(model("copy")))
    tiny_model.make(tmp_path / "other", seed=1)
    changed = model("changed")
    scheduler = json.loads((changed / "scheduler" / "scheduler_config.json").read_text())
    (changed / "scheduler" / "scheduler_config.json").unlink()
    (changed / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler | {"sigma_max": 500.0}))
    last = model("last")
    weights = last / "vae" / "diffusion_pytorch_model.safetensors"
    numbers = bytearray(weights.read_bytes())
    numbers[-1] ^= 1
    weights.unlink()
    weights.write_bytes(numbers)
    others = {model_folder.fingerprint(model_folder.open(folder)) for folder in (tmp_path / "other", changed, last)}
    assert len(others) == 3 and first not in others


def test_a_width_that_the_networks_cannot_halve_is_refused(tmp_path: Path) -> None:
    tiny_model.make(tmp_path / "odd", width=200, height=100)
    with pytest.raises(ModelError, match=r"200 wide.*multiple of 128"):
        model_folder.open(tmp_path / "odd")


def test_making_a_model_leaves_the_random_numbers_of_others_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    tiny_model.make(tmp_path / "tiny")
    assert torch.equal(torch.rand(4), expected)


def test_sharded_weights_are_the_same_weights(tiny: Path, tmp_path: Path) -> None:
    tiny_model.make(tmp_path / "sharded", shards="500KB")
    assert len(list((tmp_path / "sharded" / "unet").glob("*.safetensors"))) > 2
    both = (loading.load(model_folder.open(path)) for path in (tiny, tmp_path / "sharded"))
    whole, sharded = (loaded.unet.state_dict() for loaded in both)
    assert whole.keys() == sharded.keys() and all(torch.equal(whole[name], sharded[name]) for name in whole)


def test_shards_of_half_precision_are_found(tiny: Path, model: Callable[..., Path]) -> None:
    """As the libraries themselves write them."""
    path = model()
    loaded = loading.load(model_folder.open(tiny), dtype=torch.float16)
    for part in ("unet", "image_encoder"):
        for file in (path / part).iterdir():
            file.unlink()
        getattr(loaded, part).save_pretrained(path / part, variant="fp16", max_shard_size="500KB")
        assert len(list((path / part).glob("*.fp16*.safetensors"))) > 1 or part == "image_encoder"
    again = loading.load(model_folder.open(path), dtype=torch.float16)
    first, second = loaded.unet.state_dict(), again.unet.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_half_precision_alone_will_do(model: Callable[..., Path]) -> None:
    """The hub's SVD folders bring *.fp16.safetensors; many people download only these."""
    path = model()
    for file in list(path.rglob("*.safetensors")):
        halves = {name: tensor.half() for name, tensor in load_file(file).items()}
        save_file(halves, file.with_name(file.name.replace(".safetensors", ".fp16.safetensors")), {"format": "pt"})
        file.unlink()
    loaded = loading.load(model_folder.open(path), dtype=torch.float16)
    assert loaded.unet.dtype == loaded.vae.dtype == loaded.image_encoder.dtype == torch.float16


def test_networks_are_ready_to_paint(tiny: Path) -> None:
    loaded = loading.load(model_folder.open(tiny))
    for network in (loaded.unet, loaded.vae, loaded.image_encoder):
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("extras", [("depth:1",), ("coverage:1", "depth:1")])
def test_extra_input_channels_that_the_card_declares(tmp_path: Path, extras: tuple[str, ...]) -> None:
    tiny_model.make(tmp_path / "tiny", conditioning=("noise:4", "geometry:4", *extras))
    folder = model_folder.open(tmp_path / "tiny")
    assert loading.load(folder).unet.config.in_channels == 8 + len(extras)
    assert folder.card.extras == {entry[:-2]: 1 for entry in extras}
    (tmp_path / "tiny" / model_card.FILE).unlink()
    with pytest.raises(ModelError, match="input channels") as refused:
        model_folder.open(tmp_path / "tiny")
    assert "conditioning" in refused.value.advice


def test_a_full_size_model_is_described_as_svd_is() -> None:
    """Parameters of Stable Video Diffusion XT, counted from its published networks."""
    configs = tiny_model.configs(tiny_model.card("full"), "full")
    counted = {
        part: sum(math.prod(shape) for shape in architecture.shapes(part, configs[part], Path(part)).values())
        for part in model_folder.WEIGHTS
    }
    assert counted == {"unet": 1_524_623_082, "vae": 97_742_847, "image_encoder": 632_076_800}


@pytest.mark.skipif(sys.platform == "win32", reason="its files have no holes")
def test_a_full_size_folder_opens_without_reading_its_nine_gigabytes(tmp_path: Path) -> None:
    card = tiny_model.card("full")
    for part, config in tiny_model.configs(card, "full").items():
        (tmp_path / part).mkdir()
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        (tmp_path / part / name).write_text(json.dumps(config))
        if part not in model_folder.WEIGHTS:
            continue
        header: dict[str, Any] = {}
        end = 0
        for tensor, shape in architecture.shapes(part, config, tmp_path / part).items():
            start, end = end, end + 4 * math.prod(shape)
            header[tensor] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
        written = with_header(json.dumps(header).encode())
        with open(tmp_path / part / f"{model_folder.WEIGHTS[part]}.safetensors", "wb") as file:
            file.write(written)
            file.truncate(len(written) + end)
    tracemalloc.start()
    folder = model_folder.open(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert folder.card.kind == "svd-xt" and folder.bytes > 9_000_000_000 and peak < 50 << 20


# Folders without a card ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "frames", "kind", "size", "says"),
    [
        ("stable-video-diffusion-img2vid", 14, "svd", (1024, 576), "degraded"),
        ("stable-video-diffusion-img2vid-xt", 25, "svd-xt", (1024, 576), "degraded"),
        ("argus", 25, "argus", (1024, 512), "panoramas"),
    ],
)
def test_folders_without_a_card_are_labelled_with_what_they_can_do(
    model: Callable[..., Path], name: str, frames: int, kind: str, size: tuple[int, int], says: str
) -> None:
    path = model(name)
    (path / model_card.FILE).unlink()
    edit(path / "unet" / "config.json", num_frames=frames)
    card = model_folder.open(path).card
    assert (card.kind, card.frames, (card.width, card.height)) == (kind, frames, size)
    assert card.inferred and card.trained and card.anchors == 1 and says in card.capability


def test_argus_is_known_by_the_model_it_was_saved_from(model: Callable[..., Path]) -> None:
    path = model()
    (path / model_card.FILE).unlink()
    edit(path / "unet" / "config.json", _name_or_path="checkpoints/argus/unet")
    assert model_folder.open(path).card.kind == "argus"


# Broken and hostile folders -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "missing",
    [
        UNET,
        VAE,
        "image_encoder/model.safetensors",
        "unet/config.json",
        "vae/config.json",
        "image_encoder/config.json",
    ],
)
def test_a_missing_file_is_named(model: Callable[..., Path], missing: str) -> None:
    path = model()
    (path / missing).unlink()
    with pytest.raises(ModelError) as refused:
        model_folder.open(path)
    assert Path(missing).name in refused.value.text and refused.value.advice


@pytest.mark.parametrize("missing", ["scheduler/scheduler_config.json", "scheduler"])
def test_a_model_without_a_scheduler_has_that_of_svd(model: Callable[..., Path], missing: str) -> None:
    """Tuned models are published without."""
    path = model()
    shutil.rmtree(path / missing) if (path / missing).is_dir() else (path / missing).unlink()
    stepper = loading.load(model_folder.open(path)).scheduler
    assert type(stepper).__name__ == "EulerDiscreteScheduler"
    assert (stepper.config.sigma_max, stepper.config.use_karras_sigmas) == (700.0, True)
    assert stepper.config.prediction_type == "v_prediction"


@pytest.mark.parametrize(
    ("there", "precision", "read"),
    [
        (("", ".fp16"), "float32", ""),
        (("", ".fp16"), "float16", ".fp16"),
        (("", ".bf16"), "bfloat16", ".bf16"),
        (("", ".bf16"), "float16", ""),
        ((".bf16",), "float32", ".bf16"),
        ((".fp16", ".bf16"), "bfloat16", ".bf16"),
    ],
)
def test_the_files_that_suit_the_precision_are_read(
    model: Callable[..., Path], there: tuple[str, ...], precision: str, read: str
) -> None:
    """Each variant has other numbers here, so that the one that was read is known by them."""
    path = model()
    values = {"": 1.0, ".fp16": 2.0, ".bf16": 3.0}
    for part, stem in model_folder.WEIGHTS.items():
        whole = path / part / f"{stem}.safetensors"
        tensors = load_file(whole)
        whole.unlink()
        for variant in there:
            marked = {name: torch.full_like(tensor, values[variant]) for name, tensor in tensors.items()}
            save_file(marked, path / part / f"{stem}{variant}.safetensors", {"format": "pt"})
    loaded = loading.load(model_folder.open(path), dtype=getattr(torch, precision))
    for network in (loaded.unet, loaded.vae, loaded.image_encoder):
        assert float(next(network.parameters()).flatten()[0]) == values[read]


def test_the_entry_of_the_hubs_cache_will_do(model: Callable[..., Path], tmp_path: Path) -> None:
    """Its root, as people copy it from a file manager: the snapshot that its main branch points at."""
    entry = tmp_path / "models--owner--name"
    (entry / "refs").mkdir(parents=True)
    for name in ("old", "new"):
        shutil.copytree(model(name), entry / "snapshots" / name)
    (entry / "refs" / "main").write_text("new\n")
    assert model_folder.open(entry).path == entry / "snapshots" / "new"
    (entry / "refs" / "main").write_text("../../elsewhere")
    with pytest.raises(ModelError):
        model_folder.open(entry)


def test_argus_is_told_what_it_was_trained_with() -> None:
    """25 frames at 5 a second, of which the model is told one less, whatever its base says of its own length."""
    card = model_folder.inferred(Path("argus"), {"num_frames": 14}, "argus")
    assert (card.kind, card.frames, card.fps, card.motion_bucket, card.noise_aug) == ("argus", 25, 5, 127, 0.02)
    recipe = PaintOptions().recipe(card, 0)
    told = conditioning.added_time_ids(recipe.fps, recipe.motion_bucket_id, recipe.noise_aug_strength)
    torch.testing.assert_close(told, torch.tensor([4.0, 127.0, 0.02]))
    assert recipe.guidance_scale == (3.0, 3.0)


def test_svd_is_guided_along_a_clip_as_its_pipeline_guides_it() -> None:
    card = model_folder.preset("svd-xt", "SVD-XT")
    assert PaintOptions().recipe(card, 0).guidance_scale == (1.0, 3.0)
    assert PaintOptions(guidance=2.0).recipe(card, 0).guidance_scale == (2.0, 2.0)
    assert PaintOptions(guidance_start=1.5).recipe(card, 0).guidance_scale == (1.5, 3.0)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    tiny_model.make(tmp_path / "sharded", shards="500KB")
    shard = sorted((tmp_path / "sharded" / "unet").glob("*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ModelError, match=shard.name):
        model_folder.open(tmp_path / "sharded")


def test_an_index_may_not_reach_outside(model: Callable[..., Path], tiny: Path) -> None:
    path = model()
    (path / UNET).unlink()
    index = {"weight_map": {"conv_in.weight": str(tiny / UNET)}}
    (path / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"no \.safetensors file beside it"):
        model_folder.open(path)


@pytest.mark.parametrize("ending", [".bin", ".pt", ".ckpt", ".pth"])
def test_pickles_are_refused_unread_and_convert_is_named(
    model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ending: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = model()
    (path / UNET).unlink()
    (path / UNET).with_suffix(ending).write_bytes(pickle.dumps(RunsCode()))
    with pytest.raises(ModelError, match="pickle") as refused:
        model_folder.open(path)
    assert refused.value.code == "pickle" and "models convert" in refused.value.advice
    assert not (tmp_path / "executed").exists()


def test_weights_of_another_shape(model: Callable[..., Path]) -> None:
    path = model()
    edit_tensors(path / UNET, lambda tensors: tensors.update({"conv_in.weight": torch.zeros(32, 4, 3, 3)}))
    with pytest.raises(ModelError, match=r"conv_in.weight of shape \(32, 4, 3, 3\).*\(32, 8, 3, 3\)"):
        model_folder.open(path)


def test_weights_that_lack_a_tensor(model: Callable[..., Path]) -> None:
    path = model()
    edit_tensors(path / VAE, lambda tensors: tensors.pop("decoder.conv_in.weight"))
    with pytest.raises(ModelError, match=r"decoder\.conv_in\.weight"):
        model_folder.open(path)


def test_weights_that_the_configuration_knows_nothing_of(model: Callable[..., Path]) -> None:
    path = model()
    edit_tensors(path / VAE, lambda tensors: tensors.update({"a.stranger": torch.zeros(1)}))
    with pytest.raises(ModelError, match=r"a\.stranger"):
        model_folder.open(path)


def test_position_ids_of_older_files_do_no_harm(model: Callable[..., Path]) -> None:
    path = model()
    positions = {"vision_model.embeddings.position_ids": torch.arange(50)[None]}
    edit_tensors(path / "image_encoder/model.safetensors", lambda tensors: tensors.update(positions))
    loading.load(model_folder.open(path))


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 0.5, 0.999])
def test_truncated_weights(model: Callable[..., Path], kept: float) -> None:
    path = model()
    data = (path / UNET).read_bytes()
    replace(path / UNET, data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(ModelError, match="truncated") as refused:
        model_folder.open(path)
    assert UNET in refused.value.text.replace(os.sep, "/") and "download" in refused.value.advice


def test_a_giant_header_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    giant = tmp_path / "giant.safetensors"
    with open(giant, "wb") as file:
        file.write(struct.pack("<Q", 1 << 40))
        file.truncate((1 << 40) + 16)  # sparse: the file system says that the header is there
    tracemalloc.start()
    with pytest.raises(ModelError, match="header"):
        tensor_file.shapes(giant)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ([], b""),
        ({"a": 1}, b""),
        ({"a": {**ONE, "shape": [3]}}, bytes(8)),
        ({"a": {**ONE, "shape": [-2]}}, bytes(8)),
        ({"a": {**ONE, "shape": [True, 2]}}, bytes(8)),
        ({"a": {**ONE, "shape": [1 << 62, 1 << 62, 0]}, "b": ONE}, bytes(4)),
        ({"a": {**ONE, "dtype": "OBJECT"}}, bytes(8)),
        ({"a": {**ONE, "data_offsets": [8, 0]}}, bytes(8)),
        ({"a": {**ONE, "data_offsets": [4, 12]}}, bytes(12)),
        ({"a": ONE, "b": ONE}, bytes(8)),
        ({"a": ONE}, bytes(9)),
    ],
)
def test_headers_that_describe_something_else(tmp_path: Path, header: Any, payload: bytes) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(with_header(json.dumps(header).encode(), payload=payload))
    with pytest.raises(ModelError):
        tensor_file.shapes(path)


@pytest.mark.parametrize("header", [b"{" * 40, b"[" * 100_000, b"\xff\xfe" * 20, b'{"a": NaN' + b" " * 20])
def test_headers_that_are_no_json(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(with_header(header))
    with pytest.raises(ModelError, match="header"):
        tensor_file.shapes(path)


def test_shapes_are_those_that_safetensors_reads(tiny: Path) -> None:
    assert tensor_file.shapes(tiny / UNET) == {name: tuple(t.shape) for name, t in load_file(tiny / UNET).items()}


@pytest.mark.parametrize(
    ("part", "changes", "says"),
    [
        ("unet", {"_class_name": "UNet2DConditionModel"}, "UNetSpatioTemporalConditionModel"),
        ("vae", {"_class_name": "AutoencoderKL"}, "AutoencoderKLTemporalDecoder"),
        ("image_encoder", {"architectures": ["CLIPModel"]}, "CLIPVisionModelWithProjection"),
        ("image_encoder", {"image_size": 336}, "224"),
        ("unet", {"in_channels": 4}, "4 input channels"),
        ("unet", {"cross_attention_dim": 64}, "tokens"),
        ("unet", {"projection_class_embeddings_input_dim": 64}, "time ids"),
        ("unet", {"layers_per_block": 10**9}, "layers_per_block"),
        ("unet", {"block_out_channels": [32] * 1000}, "block_out_channels"),
        ("unet", {"block_out_channels": "wide"}, "block_out_channels"),
        ("unet", {"num_attention_heads": 0}, "num_attention_heads"),
        ("unet", {"down_block_types": ["Nonsense"] * 4}, "describes no network"),
        ("unet", {"block_out_channels": [32, 32, 64]}, "describes no network"),
        ("vae", {"latent_channels": 8}, "latent channels"),
        ("vae", {"in_channels": 48}, "square patches"),
        ("vae", {"in_channels": 24, "out_channels": 24}, "square patches"),
        ("vae", {"block_out_channels": [32, 64, 64, 64]}, "shape|lacks"),
        ("image_encoder", {"num_hidden_layers": 3}, "lacks"),
    ],
)
def test_configurations_that_do_not_fit(
    model: Callable[..., Path], part: str, changes: dict[str, Any], says: str
) -> None:
    path = model()
    edit(path / part / "config.json", **changes)
    with pytest.raises(ModelError, match=says) as refused:
        model_folder.open(path)
    assert str(path) in refused.value.text


def test_a_scheduler_for_another_prediction(model: Callable[..., Path]) -> None:
    path = model()
    edit(path / "scheduler" / "scheduler_config.json", prediction_type="epsilon")
    with pytest.raises(ModelError, match="v_prediction"):
        model_folder.open(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", '{"a": ' * 5000, "x" * (2 << 20)])
def test_configurations_that_are_no_json(model: Callable[..., Path], text: str) -> None:
    path = model()
    replace(path / "unet" / "config.json", text.encode())
    with pytest.raises(ModelError, match=r"config\.json"):
        model_folder.open(path)


def test_what_is_no_model_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model folder"):
        model_folder.open(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="is no model"):
        model_folder.open(tmp_path)
    (tmp_path / "svd_xt.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"svd_xt\.safetensors") as refused:
        model_folder.open(tmp_path)
    assert "convert" in refused.value.advice


def test_unreadable_weights_are_explained(model: Callable[..., Path]) -> None:
    path = model()
    (path / UNET).unlink()
    (path / UNET).mkdir()
    with pytest.raises(ModelError, match="lacks"):
        model_folder.open(path)


# Cards --------------------------------------------------------------------------------------------------------------


def test_a_card_comes_back_as_it_was_written(tmp_path: Path) -> None:
    card = tiny_model.card(
        name="Büro 360", conditioning=("noise:4", "geometry:4", "coverage:1"), guidance=2.5, licence="CC BY 4.0"
    )
    model_card.write(tmp_path, card)
    assert model_card.read(tmp_path) == card


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"name": None},
        {"name": " "},
        {"name": 3},
        {"kind": "magic"},
        {"stranger": 1},
        {"width": 0},
        {"width": 512.0},
        {"width": True},
        {"frames": 10**9},
        {"fps": "7"},
        {"guidance": -1},
        {"guidance": 10**400},
        {"anchors": 3},
        {"trained": "yes"},
        {"conditioning": "noise:4"},
        {"conditioning": ["noise:4"]},
        {"conditioning": ["geometry:4", "noise:4"]},
        {"conditioning": ["noise:4", "geometry:4", "geometry:4"]},
        {"conditioning": ["noise:4", "geometry:4", "weather:1"]},
        {"conditioning": ["noise:4", "geometry:3"]},
        {"conditioning": ["noise:4", "geometry"]},
        {"conditioning": ["noise:4", "geometry:4", "depth:²"]},
        {"conditioning": [["noise", 4]]},
        {"geometry": "clouds"},
        {"draft_share": 1.5},
        {"draft_share": "half"},
    ],
)
def test_damaged_cards_are_refused(model: Callable[..., Path], changes: dict[str, Any]) -> None:
    path = model()
    edit(path / model_card.FILE, **changes)
    with pytest.raises(ModelError, match=r"pantheon360\.json"):
        model_folder.open(path)


@pytest.mark.parametrize("value", [{"a": 1}, [], [[1]], None, "", True, -1, 1e400], ids=repr)
def test_no_value_of_a_card_is_more_than_refused(tmp_path: Path, value: Any) -> None:
    model_card.write(tmp_path, tiny_model.card())
    file = tmp_path / model_card.FILE
    whole = json.loads(file.read_text())
    for name in whole:
        file.write_text(json.dumps({**whole, name: value}))
        with suppress(ModelError):
            model_card.read(tmp_path)


# Schedulers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 10, 25])
@pytest.mark.parametrize("name", schedulers.SCHEDULERS)
def test_every_scheduler_finds_the_picture_of_a_perfect_model(tiny: Path, name: str, steps: int) -> None:
    """A network that always knows the picture: v = (x / (s^2+1) - x0) * sqrt(s^2+1) / s gives x0 exactly."""
    scheduler = loading.scheduler_of(model_folder.open(tiny), name)
    scheduler.set_timesteps(steps)
    assert len(scheduler.timesteps) == steps and scheduler.sigmas[0] == pytest.approx(700, rel=1e-4)
    picture = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    latents = torch.randn(picture.shape, generator=torch.Generator().manual_seed(1)) * scheduler.init_noise_sigma
    for step, time in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[step]
        assert time == pytest.approx(0.25 * float(sigma.log()), abs=1e-5)
        seen = scheduler.scale_model_input(latents, time)
        torch.testing.assert_close(seen, latents / (sigma**2 + 1) ** 0.5)
        velocity = (latents / (sigma**2 + 1) - picture) * (sigma**2 + 1) ** 0.5 / sigma
        latents = scheduler.step(velocity, time, latents).prev_sample
    torch.testing.assert_close(latents, picture, atol=1e-2, rtol=0)


def test_ten_aligned_steps_are_the_published_ones() -> None:
    published = [700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034]
    assert schedulers.aligned_sigmas(10) == pytest.approx(published)
    twenty = schedulers.aligned_sigmas(19)
    assert twenty[::2] == pytest.approx(published) and sorted(twenty, reverse=True) == twenty


def test_an_unknown_scheduler_is_refused(tiny: Path) -> None:
    with pytest.raises(ModelError, match="ddim") as refused:
        loading.load(model_folder.open(tiny), scheduler="ddim")
    assert "euler" in refused.value.advice


def test_a_scheduler_configuration_that_makes_none(model: Callable[..., Path]) -> None:
    path = model()
    edit(path / "scheduler" / "scheduler_config.json", beta_schedule="sunny")
    with pytest.raises(ModelError, match="scheduler"):
        loading.load(model_folder.open(path))


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("unet", {"block_out_channels": 32}),
        ("vae", {"block_out_channels": 32}),
        ("unet", {"addition_time_embed_dim": None}),
        ("unet", {"in_channels": None, "out_channels": None}),
        ("vae", {"latent_channels": None}),
        ("image_encoder", {"projection_dim": None}),
        ("unet", {"cross_attention_dim": [None]}),
    ],
)
def test_configurations_of_other_types(model: Callable[..., Path], part: str, changes: dict[str, Any]) -> None:
    path = model()
    config = json.loads((path / part / "config.json").read_text())
    replace(path / part / "config.json", json.dumps(config | changes).encode())
    with pytest.raises(ModelError):
        model_folder.open(path)


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 3000, "a\0b", "\ud800", "~nobody-here/a"])
def test_places_that_no_folder_can_have(model: Callable[..., Path], name: str) -> None:
    path = model()
    (path / "parts.json").write_text(json.dumps({"unet": name}))
    with pytest.raises(ModelError):
        model_folder.open(path)
    (path / "index.json").write_text(json.dumps({"weight_map": {"a": f"{name}.safetensors"}}))
    with pytest.raises(ModelError):
        model_folder.shards(path / "index.json")
    for find in (model_folder.open, model_store.find, lora.read, convert_all):
        with pytest.raises(ModelError):
            find(name)


def convert_all(name: str) -> None:
    run_to_end(convert.convert(Path(name), Path("nowhere")))


def test_metadata_that_are_no_texts(tmp_path: Path) -> None:
    """safetensors itself raises an error of its own kind at them."""
    path = tmp_path / "odd.safetensors"
    for metadata in ({"a": 1}, {"a": None}, {"a": {}}, [], "a"):
        path.write_bytes(with_header(json.dumps({"__metadata__": metadata, "a": ONE}).encode(), payload=bytes(8)))
        for read in (tensor_file.shapes, lora.read):
            with pytest.raises(ModelError, match="metadata"):
                read(path)


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_weights_that_are_a_pipe_are_not_waited_for(tmp_path: Path) -> None:
    for name in ("a.safetensors", "a.ckpt"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(ModelError):
            convert_all(str(tmp_path / name))
    with pytest.raises(ModelError, match="it is a pipe"):
        lora.read(tmp_path / "a.safetensors")


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library tells it by an error of its own kind, with what the system said in its text."""

    def full(*_: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(FileError, match=r"(?s)a\.safetensors cannot be written.*Free some space"):
        tensor_file.write(tmp_path / "a.safetensors", {"a": torch.zeros(100_000)}, {"format": "pt"})
