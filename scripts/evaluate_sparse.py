"""The real street from two and from three of its photographs, 4 to 10 m apart, beside those that were held back.

A part of `make evaluate-cache`, which runs it in the backend's environment with poses from all five. What is judged is
the draft: of the points that are sure alone, of those of completed surfaces, and of these surfaces in the captures' own
pixels. Writes out/sparse-street.jpg: the photograph; the first and the last of these drafts; surfaces, guesses tinted.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 1024
CASES = {"1, 5": ((0, 4), (1, 2, 3)), "1, 3, 5": ((0, 2, 4), (1, 3))}
"""Name -> the photographs that a cache is made of, and those from whose poses it is seen."""
PHOTOGRAPHER = 0.28
"""Share of the height that he fills at the bottom of each photograph: it is not judged."""
_TINT = np.array([255, 60, 200])


def evaluate(posed: Sequence[Any], run: Callable[[Any], Any], sheet: Path) -> dict[str, Any]:
    """Figures by case, kind of cache and photograph held back: draft_psnr in dB and draft_ssim, points_psnr and
    points_ssim of the draft whose surfaces keep the points' colors, and coverage_percent of what is no sky, each pixel
    by its solid angle.

    posed: the five captures. run: runs a job to its end.
    """
    settings = house("pantheon360_blender.core.jobs.reconstruct_settings").ReconstructionSettings
    found: dict[str, Any] = {}
    rows = []
    for name, (given, held_back) in CASES.items():
        captures = [posed[index] for index in given]
        maps = run(house("backend.reconstruction.dense.sweep").dense(captures))
        clouds = {
            kind: run(house("backend.reconstruction.reconstruct").points(settings(complete=complete), captures, maps))
            for kind, complete in (("sure", False), ("complete", True))
        }
        found[name] = {kind: {} for kind in clouds}
        for index in held_back:
            shown = []
            for kind, cloud in clouds.items():
                figures, pictures = against(cloud, captures, posed[index])
                found[name][kind][str(index + 1)] = figures
                shown += pictures
                print(f"[evaluate-cache] street, {name} -> {index + 1}, {kind}: {figures}", flush=True)
            rows.append([shown[0], shown[1], shown[6], shown[7]])
    write_sheet(rows, sheet)
    return found


def against(cloud: Any, captures: Sequence[Any], held_back: Any) -> tuple[dict[str, float], list[np.ndarray]]:
    """Figures of a cache's drafts beside a photograph, and pictures less their lowest rows: the photograph, the draft
    of points, that of the captures' own pixels, and tinted surfaces.
    """
    equirectangular = house("pantheon360_blender.core.panorama.equirectangular")
    splatting = house("pantheon360_blender.core.render.splatting")
    truth = equirectangular.resize(held_back.image, WIDTH)
    seen = splatting.splat_footprints(cloud.points, cloud.colours, cloud.footprint, held_back.pose, WIDTH)
    painter = house("pantheon360_blender.core.render.draft").DraftPainter

    def ranges(index: int) -> np.ndarray:
        from_there = splatting.splat_footprints(
            cloud.points, cloud.colours, cloud.footprint, captures[index].pose, WIDTH
        )
        return np.asarray(from_there.depth)

    points = painter(captures, WIDTH).paint(seen, held_back.pose)
    draft = painter(captures, WIDTH, ranges).paint(seen, held_back.pose)
    rows = round(len(truth) * (1 - PHOTOGRAPHER))
    solid = ~house("backend.reconstruction.sky").sky_mask(truth)[:rows]
    weights = house("backend.evaluation.metrics.sphere").latitude_weights(len(truth))[:rows, None] * solid
    psnr = house("backend.evaluation.metrics.noise_ratio").ws_psnr
    ssim = house("backend.evaluation.metrics.similarity").ws_ssim
    figures = {
        "draft_psnr": round(psnr(draft, truth, rows), 2),
        "draft_ssim": round(ssim(draft, truth, rows), 3),
        "points_psnr": round(psnr(points, truth, rows), 2),
        "points_ssim": round(ssim(points, truth, rows), 3),
        "coverage_percent": round(100 * float((weights * seen.coverage[:rows]).sum() / weights.sum()), 1),
    }
    least = house("pantheon360_blender.core.jobs.reconstruct_settings").DEFAULT_CONFIDENCE
    guessed = (seen.coverage & (seen.source >= 0) & (cloud.confidence[seen.source] < least))[..., None]
    tinted = np.where(guessed, (seen.colour * 0.6 + _TINT * 0.4).astype(np.uint8), seen.colour)
    return figures, [truth[:rows], points[:rows], draft[:rows], tinted[:rows]]


def write_sheet(rows: Sequence[Sequence[np.ndarray]], target: Path) -> None:
    from PIL import Image

    target.parent.mkdir(exist_ok=True)
    whole = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    Image.fromarray(whole).resize((whole.shape[1] // 2, whole.shape[0] // 2)).save(target, quality=85)


def house(name: str) -> Any:
    return importlib.import_module(name)
