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
