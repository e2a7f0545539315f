"""Every measure of one painted clip, against the truth where it needs one. Frames that are anchors never count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from .clips import EvaluationClip
from .methods import Situation
from .metrics import crops, flow, fvd, interpolation_error, seam, warping_error
from .metrics.dists import Dists
from .metrics.i3d import LEAST_FRAMES, I3d
from .metrics.known_pixels import known_pixel_correlation
from .metrics.lpips import Lpips
from .metrics.met3r import Met3r
from .metrics.noise_ratio import psnr, ws_psnr
from .metrics.similarity import ssim, ws_ssim

MEASURES = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "ws_psnr": "WS-PSNR, dB",
    "ws_ssim": "WS-SSIM",
    "lpips": "LPIPS (Alex)",
    "st_lpips": "ST-LPIPS",
    "dists": "DISTS",
    "psnr_crops": "PSNR of 8 crops, dB",
    "ssim_crops": "SSIM of 8 crops",
    "lpips_crops": "LPIPS of 8 crops",
    "st_lpips_crops": "ST-LPIPS of 8 crops",
    "dists_crops": "DISTS of 8 crops",
    "stwe_exact": "STWE, exact flow, x1000",
    "stwe_dis": "STWE, DIS flow, x1000",
    "ie_dis": "IE (DIS), grey levels",
    "seam": "seam ratio",
    "pole": "pole error, grey levels",
    "known_correlation": "known-pixel correlation",
    "coverage": "coverage, %",
    "met3r": "MEt3R",
}
"""Every measure of a clip by its column, in order."""

VIDEO_FRAMES = 16
"""Frames of a video for FVD, as published FVDs mostly have."""
DISTANCES = {"fvd": f"FVD ({VIDEO_FRAMES} frames)", "fvd_crops": f"FVD of 8 crops ({VIDEO_FRAMES} frames)"}
"""Every measure of a set of clips by its name: of whole panoramas, and of all their crops as videos of their own."""
_RUN = 9
"""Frames that follow one another, in the middle, for what needs an estimated flow: it is slow."""


@dataclass(frozen=True)
class Judges:
    """The networks that judge, each None if its weights are not there.

    sampled: frames of a clip that they look at. all_crops: whether ST-LPIPS, DISTS and I3D look at crops, too, and not
    LPIPS alone: it takes several times as long.
    """

    lpips: Lpips | None = None
    st_lpips: Lpips | None = None
    dists: Dists | None = None
    i3d: I3d | None = None
    met3r: Met3r | None = None
    sampled: int = 2
    all_crops: bool = False

    @classmethod
    def load(cls, weights: Path | None, sampled: int, *, met3r: bool = False, all_crops: bool = False) -> Judges:
        """All of them from a folder of weights; none without one. Raises FileError, BackendError."""
        own = Met3r() if met3r else None
        if weights is None:
            return cls(met3r=own, sampled=sampled)
        judges = Lpips(weights), Lpips(weights, "stlpips-alex"), Dists(weights), I3d(weights)
        return cls(*judges, own, sampled, all_crops)


class ClipJudge:
    """Measures what rows paint of one clip. What only the truth decides is computed once."""

    def __init__(self, clip: EvaluationClip, judges: Judges) -> None:
        self._clip, self._judges = clip, judges
        self._features: dict[tuple[str, str, tuple[int, ...]], list] = {}

    def measure(self, images: np.ndarray, situation: Situation, *, brief: bool = False) -> dict[str, float]:
        """Column of MEASURES -> value, of (F, H, W, 3) uint8; a measure that is not there has none.

        brief: leave out what is slow.
        """
        scored = situation.scored
        shown, truth = images[scored], self._clip.images[scored]
        found = {
            "psnr": float(np.mean([psnr(one, other) for one, other in zip(shown, truth, strict=True)])),
            "ssim": float(np.mean([ssim(one, other) for one, other in zip(shown, truth, strict=True)])),
            "ws_psnr": float(np.mean([ws_psnr(one, other) for one, other in zip(shown, truth, strict=True)])),
            "ws_ssim": float(np.mean([ws_ssim(one, other) for one, other in zip(shown, truth, strict=True)])),
            "seam": seam.seam_ratio(shown),
            "pole": seam.pole_error(shown),
        }
        found |= self._of_sample(images, self._sample(scored), brief)
        if situation.cloud is not None:
            known = [situation.geometry[frame] for frame in scored]
            covered = np.stack([frame.coverage for frame in known])
            colours = np.stack([frame.colour for frame in known])
            found["known_correlation"] = known_pixel_correlation(shown, colours, covered)
            found["coverage"] = 100.0 * _share(covered)
        if not brief:
            found |= self._in_time(images, scored)
        return found

    def video_features(self, images: np.ndarray, scored: Sequence[int]) -> dict[str, np.ndarray]:
        """Features for each of DISTANCES, (videos, 400); none without weights, or if the clip is too short."""
        frames = [frame for frame in scored if frame > 0][:VIDEO_FRAMES]
        network = self._judges.i3d
        if network is None or len(frames) < LEAST_FRAMES:
            return {}
        seen: dict[str, Callable[[], list]] = {
            "fvd": lambda: list(fvd.video_features(network, images[None, frames])),
            "fvd_crops": lambda: list(fvd.video_features(network, _crop_videos(images[frames]))),
        }
        if not self._judges.all_crops:
            del seen["fvd_crops"]
        # What sees one capture and what sees two is compared with the same frames of the truth: they are seen once.
        is_truth = images is self._clip.images
        return {
            name: np.stack(self._of_truth("i3d", name, tuple(frames), make) if is_truth else make())
            for name, make in seen.items()
        }

    def _sample(self, scored: Sequence[int]) -> tuple[int, ...]:
        """Evenly spaced frames of those that count."""
        places = (np.arange(self._judges.sampled) + 0.5) / self._judges.sampled * len(scored)
        return tuple(dict.fromkeys(scored[int(place)] for place in places))

    def _of_sample(self, images: np.ndarray, frames: tuple[int, ...], brief: bool) -> dict[str, float]:
        """What networks say of some frames, and what crops of them show."""
        found = {}
        chosen, truth = images[list(frames)], self._clip.images[list(frames)]
        judges = {"lpips": self._judges.lpips}
        if not brief:
            judges |= {"st_lpips": self._judges.st_lpips, "dists": self._judges.dists}  # type: ignore[dict-item]
        for name, judge in judges.items():
            if judge is not None:
                known = self._of_truth(name, "whole", frames, partial(judge.features, truth))
                seen = known if images is self._clip.images else judge.features(chosen)
                found[name] = float(judge.distance(seen, known).mean())
        if brief:
            return found
        views, true_views = (np.concatenate([crops.horizon_crops(image) for image in each]) for each in (chosen, truth))
        found["psnr_crops"] = float(np.mean([psnr(one, other) for one, other in zip(views, true_views, strict=True)]))
        found["ssim_crops"] = float(np.mean([ssim(one, other) for one, other in zip(views, true_views, strict=True)]))
        larger, true_larger = (partial(crops.enlarged, each) for each in (views, true_views))
        for name, judge in judges.items():
            if judge is None or not (name == "lpips" or self._judges.all_crops):
                continue
            known = self._of_truth(name, "crops", frames, lambda judge=judge: judge.features(true_larger()))  # type: ignore[misc]
            seen = known if images is self._clip.images else judge.features(larger())
            found[f"{name}_crops"] = float(judge.distance(seen, known).mean())
        return found

    def _in_time(self, images: np.ndarray, scored: Sequence[int]) -> dict[str, float]:
        """What is said of frames that follow one another."""
        found = {}
        if self._flows is not None:
            pairs = [frame for frame in scored if frame + 1 in scored]
            errors = [warping_error.warping_error(images[[at, at + 1]], [self._flows[at]]) for at in pairs]
            found["stwe_exact"] = float(np.nanmean(errors)) if errors else float("nan")
        start = scored[0] + max(0, (len(scored) - _RUN) // 2)
        run = images[start : start + _RUN]
        found["stwe_dis"] = warping_error.warping_error(run, self._estimated(start))
        found["ie_dis"] = interpolation_error.interpolation_error(run)
        if self._judges.met3r is not None:
            views = [crops.horizon_crops(image) for image in (images[start], images[start + 1])]
            found["met3r"] = self._judges.met3r.of_pairs(*map(crops.enlarged, views))
        return found

    @cached_property
    def _flows(self) -> list[warping_error.Flow] | None:
        """Exact flows of the truth, from each frame to the next."""
        ranges, poses = self._clip.ranges, self._clip.cameras
        if ranges is None or poses is None:
            return None
        return [flow.exact_flow(ranges[at], poses[at], ranges[at + 1], poses[at + 1]) for at in range(len(ranges) - 1)]

    def _estimated(self, start: int) -> list[warping_error.Flow]:
        """DIS flows of the truth in the run that is judged: a painter must not choose its own flow."""
        run = self._clip.images[start : start + _RUN]
        return list(self._of_truth("dis", "flows", (start,), lambda: warping_error.dis_flows(run)))

    def _of_truth(self, judge: str, what: str, frames: tuple[int, ...], make: Callable[[], list]) -> list:
        key = (judge, what, frames)
        if key not in self._features:
            self._features[key] = make()
        return self._features[key]


def _crop_videos(images: np.ndarray) -> np.ndarray:
    """(8, F, S, S, 3) uint8: each crop of a clip (F, H, W, 3) as a video."""
    return np.stack([crops.horizon_crops(image) for image in images], axis=1)


def _share(covered: np.ndarray) -> float:
    """Mean share of the sphere that (F, H, W) bool masks cover."""
    from pantheon360_blender.core.render.coverage import covered_share

    return float(np.mean([covered_share(each) for each in covered]))
