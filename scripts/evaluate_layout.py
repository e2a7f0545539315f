"""Room layouts of single photographs against the exact ranges of the evaluation's rendered scenes.

Judged are the range maps, and the floors, walls and ceilings that are made of them. A part of `make evaluate-cache`,
which runs it in the backend's environment. Writes out/room-layouts.jpg: photograph, what was found, the truth; and
out/floor-plans.jpg: photograph, ranges of the meshes, the truth, and the plan over the true points.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import evaluation_scenes
import numpy as np

WIDTH = 512
NEAR_ENOUGH = 0.15
"""Relative error of a range that counts as right."""
SHOWN = 4
"""One scene in so many is in the picture."""
_NEAREST, _FARTHEST = 0.5, 50.0  # metres: black and white


def evaluate(scenes: Path, sheet: Path) -> dict[str, dict[str, float]]:
    """Figures of the first photograph of every clip: median error and pixels within NEAR_ENOUGH, both in %.

    Pixels are those that show no sky, weighed by solid angle. The height of the camera is told. "mesh_" are those of
    the meshes, seen from where the photograph was taken; corner_error_percent, of a room, is how far its corners are
    from the nearest end of a wall, as a share of their distance, in the median.
    """
    found: dict[str, dict[str, float]] = {}
    rows, plans = [], []
    for number, file in enumerate(importlib.import_module("backend.evaluation.clips").find(scenes)):
        known = file.read().known[0]
        image, truth = known.capture.image, nearest(known.range, (WIDTH // 2, WIDTH))
        ranges = layout_of(image, truth)
        plan = plan_of(ranges, known.capture.pose)
        meshes = seen(plan, known.capture.pose)
        found[file.name] = {**errors(ranges, truth), "walls": len(plan.walls)}
        found[file.name] |= {f"mesh_{name}": value for name, value in errors(meshes, truth).items()}
        room = evaluation_scenes.ROOMS.get(file.name.rsplit("-", 1)[0])
        if room is not None:
            found[file.name]["corner_error_percent"] = corner_error(plan, room, known.capture.pose[:2, 3])
        print(f"[evaluate-cache] one photograph, {file.name}: {found[file.name]}", flush=True)
        if number % SHOWN == 0:
            small = importlib.import_module("pantheon360_blender.core.panorama.equirectangular").resize(image, WIDTH)
            rows.append([small, shaded(ranges), shaded(truth)])
            plans.append([small, shaded(meshes), shaded(truth), drawn(plan, truth, known.capture.pose)])
    write_sheet(rows, sheet)
    write_sheet(plans, sheet.with_name("floor-plans.jpg"))
    found["all"] = summary(list(found.values()))
    return found


def summary(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over all photographs, in how many a half of the pixels is near enough, and the median of rooms' corners."""
    result: dict[str, float] = {}
    for kind in ("", "mesh_"):
        for name in ("depth_error_percent", "within_15_percent"):
            result[kind + name] = round(float(np.mean([each[kind + name] for each in found])), 1)
        right = [each[f"{kind}depth_error_percent"] <= 100 * NEAR_ENOUGH for each in found]
        result[f"{kind}scenes_half_right"] = sum(right)
    corners = [each["corner_error_percent"] for each in found if "corner_error_percent" in each]
    return result | {"corner_error_percent": round(float(np.median(corners)), 1)}


