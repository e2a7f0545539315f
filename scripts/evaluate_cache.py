"""`make evaluate-cache`: reconstruction against the truth of rendered scenes, and on the real street.

Writes out/cache.json, out/cache-curves.png (completeness against accuracy), out/leave-one-out.png (a real capture
beside the cache of the others seen from its pose), out/sparse-street.jpg (from two and three of its photographs),
out/room-layouts.jpg (of single photographs) and out/added-take.jpg (what painted panoramas add). Starts itself again in
the backend's environment.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import distance_scenes
import environments
import evaluate_additions
import evaluate_layout
import evaluate_sparse
import evaluation_scenes
import ground_truth
import numpy as np
import photographs

OUT = environments.ROOT / "out"
WIDTH = 1024
COUNTS = (2, 3, 5)
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
HELD_BACK = 2
NADIR = 0.25
"""Share of the photographs' height that the photographer fills."""
GPS_DOUBT = 15.0
"""Percent by which the length of a step by GPS positions may differ from that by GPS speeds to be held against ours."""


def main(arguments: Sequence[str]) -> int:
    if "--inside" not in arguments:
        truth = ground_truth.ready()
        street = photographs.fetch()
        evaluation_scenes.ready()
        request = {"truth": {name: [str(path) for path in paths] for name, paths in truth.items()}}
        request["street"] = [str(path) for path in street]  # type: ignore[assignment]
        walks = distance_scenes.ready()
        request["walks"] = {name: [str(path) for path in paths] for name, paths in walks.items()}  # type: ignore[assignment]
        command = [str(environments.ready("backend")), "-B", __file__, "--inside", json.dumps(request)]
        return subprocess.run(command, cwd=environments.ROOT).returncode
    sys.path.insert(0, str(environments.ROOT))
    request = json.loads(arguments[arguments.index("--inside") + 1])
    return evaluate(request)


