"""The cache's attributes: what Blender's mesh stores of each point, read and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ...core import srgb
from ...core.points.point_cloud import PointCloud

COLOUR, CONFIDENCE, SOURCE, FOOTPRINT = "colour", "confidence", "source", "footprint"

ORDER = "cache_order"
"""Attribute of evaluated points: the place of each in the cache's own mesh, from 1; 0 for anything else."""

FIELDS: dict[str, tuple[str, int, type]] = {
    "FLOAT": ("value", 1, np.float32),
    "INT": ("value", 1, np.int32),
    "INT8": ("value", 1, np.int8),
    "INT32_2D": ("value", 2, np.int32),
    "BOOLEAN": ("value", 1, np.bool_),
    "FLOAT2": ("vector", 2, np.float32),
    "FLOAT_VECTOR": ("vector", 3, np.float32),
    "FLOAT_COLOR": ("color", 4, np.float32),
    "BYTE_COLOR": ("color", 4, np.float32),
    "QUATERNION": ("value", 4, np.float32),
    "FLOAT4X4": ("value", 16, np.float32),
}
"""Type of attribute -> its field, width and dtype."""

UNCOLOURED = 204
"""Grey of points whose colour attribute an artist removed."""


_ENCODED = np.rint(srgb.linear_to_srgb(np.arange(1 << 16) / ((1 << 16) - 1)) * 255).astype(np.uint8)


def point_count(data: Any) -> int:
    return int(data.attributes.domain_size("POINT"))


def read_finite(data: Any) -> PointCloud:
    """A mesh's vertices or a point cloud's points, local coordinates, those that are finite."""
    return read(data).finite()


def read(data: Any) -> PointCloud:
    """All of a mesh's vertices or a point cloud's points, local coordinates."""
    return stored(data).cloud()


@dataclass(frozen=True, eq=False)
class StoredPoints:
    """Points as Blender stores them: copied in a millisecond or two a million, and made a cloud in any thread.

    points: (N, 3) float32, local coordinates. colours: (N, 4) float32, None if there are none. encoded: whether they
    are sRGB rather than linear light. confidence, source, footprint: as of PointCloud. order: (N,) int32 of ORDER.
    """

    points: np.ndarray
    colours: np.ndarray | None
    encoded: bool
    confidence: np.ndarray | None
    source: np.ndarray | None
    footprint: np.ndarray | None
    order: np.ndarray | None

    def cloud(self) -> PointCloud:
        """All of them, local coordinates."""
        return PointCloud(self.points, self._bytes(), self.confidence, self.source, self.footprint)

    def _bytes(self) -> np.ndarray:
        if self.colours is None:
            return np.full((len(self.points), 3), UNCOLOURED, np.uint8)
        if self.encoded:
            return np.asarray(np.rint(np.clip(self.colours[:, :3], 0, 1) * 255), np.uint8)
        return _to_bytes(self.colours[:, :3])

    def same_as(self, other: StoredPoints) -> bool:
        """Whether two are splatted alike: their places, colours and sizes are the same."""
        pairs = ((self.points, other.points), (self.colours, other.colours), (self.footprint, other.footprint))
        same = all(np.array_equal(a, b) if a is not None and b is not None else a is b for a, b in pairs)
        return same and self.encoded == other.encoded


def stored(data: Any) -> StoredPoints:
    """A mesh's vertices or a point cloud's points."""
    count = point_count(data)
    colours = _colours(data, count)
    return StoredPoints(
        points=read_values(data, "position", "vector", 3, count, np.float32),
        colours=colours[0],
        encoded=colours[1],
        confidence=optional_values(data, CONFIDENCE, count, np.float32),
        source=optional_values(data, SOURCE, count, np.int32),
        footprint=optional_values(data, FOOTPRINT, count, np.float32),
        order=optional_values(data, ORDER, count, np.int32),
    )


def read_values(data: Any, name: str, field: str, width: int, count: int, kind: type) -> np.ndarray:
    values: np.ndarray = np.empty(count * width, kind)
    data.attributes[name].data.foreach_get(field, values)
    return values.reshape(count, width) if width > 1 else values


