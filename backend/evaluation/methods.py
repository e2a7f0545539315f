"""What paints a clip: baselines that need no painter, and the product's own painters, run as it runs them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pantheon360_blender.core.jobs.job import Anchor, PaintJob
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.points.point_cloud import PointCloud
from pantheon360_blender.core.progress import run_to_end
from pantheon360_blender.core.render import splatting
from pantheon360_blender.core.render.splatting import GeometryFrame

from .. import painters
from .clips import EvaluationClip, KnownFrame


@dataclass(frozen=True, eq=False)
class Situation:
    """What a row may know of a clip. known: its captures, by frame. cloud: the 3D cache, or None."""

    clip: EvaluationClip
    known: tuple[KnownFrame, ...]
    cloud: PointCloud | None

    @property
    def frames(self) -> range:
        return range(len(self.clip.images))

    @property
    def scored(self) -> list[int]:
        """Frames that count: those that are no anchors."""
        anchors = {each.frame for each in self.known}
        return [frame for frame in self.frames if frame not in anchors]

    @cached_property
    def geometry(self) -> list[GeometryFrame]:
        """The geometry pass, one pixel a point; black without a cache."""
        cloud = self.cloud or PointCloud.empty()
        return [
            splatting.splat(cloud.points, cloud.colours, self.clip.pose(frame), self.clip.width)
            for frame in self.frames
        ]

    def footprint(self, frame: int) -> GeometryFrame:
        """What drafts, and models that see them, know of a frame: points as large as they are."""
        cloud = self.cloud or PointCloud.empty()
        sizes = 0.0 if cloud.footprint is None else cloud.footprint
        return splatting.splat_footprints(cloud.points, cloud.colours, sizes, self.clip.pose(frame), self.clip.width)


Method = Callable[[Situation], np.ndarray]
"""Paints every frame of a situation: (F, H, W, 3) uint8."""


def truth(situation: Situation) -> np.ndarray:
    """The truth itself: what measures without a reference say of it."""
    return situation.clip.images


def geometry_only(situation: Situation) -> np.ndarray:
    """The geometry pass, black where nothing is known; at anchors the capture."""
    frames = np.stack([frame.colour for frame in situation.geometry])
    for each in situation.known:
        frames[each.frame] = _turned(each, situation.clip, each.frame)
    return np.asarray(frames)


def hold(situation: Situation) -> np.ndarray:
    """The nearest anchor as it was taken, held still."""
    clip = situation.clip
    held = {each.frame: equirectangular.resize(each.capture.image, clip.width) for each in situation.known}
    return np.stack([held[_nearest(situation.known, frame).frame] for frame in situation.frames])


def turned(situation: Situation) -> np.ndarray:
    """The nearest anchor, turned as the camera turns."""
    return np.stack([_turned(_nearest(situation.known, frame), situation.clip, frame) for frame in situation.frames])


def cross_fade(situation: Situation) -> np.ndarray:
    """From the first anchor to the last, both turned as the camera turns."""
    first, last = situation.known[0], situation.known[-1]
    frames = []
    for frame in situation.frames:
        share = np.clip((frame - first.frame) / max(last.frame - first.frame, 1), 0.0, 1.0)
        before, after = (_turned(each, situation.clip, frame).astype(np.float32) for each in (first, last))
        frames.append(np.rint(before + share * (after - before)).astype(np.uint8))
    return np.stack(frames)


def draft(situation: Situation) -> np.ndarray:
    """The product's draft painter."""
    return _painted(situation, "draft", {}, situation.geometry)


def model(settings: dict[str, Any]) -> Method:
    """The product's diffusion painter, in one clip. settings: of its PaintOptions, with the model's name."""

    def paint(situation: Situation) -> np.ndarray:
        chosen = {"clip": len(situation.frames), **settings}
        return _painted(situation, "diffusion", {"diffusion": chosen}, situation.geometry)

    return paint


def _painted(
    situation: Situation, painter: str, settings: dict[str, Any], geometry: Sequence[GeometryFrame]
) -> np.ndarray:
    """What a painter of the product makes of a job folder like those that Blender prepares."""
    clip = situation.clip
    with tempfile.TemporaryDirectory() as scratch:
        folder = PaintFolder.new(Path(scratch), clip.name)
        captures = [folder.write_capture(each.capture) for each in situation.known]
        for frame, seen in enumerate(geometry):
            folder.write_geometry("geometry", frame, seen)
            folder.write_geometry("footprint", frame, situation.footprint(frame))
        anchors = [Anchor(frame=each.frame, capture=each.capture.name) for each in situation.known]
        job = PaintJob(
            name=clip.name,
            width=clip.width,
            fps=clip.fps,
            frames=list(situation.frames),
            cameras=np.stack([clip.pose(frame) for frame in situation.frames]),
            captures=captures,
            anchors=anchors,
            painter=painter,
            settings=settings,
        )
        folder.seal(job)
        run_to_end(painters.named(painter).paint(folder))
        return np.stack([_read(folder.frame_file(frame)) for frame in situation.frames])


def _read(path: Path) -> np.ndarray:
    from pantheon360_blender.core.formats import png

    return png.read(path)


def _nearest(known: Sequence[KnownFrame], frame: int) -> KnownFrame:
    return min(known, key=lambda each: abs(each.frame - frame))


def _turned(each: KnownFrame, clip: EvaluationClip, frame: int) -> np.ndarray:
    """A capture in the orientation of a frame's camera, at the clip's width."""
    image = equirectangular.resize(each.capture.image, clip.width)
    if clip.cameras is None:
        return image
    return equirectangular.rotate(image, each.capture.pose[:3, :3].T @ clip.pose(frame)[:3, :3])
