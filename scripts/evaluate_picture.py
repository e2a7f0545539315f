"""`make evaluate-picture`: the draft with the captures' own pixels on its surfaces, against the draft of points.

Both are made of the same caches and held against pictures that neither saw: two panoramas of each of the project's
rendered scenes from three others, of exact ranges and of the own reconstruction, and a photograph of the real street
from the four beside it, at three sizes. Writes out/picture.json, and out/picture-sure.jpg and out/picture-complete.jpg
with crops of the largest at 1:1. Every scene and size is a process of its own, so that its memory can be told.
"""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import environments
import evaluate_cache
import ground_truth
import numpy as np
import photographs

OUT = environments.ROOT / "out"
CACHE = environments.ROOT / ".cache" / "evaluation" / "picture"
"""Caches that were made once: reconstructions take minutes."""
SIZES = {"room": (1024,), "village": (1024,), "street": (1024, 2048, 4096)}
"""Scene -> widths of the frames; rendered truth has no more pixels."""
RENDERED = {"room": "room", "village": "street"}
"""Scene -> folder of ground_truth.py."""
GIVEN, HELD_BACK = (0, 2, 3), (1, 4)
"""Panoramas of a rendered scene that a cache is made of, and those that judge: one between and one beside them."""
KINDS = {
    "room": ("exact", "sure", "complete"),
    "village": ("exact", "sure", "complete"),
    "street": ("sure", "complete"),
}
"""Scene -> caches: of exact ranges, and of the own reconstruction with and without guesses."""
PHOTOGRAPHER = 0.28
"""Share of the height that he fills at the bottom of each photograph: it is not judged."""
REPEATS = 3
CROPS = {"steps": (-32, -10), "crossing": (100, -27), "roof": (128, 20), "trees": (-38, 20)}
"""Name -> longitude and latitude in degrees of a crop's middle, in the photograph that is held back."""
CROP = 320
"""Pixels."""


