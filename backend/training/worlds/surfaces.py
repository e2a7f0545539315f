"""What the faces of solids look like where rays hit them: normals and colours, from textures at the right size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .shapes import Face
from .textures import SIDE, TextureSet


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Points that were hit, (M, ...): place and normal (3), albedo (3) and emission (3) in linear light;
    projected: bool, whether the place's panorama is shown there, None if it is nowhere."""

    points: torch.Tensor
    normals: torch.Tensor
    albedo: torch.Tensor
    emission: torch.Tensor
    projected: torch.Tensor | None


class FaceTable:
    """The faces of a place as tensors that hits are looked up in."""

    def __init__(self, faces: Sequence[Face], textures: TextureSet) -> None:
        self._textures = textures
        device = textures.texels.device

        def table(rows: list[list[float]]) -> torch.Tensor:
            return torch.tensor(np.array(rows, np.float32), device=device)

        self._shape = table([[*f.normal, *f.curvature, *_centre(f)] for f in faces])
        self._mapping = table([[*f.across, *f.down, *f.origin, f.radius] for f in faces])
        fineness = [SIDE * max(float(np.linalg.norm(f.across)), float(np.linalg.norm(f.down))) for f in faces]
        self._paint = table(
            [[*f.paint.tint, f.paint.emission, texels] for f, texels in zip(faces, fineness, strict=True)]
        )
        self._texture = torch.tensor([f.paint.texture for f in faces], device=device)
        self._windowed = torch.tensor([f.paint.windows is not None for f in faces], device=device)
        self._windows = table([_windows(f) for f in faces])
        projected = [f.paint.projected for f in faces]
        self._projected = torch.tensor(projected, device=device) if any(projected) else None
        self._any_windows = any(f.paint.windows is not None for f in faces)
        self._any_round = any(f.radius > 0 for f in faces)

    def surfaces(
        self, face: torch.Tensor, points: torch.Tensor, rays: torch.Tensor, footprint: torch.Tensor
    ) -> Surfaces:
        """What is seen at points (M, 3) of faces (M,) along unit rays (M, 3); footprint: (M,) metres across a ray."""
        face = face.long()
        shape = self._shape[face]
        mapping = self._mapping[face]
        paint = self._paint[face]
        normals = shape[:, :3]
        u, v = (points * mapping[:, :3]).sum(1) + mapping[:, 6], (points * mapping[:, 3:6]).sum(1) + mapping[:, 7]
        if self._any_round:
            offset = points - shape[:, 6:9]
            normals = normals + offset * shape[:, 3:6]
            arc = torch.atan2(offset[:, 1], offset[:, 0]) * mapping[:, 8]
            u = torch.where(mapping[:, 8] > 0, arc * mapping[:, :3].norm(dim=1), u)
        cosine = (normals * rays).sum(1).abs().clamp_min(0.1)
        level = torch.log2((footprint * paint[:, 4] / cosine.sqrt()).clamp_min(1e-3))
        texture = self._texture[face]
        colour = self._textures.sample(texture.clamp_min(0), u, v, level)
        colour = torch.where((texture >= 0)[:, None], colour, torch.ones_like(colour)) * paint[:, :3]
        emission = colour * paint[:, 3:4]
        if self._any_windows:
            chosen = self._windowed[face].nonzero()[:, 0]
            colour = colour.index_copy(0, chosen, self._panes(face[chosen], points[chosen], colour[chosen]))
        projected = None if self._projected is None else self._projected[face]
        return Surfaces(points, normals, colour.clamp(0, 0.95), emission, projected)

    def _panes(self, face: torch.Tensor, points: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
        """Colours (M, 3) of faces with windows: frame and glass where a pane is, the wall elsewhere."""
        it = self._windows[face]
        across, up = (points * it[:, :3]).sum(1) - it[:, 3], points[:, 2] - it[:, 4]
        column, row = torch.floor((across - it[:, 9]) / it[:, 5]), torch.floor((up - it[:, 10]) / it[:, 6])
        inside_u, inside_v = across - it[:, 9] - column * it[:, 5], up - it[:, 10] - row * it[:, 6]
        edge = torch.minimum(torch.minimum(inside_u, it[:, 7] - inside_u), torch.minimum(inside_v, it[:, 8] - inside_v))
        bar = ((inside_u - it[:, 7] / 2).abs() < it[:, 15] / 2) & (it[:, 7] > 0.9)
        pane = (edge > 0) & (up < it[:, 11]) & (row >= 0) & (column >= 0)
        framed = (edge < it[:, 15]) | bar
        random = torch.frac((column * 12.9898 + row * 78.233 + it[:, 3]).sin().abs() * 437.5853)
        glass = it[:, 12:15] * (0.5 + random[:, None] + 0.5 * (inside_v / it[:, 8])[:, None])
        shown = torch.where(framed[:, None], torch.full_like(glass, 0.6), glass)
        return torch.where(pane[:, None], shown, colour)


def _centre(face: Face) -> list[float]:
    return [0.0, 0.0, 0.0] if face.centre is None else [float(axis) for axis in face.centre]


def _windows(face: Face) -> list[float]:
    windows = face.paint.windows
    if windows is None:
        return [0.0] * 16
    across = face.across / max(float(np.linalg.norm(face.across)), 1e-9)
    return [
        *across,
        *face.corner,
        *windows.period,
        *windows.size,
        *windows.start,
        windows.stop,
        *windows.colour,
        windows.frame,
    ]


def pixel_angle(width: int) -> float:
    """Radians that a pixel of a panorama is high."""
    return 2 * math.pi / width
