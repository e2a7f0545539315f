"""How the cache is shown: its material, its Mesh to Points modifier, and how many points at most."""

from __future__ import annotations

from typing import Any

import bpy

from ..app import versions
from ..app.access import of_object
from .attributes import COLOUR, CONFIDENCE, FOOTPRINT, ORDER

MOST_SHOWN = "Most Points"
"""Input of the node group: how many points viewports show; renders and the geometry pass have all."""

LEAST_CONFIDENCE = "Least Confidence"
"""Input of the node group: points of less confidence are not there, for the geometry pass as well."""

MARK = "pantheon360_cache"
"""Custom property that tells our node group and material from an artist's of the same name."""

_LARGEST_GROWTH = 4.0  # factor on the size of points: more would blur what they show

_GROUP = 5  # of the node group: files may carry earlier ones

MOST_SHOWN_DEFAULT = 1_000_000


def cache_material() -> bpy.types.Material:
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


def points_node_group(material: bpy.types.Material) -> Any:
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
    least = made.interface.new_socket(LEAST_CONFIDENCE, in_out="INPUT", socket_type="NodeSocketFloat")
    least.default_value, least.min_value, least.max_value = 0.0, 0.0, 1.0
    least.description = "Points of less confidence are hidden, from the geometry pass as well"
    graph, links = _Graph(made), made.links
    entry, result = graph.node("NodeGroupInput"), graph.node("NodeGroupOutput")
    footprint = graph.node("GeometryNodeInputNamedAttribute", data_type="FLOAT")
    footprint.inputs["Name"].default_value = FOOTPRINT
    half_diagonal = graph.math("MULTIPLY", footprint.outputs["Attribute"], 0.5**0.5)
    scaled = graph.math("MULTIPLY", half_diagonal, entry.outputs["Point Size"])
    shown, held, growth = _parted(graph, entry)
    grown = graph.math("MULTIPLY", scaled, growth)
    points = graph.node("GeometryNodeMeshToPoints")
    links.new(grown, points.inputs["Radius"])
    links.new(shown, points.inputs["Mesh"])
    shade = graph.node("GeometryNodeSetMaterial")
    shade.inputs["Material"].default_value = material
    links.new(points.outputs["Points"], shade.inputs["Geometry"])
    both = graph.node("GeometryNodeJoinGeometry")
    links.new(shade.outputs["Geometry"], both.inputs["Geometry"])
    links.new(held, both.inputs["Geometry"])
    links.new(both.outputs["Geometry"], result.inputs["Geometry"])
    entry.location = (200, -150)
    for column, node in enumerate(
        (footprint, half_diagonal.node, scaled.node, grown.node, points, shade, both, result)
    ):
        node.location = (200 * column, 0)
    return made


def _parted(graph: _Graph, entry: Any) -> tuple[Any, Any, Any]:
    """Sockets of the geometry that is shown, of what viewports hold back, and of the factor on the points' size.

    ORDER numbers the points. A chance drawn from its index decides whether a point is shown, if the cache has more than
    are wanted; it is three deviations below the share wanted, so that no more are shown. The fewer are shown, the
    larger they are: surfaces stay closed. Renders show all.
    What is held back stays in the geometry as bare vertices, for the geometry pass to read. They are an instance:
    later modifiers leave it alone as they do the points, and Blender refuses to apply it rather than drop the points.
    Viewports draw the vertices of a mesh without edges, so that it gets one, of no length, whose ends are numbered 0.
    """
    links = graph.links
    number = graph.node("FunctionNodeIntegerMath", operation="ADD")  # floats cannot count beyond 16 million
    number.inputs[1].default_value = 1
    links.new(graph.out("GeometryNodeInputIndex"), number.inputs[0])
    numbered = graph.node("GeometryNodeStoreNamedAttribute", data_type="INT", domain="POINT")
    numbered.inputs["Name"].default_value = ORDER
    links.new(entry.outputs["Geometry"], numbered.inputs["Geometry"])
    links.new(number.outputs[0], numbered.inputs["Value"])
    sure = _sure(graph, numbered.outputs["Geometry"], entry.outputs[LEAST_CONFIDENCE])
    size = graph.node("GeometryNodeAttributeDomainSize")
    links.new(sure, size.inputs["Geometry"])
    most, count = entry.outputs[MOST_SHOWN], size.outputs["Point Count"]
    wanted = graph.math("SUBTRACT", most, graph.math("MULTIPLY", graph.math("SQRT", most), 3.0))
    limited = graph.math("MULTIPLY", graph.math("GREATER_THAN", count, most), graph.out("GeometryNodeIsViewport"))
    drawn = graph.math(
        "LESS_THAN", graph.out("FunctionNodeRandomValue", data_type="FLOAT"), graph.math("DIVIDE", wanted, count)
    )
    parted = graph.node("GeometryNodeSeparateGeometry", domain="POINT")
    links.new(sure, parted.inputs["Geometry"])
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


def _sure(graph: _Graph, geometry: Any, least: Any) -> Any:
    """Socket of the geometry without points of less confidence. A cache without confidences keeps all."""
    confidence = graph.node("GeometryNodeInputNamedAttribute", data_type="FLOAT")
    confidence.inputs["Name"].default_value = CONFIDENCE
    less = graph.math("LESS_THAN", confidence.outputs["Attribute"], least)
    deleted = graph.node("GeometryNodeDeleteGeometry", domain="POINT")
    graph.links.new(geometry, deleted.inputs["Geometry"])
    graph.links.new(graph.math("MULTIPLY", less, confidence.outputs["Exists"]), deleted.inputs["Selection"])
    return deleted.outputs["Geometry"]


class _Graph:
    """Short hands for building a node group."""

    def __init__(self, group: Any) -> None:
        self._nodes, self.links = group.nodes, group.links

    def node(self, kind: str, **settings: Any) -> Any:
        made = self._nodes.new(kind)
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
                self.links.new(value, socket)
        return made.outputs[0]

    @staticmethod
    def enabled(sockets: Any, name: str = "") -> Any:
        """Nodes have sockets of one name for every type of data: the one that is in use."""
        return next(socket for socket in sockets if socket.enabled and name in ("", socket.name))


def show_at_most(obj: bpy.types.Object, count: int) -> None:
    """Let viewports show at most `count` points of a cache; its data, renders and the geometry pass keep all."""
    _set_inputs(obj, {MOST_SHOWN: count})


def show_from(obj: bpy.types.Object, confidence: float) -> None:
    """Hide points of a cache that have less confidence, from the geometry pass as well; its data keeps all."""
    _set_inputs(obj, {LEAST_CONFIDENCE: confidence})


def _set_inputs(obj: bpy.types.Object, values: dict[str, Any]) -> None:
    """Set inputs of a cache's node group, by their names.

    A cache of an older file gets the newer node group. Nothing happens if the artist removed the modifier.
    """
    for modifier in obj.modifiers:
        group: Any = modifier.node_group if modifier.type == "NODES" else None  # type: ignore[attr-defined]
        if group is None or not group.get(MARK):
            continue
        if group.get(MARK) != _GROUP:
            group = modifier.node_group = points_node_group(cache_material())  # type: ignore[attr-defined]
            chosen = of_object(obj)
            values = {MOST_SHOWN: chosen.most_shown, LEAST_CONFIDENCE: chosen.least_confidence, **values}
        sockets = {item.name: item.identifier for item in group.interface.items_tree}
        for name, value in values.items():
            versions.set_modifier_input(modifier, sockets[name], value)