def main(arguments: Sequence[str]) -> int:
    if "--inside" in arguments:
        sys.path.insert(0, str(environments.ROOT))
        asked = arguments[arguments.index("--inside") + 1 :]
        return one(asked[0], asked[1], int(asked[2]), Path(asked[3]))
    ground_truth.ready()
    photographs.fetch()
    metric_weights = importlib.import_module("metric_weights")
    metric_weights.ready()
    folder = Path(arguments[arguments.index("--caches") + 1]) if "--caches" in arguments else CACHE
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    OUT.mkdir(exist_ok=True)
    for name, kinds in KINDS.items():
        for kind in kinds:
            for width in SIZES[name]:
                figures = apart(name, kind, width, folder)
                found[f"{name}, {kind}, {width}"] = figures
                print(f"[evaluate-picture] {name}, {kind}, {width}: {figures}", flush=True)
                (OUT / "picture.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def apart(name: str, kind: str, width: int, folder: Path) -> dict[str, Any]:
    """Figures of one scene, cache and size, out of a process of the backend's environment."""
    command = [str(environments.ready("backend")), "-B", __file__, "--inside", name, kind, str(width), str(folder)]
    done = subprocess.run(command, cwd=environments.ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def one(name: str, kind: str, width: int, folder: Path) -> int:
    """Print the figures of one scene, cache and size as JSON."""
    given, held_back, share = scene(name, folder)
    cloud = made(name, kind, given, folder)
    before, after, seconds = [], [], []
    for truth in held_back:
        pictures, spent = painted(cloud, given, truth.pose, width)
        before.append(pictures[0])
        after.append(pictures[1])
        seconds.append(spent)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    truths = [house("panorama.equirectangular").resize(each.image, width) for each in held_back]
    rows = round((1 - share) * width / 2)
    old, new = (
        np.mean([against(*pair, rows) for pair in zip(each, truths, strict=True)], axis=0) for each in (before, after)
    )
    figures = {
        "psnr_before": old[0],
        "psnr": new[0],
        "ssim_before": old[1],
        "ssim": new[1],
        "lpips_before": old[2],
        "lpips": new[2],
        "seconds_per_frame_before": np.mean(seconds, axis=0)[0],
        "seconds_per_frame": np.mean(seconds, axis=0)[1],
        "peak_gb": peak,
    }
    if name == "street" and width == max(SIZES[name]):
        write_sheet([truths[0], before[0], after[0]], OUT / f"picture-{kind}.jpg")
    print(json.dumps({key: round(float(value), 4) for key, value in figures.items()}))
    return 0


def scene(name: str, folder: Path) -> tuple[list[Any], list[Any], float]:
    """Captures that are given, those that are held back, and the share of the height that does not count."""
    if name == "street":
        captures = street(folder)
        middle = evaluate_cache.HELD_BACK
        return [each for index, each in enumerate(captures) if index != middle], [captures[middle]], PHOTOGRAPHER
    captures = [rendered(name, index)[0] for index in range(5)]
    return [captures[index] for index in GIVEN], [captures[index] for index in HELD_BACK], 0.0


def rendered(name: str, index: int) -> tuple[Any, np.ndarray]:
    """A panorama of a rendered scene as a capture, and its exact range."""
    path = ground_truth.CACHE / RENDERED[name] / f"{index}.png"
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
        pose, ranges = stored["pose"], stored["range"]
    return house("panorama.capture").Capture(path.stem, house("formats.png").read(path), pose), ranges


def street(folder: Path) -> list[Any]:
    """The five photographs at their poses, which are solved once."""
    captures, priors, _ = evaluate_cache.street_captures(photographs.fetch())
    known = folder / "street-poses.npy"
    if not known.exists():
        solve = importlib.import_module("backend.reconstruction.poses.poses").solve_poses
        np.save(known, silently(solve(captures, priors)).poses)
    return [replace(each, pose=pose) for each, pose in zip(captures, np.load(known, allow_pickle=False), strict=True)]


def made(name: str, kind: str, given: Sequence[Any], folder: Path) -> Any:
    """The cache of a scene, made once."""
    cloud = house("points.point_cloud").PointCloud
    known = folder / f"{name}-{kind}.npz"
    if not known.exists():
        points = silently(reconstructed(name, kind, given))
        with known.open("wb") as file:
            points.write_npz(file)
    return cloud.load(known)


def reconstructed(name: str, kind: str, given: Sequence[Any]) -> Any:
    settings = house("jobs.reconstruct_settings").ReconstructionSettings
    points = importlib.import_module("backend.reconstruction.reconstruct").points
    if kind == "exact":
        depth = importlib.import_module("backend.reconstruction.depth_map").DepthMap
        ranges = [rendered(name, index)[1] for index in GIVEN]
        maps = [depth(each, np.isfinite(each).astype(np.float32), ~np.isfinite(each)) for each in ranges]
    else:
        maps = yield from importlib.import_module("backend.reconstruction.dense.sweep").dense(given)
    return (yield from points(settings(complete=kind == "complete"), given, maps))


def silently(job: Any) -> Any:
    return house("progress").run_to_end(job)


def painted(cloud: Any, captures: Sequence[Any], pose: np.ndarray, width: int) -> tuple[list[np.ndarray], list[float]]:
    """The draft of points and that of captures' pixels from a pose, and the CPU seconds of each, points splatted once.

    The machine may be shared: CPU seconds do not depend on who else computes.
    """
    splatting, draft = house("render.splatting"), house("render.draft")

    def splat(place: np.ndarray, wide: int) -> Any:
        return splatting.splat_footprints(cloud.points, cloud.colours, cloud.footprint, place, wide)

    wide = house("render.image_based").RANGE_WIDTH
    frame = splat(pose, width)
    pictures, seconds = [], []
    for ranges in (None, lambda index: splat(captures[index].pose, wide).depth):
        painter = draft.DraftPainter(captures, width, ranges)
        painter.paint(frame, pose)
        spent = []
        for _ in range(REPEATS):
            started = time.process_time()
            picture = painter.paint(frame, pose)
            spent.append(time.process_time() - started)
        pictures.append(picture)
        seconds.append(min(spent))
    return pictures, seconds


def against(picture: np.ndarray, truth: np.ndarray, rows: int) -> tuple[float, float, float]:
    """WS-PSNR in dB, WS-SSIM and LPIPS of the uppermost rows, brought to the truth's exposure by one factor."""
    matched = exposed_as(picture, truth)
    lpips = importlib.import_module("backend.evaluation.metrics.lpips").Lpips(
        importlib.import_module("metric_weights").CACHE
    )
    features = [lpips.features(each[None, :rows]) for each in (matched, truth)]
    return (
        importlib.import_module("backend.evaluation.metrics.noise_ratio").ws_psnr(matched, truth, rows),
        importlib.import_module("backend.evaluation.metrics.similarity").ws_ssim(matched, truth, rows),
        float(lpips.distance(*features)[0]),
    )


def exposed_as(picture: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The picture, its light multiplied by the median ratio of the truth's to its own."""
    srgb = house("srgb")
    light, wanted = srgb.LINEAR_OF_BYTE[picture], srgb.LINEAR_OF_BYTE[truth]
    ratio = np.median(np.log((wanted.mean(axis=2) + 0.003) / (light.mean(axis=2) + 0.003)))
    return np.asarray(np.rint(255 * srgb.linear_to_srgb(light * np.float32(np.exp(ratio)))), np.uint8)


def write_sheet(pictures: Sequence[np.ndarray], target: Path) -> None:
    """Crops at 1:1, a row each: the photograph, the draft of points, that of captures' pixels."""
    from PIL import Image

    height, width = pictures[0].shape[:2]
    rows = []
    for longitude, latitude in CROPS.values():
        left, top = (
            round((longitude / 360 + 0.5) * width) - CROP // 2,
            round((0.5 - latitude / 180) * height) - CROP // 2,
        )
        columns = np.arange(left, left + CROP) % width
        rows.append(np.concatenate([each[top : top + CROP, columns] for each in pictures], axis=1))
    target.parent.mkdir(exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(target, quality=88)


def house(name: str) -> Any:
    return importlib.import_module(f"pantheon360_blender.core.{name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
