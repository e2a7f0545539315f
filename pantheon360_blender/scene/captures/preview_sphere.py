"""The sphere that shows a capture's photograph around its position: seen from inside, as the camera there would."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ...core.panorama import equirectangular
from ..app import registration, units, versions
from ..app.access import of_object
from . import images

RADIUS = 0.5
"""Metres; small enough that the spheres of neighbouring captures stay apart."""

MESH = "Pantheon360 Preview"
MARK = "pantheon360_preview"
COLUMNS, ROWS = 128, 64


def update(capture: bpy.types.Object, metre: float | None = None, exposure: float | None = None) -> None:
    """Make, refresh, show or hide the preview of a capture, as its `show_preview` and image say.

    metre: in units of the capture's scene, for a new preview; None asks the scene.
    exposure: of the image; None reads it.
    """
    settings = of_object(capture)
    sphere = find(capture)
    if settings.show_preview and settings.image:
        sphere = sphere or _new(capture, metre or max(map(units.per_metre, capture.users_scene), default=1.0))
        sphere.material_slots[0].material = _material(settings.image, exposure)
        _link_where(capture, sphere)
    if sphere:
        sphere.hide_viewport = _is_hidden(capture)


def _is_hidden(capture: bpy.types.Object) -> bool:
    settings = of_object(capture)
    return _Drawing.elsewhere or not (settings.show_preview and settings.image)


class _Drawing:
    """Whether viewports show the photographs by a shader of ours: Blender's meshes would only hide them."""

    elsewhere = False


def are_drawn_elsewhere() -> bool:
    """Whether viewports show the photographs by a shader of ours."""
    return _Drawing.elsewhere


def draw_elsewhere(elsewhere: bool) -> None:
    """Have Blender's viewports show no previews, or show them again."""
    _Drawing.elsewhere = elsewhere
    _hide_meshes()


@bpy.app.handlers.persistent
def _hide_meshes(*_: Any) -> None:
    """Hide the previews that are not to be seen: also those that undo and files bring."""
    for sphere in bpy.data.objects:
        if sphere.get(MARK) and sphere.library is None and sphere.parent is not None:
            hidden = _is_hidden(sphere.parent)
            if sphere.hide_viewport != hidden:
                sphere.hide_viewport = hidden


def find(capture: bpy.types.Object) -> bpy.types.Object | None:
    """The capture's preview, if it has one."""
    return next((child for child in capture.children if child.get(MARK)), None)


def sync_previews() -> None:
    """Remove previews whose capture was deleted, for nobody could select them; give duplicated captures theirs."""
    _remove_orphans()
    for obj in [obj for obj in bpy.data.objects if obj.type == "EMPTY" and obj.library is None]:
        settings = of_object(obj)
        if settings.is_capture and settings.show_preview and obj.users_scene and find(obj) is None:
            update(obj)


def _remove_orphans() -> None:
    for obj in [obj for obj in bpy.data.objects if obj.get(MARK) and obj.library is None]:
        if obj.parent is None or not obj.parent.users_scene:
            bpy.data.objects.remove(obj)


def _new(capture: bpy.types.Object, metre: float) -> bpy.types.Object:
    sphere = bpy.data.objects.new(f"{capture.name} Preview", inward_mesh())
    sphere[MARK] = True
    sphere.parent = capture
    sphere.scale = (metre, metre, metre)
    sphere.hide_select = True
    sphere.hide_render = True
    # Rendered viewports show it to the camera but it lights and shades nothing.
    for ray in ("shadow", "diffuse", "glossy", "transmission", "volume_scatter"):
        setattr(sphere, f"visible_{ray}", False)
    sphere.material_slots[0].link = "OBJECT"
    _follow_levelling(sphere, capture)
    return sphere


def _follow_levelling(sphere: Any, capture: bpy.types.Object) -> None:
    """Turn the sphere as core.cameras.rotation_from_angles does, by drivers so that animation is followed, too."""
    sphere.rotation_mode = "ZXY"  # applies roll, then pitch, then yaw: the product yaw @ pitch @ roll
    for axis, name, sign in ((0, "pitch", ""), (1, "yaw", "-"), (2, "roll", "-")):
        driver = sphere.driver_add("rotation_euler", axis).driver
        driver.type = "SCRIPTED"
        driver.expression = f"{sign}{name}"
        variable = driver.variables.new()
        variable.name = name
        variable.targets[0].id = capture
        variable.targets[0].data_path = f"pantheon360.{name}"


