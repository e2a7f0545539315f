"""Structure from motion by pycolmap, in a process of its own.

    python -m backend.reconstruction.poses.colmap_process FOLDER

pycolmap brings its own zlib: in a process that also writes PNGs by Pillow or OpenCV the heap breaks. So this one
imports pycolmap first, and reads and writes arrays and JSON alone.

FOLDER holds request.json, the fields of Request, and, for each index i, grey-i.npy (W / 2, W) uint8 and valid-i.npy
(W / 2, W) bool. The answers on stdout are those of core/jobs/messages.py, a Hello first; the end of stdin ends the
process. What was found is result.json {"registered": [{"image", "rotation" (3, 3) camera to model, "position" (3,),
"points"}], "images": [{"features", "links": {other: verified matches}}], "stations": [[image, ...], ...],
"reprojection_pixels", "degenerate", "notes": what may be wrong, in words} with Blender's camera axes, and points.npz
{points (N, 3), observations (N,), first (N,), pixels (N, 2), errors (N,)}. A station is a place: captures that differ
by a turn alone, the mapped one first.
"""

from __future__ import annotations

import pycolmap  # type: ignore[import-not-found]  # isort: skip  # before all that might load a zlib

import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pantheon360_blender.core import files
from pantheon360_blender.core.errors import PantheonError, reason
from pantheon360_blender.core.jobs import messages
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.version import version

from .. import registration, rig
from . import mirrors, pairs, rivals
from .rivals import OPENCV_FROM_BLENDER

JOB = "poses"
PHASES = ("Finding features", "Matching features", "Solving poses")

_LEAST_VISIBLE = 0.02
"""Share of a crop that must be valid to be searched for features."""
_VERIFICATION_PIXELS = 1.5 / 4096
"""Largest distance of a match from its epipolar circle, as a share of the width (0.13 degrees)."""
_CONTRAST = 0.01
"""A quarter of OpenCV's threshold: asphalt and plaster have little contrast."""
_AT_INFINITY = np.radians(0.25)
_FEWEST_NEAR = 40
_LEAST_INLIERS = 15
_SAME_STATION = 0.7
"""Share of two captures' matches that a turn alone explains from which they were taken in one place, unless some of
them move: measured 0.98 for one place in other light, 0.7 for 2 cm in a room of 8 m, at most 0.4 for captures that
have only distant things in common."""
_TURNED = np.radians(0.5)
_MOVING = 0.01  # share of the matches that must agree on a direction of travel to tell two places apart

_MAPPING_THREADS = 1
"""Threads of pycolmap's mapper and of its adjustment, whose results depend on which of several is first: the mapper's
search for a first pair takes whichever a thread finds, and sums of the adjustment are added up as threads finish."""

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Request:
    """What FOLDER/request.json asks for. threads: of features and matches; no result depends on their number."""

    names: list[str]
    width: int
    seed: int
    crop_size: int
    features: int
    threads: int


def main(arguments: list[str]) -> int:
    """Solve the folder named on the command line. Returns the exit code."""
    protocol = os.dup(1)
    os.dup2(2, 1)  # pycolmap writes where it likes
    threading.Thread(target=_leave_with_parent, name="stdin", daemon=True).start()

    def send(message: messages.Message) -> None:
        os.write(protocol, messages.encode(message))

    folder = Path(arguments[0])
    send(messages.Hello(messages.PROTOCOL, version(), os.getpid(), "CPU"))
    try:
        request = Request(**json.loads((folder / "request.json").read_text("utf-8")))
        solve(folder, request, lambda phase, step, of: send(messages.ProgressMessage(JOB, phase, step, of)))
    except PantheonError as error:
        send(messages.Error(error.code, error.text, error.advice, JOB))
        return 1
    except Exception as error:
        send(messages.Error("colmap", f"Structure from motion failed: {reason(error)}", "", JOB))
        return 1
    send(messages.Done(JOB, str(folder), len(request.names)))
    return 0


