"""Adapters of learned reconstructors, against stand-ins with the packages' signatures that answer the truth.

The stand-ins answer a ray-traced room in a frame and scale of their own, and check what they are given as the packages'
documentation states it. Which capture a picture is of they read from its colour.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learned reconstructors compute with torch")
pytest.importorskip("numba", reason="the backend's environment")

from backend.reconstruction import reconstructors  # noqa: E402
from backend.reconstruction.crops import from_crops  # noqa: E402
from backend.reconstruction.reconstruction import Reconstruction  # noqa: E402
from backend.reconstruction.reconstructors import _weights  # noqa: E402
from backend.reconstruction.reconstructors._panoramic import PanoramicDepth  # noqa: E402
from backend.reconstruction.registration import rotation_angles  # noqa: E402
from backend.reconstruction.rig import Layout, Rig, horizon  # noqa: E402
from pantheon360_blender.core.errors import PantheonError  # noqa: E402
from pantheon360_blender.core.panorama import equirectangular  # noqa: E402
from pantheon360_blender.core.panorama.cameras import opencv_to_blender, rotation_from_heading  # noqa: E402
from pantheon360_blender.core.panorama.capture import Capture  # noqa: E402
from pantheon360_blender.core.progress import Job, run_to_end  # noqa: E402

LOW, HIGH = np.array([-3.0, -4.0, 0.0]), np.array([4.0, 5.0, 3.0])
POSITIONS = [(0.3, -1.2, 1.6), (1.4, 0.4, 1.7), (-0.6, 1.5, 1.5), (0.9, 2.6, 1.6), (-1.1, -2.0, 1.55)]
SIZE, WIDTH = 112, 256
LEARNED = [
    name
    for name, plugin in reconstructors.described().items()
    if plugin.models and not isinstance(reconstructors.named(name), PanoramicDepth)
]
"""Reconstructors with weights that are shown crops; test_panoramic.py tests those that are shown panoramas."""


def traced(origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Range from inside the room to its walls along unit directions."""
    with np.errstate(divide="ignore"):
        steps = np.where(directions > 0, (HIGH - origins) / directions, (LOW - origins) / directions)
    return np.asarray(np.nan_to_num(steps, nan=np.inf).min(axis=-1))


def random_rotation(seed: int) -> np.ndarray:
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return np.asarray(rotation * np.sign(np.linalg.det(rotation)))


def capture(index: int) -> Capture:
    pose = np.eye(4)
    pose[:3, :3] = rotation_from_heading(70.0 * index, 4.0 - 2 * index, 1.5 * index)
    pose[:3, 3] = POSITIONS[index]
    image = np.full((64, 128, 3), 40 * index + 20, np.uint8)
    return Capture(f"capture-{index}", image, pose)


def rigs(count: int, layout: Layout | None = None) -> list[Rig]:
    return [Rig(capture(index), layout or horizon(size=SIZE)) for index in range(count)]