def _link_where(capture: bpy.types.Object, sphere: bpy.types.Object) -> None:
    if not sphere.users_collection:
        for collection in capture.users_collection:
            collection.objects.link(sphere)


def inward_mesh() -> bpy.types.Mesh:
    """A UV sphere in the capture's frame, shared by all previews; faces look inward. It has one empty material slot."""
    mesh = next((mesh for mesh in bpy.data.meshes if mesh.get(MARK) and mesh.library is None), None)
    if mesh:
        return mesh
    columns, rows = np.meshgrid(np.linspace(0, 2 * ROWS, COLUMNS + 1), np.linspace(0, ROWS, ROWS + 1))
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 2)
    points = equirectangular.pixels_to_directions(pixels, 2 * ROWS) * RADIUS
    corner = (np.arange(ROWS)[:, None] * (COLUMNS + 1) + np.arange(COLUMNS)).ravel()
    # Seen from inside, top left, bottom left, bottom right, top right: normals point to the centre.
    faces = np.stack([corner, corner + COLUMNS + 1, corner + COLUMNS + 2, corner + 1], axis=-1)
    mesh = bpy.data.meshes.new(MESH)
    mesh[MARK] = True
    mesh.from_pydata(points.tolist(), [], faces.tolist())
    uv = np.stack([pixels[:, 0] / (2 * ROWS), 1 - pixels[:, 1] / ROWS], axis=-1)
    layer = mesh.uv_layers.new(name="Equirectangular")
    layer.uv.foreach_set("vector", uv[faces.ravel()].astype(np.float32).ravel())
    mesh.materials.append(None)
    return mesh


def remove_unused_mesh() -> None:
    """Remove the sphere that previews share if none is left."""
    for mesh in [mesh for mesh in bpy.data.meshes if mesh.get(MARK) and mesh.library is None and not mesh.users]:
        bpy.data.meshes.remove(mesh)


def _material(image: bpy.types.Image, exposure: float | None) -> bpy.types.Material:
    """Emission of the photograph, shared by all captures of the image."""
    for material in bpy.data.materials:
        if material.get(MARK) and material.library is None and _shown(material) == image:
            return material
    material = bpy.data.materials.new(f"{image.name} Preview")
    material[MARK] = True
    material.use_backface_culling = True  # from outside one looks through the near side
    tree = versions.node_tree(material)
    tree.nodes.clear()
    texture = tree.nodes.new("ShaderNodeTexImage")
    texture.image = image
    emission = tree.nodes.new("ShaderNodeEmission")
    emission.inputs["Strength"].default_value = images.exposure(image) if exposure is None else exposure
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    emission.location, output.location = (300, 0), (500, 0)
    tree.links.new(texture.outputs["Color"], emission.inputs["Color"])
    tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])
    tree.nodes.active = texture
    return material


def _shown(material: bpy.types.Material) -> bpy.types.Image | None:
    """The image a preview material shows; an artist may have taken its texture out."""
    nodes: Any = material.node_tree.nodes if material.node_tree else ()
    return next((node.image for node in nodes if node.bl_idname == "ShaderNodeTexImage"), None)


def _tend_when_idle() -> float | None:
    """Timer: not while an operator runs that may hold on to objects, as moving the duplicates does."""
    if any(window.modal_operators for window in bpy.context.window_manager.windows):  # type: ignore[union-attr]
        return 0.2
    sync_previews()
    return None


@bpy.app.handlers.persistent
def _after_change(_scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    """Deleting a capture leaves its preview behind, duplicating it does not copy it: see to that afterwards."""
    if depsgraph.id_type_updated("SCENE") and not bpy.app.timers.is_registered(_tend_when_idle):
        bpy.app.timers.register(_tend_when_idle)


_HANDLERS = {
    "depsgraph_update_post": _after_change,
    "load_post": _hide_meshes,
    "undo_post": _hide_meshes,
    "redo_post": _hide_meshes,
}


def register() -> None:
    registration.add_handlers(_HANDLERS)


def unregister() -> None:
    registration.remove_handlers(_HANDLERS)
    _Drawing.elsewhere = False
    if bpy.app.timers.is_registered(_tend_when_idle):
        bpy.app.timers.unregister(_tend_when_idle)
