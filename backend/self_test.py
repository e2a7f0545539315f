"""`python -m backend self-test`: a small place reconstructed and a small shot painted, to see that all of it works."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pantheon360_blender.core import plain_text
from pantheon360_blender.core.errors import BackendError, PantheonError

PARTS = ("reconstruction", "importers", "diffusion", "learned")
_WIDTH = 256
_STEP = 0.6
_FEWEST = 2000
"""Points that a room of this size gives at least; it gave 30,000 when this was written."""


_CROP = 56
"""Pixels a side of the crops that a learned reconstructor is shown."""
_LEAST_LIKENESS = 0.5
"""Correlation of a painted frame with the truth."""


def main(names: Sequence[str]) -> int:
    """Test the parts of these names, all of them if there are none. Prints one JSON object; returns the exit code."""
    found: dict[str, Any] = {}
    try:
        for name in names or PARTS:
            started = time.monotonic()
            found[name] = _TESTS[name]()
            found[f"{name}_seconds"] = round(time.monotonic() - started, 1)
    except PantheonError as error:
        print(plain_text.paragraph(f"{error.text} {error.advice}"), file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0


def _reconstruction() -> str:
    """Two panoramas of a room are posed, and its walls found."""
    import numpy as np

    from pantheon360_blender.core.jobs.job import ReconstructJob
    from pantheon360_blender.core.jobs.job_folder import ReconstructFolder
    from pantheon360_blender.core.jobs.reconstruct_settings import CACHE_FILE, ReconstructionSettings
    from pantheon360_blender.core.panorama.cameras import pose_matrix, rotation_from_heading
    from pantheon360_blender.core.panorama.capture import Capture
    from pantheon360_blender.core.points.point_cloud import PointCloud
    from pantheon360_blender.core.progress import run_to_end

    from . import runner

    with tempfile.TemporaryDirectory(prefix="pantheon360-test-") as place:
        folder = ReconstructFolder.new(Path(place), "self-test")
        entries = []
        for index in range(2):
            pose = pose_matrix(rotation_from_heading(40.0 * index), np.array([0.3 * index, _STEP * index, 1.5]))
            entries.append(folder.write_capture(Capture(f"room-{index}", _room(pose)[0], pose)))
        settings = ReconstructionSettings(poses="given", width=_WIDTH)
        folder.seal(ReconstructJob(name="self-test", captures=entries, settings=settings.to_json()))
        run_to_end(runner.run(folder.path))
        count = len(PointCloud.load(folder.path / CACHE_FILE))
    if count < _FEWEST:
        raise BackendError(f"Only {count} points of a room were found.", code="self-test")
    import pycolmap  # noqa: F401 - poses are solved in a process of its own; here it is enough that it loads

    return f"{count} points"


def _room(pose: Any) -> Any:
    """What a camera sees of a box room whose walls are all blotches; (H, W, 3) uint8, and its range, (H, W) metres."""
    import numpy as np

    from pantheon360_blender.core.panorama import equirectangular

    low, high = np.array([-3.0, -2.5, 0.0]), np.array([3.0, 3.5, 3.0])
    rays = equirectangular.directions(2 * _WIDTH).astype(np.float64) @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        reach = (np.where(rays > 0, high - pose[:3, 3], low - pose[:3, 3]) / rays).min(axis=-1)
    points = pose[:3, 3] + rays * reach[..., None]
    waves = np.random.default_rng(3).normal(0, 5.0, (3, 40))
    colours = 128 + 12 * np.sin(points @ waves + np.arange(40)).reshape(*points.shape[:2], 4, 10).sum(axis=3)
    seen = np.clip(colours[..., :3], 0, 255).astype(np.uint8)
    return equirectangular.resize(seen, _WIDTH), reach[::2, ::2].astype(np.float32)


def _importers() -> str:
    """The libraries load."""
    import laspy
    import OpenImageIO
    import pye57
    import pyproj

    names = (module.__name__ for module in (laspy, OpenImageIO, pye57, pyproj))
    return f"{', '.join(names)} load"


def _diffusion() -> str:
    """Two frames of a walk through the room are painted, by the model that comes with the extension, and look like it.

    Where that is left out, a tiny model of random weights paints, and it is enough that it does.
    """
    import numpy as np

    from pantheon360_blender.core.jobs import model_places
    from pantheon360_blender.core.jobs.job import PaintJob
    from pantheon360_blender.core.jobs.job_folder import PaintFolder
    from pantheon360_blender.core.panorama.cameras import pose_matrix, rotation_from_heading
    from pantheon360_blender.core.panorama.capture import Capture
    from pantheon360_blender.core.points.equirectangular_depth import cloud_from_depth
    from pantheon360_blender.core.progress import run_to_end
    from pantheon360_blender.core.render.splatting import splat, splat_footprints

    from . import device, runner
    from .diffusion import quiet_imports

    quiet_imports.ask()
    from .diffusion.models import model_store, tiny_model

    ahead = rotation_from_heading(0.0)
    cameras = np.stack([pose_matrix(ahead, np.array([0.0, _STEP * index, 1.5])) for index in range(2)])
    picture, reach = _room(cameras[0])
    capture = Capture("A", picture, cameras[0])
    cloud = cloud_from_depth(capture, reach)
    with tempfile.TemporaryDirectory(prefix="pantheon360-test-") as place:
        shipped = model_places.shipped()
        model = shipped or Path(place) / "tiny"
        if shipped is None:
            tiny_model.make(model, width=128, height=64, frames=4)
        folder = PaintFolder.new(Path(place), "self-test")
        entry = folder.write_capture(capture)
        for frame, camera in enumerate(cameras, 1):
            sizes = 0.0 if cloud.footprint is None else cloud.footprint
            folder.write_geometry("geometry", frame, splat(cloud.points, cloud.colours, camera, _WIDTH))
            large = splat_footprints(cloud.points, cloud.colours, sizes, camera, _WIDTH)
            folder.write_geometry("footprint", frame, large)
        folder.seal(
            PaintJob(
                name="self-test", width=_WIDTH, fps=24, frames=[1, 2], cameras=cameras, captures=[entry],
                painter="diffusion", settings={"near": 0.05, "diffusion": {"model": str(model), "steps": 2}},
            )
        )  # fmt: skip
        run_to_end(runner.run(folder.path))
        if shipped is not None:
            _like(folder.frame_file(2), _room(cameras[1])[0])
        label = model_store.find(str(model)).card.label
    return f"2 frames by {label} on {device.name(device.choose('auto', 'auto', half='float16')[0])}"


def _like(painted: Path, truth: Any) -> None:
    """Raise BackendError unless a painted frame looks like what is there."""
    import numpy as np

    from pantheon360_blender.core.formats import png

    likeness = float(np.corrcoef(png.read(painted)[..., :3].ravel(), truth.ravel())[0, 1])
    if not likeness > _LEAST_LIKENESS:
        raise BackendError(
            f"What was painted does not look like the room: correlation {likeness:.2f}.", code="self-test"
        )


def _learned() -> str:
    """Depth Anything 3, the smallest there is, with random weights, says something of the room; the others load."""
    import numpy as np
    import panodac.models  # noqa: F401
    import torch
    from transformers import DepthAnythingForDepthEstimation  # noqa: F401

    from pantheon360_blender.core.panorama.cameras import pose_matrix, rotation_from_heading
    from pantheon360_blender.core.panorama.capture import Capture

    from .reconstruction import rig
    from .reconstruction.crops import from_crops
    from .reconstruction.reconstructors import _torch, depth_anything_3

    pose = pose_matrix(rotation_from_heading(0.0), np.array([0.0, 0.0, 1.5]))
    room = rig.Rig(Capture("room", _room(pose)[0], pose), rig.horizon(count=4, size=_CROP))
    device = _torch.choose({"device": "auto"})
    torch.manual_seed(0)
    model = depth_anything_3.upstream()(model_name="da3-small").to(device.kind).eval()
    with device.translate_errors("Depth Anything 3"), device.inference():
        answer = depth_anything_3.RECONSTRUCTOR.predict(
            model, from_crops.views_of([room], _CROP, poses_known=False), device
        )
    if not (answer.values > 0).all():
        raise BackendError("Depth Anything 3 answered depths that are none.", code="self-test")
    return f"{answer.values.size} depths on {device.kind}"


_TESTS = {
    "reconstruction": _reconstruction,
    "importers": _importers,
    "diffusion": _diffusion,
    "learned": _learned,
}
