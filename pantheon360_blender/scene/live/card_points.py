"""Points as the graphics card holds them: packed in any thread, uploaded once, never for a redraw or a move."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gpu
import numpy as np

from ...core.points.point_cloud import PointCloud

ROW = 4096
"""Points in a row of the textures that hold them."""

_SUBSETS = 64
_GROUP = 256  # points a work group takes
_WIDEST = 65535  # groups in a row that every card takes

_TAKE_POINT = (
    "int index = int(gl_GlobalInvocationID.x + gl_GlobalInvocationID.y * gl_NumWorkGroups.x * gl_WorkGroupSize.x);"
    " if (index >= count) { return; } index += first;"
    " ivec2 texel = ivec2(index % ROW, index / ROW);"
    " vec4 place = texelFetch(places, texel, 0);"
)
"""What a compute shader's main begins with, as TAKE_POINT: which point is its own, and where that lies."""

_gpu: Any = gpu  # its classes' constructors are unknown to type checkers


@dataclass(frozen=True)
class PackedPoints:
    """N points ready to be uploaded, in random subsets: the first n of them are spread over all that there is.

    places: (N, 4) float32: x, y, z from `centre`, and the sRGB bytes as the number r + 256 g + 65536 b.
    sizes: (N, 2) float32: radius of what a point stands for, in the unit of its place, and confidence.
    centre: (3,) float64, what places are counted from: far from the origin they stay exact.
    """

    places: np.ndarray
    sizes: np.ndarray
    centre: np.ndarray


def pack(cloud: PointCloud, radii: np.ndarray | None = None) -> PackedPoints:
    """Finite points with their radii (N,); None takes half the diagonals of their footprints, as splatting does."""
    count = len(cloud)
    order = np.argsort(np.random.default_rng(0).integers(0, _SUBSETS, count, np.uint8), kind="stable")
    centre = cloud.points.mean(axis=0, dtype=np.float64) if count else np.zeros(3)
    places = np.empty((count, 4), np.float32)
    places[:, :3] = cloud.points[order] - centre
    places[:, 3] = cloud.colours[order] @ np.array([1, 1 << 8, 1 << 16], np.float32)
    sizes = np.ones((count, 2), np.float32)
    if radii is None:
        sizes[:, 0] = 0.0 if cloud.footprint is None else cloud.footprint[order] * np.float32(math.sqrt(0.5))
    else:
        sizes[:, 0] = radii[order]
    if cloud.confidence is not None:
        sizes[:, 1] = cloud.confidence[order]
    return PackedPoints(
        places, np.clip(np.nan_to_num(sizes, posinf=0.0), 0.0, [np.inf, 1.0]).astype(np.float32), centre
    )


@dataclass(frozen=True)
class CardPoints:
    """Points in two textures, ROW in a row: places and sizes of PackedPoints."""

    places: Any
    sizes: Any
    count: int
    centre: np.ndarray


def upload(packed: PackedPoints) -> CardPoints:
    """Bring points onto the graphics card; a context must be active."""
    textures = (_texture(packed.places, "RGBA32F"), _texture(packed.sizes, "RG32F"))
    return CardPoints(*textures, len(packed.places), packed.centre)


def _texture(values: np.ndarray, kind: str) -> Any:
    count, channels = values.shape
    rows = max(1, -(-count // ROW))
    data = np.zeros((rows * ROW, channels), np.float32)
    data[:count] = values
    return _gpu.types.GPUTexture((ROW, rows), format=kind, data=_gpu.types.Buffer("FLOAT", data.size, data.ravel()))


def splatting(images: Sequence[str]) -> Any:
    """What all compute shaders ask for that enter points into images of these names: see `enter`, and _TAKE_POINT."""
    info = _gpu.types.GPUShaderCreateInfo()
    for slot, name in enumerate(images):
        info.image(slot, "R32UI", "UINT_2D", name, qualifiers={"READ", "WRITE"})
    info.sampler(0, "FLOAT_2D", "places")
    info.sampler(1, "FLOAT_2D", "sizes")
    for name in ("first", "count", "stage"):
        info.push_constant("INT", name)
    info.local_group_size(_GROUP, 1, 1)
    info.define("ROW", str(ROW))
    info.define("TAKE_POINT", _TAKE_POINT)
    return info


def enter(shader: Any, images: Mapping[str, Any], points: CardPoints, portion: range) -> None:
    """Run a bound compute shader for some of the points: once for the nearest ranges, once for their colors."""
    for name, image in images.items():
        shader.image(name, image)
    shader.uniform_sampler("places", points.places)
    shader.uniform_sampler("sizes", points.sizes)
    shader.uniform_int("first", portion.start)
    shader.uniform_int("count", len(portion))
    groups = -(-len(portion) // _GROUP)
    wide = min(groups, _WIDEST)
    for stage in (0, 1):
        shader.uniform_int("stage", stage)
        _gpu.compute.dispatch(shader, wide, -(-groups // wide), 1)
