"""The clips that painted pictures are judged by: 24 paths through 6 scenes, rendered by Cycles with exact range.

`ready()` renders them once, two processes at the lowest priority, into `.cache/evaluation/scenes/<scene>-<number>/`,
each a clip folder (docs/evaluation.md), and `manifest.json` there has the SHA-256 of every file. Scenes are built from
fixed seeds and from patterns that no other script of this repository uses: nothing is trained on them.
Run as a program inside Blender's Python it renders the scenes it is given.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ground_truth as studio
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "evaluation" / "scenes"
FRAMES = 25
FPS = 7
WIDTH = 256
CAPTURE_WIDTH = 512
SAMPLES = 9
"""For edges alone: lamps are points and what light is scattered is a share of each colour, so that nothing is noisy."""
PROCESSES = 2
LANE = 0.6
"""Metres round a path in which nothing stands."""

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Way:
    """A camera path. start, end: metres. headings: degrees at both ends. bow: metres to the left in the middle.

    tilt: degrees of pitch and half of it of roll that come and go along the path.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    headings: tuple[float, float]
    bow: float = 0.0
    tilt: float = 0.0

    def places(self, count: int) -> np.ndarray:
        """(count, 3) positions in metres, at an even pace."""
        share = np.linspace(0.0, 1.0, count)[:, None]
        start, end = np.array(self.start), np.array(self.end)
        along = end - start
        left = np.array([-along[1], along[0], 0.0]) / np.linalg.norm(along[:2])
        return np.asarray(start + share * along + self.bow * np.sin(np.pi * share) * left)

    def poses(self, count: int) -> np.ndarray:
        """(count, 4, 4) float64 camera-to-world."""
        cameras = importlib.import_module("pantheon360_blender.core.panorama.cameras")
        sway = self.tilt * np.sin(2 * np.pi * np.linspace(0.0, 1.0, count))
        headings = np.linspace(*self.headings, count)
        return np.stack(
            [
                cameras.pose_matrix(cameras.rotation_from_heading(heading, swing, swing / 2), place)
                for heading, swing, place in zip(headings, sway, self.places(count), strict=True)
            ]
        )


WAYS: dict[str, tuple[Way, ...]] = {
    "parlour": (
        Way((-1.9, -1.2, 1.5), (1.7, 1.1, 1.4), (60, 60)),
        Way((1.9, -1.6, 1.4), (-1.6, 1.5, 1.6), (-50, 10), bow=0.4),
        Way((0.0, -1.9, 1.3), (0.2, 1.7, 1.5), (5, -15), bow=-0.5, tilt=3),
        Way((-2.2, 0.3, 1.6), (2.2, 0.2, 1.3), (90, 90), bow=0.3),
    ),
    "office": (
        Way((-5.5, -0.2, 1.6), (0.5, 0.2, 1.6), (90, 90)),
        Way((5.5, 0.4, 1.5), (0.0, -0.3, 1.6), (270, 300), bow=0.4),
        Way((-2.5, 0.2, 1.4), (3.0, -0.2, 1.7), (0, 40), tilt=4),
        Way((3.0, -0.3, 1.7), (-3.5, 0.3, 1.5), (180, 180), bow=-0.3),
    ),
    "gallery": (
        Way((-4.0, -2.5, 1.6), (1.0, 0.5, 1.6), (50, 75)),
        Way((3.5, -3.0, 1.6), (0.5, 2.8, 1.7), (-30, 5), bow=-0.6),
        Way((-3.5, 2.6, 1.5), (2.6, 1.6, 1.7), (100, 130), bow=0.5),
        Way((3.4, -3.2, 1.4), (-3.2, 2.9, 2.2), (0, 70), bow=-0.6, tilt=4),
    ),
    "alley": (
        Way((0.2, -8.0, 1.7), (-0.2, 1.5, 1.7), (0, 75)),
        Way((-0.5, 7.0, 1.6), (0.6, -3.5, 1.8), (180, 105), bow=0.3),
        Way((0.5, -2.0, 1.5), (-0.4, 9.0, 2.4), (90, 20), tilt=3),
        Way((0.0, -4.5, 1.8), (0.1, 5.0, 1.6), (0, 70), bow=-0.4),
    ),
    "courtyard": (
        Way((-5.0, -4.5, 1.7), (2.0, 4.0, 1.7), (45, 65)),
        Way((5.0, -4.5, 1.6), (-4.8, 1.5, 2.1), (-80, 10), bow=-0.8),
        Way((0.0, -5.5, 1.5), (0.5, 3.5, 2.6), (0, 10), tilt=3),
        Way((4.5, 5.0, 1.7), (-2.5, -5.0, 1.7), (150, 250), bow=0.6),
    ),
    "park": (
        Way((0.0, -8.0, 1.7), (0.5, 5.0, 1.7), (0, 40)),
        Way((-5.0, 2.0, 1.6), (4.0, -2.5, 1.9), (115, 115), bow=0.8),
        Way((4.0, 5.5, 1.7), (-2.0, -2.0, 1.6), (220, 200), bow=-0.7, tilt=4),
        Way((-0.5, 7.5, 2.2), (-1.0, -3.5, 1.5), (180, 140)),
    ),
}


