"""What rays hit first among solids, and how far away: in closed form, on any device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .rays import Aim, Rays, Window
from .shapes import Solid

_NEAR = 1e-3  # metres


@dataclass(frozen=True, eq=False)
class Hits:
    """range: (H, W) float32, metres along the ray, inf where nothing is hit. face: (H, W) int32, counted through the
    faces of all solids, -1 where nothing is hit."""

    range: torch.Tensor
    face: torch.Tensor


def cast(solids: Sequence[Solid], rays: Rays) -> Hits:
    """The first hit of each ray. Solids that a ray starts in are not seen."""
    hits = Hits(
        torch.full(rays.shape, math.inf, device=rays.device),
        torch.full(rays.shape, -1, dtype=torch.int32, device=rays.device),
    )
    first = 0
    for aim in rays.aims(solids) if solids else []:
        for window in aim.windows:
            _enter(aim, rays, window, first, hits)
        first += len(aim.solid.faces)
    return hits


def _enter(aim: Aim, rays: Rays, window: Window, first: int, hits: Hits) -> None:
    """Enter a solid's hits within a window; its faces are counted from `first`."""
    near: torch.Tensor | None = None
    face: torch.Tensor | int = first
    far: torch.Tensor | None = None
    if aim.solid.round:
        near, far = _through_round(aim.solid, rays, window)
        face = first + len(aim.planes)
    for index, plane in enumerate(aim.planes):
        reach = rays.reach(plane, window)
        if not plane.outside:
            far = reach if far is None else torch.minimum(far, reach)
        elif near is None:
            near, face = reach, first + index
        else:
            if isinstance(face, int):
                face = torch.full(near.shape, face, dtype=torch.int32, device=near.device)
            face.masked_fill_(reach > near, first + index)
            near = torch.maximum(near, reach)
    if near is None:
        return
    nearest = hits.range[window]
    seen = (near < nearest) & (near > _NEAR)
    if far is not None:
        seen &= near < far
    if isinstance(face, int):
        hits.face[window].masked_fill_(seen, face)
    else:
        hits.face[window] = torch.where(seen, face, hits.face[window])
    hits.range[window] = torch.where(seen, near, nearest)


def _through_round(solid: Solid, rays: Rays, window: Window) -> tuple[torch.Tensor, torch.Tensor]:
    """Ranges (h, w) at which rays enter and leave a ball or an endless pole; inf and -inf where they miss it."""
    assert solid.centre is not None
    direction = rays.directions(window)
    centre = torch.tensor(solid.centre, dtype=torch.float32, device=direction.device)
    to_centre = centre - rays.origins(window)
    if solid.round == "pole":
        direction, to_centre = direction[..., :2], to_centre[..., :2]
    square = (direction * direction).sum(-1).clamp_min(1e-12)
    along = (direction * to_centre).sum(-1)
    root = along * along - square * ((to_centre * to_centre).sum(-1) - solid.radius**2)
    hit = root > 0
    half = root.clamp_min(0).sqrt()
    near = torch.where(hit, (along - half) / square, math.inf)
    far = torch.where(hit, (along + half) / square, -math.inf)
    return near, far