def evaluate(request: dict[str, Any]) -> int:
    scenes, curves = {}, {}
    for name, paths in request["truth"].items():
        for count in COUNTS:
            scenes[f"{name}-{count}"], curves[f"{name}-{count}"] = against_truth(name, paths[:count])
    OUT.mkdir(exist_ok=True)
    distances = {
        f"{name}, {distance} m": of_a_pair(name, [paths[0], other])
        for name, paths in request["walks"].items()
        for distance, other in zip(distance_scenes.DISTANCES, paths[1:], strict=True)
    }
    record = {
        "scenes": scenes,
        "distances": distances,
        "geovisio": on_the_street([Path(path) for path in request["street"]]),
        "additions": evaluate_additions.evaluate(request["truth"], run, OUT / "added-take.jpg"),
        "one_photograph": evaluate_layout.evaluate(evaluation_scenes.CACHE, OUT / "room-layouts.jpg"),
    }
    (OUT / "cache.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    plot(curves, OUT / "cache-curves.png")
    print(json.dumps(record, indent=2))
    return 0


def run(job: Generator[Any, None, Any]) -> Any:
    """A long job to its end; its phases are printed."""
    phase = ""
    while True:
        try:
            step = next(job)
        except StopIteration as end:
            return end.value
        if step.phase != phase:
            phase = step.phase
            print(f"    {phase}", flush=True)


def house(name: str) -> Any:
    return importlib.import_module(name)


@dataclass(frozen=True)
class Truth:
    """range: (H, W) float32 metres, inf in the sky. pose: (4, 4) camera-to-world."""

    range: np.ndarray
    pose: np.ndarray


def against_truth(name: str, paths: Sequence[str]) -> tuple[dict[str, float], list[tuple[float, float, float]]]:
    """Figures of one scene from some of its panoramas, and its curve: (confidence, completeness, false share) in %."""
    print(f"[evaluate-cache] {name} from {len(paths)} panoramas", flush=True)
    captures, truths = [], []
    for path in map(Path, paths):
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
            truths.append(Truth(stored["range"], stored["pose"]))
        image = house("pantheon360_blender.core.formats.png").read(path)
        captures.append(
            house("pantheon360_blender.core.panorama.capture").Capture(path.stem, image, levelled(truths[-1].pose))
        )
    started = time.monotonic()
    poses = house("backend.reconstruction.poses.poses")
    baseline = float(np.linalg.norm(truths[1].pose[:3, 3] - truths[0].pose[:3, 3]))
    options = poses.PoseOptions(distance=(captures[0].name, captures[1].name, baseline))
    solution = run(poses.solve_poses(captures, None, options))
    placed, error = aligned(solution.poses, np.array([truth.pose for truth in truths]))
    posed = [replace(capture, pose=pose) for capture, pose in zip(captures, placed, strict=True)]
    maps = run(house("backend.reconstruction.dense.sweep").dense(posed))
    seconds = time.monotonic() - started
    curve = [(level, *judged(maps, truths, level)[:2]) for level in LEVELS]
    default = house("pantheon360_blender.core.jobs.reconstruct_settings").DEFAULT_CONFIDENCE
    complete, false, median = judged(maps, truths, default)
    whole = [completed(*each, default) for each in zip(maps, posed, strict=True)]
    guessed, wrong, _ = judged([guesses(*each) for each in zip(maps, whole, strict=True)], truths, 0.0)
    filled, off, _ = judged(whole, truths, 0.0)
    figures = {
        "registered": int(solution.registered.sum()),
        "pose_error_percent": round(error, 3),
        "depth_error_percent": round(median, 2),
        "complete_percent": round(complete, 1),
        "false_percent": round(false, 2),
        "guessed_percent": round(guessed, 1),
        "guesses_false_percent": round(wrong, 1),
        "completed_percent": round(filled, 1),
        "completed_false_percent": round(off, 1),
        "seconds": round(seconds, 1),
    }
    print(f"    {figures}", flush=True)
    return figures, curve


def of_a_pair(name: str, paths: Sequence[str]) -> dict[str, Any]:
    """Figures of two panoramas, or why they could not be posed."""
    try:
        return dict(against_truth(name, paths)[0])
    except house("pantheon360_blender.core.errors").PantheonError as error:
        print(f"    refused: {error.text}", flush=True)
        return {"registered": 0, "refused": error.text}


def completed(depth: Any, capture: Any, sure: float) -> Any:
    """A map with guesses where it is not sure."""
    return house("backend.reconstruction.completion").completed(depth, capture.image, capture.valid, sure)


def guesses(depth: Any, whole: Any) -> Any:
    """What completing a map guessed of its surfaces, alone."""
    guessed = (whole.range != depth.range) & ~depth.sky
    return replace(whole, range=np.where(guessed, whole.range, np.inf))


def levelled(pose: np.ndarray) -> np.ndarray:
    """What a 360° camera says of its own pose: which way is up, but neither where it stands nor its heading."""
    right = pose[:3, 0]
    turn = np.arctan2(right[1], right[0])
    about_up = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    level = np.eye(4)
    level[:3, :3] = about_up @ pose[:3, :3]
    return level


def aligned(found: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, float]:
    """Found poses moved onto the true ones by one similarity, and the largest position error in % of the baseline."""
    fit = house("backend.reconstruction.registration").pose_similarity(found, true)
    placed = np.array(found, dtype=np.float64)
    placed[:, :3, :3] = fit.rotation @ found[:, :3, :3]
    placed[:, :3, 3] = fit.scale * found[:, :3, 3] @ fit.rotation.T + fit.translation
    errors = np.linalg.norm(placed[:, :3, 3] - true[:, :3, 3], axis=1)
    pairs = np.linalg.norm(true[:, None, :3, 3] - true[None, :, :3, 3], axis=2)
    return placed, float(100.0 * errors.max() / pairs[np.triu_indices(len(true), 1)].mean())


def judged(maps: Sequence[Any], truths: Sequence[Truth], level: float) -> tuple[float, float, float]:
    """Completeness, false share (error above 10 %, or a range in the sky) and median error, all in %.

    Completeness is of the non-sky pixels; pixels weigh by the solid angle they cover.
    """
    known = kept = wrong = there = 0.0
    errors = []
    for depth, truth in zip(maps, truths, strict=True):
        true = evaluate_layout.nearest(truth.range, depth.range.shape)
        rows = (np.arange(true.shape[0]) + 0.5) / true.shape[0]
        weight = np.broadcast_to(np.sin(np.pi * rows)[:, None], true.shape)
        solid, given = np.isfinite(true), (depth.confidence >= level) & np.isfinite(depth.range)
        error = np.full(true.shape, np.inf)
        both = solid & given
        error[both] = np.abs(depth.range[both] - true[both]) / true[both]
        known += weight[solid].sum()
        there += weight[both].sum()
        kept += weight[given].sum()
        wrong += weight[given & (error > 0.1)].sum()
        errors.append(error[both])
    median = float(np.median(np.concatenate(errors))) if sum(map(len, errors)) else np.nan
    return 100.0 * there / known, 100.0 * wrong / max(kept, 1e-9), 100.0 * median


def on_the_street(paths: Sequence[Path]) -> dict[str, Any]:
    """Poses of all five photographs against GPS, and the held-back one against the cache of the others."""
    print("[evaluate-cache] the real street", flush=True)
    captures, priors, positions = street_captures(paths)
    started = time.monotonic()
    solution = run(house("backend.reconstruction.poses.poses").solve_poses(captures, priors))
    posed = [replace(capture, pose=pose) for capture, pose in zip(captures, solution.poses, strict=True)]
    others = [capture for index, capture in enumerate(posed) if index != HELD_BACK]
    maps = run(house("backend.reconstruction.dense.sweep").dense(others))
    seconds = time.monotonic() - started
    steps = np.linalg.norm(np.diff(solution.poses[:, :3, 3], axis=0), axis=1)
    by_gps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    errors, doubts = 100.0 * (steps / by_gps - 1.0), 100.0 * np.abs(walked(paths) / by_gps - 1.0)
    sparse = evaluate_sparse.evaluate(posed, run, OUT / "sparse-street.jpg")
    psnr, coverage = leave_one_out(others, maps, posed[HELD_BACK], OUT / "leave-one-out.png")
    return {
        "posed": int(solution.registered.sum()),
        "step_error_percent": round(float(np.abs(errors[doubts < GPS_DOUBT]).max()), 1),
        "step_errors_percent": [round(float(value), 1) for value in errors],
        "gps_contradicts_itself_by_percent": [round(float(value), 1) for value in doubts],
        "seconds": round(seconds, 1),
        "leave_one_out_psnr": round(psnr, 2),
        "coverage_percent": round(coverage, 1),
        "sparse": sparse,
    }


def walked(paths: Sequence[Path]) -> np.ndarray:
    """Metres between neighbouring photographs by the speeds that GPS measured at each, which it takes from Doppler
    shifts and not from its positions."""
    from PIL import Image

    seconds, speeds = [], []
    for path in paths:
        told = Image.open(path).getexif()
        gps = told.get_ifd(0x8825)
        hours, minutes, rest = (float(value) for value in gps[7])
        seconds.append(3600 * hours + 60 * minutes + rest)
        speeds.append(float(gps[13]) / {"K": 3.6, "M": 2.236936, "N": 1.943844}[gps[12]])
    return np.asarray(np.diff(seconds) * (np.array(speeds[1:]) + speeds[:-1]) / 2)


def street_captures(paths: Sequence[Path]) -> tuple[list[Any], list[Any], np.ndarray]:
    """Captures without the photographer, what their GPS says as priors, and GPS positions (N, 3) in metres."""
    from PIL import Image

    metadata = [house("pantheon360_blender.core.formats.panorama_metadata").read(path) for path in paths]
    geography, cameras = house("pantheon360_blender.core.geography"), house("pantheon360_blender.core.panorama.cameras")
    prior = house("backend.reconstruction.poses.pose_priors").PosePrior
    captures, priors, positions = [], [], []
    for path, told in zip(paths, metadata, strict=True):
        position = np.array(geography.local_metres(told.position, metadata[0].position))
        position[2] = 2.0
        pose = cameras.pose_matrix(cameras.rotation_from_heading(told.heading or 0.0), position)
        image = np.asarray(Image.open(path).convert("RGB"))
        valid = np.ones(image.shape[:2], np.bool_)
        valid[round((1.0 - NADIR) * len(valid)) :] = False
        captures.append(house("pantheon360_blender.core.panorama.capture").Capture(path.stem, image, pose, valid))
        priors.append(prior(position=position, heading=told.heading))
        positions.append(position)
    return captures, priors, np.array(positions)


def leave_one_out(others: Sequence[Any], maps: Sequence[Any], held_back: Any, target: Path) -> tuple[float, float]:
    """PSNR on covered valid pixels and coverage in %.

    The picture: the capture; the cache of the others from its pose; the cache from between the first two captures.
    """
    from PIL import Image

    equirectangular = house("pantheon360_blender.core.panorama.equirectangular")
    default = house("pantheon360_blender.core.jobs.reconstruct_settings").DEFAULT_CONFIDENCE
    finer = house("backend.reconstruction.reconstruct").FINER
    cloud = run(house("backend.reconstruction.fusion").fuse(others, maps, default, finer=finer))
    splatting = house("pantheon360_blender.core.render.splatting")
    seen = splatting.splat_footprints(cloud.points, cloud.colours, cloud.footprint, held_back.pose, WIDTH)
    between = held_back.pose.copy()
    between[:3, 3] = (others[0].pose[:3, 3] + others[1].pose[:3, 3]) / 2
    passed = splatting.splat_footprints(cloud.points, cloud.colours, cloud.footprint, between, WIDTH)
    true = equirectangular.resize(held_back.image, WIDTH)
    valid = equirectangular.resize(held_back.valid, WIDTH)
    judged_pixels = seen.coverage & valid
    error = (seen.colour[judged_pixels].astype(float) - true[judged_pixels]) ** 2
    target.parent.mkdir(exist_ok=True)
    Image.fromarray(np.concatenate([true, seen.colour, passed.colour])).save(target)
    return float(10.0 * np.log10(255.0**2 / error.mean())), float(100.0 * judged_pixels.sum() / valid.sum())


def plot(curves: dict[str, list[tuple[float, float, float]]], target: Path) -> None:
    """Completeness against the false share, one line a scene, a dot for each confidence."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), dpi=130)
    for name, curve in curves.items():
        _, complete, false = zip(*curve, strict=True)
        axes.plot(complete, false, marker=".", label=name.replace("-", ", ") + " panoramas")
    axes.axhline(5.0, color="grey", linewidth=0.8, linestyle="--")
    axes.set_xlabel("completeness, % of non-sky pixels")
    axes.set_ylabel("false, % of points with range off by more than 10 %")
    axes.set_title("Reconstruction against truth; each dot is a confidence threshold")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