def solve(folder: Path, request: Request, report: Report) -> None:
    """Find features, match pairs, and map; writes result.json and points.npz into `folder`."""
    for level in ("INFO", "WARNING", "ERROR", "FATAL"):  # its logs would stay in the system's temporary folder for ever
        pycolmap.logging.set_log_destination(getattr(pycolmap.logging, level), "")
    pycolmap.set_random_seed(request.seed)
    path = folder / "database.db"
    counts, largest = _find_features(folder, path, request, report)
    report(PHASES[1], 0, 1)
    matched = _match(folder, path, request, pairs.chosen(largest))
    report(PHASES[1], 1, 1)
    report(PHASES[2], 0, 1)
    stations = _stations(len(request.names), matched, counts)
    between = _between_stations(path, matched.links, stations)
    model = _map(folder, path, request, between)
    degenerate = model is None
    if model is None:
        model = _from_best_pair(path, request, between)
    notes: list[str] = []
    if model is not None:
        notes = _doubts(path, request, model)
        model = _with_stations(model, stations, matched.turns)
    _write(folder, request, model, counts, matched.links, stations, degenerate, notes)
    report(PHASES[2], 1, 1)


# Features


def _find_features(folder: Path, path: Path, request: Request, report: Report) -> tuple[list[int], list[np.ndarray]]:
    """SIFT on the faces of a cube, where the panorama is not bent, written as pixels of the panorama.

    Returns how many each capture has, and the descriptors of its largest ones, by which pairs are chosen.
    """
    database = pycolmap.Database.open(path)
    camera = _camera(request.width)
    camera_id = database.write_camera(camera)
    camera.camera_id = camera_id
    sensor = pycolmap.Rig(rig_id=1)
    sensor.add_ref_sensor(camera.sensor_id)
    rig_id = database.write_rig(sensor, use_rig_id=True)
    cv2.setNumThreads(1)  # the pool has a crop for every processor
    counts, largest = [], []
    layout = rig.cube(overlap=np.radians(2.0), size=request.crop_size)
    with ThreadPoolExecutor(request.threads) as pool:
        for index in range(len(request.names)):
            report(PHASES[0], index, len(request.names))
            grey = np.load(folder / f"grey-{index}.npy", allow_pickle=False)
            valid = np.load(folder / f"valid-{index}.npy", allow_pickle=False)
            pixels, descriptors, sizes = _features(grey, valid, layout, request, pool)
            image = pycolmap.Image(name=_image(index), camera_id=camera_id)
            image.image_id = index + 1
            database.write_image(image, use_image_id=True)
            frame = pycolmap.Frame(frame_id=index + 1, rig_id=rig_id)
            frame.add_data_id(image.data_id)
            database.write_frame(frame, use_frame_id=True)
            database.write_keypoints(index + 1, pixels)
            kind = pycolmap.FeatureExtractorType.SIFT
            database.write_descriptors(index + 1, pycolmap.FeatureDescriptors(kind, descriptors))
            counts.append(len(pixels))
            largest.append(descriptors[np.argsort(-sizes, kind="stable")[: pairs.LARGEST]])
    report(PHASES[0], len(request.names), len(request.names))
    database.close()
    return counts, largest


def _image(index: int) -> str:
    """What a capture is called in the database; without blanks, which part the names in a list of pairs."""
    return f"{index:06d}"


