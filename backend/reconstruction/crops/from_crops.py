"""From what a model says about crops to what each capture sees: the part all learned reconstructors share.

A model sees a panorama as unrelated pictures and answers in a frame and scale of its own. Here its answer goes back to
the rig: rays are the rig's, depth along each crop's axis is the model's. One scale is found for all of it. The crops of
a panorama are made to agree and blended into one range map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import invert, opencv_to_blender
from pantheon360_blender.core.points.equirectangular_depth import CropDepth, merge_crops, range_from_z
from pantheon360_blender.core.progress import Job, Progress

from .. import registration
from ..depth_map import DepthMap
from ..reconstruction import Reconstruction
from ..rig import Layout, Rig
from ..scaling import scaled, without_sky
from . import crop_alignment

DEPTH, DISPARITY = "depth", "disparity"
_TURNED = np.radians(20.0)
"""Angle between estimated and true rotations of a panorama's crops above which its depth is doubtful."""
_OWN_SCALE = 0.3
"""How firmly a crop of a model with one scale for all crops is held at it."""
_EDGE = 0.04
_CREASE = 6.0
"""Relative bend of inverse depth over three pixels that makes an edge, and, times the focal length in pixels, the most
that a crease between walls bends it. A bend, not a step: floors at a grazing angle have steep depth and no edges."""


@dataclass(frozen=True, eq=False)
class CropViews:
    """What a model is given: the crops of P panoramas, V of each, s pixels a side.

    images: (P, V, s, s, 3) uint8 sRGB. layout: at s pixels.
    poses: (P, V, 4, 4) float64 camera-to-world, OpenCV's camera axes, or None if they are not known.
    """

    images: np.ndarray
    layout: Layout
    poses: np.ndarray | None

    def pictures(self) -> np.ndarray:
        """(P V, s, s, 3) uint8: panorama by panorama."""
        return self.images.reshape(-1, *self.images.shape[2:])

    def known_poses(self) -> np.ndarray | None:
        """(P V, 4, 4) float32 camera-to-world, OpenCV's axes, in the first picture's frame, or None."""
        if self.poses is None:
            return None
        poses = self.poses.reshape(-1, 4, 4)
        return np.asarray(np.linalg.inv(poses[0]) @ poses, dtype=np.float32)

    def rays(self) -> np.ndarray:
        """(s, s, 3) float32 unit rays of a crop's pixel centres, OpenCV's camera axes."""
        size = self.layout.size
        rays = equirectangular.perspective_directions((size, size), self.layout.fov) * np.array([1, -1, -1], np.float32)
        return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class CropGeometry:
    """What a model answers about the views of P panoramas.

    values: (P, V, s, s). If `kind` is DEPTH, depth along each crop's axis (not range); NaN, inf or <= 0 if unknown.
    If it is DISPARITY, an increasing affine function of inverse depth.
    confidence: (P, V, s, s) 0 to 1, or None to take how well crops agree.
    poses: (P, V, 4, 4) camera-to-world, OpenCV's camera axes, in the model's frame and the unit of depth, or None.
    metric: whether the unit of depth is the metre. shared_scale: whether all crops have one unit of depth.
    sky: (P, V, s, s) bool, or None.
    notes: sentences for the artist.
    """

    values: np.ndarray
    confidence: np.ndarray | None = None
    poses: np.ndarray | None = None
    metric: bool = False
    shared_scale: bool = True
    kind: str = DEPTH
    sky: np.ndarray | None = None
    notes: Sequence[str] = field(default=())


def views_of(rigs: Sequence[Rig], size: int, *, poses_known: bool) -> CropViews:
    """Crops of all rigs at `size` pixels a side. Raises PantheonError if the rigs have different layouts."""
    layout = shared_layout(rigs).resized(size)
    sized = [Rig(rig.capture, layout) for rig in rigs]
    poses = np.stack([rig.poses_opencv for rig in sized]) if poses_known else None
    return CropViews(np.stack([rig.crops() for rig in sized]), layout, poses)


