"""The pictures that worlds are covered with: a folder that `scripts/training_textures.py` prepared, on one device."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pantheon360_blender.core import budget, inputs
from pantheon360_blender.core.errors import FileError, PantheonError
from pantheon360_blender.core.srgb import LINEAR_OF_BYTE, linear_to_srgb

TRAIN, HELD_OUT = "train", "held-out"
SIDE = 256
"""Pixels of a texture's side."""
VERSION = 1
"""Of the folder's layout."""
_PICTURE, _PANORAMA_BYTES = budget.exactly(SIDE, SIDE), 64 << 20

_INSTEAD = {
    "road": ("paving", "wall"),
    "paving": ("floor", "road"),
    "ceiling": ("wall",),
    "roof": ("facade", "wood"),
    "facade": ("wall",),
    "door": ("wood", "metal"),
    "front": ("wood",),
    "rug": ("fabric", "floor"),
    "fabric": ("wall",),
    "picture": ("facade", "floor"),
    "foliage": ("ground",),
    "metal": ("wall",),
    "ground": ("road",),
    "floor": ("paving", "wood"),
}
"""What else a surface may show if the set has no picture of its kind."""


class TexturesMissing(PantheonError):
    """There are no textures to cover worlds with."""


@dataclass(frozen=True, eq=False)
class TextureSet:
    """The textures of one split as mip pyramids, and its panoramas.

    texels: (N, 3) uint8 sRGB: level by level from SIDE to 1 pixel, in each level texture by texture, row by row.
    bases: where each level begins. means: (T, 3) float64, linear light. kinds: of each texture.
    metres: the width of each in metres, 0 if it is as wide as what it covers. files: their names.
    panoramas: (H, W, 3) float32 linear light each, equirectangular; roofed: whether each has a ceiling.
    """

    texels: torch.Tensor
    bases: tuple[int, ...]
    means: np.ndarray
    kinds: tuple[str, ...]
    metres: tuple[float, ...]
    files: tuple[str, ...]
    panoramas: tuple[torch.Tensor, ...]
    roofed: tuple[bool, ...]

    def of_kind(self, kind: str) -> list[int]:
        """Indices of the textures of a kind; of the nearest kind that the set has, if it has none."""
        for candidate in (kind, *_INSTEAD.get(kind, ())):
            found = [index for index, its in enumerate(self.kinds) if its == candidate]
            if found:
                return found
        return list(range(len(self.kinds)))

    @classmethod
    def load(cls, folder: Path, split: str, device: torch.device | str = "cpu") -> TextureSet:
        """Read the textures of a split. Raises TexturesMissing if the folder was not prepared or has none of it."""
        advice = "Run python scripts/training_textures.py: it fetches them."
        try:
            manifest = inputs.read_json(folder / "manifest.json", budget.LIST_FILE)
        except (OSError, ValueError) as error:
            raise TexturesMissing(f"There are no textures in {folder}: {inputs.why(error)}.", advice=advice) from error
        if manifest.get("version") != VERSION:
            raise TexturesMissing(f"The textures in {folder} were prepared by another version.", advice=advice)
        entries = [entry for entry in manifest["textures"] if entry["split"] == split]
        if not entries:
            raise TexturesMissing(f"The textures in {folder} have none of the split {split!r}.", advice=advice)
        pyramids = [_pyramid(_pixels(folder / entry["file"])) for entry in entries]
        levels = [np.concatenate([pyramid[level] for pyramid in pyramids]) for level in range(len(pyramids[0]))]
        panoramas = [entry for entry in manifest["panoramas"] if entry["split"] == split]
        starts = np.cumsum([0, *(len(level) for level in levels)])
        return cls(
            texels=torch.from_numpy(np.concatenate(levels)).to(device),
            bases=tuple(int(start) for start in starts[:-1]),
            means=LINEAR_OF_BYTE[levels[-1]].astype(np.float64),
            kinds=tuple(entry["kind"] for entry in entries),
            metres=tuple(float(entry["metres"]) for entry in entries),
            files=tuple(entry["file"] for entry in entries),
            panoramas=tuple(torch.from_numpy(_panorama(folder / entry["file"])).to(device) for entry in panoramas),
            roofed=tuple(bool(entry["roofed"]) for entry in panoramas),
        )

    def sample(self, texture: torch.Tensor, u: torch.Tensor, v: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """Linear light (M, 3) float32, bilinear within the mip level next to `level`.

        texture: (M,) int64. u, v: (M,) in widths of the texture, which repeats. level: (M,) float, 0 is the finest.
        """
        level = level.round().clamp(0, len(self.bases) - 1).long()
        side = torch.bitwise_right_shift(torch.full_like(level, SIDE), level)
        bases = torch.tensor(self.bases, device=level.device)
        base = bases[level] + texture * side * side
        x, y = (u - u.floor()) * side - 0.5, (v - v.floor()) * side - 0.5
        left, top = x.floor(), y.floor()
        share_x, share_y = (x - left)[:, None], (y - top)[:, None]
        mask = side - 1
        left, top = left.long(), top.long()
        columns, rows = (left & mask, (left + 1) & mask), ((top & mask) * side, ((top + 1) & mask) * side)
        upper, lower = (
            torch.lerp(self._texels(base + row + columns[0]), self._texels(base + row + columns[1]), share_x)
            for row in rows
        )
        return decoded(torch.lerp(upper, lower, share_y))

    def _texels(self, index: torch.Tensor) -> torch.Tensor:
        return self.texels.index_select(0, index).float()


def decoded(encoded: torch.Tensor) -> torch.Tensor:
    """Linear light of sRGB values 0..255, by the curve's usual approximation (wrong by 0.003 at most)."""
    x = encoded / 255
    return x * (x * (x * 0.305306011 + 0.682171111) + 0.012522878)


def _pixels(path: Path) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8. Raises FileError if the file is none of those that were prepared."""
    from PIL import Image  # eight times as fast as core's reader, and there are hundreds

    try:
        with Image.open(io.BytesIO(inputs.read_bytes(path, _PICTURE.bytes)), formats=["PNG", "JPEG"]) as opened:
            _PICTURE.check(*opened.size, str(path))
            return np.asarray(opened.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise FileError(f"{path} cannot be read: {inputs.why(error)}.") from error


def _panorama(path: Path) -> np.ndarray:
    """(H, W, 3) float32 linear light. Raises FileError if the file is none of those that were prepared."""
    try:
        pixels = np.load(io.BytesIO(inputs.read_bytes(path, _PANORAMA_BYTES)), allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise FileError(f"{path} cannot be read: {inputs.why(error)}.") from error
    return np.asarray(pixels, np.float32)


def _pyramid(pixels: np.ndarray) -> list[np.ndarray]:
    """(side * side, 3) uint8 of every level, halved in linear light."""
    levels, linear = [pixels.reshape(-1, 3)], LINEAR_OF_BYTE[pixels]
    while len(linear) > 1:
        half = len(linear) // 2
        linear = linear.reshape(half, 2, half, 2, 3).mean(axis=(1, 3))
        levels.append(np.rint(linear_to_srgb(linear) * 255).astype(np.uint8).reshape(-1, 3))
    return levels
