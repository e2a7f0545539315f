"""Registration: similarities between frames, and panoramas' poses from those of their crops, robust to outliers.

A similarity maps points x to scale * rotation @ x + translation. Poses are (4, 4) camera-to-world. Estimated poses of
crops and the rig's rotations must have the same camera axes (both Blender's or both OpenCV's).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pantheon360_blender.core.errors import PoseError

_ROUNDS = 50
_HYPOTHESES = 400


@dataclass(frozen=True)
class Similarity:
    """scale > 0; rotation (3, 3) float64, proper; translation (3,) float64 in units of the target."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def points(self, points: np.ndarray) -> np.ndarray:
        """Map points (..., 3); float64."""
        return np.asarray(self.scale * (np.asarray(points, dtype=np.float64) @ self.rotation.T) + self.translation)

    def poses(self, poses: np.ndarray) -> np.ndarray:
        """Map camera-to-world poses (..., 4, 4): they stay rigid, only their positions are scaled."""
        mapped = np.array(poses, dtype=np.float64)
        mapped[..., :3, :3] = self.rotation @ mapped[..., :3, :3]
        mapped[..., :3, 3] = self.points(mapped[..., :3, 3])
        return mapped


def mean_rotation(rotations: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The rotation nearest to `rotations` (N, 3, 3) in the chordal sense, weighted (N,); (3, 3) float64.

    Source: Hartley, Trumpf, Dai, Li, "Rotation averaging", IJCV 2013.
    """
    rotations = np.asarray(rotations, dtype=np.float64)
    weights = np.ones(len(rotations)) if weights is None else np.asarray(weights, dtype=np.float64)
    left, _, right = np.linalg.svd(np.einsum("n,nij->ij", weights, rotations))
    return np.asarray((left * np.array([1.0, 1.0, np.linalg.det(left) * np.linalg.det(right)])) @ right)


def robust_mean_rotation(rotations: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The rotation (3, 3) float64 that most of `rotations` (N, 3, 3) agree on."""
    rotations = np.asarray(rotations, dtype=np.float64)
    weights = np.ones(len(rotations)) if weights is None else np.asarray(weights, dtype=np.float64)
    angles = np.stack([rotation_angles(rotations, candidate) for candidate in rotations])
    best = rotations[np.argmin([_weighted_median(row, weights) for row in angles])]
    for _ in range(_ROUNDS):
        refined = mean_rotation(rotations, weights * _cauchy(rotation_angles(rotations, best), None))
        still = np.abs(refined - best).max()
        best = refined
        if still < 1e-13:
            break
    return np.asarray(best)


def rotation_angles(rotations: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Angles in radians between `rotations` (..., 3, 3) and `other`, broadcast; accurate for small ones."""
    chord = np.linalg.norm(np.asarray(rotations) - np.asarray(other), axis=(-2, -1))
    return np.asarray(2 * np.arcsin(np.clip(chord / (2 * np.sqrt(2)), 0.0, 1.0)))


def rotation_between(source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The rotation with the least squares from directions `source` (N, 3), N >= 2, to `target`; target = R source.

    Source: W. Kabsch, "A solution for the best rotation to relate two sets of vectors", Acta Cryst. A32, 1976.
    """
    weights = np.ones(len(source)) if weights is None else np.asarray(weights, dtype=np.float64)
    left, _, right = np.linalg.svd((np.asarray(target, dtype=np.float64) * weights[:, None]).T @ source)
    return np.asarray((left * np.array([1.0, 1.0, np.linalg.det(left) * np.linalg.det(right)])) @ right)


def shortest_rotation_to_z(up: np.ndarray) -> np.ndarray:
    """The shortest rotation (3, 3) that takes the unit vector `up` (3,) to +Z."""
    axis = np.cross(up, (0.0, 0.0, 1.0))
    sine, cosine = float(np.linalg.norm(axis)), float(up[2])
    if sine < 1e-12:
        return np.eye(3) if cosine > 0 else np.diag([1.0, -1.0, -1.0])
    x, y, z = axis / sine
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + sine * skew + (1 - cosine) * (skew @ skew))


def angles_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angles in radians between unit vectors (..., 3), accurate for small ones."""
    apart = np.linalg.norm(np.asarray(first) - second, axis=-1)
    return np.asarray(2 * np.arctan2(apart, np.linalg.norm(np.asarray(first) + second, axis=-1)))


def geometric_median(points: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The point with the least weighted sum of distances to `points` (N, D); (D,) float64.

    Source: E. Weiszfeld, "Sur le point pour lequel la somme des distances de n points donnés est minimum", 1937.
    """
    points = np.asarray(points, dtype=np.float64)
    weights = np.ones(len(points)) if weights is None else np.asarray(weights, dtype=np.float64)
    centre = np.median(points, axis=0)
    spread = float(np.abs(points - centre).max())
    if spread == 0.0:
        return np.asarray(centre)
    floor = 1e-12 * spread  # nearer than this to one of the points, it is that point
    for _ in range(4 * _ROUNDS):
        pull = weights / np.maximum(np.linalg.norm(points - centre, axis=1), floor)
        refined = pull @ points / pull.sum()
        still = np.abs(refined - centre).max()
        centre = refined
        if still <= floor:
            break
    return np.asarray(centre)


@dataclass(frozen=True)
class RigFit:
    """One panorama's pose from its crops' estimated ones.

    pose: (4, 4) float64 camera-to-world of the panorama, in the estimate's frame and scale.
    angles: (V,) radians each crop's estimate is turned against the rig.
    offsets: (V,) distance of each crop's estimated centre from the shared one, in the estimate's units.
    """

    pose: np.ndarray
    angles: np.ndarray
    offsets: np.ndarray


def rig_similarity(poses: np.ndarray, rotations: np.ndarray, weights: np.ndarray | None = None) -> RigFit:
    """The rigid pose of a panorama that its crops' estimated poses agree on.

    poses: (V, 4, 4) estimated camera-to-world poses of the crops, in any frame and scale.
    rotations: (V, 3, 3) of the rig's layout, crop camera to panorama camera, same axes as `poses`.
    weights: (V,) trust in each crop, or None.
    Up to nearly half of the crops may be wrong. Raises PoseError if shapes do not fit or nothing is finite.
    """
    poses, rotations = np.asarray(poses, dtype=np.float64), np.asarray(rotations, dtype=np.float64)
    if poses.ndim != 3 or poses.shape[1:] != (4, 4) or rotations.shape != (len(poses), 3, 3) or not len(poses):
        raise PoseError(f"{poses.shape} crop poses do not belong to a rig of {rotations.shape} rotations.")
    weights = np.ones(len(poses)) if weights is None else np.array(weights, dtype=np.float64)
    usable = np.isfinite(poses).all(axis=(1, 2)) & (weights > 0)
    if not usable.any():
        raise PoseError("None of the panorama's crops has a finite pose.", advice="Leave this panorama out.")
    model_from_rig = poses[:, :3, :3] @ np.swapaxes(rotations, 1, 2)
    pose = np.eye(4)
    pose[:3, :3] = robust_mean_rotation(model_from_rig[usable], weights[usable])
    pose[:3, 3] = geometric_median(poses[usable, :3, 3], weights[usable])
    angles, offsets = np.full(len(poses), np.inf), np.full(len(poses), np.inf)
    angles[usable] = rotation_angles(model_from_rig[usable], pose[:3, :3])
    offsets[usable] = np.linalg.norm(poses[usable, :3, 3] - pose[:3, 3], axis=1)
    return RigFit(pose, angles, offsets)


def pose_similarity(source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None) -> Similarity:
    """The similarity from cameras in one frame to the same cameras in another, robust.

    Orientations give the rotation, so that two cameras determine it; positions give scale and translation.
    source, target: (N, 4, 4) camera-to-world. One camera, or all in one place, leave the scale at 1.
    Raises PoseError if shapes do not fit.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if source.shape != target.shape or source.ndim != 3 or source.shape[1:] != (4, 4) or not len(source):
        raise PoseError(f"{source.shape} poses cannot be registered to {target.shape} poses.")
    weights = np.ones(len(source)) if weights is None else np.asarray(weights, dtype=np.float64)
    target_from_source = robust_mean_rotation(target[:, :3, :3] @ np.swapaxes(source[:, :3, :3], 1, 2), weights)
    turned, wanted = source[:, :3, 3] @ target_from_source.T, target[:, :3, 3]
    scale = _pairwise_scale(turned, wanted, weights)
    return Similarity(scale, target_from_source, geometric_median(wanted - scale * turned, weights))


def upright_similarity(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None, *, threshold: float | None = None
) -> Similarity:
    """The robust similarity that keeps +Z upright: rotation about Z and scale from horizontal positions alone.

    For GPS positions, whose heights are poor, and for straight walks. The median shifts the heights.
    source, target: (N, 3), N >= 2, not all above one another. threshold: residual at which a point counts half, in
    units of the target; None takes the residuals' spread.
    Raises PoseError if the points do not determine it.
    """
    source, target, weights = _checked(source, target, weights)
    here, there = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    extent = np.abs(here - here.mean()).max()
    if extent <= 1e-12 * (1 + np.abs(here).max()) or np.abs(there - there.mean()).max() <= 0:
        raise PoseError("All positions are in one place: neither scale nor turn can be told.")
    turn, shift = _best_pair(here, there, weights)
    for _ in range(_ROUNDS):
        residual = np.abs(turn * here + shift - there)
        share = weights * _cauchy(residual, threshold)
        share /= share.sum()
        from_mean, to_mean = here - share @ here, there - share @ there
        refined = (share * from_mean.conj()) @ to_mean / ((share * np.abs(from_mean) ** 2).sum())
        still = abs(refined - turn)
        turn, shift = refined, share @ there - refined * (share @ here)
        if still <= 1e-13 * abs(turn):
            break
    scale, angle = float(abs(turn)), float(np.angle(turn))
    target_from_source = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    height = _weighted_median(target[:, 2] - scale * source[:, 2], weights)
    return Similarity(scale, target_from_source, np.array([shift.real, shift.imag, height]))


def _best_pair(here: np.ndarray, there: np.ndarray, weights: np.ndarray) -> tuple[complex, complex]:
    """Turn-and-scale and shift, as complex numbers, of the pair of points that leaves the least median residual."""
    best, cost = (0j, 0j), np.inf
    first, second = np.triu_indices(len(here), 1)
    if len(first) > _HYPOTHESES:
        chosen = np.random.default_rng(0).choice(len(first), _HYPOTHESES, replace=False)
        first, second = first[chosen], second[chosen]
    for i, j in zip(first, second, strict=True):
        apart = here[j] - here[i]
        if abs(apart) < 1e-9 * np.abs(here - here.mean()).max() or there[j] == there[i]:
            continue
        turn = (there[j] - there[i]) / apart
        shift = (there[i] + there[j] - turn * (here[i] + here[j])) / 2
        residual = np.abs(turn * here + shift - there)
        # A pair meets its own two points exactly; the median of few points needs the mean to break ties.
        candidate = _weighted_median(residual, weights) + 1e-3 * float(residual.mean())
        if candidate < cost:
            best, cost = (turn, shift), candidate
    return best


def _pairwise_scale(source: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
    """Ratio of the distances among `target` to those among `source`; long distances count more."""
    first, second = np.triu_indices(len(source), 1)
    before = np.linalg.norm(source[first] - source[second], axis=1)
    after = np.linalg.norm(target[first] - target[second], axis=1)
    usable = (before > 1e-9 * before.max(initial=0.0)) & (before > 0) & (after > 0)
    if not usable.any():
        return 1.0
    ratio, trust = after[usable] / before[usable], (weights[first] * weights[second] * after)[usable]
    scale = _weighted_median(ratio, trust)
    for _ in range(_ROUNDS):
        share = trust * _cauchy(np.abs(np.log(ratio / scale)), None)
        scale = float(np.exp(share @ np.log(ratio) / share.sum()))
    return scale


def _cauchy(residuals: np.ndarray, threshold: float | None) -> np.ndarray:
    """Weights 1 / (1 + (r / t)^2); the threshold is 2.5 times the residuals' robust spread if none is given."""
    limit = threshold if threshold is not None else 2.5 * 1.4826 * float(np.median(residuals))
    limit = max(limit, 1e-12 * (1.0 + float(np.max(residuals, initial=0.0))))
    return np.asarray(1.0 / (1.0 + (residuals / limit) ** 2))


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    heap = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(heap, heap[-1] / 2)])


def _checked(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 3:
        raise PoseError(f"{source.shape} points cannot be registered to {target.shape} points.")
    weights = np.ones(len(source)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights.shape != (len(source),) or not np.isfinite(weights).all() or (weights < 0).any():
        raise PoseError("Weights are one finite number for each point, none of them negative.")
    if np.count_nonzero(weights) < 2:
        raise PoseError(f"{np.count_nonzero(weights)} points cannot be registered; 2 are needed.")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise PoseError("Points to be registered hold NaN or infinity.")
    return source, target, weights
