"""What a painter makes of a training clip, by the product's own code; and how near it comes to the truth."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pantheon360_blender.core.jobs.model_card import ModelCard
from pantheon360_blender.core.jobs.paint_settings import PaintOptions, SeamOptions
from pantheon360_blender.core.progress import run_to_end

from ...diffusion.clip import sampling
from ...diffusion.clip.passes import Clip
from ...diffusion.execution.execution import Execution
from .. import filling
from ..training_clip import TrainingClip

_WHOLE = SeamOptions(roll="none", padding=0, circular=True)


def product_clip(clip: TrainingClip, card: ModelCard, *, end: bool = True) -> Clip:
    """The clip as the product has it for a model of that card.

    end: whether the capture at its last frame, if there is one, is an anchor.
    """
    frames = [filling.geometry_frame(*each) for each in zip(clip.geometry, clip.depth, strict=True)]
    start = None if clip.start is None else filling.picture(clip.start)
    filled = list(images(filling.shown(clip, card))) if card.sees_draft else None
    last = filling.picture(clip.end) if end and clip.end is not None else None
    return Clip(frames, start=start, end=last, filled=filled)


def painted(model: Any, clip: TrainingClip, *, end: bool = True, steps: int = 1) -> np.ndarray:
    """The clip as the model (loading.Components) paints it in one pass without guidance, (F, H, W, 3) uint8."""
    recipe = PaintOptions(model="x", anchors="dual", steps=steps, guidance=1.0).recipe(model.card, 0)
    device = next(model.unet.parameters()).device
    job = sampling.paint(
        Execution(model, device=device), product_clip(clip, model.card, end=end), replace(recipe, seam=_WHOLE)
    )
    return run_to_end(job).images


def images(frames: torch.Tensor) -> np.ndarray:
    """(F, 3, H, W) uint8 as (F, H, W, 3)."""
    return np.stack([filling.picture(frame) for frame in frames])


def psnr(painted: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None) -> float:
    """dB of pictures (..., H, W, 3) uint8, over the pixels `where`, if there are any; else NaN."""
    squares = ((painted.astype(np.float32) - truth.astype(np.float32)) / 255) ** 2
    chosen = squares if where is None else squares[where]
    return float(-10 * np.log10(max(chosen.mean(), 1e-10))) if chosen.size else float("nan")


def show(model: Any, clip: TrainingClip, stem: Path) -> None:
    """Truth, geometry and painting side by side: a video, and a sheet for who has no video writer."""
    if importlib.util.find_spec("cv2") is None:  # it writes the labels
        return
    from ...evaluation import pictures

    shown = {
        "truth": images(clip.frames),
        "what the model sees": images(filling.shown(clip, model.card)),
        "painted": painted(model, clip),
        "painted from one capture": painted(model, clip, end=False),
    }
    pictures.contact_sheet(stem.with_suffix(".png"), shown)
    pictures.video(stem.with_suffix(".mp4"), shown, clip.fps)