def shared_layout(rigs: Sequence[Rig]) -> Layout:
    """The layout of all rigs. Raises PantheonError if there is none or they differ."""
    if not rigs:
        raise PantheonError("There is no capture to reconstruct.", advice="Import a 360° capture.", code="no-captures")
    layout = rigs[0].layout
    for rig in rigs[1:]:
        if rig.layout.rotations.shape != layout.rotations.shape or rig.layout.fov != layout.fov:
            raise PantheonError(f"Capture {rig.capture.name} is cropped in another way than {rigs[0].capture.name}.")
    return layout


def together(panoramas: int, batch_size: int) -> list[list[int]]:
    """Which panoramas a model sees together: runs of `batch_size`, each of which shares one with the run before."""
    if panoramas <= batch_size:
        return [list(range(panoramas))]
    step = max(batch_size - 1, 1)
    starts = range(0, panoramas - 1 if batch_size > 1 else panoramas, step)
    return [list(range(start, min(start + batch_size, panoramas))) for start in starts]


def reconstruction(
    rigs: Sequence[Rig], layout: Layout, answers: Sequence[tuple[Sequence[int], CropGeometry]], options: dict[str, Any]
) -> Job[Reconstruction]:
    """Poses and range maps in the captures' world from a model's answers.

    rigs: of N captures. layout: as the model saw it. answers: indices of captures, and what the model says of them.
    options: poses: "given" (the captures' poses hold; default) or "model" (only the first one does). width: pixels of
    the range maps (1024). sky: whether to look for sky (True). camera_height: metres above the ground, and points:
    (M, 3) metres, solved with the given poses; they give the scale if neither baselines nor the model do.
    Raises PantheonError.
    """
    trusted = options.get("poses", "given") == "given"
    width = int(options.get("width", 1024))
    aligned: list[tuple[list[int], CropGeometry]] = []
    for run, (which, geometry) in enumerate(answers):
        yield Progress("Aligning crops", run, len(answers))
        aligned.append((list(which), _aligned(geometry, layout)))
    placed = _Placement(rigs, layout, aligned, trusted)
    notes = list(dict.fromkeys([note for _, geometry in answers for note in geometry.notes] + placed.notes))
    maps: list[DepthMap | None] = []
    for index, rig in enumerate(rigs):
        yield Progress("Merging crops", index, len(rigs), text=rig.capture.name)
        if not placed.registered[index]:
            maps.append(None)
            continue
        run, row = placed.source[index]
        seen = _range_map(rig, layout, aligned[run][1], row, placed.scales[index], width)
        maps.append(without_sky(rig.capture, seen, placed.metric) if options.get("sky", True) else seen)
    affine = any(geometry.kind == DISPARITY for _, geometry in aligned)
    result = Reconstruction(placed.poses, maps, placed.registered, notes, placed.metric, affine)
    apart = any(not geometry.shared_scale for _, geometry in aligned)
    if apart:
        yield Progress("Making captures agree", text=", ".join(rig.capture.name for rig in rigs))
    return scaled(result, options, apart=apart)


def _aligned(geometry: CropGeometry, layout: Layout) -> CropGeometry:
    """The answer as depth, with crops that agree where they overlap, and a confidence."""
    values = np.array(geometry.values, dtype=np.float64)
    notes = list(geometry.notes)
    for row, crops in enumerate(values):
        usable = np.isfinite(crops)
        if geometry.sky is not None:
            usable &= ~geometry.sky[row]
        if geometry.kind == DISPARITY:
            crops[~usable] = np.nan
            scale, shift = crop_alignment.align_disparities(crops, layout)
            inverse = scale[:, None, None] * crops + shift[:, None, None]
            floor = 1e-3 * float(np.nanmedian(inverse)) if usable.any() else 1.0
            crops[:] = np.where(inverse > floor, 1 / np.maximum(inverse, floor), np.nan)
        else:
            crops[~(usable & (crops > 0))] = np.nan
            prior = _OWN_SCALE if geometry.shared_scale else (0.02 if geometry.metric else 0.0)
            factors = crop_alignment.align_scales(crops, layout, prior=prior)
            crops *= factors[:, None, None]
            if geometry.shared_scale and len(factors) and np.abs(np.log(factors)).max() > np.log(1.25):
                notes.append("Some crops disagree on scale by more than a quarter: look for double walls.")
    confidence = geometry.confidence
    if confidence is None:
        confidence = np.stack([crop_alignment.agreement(crops, layout) for crops in values])
    confidence = np.where(np.isfinite(values), np.clip(np.nan_to_num(confidence), 0, 1), 0).astype(np.float32)
    return replace(geometry, values=values, confidence=confidence, notes=tuple(notes))


