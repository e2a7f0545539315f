"""Optical flow between panoramas: exact, from range and poses, or estimated by OpenCV's DIS.

A flow is (H, W, 2) float32: where pixel (column, row) of the first image is found in the second, relative to itself, in
pixels; columns may lead across the seam. Visible is (H, W) bool: whether the point is seen in both.
"""

from __future__ import annotations

import cv2
import numpy as np

from pantheon360_blender.core.panorama import cameras, equirectangular

_SAME = 0.05
"""Relative difference of range up to which two pixels show the same surface."""


def exact_flow(
    depth: np.ndarray, pose: np.ndarray, other_depth: np.ndarray, other_pose: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Flow and visibility from exact geometry. What is infinitely far turns with the camera.

    depth, other_depth: (H, W) ranges, metres, inf in the sky. pose, other_pose: (4, 4) camera-to-world.
    """
    height, width = depth.shape
    far = np.isinf(depth)
    other_from_this = cameras.invert(other_pose) @ pose
    rays = equirectangular.directions(width).astype(np.float64)
    points = rays * np.where(far, 1.0, depth)[..., None]
    moved = points @ other_from_this[:3, :3].T + np.where(far, 0.0, 1.0)[..., None] * other_from_this[:3, 3]
    length = np.linalg.norm(moved, axis=-1)
    there = np.where(length[..., None] > 0, moved, (0.0, 0.0, -1.0))
    pixels = equirectangular.directions_to_pixels(there, width)
    column = pixels[..., 0].astype(np.intp) % width
    row = np.clip(pixels[..., 1].astype(np.intp), 0, height - 1)
    found = _nearest_alike(other_depth, row, column, length)
    visible = np.where(far, np.isinf(other_depth[row, column]), found)
    return _relative(pixels), visible


def _nearest_alike(depth: np.ndarray, row: np.ndarray, column: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Whether a range within a pixel of the target is that of the point: rays of the two images never quite meet."""
    alike = np.zeros(length.shape, np.bool_)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            seen = depth[np.clip(row + down, 0, len(depth) - 1), (column + right) % depth.shape[1]]
            with np.errstate(invalid="ignore"):
                alike |= np.abs(seen - length) <= _SAME * length
    return alike


def dis_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Flow between two (H, W, 3) uint8 panoramas by dense inverse search, across the seam.

    Source: T. Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016; OpenCV's preset MEDIUM.
    """
    margin = first.shape[1] // 8
    grey = [
        np.pad(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), ((0, 0), (margin, margin)), mode="wrap")
        for image in (first, second)
    ]
    found = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    return np.asarray(found[:, margin:-margin], np.float32)


def consistent(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """(H, W) bool: where an estimated flow is to be believed: it comes back, and is not at a motion boundary.

    Source: M. Ruder, A. Dosovitskiy, T. Brox, "Artistic Style Transfer for Videos", 2016, as in Lai et al. 2018:
    |w + w'|^2 <= 0.01 (|w|^2 + |w'|^2) + 0.5, and |grad u|^2 + |grad v|^2 <= 0.01 |w|^2 + 0.002.
    """
    back = warped(backward, forward)
    size = (forward**2).sum(axis=-1)
    returns = ((forward + back) ** 2).sum(axis=-1) <= 0.01 * (size + (back**2).sum(axis=-1)) + 0.5
    slopes = [np.gradient(forward[..., channel], axis=axis) ** 2 for channel in (0, 1) for axis in (0, 1)]
    return np.asarray(returns & (np.sum(slopes, axis=0) <= 0.01 * size + 0.002))


def warped(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """What a flow finds in the second image, (H, W, C) float32, at the first image's pixels."""
    height, width = flow.shape[:2]
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return equirectangular.sample(image, np.stack([column, row], axis=-1) + flow)


def _relative(pixels: np.ndarray) -> np.ndarray:
    """Pixels (H, W, 2) as a flow, the short way round."""
    height, width = pixels.shape[:2]
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    flow = pixels - np.stack([column, row], axis=-1)
    flow[..., 0] = (flow[..., 0] + width / 2) % width - width / 2
    return np.asarray(flow, np.float32)