@dataclass
class Room:
    """The truth in a frame of the model's own: model points = scale * rotation @ world points + shift."""

    layout: Layout
    scale: float = 0.37
    seed: int = 3

    def __post_init__(self) -> None:
        self.rotation = random_rotation(self.seed)
        self.shift = np.array([5.0, -2.0, 0.7])
        self.calls: list[dict[str, Any]] = []

    def seen(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Depth (N, s, s) and camera-to-world OpenCV poses (N, 4, 4) in the model's frame of pictures (N, s, s, 3)."""
        indices = np.rint((pictures[:, 0, 0, 0] - 20) / 40).astype(int)
        depths, poses = [], []
        counts: dict[int, int] = {}
        layout = self.layout.resized(pictures.shape[1])
        for index in indices:
            view = counts.get(int(index), 0)
            counts[int(index)] = view + 1
            world = Rig(capture(int(index)), layout).poses_opencv[view]
            pixel = (np.arange(layout.size) + 0.5 - layout.size / 2) / layout.intrinsics[0, 0]
            x, y = np.meshgrid(pixel, pixel)
            rays = np.stack([x, y, np.ones_like(x)], axis=-1)
            length = np.linalg.norm(rays, axis=-1)
            ranges = traced(world[:3, 3], (rays / length[..., None]) @ world[:3, :3].T)
            depths.append(self.scale * ranges / length)
            pose = np.eye(4)
            pose[:3, :3] = self.rotation @ world[:3, :3]
            pose[:3, 3] = self.scale * self.rotation @ world[:3, 3] + self.shift
            poses.append(pose)
        assert set(counts.values()) == {len(layout)}, "the crops of a capture stay together"
        return np.stack(depths), np.stack(poses)


def check_tensor(tensor: Any, size: int) -> np.ndarray:
    """Pictures as Pi3 and VGGT want them, (1, N, 3, H, W) float32 in 0 to 1; returns (N, H, W, 3) uint8."""
    assert tensor.dtype == torch.float32 and tensor.ndim == 5 and tensor.shape[0] == 1 and tensor.shape[2] == 3
    assert tensor.shape[3] == tensor.shape[4] == size and size % 14 == 0
    assert float(tensor.min()) >= 0 and float(tensor.max()) <= 1 and float(tensor.max()) > 0.05
    assert not torch.is_grad_enabled()
    return np.asarray((tensor[0].permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8))


class FromHub:
    """What huggingface_hub's model mixin gives a model, as far as adapters use it."""

    room: Room

    @classmethod
    def from_pretrained(cls, folder: str, *, local_files_only: bool = False, **rest: Any) -> Any:
        assert Path(folder).is_dir() and list(Path(folder).glob("*.safetensors")) and local_files_only and not rest
        return cls()

    def to(self, device: Any) -> Any:
        assert str(device) == "cpu"
        return self

    def eval(self) -> Any:
        return self


def as_points(depth: np.ndarray, layout: Layout) -> np.ndarray:
    size = depth.shape[-1]
    pixel = (np.arange(size) + 0.5 - size / 2) / layout.resized(size).intrinsics[0, 0]
    x, y = np.meshgrid(pixel, pixel)
    return np.stack([x * depth, y * depth, depth], axis=-1)


def tensor_of(array: np.ndarray) -> Any:
    return torch.from_numpy(np.asarray(array, dtype=np.float32))[None]


class StandInPi3(FromHub):
    def __call__(self, imgs: Any) -> dict[str, Any]:
        depth, poses = self.room.seen(check_tensor(imgs, SIZE))
        assert SIZE * SIZE <= 255_000
        self.room.calls.append({"imgs": imgs})
        return {
            "points": None,
            "local_points": tensor_of(as_points(depth, self.room.layout)),
            "conf": torch.full((1, *depth.shape, 1), 2.0),
            "camera_poses": tensor_of(poses),
        }


class StandInPi3X(StandInPi3):
    def __call__(  # type: ignore[override]
        self,
        imgs: Any,
        depths: Any = None,
        intrinsics: Any = None,
        rays: Any = None,
        poses: Any = None,
        with_prior: bool = True,
        mask_add_depth: Any = None,
        mask_add_ray: Any = None,
        mask_add_pose: Any = None,
    ) -> dict[str, Any]:
        answer = super().__call__(imgs)
        assert rays is not None and rays.shape == (*imgs.shape[:2], *imgs.shape[3:], 3) and rays.dtype == torch.float32
        points = as_points(np.ones((1, SIZE, SIZE)), self.room.layout)[0]
        expected = points / np.linalg.norm(points, axis=-1, keepdims=True)
        assert np.abs(rays[0, 0].numpy() - expected).max() < 1e-6
        if poses is not None:
            assert poses.shape == (*imgs.shape[:2], 4, 4) and poses.dtype == torch.float32
        self.room.calls[-1].update(rays=rays, poses=poses)
        return {**answer, "rays": rays, "metric": torch.ones(1)}


class StandInVggt(FromHub):
    def __init__(self) -> None:
        self.point_head, self.track_head = object(), object()

    def __call__(self, images: Any, query_points: Any = None) -> dict[str, Any]:
        assert self.point_head is None and self.track_head is None
        depth, poses = self.room.seen(check_tensor(images, SIZE))
        extrinsic = np.linalg.inv(poses)[:, :3]
        return {
            "pose_enc": tensor_of(extrinsic.reshape(-1, 12)),
            "depth": tensor_of(depth[..., None]),
            "depth_conf": torch.full((1, *depth.shape), 5.0),
        }


def stand_in_decoder(pose_encoding: Any, image_size_hw: Any = None) -> tuple[Any, Any]:
    """A stand-in for the decoding of pose_enc: (B, S, 3, 4) world-to-camera, and intrinsics."""
    assert tuple(image_size_hw) == (SIZE, SIZE)
    return pose_encoding.reshape(1, -1, 3, 4), torch.eye(3)[None, None]


class StandInMapAnything(FromHub):
    def infer(
        self,
        views: Sequence[dict[str, Any]],
        memory_efficient_inference: bool = True,
        minibatch_size: Any = None,
        use_amp: bool = True,
        amp_dtype: str = "bf16",
        apply_mask: bool = True,
        mask_edges: bool = True,
        apply_confidence_mask: bool = False,
    ) -> list[dict[str, Any]]:
        allowed = {"img", "data_norm_type", "ray_directions", "camera_poses", "is_metric_scale"}
        assert not use_amp or amp_dtype in ("bf16", "fp16")
        for view in views:
            assert set(view) <= allowed and {"img", "data_norm_type", "ray_directions"} <= set(view)
            assert view["data_norm_type"] == ["dinov2"] and view["img"].shape == (1, 3, SIZE, SIZE)
            assert view["ray_directions"].shape == (1, SIZE, SIZE, 3)
            assert torch.allclose(view["ray_directions"].norm(dim=-1), torch.ones(1, SIZE, SIZE), atol=1e-5)
            assert ("camera_poses" in view) == ("camera_poses" in views[0])
            if "camera_poses" in view:
                assert view["camera_poses"].shape == (1, 4, 4) and view["is_metric_scale"].shape == (1,)
        self.room.calls.append({"views": views})
        pictures = np.stack([view["img"][0].permute(1, 2, 0).numpy() for view in views])
        depth, poses = self.room.seen(np.rint((pictures * 0.225 + 0.45) * 255).astype(np.uint8))
        mask = np.ones(depth.shape, bool)
        mask[:, : SIZE // 8] = False  # the sky: it answers no depth there
        return [
            {
                "depth_z": tensor_of(depth_of[..., None] * mask_of[..., None]),
                "conf": torch.full((1, SIZE, SIZE), 3.0),
                "mask": torch.from_numpy(mask_of)[None, ..., None],
                "camera_poses": tensor_of(pose),
            }
            for depth_of, pose, mask_of in zip(depth, poses, mask, strict=True)
        ]


def stand_in_preprocess(input_views: Any, resize_mode: str = "fixed_mapping", size: Any = None) -> list[dict[str, Any]]:
    assert resize_mode == "fixed_size" and size == (SIZE, SIZE)
    processed = []
    for view in input_views:
        assert view["img"].shape == (SIZE, SIZE, 3) and view["img"].dtype == np.uint8
        image = (torch.from_numpy(view["img"].copy()).permute(2, 0, 1).float() / 255 - 0.45) / 0.225
        processed.append({"img": image[None], "data_norm_type": ["dinov2"]})
    return processed


class StandInDepthAnything3(FromHub):
    model_name = "da3-base"

    def inference(
        self,
        image: list[np.ndarray],
        extrinsics: np.ndarray | None = None,
        intrinsics: np.ndarray | None = None,
        align_to_input_ext_scale: bool = True,
        process_res: int = 504,
        process_res_method: str = "upper_bound_resize",
    ) -> Any:
        assert process_res == SIZE and process_res_method == "upper_bound_resize" and align_to_input_ext_scale
        assert all(picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.uint8 for picture in image)
        self.room.calls.append({"extrinsics": extrinsics, "intrinsics": intrinsics})
        depth, poses = self.room.seen(np.stack(image))
        answered = np.linalg.inv(poses)[:, :3]
        if extrinsics is not None:
            assert extrinsics.shape == (len(image), 4, 4) and intrinsics is not None
            assert intrinsics.shape == (len(image), 3, 3)
            expected = self.room.layout.resized(SIZE).intrinsics
            assert np.allclose(intrinsics, expected, rtol=1e-6)
            given = np.linalg.inv(extrinsics.astype(np.float64))
            true = np.linalg.inv(poses[0]) @ poses
            far = np.linalg.norm(true[:, :3, 3], axis=1).argmax()
            ratio = np.linalg.norm(given[far, :3, 3] - given[0, :3, 3]) / np.linalg.norm(true[far, :3, 3])
            # World-to-camera, one similarity away from the truth.
            relative = np.linalg.inv(given[0]) @ given
            true[:, :3, 3] *= ratio
            assert np.abs(relative - true).max() < 1e-4
            median = np.sort(np.linalg.norm(relative[:, :3, 3], axis=1))[(len(image) - 1) // 2]
            assert median == pytest.approx(1.0, abs=1e-5) or median == 0
            depth, answered = depth * ratio, extrinsics[:, :3]
        return types.SimpleNamespace(
            depth=depth.astype(np.float32),
            is_metric=0,
            sky=None,
            conf=np.full(depth.shape, 3.0, np.float32),
            extrinsics=answered.astype(np.float32),
            intrinsics=None,
        )


STAND_INS: dict[str, tuple[str, type[FromHub], dict[str, Any]]] = {
    "pi3": ("pi3.models.pi3.Pi3", StandInPi3, {}),
    "pi3x": ("pi3.models.pi3x.Pi3X", StandInPi3X, {}),
    "vggt": (
        "vggt.models.vggt.VGGT",
        StandInVggt,
        {"vggt.utils.pose_enc.pose_encoding_to_extri_intri": stand_in_decoder},
    ),
    "map_anything": (
        "mapanything.models.MapAnything",
        StandInMapAnything,
        {"mapanything.utils.image.preprocess_inputs": stand_in_preprocess},
    ),
    "depth_anything_3": ("depth_anything_3.api.DepthAnything3", StandInDepthAnything3, {}),
}
METRIC = {"pi3x", "map_anything"}


@pytest.fixture(autouse=True)
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The three transforms that Depth Anything 3 takes from it, where no build for this torch can be had."""
    if importlib.util.find_spec("torchvision") is not None:
        return

    class Normalize:
        def __init__(self, mean: list[float], std: list[float]) -> None:
            self.mean, self.deviation = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]

        def __call__(self, picture: torch.Tensor) -> torch.Tensor:
            return (picture - self.mean) / self.deviation

    def to_tensor() -> Any:
        return lambda picture: torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255

    transforms = types.ModuleType("torchvision.transforms")
    transforms.__dict__.update(Normalize=Normalize, ToTensor=to_tensor, CenterCrop=None)
    package = types.ModuleType("torchvision")
    package.transforms = transforms  # type: ignore[attr-defined]
    for module in (package, transforms):
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None, is_package=True)
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Room], None]:
    """stand_in(name, room): the package that the reconstructor of this name imports, answering about the room."""

    def install(name: str, room: Room) -> None:
        path, model, more = STAND_INS[name]
        for dotted, value in {path: type(model.__name__, (model,), {"room": room}), **more}.items():
            package, attribute = dotted.rsplit(".", 1)
            parts = package.split(".")
            for end in range(1, len(parts) + 1):
                module_name = ".".join(parts[:end])
                if module_name not in sys.modules:
                    module = types.ModuleType(module_name)
                    module.__path__ = []
                    module.__spec__ = importlib.machinery.ModuleSpec(module_name, None, is_package=True)
                    monkeypatch.setitem(sys.modules, module_name, module)
            monkeypatch.setattr(sys.modules[package], attribute, value, raising=False)

    return install


def run(job: Job[Reconstruction]) -> Reconstruction:
    while True:
        try:
            next(job)
        except StopIteration as end:
            assert isinstance(end.value, Reconstruction)
            return end.value


def options(folder: Path, **more: Any) -> dict[str, Any]:
    return {"weights": str(folder), "size": SIZE, "width": WIDTH, "device": "cpu", "sky": False, **more}


def range_errors(result: Reconstruction, index: int, poses: np.ndarray | None = None) -> np.ndarray:
    """Relative errors of a capture's range where there is one."""
    seen = result.maps[index]
    assert seen is not None and seen.range.shape == (WIDTH // 2, WIDTH) and seen.range.dtype == np.float32
    assert seen.confidence.shape == seen.range.shape and seen.confidence.dtype == np.float32
    assert seen.confidence.min() >= 0 and seen.confidence.max() <= 1
    pose = capture(index).pose
    truth = traced(pose[:3, 3], equirectangular.directions(WIDTH).astype(np.float64) @ pose[:3, :3].T)
    known = np.isfinite(seen.range)
    assert ((seen.confidence > 0) == known).all()
    return np.asarray(np.abs(seen.range[known] / truth[known] - 1))


def assert_true(result: Reconstruction, count: int, covered: float = 0.47) -> None:
    assert result.registered == [True] * count and result.scale_known
    for index in range(count):
        errors = range_errors(result, index)
        assert len(errors) > covered * WIDTH * WIDTH / 2
        assert np.median(errors) < 1e-4 and np.percentile(errors, 95) < 1e-3


@pytest.mark.parametrize("name", sorted(STAND_INS))
def test_true_geometry_comes_back_to_the_known_rig(name: str, stand_in: Any, weights: Path) -> None:
    """Whatever its frame and scale, ranges are the room's, in metres, and poses stay those given."""
    room = Room(horizon(size=SIZE))
    stand_in(name, room)
    result = run(reconstructors.named(name).reconstruct(rigs(3), options(weights)))
    assert_true(result, 3, 0.4 if name == "map_anything" else 0.47)
    for index in range(3):
        assert np.array_equal(result.poses[index], capture(index).pose)


@pytest.mark.parametrize("name", sorted(STAND_INS))
def test_poses_come_from_the_model_where_they_are_not_known(name: str, stand_in: Any, weights: Path) -> None:
    """The first capture stays; the others stand to it as in the room, to scale; metric models give metres."""
    metric = name in METRIC
    room = Room(horizon(size=SIZE), scale=1.0 if metric else 0.37)
    stand_in(name, room)
    crops = rigs(3)
    result = run(reconstructors.named(name).reconstruct(crops, options(weights, poses="model")))
    assert result.registered == [True] * 3 and result.scale_known == metric
    true = np.stack([rig.capture.pose for rig in crops])
    step = 1.0 if metric else np.linalg.norm(result.poses[1, :3, 3] - result.poses[0, :3, 3])
    step /= 1.0 if metric else np.linalg.norm(true[1, :3, 3] - true[0, :3, 3])
    assert rotation_angles(result.poses[:, :3, :3], true[:, :3, :3]).max() < 1e-3
    assert np.abs((result.poses[:, :3, 3] - true[0, :3, 3]) / step - (true[:, :3, 3] - true[0, :3, 3])).max() < 1e-3
    assert metric or step == pytest.approx(0.37, rel=1e-3)
    seen = result.maps[2]
    assert seen is not None
    truth = traced(true[2, :3, 3], equirectangular.directions(WIDTH).astype(np.float64) @ true[2, :3, :3].T)
    known = np.isfinite(seen.range)
    assert np.median(np.abs(seen.range[known] / truth[known] / step - 1)) < 1e-3


def test_poses_are_told_only_to_models_that_accept_them_and_only_where_known(stand_in: Any, weights: Path) -> None:
    for name, key in (("pi3x", "poses"), ("depth_anything_3", "extrinsics")):
        for more, told in (({}, True), ({"poses": "model"}, False), ({"give_poses": False}, False)):
            room = Room(horizon(size=SIZE))
            stand_in(name, room)
            run(reconstructors.named(name).reconstruct(rigs(3), options(weights, **more)))
            assert (room.calls[0][key] is not None) == told
    room = Room(horizon(size=SIZE))
    stand_in("pi3x", room)
    run(reconstructors.named("pi3x").reconstruct(rigs(3), options(weights)))
    poses = room.calls[0]["poses"][0].numpy()
    true = np.concatenate([rig.poses_opencv for rig in rigs(3)])
    assert np.abs(poses - np.linalg.inv(true[0]) @ true).max() < 1e-5
    assert np.abs(opencv_to_blender(poses)[:8, :3, 3]).max() < 1e-6, "crops of a capture share their centre"


@pytest.mark.skipif(importlib.util.find_spec("depth_anything_3") is None, reason="it is in the backend's environment")
@pytest.mark.parametrize("known", [False, True])
def test_depth_anything_3_itself_is_understood(known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its smallest model's true architecture, with random weights: our answer is its own, whatever it says."""
    from backend.reconstruction.reconstructors import depth_anything_3

    package = depth_anything_3.upstream()
    torch.manual_seed(3)
    package(model_name="da3-small").save_pretrained(tmp_path, config={"model_name": "da3-small"})
    said, inference = [], package.inference

    def watched(self: Any, *given: Any, **more: Any) -> Any:
        said.append(inference(self, *given, **more))
        return said[-1]

    monkeypatch.setattr(package, "inference", watched)
    ours, few = depth_anything_3.RECONSTRUCTOR, [Rig(capture(index), horizon(count=3, size=56)) for index in range(3)]
    assert ours.missing(options(tmp_path)) == ""
    device, model = run_to_end(ours.loaded(options(tmp_path)))
    views = from_crops.views_of(few, 56, poses_known=known)
    with device.inference():
        answer = ours.predict(model, views, device)
    assert np.array_equal(answer.values.reshape(9, 56, 56), said[0].depth) and (answer.values > 0).all()
    assert (said[0].conf >= 1).all() and answer.confidence is not None and not answer.metric and answer.sky is None
    assert answer.poses is not None and answer.poses.shape == (3, 3, 4, 4)
    if known:
        asked = np.stack([rig.poses_opencv for rig in few])
        given, back = (poses.reshape(9, 4, 4)[::3] for poses in (asked, answer.poses))
        from_first = np.linalg.inv(given[0]) @ given, np.linalg.inv(back[0]) @ back
        assert np.allclose(from_first[0][:, :3, :3], from_first[1][:, :3, :3], atol=1e-4)
        true, told = (poses[1:, :3, 3] for poses in from_first)
        unit = np.linalg.norm(told[0]) / np.linalg.norm(true[0])
        assert np.allclose(told, true * unit, atol=1e-3 * unit), "poses that are given come back, in a unit of its own"


def test_depth_anything_3_is_not_told_poses_on_a_line(stand_in: Any, weights: Path) -> None:
    """Its own alignment fails for two captures; it must not be asked, and the artist hears of it."""
    room = Room(horizon(size=SIZE))
    stand_in("depth_anything_3", room)
    result = run(reconstructors.named("depth_anything_3").reconstruct(rigs(2), options(weights)))
    assert room.calls[0]["extrinsics"] is None
    assert_true(result, 2)
    assert any("told the poses" in note for note in result.notes)


@pytest.mark.parametrize("poses", ["given", "model"])
def test_little_memory_splits_the_captures_into_runs_that_share_one(poses: str, stand_in: Any, weights: Path) -> None:
    """Each run has a frame and scale of its own; all come back to one world."""

    class Wandering(Room):
        def seen(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            self.scale, self.rotation = 0.3 + 0.4 * len(self.calls), random_rotation(10 + len(self.calls))
            self.calls.append({"count": len(pictures)})
            return super().seen(pictures)

    room = Wandering(horizon(size=SIZE))
    stand_in("vggt", room)
    result = run(reconstructors.named("vggt").reconstruct(rigs(5), options(weights, memory_gb=1.0, poses=poses)))
    assert [call["count"] for call in room.calls] == [16] * 4
    if poses == "given":
        assert_true(result, 5)
    else:
        true = np.stack([capture(index).pose for index in range(5)])
        moved = (result.poses[:, :3, 3] - true[0, :3, 3]) / 0.3
        assert np.abs(moved - (true[:, :3, 3] - true[0, :3, 3])).max() < 5e-3


def test_one_capture_takes_its_scale_from_the_camera_height(stand_in: Any, weights: Path) -> None:
    """With one capture and a model without metres, the ground below tells the scale; without it the scale is open."""
    from backend.reconstruction.rig import bands

    layout = bands(size=SIZE)
    for height, known in ((None, False), (POSITIONS[0][2], True)):
        stand_in("vggt", Room(layout))
        crops = rigs(1, layout)
        result = run(reconstructors.named("vggt").reconstruct(crops, options(weights, camera_height=height)))
        assert result.scale_known == known
        error = np.median(range_errors(result, 0))
        assert error < 0.02 if known else error > 0.5
        assert known or any("scale" in note for note in result.notes)


def test_points_solved_with_the_poses_tell_the_scale(stand_in: Any, weights: Path) -> None:
    stand_in("vggt", Room(horizon(size=SIZE)))
    pose = capture(0).pose
    looking = equirectangular.directions(32)[4:-4].reshape(-1, 3).astype(np.float64) @ pose[:3, :3].T
    points = pose[:3, 3] + looking * traced(pose[:3, 3], looking)[:, None]
    result = run(reconstructors.named("vggt").reconstruct(rigs(1), options(weights, points=points)))
    assert result.scale_known and np.median(range_errors(result, 0)) < 5e-3


def test_masks_of_the_capture_and_sky_of_the_model_have_no_range(stand_in: Any, weights: Path) -> None:
    """What the artist masked is left out; what MapAnything calls ambiguous is too."""
    room = Room(horizon(size=SIZE))
    stand_in("map_anything", room)
    masked = [Rig(Capture(c.name, c.image, c.pose, np.arange(64)[:, None] < np.full((1, 128), 36)), horizon(size=SIZE))
              for c in (capture(index) for index in range(2))]  # fmt: skip
    result = run(reconstructors.named("map_anything").reconstruct(masked, options(weights)))
    seen = result.maps[0]
    assert seen is not None
    assert np.isinf(seen.range[75:]).all(), "below the mask's edge"
    assert np.isinf(seen.range[: WIDTH // 8 + 2]).all(), "above what the model kept"
    assert np.isfinite(seen.range[50:68]).all()


@pytest.mark.parametrize("name", LEARNED)
def test_each_says_what_it_is_and_refuses_with_advice_when_absent(name: str, tmp_path: Path) -> None:
    model = reconstructors.named(name)
    plugin = model.plugin
    assert plugin == reconstructors.described()[name], "what its file says is what it was made with"
    assert plugin.name == name and plugin.title and all(each.license and each.size_gb > 0 for each in plugin.models)
    assert plugin.homepage.startswith("https://")
    absent = options(tmp_path / "nowhere")
    assert model.missing(absent)
    with pytest.raises(PantheonError) as refusal:
        run(model.reconstruct(rigs(1), absent))
    assert refusal.value.code == "reconstructor-missing" and refusal.value.advice
    assert "pip install" in refusal.value.advice or "hf download" in refusal.value.advice


def test_pickled_weights_are_refused(stand_in: Any, tmp_path: Path) -> None:
    stand_in("vggt", Room(horizon(size=SIZE)))
    (tmp_path / "model.pt").write_bytes(b"\x80\x04")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    assert "safetensors" in reconstructors.named("vggt").missing(options(tmp_path))


def test_weights_that_are_not_cached_are_not_fetched(
    stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline unless downloads are allowed: the hub is asked for what is cached only, and never for pickles."""
    import huggingface_hub

    asked: list[dict[str, Any]] = []

    def snapshot(source: str, **given: Any) -> str:
        asked.append({"source": source, **given})
        raise FileNotFoundError("not cached")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    stand_in("vggt", Room(horizon(size=SIZE)))
    model = reconstructors.named("vggt")
    assert "hf download facebook/VGGT-1B" in model.missing({})
    assert asked[-1]["local_files_only"] is True
    with pytest.raises(PantheonError) as refusal:
        run(model.reconstruct(rigs(1), {"download": True, "device": "cpu"}))
    assert asked[-1]["local_files_only"] is False and refusal.value.code == "reconstructor-missing"
    assert all(set(call["allow_patterns"]) == {"*.safetensors", "*.json"} for call in asked)


def test_libraries_stay_offline_while_a_model_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    with pytest.raises(ZeroDivisionError), _weights.offline(True):
        assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1"
        raise ZeroDivisionError
    assert os.environ["HF_HUB_OFFLINE"] == "0" and "TRANSFORMERS_OFFLINE" not in os.environ


def test_failures_of_a_model_are_explained(stand_in: Any, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, code in (
        (torch.OutOfMemoryError("CUDA out of memory"), "out-of-memory"),
        (RuntimeError("shapes do not match"), "reconstructor-failed"),
    ):

        class Failing(Room):
            def seen(self, pictures: np.ndarray, error: Exception = error) -> Any:
                raise error

        stand_in("pi3", Failing(horizon(size=SIZE)))
        with pytest.raises(PantheonError) as failure:
            run(reconstructors.named("pi3").reconstruct(rigs(2), options(weights)))
        assert failure.value.code == code and failure.value.advice


def test_cancelling_lets_the_model_go(stand_in: Any, weights: Path) -> None:
    stand_in("pi3", Room(horizon(size=SIZE)))
    job = reconstructors.named("pi3").reconstruct(rigs(2), options(weights))
    assert [next(job).phase for _ in range(2)] == ["Loading Pi3", "Reconstructing with Pi3"]
    job.close()
    with pytest.raises(StopIteration):
        next(job)


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(PantheonError, match=r"map_anything.*vggt"):
        reconstructors.named("colmap")


def test_sizes_fit_each_model(stand_in: Any, weights: Path) -> None:
    for name in LEARNED:
        model: Any = reconstructors.named(name)
        for wanted in (100, 518, 512, 4000):
            size = model._size({"size": wanted})
            assert size % model.patch == 0 and size * size <= model.most_pixels
        with pytest.raises(PantheonError):
            model._size({"size": 20})


# Monocular depth, by transformers itself


def tiny_depth_anything(folder: Path, kind: str) -> Path:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    torch.manual_seed(1)
    backbone = Dinov2Config(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2, image_size=56, patch_size=14,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=24, neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=8,
        head_hidden_size=8, depth_estimation_type=kind, max_depth=20,
    )  # fmt: skip
    DepthAnythingForDepthEstimation(config).save_pretrained(folder, safe_serialization=True)
    DPTImageProcessor(size={"height": 56, "width": 56}, ensure_multiple_of=14, keep_aspect_ratio=True).save_pretrained(
        folder
    )
    return folder


@pytest.mark.parametrize("kind", ["relative", "metric"])
def test_monocular_loads_a_transformers_model_and_runs_it(kind: str, tmp_path: Path) -> None:
    """A real model with random weights, through from_pretrained: everything but the truth of its depth."""
    folder = tiny_depth_anything(tmp_path / "model", kind)
    assert (folder / "model.safetensors").is_file()
    row, column = np.mgrid[:64, :128]
    image = np.stack([row * 3, column, 255 - row], axis=-1).astype(np.uint8)
    crops = [Rig(Capture("gradient", image, capture(0).pose), horizon(size=SIZE))]
    model = reconstructors.named("monocular")
    assert model.missing(options(folder)) == ""
    result = run(model.reconstruct(crops, options(folder, size=56)))
    seen = result.maps[0]
    assert seen is not None and np.isfinite(seen.range[60:68]).mean() > 0.5
    assert result.scale_known == (kind == "metric")
    if kind == "metric":
        assert 0 < seen.range[np.isfinite(seen.range)].max() < 20 * 1.5 * 2


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "depth_anything", "depth_estimation_type": "relative"}, (False, True)),
        ({"model_type": "depth_anything"}, (False, True)),
        ({"model_type": "depth_anything", "depth_estimation_type": "metric"}, (True, False)),
        ({"model_type": "zoedepth"}, (True, False)),
        ({"model_type": "depth_pro"}, (True, False)),
        ({"model_type": "glpn"}, (True, False)),
        ({"model_type": "dpt"}, (False, True)),
    ],
)
def test_the_meaning_of_monocular_depth_is_read_from_the_config(config: Any, expected: Any, tmp_path: Path) -> None:
    from backend.reconstruction.reconstructors.monocular import kind_of

    assert kind_of(config) == expected
    with pytest.raises(PantheonError, match="canopy"):
        kind_of({"model_type": "canopy"})


class StandInDepth:
    """A monocular network and its processor that answer the room, every crop in a scale of its own."""

    def __init__(self, room: Room, kind: str) -> None:
        self.room, self.kind = room, kind
        self.config = types.SimpleNamespace(model_type=kind)
        self.config.to_dict = lambda: {"model_type": kind}
        self.pictures: list[np.ndarray] = []

    def __call__(self, pixel_values: Any) -> Any:
        depth = np.concatenate([self._depth(picture) for picture in np.asarray(pixel_values.numpy(), np.uint8)])
        if self.kind == "dpt":
            random = np.random.default_rng(len(self.pictures))
            scale, shift = random.uniform(0.5, 4, (len(depth), 1, 1)), random.uniform(-0.3, 0.3, (len(depth), 1, 1))
            depth = scale / depth + shift
        answer = types.SimpleNamespace(predicted_depth=torch.from_numpy(depth))
        if self.kind == "depth_pro":
            # Its canonical inverse depth: times width over focal length it is one over metres.
            answer.predicted_depth = 1 / (2 * torch.from_numpy(depth)) * 2 * 0.5
            answer.field_of_view = torch.full((len(depth),), 61.0)
        return answer

    def _depth(self, picture: np.ndarray) -> np.ndarray:
        """The pictures come in batches, in order: the crop is known by its number."""
        self.pictures.append(picture)
        layout = self.room.layout.resized(SIZE)
        view = (len(self.pictures) - 1) % len(layout)
        return self.room.seen(np.tile(picture[None], (len(layout), 1, 1, 1)))[0][view : view + 1]


class StandInProcessor:
    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, images: list[np.ndarray], return_tensors: str) -> Any:
        assert return_tensors == "pt" and all(image.dtype == np.uint8 for image in images)

        class Batch(dict):
            def to(self, device: str) -> Any:
                return self

        return Batch(pixel_values=torch.from_numpy(np.stack(images)))

    def post_process_depth_estimation(
        self, outputs: Any, target_sizes: Any = None, source_sizes: Any = None
    ) -> list[dict[str, Any]]:
        assert [tuple(size) for size in target_sizes] == [(SIZE, SIZE)] * len(outputs.predicted_depth)
        assert (source_sizes is not None) == (self.kind == "zoedepth")
        depth = outputs.predicted_depth
        if self.kind == "depth_pro":
            focal = 0.5 * SIZE / torch.tan(0.5 * torch.deg2rad(outputs.field_of_view))
            depth = 1 / (depth * SIZE / focal[:, None, None] * 1.0)
        return [{"predicted_depth": one} for one in depth]


@pytest.mark.parametrize(
    ("kind", "count", "known", "within"),
    [("dpt", 1, False, 1e-2), ("dpt", 2, True, 5e-2), ("zoedepth", 2, True, 1e-3), ("depth_pro", 2, True, 1e-3)],
)
def test_monocular_crops_become_one_panorama(
    kind: str, count: int, known: bool, within: float, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative models are aligned over the overlaps up to one factor for a capture, which two captures tell; metric
    ones are metres."""
    room = Room(horizon(size=SIZE), scale=1.0)
    model: Any = reconstructors.named("monocular")
    network, processor = StandInDepth(room, kind), StandInProcessor(kind)
    monkeypatch.setattr(type(model), "load", lambda self, folder, device: (processor, network))
    result = run(model.reconstruct(rigs(count), options(weights)))
    assert result.scale_known == known
    for index in range(count):
        if known:
            assert np.percentile(range_errors(result, index), 90) < within
        else:
            seen = result.maps[index]
            assert seen is not None
            pose = capture(index).pose
            truth = traced(pose[:3, 3], equirectangular.directions(WIDTH).astype(np.float64) @ pose[:3, :3].T)
            ratio = seen.range[np.isfinite(seen.range)] / truth[np.isfinite(seen.range)]
            assert np.percentile(np.abs(ratio / np.median(ratio) - 1), 90) < within


class StandInMoGe:
    """What moge.model.v2.MoGeModel is made with and asked: metres along the axis, infinite outside its mask."""

    room: Room

    def __init__(self, **config: Any) -> None:
        assert config == {"encoder": {"backbone": "dinov2_vits14"}, "num_tokens_range": [1200, 3600]}
        self.shown = 0

    def load_state_dict(self, tensors: dict[str, Any], *, strict: bool) -> None:
        assert set(tensors) == {"encoder.weight"} and not strict

    def to(self, device: str) -> Any:
        return self

    def eval(self) -> Any:
        return self

    def infer(
        self,
        image: Any,
        num_tokens: Any = None,
        resolution_level: int = 9,
        force_projection: bool = True,
        apply_mask: bool = True,
        fov_x: Any = None,
        use_fp16: bool = True,
    ) -> dict[str, Any]:
        layout = self.room.layout.resized(SIZE)
        assert image.ndim == 4 and image.shape[1:] == (3, SIZE, SIZE) and image.dtype == torch.float32
        assert float(image.min()) >= 0 and float(image.max()) <= 1 and apply_mask and not use_fp16
        assert fov_x == pytest.approx(np.degrees(layout.fov))
        depths = []
        for picture in (image.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8):
            view = self.shown % len(layout)
            self.shown += 1
            depths.append(self.room.seen(np.tile(picture[None], (len(layout), 1, 1, 1)))[0][view])
        depth = torch.from_numpy(np.stack(depths).astype(np.float32))
        depth[:, : SIZE // 8] = torch.inf
        return {"depth": depth, "mask": torch.isfinite(depth)}


def test_moge_is_asked_as_its_code_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a pickle as published: a configuration and tensors."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    model = type("Model", (StandInMoGe,), {"room": Room(horizon(size=SIZE), scale=1.0)})
    for name, attributes in {
        "moge": {}, "moge.model": {}, "moge.model.v2": {"MoGeModel": model}, "utils3d": {},
    }.items():  # fmt: skip
        module = types.ModuleType(name)
        module.__path__, module.__spec__ = [], importlib.machinery.ModuleSpec(name, None, is_package=True)
        module.__dict__.update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    folder = tmp_path / "downloaded"
    folder.mkdir()
    config = {"encoder": {"backbone": "dinov2_vits14"}, "num_tokens_range": [1200, 3600]}
    torch.save({"model_config": config, "model": {"encoder.weight": torch.zeros(2)}}, folder / "model.pt")
    result = run(reconstructors.named("moge").reconstruct(rigs(2), options(folder)))
    assert result.scale_known
    for index in range(2):
        seen = result.maps[index]
        assert seen is not None and np.isfinite(seen.range[60:68]).all()
        assert np.percentile(range_errors(result, index)[np.isfinite(range_errors(result, index))], 90) < 5e-3


def test_monocular_cannot_pose_captures(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(horizon(size=SIZE), scale=1.0)
    model: Any = reconstructors.named("monocular")
    pair = StandInProcessor("zoedepth"), StandInDepth(room, "zoedepth")
    monkeypatch.setattr(type(model), "load", lambda self, folder, device: pair)
    with pytest.raises(PantheonError) as refusal:
        run(model.reconstruct(rigs(2), options(weights, poses="model")))
    assert refusal.value.code == "poses-needed"
