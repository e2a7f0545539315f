"""The 3D cache in the scene: a mesh of coloured vertices, shown as points, edited with ordinary tools.

Its vertices carry colour, confidence, source and footprint. A Mesh to Points modifier shows them; every stage reads
the evaluated object, so that what an artist deletes, moves or adds modifiers to is what is splatted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..core import srgb
from ..core.errors import CacheError
from ..core.point_cloud import PointCloud
from . import captures, versions
from .properties import of_object, of_scene

NAME = "3D Cache"
COLOUR, CONFIDENCE, SOURCE, FOOTPRINT = "colour", "confidence", "source", "footprint"

ORDER = "cache_order"
"""Attribute of evaluated points: the place of each in the cache's own mesh, from 1; 0 for anything else."""

CAPTURES = "pantheon360_captures"
"""Custom property of a cache object: names, one a line, of the captures that the `source` of its points counts."""

MOST_SHOWN = "Most Points"
"""Input of the node group: how many points viewports show; renders and the geometry pass have all."""

MARK = "pantheon360_cache"
"""Custom property that tells our node group and material from an artist's of the same name."""

_LARGEST_GROWTH = 4.0  # factor on the size of points: more would blur what they show
_GROUP = 4  # of the node group: files may carry earlier ones

MOST_SHOWN_DEFAULT = 1_000_000

UNCOLOURED = 204
"""Grey of points whose colour attribute an artist removed."""

_ENCODED = np.rint(srgb.linear_to_srgb(np.arange(1 << 16) / ((1 << 16) - 1)) * 255).astype(np.uint8)
_log = logging.getLogger(__name__)