ROOMS = {"parlour": (6.6, 5.6, 2.7), "office": (14.0, 6.0, 3.0), "gallery": (11.0, 9.0, 4.0)}
"""Width, depth and height in metres of the scenes that are rooms, around the origin."""


def main(names: Sequence[str]) -> int:
    sys.path.insert(0, str(ROOT))
    for name in names:
        build(name)
        for number, way in enumerate(WAYS[name], 1):
            render(f"{name}-{number}", way)
    return 0


def ready() -> list[Path]:
    """The clips' folders, rendered on first use in one of Blender's environments: about 10 minutes, once."""
    sys.path.insert(0, str(ROOT))
    clips = [CACHE / f"{name}-{number}" for name, ways in WAYS.items() for number in range(1, len(ways) + 1)]
    missing = sorted({_scene_of(clip) for clip in clips if not is_rendered(clip)})
    if missing:
        environments = importlib.import_module("environments")
        print(f"[scenes] rendering {', '.join(missing)}: about 10 minutes of two cores, once", flush=True)
        _render_apart(str(environments.first_available(environments.BLENDERS)), missing)
    hashes = CACHE / "manifest.json"
    if missing or not hashes.exists():
        hashes.write_text(json.dumps(manifest(clips), indent=1) + "\n", encoding="utf-8")
    return clips


def is_rendered(clip: Path) -> bool:
    """Whether a clip folder is whole, of its way and of its scene as they are today."""
    try:
        record = json.loads((clip / "clip.json").read_text("utf-8"))
    except FileNotFoundError:
        return False
    scene, number = clip.name.rsplit("-", 1)
    poses = WAYS[scene][int(number) - 1].poses(FRAMES)
    same = len(record["cameras"]) == len(poses) and np.allclose(record["cameras"], poses)
    return bool(same and record.get("layout") == layout(scene))


def layout(scene: str) -> str:
    """What tells one layout of a scene from another: things stand off its ways, so that a new way moves them all."""
    lines = [(way.start, way.end, way.bow) for way in WAYS[scene]]
    return hashlib.sha256(f"{WIDTH} {CAPTURE_WIDTH} {SAMPLES} {lines}".encode()).hexdigest()[:16]


def _scene_of(clip: Path) -> str:
    return clip.name.rsplit("-", 1)[0]


def _render_apart(python: str, scenes: Sequence[str]) -> None:
    """Render scenes in PROCESSES processes of one thread each. Raises CalledProcessError; leaves none behind."""
    command = [python, "-B", str(Path(__file__))]
    shares = [scenes[start::PROCESSES] for start in range(min(PROCESSES, len(scenes)))]
    running = [subprocess.Popen([*command, *share], cwd=ROOT, preexec_fn=_politely) for share in shares]
    try:
        for process in running:
            if process.wait():
                raise subprocess.CalledProcessError(process.returncode, process.args)
    finally:
        for process in running:
            process.kill()
            process.wait()


