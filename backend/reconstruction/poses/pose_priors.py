"""What is known of captures before they are solved, and the world frame it puts a solved model into.

A model by structure from motion has no scale, up or north. Up comes from the captures' own levelling. Scale and north
come from GPS, stated distances, compass headings or a stated camera height, if they can be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pantheon360_blender.core.errors import CaptureError, PoseError
from pantheon360_blender.core.panorama.capture import Capture

from .. import registration
from ..registration import Similarity

_TRUSTED_SHARE = 0.25
"""Relative error of GPS's scale up to which it is preferred to a stated camera height."""
_UNEVEN = np.radians(6.0)
_SHALLOWEST = np.tan(np.radians(12.0))
_FEWEST_ON_GROUND = 10.0
"""Points straight below, or as many more as are seen less steeply."""
_GROUND_SPREAD = 0.06
"""Relative scatter of ground points in height."""


@dataclass(frozen=True)
class PosePrior:
    """What is known of one capture.

    position: (3,) metres east, north, up in the world, or None. Heights are not relied upon.
    accuracy: metres by which positions of one walk err against each other (not against the Earth).
    heading: true compass heading of the image centre in degrees, or None.
    heading_accuracy: degrees; captures of one camera share this error.
    """

    position: np.ndarray | None = None
    accuracy: float = 0.5
    heading: float | None = None
    heading_accuracy: float = 30.0


@dataclass(frozen=True)
class Frame:
    """How a model lies in the world.

    similarity: model to world. scale_from: "distance", "gps", "height" or "nothing". north_from: "gps", "heading",
    "gps and heading" or "captures". camera_height: estimated metres above the ground, or None.
    tilts: (M,) radians between each capture's own up and the common one. notes: what the artist should know.
    """

    similarity: Similarity
    scale_from: str
    north_from: str
    camera_height: float | None
    tilts: np.ndarray
    notes: tuple[str, ...]


def world_frame(
    poses: np.ndarray,
    points: np.ndarray,
    captures: Sequence[Capture],
    priors: Sequence[PosePrior],
    *,
    distance: tuple[str, str, float] | None = None,
    camera_height: float | None = None,
) -> Frame:
    """Find scale, up, north and origin of a solved model.

    poses: (M, 4, 4) camera-to-model, Blender's camera axes, in the model's own frame and scale.
    points: (N, 3) sparse points of the model. captures, priors: M each, of the same cameras.
    distance: names of two captures and the metres between them. camera_height: metres above the ground.
    Raises CaptureError if a stated distance names a capture that is not among them or is not positive.
    """
    notes: list[str] = []
    up, tilts = _common_up(poses, captures)
    if tilts.max(initial=0.0) > _UNEVEN:
        worst = captures[int(np.argmax(tilts))].name
        notes.append(
            f"{worst} is {np.degrees(tilts.max()):.1f}° off the level of the others: level it, or expect a slope."
        )
    level_from_model = registration.shortest_rotation_to_z(up)
    levelled = Similarity(1.0, level_from_model, np.zeros(3)).poses(poses)
    fit = _gps_fit(levelled[:, :3, 3], priors)
    world_from_level, north_from = _north(levelled, captures, priors, fit)
    height = ground_distance(points @ level_from_model.T, levelled[:, :3, 3])
    scale, scale_from = _scale(levelled[:, :3, 3], captures, fit, distance, camera_height, height, notes)
    world_from_model = world_from_level @ level_from_model
    turned = scale * (poses[:, :3, 3] @ world_from_model.T)
    shift = _origin(turned, captures, priors)
    above = None if height is None else height * scale
    notes += _disagreements(turned + shift, captures, priors)
    return Frame(Similarity(scale, world_from_model, shift), scale_from, north_from, above, tilts, tuple(notes))