def find(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The scene's cache object, or None; one that was deleted from the scene does not count."""
    obj: bpy.types.Object | None = of_scene(scene).cache
    if obj is not None and obj.name in scene.objects and obj.type == "MESH":
        return obj
    return next((obj for obj in scene.objects if of_object(obj).is_cache and obj.type == "MESH"), None)


def replace(scene: bpy.types.Scene, cloud: PointCloud) -> bpy.types.Object:
    """Put a point cloud (world coordinates) into the scene's cache; the object is made where there is none.

    Its sources count the scene's captures in their present order, which is noted on the object.
    The object, its transform, its parent and its modifiers stay; its vertices and their attributes are exchanged.
    Points that are not finite are left out with a warning in the log.
    Raises CacheError where the cache is being edited, or is linked from another file.
    """
    finite = cloud.finite()
    if len(finite.points) < len(cloud.points):
        _log.warning("%d points of the cache are not finite and were left out", len(cloud.points) - len(finite.points))
    obj = find(scene) or _new(scene)
    fill(obj, finite)
    of_scene(scene).cache = obj
    obj[CAPTURES] = "\n".join(each.name for each in captures.in_scene(scene))
    return obj


def fill(obj: bpy.types.Object, cloud: PointCloud) -> None:
    """Exchange a cache object's points for those of a cloud: finite, world coordinates.

    Raises CacheError where the cache is being edited, or is linked from another file.
    """
    refuse_unchangeable(obj)
    if obj.data.shape_keys:  # type: ignore[union-attr]
        obj.shape_key_clear()  # of other points: Blender would stretch them over the new ones
    _fill(obj.data, to_local(obj, cloud))
    obj.update_tag()


def to_local(obj: bpy.types.Object, cloud: PointCloud) -> PointCloud:
    """A cloud of world coordinates in an object's own."""
    world = np.array(obj.matrix_world, dtype=np.float64)
    return cloud if (world == np.eye(4)).all() else cloud.transformed(np.linalg.inv(world))


def refuse_unchangeable(obj: bpy.types.Object) -> None:
    """Raises CacheError where a cache's points cannot be exchanged now."""
    if obj.mode != "OBJECT":
        raise CacheError(f"{obj.name} is being edited.", advice="Leave its Edit Mode, then do it again.")
    if obj.data is None or obj.data.library is not None:
        raise CacheError(
            f"{obj.name} is linked from another file: new points in it would be lost when this one is saved.",
            advice="Make it local with Object > Relations > Make Local, or remove it from the scene.",
        )


def stored_points(obj: bpy.types.Object) -> PointCloud:
    """The points that a cache object holds, before its modifiers; world coordinates."""
    if obj.data is None or not _count(obj.data):
        return PointCloud.empty()
    return _read(obj.data).transformed(np.array(obj.matrix_world, dtype=np.float64))


def evaluated_points(depsgraph: bpy.types.Depsgraph) -> PointCloud:
    """All points of the visible caches, as modifiers, parents, animation and the artist's edits leave them.

    Visible means: for the depsgraph's viewport or render. Instances of a cache count as well.
    Returns world coordinates, footprints in metres; empty where there is no cache.
    """
    parts: list[tuple[tuple[int, bytes], PointCloud, np.ndarray | None]] = []
    # Each component of a cache is an instance of its own: its mesh, its point cloud, what its nodes instanced.
    for instance in depsgraph.object_instances:
        obj: Any = instance.object
        if of_object(obj.original).is_cache and instance.show_self and obj.type in ("MESH", "POINTCLOUD"):
            matrix = np.array(instance.matrix_world, dtype=np.float64)
            if _count(obj.data):
                cloud, order = _ordered(obj.data)
                parts.append(((obj.original.session_uid, matrix.tobytes()), cloud.transformed(matrix), order))
    grouped = (list(group) for _, group in groupby(parts, lambda part: part[0]))
    return PointCloud.concatenate([_in_order([part[1:] for part in group]) for group in grouped])


def from_object(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> PointCloud:
    """The points of one object of a depsgraph, marked as a cache or not, in world coordinates."""
    evaluated: Any = obj.evaluated_get(depsgraph)
    parts = [_ordered(data) for data in _components(evaluated.evaluated_geometry(), held_back=True)]
    return _in_order(parts).transformed(np.array(evaluated.matrix_world, dtype=np.float64))


def shown_points(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> tuple[PointCloud, np.ndarray]:
    """What a viewport shows of one cache: its points, local coordinates, and their radii (N,) float32, metres.

    Points that our node group holds back, for there are more than the cache shows, are not among them.
    """
    evaluated: Any = obj.evaluated_get(depsgraph)
    geometry = evaluated.evaluated_geometry()  # its parts live as long as it does
    parts = list(_components(geometry, held_back=False))
    radii = np.concatenate([*(_radii(data) for data in parts), np.empty(0, np.float32)])
    return PointCloud.concatenate([_read(data) for data in parts]), radii


def _components(geometry: Any, *, held_back: bool) -> Iterator[Any]:
    """The mesh and the point cloud of evaluated geometry that hold points; or also those that viewports hold back."""
    sets = [geometry]
    if held_back:
        sets += [each for each in geometry.instance_references() if isinstance(each, type(geometry))]
    for each in sets:
        for data in (each.mesh, each.pointcloud):
            if data is not None and _count(data) and (each is geometry or ORDER in data.attributes):
                yield data


def _radii(data: Any) -> np.ndarray:
    """(N,) float32; 0 for a mesh's vertices, which have none. Not finite points are left out as _read does."""
    count = _count(data)
    radii = _optional(data, "radius", count, np.float32)
    sound = np.isfinite(_values(data, "position", "vector", 3, count, np.float32)).all(axis=1)
    return np.asarray((np.zeros(count, np.float32) if radii is None else radii)[sound])


def _ordered(data: Any) -> tuple[PointCloud, np.ndarray | None]:
    """The finite points of a mesh or point cloud, local coordinates, and their places in the cache's own mesh.

    The latter are None where our node group did not number them.
    """
    cloud, order = read(data), _optional(data, ORDER, _count(data), np.int32)
    if order is None:
        return cloud.finite(), None
    sound = np.isfinite(cloud.points).all(axis=1) & (order > 0)
    return (cloud, order) if sound.all() else (cloud.selected(sound), order[sound])


def _in_order(parts: Sequence[tuple[PointCloud, np.ndarray | None]]) -> PointCloud:
    """One cloud of a cache's shown and held back points, as they are in its mesh: what is shown changes no frame."""
    cloud = PointCloud.concatenate([part for part, _ in parts])
    orders = [order for _, order in parts if order is not None]
    if len(parts) < 2 or len(orders) < len(parts):
        return cloud
    return cloud.selected(np.argsort(np.concatenate(orders), kind="stable"))


def _count(data: Any) -> int:
    return int(data.attributes.domain_size("POINT"))


def _read(data: Any) -> PointCloud:
    """A mesh's vertices or a point cloud's points, local coordinates, those that are finite."""
    return read(data).finite()


def read(data: Any) -> PointCloud:
    """All of a mesh's vertices or a point cloud's points, local coordinates."""
    count = _count(data)
    return PointCloud(
        points=_values(data, "position", "vector", 3, count, np.float32),
        colours=_colours(data, count),
        confidence=_optional(data, CONFIDENCE, count, np.float32),
        source=_optional(data, SOURCE, count, np.int32),
        footprint=_optional(data, FOOTPRINT, count, np.float32),
    )


def _values(data: Any, name: str, field: str, width: int, count: int, kind: type) -> np.ndarray:
    values: np.ndarray = np.empty(count * width, kind)
    data.attributes[name].data.foreach_get(field, values)
    return values.reshape(count, width) if width > 1 else values


def _optional(data: Any, name: str, count: int, kind: type) -> np.ndarray | None:
    attribute = data.attributes.get(name)
    if attribute is None or attribute.domain != "POINT" or attribute.data_type not in ("FLOAT", "INT"):
        return None
    return _values(data, name, "value", 1, count, kind)


def _colours(data: Any, count: int) -> np.ndarray:
    """(count, 3) uint8 sRGB of the colour attribute, of whichever of Blender's colour types."""
    attribute = data.attributes.get(COLOUR)
    if attribute is None or attribute.domain != "POINT" or attribute.data_type not in ("FLOAT_COLOR", "BYTE_COLOR"):
        return np.full((count, 3), UNCOLOURED, np.uint8)
    if attribute.data_type == "BYTE_COLOR":
        encoded = _values(data, COLOUR, "color_srgb", 4, count, np.float32)[:, :3]
        return np.asarray(np.rint(np.clip(encoded, 0, 1) * 255), np.uint8)
    return _to_bytes(_values(data, COLOUR, "color", 4, count, np.float32)[:, :3])


def _to_bytes(linear: np.ndarray) -> np.ndarray:
    """Nearest sRGB bytes of linear light, any shape; exact for light that came from bytes."""
    scaled = np.nan_to_num(linear, nan=0.0, posinf=1.0, neginf=0.0) * np.float32(len(_ENCODED) - 1)
    np.clip(scaled, 0, len(_ENCODED) - 1, out=scaled)
    scaled += np.float32(0.5)
    return np.asarray(_ENCODED.take(scaled.astype(np.uint16)))


def _fill(mesh: Any, cloud: PointCloud) -> None:
    """Exchange a mesh's geometry for the points of a cloud, local coordinates."""
    mesh.clear_geometry()
    mesh.vertices.add(len(cloud))
    store(mesh, cloud)


def store(mesh: Any, cloud: PointCloud) -> None:
    """Give a mesh's vertices the positions and attributes of as many points, local coordinates; others stay."""
    count = len(cloud)
    mesh.attributes["position"].data.foreach_set("vector", np.ascontiguousarray(cloud.points, np.float32).ravel())
    rgba = np.ones((count, 4), np.float32)
    for channel in range(3):
        rgba[:, channel] = srgb.LINEAR_OF_BYTE.take(cloud.colours[:, channel])
    _add(mesh, COLOUR, "FLOAT_COLOR", "color", rgba.ravel())
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


def _add(mesh: Any, name: str, kind: str, field: str, values: np.ndarray) -> None:
    before = mesh.attributes.get(name)
    if before is not None and (before.data_type, before.domain) != (kind, "POINT"):
        mesh.attributes.remove(before)
        before = None
    (before or mesh.attributes.new(name, kind, "POINT")).data.foreach_set(field, values)


def _new(scene: bpy.types.Scene) -> bpy.types.Object:
    mesh = bpy.data.meshes.new(NAME)
    obj = bpy.data.objects.new(NAME, mesh)
    of_object(obj).is_cache = True
    material = _material()
    mesh.materials.append(material)
    scene.collection.objects.link(obj)
    modifier: Any = obj.modifiers.new("Points", "NODES")
    modifier.node_group = _node_group(material)
    return obj


def _material() -> bpy.types.Material:
    """Emission of the points' colours, so that light in the scene does not fall on a photograph a second time."""
    for material in bpy.data.materials:
        if material.get(MARK) and material.library is None:
            return material
    material = bpy.data.materials.new("Pantheon360 Cache")
    material[MARK] = True
    tree = versions.node_tree(material)
    tree.nodes.clear()
    attribute = tree.nodes.new("ShaderNodeAttribute")
    attribute.attribute_name = COLOUR
    emission = tree.nodes.new("ShaderNodeEmission")
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    emission.location, output.location = (200, 0), (400, 0)
    tree.links.new(attribute.outputs["Color"], emission.inputs["Color"])
    tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])
    return material


def _node_group(material: bpy.types.Material) -> Any:
    """Mesh to Points: each point a sphere as wide as the diagonal of its footprint, so that a surface closes."""
    for group in bpy.data.node_groups:
        if group.get(MARK) == _GROUP and group.library is None:
            return group
    made: Any = bpy.data.node_groups.new("Pantheon360 Points", "GeometryNodeTree")
    made[MARK] = _GROUP
    made.is_modifier = True
    made.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    size = made.interface.new_socket("Point Size", in_out="INPUT", socket_type="NodeSocketFloat")
    size.default_value, size.min_value, size.max_value = 1.0, 0.0, 100.0
    size.description = "Factor on the diameter of the points as shown; the geometry pass does not depend on it"
    made.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    most = made.interface.new_socket(MOST_SHOWN, in_out="INPUT", socket_type="NodeSocketInt")
    most.default_value, most.min_value = MOST_SHOWN_DEFAULT, 0
    most.description = "How many points viewports show at most; renders and the geometry pass have all"
    nodes, links = made.nodes, made.links
    entry, result = nodes.new("NodeGroupInput"), nodes.new("NodeGroupOutput")
    footprint = nodes.new("GeometryNodeInputNamedAttribute")
    footprint.data_type = "FLOAT"
    footprint.inputs["Name"].default_value = FOOTPRINT
    half_diagonal = nodes.new("ShaderNodeMath")
    half_diagonal.operation = "MULTIPLY"
    half_diagonal.inputs[1].default_value = 0.5**0.5
    scaled = nodes.new("ShaderNodeMath")
    scaled.operation = "MULTIPLY"
    points = nodes.new("GeometryNodeMeshToPoints")
    shade = nodes.new("GeometryNodeSetMaterial")
    shade.inputs["Material"].default_value = material
    links.new(footprint.outputs["Attribute"], half_diagonal.inputs[0])
    links.new(half_diagonal.outputs[0], scaled.inputs[0])
    links.new(entry.outputs["Point Size"], scaled.inputs[1])
    shown, held, growth = _parted(made, entry)
    grown = nodes.new("ShaderNodeMath")
    grown.operation = "MULTIPLY"
    links.new(scaled.outputs[0], grown.inputs[0])
    links.new(growth, grown.inputs[1])
    links.new(grown.outputs[0], points.inputs["Radius"])
    links.new(shown, points.inputs["Mesh"])
    links.new(points.outputs["Points"], shade.inputs["Geometry"])
    both = nodes.new("GeometryNodeJoinGeometry")
    links.new(shade.outputs["Geometry"], both.inputs["Geometry"])
    links.new(held, both.inputs["Geometry"])
    links.new(both.outputs["Geometry"], result.inputs["Geometry"])
    for column, row in enumerate(
        ((footprint,), (half_diagonal, entry), (scaled,), (grown,), (points,), (shade,), (both,), (result,))
    ):
        for line, node in enumerate(row):
            node.location = (200 * column, -150 * line)
    return made


def _parted(group: Any, entry: Any) -> tuple[Any, Any, Any]:
    """Sockets of the geometry that is shown, of what viewports hold back, and of the factor on the size of the former.

    Each point is numbered by ORDER. Those shown grow as their number shrinks, so that surfaces stay closed.

    Where the cache has more points than are to be shown, each is shown by a chance drawn from its index. The chance is
    three deviations below the share wanted, so that not more are shown. Renders show all. What is held back stays in
    the geometry as bare vertices, for the geometry pass to read: as an instance, which modifiers after this one leave
    alone as they do the points, and which Blender refuses to apply, where it would keep these vertices and drop the
    points. Viewports draw the vertices of a mesh that has no edges, so that it gets one, of no length, whose ends are
    numbered 0.
    """
    links = group.links
    graph = _Graph(group)
    number = graph.node("FunctionNodeIntegerMath", operation="ADD")  # floats cannot count beyond 16 million
    number.inputs[1].default_value = 1
    links.new(graph.out("GeometryNodeInputIndex"), number.inputs[0])
    numbered = graph.node("GeometryNodeStoreNamedAttribute", data_type="INT", domain="POINT")
    numbered.inputs["Name"].default_value = ORDER
    links.new(entry.outputs["Geometry"], numbered.inputs["Geometry"])
    links.new(number.outputs[0], numbered.inputs["Value"])
    size = graph.node("GeometryNodeAttributeDomainSize")
    links.new(entry.outputs["Geometry"], size.inputs["Geometry"])
    most, count = entry.outputs[MOST_SHOWN], size.outputs["Point Count"]
    wanted = graph.math("SUBTRACT", most, graph.math("MULTIPLY", graph.math("SQRT", most), 3.0))
    limited = graph.math("MULTIPLY", graph.math("GREATER_THAN", count, most), graph.out("GeometryNodeIsViewport"))
    drawn = graph.math(
        "LESS_THAN", graph.out("FunctionNodeRandomValue", data_type="FLOAT"), graph.math("DIVIDE", wanted, count)
    )
    parted = graph.node("GeometryNodeSeparateGeometry", domain="POINT")
    links.new(numbered.outputs["Geometry"], parted.inputs["Geometry"])
    links.new(graph.math("MAXIMUM", drawn, graph.math("SUBTRACT", 1.0, limited)), parted.inputs["Selection"])
    place = graph.node("GeometryNodeSampleIndex", data_type="FLOAT_VECTOR", domain="POINT")
    links.new(entry.outputs["Geometry"], place.inputs["Geometry"])
    links.new(graph.out("GeometryNodeInputPosition"), graph.enabled(place.inputs, "Value"))
    edge = graph.node("GeometryNodeMeshLine", mode="OFFSET")
    edge.inputs["Count"].default_value = 2
    edge.inputs["Offset"].default_value = (0.0, 0.0, 0.0)
    links.new(graph.enabled(place.outputs, "Value"), edge.inputs["Start Location"])
    with_edge = graph.node("GeometryNodeJoinGeometry")
    links.new(edge.outputs["Mesh"], with_edge.inputs["Geometry"])
    links.new(parted.outputs["Inverted"], with_edge.inputs["Geometry"])
    instance = graph.node("GeometryNodeGeometryToInstance")
    links.new(with_edge.outputs["Geometry"], instance.inputs["Geometry"])
    held = graph.node("GeometryNodeSwitch", input_type="GEOMETRY")
    links.new(limited, held.inputs["Switch"])
    links.new(instance.outputs["Instances"], held.inputs["True"])
    thinned = graph.math("SQRT", graph.math("DIVIDE", count, graph.math("MAXIMUM", most, 1.0)))
    growth = graph.math("ADD", 1.0, graph.math("MULTIPLY", limited, graph.math("SUBTRACT", thinned, 1.0)))
    return parted.outputs["Selection"], held.outputs["Output"], graph.math("MINIMUM", growth, _LARGEST_GROWTH)


class _Graph:
    """Short hands for building a node group."""

    def __init__(self, group: Any) -> None:
        self._group = group

    def node(self, kind: str, **settings: Any) -> Any:
        made = self._group.nodes.new(kind)
        for name, value in settings.items():
            setattr(made, name, value)
        return made

    def out(self, kind: str, **settings: Any) -> Any:
        """The first output of a new node that its settings leave."""
        return self.enabled(self.node(kind, **settings).outputs)

    def math(self, operation: str, *inputs: Any) -> Any:
        """The output of a new Math node; inputs are sockets or numbers."""
        made = self.node("ShaderNodeMath", operation=operation)
        for socket, value in zip(made.inputs, inputs, strict=False):
            if isinstance(value, (int, float)):
                socket.default_value = value
            else:
                self._group.links.new(value, socket)
        return made.outputs[0]

    @staticmethod
    def enabled(sockets: Any, name: str = "") -> Any:
        """Nodes have sockets of one name for every type of data: the one that is in use."""
        return next(socket for socket in sockets if socket.enabled and name in ("", socket.name))


def show_at_most(obj: bpy.types.Object, count: int) -> None:
    """Let viewports show at most `count` points of a cache; its data, renders and the geometry pass keep all.

    Caches of files made before this was possible get the node group that can. Nothing happens where the artist removed
    the modifier.
    """
    for modifier in obj.modifiers:
        group: Any = modifier.node_group if modifier.type == "NODES" else None  # type: ignore[attr-defined]
        if group is None or not group.get(MARK):
            continue
        if group.get(MARK) != _GROUP:
            group = modifier.node_group = _node_group(_material())  # type: ignore[attr-defined]
        socket = next(item for item in group.interface.items_tree if item.name == MOST_SHOWN)
        versions.set_modifier_input(modifier, socket.identifier, count)


@persistent
def _let_go(scene: bpy.types.Scene, _depsgraph: Any = None) -> None:
    """Forget a cache that the artist deleted: as its last user, the scene would keep it in every file saved."""
    obj = of_scene(scene).cache
    if obj is not None and obj.users <= 1:
        of_scene(scene).cache = None


def register() -> None:
    bpy.app.handlers.depsgraph_update_post.append(_let_go)


def unregister() -> None:
    if _let_go in bpy.app.handlers.depsgraph_update_post:  # other add-ons clear these lists
        bpy.app.handlers.depsgraph_update_post.remove(_let_go)
