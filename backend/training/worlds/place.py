"""A place: solids, light, and where one can walk; and the paints that its surfaces get."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .light import Lighting
from .projection import Projection
from .shapes import Paint, Solid, Windows
from .textures import TextureSet

_BRIGHTNESS = {
    "wall": (0.25, 0.7),
    "ceiling": (0.45, 0.8),
    "floor": (0.1, 0.5),
    "facade": (0.15, 0.55),
    "road": (0.07, 0.22),
    "paving": (0.15, 0.45),
    "ground": (0.08, 0.3),
    "foliage": (0.05, 0.2),
    "roof": (0.08, 0.3),
}
"""Mean linear light that surfaces of a kind throw back; others: 0.08 to 0.5."""


@dataclass(frozen=True, eq=False)
class Place:
    """name: of its family. solids: all of it, those that move too. lighting: of it.
    walkable: rectangles (x low, y low, x high, y high) in metres; floor: the height of what one walks on there.
    longest: metres of a path. reach: metres around the path in which shadows are cast.
    stairs: None, or the (foot, head) of a flight, (3,) each, that raises those who walk between them.
    projection: the real panorama on those faces that are painted `projected`, and in the sky.
    """

    name: str
    solids: tuple[Solid, ...]
    lighting: Lighting
    walkable: tuple[tuple[float, float, float, float], ...]
    longest: float
    reach: float
    stairs: tuple[np.ndarray, np.ndarray] | None = None
    projection: Projection | None = None

    def solids_at(self, seconds: float) -> list[Solid]:
        return [solid.at(seconds) for solid in self.solids]

    def floor(self, x: float, y: float) -> float:
        """Height in metres of what one stands on."""
        if self.stairs is None:
            return 0.0
        foot, head = self.stairs
        along = head[:2] - foot[:2]
        share = float(np.clip((np.array([x, y]) - foot[:2]) @ along / (along @ along), 0, 1))
        return float(foot[2] + share * (head[2] - foot[2]))


class Painter:
    """Draws paints for a place; each kind of surface has few textures in one place, as buildings do."""

    def __init__(self, random: np.random.Generator, textures: TextureSet) -> None:
        self.random, self._textures = random, textures

    def paint(
        self,
        kind: str,
        *,
        metres: float | None = None,
        bright: tuple[float, float] | None = None,
        windows: Windows | None = None,
    ) -> Paint:
        """A random paint of a kind: its texture, how bright it is, a shade of colour, and where the texture begins."""
        random = self.random
        texture = int(random.choice(self._textures.of_kind(kind)))
        low, high = bright or _BRIGHTNESS.get(kind, (0.08, 0.5))
        mean = float(self._textures.means[texture] @ (0.2126, 0.7152, 0.0722))
        fills = kind in ("picture", "door", "front", "rug")
        if fills and bright is None:
            gain = random.uniform(0.8, 1.4)
        else:
            gain = min(random.uniform(low, high) / max(mean, 0.01), 5.0)
        tint = gain * np.exp(random.normal(0, 0.06, 3))
        own = self._textures.metres[texture]
        width = 0.0 if fills else (metres or own or 1.0) * float(np.exp(random.normal(0, 0.15)))
        return Paint(
            texture,
            width,
            (float(tint[0]), float(tint[1]), float(tint[2])),
            0.0,
            tuple(random.uniform(0, 1, 2)),
            windows,
        )

    def wall(self) -> Paint:
        """A paint of walls indoors, of which many are plain."""
        return self.plain(0.3, 0.75, 0.08) if self.random.random() < 0.3 else self.paint("wall")

    def ceiling(self) -> Paint:
        """A paint of ceilings: their own textures, plaster, or one colour."""
        kind = self.random.random()
        if kind < 0.3:
            return self.plain(0.5, 0.85, 0.03)
        return self.paint("ceiling") if kind < 0.65 else self.paint("wall", bright=(0.45, 0.8))

    def panorama(self) -> tuple[torch.Tensor, bool]:
        """One of the real panoramas, (H, W, 3) linear light, and whether it has a roof."""
        index = int(self.random.integers(len(self._textures.panoramas)))
        return self._textures.panoramas[index], self._textures.roofed[index]

    def plain(self, low: float, high: float, colourful: float = 0.1) -> Paint:
        """A paint of one colour."""
        colour = self.random.uniform(low, high) * np.exp(self.random.normal(0, colourful, 3))
        return Paint(-1, 1.0, (float(colour[0]), float(colour[1]), float(colour[2])))

    def light(self, strength: float) -> Paint:
        """A surface that shines."""
        return Paint(-1, 1.0, (1.0, float(self.random.uniform(0.85, 1)), float(self.random.uniform(0.7, 1))), strength)