def ground_distance(points: np.ndarray, positions: np.ndarray) -> float | None:
    """The cameras' height above the ground, in the model's units; None if too few points tell.

    points: (N, 3) sparse, positions: (M, 3) of cameras, both with +Z up. The ground is the lowest level with many
    points. Points that the nearest camera sees steeply count most, as streets slope and kerbs rise further off.
    """
    if not len(points):
        return None
    across = np.linalg.norm(points[:, None, :2] - positions[None, :, :2], axis=-1)
    nearest = np.argmin(across, axis=1)
    drop = positions[nearest, 2] - points[:, 2]
    steepness = drop / np.maximum(across[np.arange(len(points)), nearest], 1e-12)
    below = steepness > _SHALLOWEST
    depths, weights = np.log(drop[below]), np.minimum(steepness[below], 1.0) ** 2
    if weights.sum() < _FEWEST_ON_GROUND:
        return None
    grid = np.arange(depths.min() - 0.2, depths.max() + 0.2, 0.01)
    density = np.exp(-0.5 * ((grid[:, None] - depths) / _GROUND_SPREAD) ** 2) @ weights
    peak = (density >= np.roll(density, 1)) & (density >= np.roll(density, -1)) & (density >= 0.5 * density.max())
    lowest = grid[np.flatnonzero(peak)[-1]]
    agreeing = np.abs(depths - lowest) < 2 * _GROUND_SPREAD
    if weights[agreeing].sum() < max(_FEWEST_ON_GROUND / 2, 0.15 * weights.sum()):
        return None
    return float(np.exp(np.average(depths[agreeing], weights=weights[agreeing])))


@dataclass(frozen=True)
class _GpsFit:
    """Model to GPS, upright. error: relative, of scale and rotation (radians). span: metres between positions."""

    similarity: Similarity
    error: float
    span: float


def _gps_fit(positions: np.ndarray, priors: Sequence[PosePrior]) -> _GpsFit | None:
    known = [index for index, prior in enumerate(priors) if prior.position is not None]
    if len(known) < 2:
        return None
    there = np.stack([np.asarray(priors[index].position, dtype=np.float64) for index in known])
    accuracy = float(np.median([priors[index].accuracy for index in known]))
    span = float(np.linalg.norm(there[:, None, :2] - there[None, :, :2], axis=-1).max())
    try:
        fit = registration.upright_similarity(positions[known], there, threshold=accuracy)
    except PoseError:
        return None
    extent = float(np.linalg.norm(there[:, :2] - there[:, :2].mean(axis=0)))
    return _GpsFit(fit, accuracy / max(extent, 1e-9), span)


def _common_up(poses: np.ndarray, captures: Sequence[Capture]) -> tuple[np.ndarray, np.ndarray]:
    """The up (3,) in the model that most captures agree on, and how far each is off, radians."""
    own = np.stack([pose[:3, :3] @ capture.pose[2, :3] for pose, capture in zip(poses, captures, strict=True)])
    up = registration.geometric_median(own) if len(own) > 2 else own.mean(axis=0)
    length = np.linalg.norm(up)
    up = own[0] if length < 1e-6 else up / length
    return up, registration.angles_between(own, up)


def _north(
    levelled: np.ndarray, captures: Sequence[Capture], priors: Sequence[PosePrior], fit: _GpsFit | None
) -> tuple[np.ndarray, str]:
    """world_from_level, (3, 3) about Z, and what it is from."""
    votes: list[tuple[complex, float]] = []
    sources = []
    if fit is not None and fit.error < 1.5:
        votes.append((complex(*fit.similarity.rotation[:2, 0]), 1 / fit.error**2))
        sources.append("gps")
    ahead = -(levelled[:, 0, 2] + 1j * levelled[:, 1, 2])  # where the image centres look, seen from above
    headed = [i for i, prior in enumerate(priors) if prior.heading is not None and abs(ahead[i]) > 0.1]
    if headed:
        compass = np.array([_bearing(priors[i].heading or 0.0) for i in headed])
        error = np.radians(np.median([priors[i].heading_accuracy for i in headed]))
        votes.append((_common_turn(compass / ahead[headed]), 1 / error**2))
        sources.append("heading")
    if not votes:
        own = np.array([-(capture.pose[0, 2] + 1j * capture.pose[1, 2]) for capture in captures])
        usable = (np.abs(own) > 0.1) & (np.abs(ahead) > 0.1)
        votes.append((_common_turn(own[usable] / ahead[usable]) if usable.any() else 1 + 0j, 1.0))
        sources.append("captures")
    # The better source leads; a vote that points elsewhere must not turn the sum half way round.
    votes.sort(key=lambda vote: -vote[1])
    total = sum(vote * weight for vote, weight in votes)
    if len(votes) == 2 and (votes[1][0] / votes[0][0]).real < 0:
        total = votes[0][0]
    turn = total / abs(total)
    return np.array([[turn.real, -turn.imag, 0], [turn.imag, turn.real, 0], [0, 0, 1.0]]), " and ".join(sources)