class _Placement:
    """Where each capture stands, how its depth scales to the world, and which answer it is taken from.

    poses: (N, 4, 4) Blender's axes. scales: (N,) world length per model length. registered: N booleans.
    source: (run, row in it) of each capture. metric: whether the world's unit is the metre.
    """

    def __init__(
        self, rigs: Sequence[Rig], layout: Layout, answers: Sequence[tuple[list[int], CropGeometry]], trusted: bool
    ) -> None:
        self._rigs, self._layout, self._answers, self._trusted = rigs, layout, answers, trusted
        self._given = np.stack([np.asarray(rig.capture.pose, dtype=np.float64) for rig in rigs])
        self.poses = self._given.copy()
        self.scales = np.ones(len(rigs))
        self.registered = [False] * len(rigs)
        self.source = [(0, 0)] * len(rigs)
        self.metric = True
        self.notes: list[str] = []
        for run in range(len(answers)):
            self._place(run)
        if not any(self.registered):
            raise PantheonError(
                "The model found no geometry in these captures.",
                advice="Choose another reconstructor, or solve the captures' poses first.",
                code="nothing-reconstructed",
            )
        if not trusted:
            self._level()

    def _place(self, run: int) -> None:
        which, geometry = self._answers[run]
        fits = self._fits(geometry)
        usable = [row for row in range(len(which)) if self._usable(which[row], geometry.values[row], fits[row])]
        if not usable:
            return
        poses, scale, metric = self._to_world(run, fits, usable)
        self.metric = self.metric and metric
        for row in usable:
            index = which[row]
            if not self.registered[index]:
                self.registered[index] = True
                self.source[index], self.scales[index], self.poses[index] = (run, row), scale, poses[row]

    def _fits(self, geometry: CropGeometry) -> list[registration.RigFit | None]:
        """Each panorama's pose in the model's frame; None if its crops have none."""
        if geometry.poses is None or geometry.confidence is None:
            return [None] * len(geometry.values)
        trust = geometry.confidence.mean(axis=(2, 3)) + 1e-3
        estimated = opencv_to_blender(geometry.poses)
        return [
            registration.rig_similarity(poses, self._layout.rotations, weights) if np.isfinite(poses).any() else None
            for poses, weights in zip(estimated, trust, strict=True)
        ]

    def _usable(self, index: int, values: np.ndarray, fit: registration.RigFit | None) -> bool:
        if not np.isfinite(values).any():
            return False
        if fit is not None and np.median(fit.angles) > _TURNED:
            name = self._rigs[index].capture.name
            self.notes.append(f"The model's poses for the crops of {name} do not fit its rig: its depth is doubtful.")
            return self._trusted
        return True

    def _to_world(
        self, run: int, fits: list[registration.RigFit | None], usable: list[int]
    ) -> tuple[np.ndarray, float, bool]:
        """World poses of a run's captures, world length per model length, and whether that is known."""
        which = self._answers[run][0]
        poses = self._given[which]
        posed = [row for row in usable if fits[row] is not None]
        if self._trusted:
            estimated, known = np.array([_pose(fits[row]) for row in posed]), poses[posed]
            if len(posed) > 1 and _extent(known) > 0 and _extent(estimated) > 1e-6 * _extent(known):
                return poses, registration.pose_similarity(estimated, known).scale, True
            return poses, *self._scale(run, usable)
        if len(posed) < len(usable) and len(self._rigs) > 1:
            raise PantheonError(
                "This model sees one picture at a time: it cannot tell where captures stand to each other.",
                advice="Solve or give the captures' poses first, or choose a model for several views.",
                code="poses-needed",
            )
        scale, metric = self._scale(run, usable)
        placed = poses.copy()
        if posed:
            anchor = next((row for row in posed if self.registered[which[row]]), posed[0])
            world_from_anchor, anchor_from_model = self.poses[which[anchor]], invert(_pose(fits[anchor]))
            for row in posed:
                anchor_from_rig = anchor_from_model @ _pose(fits[row])
                anchor_from_rig[:3, 3] *= scale
                placed[row] = world_from_anchor @ anchor_from_rig
        return placed, scale, metric

    def _scale(self, run: int, usable: list[int]) -> tuple[float, bool]:
        """World length per model length without baselines, the model's or an earlier run's, and whether it is known."""
        which, geometry = self._answers[run]
        if geometry.metric:
            return 1.0, True
        for row in usable:
            if self.registered[which[row]]:
                before, place = self.source[which[row]]
                earlier = self._answers[before][1].values[place] * self.scales[which[row]]
                logs = np.log(earlier / geometry.values[row])
                logs = logs[np.isfinite(logs)]
                if len(logs):
                    return float(np.exp(np.median(logs))), self.metric
        return 1.0, False

    def _level(self) -> None:
        """Turn the world about the first registered capture so that the captures' given ups agree on average."""
        placed = [index for index, done in enumerate(self.registered) if done]
        ups = self.poses[placed, :3, :3] @ np.swapaxes(self._given[placed, :3, :3], 1, 2) @ np.array([0, 0, 1.0])
        mean = ups.mean(axis=0)
        if len(placed) < 2 or np.linalg.norm(mean) < 0.7:
            return
        level_from_world = np.eye(4)
        level_from_world[:3, :3] = registration.shortest_rotation_to_z(mean / np.linalg.norm(mean))
        pivot = self.poses[placed[0], :3, 3].copy()
        level_from_world[:3, 3] = pivot - level_from_world[:3, :3] @ pivot
        self.poses[placed] = level_from_world @ self.poses[placed]


