"""What the model is told: against diffusers' and transformers' own preparation, and against the panorama itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")
pytest.importorskip("transformers", reason="the backend environment has transformers")

import diffusers
import torch
import transformers
from diffusers.pipelines.stable_video_diffusion import pipeline_stable_video_diffusion as stock
from PIL import Image

from backend.diffusion.networks import conditioning
from backend.diffusion.networks.autoencoder import images_of, video_of
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import rotation_from_heading
from pantheon360_blender.core.panorama.capture import Capture


@pytest.mark.parametrize("size", [(300, 500), (224, 224), (100, 260), (576, 1024), (225, 1000)])
def test_resized_as_stable_video_diffusion_does(size: tuple[int, int]) -> None:
    pictures = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = stock._resize_with_antialiasing(pictures, (224, 224))
    assert torch.allclose(conditioning.resized(pictures, (224, 224)), expected, atol=2e-6)


def test_tokens_are_those_of_the_stock_pipeline(components: Any, panoramas: Callable[..., np.ndarray]) -> None:
    picture = panoramas(0, 1, 320)[0]
    extractor = transformers.CLIPImageProcessor(
        image_mean=list(conditioning.CLIP_MEAN), image_std=list(conditioning.CLIP_DEVIATION)
    )
    pipeline = diffusers.StableVideoDiffusionPipeline(
        components.vae, components.image_encoder, components.unet, components.scheduler, extractor
    )
    with torch.no_grad():
        expected = pipeline._encode_image(Image.fromarray(picture), "cpu", 1, False)[0]
    assert torch.allclose(conditioning.image_embeddings(components.image_encoder, picture[None]), expected, atol=1e-6)


def test_tokens_of_the_horizon_turn_with_the_panorama(components: Any, panoramas: Callable[..., np.ndarray]) -> None:
    """Eight views every 45 degrees: an eighth of a turn makes each the next one's."""
    picture = panoramas(1, 1)[0]
    tokens = conditioning.horizon_embeddings(components.image_encoder, picture)
    assert tokens.shape == (8, components.image_encoder.config.projection_dim)
    turned = conditioning.horizon_embeddings(components.image_encoder, np.roll(picture, -32, axis=1))
    assert torch.allclose(turned, tokens.roll(-1, 0), atol=1e-3)
    assert not torch.allclose(turned, tokens, atol=1e-2)
    ahead = equirectangular.perspective_crops(picture, np.eye(3)[None], np.pi / 2, (64, 64))
    assert torch.allclose(conditioning.image_embeddings(components.image_encoder, ahead)[0], tokens[0], atol=1e-5)


def test_numbers_as_the_stock_pipeline_gives_them() -> None:
    assert conditioning.added_time_ids(7, 127, 0.02).tolist() == pytest.approx([6, 127, 0.02])


def test_pictures_survive_being_a_video(panoramas: Callable[..., np.ndarray]) -> None:
    images = panoramas(0, 2)
    video = video_of(images)
    assert video.shape == (2, 3, 128, 256) and float(video.min()) >= -1 and float(video.max()) <= 1
    assert np.array_equal(images_of(video), images)
    assert images_of(torch.tensor([-9.0, 9.0, float("inf")]).view(1, 3, 1, 1)).flatten().tolist() == [0, 255, 255]


@pytest.fixture
def capture() -> Capture:
    """A smooth panorama taken with the camera turned to the north-east and down; its lowest part is masked."""
    looking = equirectangular.directions(256)
    image = np.rint(127.5 + 100 * np.sin(2 * looking)).astype(np.uint8)
    pose = np.eye(4)
    pose[:3, :3] = rotation_from_heading(50, -20, 5)
    valid = np.ones((128, 256), bool)
    valid[100:] = False
    return Capture("square", image, pose, valid)


def test_an_anchor_is_seen_in_the_orientation_of_the_camera(capture: Capture) -> None:
    """Every direction of the world has the colour it has in the capture; where that is masked, the points show."""
    camera = np.eye(4)
    camera[:3, :3] = rotation_from_heading(200, 10, -15)
    geometry = np.full((64, 128, 3), 7, np.uint8)
    seen = conditioning.anchor_frame(capture, camera, geometry)
    assert seen.shape == (64, 128, 3) and seen.dtype == np.uint8
    world = equirectangular.directions(128) @ camera[:3, :3].T
    own = world @ capture.pose[:3, :3]
    row = equirectangular.directions_to_pixels(own, 256)[..., 1]
    expected = 127.5 + 100 * np.sin(2 * own)
    assert np.abs(seen[row < 97] - expected[row < 97]).max() < 4
    assert (seen[row > 103] == 7).all()


def test_an_anchor_without_a_mask_hides_the_points(capture: Capture) -> None:
    whole = Capture(capture.name, capture.image, capture.pose)
    seen = conditioning.anchor_frame(whole, capture.pose, np.zeros((128, 256, 3), np.uint8))
    assert np.abs(seen.astype(int) - capture.image).max() <= 1