def _bearing(heading: float) -> complex:
    """A compass heading in degrees as east + i north."""
    angle = np.radians(heading)
    return complex(np.sin(angle), np.cos(angle))


def _common_turn(turns: np.ndarray) -> complex:
    unit = turns / np.abs(turns)
    middle = registration.geometric_median(np.column_stack([unit.real, unit.imag])) if len(unit) > 2 else None
    turn = complex(*middle) if middle is not None else complex(unit.sum())
    return turn / abs(turn) if abs(turn) > 1e-9 else complex(unit[0])


def _scale(
    positions: np.ndarray,
    captures: Sequence[Capture],
    fit: _GpsFit | None,
    distance: tuple[str, str, float] | None,
    camera_height: float | None,
    height: float | None,
    notes: list[str],
) -> tuple[float, str]:
    """Metres per unit of the model and where they are from, the most trustworthy first."""
    if distance is not None:
        return _stated_scale(positions, captures, distance), "distance"
    if camera_height is not None and height is None:
        notes.append("The stated camera height was not used: too few points were found on the ground.")
    by_height = camera_height / height if camera_height is not None and height is not None else None
    if fit is not None and (fit.error <= _TRUSTED_SHARE or by_height is None):
        if fit.error > _TRUSTED_SHARE:
            notes.append(
                f"GPS positions are only {fit.span:.1f} m apart: the scale may be {100 * fit.error:.0f} % off. "
                "State a distance or the camera's height."
            )
        return fit.similarity.scale, "gps"
    if by_height is not None:
        return by_height, "height"
    notes.append("Nothing tells the scale (no GPS, distance or camera height): the first step is 1 m long.")
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    steps = steps[steps > 0]  # captures of one tripod are no step
    return (1.0 / float(steps[0]) if len(steps) else 1.0), "nothing"


def _stated_scale(positions: np.ndarray, captures: Sequence[Capture], distance: tuple[str, str, float]) -> float:
    names = [capture.name for capture in captures]
    first, second, metres = distance
    missing = [name for name in (first, second) if name not in names]
    if missing:
        raise CaptureError(
            f"The stated distance is to {missing[0]}, which has no solved pose.", advice="Measure between two others."
        )
    apart = float(np.linalg.norm(positions[names.index(first)] - positions[names.index(second)]))
    if not metres > 0 or apart <= 0:
        raise CaptureError(f"{metres:g} m from {first} to {second} is no distance.", advice="Name two captures apart.")
    return metres / apart


def _disagreements(positions: np.ndarray, captures: Sequence[Capture], priors: Sequence[PosePrior]) -> list[str]:
    """Captures that GPS puts elsewhere: a bad fix, or a wrong pose."""
    notes = []
    for position, capture, prior in zip(positions, captures, priors, strict=True):
        if prior.position is None:
            continue
        apart = float(np.linalg.norm(position[:2] - np.asarray(prior.position, dtype=np.float64)[:2]))
        if apart > 3 * prior.accuracy:
            notes.append(f"GPS puts {capture.name} {apart:.1f} m from where its picture does.")
    return notes


def _origin(scaled: np.ndarray, captures: Sequence[Capture], priors: Sequence[PosePrior]) -> np.ndarray:
    """The shift into the world: by GPS across, by the captures' own heights upwards."""
    known = [index for index, prior in enumerate(priors) if prior.position is not None]
    own = np.stack([np.asarray(capture.pose, dtype=np.float64)[:3, 3] for capture in captures])
    if known:
        there = np.stack([np.asarray(priors[index].position, dtype=np.float64)[:2] for index in known])
        across = there - scaled[known, :2]
        shift = registration.geometric_median(across) if len(across) > 2 else across.mean(axis=0)
    else:
        shift = own[0, :2] - scaled[0, :2]
    return np.array([*shift, float(np.median(own[:, 2]) - np.median(scaled[:, 2]))])
