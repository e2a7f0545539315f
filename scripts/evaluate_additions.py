"""Points that takes bring, against rendered truth: the panoramas that a perfect painter would paint are added to the
cache of another one, whose ranges are exact, so that what is wrong is the invention's own.

A part of `make evaluate-cache`, which runs it in the backend's environment. Writes out/added-take.jpg: panorama; the
cache seen from there before and after; what is new tinted.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

KNOWN, PAINTED = 0, (2, 3)
"""Panoramas of a scene that the cache is made of, and that are painted; the others nobody paints."""
_TINT = np.array([255, 60, 200])


def evaluate(truth: Mapping[str, Sequence[str]], run: Callable[[Any], Any], sheet: Path) -> dict[str, Any]:
    """Figures by scene: points that were added once and a second time, and by panorama what `against` says.

    truth: scene -> files of its panoramas. run: runs a job to its end.
    """
    point_cloud = house("pantheon360_blender.core.points.point_cloud")
    invention = house("backend.reconstruction.invention")
    found: dict[str, Any] = {}
    rows = []
    for name, paths in truth.items():
        views = [View.read(Path(path)) for path in paths]
        first = views[KNOWN]
        capture = house("pantheon360_blender.core.panorama.capture").Capture(name, first.image, first.pose)
        from_depth = house("pantheon360_blender.core.points.equirectangular_depth").cloud_from_depth
        known = from_depth(capture, first.range, source=0)
        painted = [views[index] for index in PAINTED]
        frames = [invention.PaintedFrame(one.image, ~one.seen(known).coverage, one.pose) for one in painted]
        new = run(invention.invented(known, frames, [capture]))
        grown = point_cloud.PointCloud.concatenate([known, new])
        again = run(invention.invented(grown, frames, [capture]))
        found[name] = {"added": len(new), "added_again": len(again)}
        for index, view in enumerate(views):
            if index != KNOWN:
                found[name][str(index)], pictures = against(view, known, grown)
                rows.append(pictures)
        print(f"[evaluate-cache] additions, {name}: {found[name]}", flush=True)
    write_sheet(rows, sheet)
    return found


@dataclass(frozen=True)
class View:
    """image: (H, W, 3) uint8. range: (H, W) metres, inf in the sky. pose: (4, 4) camera-to-world."""

    image: np.ndarray
    range: np.ndarray
    pose: np.ndarray

    @staticmethod
    def read(path: Path) -> View:
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
            image = house("pantheon360_blender.core.formats.png").read(path)
            return View(image[..., :3], stored["range"], stored["pose"])

    def seen(self, cloud: Any, *, bare: bool = False) -> Any:
        """The geometry pass from here; bare: with one pixel a point."""
        splatting = house("pantheon360_blender.core.render.splatting")
        width = self.image.shape[1]
        if bare:
            return splatting.splat(cloud.points, cloud.colours, self.pose, width)
        return splatting.splat_footprints(cloud.points, cloud.colours, cloud.footprint, self.pose, width)


def against(view: View, known: Any, grown: Any) -> tuple[dict[str, float], list[np.ndarray]]:
    """Figures of the pixels that an addition covers from a pose, and the pictures of its row of the sheet.

    covered_percent, before and after: of what is no sky, by solid angle. psnr: of new pixels beside the panorama.
    error_percent: median of their relative range errors; within_10_percent, within_25_percent: the share that is.
    in_sky: new pixels where the truth is sky. known_changed: pixels of the painters' pass that had a point and show
    another one.
    """
    share = house("pantheon360_blender.core.render.coverage").covered_share
    before, after = view.seen(known), view.seen(grown)
    new, solid = after.coverage & ~before.coverage, np.isfinite(view.range)
    off = np.abs(after.depth[new & solid] / view.range[new & solid] - 1)
    squared = float(((view.image[new].astype(np.float64) - after.colour[new]) ** 2).mean())
    bare, bare_grown = view.seen(known, bare=True), view.seen(grown, bare=True)
    figures = {
        "covered_percent_before": round(100 * share(before.coverage & solid) / share(solid), 1),
        "covered_percent": round(100 * share(after.coverage & solid) / share(solid), 1),
        "psnr": round(10 * float(np.log10(255**2 / squared)), 1),
        "error_percent": round(100 * float(np.median(off)), 1),
        "within_10_percent": round(100 * float((off < 0.1).mean()), 1),
        "within_25_percent": round(100 * float((off < 0.25).mean()), 1),
        "in_sky": int((new & ~solid).sum()),
        "known_changed": int(((bare.colour != bare_grown.colour).any(axis=-1) & bare.coverage).sum()),
    }
    tinted = np.where(new[..., None], (after.colour * 0.5 + _TINT * 0.5).astype(np.uint8), after.colour)
    return figures, [view.image, before.colour, after.colour, tinted]


def write_sheet(rows: Sequence[Sequence[np.ndarray]], target: Path) -> None:
    image: Any = importlib.import_module("PIL.Image")
    target.parent.mkdir(exist_ok=True)
    whole = image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in rows]))
    whole.resize((whole.width * 2 // 5, whole.height * 2 // 5)).save(target, quality=85)


def house(name: str) -> Any:
    return importlib.import_module(name)
