"""Networks that are shown whole panoramas: what they are given, what becomes of their answers, and real networks.

Depth Any Camera is the package itself, DA360 our own network of transformers' parts, both with random weights. DA2 is
stood in for, with the signatures and shapes of its code.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learned reconstructors compute with torch")
pytest.importorskip("numba", reason="the backend's environment")

from backend.reconstruction import reconstructors  # noqa: E402
from backend.reconstruction.reconstruction import Reconstruction  # noqa: E402
from backend.reconstruction.reconstructors._panoramic import PanoramicAnswer, PanoramicDepth  # noqa: E402
from backend.reconstruction.rig import Rig, horizon  # noqa: E402
from pantheon360_blender.core.errors import ModelError, PantheonError  # noqa: E402
from pantheon360_blender.core.panorama import equirectangular  # noqa: E402
from pantheon360_blender.core.panorama.cameras import heading_from_rotation, rotation_from_heading  # noqa: E402
from pantheon360_blender.core.panorama.capture import Capture  # noqa: E402
from pantheon360_blender.core.progress import Job  # noqa: E402

LOW, HIGH = np.array([-3.0, -4.0, 0.0]), np.array([4.0, 5.0, 3.0])
PLACES = [(0.3, -1.2, 1.6), (1.4, 1.9, 1.7), (-0.6, 0.5, 1.5)]
WIDTH = 256
PANORAMIC = [name for name, plugin in reconstructors.described().items() if plugin.sees == "panorama"]


def pose(index: int, tilt: float = 0.0) -> np.ndarray:
    stands = np.eye(4)
    stands[:3, :3], stands[:3, 3] = rotation_from_heading(70.0 * index, tilt, tilt / 2), PLACES[index]
    return stands


def traced(stands: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) ranges of a room from within, and what is seen: the place on the wall as a color, (H, W, 3) uint8."""
    rays = equirectangular.directions(width).astype(np.float64) @ stands[:3, :3].T
    with np.errstate(divide="ignore"):
        ranges = np.where(rays > 0, (HIGH - stands[:3, 3]) / rays, (LOW - stands[:3, 3]) / rays).min(axis=-1)
    places = stands[:3, 3] + rays * ranges[..., None]
    return ranges, np.rint((places - LOW) / (HIGH - LOW) * 200 + 20).clip(0, 255).astype(np.uint8)


def capture(index: int, tilt: float = 0.0) -> Capture:
    stands = pose(index, tilt)
    return Capture(f"capture-{index}", traced(stands, 512)[1], stands)


def rigs(count: int, tilt: float = 0.0) -> list[Rig]:
    return [Rig(capture(index, tilt), horizon(size=112)) for index in range(count)]


def options(folder: Path, **more: Any) -> dict[str, Any]:
    return {"weights": str(folder), "device": "cpu", "width": WIDTH, "sky": False, **more}


def run(job: Job[Reconstruction]) -> Reconstruction:
    while True:
        try:
            next(job)
        except StopIteration as end:
            assert isinstance(end.value, Reconstruction)
            return end.value


def off(result: Reconstruction, index: int, tilt: float = 0.0) -> np.ndarray:
    """Relative errors of a map's ranges."""
    seen = result.maps[index]
    assert seen is not None
    return np.asarray(np.abs(seen.range / traced(pose(index, tilt), WIDTH)[0] - 1))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"")
    return folder


# What all of them share


@dataclass
class Network(PanoramicDepth):
    """Answers the room in a unit of its own for each picture, once it has checked that it was shown a level one."""

    units: tuple[float, ...] = (0.4, 2.5, 1.3)
    shown: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(
            "a.network", {"title": "Network", "summary": "A stand-in", "models": [("a/b", "MIT", True, 1.0, 1.0)]}
        )

    def load(self, folder: str, device: Any) -> Any:
        return object()

    def look(self, model: Any, picture: np.ndarray, device: Any) -> PanoramicAnswer:
        index = len(self.shown)
        level = np.eye(4)
        level[:3, :3] = rotation_from_heading(heading_from_rotation(pose(index, self.tilt)[:3, :3]))
        level[:3, 3] = PLACES[index]
        ranges, seen = traced(level, 2 * self.height)
        assert picture.shape == (self.height, 2 * self.height, 3) and picture.dtype == np.uint8
        assert np.abs(picture.astype(float) - seen).mean() < 2, "it is level, and looks the same way around"
        self.shown.append(picture)
        return PanoramicAnswer(self.units[index] * ranges)

    tilt: float = 0.0


