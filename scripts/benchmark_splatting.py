"""The geometry pass against two peers that do the same work: project, z-buffer, look up colour and range.

    .environments/benchmark/bin/python scripts/benchmark_splatting.py

torch packs range and index into an int64 and reduces with scatter_reduce(amin), numba walks the points in a compiled
loop; both are what people reach for, on as many threads as they can use. All three run alternately in one process.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pantheon360_blender.core.render.splatting import splat

COUNTS = (100_000, 1_000_000, 5_000_000)
WIDTH = 1024
_RUNS = 9
_WARM_UP = 2

Render = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""(points, colours, pose) -> colour (H, W, 3) uint8, depth (H, W) float32, source (H, W) int."""


def measure() -> dict[str, dict[str, float]]:
    """Median milliseconds of a frame by renderer and point count; a peer that is not installed is left out.

    Raises RuntimeError where a peer's frame is not ours: then the times would not compare.
    """
    renderers: dict[str, Render] = {"geometry_pass_ms": _ours}
    for name, make in (("peer_torch_ms", _torch_peer), ("peer_numba_ms", _numba_peer)):
        try:
            renderers[name] = make()
        except ImportError as error:
            print(f"{name}: not measured, {error}", file=sys.stderr)
    result: dict[str, dict[str, float]] = {name: {} for name in renderers}
    for count in COUNTS:
        points, colours, pose = _room(count)
        for name, render in renderers.items():
            _check(name, render(points, colours, pose), _ours(points, colours, pose))
        for name, times in _alternately(renderers, points, colours, pose).items():
            result[name][str(count)] = round(statistics.median(times) * 1e3, 2)
    return result


def _alternately(
    renderers: dict[str, Render], points: np.ndarray, colours: np.ndarray, pose: np.ndarray
) -> dict[str, list[float]]:
    """Seconds of each run; whatever else the machine does meets all renderers alike."""
    times: dict[str, list[float]] = {name: [] for name in renderers}
    for run in range(_WARM_UP + _RUNS):
        for name, render in renderers.items():
            start = time.perf_counter()
            render(points, colours, pose)
            if run >= _WARM_UP:
                times[name].append(time.perf_counter() - start)
    return times


