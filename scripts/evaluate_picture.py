"""`make evaluate-picture`: the draft with the captures' own pixels on its surfaces, against the draft of points.

Both are made of the same caches and held against pictures that neither saw: two panoramas of each of the project's
rendered scenes from three others, of exact ranges and of the own reconstruction, and a photograph of the real street
from the four beside it. Along a path between two captures of each rendered scene, how steady both are: STWE along exact
flows, and how much the weights of captures change from frame to frame.
Writes out/picture.json, out/picture-KIND.jpg with crops of the largest at 1:1, and out/picture-weights-SCENE.png. Every
scene and size is a process of its own, so that its memory can be told; two of them run beside each other.
"""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
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
CASES = {
    ("room", "exact"): (1024,),
    ("room", "complete"): (1024,),
    ("village", "exact"): (1024,),
    ("street", "sure"): (1024,),
    ("street", "complete"): (1024, 4096),
}
"""Scene and cache -> widths of the frames; rendered truth has no more pixels. Caches are of exact ranges, or of the own
reconstruction with and without guesses."""
PATHS = ("room", "village")
PATH_WIDTH, PATH_FRAMES = 512, 17
RENDERED = {"room": "room", "village": "street"}
"""Scene -> folder of ground_truth.py."""
GIVEN, HELD_BACK = (0, 2, 3), (1, 4)
"""Panoramas of a rendered scene that a cache is made of, and those that judge: one between and one beside them."""
PHOTOGRAPHER = 0.28
"""Share of the height that he fills at the bottom of each photograph: it is not judged."""
REPEATS = 2
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
    OUT.mkdir(exist_ok=True)
    cases = [(name, kind, width) for (name, kind), widths in CASES.items() for width in widths]
    cases.sort(key=lambda case: -case[2])
    cases += [(name, "path", PATH_WIDTH) for name in PATHS]
    found: dict[str, Any] = {}
    with ThreadPoolExecutor(2) as beside:
        for case, figures in zip(cases, beside.map(partial(apart, folder), cases), strict=True):
            found[", ".join(map(str, case))] = figures
            print(f"[evaluate-picture] {case}: {figures}", flush=True)
            (OUT / "picture.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def apart(folder: Path, case: tuple[str, str, int]) -> dict[str, Any]:
    """Figures of one scene, cache and size, out of a process of the backend's environment."""
    name, kind, width = case
    command = [str(environments.ready("backend")), "-B", __file__, "--inside", name, kind, str(width), str(folder)]
    done = subprocess.run(command, cwd=environments.ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def one(name: str, kind: str, width: int, folder: Path) -> int:
    """Print the figures of one scene, cache and size as JSON."""
    if kind == "path":
        print(json.dumps({key: round(value, 4) for key, value in steadiness(name, folder).items()}))
        return 0
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
    if name == "street" and width == max(CASES[name, kind]):
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


def steadiness(name: str, folder: Path) -> dict[str, float]:
    """STWE of both drafts along the way from the first capture to the second, and the weights of the captures there.

    The weights are what surfaces show of captures that are plain red, green and blue: three captures, three channels.
    largest_weight_change: of any capture's mean over the frame, from one frame to the next. largest_pixel_change: of
    the mean over the frame of what each pixel's weights change by, the largest of all frames.
    """
    given, _, _ = scene(name, folder)
    cloud = made(name, "exact", given, folder)
    splatting, draft, flow = house("render.splatting"), house("render.draft"), metric("flow")
    wide = house("render.image_based").RANGE_WIDTH

    def splat(place: np.ndarray, width: int) -> Any:
        return splatting.splat_footprints(cloud.points, cloud.colours, cloud.footprint, place, width)

    maps = [splat(each.pose, wide).depth for each in given]
    plain = [replace(each, image=np.zeros_like(each.image)) for each in given]
    for channel, each in enumerate(plain):
        each.image[..., channel] = 255
    painters = [draft.DraftPainter(given, PATH_WIDTH, ranges) for ranges in (None, maps.__getitem__)]
    poses = [given[0].pose.copy() for _ in range(PATH_FRAMES)]
    for share, pose in zip(np.linspace(0, 1, PATH_FRAMES), poses, strict=True):
        pose[:3, 3] = given[0].pose[:3, 3] * (1 - share) + given[1].pose[:3, 3] * share
    frames = [splat(pose, PATH_WIDTH) for pose in poses]
    flows = [
        flow.exact_flow(frames[index].depth, poses[index], frames[index + 1].depth, poses[index + 1])
        for index in range(PATH_FRAMES - 1)
    ]
    videos = [
        np.stack([each.paint(frame, pose) for frame, pose in zip(frames, poses, strict=True)]) for each in painters
    ]
    errors = [metric("warping_error").warping_error(video, flows) for video in videos]
    image_based, filled = house("render.image_based"), house("render.filled_range").filled
    photographs = [
        image_based.Photograph.of(each, filled(depth), PATH_WIDTH) for each, depth in zip(plain, maps, strict=True)
    ]
    looks = [
        image_based.seen(filled(frame.depth), pose, photographs) for frame, pose in zip(frames, poses, strict=True)
    ]
    weights = np.stack([house("srgb").srgb_to_linear(each.colour / 255) for each in looks])
    means = np.stack([each[look.trust > 0].mean(axis=0) for each, look in zip(weights, looks, strict=True)])
    plot(means, OUT / f"picture-weights-{name}.png")
    return {
        "stwe_before": errors[0],
        "stwe": errors[1],
        "largest_weight_change": float(np.abs(np.diff(means, axis=0)).max()),
        "largest_pixel_change": float(np.abs(np.diff(weights, axis=0)).max(axis=3).mean(axis=(1, 2)).max()),
    }


def plot(means: np.ndarray, target: Path) -> None:
    """Weights (F, 3) as red, green and blue lines, from 0 at the bottom to 1 at the top."""
    from PIL import Image, ImageDraw

    width, height = 640, 240
    picture = Image.new("RGB", (width, height), (24, 24, 24))
    drawing = ImageDraw.Draw(picture)
    for channel, colour in enumerate(((230, 80, 80), (80, 200, 80), (90, 130, 255))):
        line = [
            (10 + (width - 20) * index / (len(means) - 1), height - 10 - (height - 20) * value)
            for index, value in enumerate(means[:, channel])
        ]
        drawing.line(line, fill=colour, width=2)
    picture.save(target)


def metric(name: str) -> Any:
    return importlib.import_module(f"backend.evaluation.metrics.{name}")


def against(picture: np.ndarray, truth: np.ndarray, rows: int) -> tuple[float, float, float]:
    """WS-PSNR in dB, WS-SSIM and LPIPS of the uppermost rows, brought to the truth's exposure by one factor."""
    matched = exposed_as(picture, truth)
    lpips = metric("lpips").Lpips(importlib.import_module("metric_weights").CACHE)
    features = [lpips.features(each[None, :rows]) for each in (matched, truth)]
    return (
        metric("noise_ratio").ws_psnr(matched, truth, rows),
        metric("similarity").ws_ssim(matched, truth, rows),
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