@pytest.mark.parametrize("tilt", [0.0, 12.0])
def test_the_picture_is_level_and_the_answer_is_turned_back(tilt: float, weights: Path) -> None:
    network = Network(units=(1.0,), tilt=tilt)
    result = run(network.reconstruct(rigs(1, tilt), options(weights, camera_height=PLACES[0][2])))
    assert result.scale_known and result.registered == [True]
    assert np.quantile(off(result, 0, tilt), 0.95) < 0.03
    seen = result.maps[0]
    assert seen is not None and seen.confidence.max() == pytest.approx(0.6)
    assert (seen.confidence > 0).all()


def test_units_of_posed_captures_come_from_one_another(weights: Path) -> None:
    result = run(Network().reconstruct(rigs(3), options(weights)))
    assert result.scale_known
    for index in range(3):
        assert np.median(off(result, index)) < 0.03


def test_units_come_from_points_even_in_one_place(weights: Path) -> None:
    stands = pose(0)
    ranges, _ = traced(stands, 64)
    looking = equirectangular.directions(64).astype(np.float64) @ stands[:3, :3].T
    points = (stands[:3, 3] + looking * ranges[..., None])[4:-4].reshape(-1, 3)
    result = run(Network().reconstruct(rigs(1), options(weights, points=points)))
    assert result.scale_known and np.median(off(result, 0)) < 0.01


def test_without_any_length_the_scale_is_open_and_told(weights: Path) -> None:
    result = run(Network().reconstruct(rigs(1), options(weights)))
    assert not result.scale_known and any("scale is open" in note for note in result.notes)


def test_they_cannot_pose_captures(weights: Path) -> None:
    with pytest.raises(PantheonError) as refusal:
        run(Network().reconstruct(rigs(2), options(weights, poses="model")))
    assert refusal.value.code == "poses-needed"


def test_what_is_masked_is_not_trusted(weights: Path) -> None:
    first = capture(0)
    valid = np.ones(first.image.shape[:2], np.bool_)
    valid[200:] = False
    masked = [Rig(Capture(first.name, first.image, first.pose, valid), horizon(size=112))]
    seen = run(Network().reconstruct(masked, options(weights))).maps[0]
    assert seen is not None and (seen.confidence[101:] == 0).all() and (seen.confidence[:99] > 0).all()


@pytest.mark.parametrize("name", PANORAMIC)
def test_each_says_what_it_is_and_refuses_with_advice_when_absent(name: str, tmp_path: Path) -> None:
    model = reconstructors.named(name)
    assert isinstance(model, PanoramicDepth) and model.plugin == reconstructors.described()[name]
    assert all(each.license and each.size_gb > 0 and each.memory_gb > 0 for each in model.plugin.models)
    absent = options(tmp_path / "nowhere")
    with pytest.raises(PantheonError) as refusal:
        run(model.reconstruct(rigs(1), absent))
    assert refusal.value.code == "reconstructor-missing"
    assert "pip install" in refusal.value.advice or "hf download" in refusal.value.advice


# DA360


