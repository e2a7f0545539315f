"""Scenes whose truth is known: a room and a street, rendered by Cycles as panoramas with exact range and poses.

`ready()` renders them once into `.cache/ground_truth/<scene>/`: `<n>.png` (colour, a little noise, exposures that
differ as a camera's do) and `<n>.npz` (range (H, W) float32 metres, inf in the sky; pose (4, 4) float64
camera-to-world). Run as a program inside Blender's Python it renders the scenes it is given.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "ground_truth"
WIDTH = 1024
SAMPLES = 12
EXPOSURES = (1.0, 1.1, 0.92, 1.05, 0.96)
NOISE = 1.0
"""Standard deviation of the noise added to every channel, of 255."""

Stand = tuple[tuple[float, float, float], float, float, float]
"""Position in metres; heading, pitch and roll in degrees."""

ROOM_STANDS: tuple[Stand, ...] = (
    ((-0.5, -0.5, 1.5), 20, -2, 1),
    ((0.35, -0.15, 1.45), -30, -0.5, 0.3),
    ((-0.1, 0.5, 1.55), 75, 1, -0.4),
    ((0.9, 0.3, 1.4), 10, 2.5, -1.1),
    ((-0.9, 0.35, 1.5), 200, 1.5, 0.6),
)
STREET_STANDS: tuple[Stand, ...] = (
    ((0.6, -3.0, 2.0), 0, -1, 0.5),
    ((0.3, -1.2, 2.0), 25, 0.5, 0.3),
    ((0.55, 1.0, 2.0), -10, 1, -0.4),
    ((0.2, 3.1, 2.0), 5, 2, -1.0),
    ((0.5, 5.4, 2.05), 3, -1.5, 0.6),
)


def main(names: Sequence[str]) -> int:
    for name in names:
        SCENES[name]()
        render(name, {"room": ROOM_STANDS, "street": STREET_STANDS}[name])
    return 0


def ready() -> dict[str, list[Path]]:
    """Scene -> its panoramas' PNG files, rendered on first use in one of Blender's environments."""
    environments = importlib.import_module("environments")
    missing = [name for name in SCENES if not (CACHE / name / "done.json").exists()]
    if missing:
        python = environments.needed("ground-truth", *environments.BLENDERS)
        print(f"[ground truth] rendering {', '.join(missing)}: a few minutes, once")
        subprocess.run([str(python), "-B", str(Path(__file__)), *missing], cwd=ROOT, check=True)
    return {name: sorted((CACHE / name).glob("*.png")) for name in SCENES}


def blender() -> Any:
    return importlib.import_module("bpy")


def build_room() -> None:
    """A furnished bedroom whose walls and ceiling are as plain as real ones."""
    reset()
    width, depth, height = 5.2, 4.2, 2.6
    wall, ceiling = noise_material((0.75, 0.72, 0.66), 0.02, 3), noise_material((0.85, 0.85, 0.85), 0.012, 2)
    floor, plain = noise_material((0.35, 0.22, 0.12), 0.15, 6), noise_material((0.6, 0.6, 0.62), 0.01, 4)
    fabric, wood = noise_material((0.2, 0.3, 0.5), 0.18, 20), noise_material((0.4, 0.25, 0.1), 0.2, 9)
    books, picture = cell_material((0.5, 0.4, 0.4), 0.4, 14), cell_material((0.5, 0.5, 0.5), 0.5, 5)
    box((0, 0, -0.05), (width, depth, 0.1), floor)
    box((0, 0, height + 0.05), (width, depth, 0.1), ceiling)
    for side in (-1, 1):
        box((side * (width / 2 + 0.05), 0, height / 2), (0.1, depth, height), wall)
        box((0, side * (depth / 2 + 0.05), height / 2), (width, 0.1, height), wall)
    box((-1.8, 1.2, 0.25), (1.5, 1.9, 0.5), fabric)
    box((-1.8, 1.9, 0.55), (0.7, 0.4, 0.14), plain)
    box((2.2, 1.2, 1.0), (0.5, 1.4, 2.0), books)
    box((1.5, -1.5, 0.72), (1.4, 0.7, 0.05), wood)
    for x in (0.85, 2.15):
        for y in (-1.8, -1.2):
            box((x, y, 0.36), (0.06, 0.06, 0.7), wood)
    box((1.0, -0.7, 0.45), (0.45, 0.45, 0.05), plain, 0.4)
    box((1.0, -0.5, 0.75), (0.45, 0.05, 0.6), plain, 0.4)
    box((-0.4, 2.09, 1.5), (1.0, 0.03, 0.7), picture)
    box((-2.58, -0.6, 1.5), (0.03, 0.8, 1.0), picture)
    box((-1.3, -1.95, 1.0), (0.9, 0.3, 2.0), plain)
    ball((0.3, 1.5, 0.25), 0.25, picture)
    lamp("AREA", 90.0, (0, 0, 2.55), size=1.2)


def build_street() -> None:
    """A street with façades, cars, trees and lamp posts under a clouded sky."""
    reset()
    random = np.random.default_rng(3)
    box((0, 0, -0.05), (400, 400, 0.1), noise_material((0.2, 0.22, 0.12), 0.08, 2))
    box((0, 0, 0), (7, 160, 0.02), noise_material((0.12, 0.12, 0.125), 0.03, 12))
    pavement, paint = noise_material((0.35, 0.34, 0.33), 0.06, 6), noise_material((0.75, 0.75, 0.75), 0.03, 5)
    for side in (-1, 1):
        box((side * 5, 0, 0.06), (3, 160, 0.12), pavement)
    for dash in range(-8, 9):
        box((0, dash * 6, 0.015), (0.14, 3, 0.01), paint)
    for block in range(-50, 50, 13):
        for side in (-1, 1):
            house(side, float(block), random)
    dark = noise_material((0.05, 0.05, 0.06), 0.03, 9)
    for x, y, colour in (
        (2.6, 7.0, noise_material((0.5, 0.06, 0.05), 0.01, 2)),
        (-2.7, -5.0, paint),
        (2.6, -11.0, dark),
    ):
        box((x, y, 0.75), (1.8, 4.2, 0.7), colour)
        box((x, y - 0.2, 1.3), (1.6, 2.2, 0.6), dark)
    leaves, bark = cell_material((0.1, 0.25, 0.06), 0.1, 8), noise_material((0.2, 0.12, 0.07), 0.08, 8)
    for x, y in ((-4.6, 3.5), (4.6, -3.0), (-4.6, -14.0), (4.4, 14.0), (-4.4, 18.0)):
        box((x, y, 1.6), (0.25, 0.25, 3.2), bark)
        ball((x, y, 4.0), 1.6, leaves, rough=True)
    for along in (-9.0, 0.5, 10.0):
        box((3.7, along, 2.5), (0.1, 0.1, 5), dark)
    clouds()
    lamp("SUN", 3.0, (0, 0, 10), rotation=(0.6, 0.5, 0))


SCENES: dict[str, Callable[[], None]] = {"room": build_room, "street": build_street}


def house(side: int, y: float, random: np.random.Generator) -> None:
    length, height, colour = random.uniform(8, 14), random.uniform(5, 13), random.uniform(0.3, 0.8, 3)
    setback = random.uniform(0, 1.5)
    front = side * (6.5 + setback)
    box((front + side * 4, y, height / 2), (8, length - 0.3, height), noise_material(tuple(colour), 0.03, 3))
    window = noise_material((0.08, 0.1, 0.14), 0.05, 4)
    for z in np.arange(1.4, height - 0.8, 2.6):
        for along in np.arange(-length / 2 + 1.3, length / 2 - 1, 2.2):
            box((front, y + along, z), (0.12, 1.1, 1.5), window)


def reset() -> None:
    blender().ops.wm.read_homefile(use_factory_startup=True, use_empty=True)


def noise_material(base: Sequence[float], contrast: float, scale: float) -> Any:
    return _material(base, contrast, scale, "ShaderNodeTexNoise")


def cell_material(base: Sequence[float], contrast: float, scale: float) -> Any:
    return _material(base, contrast, scale, "ShaderNodeTexVoronoi")


def _material(base: Sequence[float], contrast: float, scale: float, texture: str) -> Any:
    """Rough, its colour varying by +-contrast with a texture fixed in the world."""
    material = blender().data.materials.new("Material")
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    shader = tree.nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = 0.9
    shader.inputs["Specular IOR Level"].default_value = 0.1
    pattern, place = tree.nodes.new(texture), tree.nodes.new("ShaderNodeNewGeometry")
    pattern.inputs["Scale"].default_value = scale
    if texture == "ShaderNodeTexNoise":
        pattern.inputs["Detail"].default_value = 8
    grey, mix = tree.nodes.new("ShaderNodeRGBToBW"), tree.nodes.new("ShaderNodeMix")
    mix.data_type = "RGBA"
    mix.inputs[6].default_value = (*(max(0.0, value - contrast) for value in base), 1)
    mix.inputs[7].default_value = (*(min(1.0, value + contrast) for value in base), 1)
    tree.links.new(place.outputs["Position"], pattern.inputs["Vector"])
    tree.links.new(pattern.outputs["Color"], grey.inputs[0])
    tree.links.new(grey.outputs[0], mix.inputs[0])
    tree.links.new(mix.outputs[2], shader.inputs["Base Color"])
    return material


def box(place: Sequence[float], size: Sequence[float], material: Any, turn: float = 0.0) -> None:
    blender().ops.mesh.primitive_cube_add(size=1, location=place)
    _finish(material).scale = size
    blender().context.object.rotation_euler = (0, 0, turn)


def ball(place: Sequence[float], radius: float, material: Any, rough: bool = False) -> None:
    blender().ops.mesh.primitive_ico_sphere_add(radius=radius, location=place, subdivisions=4)
    thing = _finish(material)
    if rough:
        texture = blender().data.textures.new("Leaves", "CLOUDS")
        texture.noise_scale = 0.5
        modifier = thing.modifiers.new("Leaves", "DISPLACE")
        modifier.texture, modifier.strength = texture, 1.0


def _finish(material: Any) -> Any:
    thing = blender().context.object
    thing.data.materials.append(material)
    return thing


def lamp(
    kind: str, energy: float, place: Sequence[float], size: float = 1.0, rotation: Sequence[float] = (0, 0, 0)
) -> None:
    data = blender().data
    light = data.lights.new("Lamp", kind)
    light.energy = energy
    if kind == "AREA":
        light.size = size
    thing = data.objects.new("Lamp", light)
    thing.location, thing.rotation_euler = place, rotation
    blender().context.scene.collection.objects.link(thing)


def clouds() -> None:
    world = blender().data.worlds.new("Sky")
    blender().context.scene.world = world
    if world.node_tree is None:
        world.use_nodes = True
    tree = world.node_tree
    background = tree.nodes["Background"]
    place, noise = tree.nodes.new("ShaderNodeTexCoord"), tree.nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = 2.5, 6
    ramp = tree.nodes.new("ShaderNodeValToRGB")
    blue, white = ramp.color_ramp.elements
    blue.color, blue.position = (0.18, 0.36, 0.8, 1), 0.5
    white.color, white.position = (0.85, 0.88, 0.95, 1), 0.75
    tree.links.new(place.outputs["Generated"], noise.inputs["Vector"])
    tree.links.new(noise.outputs["Fac"], ramp.inputs[0])
    tree.links.new(ramp.outputs[0], background.inputs[0])
    background.inputs[1].default_value = 0.8


def render(name: str, stands: Sequence[Stand]) -> None:
    """Render every stand: colour with Cycles' usual filter and light, range through the pixel centres."""
    sys.path.insert(0, str(ROOT))
    cameras = importlib.import_module("pantheon360_blender.core.panorama.cameras")
    png = importlib.import_module("pantheon360_blender.core.formats.png")
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    for index, (place, *angles) in enumerate(stands):
        pose = cameras.pose_matrix(cameras.rotation_from_heading(*angles), np.array(place, dtype=np.float64))
        stand_at(pose)
        colour = cycles(folder, exact=False)["Combined"] * EXPOSURES[index]
        noise = np.random.default_rng(index).normal(0.0, NOISE, colour.shape)
        png.write(folder / f"{index}.png", np.clip(np.rint(encoded(colour) + noise), 0, 255).astype(np.uint8))
        distance = cycles(folder, exact=True)["Depth"][..., 0]
        distance = np.where(distance > 1000.0, np.inf, distance).astype(np.float32)
        np.savez_compressed(folder / f"{index}.npz", range=distance, pose=pose)
        print(f"[ground truth] {name} {index + 1} of {len(stands)}, {time.monotonic() - started:.0f} s", flush=True)
    (folder / "render.exr").unlink(missing_ok=True)
    (folder / "done.json").write_text(json.dumps({"width": WIDTH, "panoramas": len(stands)}) + "\n")


