"""What the model is told: the anchors' pictures in the camera's orientation, their CLIP embeddings, and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.capture import Capture

from .autoencoder import video_of

CROPS = 8
"""Perspective views round the horizon, every 45 degrees, of 90 degrees each."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""What CLIP's pictures are normalised by: mean and standard deviation of its training set, red, green, blue."""


def anchor_frame(capture: Capture, camera: np.ndarray, geometry: np.ndarray) -> np.ndarray:
    """The capture as a camera at its place sees it, (H, W, 3) uint8; masked pixels show the geometry instead.

    camera: (4, 4) camera-to-world. geometry: (H, W, 3) uint8, points or the draft as the camera sees them.
    """
    width = geometry.shape[1]
    capture_from_camera = capture.pose[:3, :3].T @ camera[:3, :3]
    picture = equirectangular.rotate(equirectangular.resize(capture.image, width), capture_from_camera)
    if capture.valid is None:
        return picture
    valid = equirectangular.rotate(equirectangular.resize(capture.valid, width), capture_from_camera)
    return np.where(valid[..., None], picture, geometry)


@torch.no_grad()
def horizon_embeddings(image_encoder: Any, panorama: np.ndarray, *, device: torch.device | str = "cpu") -> torch.Tensor:
    """CLIP embeddings of the views round the horizon of (H, W, 3) uint8; (8, D) float32."""
    return _embeddings(image_encoder, horizon_pixels(image_encoder, panorama), device)


@torch.no_grad()
def image_embeddings(image_encoder: Any, pictures: np.ndarray, *, device: torch.device | str = "cpu") -> torch.Tensor:
    """CLIP embeddings of pictures (N, h, w, 3) uint8, as Stable Video Diffusion makes them; (N, D) float32."""
    return _embeddings(image_encoder, image_pixels(image_encoder, pictures), device)


def horizon_pixels(image_encoder: Any, panorama: np.ndarray) -> torch.Tensor:
    """What an image encoder is given of (H, W, 3) uint8: the views round the horizon, see image_pixels."""
    side = max(1, panorama.shape[1] // 4)
    return image_pixels(image_encoder, equirectangular.horizon_crops(panorama, CROPS, size=(side, side)))


def image_pixels(image_encoder: Any, pictures: np.ndarray) -> torch.Tensor:
    """What an image encoder is given of pictures (N, h, w, 3) uint8; (N, 3, side, side) float32 on the CPU.

    Resized to a square without keeping the ratio of the sides, normalised, not cropped.
    """
    return normalised(image_encoder, video_of(pictures))


def normalised(image_encoder: Any, video: torch.Tensor) -> torch.Tensor:
    """Pictures (N, 3, h, w) in [-1, 1] as an image encoder is given them, on their device."""
    side = image_encoder.config.image_size
    small = (resized(video, (side, side)) + 1.0) / 2.0
    mean, deviation = (small.new_tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_DEVIATION))
    return (small - mean) / deviation


def _embeddings(image_encoder: Any, pixels: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    return torch.as_tensor(image_encoder(pixels.to(device, image_encoder.dtype)).image_embeds).float()


def resized(pictures: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Pictures (N, C, h, w) at another size, as Stable Video Diffusion's CLIP was given them.

    A Gaussian of half the excess of the scale, cut at two standard deviations, then bicubic interpolation with the
    corners aligned. size: rows and columns.
    """
    blurred = _blurred(_blurred(pictures, size[0], dim=2), size[1], dim=3)
    return functional.interpolate(blurred, size=size, mode="bicubic", align_corners=True)


def _blurred(pictures: torch.Tensor, wanted: int, dim: int) -> torch.Tensor:
    """Blur (N, C, h, w) along rows (2) or columns (3) so that it can be taken down to `wanted` samples."""
    sigma = max((pictures.shape[dim] / wanted - 1.0) / 2.0, 0.001)
    reach = int(max(4.0 * sigma, 3)) // 2
    kernel = torch.exp(-(torch.arange(-reach, reach + 1, dtype=pictures.dtype) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).to(pictures.device)
    channels = pictures.shape[1]
    shape, padding = ((-1, 1), (0, 0, reach, reach)) if dim == 2 else ((1, -1), (reach, reach, 0, 0))
    weight = kernel.view(1, 1, *shape).expand(channels, -1, -1, -1)
    return functional.conv2d(functional.pad(pictures, padding, mode="reflect"), weight, groups=channels)


def added_time_ids(fps: float, motion_bucket_id: float, noise_aug_strength: float) -> torch.Tensor:
    """Stable Video Diffusion's micro-conditions, (3,) float32.

    fps: frames a second; training used one less. motion_bucket_id: how much moves. noise_aug_strength: how much noise
    the condition had in training.
    """
    return torch.tensor([fps - 1, motion_bucket_id, noise_aug_strength], dtype=torch.float32)
