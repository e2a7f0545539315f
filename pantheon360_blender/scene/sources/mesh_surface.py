"""The surface of mesh objects with colours of its own: what its materials and colour attributes say, made simple."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from ...core import srgb
from ...core.errors import PantheonError
from ..app.meshes import transformed
from ..cache.attributes import UNCOLOURED
from ..captures import images

_COLOUR_INPUTS = ("Base Color", "Color")
_ATTRIBUTES = ("ATTRIBUTE", "VERTEX_COLOR")
_FARTHEST = 64  # nodes


@dataclass(frozen=True)
class Paint:
    """What colours the faces of one material.

    colour: (3,) uint8 sRGB, if there is nothing better. texture: (h, w, 3) uint8 sRGB, row 0 = top, or None.
    uv: name of the texture's UV map, empty for the one that renders use. attribute: of a colour attribute, or None.
    """

    colour: np.ndarray
    texture: np.ndarray | None = None
    uv: str = ""
    attribute: str | None = None


@dataclass(frozen=True)
class Surface:
    """Triangles of one evaluated mesh.

    corners: (T, 3, 3) float64 metres, world. paint: (T,) index into `paints`.
    shades: for each paint (T, 3, 2 or 3) float32 at the corners: UV, or sRGB 0 to 255; None if it is one colour.
    """

    corners: np.ndarray
    paint: np.ndarray
    paints: list[Paint]
    shades: list[np.ndarray | None]

    @property
    def coloured(self) -> np.ndarray:
        """(T,) bool: whether a texture or attribute tells the colour, rather than one plain colour."""
        known = np.array([shade is not None for shade in self.shades], np.bool_)
        return np.asarray(known[self.paint])

    @property
    def areas(self) -> np.ndarray:
        """(T,) float64 square metres."""
        a, b, c = (self.corners[:, index] for index in range(3))
        return np.asarray(np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2)

    def colours(self, triangles: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(N, 3) uint8 sRGB at places (N, 3) barycentric in triangles (N,)."""
        result = np.empty((len(triangles), 3), np.uint8)
        paint = self.paint[triangles]
        for index, (each, shade) in enumerate(zip(self.paints, self.shades, strict=True)):
            here = np.flatnonzero(paint == index)
            if shade is None:
                result[here] = each.colour
                continue
            value = np.einsum("nc,ncd->nd", weights[here], shade[triangles[here]])
            if each.texture is None:
                result[here] = np.clip(np.rint(value), 0, 255)
            else:
                result[here] = _looked_up(each.texture, value)
        return result


def surface(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph, notes: list[str]) -> Surface:
    """The surface of a mesh object as its modifiers leave it; textures that cannot be read become notes."""
    evaluated: Any = obj.evaluated_get(depsgraph)
    materials = [slot.material for slot in evaluated.material_slots]
    mesh = evaluated.to_mesh()
    try:
        mesh.calc_loop_triangles()
        count = len(mesh.loop_triangles)
        vertices, loops = np.empty(count * 3, np.int32), np.empty(count * 3, np.int32)
        slots = np.empty(count, np.int32)
        mesh.loop_triangles.foreach_get("vertices", vertices)
        mesh.loop_triangles.foreach_get("loops", loops)
        mesh.loop_triangles.foreach_get("material_index", slots)
        places = np.empty(len(mesh.vertices) * 3, np.float32)
        mesh.vertices.foreach_get("co", places)
        painted = _painted_attribute(mesh)
        paints = [_paint(material, painted, notes) for material in materials or [None]]
        shades = [_shades(mesh, paint, vertices, loops) for paint in paints]
    finally:
        evaluated.to_mesh_clear()
    corners = transformed(places.reshape(-1, 3), evaluated.matrix_world)[vertices].reshape(-1, 3, 3)
    sound = np.isfinite(corners).all(axis=(1, 2))
    return Surface(
        corners[sound],
        np.clip(slots[sound], 0, len(paints) - 1),
        paints,
        [None if shade is None else shade[sound] for shade in shades],
    )