def _room(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points on the walls of a box and on a sphere in it, in no order, and a turned camera off the middle."""
    rng = np.random.default_rng(360)
    points = rng.uniform(-1, 1, (count, 3))
    side = rng.integers(0, 3, count)
    points[np.arange(count), side] = np.sign(points[np.arange(count), side])
    points *= (6.0, 4.0, 2.0)
    ball = slice(0, count // 5)
    points[ball] /= np.linalg.norm(points[ball], axis=1, keepdims=True)
    points[ball] += (2.5, 1.0, -0.5)
    colours = rng.integers(0, 256, (count, 3)).astype(np.uint8)
    pose = np.eye(4)
    yaw, pitch = 0.7, 0.2
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    tilt = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    pose[:3, :3], pose[:3, 3] = turn @ tilt, (-1.3, 0.4, 0.2)
    return points.astype(np.float32), colours, pose


def _check(name: str, found: tuple[np.ndarray, ...], wanted: tuple[np.ndarray, ...]) -> None:
    """Raise where two frames differ by more than points that fall on borders of pixels."""
    differing = float(np.mean(found[2] != wanted[2]))
    if differing > 0.01:
        raise RuntimeError(
            f"{name} shows another point in {differing:.1%} of the pixels: it does not do the same work."
        )


def _ours(points: np.ndarray, colours: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    frame = splat(points, colours, pose, WIDTH)
    return frame.colour, frame.depth, frame.source


def _torch_peer() -> Render:
    import torch  # type: ignore[import-not-found]

    nothing = torch.iinfo(torch.int64).max
    size = WIDTH * WIDTH // 2

    def render(points: np.ndarray, colours: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rotation = torch.from_numpy(pose[:3, :3].astype(np.float32))
        origin = torch.from_numpy(pose[:3, 3].astype(np.float32))
        x, y, z = ((torch.from_numpy(points) - origin) @ rotation).unbind(1)
        distance = torch.sqrt(x * x + y * y + z * z)
        u = (torch.atan2(x, -z) / (2 * np.pi) + 0.5) * WIDTH
        v = (0.5 - torch.asin((y / distance).clamp(-1, 1)) / np.pi) * (WIDTH // 2)
        pixel = v.long().clamp(0, WIDTH // 2 - 1) * WIDTH + u.long() % WIDTH
        key = (distance.view(torch.int32).long() << 32) | torch.arange(len(points))
        nearest = torch.full((size,), nothing).scatter_reduce(0, pixel, key, "amin")
        seen = nearest != nothing
        source = torch.where(seen, nearest & 0xFFFFFFFF, -1)
        depth = torch.where(seen, (nearest >> 32).int().view(torch.float32), torch.inf)
        colour = torch.zeros((size, 3), dtype=torch.uint8)
        colour[seen] = torch.from_numpy(colours)[source[seen]]
        shape = (WIDTH // 2, WIDTH)
        return colour.numpy().reshape(*shape, 3), depth.numpy().reshape(shape), source.numpy().reshape(shape)

    return render


def _numba_peer() -> Render:
    import numba  # type: ignore[import-not-found]

    @numba.njit(parallel=True, fastmath=False)
    def project(points: Any, rotation: Any, origin: Any, pixels: Any, distances: Any) -> None:
        for index in numba.prange(len(points)):
            dx, dy, dz = points[index, 0] - origin[0], points[index, 1] - origin[1], points[index, 2] - origin[2]
            x = dx * rotation[0, 0] + dy * rotation[1, 0] + dz * rotation[2, 0]
            y = dx * rotation[0, 1] + dy * rotation[1, 1] + dz * rotation[2, 1]
            z = dx * rotation[0, 2] + dy * rotation[1, 2] + dz * rotation[2, 2]
            distance = np.sqrt(x * x + y * y + z * z)
            column = int((np.arctan2(x, -z) / np.float32(2 * np.pi) + np.float32(0.5)) * np.float32(WIDTH)) % WIDTH
            row = int((np.float32(0.5) - np.arcsin(y / distance) / np.float32(np.pi)) * np.float32(WIDTH // 2))
            pixels[index] = min(max(row, 0), WIDTH // 2 - 1) * WIDTH + column
            distances[index] = distance

    @numba.njit
    def nearest(pixels: Any, distances: Any, colours: Any, colour: Any, depth: Any, source: Any) -> None:
        for index in range(len(pixels)):
            pixel = pixels[index]
            if distances[index] < depth[pixel]:
                depth[pixel], source[pixel] = distances[index], index
        for pixel in range(len(source)):
            if source[pixel] >= 0:
                for channel in range(3):
                    colour[pixel, channel] = colours[source[pixel], channel]

    def render(points: np.ndarray, colours: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        size = WIDTH * WIDTH // 2
        pixels, distances = np.empty(len(points), np.int32), np.empty(len(points), np.float32)
        project(points, pose[:3, :3].astype(np.float32), pose[:3, 3].astype(np.float32), pixels, distances)
        colour = np.zeros((size, 3), np.uint8)
        depth, source = np.full(size, np.inf, np.float32), np.full(size, -1, np.int32)
        nearest(pixels, distances, colours, colour, depth, source)
        shape = (WIDTH // 2, WIDTH)
        return colour.reshape(*shape, 3), depth.reshape(shape), source.reshape(shape)

    return render


def main() -> None:
    """Print a table of milliseconds, and the same as one line of JSON."""
    result = measure()
    print(f"milliseconds a frame at {WIDTH} x {WIDTH // 2}, numpy {np.__version__}")
    print(f"{'':20}" + "".join(f"{count:>12,}" for count in COUNTS))
    for name, times in result.items():
        print(f"{name:20}" + "".join(f"{times[str(count)]:12.1f}" for count in COUNTS))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