def _range_map(rig: Rig, layout: Layout, geometry: CropGeometry, row: int, scale: float, width: int) -> DepthMap:
    """One capture's crops blended into one equirectangular range map."""
    assert geometry.confidence is not None
    depth = geometry.values[row] * scale
    usable = np.isfinite(depth) & ~_edges(depth, layout.intrinsics[0, 0]) & Rig(rig.capture, layout).valid()
    depth = np.where(usable, depth, np.nan)
    crops = [
        CropDepth(range_from_z(crop, layout.fov), panorama_from_crop, layout.fov, trust)
        for crop, panorama_from_crop, trust in zip(depth, layout.rotations, geometry.confidence[row], strict=True)
    ]
    merged, confidence = merge_crops(crops, width)
    sky = np.zeros(merged.shape, np.bool_)
    if geometry.sky is not None:
        sky |= _share(geometry.sky[row], layout, width) > 0.5
    merged[sky] = np.inf
    confidence[sky] = 0
    return DepthMap(merged, confidence, sky)


def _edges(depth: np.ndarray, focal: float) -> np.ndarray:
    """(V, s, s) bool: pixels on the border between a near and a far surface, where models smear depth."""
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(depth > 0, 1 / depth, np.nan)
        edges = np.zeros(depth.shape, np.bool_)
        for axis in (1, 2):
            middle = np.moveaxis(inverse, axis, 0)
            bend = np.abs(middle[:-2] - 2 * middle[1:-1] + middle[2:]) / middle[1:-1]
            np.moveaxis(edges, axis, 0)[1:-1] |= bend > max(_EDGE, _CREASE / focal)
    return edges


def _share(mask: np.ndarray, layout: Layout, width: int) -> np.ndarray:
    """(H, W) share of the crops that see a direction in which `mask` (V, s, s) is set."""
    pixels, inside = layout.project(equirectangular.directions(width))
    yes, all_of = np.zeros(pixels.shape[1:3]), np.zeros(pixels.shape[1:3])
    for view in range(len(layout)):
        column, row = np.clip(pixels[view][inside[view]].astype(np.intp), 0, layout.size - 1).T
        yes[inside[view]] += mask[view][row, column]
        all_of += inside[view]
    return np.asarray(yes / np.maximum(all_of, 1))


def _extent(poses: np.ndarray) -> float:
    """Largest distance of a position from the first, metres."""
    return float(np.linalg.norm(poses[:, :3, 3] - poses[0, :3, 3], axis=1).max()) if len(poses) else 0.0


def _pose(fit: registration.RigFit | None) -> np.ndarray:
    assert fit is not None
    return fit.pose
