"""Anchors: the panoramas known to be seen at the ends of a clip, and the passes they are painted in.

The four configurations of the paper's ablation. Forward passes have the start's CLIP embeddings; backward passes run on
time-flipped frames and have the end's.

    single          one pass that sees the start
    single+fusion   a forward pass that sees the start, a backward pass that sees the end
    dual            one pass that sees both
    dual+fusion     a forward and a backward pass that both see both
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from pantheon360_blender.core.jobs.paint_settings import Configuration, Recipe, Weighting
from pantheon360_blender.core.progress import Job, Progress
from pantheon360_blender.core.render.splatting import GeometryFrame

from ..networks import autoencoder, noise, panorama

if TYPE_CHECKING:
    from ..execution.execution import Execution


START, END = -1, -2
"""What a pass sees instead of a frame's number: the panoramas of the clip's ends."""


@dataclass(frozen=True, eq=False)
class Clip:
    """What is known of the frames that are painted together.

    geometry: the points as the camera sees them, frame by frame.
    filled: (F, H, W, 3) uint8, the same with what lies around and behind the points; None for a model that is to see
    points alone (ModelCard.geometry).
    start, end: (H, W, 3) uint8 panoramas of the first and the last frame in the clip's orientation, or None.
    known: the same of frames between them, by their number in the clip: every pass sees them.
    clip_image: (H, W, 3) uint8 panorama for CLIP if a pass begins at no anchor. None takes the geometry and its holes.
    first: number of the first frame along the path, which chooses the noise.
    columns: latent columns by which the clip's orientation is turned to the right against the path's, and the noise
    with it, so that what is seen in one direction of the world begins as the same noise in every clip.
    """

    geometry: Sequence[GeometryFrame]
    start: np.ndarray | None = None
    end: np.ndarray | None = None
    known: Mapping[int, np.ndarray] = field(default_factory=dict)
    clip_image: np.ndarray | None = None
    first: int = 0
    columns: int = 0
    filled: Sequence[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.geometry)

    def is_known(self, number: int) -> bool:
        """Whether a frame's whole panorama is known. number: in the clip."""
        ends = (number == 0 and self.start is not None) or (number == len(self) - 1 and self.end is not None)
        return ends or number in self.known

    def picture(self, number: int) -> np.ndarray:
        """What a pass sees of a frame, (H, W, 3) uint8: START, END, what is known of it, or its points."""
        if number < 0:
            picture = {START: self.start, END: self.end}[number]
            if picture is None:
                raise ValueError("a pass sees an anchor that the clip does not have")
            return picture
        if number in self.known:
            return self.known[number]
        return self.geometry[number].colour if self.filled is None else self.filled[number]

    def coverage(self, number: int) -> np.ndarray:
        """Where that picture shows anything, (H, W) bool."""
        frame = {START: 0, END: len(self) - 1}.get(number, number)
        covered = self.geometry[frame].coverage
        return np.ones_like(covered) if number < 0 or number in self.known else covered

    def frame(self, number: int) -> int:
        """The number in the clip of what a pass sees."""
        return {START: 0, END: len(self) - 1}.get(number, number)


@dataclass(frozen=True)
class PassInputs:
    """The pictures that a pass sees, in its own order: numbers of frames, START or END."""

    pictures: tuple[int, ...]
    backwards: bool = False


@dataclass(frozen=True, eq=False)
class Pass:
    """One denoising pass, in its own time.

    condition: (F, C, h, w) float32, the U-Net's input channels after the noise.
    encoder_hidden_states: (K, D) float32, CLIP's embeddings of the anchor it starts from.
    backwards: whether its first frame is the clip's last.
    """

    condition: torch.Tensor
    encoder_hidden_states: torch.Tensor
    backwards: bool = False


def pass_inputs(configuration: Configuration, frames: int, *, start: bool, end: bool) -> tuple[PassInputs, ...]:
    """What each pass of a clip sees.

    start, end: whether the clip has these anchors. One anchor gives one pass, which begins at it. No anchor gives one
    forward pass over the geometry alone.
    """
    start, end = start, end and not (start and frames == 1)
    both = configuration.startswith("dual")
    fusion = configuration.endswith("+fusion") and start and end
    forward, backward = list(range(frames)), list(range(frames))
    if start:
        forward[0] = START
    if end:
        backward[-1] = END
    if both and start and end:
        forward[-1], backward[0] = END, START
    ahead = PassInputs(tuple(forward))
    back = PassInputs(tuple(reversed(backward)), backwards=True)
    if fusion:
        return ahead, back
    return (back,) if end and not start else (ahead,)


def pass_video(clip: Clip, inputs: PassInputs) -> np.ndarray:
    """What the model sees in a pass, in the pass's order; (F, H, W, 3) uint8."""
    return np.stack([clip.picture(number) for number in inputs.pictures])