def _features(
    grey: np.ndarray, valid: np.ndarray, layout: rig.Layout, request: Request, pool: ThreadPoolExecutor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keypoints (N, 2) float32 in pixels of the panorama, descriptors (N, 128) uint8, and sizes (N,)."""
    crops = rig.crop(grey, layout)
    visible = rig.crop(valid.astype(np.float32), layout).mean(axis=(1, 2)) > _LEAST_VISIBLE
    views = [view for view in range(len(layout)) if visible[view]]
    found = list(pool.map(lambda view: _features_of_crop(crops[view], view, layout, request), views))
    pixels = np.concatenate([np.empty((0, 2)), *(places for places, _, _ in found)])
    descriptors = np.concatenate([np.empty((0, 128), np.uint8), *(codes for _, codes, _ in found)])
    sizes = np.concatenate([np.empty(0), *(sizes for _, _, sizes in found)])
    column = np.clip(pixels[:, 0].astype(np.intp), 0, request.width - 1)
    row = np.clip(pixels[:, 1].astype(np.intp), 0, request.width // 2 - 1)
    keep = valid[row, column]
    return pixels[keep].astype(np.float32), np.ascontiguousarray(descriptors[keep]), sizes[keep]


def _features_of_crop(
    crop: np.ndarray, view: int, layout: rig.Layout, request: Request
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """OpenCV's SIFT: the same features as pycolmap's in a fifth of the time."""
    detector = cv2.SIFT_create(request.features, contrastThreshold=_CONTRAST, enable_precise_upscale=True)
    found, codes = detector.detectAndCompute(crop, None)
    if not found:
        return np.empty((0, 2)), np.empty((0, 128), np.uint8), np.empty(0)
    places = np.array([point.pt for point in found], np.float64) + 0.5  # OpenCV's first pixel has its centre at 0
    focal = layout.intrinsics[0, 0]
    local = np.column_stack(
        [places[:, 0] - layout.size / 2, layout.size / 2 - places[:, 1], np.full(len(places), -focal)]
    )
    own = np.abs(local[:, :2]).max(axis=1) <= focal  # beyond 45° it belongs to the neighbour
    pixels = equirectangular.directions_to_pixels(local[own] @ layout.rotations[view].T, request.width)
    return pixels, _root(np.asarray(codes)[own]), np.array([point.size for point in found])[own]


def _root(codes: np.ndarray) -> np.ndarray:
    """Descriptors as pycolmap compares them: square roots of shares, (N, 128) uint8.

    Source: Arandjelovic and Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012.
    """
    shares = codes / np.maximum(codes.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray(np.clip(np.rint(512 * np.sqrt(shares)), 0, 255).astype(np.uint8))


# Matches


@dataclass(frozen=True)
class Matched:
    """Verified matches by pair of indices, and of pairs taken in one place the rotation (3, 3) of the first one's
    camera from the second one's, Blender's axes."""

    links: dict[tuple[int, int], int]
    turns: dict[tuple[int, int], np.ndarray]


def _match(folder: Path, path: Path, request: Request, chosen: list[tuple[int, int]]) -> Matched:
    """Match pairs and verify them on the sphere."""
    options = pycolmap.FeatureMatchingOptions(use_gpu=False, num_threads=request.threads)
    options.skip_geometric_verification = True
    listed = folder / "pairs.txt"
    listed.write_text("".join(f"{_image(one)} {_image(other)}\n" for one, other in chosen), encoding="ascii")
    pairing = pycolmap.ImportedPairingOptions(match_list_path=listed)
    pycolmap.match_image_pairs(path, options, pairing, device=pycolmap.Device.cpu)
    verification = pycolmap.TwoViewGeometryOptions(detect_watermark=False, min_num_inliers=_LEAST_INLIERS)
    verification.ransac.max_error = _VERIFICATION_PIXELS * request.width
    verification.ransac.random_seed = request.seed
    camera = _camera(request.width)
    database = pycolmap.Database.open(path)
    pixels = [database.read_keypoints(index + 1)[:, :2].astype(np.float64) for index in range(len(request.names))]
    links, turns = {}, {}
    for pair, matches in zip(*database.read_all_matches(), strict=True):
        first, second = pycolmap.pair_id_to_image_pair(pair)
        matches = np.asarray(matches)
        if len(matches) < _LEAST_INLIERS:
            continue
        here = equirectangular.pixels_to_directions(pixels[first - 1][matches[:, 0]], request.width)
        there = equirectangular.pixels_to_directions(pixels[second - 1][matches[:, 1]], request.width)
        turn = _most_common_turn(here, there)
        moved = registration.angles_between(there @ turn.T, here)
        near = _without_infinity(matches, moved)
        geometry = pycolmap.estimate_calibrated_two_view_geometry(
            camera, pixels[first - 1], camera, pixels[second - 1], near, verification
        )
        inliers = np.asarray(geometry.inlier_matches).reshape(-1, 2)
        if _in_one_place(matches, moved, inliers):
            turns[first - 1, second - 1] = turn
            links[first - 1, second - 1] = int((moved < _TURNED).sum())
        elif len(inliers) >= _LEAST_INLIERS:
            database.write_two_view_geometry(first, second, geometry)
            links[first - 1, second - 1] = len(inliers)
    database.close()
    return Matched(links, turns)


def _without_infinity(matches: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Matches without those that a rotation alone explains, if they outnumber the rest.

    Clouds and far hills do not tell the position, and many of them make any direction of travel look right.
    moved: radians by which each match differs from the most common turn.
    """
    if len(matches) < _FEWEST_NEAR:
        return matches
    far = moved < _AT_INFINITY
    near = matches[~far]
    return near if far.sum() > len(near) >= _FEWEST_NEAR else matches


def _in_one_place(matches: np.ndarray, moved: np.ndarray, inliers: np.ndarray) -> bool:
    """Whether two captures differ by a turn alone: nearly all matches agree on one, and too few on anything else."""
    if (moved < _TURNED).mean() < _SAME_STATION:
        return False
    beyond = {tuple(match) for match in matches[moved >= _TURNED].tolist()}
    parallax = sum(tuple(match) in beyond for match in inliers.tolist())
    return parallax < max(_LEAST_INLIERS, _MOVING * len(matches))


def _most_common_turn(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) here_from_there that most pairs of directions (N, 3) agree on."""
    random = np.random.default_rng(0)
    best, most = np.eye(3), -1
    for _ in range(200):
        chosen = random.choice(len(here), 2, replace=False)
        here_from_there = registration.rotation_between(there[chosen], here[chosen])
        count = int(np.count_nonzero(registration.angles_between(there @ here_from_there.T, here) < _AT_INFINITY))
        if count > most:
            best, most = here_from_there, count
    agreeing = registration.angles_between(there @ best.T, here) < _AT_INFINITY
    return registration.rotation_between(there[agreeing], here[agreeing]) if agreeing.sum() >= 2 else best


# Stations


def _stations(count: int, matched: Matched, features: list[int]) -> list[list[int]]:
    """Captures by the places they were taken in: lists of indices, in each the one to be mapped first.

    It is the one with most matches to other places, then with most features.
    """
    place = list(range(count))
    for first, second in matched.turns:
        old, new = place[second], place[first]
        place = [new if each == old else each for each in place]
    outward = [0] * count
    for (first, second), links in matched.links.items():
        if place[first] != place[second]:
            outward[first] += links
            outward[second] += links
    groups: dict[int, list[int]] = {}
    for index, each in enumerate(place):
        groups.setdefault(each, []).append(index)
    return [sorted(group, key=lambda index: (-outward[index], -features[index])) for group in groups.values()]


def _between_stations(
    path: Path, links: dict[tuple[int, int], int], stations: list[list[int]]
) -> dict[tuple[int, int], int]:
    """The links among the stations' first captures; the database forgets all others, so that no other is mapped."""
    first = {station[0] for station in stations}
    kept = {pair: count for pair, count in links.items() if set(pair) <= first}
    database = pycolmap.Database.open(path)
    for one, other in links.keys() - kept.keys():
        database.delete_inlier_matches(one + 1, other + 1)
    database.close()
    return kept


def _with_stations(
    model: SparseModel, stations: list[list[int]], turns: dict[tuple[int, int], np.ndarray]
) -> SparseModel:
    """The model with every other capture of its stations: turned where the mapped one stands."""
    turns = turns | {(second, first): turn.T for (first, second), turn in turns.items()}
    placed = {image: index for index, image in enumerate(model.images)}
    images, rotations = list(model.images), list(model.model_from_opencv)
    positions, seen = list(model.positions), list(model.seen)
    for station in stations:
        if station[0] not in placed:
            continue
        known = {station[0]: rotations[placed[station[0]]]}
        while rest := [index for index in station if index not in known]:
            start, end = next(pair for pair in turns if pair[0] in known and pair[1] in rest)
            turn = OPENCV_FROM_BLENDER @ turns[start, end] @ OPENCV_FROM_BLENDER
            known[end] = known[start] @ turn
            images.append(end)
            rotations.append(known[end])
            positions.append(positions[placed[station[0]]])
            seen.append(seen[placed[station[0]]])
    return replace(model, images=images, model_from_opencv=rotations, positions=positions, seen=seen)


# Mapping


@dataclass(frozen=True)
class SparseModel:
    """Registered images (index from 0), their rotations (OpenCV's camera axes) and positions, and sparse points.

    features: (N,) of the points, the index of each one's feature in the image that saw it first.
    """

    images: list[int]
    model_from_opencv: list[np.ndarray]
    positions: list[np.ndarray]
    seen: list[int]
    points: np.ndarray
    observations: np.ndarray
    first: np.ndarray
    features: np.ndarray
    pixels: np.ndarray
    errors: np.ndarray
    reprojection: float


def _map(folder: Path, path: Path, request: Request, links: dict[tuple[int, int], int]) -> SparseModel | None:
    """Incremental mapping, then one more adjustment with a robust loss; None if no pair could start it."""
    if not links:
        return None
    output = folder / "models"
    output.mkdir(exist_ok=True)
    found = pycolmap.incremental_mapping(path, folder, output, _mapper_options(request))
    if not found:
        return None
    best = max(found.values(), key=lambda model: (model.num_reg_images(), model.num_points3D()))
    adjustment = pycolmap.BundleAdjustmentOptions(refine_focal_length=False, refine_extra_params=False)
    adjustment.print_summary = False
    adjustment.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    adjustment.ceres.loss_function_scale = max(0.5, request.width / 4096)
    adjustment.ceres.solver_options.num_threads = _MAPPING_THREADS
    pycolmap.bundle_adjustment(best, adjustment)
    best.update_point_3d_errors()
    return _read(best)


def _mapper_options(request: Request) -> Any:
    """Settings for walks: the next capture lies straight ahead, and there may be only two."""
    options = pycolmap.IncrementalPipelineOptions(
        min_model_size=2, multiple_models=True, max_num_models=4, extract_colors=False, random_seed=request.seed
    )
    options.num_threads = options.mapper.num_threads = _MAPPING_THREADS
    options.ba_refine_focal_length = options.ba_refine_extra_params = False
    options.mapper.init_max_forward_motion = 1.0
    options.mapper.init_min_tri_angle = 3.0
    options.mapper.init_min_num_inliers = 30
    # Plain walls leave few points in three captures; within a degree on the whole sphere a dozen are no accident.
    options.mapper.abs_pose_max_error = 12.0 * request.width / 4096
    options.mapper.abs_pose_min_num_inliers = 12
    options.mapper.abs_pose_min_inlier_ratio = 0.15
    options.mapper.filter_max_reproj_error = max(2.0, 4.0 * request.width / 4096)
    options.triangulation.ignore_two_view_tracks = False
    return options


def _read(model: Any) -> SparseModel:
    images = sorted(model.reg_image_ids())
    placed = [model.image(image) for image in images]
    points = [point for _, point in sorted(model.points3D.items())]
    seen_first = [min(point.track.elements, key=lambda element: element.image_id) for point in points]
    pixels = [model.image(element.image_id).point2D(element.point2D_idx).xy for element in seen_first]
    return SparseModel(
        images=[image - 1 for image in images],
        model_from_opencv=[image.cam_from_world().rotation.matrix().T for image in placed],
        positions=[image.projection_center() for image in placed],
        seen=[int(image.num_points3D) for image in placed],
        points=np.array([point.xyz for point in points]).reshape(-1, 3),
        observations=np.array([point.track.length() for point in points], np.int32),
        first=np.array([element.image_id - 1 for element in seen_first], np.int32),
        features=np.array([element.point2D_idx for element in seen_first], np.int64),
        pixels=np.array(pixels, np.float32).reshape(-1, 2),
        errors=np.array([point.error for point in points], np.float32),
        reprojection=float(model.compute_mean_reprojection_error()),
    )


def _from_best_pair(path: Path, request: Request, links: dict[tuple[int, int], int]) -> SparseModel | None:
    """Two captures by essential geometry alone, if mapping found no pair wide enough to start with."""
    if not links:
        return None
    first, second = max(links, key=lambda pair: links[pair])
    database = pycolmap.Database.open(path)
    geometry = database.read_two_view_geometry(first + 1, second + 1)
    pixels = [database.read_keypoints(index + 1)[:, :2].astype(np.float64) for index in (first, second)]
    database.close()
    matches = np.asarray(geometry.inlier_matches)
    camera = _camera(request.width)
    here, there = pixels[0][matches[:, 0]], pixels[1][matches[:, 1]]
    ransac = pycolmap.RANSACOptions(max_error=_VERIFICATION_PIXELS * request.width, random_seed=request.seed)
    start = pycolmap.estimate_relative_pose(camera, here, camera, there, ransac)
    if start is None:
        return None
    inliers = np.asarray(start["inlier_mask"], np.bool_)
    refined = pycolmap.refine_relative_pose(start["cam2_from_cam1"], camera, here, camera, there, inliers[:, None])
    second_from_first = (refined or start)["cam2_from_cam1"]
    first_from_second = second_from_first.rotation.matrix().T
    position = -first_from_second @ second_from_first.translation
    rays = [
        equirectangular.pixels_to_directions(place[inliers], request.width) @ OPENCV_FROM_BLENDER
        for place in (here, there)
    ]
    points, angles = _midpoints(rays[0], rays[1] @ first_from_second.T, position)
    keep = angles > np.radians(0.3)
    count = int(keep.sum())
    if count < _LEAST_INLIERS:
        return None
    return SparseModel(
        images=[first, second],
        model_from_opencv=[np.eye(3), first_from_second],
        positions=[np.zeros(3), position],
        seen=[count, count],
        points=points[keep],
        observations=np.full(count, 2, np.int32),
        first=np.full(count, first, np.int32),
        features=matches[inliers][keep, 0].astype(np.int64),
        pixels=here[inliers][keep].astype(np.float32),
        errors=np.zeros(count, np.float32),
        reprojection=float("nan"),
    )


def _midpoints(here: np.ndarray, there: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points nearest to rays from the origin and from `position`, and the angles between the rays."""
    cosine = (here * there).sum(axis=1)
    denominator = np.maximum(1 - cosine**2, 1e-12)
    along, across = here @ position, there @ position
    near = (along - cosine * across) / denominator
    far = (cosine * along - across) / denominator
    points = (near[:, None] * here + position + far[:, None] * there) / 2
    angles = np.where((near > 0) & (far > 0), np.arccos(np.clip(cosine, -1, 1)), 0.0)
    return points, angles


def _doubts(path: Path, request: Request, model: SparseModel) -> list[str]:
    """What may be wrong with a model although all of it agrees, in words."""
    database = pycolmap.Database.open(path)
    matches = rivals.read(database, request.width)
    codes = {image: np.asarray(database.read_descriptors(image + 1).data) for image in set(model.first.tolist())}
    database.close()
    poses = dict(zip(model.images, zip(model.model_from_opencv, model.positions, strict=True), strict=True))
    error = _VERIFICATION_PIXELS * request.width
    doubtful = rivals.find(matches, poses, _camera(request.width), error, request.seed)
    descriptors = np.array(
        [codes[image][feature] for image, feature in zip(model.first.tolist(), model.features.tolist(), strict=True)],
        np.uint8,
    ).reshape(-1, 128)
    mirror = mirrors.find(model.points, descriptors, np.array(model.positions), request.seed)
    return [*rivals.told(doubtful, request.names), *([] if mirror is None else [mirrors.told(mirror)])]


# What was found


def _write(
    folder: Path,
    request: Request,
    model: SparseModel | None,
    counts: list[int],
    links: dict[tuple[int, int], int],
    stations: list[list[int]],
    degenerate: bool,
    notes: list[str],
) -> None:
    images = [
        {"features": count, "links": {str(i + j - index): found for (i, j), found in links.items() if index in (i, j)}}
        for index, count in enumerate(counts)
    ]
    registered = []
    if model is not None:
        for image, model_from_opencv, position, seen in zip(
            model.images, model.model_from_opencv, model.positions, model.seen, strict=True
        ):
            model_from_camera = np.asarray(model_from_opencv) @ OPENCV_FROM_BLENDER
            registered.append(
                {
                    "image": image,
                    "rotation": model_from_camera.tolist(),
                    "position": list(map(float, position)),
                    "points": seen,
                }
            )
        with (folder / "points.npz").open("wb") as stream:
            np.savez(
                stream,
                points=model.points,
                observations=model.observations,
                first=model.first,
                pixels=model.pixels,
                errors=model.errors,
            )
    error = model.reprojection if model is not None and np.isfinite(model.reprojection) else None
    files.write_json(
        folder / "result.json",
        {
            "registered": registered,
            "images": images,
            "stations": stations,
            "reprojection_pixels": error,
            "degenerate": degenerate,
            "notes": notes,
        },
    )


def _camera(width: int) -> Any:
    return pycolmap.Camera.create_from_model_name(1, "EQUIRECTANGULAR", 1, width, width // 2)


def _leave_with_parent() -> None:
    """End at once when nobody is there to read the answers."""
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
