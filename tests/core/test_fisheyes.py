"""Two fisheyes are told from panoramas, dark and padded ones too."""

from __future__ import annotations

import numpy as np
import pytest

from pantheon360_blender.core.panorama import equirectangular, fisheyes

HEIGHT = 128


def scene(rays: np.ndarray, seed: int = 0) -> np.ndarray:
    """Colours (..., 3) uint8 in directions (..., 3): ground, horizon and sky with structure."""
    random = np.random.default_rng(seed)
    waves = sum(np.sin(rays @ random.normal(0, 6, 3))[..., None] * random.uniform(10, 30, 3) for _ in range(6))
    return np.clip(120 + waves + 60 * rays[..., 1:2], 0, 255).astype(np.uint8)


def two_fisheyes(radius: float = 0.49, dark: int = 0, seed: int = 0) -> np.ndarray:
    """Lenses of 200 degrees, equidistant, that look ahead and back."""
    rows, columns = (np.mgrid[:HEIGHT, :HEIGHT] + 0.5) / HEIGHT - 0.5
    across = np.hypot(rows, columns)
    angle = across / radius * np.radians(100)
    with np.errstate(invalid="ignore"):
        side, up = np.sin(angle) * columns / across, -np.sin(angle) * rows / across
    halves = []
    for sign in (1, -1):
        rays = np.stack([sign * side, up, -sign * np.cos(angle)], -1)
        halves.append(np.where((across < radius)[..., None], scene(rays, seed), dark).astype(np.uint8))
    noise = np.random.default_rng(seed).integers(0, 6, (HEIGHT, 2 * HEIGHT, 1))
    return np.clip(np.concatenate(halves, 1) + noise, 0, 255).astype(np.uint8)


def panorama(seed: int = 0) -> np.ndarray:
    return scene(equirectangular.directions(2 * HEIGHT), seed)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("radius", [0.47, 0.49, 0.52])
@pytest.mark.parametrize("dark", [0, 12])
def test_two_fisheyes_are_known(seed: int, radius: float, dark: int) -> None:
    assert fisheyes.looks_like_two(two_fisheyes(radius, dark, seed))
    assert fisheyes.looks_like_two(equirectangular.resize(two_fisheyes(radius, dark, seed), 128))


def masked(rows: slice, columns: slice) -> np.ndarray:
    image = panorama()
    image[rows, columns] = 0
    return image


PANORAMAS = {
    "as it is": panorama(),
    "black": np.zeros((HEIGHT, 2 * HEIGHT, 3), np.uint8),
    "white": np.full((HEIGHT, 2 * HEIGHT, 3), 255, np.uint8),
    "at night": (panorama() * 0.05).astype(np.uint8),
    "a black sky": masked(slice(0, 64), slice(None)),
    "black poles": np.where((np.abs(np.arange(HEIGHT) - 64) < 40)[:, None, None], panorama(), 0).astype(np.uint8),
    "a part of the sphere": masked(slice(None), slice(0, 100)),
    "a part of it round the middle": np.pad(panorama()[32:96, 64:192], ((32, 32), (64, 64), (0, 0))),
    "one fisheye": np.concatenate([two_fisheyes()[:, :HEIGHT], panorama()[:, HEIGHT:]], 1),
    "not 2:1": two_fisheyes()[:, :HEIGHT],
    "tiny": np.zeros((4, 8, 3), np.uint8),
}


@pytest.mark.parametrize("name", PANORAMAS)
def test_panoramas_are_none(name: str) -> None:
    assert not fisheyes.looks_like_two(PANORAMAS[name])


@pytest.mark.parametrize("name", PANORAMAS)
def test_the_first_rows_never_contradict_the_whole(name: str) -> None:
    for picture in (PANORAMAS[name], two_fisheyes(), two_fisheyes(0.52, 12)):
        lit = fisheyes.corners_are_lit(picture[:2], len(picture))
        assert not (lit and fisheyes.looks_like_two(picture))


def test_the_first_rows_of_most_panoramas_are_enough() -> None:
    assert all(fisheyes.corners_are_lit(panorama(seed)[:1], HEIGHT) for seed in range(4))
    assert not fisheyes.corners_are_lit(two_fisheyes()[:1], HEIGHT)