def stand_at(pose: np.ndarray) -> None:
    bpy = blender()
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    bpy.context.scene.collection.objects.link(camera)
    camera.data.type, camera.data.panorama_type = "PANO", "EQUIRECTANGULAR"
    camera.data.clip_start, camera.data.clip_end = 0.001, 10_000.0
    camera.matrix_world = importlib.import_module("mathutils").Matrix(pose.tolist())
    bpy.context.scene.camera = camera


def cycles(
    folder: Path, exact: bool, *, width: int = WIDTH, samples: int = SAMPLES, denoised: bool = True, bounces: int = 4
) -> dict[str, np.ndarray]:
    """Passes of the scene's camera, (H, W, C) float32 each. exact: one unlit sample through each pixel's centre."""
    bpy = blender()
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1 if exact else samples
    scene.cycles.use_denoising = denoised and not exact
    scene.cycles.max_bounces = 0 if exact else bounces
    scene.cycles.pixel_filter_type = "BOX" if exact else "BLACKMAN_HARRIS"
    scene.cycles.filter_width = 0.01 if exact else 1.5
    scene.render.resolution_x, scene.render.resolution_y = width, width // 2
    scene.render.resolution_percentage = 100
    bpy.context.view_layer.use_pass_z = True
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format, settings.color_depth = "OPEN_EXR_MULTILAYER", "32"
    scene.render.filepath = str(folder / "render.exr")
    bpy.ops.render.render(write_still=True)
    return passes(folder / "render.exr")


def passes(path: Path) -> dict[str, np.ndarray]:
    """Combined (H, W, 3) and Depth (H, W, 1) of a multilayer EXR, of one part or of several."""
    blender().utils.expose_bundled_modules()
    oiio = importlib.import_module("OpenImageIO")
    channels: dict[str, np.ndarray] = {}
    source = oiio.ImageInput.open(str(path))
    part = 0
    while source.seek_subimage(part, 0):
        names = source.spec().channelnames
        pixels = np.asarray(source.read_image(part, 0, 0, len(names), oiio.FLOAT))
        channels |= {name: pixels[..., index] for index, name in enumerate(names)}
        part += 1
    source.close()
    combined = [channels[f"ViewLayer.Combined.{channel}"] for channel in "RGB"]
    return {"Combined": np.stack(combined, axis=-1), "Depth": channels["ViewLayer.Depth.Z"][..., None]}


def encoded(linear: np.ndarray) -> np.ndarray:
    """sRGB encoding (IEC 61966-2-1) of linear light, 0 to 255."""
    linear = np.clip(linear, 0.0, 1.0)
    curve = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(curve * 255.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
