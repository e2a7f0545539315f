"""Sky without a model: clouds and sun belong to it; roofs, white houses and ceilings do not."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the reconstruction environment has scipy")

from backend.reconstruction.sky import sky_mask

WIDTH, HEIGHT = 512, 256
HORIZON = HEIGHT // 2


def noise(amount: float = 1.5) -> np.ndarray:
    return np.random.default_rng(2).normal(0, amount, (HEIGHT, WIDTH, 3))


def ground(picture: np.ndarray) -> np.ndarray:
    picture[HORIZON:] = (105, 100, 95)
    picture[HORIZON:] += np.random.default_rng(3).normal(0, 12, picture[HORIZON:].shape)
    return picture


def clear_sky() -> np.ndarray:
    v = np.linspace(0, 1, HEIGHT)[:, None, None]
    return np.concatenate(np.broadcast_arrays(60 + 140 * v, 120 + 90 * v, 225 + 20 * v), axis=2) * np.ones(
        (1, WIDTH, 1)
    )


def finished(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(picture + noise()), 0, 255).astype(np.uint8)


def blob(centre: tuple[int, int], radii: tuple[int, int], edge: float = 0.3) -> np.ndarray:
    """Soft-edged ellipse, (H, W, 1) from 0 to 1."""
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH]
    away = np.hypot((v - centre[0]) / radii[0], (u - centre[1]) / radii[1])
    return np.clip((1 - away) / edge, 0, 1)[..., None]


def outdoors() -> np.ndarray:
    """Blue sky with clouds, one of them across the seam, and a sun."""
    picture = clear_sky()
    for cloud in (blob((60, 150), (25, 60)), blob((80, 0), (20, 40)), blob((80, WIDTH), (20, 40))):
        picture = picture * (1 - cloud) + np.array([238.0, 240, 245]) * cloud
    sun = blob((50, 380), (14, 14))
    return ground(picture * (1 - sun) + 255.0 * sun)


def test_blue_clouds_and_sun_are_sky_and_the_ground_is_not() -> None:
    found = sky_mask(finished(outdoors()))
    assert found[: HORIZON - 4].mean() > 0.99
    assert not found[HORIZON + 4 :].any()


def test_turning_the_panorama_turns_the_mask() -> None:
    picture = finished(outdoors())
    turned = sky_mask(np.roll(picture, 200, axis=1))
    assert (np.roll(sky_mask(picture), 200, axis=1) != turned).mean() < 0.002


@pytest.mark.parametrize(
    "colour", [(235, 232, 226), (20, 22, 28), (150, 60, 45), (120, 118, 115)], ids=["white", "black", "brick", "slate"]
)
def test_houses_are_not_sky(colour: tuple[int, int, int]) -> None:
    picture = outdoors()
    house = np.zeros((HEIGHT, WIDTH), bool)
    house[90:HORIZON, 230:330] = True
    for row in range(70, 90):  # a gable
        house[row, 280 - (row - 70) * 2 : 280 + (row - 70) * 2] = True
    picture[house] = colour
    found = sky_mask(finished(picture))
    assert found[house].mean() < 0.08
    assert found[: HORIZON - 4][~house[: HORIZON - 4]].mean() > 0.97


def test_an_overcast_sky_is_sky() -> None:
    picture = np.full((HEIGHT, WIDTH, 3), (222.0, 224, 226))
    picture += 14 * np.sin(np.arange(WIDTH) / 40)[None, :, None]
    found = sky_mask(finished(ground(picture)))
    assert found[: HORIZON - 4].mean() > 0.98 and not found[HORIZON + 4 :].any()


@pytest.mark.parametrize("ceiling", [(170, 168, 160), (205, 200, 190), (225, 216, 196)])
def test_a_ceiling_is_not_sky(ceiling: tuple[int, int, int]) -> None:
    picture = np.zeros((HEIGHT, WIDTH, 3))
    picture[:80] = ceiling
    picture[80:170] = np.array(ceiling) + 8.0
    picture[100:140, 60:110] = 255  # a window
    picture[170:] = (120, 90, 60)
    assert not sky_mask(finished(picture)).any()


def test_what_is_known_to_be_near_is_no_sky() -> None:
    picture = outdoors()
    depth = np.full((HEIGHT, WIDTH), np.inf, np.float32)
    depth[30:90, 250:330] = 12.0
    found = sky_mask(finished(picture), depth)
    assert not found[34:86, 254:326].any()
    assert found[40:80, 100:200].mean() > 0.98
