"""A room whose colours and ranges are formulas, and clips through it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pantheon360_blender.core.formats import npz, png
from pantheon360_blender.core.panorama import cameras, equirectangular

HALF = np.array([3.0, 2.5, 1.5])
"""Metres from the room's middle to its walls, floor and ceiling."""


def room(pose: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """What a camera in the room sees: (H, W, 3) uint8, and range (H, W) float32 metres."""
    rays = equirectangular.directions(width).astype(np.float64) @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        distance = ((np.sign(rays) * HALF - pose[:3, 3]) / rays).min(axis=-1)
    points = pose[:3, 3] + rays * distance[..., None]
    waves = np.stack([np.sin(points @ np.array(way)) for way in ((2, 1, 3), (1, -3, 1), (-2, 2, 1))], axis=-1)
    return np.rint(127 + 110 * waves).astype(np.uint8), distance.astype(np.float32)


BLOCK = np.array([[-0.4, 0.2, -1.5], [0.5, 1.0, 0.6]])
"""Lowest and highest corner of a block that stands in the furnished room, and hides a part of it from everywhere."""


def furnished(pose: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """As `room`, in softer colours, with a red block in it."""
    return _with_block(pose, width, *room(pose, width))


def yard(pose: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """As `furnished`, with the room's floor as ground without end and a blue sky above it, where the range is inf."""
    rays = equirectangular.directions(width).astype(np.float64) @ pose[:3, :3].T
    below = rays[..., 2] < -0.02
    distance = np.where(below, (-HALF[2] - pose[2, 3]) / np.where(below, rays[..., 2], -1.0), np.inf)
    points = pose[:3, 3] + rays * np.where(below, distance, 0.0)[..., None]
    ground = 127 + 100 * np.sin(points @ np.array([[1.5, 0.7, 0], [0.5, -1.2, 0], [-0.9, 1.1, 0]]).T)
    air = np.array([90.0, 140.0, 220.0]) + 30 * rays[..., 2:].clip(0, 1)
    return _with_block(pose, width, np.where(below[..., None], ground, air), distance)


def _with_block(pose: np.ndarray, width: int, image: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rays = equirectangular.directions(width).astype(np.float64) @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        corners = (BLOCK[:, None, None, :] - pose[:3, 3]) / rays
    enters, leaves = corners.min(axis=0).max(axis=-1), corners.max(axis=0).min(axis=-1)
    hit = (enters > 0) & (enters < leaves) & (enters < distance)
    shade = 10 * np.sin(3 * (pose[:3, 3] + rays * np.where(hit, enters, 0.0)[..., None])[..., 2:])
    soft = 127 + 0.5 * (image.astype(np.float64) - 127)
    colours = np.where(hit[..., None], np.array([200.0, 60.0, 40.0]) + shade, soft)
    return np.rint(colours.clip(0, 255)).astype(np.uint8), np.where(hit, enters, distance).astype(np.float32)


def path(frames: int, turn: float = 0.0) -> np.ndarray:
    """(frames, 4, 4) poses along the room, turning by so many degrees in all."""
    shares = np.linspace(0.0, 1.0, frames)
    return np.stack(
        [
            cameras.pose_matrix(cameras.rotation_from_heading(turn * share), np.array([2.4 * share - 1.2, 0.5, 0.1]))
            for share in shares
        ]
    )


def write(folder: Path, poses: np.ndarray, width: int, fps: float = 7.0) -> None:
    """Write a clip of the room as docs/evaluation.md says."""
    for frame, pose in enumerate(poses):
        image, distance = room(pose, width)
        png.write(folder / f"{frame:06d}.png", image)
        with open(folder / f"{frame:06d}.npz", "wb") as file:
            npz.write(file, "range", distance)
    record = {"schema": 1, "fps": fps, "cameras": poses.tolist(), "captures": [0, len(poses) - 1]}
    (folder / "clip.json").write_text(json.dumps(record), encoding="utf-8")
