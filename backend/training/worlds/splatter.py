"""The geometry pass on the training device: `core.render.splatting.splat`, operation by operation, in torch.

Coordinates go through the same IEEE additions, products, quotients and square roots in the same order, each rounded to
float32, so that the pixels are the same; tests compare them.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from pantheon360_blender.core.panorama.cameras import check_pose

_ARCTANGENT = (0.999996112, -0.33317368, 0.198078155, -0.132333417, 0.079623665, -0.0336042138, 0.00681179098)
_TINY = 1e-30
_SIGN = -(1 << 31)
_NOTHING = torch.iinfo(torch.int64).max


def splat(
    points: torch.Tensor, colours: torch.Tensor, cameras: np.ndarray, width: int, near: float = 1e-6
) -> tuple[torch.Tensor, torch.Tensor]:
    """Points at one pixel each, from every camera; the nearest wins, ties go to the lowest index.

    points: (N, 3) float32, metres, world. colours: (N, 3) uint8. cameras: (F, 4, 4) camera-to-world.
    Returns colour (F, 3, H, W) uint8, black where nothing is, and range (F, H, W) float32, inf where nothing is.
    """
    seen = [_splat(points, colours, check_pose(camera), width, near) for camera in cameras]
    return torch.stack([colour for colour, _ in seen]), torch.stack([depth for _, depth in seen])


def _splat(
    points: torch.Tensor, colours: torch.Tensor, pose: np.ndarray, width: int, near: float
) -> tuple[torch.Tensor, torch.Tensor]:
    device, height = points.device, width // 2
    x, y, z = _in_camera(points, pose)
    flat = x * x + z * z
    squared = flat + y * y
    pixel = _pixel(x, y, z, _root(flat), width)
    key = (squared.view(torch.int32).long() << 32) + torch.arange(len(points), device=device)
    least = np.float32(max(near * near, 1e-37))
    unseen = ~((squared >= float(least)) & (squared < math.inf))
    key = key.masked_fill(unseen, _NOTHING)
    pixel = pixel.masked_fill(unseen, 0)
    keys = torch.full((height * width,), _NOTHING, device=device)
    keys.scatter_reduce_(0, pixel, key, "amin")

    covered = keys != _NOTHING
    index = torch.where(covered, keys & 0xFFFFFFFF, 0)
    depth = torch.where(covered, _root((keys >> 32).to(torch.int32).view(torch.float32)), math.inf)
    if not len(points):
        return torch.zeros((3, height, width), dtype=torch.uint8, device=device), depth.view(height, width)
    colour = torch.where(covered[:, None], colours[index], 0)
    return colour.T.reshape(3, height, width), depth.view(height, width)


def _in_camera(points: torch.Tensor, pose: np.ndarray) -> list[torch.Tensor]:
    """x right, y up, z back, (N,) float32 each."""
    position = pose[:3, 3]
    coarse = position.astype(np.float32)
    fine = (position - coarse).astype(np.float32)
    rotation = pose[:3, :3].astype(np.float32)
    offset = []
    for axis in range(3):
        moved = points[:, axis] - float(coarse[axis])
        offset.append(moved - float(fine[axis]) if fine[axis] else moved)
    seen = []
    for axis in range(3):
        products = [offset[world] * float(rotation[world, axis]) for world in range(3)]
        seen.append(products[0] + products[1] + products[2])
    return seen


def _pixel(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor, flat: torch.Tensor, width: int) -> torch.Tensor:
    """(N,) int64: the pixel that each point falls in; any number where it falls in none."""
    u = _angle(x, z.abs() + _TINY, width)
    v = _angle(y, flat, width)
    u = _signed(_signed(width / 8 - u, z) + width / 4, x) + width / 2
    v = width / 4 - _signed(v + width / 8, y)
    column, row = u.to(torch.int32), v.to(torch.int32)
    column = torch.where(column == width, 0, column)
    row = row.clamp_max(width // 2 - 1)
    return row.long() * width + column


def _root(square: torch.Tensor) -> torch.Tensor:
    """The square root, rounded as IEEE wants it: torch's own in float32 is not on every processor."""
    return square.double().sqrt().float()


def _signed(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A value that is not negative, with another's sign."""
    return (value.view(torch.int32) | (like.view(torch.int32) & _SIGN)).view(torch.float32)


def _angle(opposite: torch.Tensor, adjacent: torch.Tensor, width: int) -> torch.Tensor:
    """atan(|opposite| / adjacent) less an eighth of a turn, in columns."""
    opposite = opposite.abs()
    ratio = (opposite - adjacent) / (opposite + adjacent)
    square = ratio * ratio
    coefficients = [float(np.float32(c * width / math.tau)) for c in _ARCTANGENT]
    angle = square * coefficients[-1]
    for coefficient in reversed(coefficients[1:-1]):
        angle = (angle + coefficient) * square
    return (angle + coefficients[0]) * ratio