def optional_values(data: Any, name: str, count: int, kind: type) -> np.ndarray | None:
    attribute = data.attributes.get(name)
    if attribute is None or attribute.domain != "POINT" or attribute.data_type not in ("FLOAT", "INT"):
        return None
    return read_values(data, name, "value", 1, count, kind)


def any_values(data: Any, name: str) -> np.ndarray | None:
    """(N,) or (N, width) values of an attribute of points; None if there is none of a type known here."""
    attribute = data.attributes.get(name)
    if attribute is None or attribute.domain != "POINT" or attribute.data_type not in FIELDS:
        return None
    return values_of(attribute, point_count(data))


def values_of(attribute: Any, count: int) -> np.ndarray:
    """(count,) or (count, width) values of an attribute whose type is in FIELDS."""
    field, width, kind = FIELDS[attribute.data_type]
    values: np.ndarray = np.empty(count * width, kind)
    attribute.data.foreach_get(field, values)
    return values.reshape(count, width) if width > 1 else values


def _colours(data: Any, count: int) -> tuple[np.ndarray | None, bool]:
    """(count, 4) float32 of the colour attribute, of whichever of Blender's colour types, and whether they are sRGB."""
    attribute = data.attributes.get(COLOUR)
    if attribute is None or attribute.domain != "POINT" or attribute.data_type not in ("FLOAT_COLOR", "BYTE_COLOR"):
        return None, False
    encoded = attribute.data_type == "BYTE_COLOR"
    return read_values(data, COLOUR, "color_srgb" if encoded else "color", 4, count, np.float32), encoded


def _to_bytes(linear: np.ndarray) -> np.ndarray:
    """Nearest sRGB bytes of linear light, any shape; exact for light that came from bytes."""
    scaled = np.nan_to_num(linear, nan=0.0, posinf=1.0, neginf=0.0) * np.float32(len(_ENCODED) - 1)
    np.clip(scaled, 0, len(_ENCODED) - 1, out=scaled)
    scaled += np.float32(0.5)
    return np.asarray(_ENCODED.take(scaled.astype(np.uint16)))


def store(mesh: Any, cloud: PointCloud) -> None:
    """Give a mesh's vertices the positions and attributes of as many points, local coordinates; others stay."""
    rgba = _light.pop(cloud, None)
    mesh.attributes["position"].data.foreach_set("vector", np.ascontiguousarray(cloud.points, np.float32).ravel())
    _add(mesh, COLOUR, "FLOAT_COLOR", "color", _linear(cloud) if rgba is None else rgba)
    mesh.color_attributes.active_color_name = COLOUR
    mesh.color_attributes.render_color_index = mesh.color_attributes.active_color_index
    for name, kind, values in (
        (CONFIDENCE, "FLOAT", cloud.confidence),
        (SOURCE, "INT", cloud.source),
        (FOOTPRINT, "FLOAT", cloud.footprint),
    ):
        if values is not None:
            _add(mesh, name, kind, "value", np.ascontiguousarray(values))
    mesh.update()


def prepare(cloud: PointCloud) -> PointCloud:
    """Do beforehand, in any thread, what `store` would have to do with this very cloud. Returns its finite points."""
    finite = cloud.finite()
    _light[finite] = _linear(finite)
    return finite


def renumbered(cloud: PointCloud, numbers: Sequence[int]) -> PointCloud:
    """As PointCloud.renumbered; what was prepared of the cloud stays prepared."""
    changed = cloud.renumbered(numbers)
    if cloud in _light:
        _light[changed] = _light.pop(cloud)
    return changed


_light: WeakKeyDictionary[PointCloud, np.ndarray] = WeakKeyDictionary()
"""Colours of clouds as Blender stores them, until they are."""


def _linear(cloud: PointCloud) -> np.ndarray:
    """(4 N,) float32 linear light, opaque."""
    rgba = np.ones((len(cloud), 4), np.float32)
    for channel in range(3):
        rgba[:, channel] = srgb.LINEAR_OF_BYTE.take(cloud.colours[:, channel])
    return rgba.ravel()


def _add(mesh: Any, name: str, kind: str, field: str, values: np.ndarray) -> None:
    before = mesh.attributes.get(name)
    if before is not None and (before.data_type, before.domain) != (kind, "POINT"):
        mesh.attributes.remove(before)
        before = None
    (before or mesh.attributes.new(name, kind, "POINT")).data.foreach_set(field, values)