def da360_tensors(width: int = 64, depth: int = 4, stages: tuple[int, ...] = (8, 8, 16, 16), features: int = 8) -> Any:
    """Random tensors with the names and shapes that upstream's network of such sizes has."""
    shapes: dict[str, tuple[int, ...]] = {}

    def both(name: str, *shape: int, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = shape
        if bias:
            shapes[f"{name}.bias"] = (shape[1] if "resize_layers" in name and len(shape) == 4 else shape[0],)

    encoder, head = "depth_anything.pretrained", "depth_anything.depth_head"
    shapes |= {f"{encoder}.cls_token": (1, 1, width), f"{encoder}.mask_token": (1, width)}
    shapes[f"{encoder}.pos_embed"] = (1, 1 + 37 * 37, width)
    both(f"{encoder}.patch_embed.proj", width, 3, 14, 14)
    for block in (f"{encoder}.blocks.{index}" for index in range(depth)):
        both(f"{block}.norm1", width)
        both(f"{block}.norm2", width)
        both(f"{block}.attn.qkv", 3 * width, width)
        both(f"{block}.attn.proj", width, width)
        both(f"{block}.mlp.fc1", 4 * width, width)
        both(f"{block}.mlp.fc2", width, 4 * width)
        shapes |= {f"{block}.ls1.gamma": (width,), f"{block}.ls2.gamma": (width,)}
    both(f"{encoder}.norm", width)
    convolutions: dict[str, tuple[tuple[int, ...], bool]] = {}
    for stage, size in enumerate(stages):
        convolutions[f"projects.{stage}"] = ((size, width, 1, 1), True)
        convolutions[f"scratch.layer{stage + 1}_rn"] = ((features, size, 3, 3), False)
        convolutions[f"scratch.refinenet{stage + 1}.out_conv"] = ((features, features, 1, 1), True)
        for unit in (1, 2):
            for layer in (1, 2):
                name = f"scratch.refinenet{stage + 1}.resConfUnit{unit}.conv{layer}"
                convolutions[name] = ((features, features, 3, 3), True)
    both(f"{head}.resize_layers.0", stages[0], stages[0], 4, 4)
    both(f"{head}.resize_layers.1", stages[1], stages[1], 2, 2)
    convolutions["resize_layers.3"] = ((stages[3], stages[3], 3, 3), True)
    convolutions["scratch.output_conv1"] = ((features // 2, features, 3, 3), True)
    convolutions["scratch.output_conv2.0"] = ((32, features // 2, 3, 3), True)
    convolutions["scratch.output_conv2.2"] = ((1, 32, 1, 1), True)
    for name, (shape, bias) in convolutions.items():
        both(f"{head}.{name}", *shape, bias=bias)
    for layer, (given, wanted) in enumerate(((width, width // 2), (width // 2, width // 4))):
        both(f"shift_mlp.layers.{layer}", wanted, given)
        both(f"shift_mlp.norms.{layer}", wanted)
        shapes |= {f"shift_mlp.norms.{layer}.running_{kind}": (wanted,) for kind in ("mean", "var")}
    both("shift_mlp.output_layer", 1, width // 4)
    generator = torch.Generator().manual_seed(0)
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    for name, each in tensors.items():
        flat = each.ndim < 2 or "token" in name or "embed" in name
        tensors[name] = (0.3 * each + 1).abs() if flat else each / each[0].numel() ** 0.5
    for layer in (0, 1):
        tensors[f"shift_mlp.norms.{layer}.num_batches_tracked"] = torch.tensor(3)
    for name in convolutions:  # upstream's convolutions have each tensor under two names
        for kind in ("weight", "bias"):
            if f"{head}.{name}.{kind}" in tensors:
                tensors[f"{head}.{name}.conv.{kind}"] = tensors[f"{head}.{name}.{kind}"]
    return tensors


def test_da360_runs_from_a_pickle_that_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As published: tensors, numbers and texts in one pickle. It is converted once, into the person's folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "downloaded"
    folder.mkdir()
    record = {**da360_tensors(), "net": "DA360", "dinov2_encoder": "vits", "height": 518, "width": 1036}
    torch.save(record, folder / "DA360_small.pth")
    model: Any = reconstructors.named("da360")
    assert model.missing(options(folder)) == ""
    monkeypatch.setattr(type(model), "height", 56)
    result = run(model.reconstruct(rigs(1), options(folder, camera_height=1.6)))
    seen = result.maps[0]
    assert seen is not None and np.isfinite(seen.range).all() and (seen.range > 0).all() and result.scale_known
    (made,) = tmp_path.rglob("converted/*/model.safetensors")
    assert json.loads((made.parent / "settings.json").read_text())["dinov2_encoder"] == "vits"
    before = made.stat().st_mtime_ns
    again = run(model.reconstruct(rigs(1), options(folder, camera_height=1.6))).maps[0]
    assert again is not None and (again.range == seen.range).all() and made.stat().st_mtime_ns == before


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(ran),)

    folder = tmp_path / "downloaded"
    folder.mkdir()
    torch.save({"weight": torch.zeros(2), "more": Evil()}, folder / "DA360_small.pth")
    with pytest.raises(ModelError) as refusal:
        run(reconstructors.named("da360").reconstruct(rigs(1), options(folder)))
    assert refusal.value.code == "pickle" and not ran.exists()
    assert not list(tmp_path.rglob("converted/*/model.safetensors"))


PAIRS = {
    "pretrained.blocks.1.ls1.gamma": "backbone.encoder.layer.1.layer_scale1.lambda1",
    "pretrained.blocks.1.ls2.gamma": "backbone.encoder.layer.1.layer_scale2.lambda1",
    "pretrained.blocks.2.norm2.bias": "backbone.encoder.layer.2.norm2.bias",
    "pretrained.norm.weight": "backbone.layernorm.weight",
    "depth_head.projects.2.bias": "neck.reassemble_stage.layers.2.projection.bias",
    "depth_head.resize_layers.1.weight": "neck.reassemble_stage.layers.1.resize.weight",
    "depth_head.scratch.layer4_rn.weight": "neck.convs.3.weight",
    "depth_head.scratch.refinenet1.out_conv.weight": "neck.fusion_stage.layers.3.projection.weight",
    "depth_head.scratch.refinenet3.resConfUnit1.conv2.weight": (
        "neck.fusion_stage.layers.1.residual_layer1.convolution2.weight"
    ),
    "depth_head.scratch.output_conv2.0.bias": "head.conv2.bias",
}
"""Upstream's names, and transformers' for the same tensor: Depth Anything's decoder counts from the deepest stage."""


def test_da360_uses_every_tensor_where_it_belongs() -> None:
    from backend.reconstruction.reconstructors._da360_network import DA360

    tensors = da360_tensors()
    network = DA360(tensors).eval()
    ours = network.depth.state_dict()
    for upstream, name in PAIRS.items():
        assert torch.equal(ours[name], tensors[f"depth_anything.{upstream}"]), name
    query, key, value = tensors["depth_anything.pretrained.blocks.3.attn.qkv.weight"].chunk(3)
    for letter, third in zip("qkv", (query, key, value), strict=True):
        assert torch.equal(ours[f"backbone.encoder.layer.3.attention.{letter}_proj.weight"], third)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    disparity = network(torch.rand(1, 3, 28, 56, generator=torch.Generator().manual_seed(1)))
    assert disparity.shape == (1, 28, 56) and float(disparity.min()) > 0
    disparity.log().sum().backward()
    for name, parameter in network.named_parameters():
        if name.endswith("mask_token") or "fusion_stage.layers.0.residual_layer1" in name:
            continue  # of training alone, and of the deepest stage, which has nothing to add to
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name
    with pytest.raises((KeyError, RuntimeError, ValueError)):
        DA360({name: each for name, each in tensors.items() if "blocks.2." not in name})


def test_da360_sees_around_the_panorama() -> None:
    """Beside the seam lies the other side, above the pole the same row half a turn further."""
    from backend.reconstruction.reconstructors._da360_network import around

    values = torch.arange(2 * 4 * 8).reshape(1, 2, 4, 8)
    wide = around(values)[0]
    assert wide.shape == (2, 6, 10)
    assert torch.equal(wide[:, 1:-1, 0], values[0, :, :, -1]) and torch.equal(wide[:, 1:-1, -1], values[0, :, :, 0])
    assert torch.equal(wide[:, 0, 1:-1], values[0, :, 0].roll(4, -1))
    assert torch.equal(wide[:, -1, 1:-1], values[0, :, -1].roll(4, -1))


# DA2


class StandInSphereViT:
    """What da2.model.spherevit.SphereViT is asked and answers."""

    @classmethod
    def from_pretrained(cls, folder: str, *, config: dict[str, Any], local_files_only: bool = False) -> Any:
        assert Path(folder).is_dir() and local_files_only
        assert config["inference"] == {"min_pixels": 580_000, "max_pixels": 620_000}
        assert config["spherevit"]["vit_w_esphere"]["num_layers_head"] == [2, 2, 2]
        assert config["spherevit"]["sphere"] == {"width": 1092, "height": 546, "hfov": 6.2832, "vfov": 3.1416}
        return cls()

    def to(self, device: str) -> Any:
        assert device == "cpu"
        return self

    def eval(self) -> Any:
        return self

    def __call__(self, images: Any) -> Any:
        assert images.shape == (1, 3, 546, 1092) and images.dtype == torch.float32
        assert 580_000 <= images.shape[2] * images.shape[3] <= 620_000
        assert float(images.min()) >= 0 and float(images.max()) <= 1 and float(images.max()) > 0.05
        assert not torch.is_grad_enabled()
        return torch.from_numpy(0.2 * traced(pose(0), 1092)[0])[None].float()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """packages("a", "b"): packages that can be found, and fail if their initializers are run."""

    def make(*names: str) -> None:
        for name in names:
            if importlib.util.find_spec(name) is None:
                (tmp_path / "site" / name).mkdir(parents=True)
                (tmp_path / "site" / name / "__init__.py").write_text("raise SystemExit('it was run')")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        importlib.invalidate_caches()

    return make


def test_da2_is_asked_as_its_code_says(weights: Path, packages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    packages("torchvision", "einops", "da2")
    for name in ("da2", "da2.model", "da2.model.spherevit"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = types.ModuleType("da2.model.spherevit")
    module.SphereViT = StandInSphereViT  # type: ignore[attr-defined]
    for name, each in {"da2.model": types.ModuleType("da2.model"), "da2.model.spherevit": module}.items():
        each.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, each)
    try:
        result = run(reconstructors.named("da2").reconstruct(rigs(1), options(weights, camera_height=PLACES[0][2])))
    finally:
        sys.modules.pop("da2", None)
    assert result.scale_known and np.quantile(off(result, 0), 0.95) < 0.02


# Depth Any Camera: the real package with a small network


DAC = {
    "model": {
        "attn_dec": True, "output_dim": 1, "num_heads": 2, "expansion": 2, "activation": "silu",
        "cano_sz": [256, 256], "pixel_encoder": {"img_size": [128, 128], "name": "resnet50", "pretrained": "a.pth"},
        "pixel_decoder": {"hidden_dim": 32, "heads": 4, "depths": 1, "anchor_points": 2},
        "afp": {"context_low_resolutions_skip": 1, "depths": 1, "latent_dim": 32, "num_latents": 8},
        "isd": {"depths": 1, "num_resolutions": 3},
    }
}  # fmt: skip
"""Of the package's own architecture, as small as its configuration lets it be."""


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The four names of timm that the package imports for its Swin encoder, which is not used here."""
    if importlib.util.find_spec("timm") is not None:
        return
    parts = {
        "timm": {},
        "timm.models": {},
        "timm.models.layers": {"DropPath": torch.nn.Identity, "to_2tuple": None, "trunc_normal_": None},
        "timm.models.vision_transformer": {"_cfg": None},
    }
    for name, names in parts.items():
        module = types.ModuleType(name)
        module.__path__, module.__spec__ = [], importlib.machinery.ModuleSpec(name, None, is_package=True)
        module.__dict__.update(names)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.skipif(importlib.util.find_spec("panodac") is None, reason="panodac is in the backend's environment")
def test_depth_any_camera_answers_as_its_package_does(
    tmp_path: Path, timm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its pickle and configuration, through our adapter, and through the package's own predictor."""
    from panodac.models import IDisc
    from panodac.predictor import DepthPredictor

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    made = json.loads(json.dumps(DAC))
    made["model"]["pixel_encoder"]["pretrained"] = False
    torch.manual_seed(0)
    network = IDisc.build(made).eval()
    folder = tmp_path / "downloaded"
    folder.mkdir()
    parallel = {f"module.{name}": each for name, each in network.state_dict().items()}
    torch.save({"model": {**parallel, "loss.sigma": torch.ones(1)}, "step": 3}, folder / "dac_resnet101_outdoor.pt")
    (folder / "dac_resnet101_outdoor.json").write_text(json.dumps(DAC))

    predictor = DepthPredictor.__new__(DepthPredictor)  # its initializer downloads
    predictor._model, predictor.device = network, "cpu"
    predictor.fix_panorama_seam, predictor.img_size = True, DAC["model"]["pixel_encoder"]["img_size"]  # type: ignore[index]

    model: Any = reconstructors.named("panodac")
    first = capture(0)
    assert model.missing(options(folder)) == ""
    seen: list[np.ndarray] = []
    look = type(model).look

    def watched(self: Any, *given: Any) -> PanoramicAnswer:
        answer: PanoramicAnswer = look(self, *given)
        seen.append(answer.ranges)
        assert np.allclose(answer.ranges, predictor(_at(given[1], 256)), rtol=1e-4)
        return answer

    monkeypatch.setattr(type(model), "look", watched)
    level = Capture(first.name, first.image, first.pose)
    result = run(model.reconstruct([Rig(level, horizon(size=112))], options(folder)))
    assert result.scale_known and len(seen) == 1 and seen[0].shape == (128, 256)


def _at(picture: np.ndarray, width: int) -> np.ndarray:
    import cv2

    return np.asarray(cv2.resize(picture, (width, width // 2), interpolation=cv2.INTER_AREA))
