"""Networks that are shown a whole panorama: equirectangular picture in, range of every pixel out.

A file of such a network derives from PanoramicDepth: `load` reads it, `look` asks it. What all of them share is here:
the picture is leveled, as they were trained, the answer is turned back, and captures get one unit of length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import heading_from_rotation, rotation_from_heading
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.progress import Job, Progress

from ..rig import Rig
from . import Reconstructor

if TYPE_CHECKING:
    from ..crops.from_crops import CropGeometry, CropViews
    from ..depth_map import DepthMap
    from ..reconstruction import Reconstruction
    from ._torch import Device

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures, red, green and blue in 0 to 1: what backbones expect to be taken away."""
_SURE, _DOUBTFUL = 0.6, 0.3
"""Confidence of a range, and of one at a step, where networks smear it."""
_STEP = 0.08
"""Natural log of range between neighbours at the answer's size that makes a step."""


@dataclass(frozen=True, eq=False)
class PanoramicAnswer:
    """What a network says of a panorama.

    ranges: (h, 2 h) Euclidean distances in one unit; what is not finite or not positive is unknown.
    sky: (h, 2 h) bool, or None if it does not tell.
    """

    ranges: np.ndarray
    sky: np.ndarray | None = None


class PanoramicDepth(Reconstructor):
    """A network that is shown whole panoramas, one at a time; poses must be known.

    height: pixels of the picture that it is shown, which is twice as wide. metric: whether its unit is the metre.
    Options: weights, download, device, dtype as of Reconstructor; width of the maps, sky, points and camera_height.
    """

    several_views = False
    height: ClassVar[int] = 512
    metric: ClassVar[bool] = False

    def look(self, model: Any, picture: np.ndarray, device: Device) -> PanoramicAnswer:
        """Ask the model about a level picture, (height, 2 height, 3) uint8 sRGB."""
        raise NotImplementedError

    def predict(self, model: Any, views: CropViews, device: Device) -> CropGeometry:
        raise NotImplementedError("it is shown no crops")

    def reconstruct(self, rigs: Sequence[Rig], options: dict[str, Any]) -> Job[Reconstruction]:
        """Range maps of the rigs' captures, where they stand. Arguments and errors as of Reconstructor."""
        from ..reconstruction import Reconstruction
        from ..scaling import scaled, without_sky

        if options.get("poses", "given") != "given" and len(rigs) > 1:
            raise PantheonError(
                "This model sees one picture at a time: it cannot tell where captures stand to each other.",
                advice="Solve or give the captures' poses first, or choose a model for several views.",
                code="poses-needed",
            )
        device, model = yield from self.loaded(options)
        maps: list[DepthMap | None] = []
        try:
            for index, rig in enumerate(rigs):
                yield Progress(f"Reconstructing with {self.plugin.title}", index, len(rigs), text=rig.capture.name)
                with device.translate_errors(self.plugin.title), device.inference():
                    seen = self._seen(model, rig.capture, device, int(options.get("width", 1024)))
                maps.append(without_sky(rig.capture, seen, self.metric) if options.get("sky", True) else seen)
        finally:
            del model
            device.free()
        if not any(seen is not None and np.isfinite(seen.range).any() for seen in maps):
            raise PantheonError(
                "The model found no geometry in these captures.",
                advice="Choose another reconstructor.",
                code="nothing-reconstructed",
            )
        poses = np.stack([np.asarray(rig.capture.pose, dtype=np.float64) for rig in rigs])
        found = Reconstruction(poses, maps, [True] * len(rigs), [], self.metric)
        yield Progress("Making captures agree")
        return scaled(found, options, apart=True)

    def _seen(self, model: Any, capture: Capture, device: Device, width: int) -> DepthMap:
        """What the model sees of a capture, whichever way it is turned."""
        from ..depth_map import DepthMap, looked_up

        level = level_from_capture(capture)
        picture = equirectangular.resize(capture.image, 2 * self.height)
        if not np.allclose(level, np.eye(3), atol=1e-6):
            picture = equirectangular.rotate(picture, level.T)
        answer = self.look(model, picture, device)
        ranges = np.asarray(answer.ranges, dtype=np.float32)
        if ranges.shape != (ranges.shape[0], 2 * ranges.shape[0]):
            raise PantheonError(f"{self.plugin.title} answered {ranges.shape} ranges of a panorama.")
        known = np.isfinite(ranges) & (ranges > 0)
        sky = np.zeros(known.shape, np.bool_) if answer.sky is None else np.asarray(answer.sky, bool)
        steps = _steps(np.where(known, ranges, np.nan))
        confidence = np.where(known & ~sky, np.where(steps, _DOUBTFUL, _SURE), 0).astype(np.float32)
        seen = looked_up(DepthMap(np.where(known & ~sky, ranges, np.inf), confidence, sky), level, width)
        if capture.valid is None:
            return seen
        hidden = ~equirectangular.resize(capture.valid, width)
        return DepthMap(seen.range, np.where(hidden, np.float32(0), seen.confidence), seen.sky)


def level_from_capture(capture: Capture) -> np.ndarray:
    """(3, 3): from a capture's axes to those of a level camera that looks the same way around."""
    rotation = np.asarray(capture.pose, dtype=np.float64)[:3, :3]
    return np.asarray(rotation_from_heading(heading_from_rotation(rotation)).T @ rotation)


def normalized(picture: np.ndarray, device: Device) -> Any:
    """(1, 3, h, w) float32 on the device of a picture (h, w, 3) uint8, as backbones of ImageNet expect it."""
    scaled = (picture.astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
    return device.tensor(scaled).permute(2, 0, 1)[None]


def _steps(ranges: np.ndarray) -> np.ndarray:
    """(h, w) bool: next to a neighbour at quite another range; of ranges that are NaN if unknown."""
    with np.errstate(invalid="ignore"):
        logs = np.log(ranges)
        across = np.abs(logs - np.roll(logs, -1, axis=1)) > _STEP
        down = np.abs(np.diff(logs, axis=0)) > _STEP
    found = across | np.roll(across, 1, axis=1)
    found[:-1] |= down
    found[1:] |= down
    return np.asarray(found)