def seen_videos(clip: Clip, configuration: Configuration) -> list[np.ndarray]:
    """What the model sees in each pass of a clip, as `pass_video`."""
    return [pass_video(clip, inputs) for inputs in _inputs_of(clip, configuration)]


def _inputs_of(clip: Clip, configuration: Configuration) -> tuple[PassInputs, ...]:
    return pass_inputs(configuration, len(clip), start=clip.start is not None, end=clip.end is not None)


def prepare_passes(execution: Execution, clip: Clip, recipe: Recipe) -> Job[tuple[Pass, ...]]:
    """The clip's passes, ready for the U-Net; each picture is encoded once."""
    inputs_of_passes = _inputs_of(clip, recipe.configuration)
    pictures = sorted({number for inputs in inputs_of_passes for number in inputs.pictures})
    frames = _noised(clip, pictures, recipe, autoencoder.factor(execution.model.vae))
    latents = yield from execution.encode(frames, recipe.seam)
    passes = []
    for index, inputs in enumerate(inputs_of_passes):
        yield Progress("Encoding anchors", index, len(inputs_of_passes))
        order = torch.tensor([pictures.index(number) for number in inputs.pictures], device=latents.device)
        channels = [latents[order], *_extras(execution.model.card.extras, clip, inputs, latents)]
        passes.append(
            Pass(torch.cat(channels, dim=1), execution.image_embeddings(_clip_image(clip, inputs)), inputs.backwards)
        )
    return tuple(passes)


def _noised(clip: Clip, pictures: Sequence[int], recipe: Recipe, stride: int) -> torch.Tensor:
    """Pictures as a video (N, 3, H, W) float32 in [-1, 1], with the noise that the model is told they have.

    Noise lies on what is seen; where nothing is, black stays black. Sources: Stable Video Diffusion adds it to the
    whole picture before it is encoded, Argus within the mask of what is known. stride: pixels for one latent.
    """
    video = autoencoder.video_of(np.stack([clip.picture(number) for number in pictures]))
    if not recipe.noise_aug_strength:
        return video
    for frame, number in zip(video, pictures, strict=True):
        seen = torch.from_numpy(clip.coverage(number))
        drawn = noise.on_condition(recipe.seed, clip.first + clip.frame(number), (frame.shape[-2], frame.shape[-1]))
        frame += recipe.noise_aug_strength * panorama.roll(drawn, -clip.columns * stride) * seen
    return video


def to_pass_order(latents: torch.Tensor, passes: Sequence[Pass]) -> torch.Tensor:
    """The clip's latents (F, 4, h, w) in the order of each pass; (P, F, 4, h, w)."""
    return torch.stack([latents.flip(0) if each.backwards else latents for each in passes])


def fuse_passes(views: torch.Tensor, passes: Sequence[Pass], weighting: Weighting) -> torch.Tensor:
    """Latents of the clip (F, 4, h, w) from those of its passes (P, F, 4, h, w), each in its own order."""
    in_clip_time = [view.flip(0) if each.backwards else view for view, each in zip(views, passes, strict=True)]
    if len(in_clip_time) == 1:
        return in_clip_time[0]
    forward, backward = in_clip_time
    share = fusion_weights(weighting, len(forward)).to(forward)[:, None, None, None]
    return share * forward + (1 - share) * backward


def fusion_weights(weighting: Weighting, frames: int) -> torch.Tensor:
    """The forward pass's share of each frame; (F,) float32.

    "equal": one half everywhere (Pantheon360); "linear": from 1 at the start to 0 at the end (Time Reversal Fusion).
    """
    return torch.full((frames,), 0.5) if weighting == "equal" else torch.linspace(1, 0, frames)


def _clip_image(clip: Clip, inputs: PassInputs) -> np.ndarray:
    """The picture whose CLIP embeddings a pass gets: the anchor it begins at, else the clip image."""
    begins = inputs.pictures[0]
    return clip.clip_image if begins >= 0 and clip.clip_image is not None else clip.picture(begins)


def _extras(names: Sequence[str], clip: Clip, inputs: PassInputs, latents: torch.Tensor) -> list[torch.Tensor]:
    """Further channels that a model's card declares, each (F, 1, h, w); see model_card.CONDITIONS.

    A known panorama covers everything; its range is that of the geometry there.
    """
    size = latents.shape[-2:]
    channels = []
    for name in names:
        if name == "coverage":
            values = np.stack([clip.coverage(number) for number in inputs.pictures])
        else:
            values = np.stack([1 / (1 + clip.geometry[clip.frame(number)].depth) for number in inputs.pictures])
        image = torch.from_numpy(values.astype(np.float32))[:, None]
        channels.append(functional.adaptive_avg_pool2d(image, size).to(latents.device))
    return channels
