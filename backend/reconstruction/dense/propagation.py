"""PatchMatch on the sphere: planes spread between pixels, are perturbed, and stay where the panoramas agree with them.

Checkerboard updates (Galliani et al., "Massively Parallel Multiview Stereopsis by Surface Normal Diffusion", ICCV 2015)
with the best plane of a near and a far stretch in each of four directions (Xu and Tao, "Multi-Scale Geometric
Consistency Guided Multi-View Stereo", CVPR 2019). Stretches along u grow towards the poles, where pixels are narrow.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from .cube_map import CubeMap
from .matching import Bench, Sources, bench_for, cost_of, lay

_STEEPEST = np.float32(0.1)  # least cosine between a plane's normal and the ray: 84 degrees
_NEAR, _FAR = (1, 3, 5), (9, 15, 23, 35)
_REACH = np.array([*_NEAR, *_FAR])
_PRIOR_TOLERANCE = np.float32(0.03)  # relative range at which a pixel has left its prior


def propagate(
    cube: CubeMap,
    rays: np.ndarray,
    active: np.ndarray,
    sources: Sources,
    limits: tuple[float, float],
    planes: np.ndarray,
    costs: np.ndarray,
    prior: np.ndarray,
    *,
    stride: float,
    spread: float,
    seed: int,
    fresh: bool,
) -> None:
    """One iteration over both colours of the checkerboard; changes `planes` (H, W, 3) and `costs` (H, W) in place.

    rays: (H, W, 3) unit directions. limits: least and largest inverse range. prior: (H, W, 3) planes that a pixel
    prefers, 0 if there are none. stride: pixels between samples of a patch. spread: relative size of perturbations.
    fresh: whether `costs` are to be computed first, as the resolution or the sources changed.
    """
    arguments = (cube.faces.ravel(), rays, active, sources)
    between = (np.float32(limits[0]), np.float32(limits[1]))
    if fresh:
        _rescore(*arguments, planes, costs, prior, stride)
    for colour in (0, 1):
        _spread(*arguments, between, planes, costs, prior, stride, np.float32(spread), seed, colour)


def evaluate(
    cube: CubeMap,
    rays: np.ndarray,
    active: np.ndarray,
    sources: Sources,
    planes: np.ndarray,
    *,
    stride: float,
    share: float,
) -> tuple[np.ndarray, np.ndarray]:
    """How well planes match, and how much worse they would match nearer and farther.

    share: relative change of range tried either way. Returns photometric costs, and how far the better of the two
    changed planes is above them, (H, W) float32 each. About 0 means that the pictures do not tell the range: nothing is
    to be seen there, or nothing moves.
    """
    return _evaluate(cube.faces.ravel(), rays, active, sources, planes, stride, np.float32(share))


@njit(cache=True, parallel=True)
def _evaluate(
    pairs: np.ndarray,
    rays: np.ndarray,
    active: np.ndarray,
    sources: Sources,
    planes: np.ndarray,
    stride: float,
    share: float,
) -> tuple[np.ndarray, np.ndarray]:
    height, width = active.shape
    photometric_cost = np.full((height, width), np.float32(2))
    distinct = np.zeros((height, width), np.float32)
    step = np.float32(stride) / sources.focal
    for v in prange(height):
        bench = bench_for(sources)
        for u in range(width):
            if not active[v, u]:
                continue
            lay(bench, pairs, rays[v, u], sources, step)
            m = planes[v, u]
            least = np.float32(9)
            for trial in range(3):
                f = np.float32(1) if trial == 0 else (np.float32(1) + share if trial == 1 else 1 / (1 + share))
                cost = cost_of(m[0] * f, m[1] * f, m[2] * f, sources, step, bench)
                if trial == 0:
                    photometric_cost[v, u] = cost
                else:
                    least = min(least, cost)
            distinct[v, u] = least - photometric_cost[v, u]
    return photometric_cost, distinct


@njit(cache=True)
def _with_prior(cost: float, m: np.ndarray, prior: np.ndarray, ray: np.ndarray, variance: float) -> float:
    expected = prior[0] * ray[0] + prior[1] * ray[1] + prior[2] * ray[2]
    if expected <= 0:
        return cost
    rho = m[0] * ray[0] + m[1] * ray[1] + m[2] * ray[2]
    away = min(abs(rho - expected) / (expected * _PRIOR_TOLERANCE), np.float32(1))
    plain = np.float32(25) / (variance + np.float32(25))
    return cost + (np.float32(0.08) + np.float32(0.4) * plain) * away


@njit(cache=True, parallel=True)
def _rescore(
    pairs: np.ndarray,
    rays: np.ndarray,
    active: np.ndarray,
    sources: Sources,
    planes: np.ndarray,
    costs: np.ndarray,
    prior: np.ndarray,
    stride: float,
) -> None:
    height, width = active.shape
    step = np.float32(stride) / sources.focal
    for v in prange(height):
        bench = bench_for(sources)
        for u in range(width):
            if not active[v, u]:
                continue
            variance = lay(bench, pairs, rays[v, u], sources, step)
            m = planes[v, u]
            cost = cost_of(m[0], m[1], m[2], sources, step, bench)
            costs[v, u] = _with_prior(cost, m, prior[v, u], rays[v, u], variance)


@njit(cache=True)
def _random(state: np.ndarray) -> float:
    """Uniform in -1..1; xorshift, one state a row, so that results do not depend on threads."""
    x = state[0]
    x ^= (x << np.uint32(13)) & np.uint32(0xFFFFFFFF)
    x ^= x >> np.uint32(17)
    x ^= (x << np.uint32(5)) & np.uint32(0xFFFFFFFF)
    state[0] = x
    return np.float32(np.float64(x) / 2147483648.0 - 1.0)


@njit(cache=True)
def _best_along(
    costs: np.ndarray, active: np.ndarray, v: int, u: int, direction: int, far: bool, narrow: float
) -> tuple[int, int]:
    """The pixel of least cost on a near or a far stretch to the right, left, below or above; (-1, -1) for none."""
    height, width = active.shape
    chosen_v, chosen_u, chosen = -1, -1, np.float32(1e9)
    for k in range(len(_NEAR) if far else 0, len(_REACH) if far else len(_NEAR)):
        reach = _REACH[k]
        nv, nu = v, u
        if direction < 2:
            wide = (int(reach * narrow) // 2) * 2 + 1
            nu = (u + wide) % width if direction == 0 else (u - wide) % width
        else:
            nv = v + reach if direction == 2 else v - reach
        if nv < 0 or nv >= height or not active[nv, nu]:
            continue
        if costs[nv, nu] < chosen:
            chosen_v, chosen_u, chosen = nv, nu, costs[nv, nu]
    return chosen_v, chosen_u


@njit(cache=True)
def _perturbed(
    m: np.ndarray, ray: np.ndarray, trial: int, spread: float, most: float, state: np.ndarray, candidate: np.ndarray
) -> bool:
    """Fill `candidate` with a plane near `m`: of another range (trial 0), normal (1), or both; False if too steep.

    most: largest inverse range.
    """
    rho = m[0] * ray[0] + m[1] * ray[1] + m[2] * ray[2]
    size = math.sqrt(m[0] * m[0] + m[1] * m[1] + m[2] * m[2])
    shrink = spread if trial < 3 else spread * np.float32(0.2)
    n0, n1, n2 = m[0] / size, m[1] / size, m[2] / size
    if trial != 0:
        turn = np.float32(2) * shrink if trial < 3 else shrink
        n0 += turn * _random(state)
        n1 += turn * _random(state)
        n2 += turn * _random(state)
    if trial != 1:
        rho *= np.float32(1) + shrink * _random(state)
        rho += np.float32(0.02) * shrink * most * _random(state)
    along = n0 * ray[0] + n1 * ray[1] + n2 * ray[2]
    length = math.sqrt(n0 * n0 + n1 * n1 + n2 * n2)
    if along < _STEEPEST * length:
        return False
    scale = rho / along
    candidate[0], candidate[1], candidate[2] = n0 * scale, n1 * scale, n2 * scale
    return True


@njit(cache=True, parallel=True)
def _spread(
    pairs: np.ndarray,
    rays: np.ndarray,
    active: np.ndarray,
    sources: Sources,
    limits: tuple[float, float],
    planes: np.ndarray,
    costs: np.ndarray,
    prior: np.ndarray,
    stride: float,
    spread: float,
    seed: int,
    colour: int,
) -> None:
    height, width = active.shape
    step = np.float32(stride) / sources.focal
    for row in prange(height):
        v = np.int64(row)  # numba counts prange unsigned, which turns differences into floats
        bench = bench_for(sources)
        candidate = np.empty(3, np.float32)
        state = np.empty(1, np.uint32)
        state[0] = np.uint32((seed * 7919 + v * 104729 + colour * 1299709) % 4294967291 + 1)
        for _ in range(4):
            _random(state)
        narrow = 1.0 / max(math.cos((0.5 - (v + 0.5) / height) * math.pi), 0.05)
        for u in range((v + colour) % 2, width, 2):
            if not active[v, u]:
                continue
            ray, m, preferred = rays[v, u], planes[v, u], prior[v, u]
            variance = lay(bench, pairs, ray, sources, step)
            best = costs[v, u]
            for stretch in range(8):
                nv, nu = _best_along(costs, active, v, u, stretch // 2, stretch % 2 == 1, narrow)
                if nv >= 0:
                    candidate[:] = planes[nv, nu]
                    best = _tried(candidate, m, best, ray, preferred, variance, sources, step, limits, bench)
            if preferred[0] != 0 or preferred[1] != 0 or preferred[2] != 0:
                candidate[:] = preferred
                best = _tried(candidate, m, best, ray, preferred, variance, sources, step, limits, bench)
            for trial in range(4):
                if _perturbed(m, ray, trial, spread, limits[1], state, candidate):
                    best = _tried(candidate, m, best, ray, preferred, variance, sources, step, limits, bench)
            costs[v, u] = best


@njit(cache=True)
def _tried(
    candidate: np.ndarray,
    m: np.ndarray,
    best: float,
    ray: np.ndarray,
    prior: np.ndarray,
    variance: float,
    sources: Sources,
    step: float,
    limits: tuple[float, float],
    bench: Bench,
) -> float:
    """Put `candidate` into `m` if it is better than `best`; the cost of what `m` holds then."""
    rho = candidate[0] * ray[0] + candidate[1] * ray[1] + candidate[2] * ray[2]
    size = math.sqrt(candidate[0] ** 2 + candidate[1] ** 2 + candidate[2] ** 2)
    if rho < limits[0] or rho > limits[1] or rho < _STEEPEST * size:
        return best
    apart = (candidate[0] - m[0]) ** 2 + (candidate[1] - m[1]) ** 2 + (candidate[2] - m[2]) ** 2
    now = m[0] * ray[0] + m[1] * ray[1] + m[2] * ray[2]
    if apart < np.float32(1e-4) * size * size and abs(rho - now) < np.float32(5e-4) * rho:
        return best  # the same plane, as nearly as matters
    cost = cost_of(candidate[0], candidate[1], candidate[2], sources, step, bench)
    cost = _with_prior(cost, candidate, prior, ray, variance)
    if cost < best:
        m[:] = candidate
        return cost
    return best