def _shades(mesh: Any, paint: Paint, vertices: np.ndarray, loops: np.ndarray) -> np.ndarray | None:
    if paint.texture is not None:
        layer = mesh.uv_layers.get(paint.uv) or next((each for each in mesh.uv_layers if each.active_render), None)
        if layer is not None:
            uv = np.empty(len(mesh.loops) * 2, np.float32)
            layer.uv.foreach_get("vector", uv)
            return np.asarray(uv.reshape(-1, 2)[loops].reshape(-1, 3, 2))
    attribute = mesh.color_attributes.get(paint.attribute) if paint.attribute is not None else None
    if attribute is None or attribute.domain not in ("POINT", "CORNER"):
        return None
    values = np.empty(len(attribute.data) * 4, np.float32)
    attribute.data.foreach_get("color_srgb", values)
    which = vertices if attribute.domain == "POINT" else loops
    shown = np.clip(np.nan_to_num(values.reshape(-1, 4)[:, :3]), 0, 1) * np.float32(255)
    return np.asarray(shown[which].reshape(-1, 3, 3))


def _looked_up(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Colours of the texture's pixels at UV (N, 2): v grows upwards, and both wrap."""
    height, width = texture.shape[:2]
    share = np.nan_to_num(uv.astype(np.float64))
    column = np.floor(share[:, 0] * width).astype(np.int64) % width
    row = np.floor((1 - share[:, 1]) * height).astype(np.int64) % height
    return np.asarray(texture[row, column])


def _painted_attribute(mesh: Any) -> str | None:
    """The colour attribute that renders use."""
    found = mesh.color_attributes
    index = found.render_color_index
    return str(found[index].name) if 0 <= index < len(found) else None


def _paint(material: bpy.types.Material | None, painted: str | None, notes: list[str]) -> Paint:
    """What the base colour of a material is, as far as that is a picture, an attribute or a plain colour."""
    if material is None:
        return Paint(np.full(3, UNCOLOURED, np.uint8), attribute=painted)
    socket = _colour_socket(material)
    if socket is None:
        return Paint(_srgb(material.diffuse_color), attribute=painted)
    for node in _upstream(socket):
        if node.type == "TEX_IMAGE" and node.image is not None:
            try:
                return Paint(_srgb(socket.default_value), images.pixels(node.image), _uv_map(node), painted)
            except PantheonError as error:
                notes.append(f"The texture of {material.name} was left out: {error}")
        elif node.type in _ATTRIBUTES:
            named = node.attribute_name if node.type == "ATTRIBUTE" else node.layer_name
            return Paint(_srgb(socket.default_value), attribute=named or painted)
    return Paint(_srgb(socket.default_value), attribute=painted)


def _colour_socket(material: bpy.types.Material) -> Any:
    """The colour input of the shader that makes the material's surface; None without nodes."""
    tree: Any = material.node_tree
    output = tree.get_output_node("ALL") if tree is not None else None
    if output is None:
        return None
    for node in _upstream(output.inputs["Surface"]):
        for name in _COLOUR_INPUTS:
            if name in node.inputs and node.type.startswith(("BSDF", "EMISSION", "BACKGROUND")):
                return node.inputs[name]
    return None


def _upstream(socket: Any) -> Iterator[Any]:
    """The nodes that feed a socket, nearest first."""
    waiting = [link.from_node for link in socket.links]
    for _ in range(_FARTHEST):
        if not waiting:
            return
        node = waiting.pop(0)
        yield node
        waiting += [link.from_node for each in node.inputs for link in each.links]


def _uv_map(node: Any) -> str:
    source = next((link.from_node for link in node.inputs["Vector"].links), None)
    return str(source.uv_map) if source is not None and source.type == "UVMAP" else ""


def _srgb(linear: Any) -> np.ndarray:
    values = np.array(tuple(linear)[:3], np.float64)
    return np.asarray(np.rint(srgb.linear_to_srgb(values) * 255), np.uint8)