def layout_of(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(H, W) metres, inf in the sky, that one photograph tells. truth: (H, W) metres, for the camera's height alone."""
    equirectangular = importlib.import_module("pantheon360_blender.core.panorama.equirectangular")
    layouts = importlib.import_module("backend.reconstruction.room_layout.room_layout")
    elevation = elevations(len(truth))
    down = elevation < np.radians(-75)
    eye = float(np.median(truth[down] * np.sin(-elevation[down])[:, None]))
    sky = importlib.import_module("backend.reconstruction.sky").sky_mask(equirectangular.resize(image, WIDTH))
    return np.asarray(layouts.estimate(image, eye).depth_map(sky).range)


def errors(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Figures of ranges (H, W), inf in the sky, against the truth."""
    solid = np.isfinite(truth)
    error = np.abs(np.where(np.isfinite(found), found, 1e9)[solid] / truth[solid] - 1)
    weight = np.broadcast_to(np.cos(elevations(len(truth)))[:, None], truth.shape)[solid]
    order = np.argsort(error)
    sums = np.cumsum(weight[order])
    return {
        "depth_error_percent": round(100 * float(error[order][np.searchsorted(sums, sums[-1] / 2)]), 1),
        "within_15_percent": round(100 * float(weight[error < NEAR_ENOUGH].sum() / weight.sum()), 1),
    }


# Floor plans


def plan_of(ranges: np.ndarray, pose: np.ndarray) -> Any:
    """The FloorPlan of a range map (H, W) of a camera at `pose`."""
    known = np.isfinite(ranges)
    angles = np.cos(elevations(len(ranges)))[:, None] * (np.pi / len(ranges)) ** 2 + np.zeros(ranges.shape)
    points = pose[:3, 3] + rays_of(pose)[known] * ranges[known, None]
    plans = importlib.import_module("pantheon360_blender.core.points.floor_plan")
    return plans.floor_plan(points, angles[known], pose[:3, 3])


def seen(plan: Any, pose: np.ndarray) -> np.ndarray:
    """(H, W) metres at which the rays of a camera at `pose` meet a plan's meshes, inf where they meet none.

    By Moeller and Trumbore's test with a common origin. The outline is a star around the camera.
    """
    eye, triangles = pose[:3, 3], []
    for surface in (plan.floor, plan.cover):
        if surface is not None:
            middle = [*eye[:2], surface.vertices[0, 2]]
            around = zip(surface.vertices, np.roll(surface.vertices, -1, axis=0), strict=True)
            triangles += [(middle, one, other) for one, other in around]
    for face in plan.sides.faces:
        a, b, c, d = plan.sides.vertices[list(face)]
        triangles += [(a, b, c), (a, c, d)]
    rays = rays_of(pose).reshape(-1, 3)
    found = np.full(len(rays), np.inf)
    for a, b, c in np.array(triangles) - eye:
        shares = rays @ np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = (a @ np.cross(b, c)) / shares.sum(axis=1)
        hit = ((shares >= -1e-9).all(axis=1) | (shares <= 1e-9).all(axis=1)) & (distance > 1e-4)
        found[hit] = np.minimum(found[hit], distance[hit])
    return found.reshape(WIDTH // 2, WIDTH)


def corner_error(plan: Any, room: tuple[float, float, float], eye: np.ndarray) -> float:
    """Median over a room's four corners, %. eye: (2,) metres."""
    corners = np.array([(x * room[0] / 2, y * room[1] / 2) for x in (-1, 1) for y in (-1, 1)])
    ends = np.array([end for wall in plan.walls for end in (wall.start, wall.end)])
    off = np.linalg.norm(corners[:, None] - ends, axis=2).min(axis=1) / np.linalg.norm(corners - eye, axis=1)
    return round(100 * float(np.median(off)), 1)


def drawn(plan: Any, truth: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(H, H, 3) uint8: true points above the ground in grey, the outline in blue, walls in red, the eye in green."""
    size = WIDTH // 2
    eye, points = pose[:2, 3], (pose[:3, 3] + rays_of(pose) * np.where(np.isfinite(truth), truth, 0)[..., None])
    level = (np.abs(elevations(len(truth))) < np.radians(25))[:, None] & np.isfinite(truth)
    level &= points[..., 2] > plan.ground + 0.3
    around = points[level][:, :2]
    reach = min(1.15 * float(np.quantile(np.abs(around - eye), 0.99)), 25.0)
    image = np.full((size, size, 3), 255, np.uint8)

    def mark(places: np.ndarray, colour: tuple[int, int, int], wide: int = 0) -> None:
        column, row = (((places - eye) * (1, -1) / reach + 1) / 2 * size).astype(int).T
        for shift in range(-wide, wide + 1):
            inside = (column + shift >= 0) & (column + shift < size) & (row >= wide) & (row < size - wide)
            for down in range(-wide, wide + 1):
                image[row[inside] + down, column[inside] + shift] = colour

    share = np.linspace(0, 1, 4 * size)[:, None]
    mark(around, (175, 175, 175))
    for one, other in zip(plan.outline, np.roll(plan.outline, -1, axis=0), strict=True):
        mark(one + share * (other - one), (120, 160, 255))
    for wall in plan.walls:
        mark(wall.start + share * (wall.end - wall.start), (220, 30, 30), 1)
    mark(eye[None], (0, 150, 0), 3)
    return image


def elevations(height: int) -> np.ndarray:
    """(H,) radians, of rows' middles."""
    return np.asarray(np.pi * (0.5 - (np.arange(height) + 0.5) / height))


def rays_of(pose: np.ndarray) -> np.ndarray:
    """(WIDTH / 2, WIDTH, 3) float64: directions in the world."""
    equirectangular = importlib.import_module("pantheon360_blender.core.panorama.equirectangular")
    return np.asarray(equirectangular.directions(WIDTH).astype(np.float64) @ pose[:3, :3].T)


# Pictures


def nearest(ranges: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Ranges at another size; those of two surfaces have no meaningful mean."""
    rows = ((np.arange(shape[0]) + 0.5) * ranges.shape[0] / shape[0]).astype(int)
    columns = ((np.arange(shape[1]) + 0.5) * ranges.shape[1] / shape[1]).astype(int)
    return np.asarray(ranges[np.ix_(rows, columns)])


def shaded(ranges: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: near is black, far is white."""
    share = np.log(np.clip(ranges, _NEAREST, _FARTHEST) / _NEAREST) / np.log(_FARTHEST / _NEAREST)
    return np.asarray(np.repeat((255 * share).astype(np.uint8)[..., None], 3, axis=2))


def write_sheet(rows: Sequence[Sequence[np.ndarray]], target: Path) -> None:
    image: Any = importlib.import_module("PIL.Image")
    target.parent.mkdir(exist_ok=True)
    image.fromarray(np.concatenate([np.concatenate(row, axis=1) for row in rows])).save(target, quality=90)