def _politely() -> None:
    os.nice(19)


def manifest(clips: Sequence[Path]) -> dict[str, str]:
    """File, relative to the cache -> SHA-256."""
    found = sorted(path for clip in clips for path in clip.rglob("*") if path.is_file())
    return {path.relative_to(CACHE).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


# Scenes


def build(name: str) -> None:
    """Build a scene in an empty file, from a seed of its own."""
    studio.reset()
    digest = hashlib.sha256(f"evaluation scene {name}".encode()).digest()
    SCENES[name](np.random.default_rng(list(digest[:8])), WAYS[name])


def build_parlour(random: np.random.Generator, ways: Sequence[Way]) -> None:
    room(*ROOMS["parlour"], random, floor=("brick", (0.42, 0.24, 0.12), (0.24, 0.12, 0.06), 1.6))
    rug = pattern("magic", (0.55, 0.12, 0.1), (0.75, 0.65, 0.45), 2.5)
    studio.box((0.1, 0, 0.006), (3.4, 2.4, 0.012), rug)
    pictures(6.6, 5.6, random, 9)
    clutter(random, ways, (-3.0, 3.0, -2.5, 2.5), 70, (0.25, 0.9), (0.3, 1.9))
    for x in (-1.5, 1.5):
        bulb(45.0, (x, 0.4, 2.5))


def build_office(random: np.random.Generator, ways: Sequence[Way]) -> None:
    room(*ROOMS["office"], random, floor=("checker", (0.3, 0.32, 0.36), (0.2, 0.21, 0.24), 2.0))
    pictures(14.0, 6.0, random, 16)
    for x in (-4.5, -1.5, 1.5, 4.5):
        for y in (-2.1, 2.1):
            studio.box((x, y, 1.5), (0.35, 0.35, 3.0), pattern("wave", (0.5, 0.5, 0.48), (0.75, 0.74, 0.7), 3.0))
            desk = pattern("wave", (0.5, 0.33, 0.18), (0.34, 0.2, 0.1), 6.0)
            studio.box((x + 1.2, y * 1.05, 0.72), (1.5, 0.75, 0.05), desk)
            studio.box((x + 1.2, y * 1.15, 1.0), (0.6, 0.08, 0.4), cells(random, 7.0))
            for side in (-0.65, 0.65):
                studio.box((x + 1.2 + side, y * 1.05, 0.35), (0.06, 0.6, 0.7), desk)
    clutter(random, ways, (-6.6, 6.6, -2.7, 2.7), 44, (0.2, 0.6), (0.3, 1.8))
    for x in (-4.5, 0, 4.5):
        bulb(60.0, (x, 0.3, 2.8))


def build_gallery(random: np.random.Generator, ways: Sequence[Way]) -> None:
    room(*ROOMS["gallery"], random, floor=("wave", (0.5, 0.36, 0.2), (0.36, 0.22, 0.11), 1.2))
    pictures(11.0, 9.0, random, 26, height=(1.2, 2.6), size=(0.8, 2.0))
    for x, y, turn in ((-1.6, 0.0, 0.5), (3.6, 0.6, -0.6), (-3.9, -0.2, 1.4)):
        studio.box((x, y, 1.2), (1.5, 0.14, 2.4), cells(random, 3.0), turn)
    clutter(random, ways, (-5.0, 5.0, -4.0, 4.0), 32, (0.3, 0.8), (0.5, 2.2), round_share=0.6)
    for x in (-3.0, 3.0):
        for y in (-2.2, 2.2):
            bulb(80.0, (x, y, 3.7))


def build_alley(random: np.random.Generator, ways: Sequence[Way]) -> None:
    ground(("brick", (0.6, 0.57, 0.52), (0.22, 0.2, 0.19), 1.1))
    for side in (-1, 1):
        for y in np.arange(-26.0, 27.0, 6.5):
            facade(side * random.uniform(2.4, 3.0), float(y), 6.4, random.uniform(6.0, 11.0), side, random)
    for y in (-30.0, 30.0):
        studio.box((0, y, 4.0), (8, 1, 8), pattern("brick", colour(random), colour(random, 0.5), 1.2, "y"))
    clutter(random, ways, (-2.3, 2.3, -14, 14), 70, (0.2, 0.7), (0.3, 1.7))
    sky(3.5, (0.25, 0.3, 0.3))


def build_courtyard(random: np.random.Generator, ways: Sequence[Way]) -> None:
    ground(("checker", (0.48, 0.44, 0.38), (0.36, 0.32, 0.27), 0.9))
    for turn in range(4):
        _wing(turn, random)
    clutter(random, ways, (-7.0, 7.0, -7.0, 7.0), 60, (0.3, 1.0), (0.4, 1.6), round_share=0.4)
    trees(random, ways, (-6.5, 6.5, -6.5, 6.5), 5, (2.6, 4.2))
    sky(3.0, (0.5, -0.3, 0.9))


def build_park(random: np.random.Generator, ways: Sequence[Way]) -> None:
    ground(("noise", (0.1, 0.3, 0.05), (0.4, 0.42, 0.12), 1.5))
    studio.box((0, 0, 0.01), (2.2, 80, 0.02), pattern("voronoi", (0.6, 0.5, 0.36), (0.25, 0.2, 0.14), 2.0))
    trees(random, ways, (-16, 16, -16, 16), 42, (3.0, 7.0))
    clutter(random, ways, (-8, 8, -10, 10), 60, (0.3, 0.9), (0.3, 1.1), round_share=0.5)
    for _ in range(14):
        angle, far = random.uniform(0, 2 * np.pi), random.uniform(24, 40)
        high = random.uniform(4, 12)
        place = (far * np.cos(angle), far * np.sin(angle), high / 2)
        wall = pattern("brick", colour(random), colour(random, 0.5), 1.0, "x")
        studio.box(place, (random.uniform(4, 9), random.uniform(4, 9), high), wall)
    sky(3.5, (0.6, 0.2, 2.0))


SCENES: dict[str, Callable[[np.random.Generator, Sequence[Way]], None]] = {
    "parlour": build_parlour,
    "office": build_office,
    "gallery": build_gallery,
    "alley": build_alley,
    "courtyard": build_courtyard,
    "park": build_park,
}


# What stands in them


def room(wide: float, deep: float, high: float, random: np.random.Generator, floor: tuple[Any, ...]) -> None:
    """Floor, ceiling and four walls, each of a pattern of its own."""
    studio.box((0, 0, -0.05), (wide, deep, 0.1), pattern(*floor))
    studio.box((0, 0, high + 0.05), (wide, deep, 0.1), pattern("checker", (0.8, 0.8, 0.78), (0.7, 0.7, 0.69), 1.0))
    for side in (-1, 1):
        tint = random.uniform(0.45, 0.75, 3)
        paper = pattern("wave", tuple(tint), tuple(tint * 0.75), random.uniform(1.0, 3.0), "x")
        studio.box((side * (wide / 2 + 0.05), 0, high / 2), (0.1, deep, high), paper)
        tint = random.uniform(0.45, 0.75, 3)
        paper = pattern("brick", tuple(tint), tuple(tint * 0.8), random.uniform(0.8, 1.6), "y")
        studio.box((0, side * (deep / 2 + 0.05), high / 2), (wide, 0.1, high), paper)


def pictures(
    wide: float,
    deep: float,
    random: np.random.Generator,
    count: int,
    height: tuple[float, float] = (1.2, 1.9),
    size: tuple[float, float] = (0.4, 1.1),
) -> None:
    """Pictures on the walls of a room."""
    for index in range(count):
        side, up = random.choice((-1, 1)), random.uniform(*height)
        across, tall = random.uniform(*size, 2)
        if index % 2:
            place, extent = (side * (wide / 2 - 0.02), random.uniform(-0.42, 0.42) * deep, up), (0.03, across, tall)
        else:
            place, extent = (random.uniform(-0.42, 0.42) * wide, side * (deep / 2 - 0.02), up), (across, 0.03, tall)
        studio.box(place, extent, cells(random, random.uniform(2.0, 8.0)))


def clutter(
    random: np.random.Generator,
    ways: Sequence[Way],
    area: tuple[float, float, float, float],
    count: int,
    breadth: tuple[float, float],
    height: tuple[float, float],
    round_share: float = 0.25,
) -> None:
    """Boxes and balls on the ground of an area (x from, to, y from, to), off the ways."""
    for _ in range(count):
        across, along = random.uniform(*breadth, 2)
        place = free(random, ways, area, LANE + max(across, along) / 2)
        high, turn = random.uniform(*height), random.uniform(0, np.pi)
        if place is None:
            continue
        if random.random() < round_share:
            studio.ball((*place, across / 2), across / 2, cells(random, random.uniform(2.0, 6.0)))
        else:
            kind = str(random.choice(("brick", "checker", "wave", "voronoi", "magic")))
            first = colour(random)
            material = pattern(kind, first, colour(random, 0.6), random.uniform(2.0, 6.0), str(random.choice(PLANES)))
            studio.box((*place, high / 2), (across, along, high), material, turn)


def trees(
    random: np.random.Generator,
    ways: Sequence[Way],
    area: tuple[float, float, float, float],
    count: int,
    height: tuple[float, float],
) -> None:
    bark = pattern("wave", (0.3, 0.2, 0.12), (0.16, 0.1, 0.06), 5.0)
    for _ in range(count):
        high, crown = random.uniform(*height), random.uniform(0.7, 1.5)
        place = free(random, ways, area, LANE + crown)
        if place is None:
            continue
        green = random.uniform(0.2, 0.4)
        leaves = pattern("voronoi", (green * 0.5, green, 0.05), (green * 0.2, green * 0.5, 0.03), 5.0)
        studio.box((*place, high / 2), (0.22, 0.22, high), bark)
        studio.ball((*place, high), crown, leaves, rough=True)


def facade(x: float, y: float, length: float, height: float, side: int, random: np.random.Generator) -> None:
    """A house beside an alley along y, with windows and a door."""
    wall = pattern("brick", colour(random), colour(random, 0.5), random.uniform(0.8, 1.6), "x")
    studio.box((x + side * 2, y, height / 2), (4, length, height), wall)
    for up in np.arange(1.5, height - 0.8, 2.4):
        for along in np.arange(-length / 2 + 1.0, length / 2 - 0.6, 1.7):
            studio.box((x, y + along, up), (0.14, 0.9, 1.3), cells(random, 4.0))


def _wing(turn: int, random: np.random.Generator) -> None:
    """One side of the courtyard: a wall behind columns, with windows above. turn: quarter turns."""
    angle = turn * np.pi / 2
    about = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def put(x: float, y: float, z: float, size: tuple[float, float, float], material: Any) -> None:
        studio.box((*(about @ (x, y)), z), size, material, angle)

    wall = pattern("brick", colour(random), colour(random, 0.5), 1.2, "x" if turn % 2 else "y")
    put(0, 11.0, 4.0, (26, 2, 8), wall)
    put(0, 9.0, 3.2, (20, 2.2, 0.3), pattern("wave", (0.6, 0.55, 0.5), (0.45, 0.4, 0.36), 2.0))
    for x in np.arange(-8.0, 8.1, 2.0):
        put(float(x), 8.2, 1.6, (0.4, 0.4, 3.2), pattern("wave", (0.65, 0.6, 0.52), (0.45, 0.41, 0.36), 2.5))
        put(float(x), 9.95, 5.4, (1.0, 0.2, 1.6), cells(random, 4.0))
        put(float(x) + 1.0, 9.95, 1.3, (0.9, 0.2, 2.0), cells(random, 3.0))


def free(
    random: np.random.Generator, ways: Sequence[Way], area: tuple[float, float, float, float], distance: float
) -> tuple[float, float] | None:
    """A place in an area at least that far from every way; None if a hundred trials find none."""
    lanes = np.concatenate([way.places(33)[:, :2] for way in ways])
    for _ in range(100):
        place = random.uniform((area[0], area[2]), (area[1], area[3]))
        if np.linalg.norm(lanes - place, axis=1).min() > distance:
            return float(place[0]), float(place[1])
    return None


def ground(pattern_of: tuple[Any, ...]) -> None:
    studio.box((0, 0, -0.05), (200, 200, 0.1), pattern(*pattern_of))


def bulb(energy: float, place: tuple[float, float, float]) -> None:
    studio.lamp("POINT", energy, place)
    studio.blender().data.lights[-1].shadow_soft_size = 0.0


def sky(sun: float, rotation: tuple[float, float, float]) -> None:
    studio.clouds()
    studio.blender().context.scene.world.cycles.sampling_method = "NONE"  # its map of bright places takes seconds
    studio.lamp("SUN", sun, (0, 0, 10), rotation=rotation)
    studio.blender().data.lights[-1].angle = 0.0


def colour(random: np.random.Generator, brightness: float = 1.0) -> Colour:
    red, green, blue = random.uniform(0.08, 0.8, 3) * brightness
    return float(red), float(green), float(blue)


PLANES = ("xy", "x", "y")
_NODES = {
    "brick": "ShaderNodeTexBrick",
    "checker": "ShaderNodeTexChecker",
    "wave": "ShaderNodeTexWave",
    "voronoi": "ShaderNodeTexVoronoi",
    "magic": "ShaderNodeTexMagic",
    "noise": "ShaderNodeTexNoise",
}


def cells(random: np.random.Generator, scale: float) -> Any:
    """A picture of random cells, in colours of its own."""
    return pattern("cells", colour(random), colour(random), scale, offset=random.uniform(0, 50))


def pattern(kind: str, first: Colour, second: Colour, scale: float, plane: str = "xy", offset: float = 0.0) -> Any:
    """A rough material of two colours in a pattern fixed in the world, with a finer grain over it.

    plane: which world plane a flat pattern lies in: the ground's, or that of walls whose normal is x or y.
    """
    material = studio.blender().data.materials.new(kind)
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    shader = tree.nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value, shader.inputs["Specular IOR Level"].default_value = 0.9, 0.1
    place, apart, joined = (
        tree.nodes.new(f"ShaderNode{name}") for name in ("NewGeometry", "SeparateXYZ", "CombineXYZ")
    )
    tree.links.new(place.outputs["Position"], apart.inputs[0])
    for target, source in enumerate({"xy": "XYZ", "x": "YZX", "y": "XZY"}[plane]):
        shifted = tree.nodes.new("ShaderNodeMath")
        shifted.inputs[1].default_value = offset
        tree.links.new(apart.outputs[source], shifted.inputs[0])
        tree.links.new(shifted.outputs[0], joined.inputs[target])
    texture = tree.nodes.new(_NODES["voronoi" if kind == "cells" else kind])
    texture.inputs["Scale"].default_value = scale
    tree.links.new(joined.outputs[0], texture.inputs["Vector"])
    mix = tree.nodes.new("ShaderNodeMix")
    mix.data_type = "RGBA"
    mix.inputs[6].default_value, mix.inputs[7].default_value = (*first, 1), (*second, 1)
    if kind in ("brick", "checker"):
        texture.inputs["Color1"].default_value, texture.inputs["Color2"].default_value = (0, 0, 0, 1), (1, 1, 1, 1)
    grey = tree.nodes.new("ShaderNodeRGBToBW")
    tree.links.new(texture.outputs["Color"], grey.inputs[0])
    tree.links.new(grey.outputs[0], mix.inputs[0])
    shade = _grained(tree, joined, mix.outputs[2])
    tree.links.new(shade, shader.inputs["Base Color"])
    tree.links.new(shade, shader.inputs["Emission Color"])
    tree.links.new(_ambient(tree, place), shader.inputs["Emission Strength"])
    material.cycles.emission_sampling = "NONE"
    return material


def _ambient(tree: Any, geometry: Any) -> Any:
    """Light from all around, more of it from above: what is scattered, without a random number."""
    apart, strength = tree.nodes.new("ShaderNodeSeparateXYZ"), tree.nodes.new("ShaderNodeMapRange")
    strength.inputs["From Min"].default_value = -1.0
    strength.inputs["To Min"].default_value, strength.inputs["To Max"].default_value = 0.2, 0.45
    tree.links.new(geometry.outputs["Normal"], apart.inputs[0])
    tree.links.new(apart.outputs["Z"], strength.inputs["Value"])
    return strength.outputs[0]


def _grained(tree: Any, place: Any, coloured: Any) -> Any:
    """The colour darkened here and there by noise of several sizes."""
    noise, ramp = tree.nodes.new("ShaderNodeTexNoise"), tree.nodes.new("ShaderNodeMapRange")
    noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = 2.2, 6.0
    ramp.inputs["From Min"].default_value, ramp.inputs["From Max"].default_value = 0.25, 0.75
    ramp.inputs["To Min"].default_value, ramp.inputs["To Max"].default_value = 0.15, 1.7
    product = tree.nodes.new("ShaderNodeVectorMath")
    product.operation = "MULTIPLY"
    tree.links.new(place.outputs[0], noise.inputs["Vector"])
    tree.links.new(noise.outputs[0], ramp.inputs["Value"])
    tree.links.new(coloured, product.inputs[0])
    tree.links.new(ramp.outputs[0], product.inputs[1])
    return product.outputs[0]


# Pictures of them


def render(name: str, way: Way) -> None:
    """Render a clip folder: frames with range, and larger captures with range at both ends."""
    folder = CACHE / name
    if is_rendered(folder):
        return
    (folder / "clip.json").unlink(missing_ok=True)  # a clip that has one is whole
    started = time.monotonic()
    poses = way.poses(FRAMES)
    for frame, pose in enumerate(poses):
        picture(folder, f"{frame:06d}", pose, WIDTH, SAMPLES, frame)
    for end in (0, FRAMES - 1):
        picture(folder / "captures", f"{end:06d}", poses[end], CAPTURE_WIDTH, SAMPLES, FRAMES + end)
    (folder / "render.exr").unlink(missing_ok=True)
    (folder / "captures" / "render.exr").unlink(missing_ok=True)
    record = {"schema": 1, "fps": FPS, "cameras": poses.tolist(), "captures": [0, FRAMES - 1], "licence": "GPL-3.0"}
    record["layout"] = layout(_scene_of(folder))
    (folder / "clip.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    print(f"[scenes] {name}: {time.monotonic() - started:.0f} s", flush=True)


def picture(folder: Path, name: str, pose: np.ndarray, width: int, samples: int, seed: int) -> None:
    """NAME.png and NAME.npz with `range`, (H, W) float32 metres, inf in the sky."""
    png = importlib.import_module("pantheon360_blender.core.formats.png")
    npz = importlib.import_module("pantheon360_blender.core.formats.npz")
    folder.mkdir(parents=True, exist_ok=True)
    bpy = studio.blender()
    studio.stand_at(pose)
    bpy.context.scene.cycles.seed = seed
    bpy.context.scene.render.use_persistent_data = True
    bpy.context.scene.render.threads_mode, bpy.context.scene.render.threads = "FIXED", 1
    seen = studio.cycles(folder, exact=False, width=width, samples=samples, denoised=False, bounces=0)
    png.write(folder / f"{name}.png", np.rint(studio.encoded(seen["Combined"])).astype(np.uint8))
    distance = studio.cycles(folder, exact=True, width=width)["Depth"][..., 0]
    with open(folder / f"{name}.npz", "wb") as file:
        npz.write(file, "range", np.where(distance > 1000.0, np.inf, distance).astype(np.float32))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
