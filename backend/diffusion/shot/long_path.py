"""Painting a shot of any length: clip by clip, each kept on disk at once, and the frames between the painted ones."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from pantheon360_blender.core import files, inputs
from pantheon360_blender.core.errors import FileError, JobError
from pantheon360_blender.core.jobs import model_places
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.jobs.paint_settings import SETTINGS_KEY, PaintOptions, Recipe
from pantheon360_blender.core.progress import Job, Progress, Result, map_progress

from ... import known_pixels
from ...known_pixels import Correlation
from ..clip import sampling
from ..clip.latent_preview import LatentPreview
from ..clip.passes import Clip
from ..execution.execution import Execution
from ..execution.memory_plan import CONTEXT
from ..models import architecture, model_folder, model_store
from ..networks import panorama
from . import seen_video
from .painting_record import PaintingRecord
from .segment_store import PaintedSegment, SegmentStore
from .session import Networks
from .shot_frames import ShotFrames
from .timeline import Segment
from .trajectory import Trajectory

PREVIEWS = 8
"""Previews of a clip while it is denoised."""
_ALGORITHM = 2
"""Goes up whenever the same inputs and choices are painted otherwise: clips kept before are painted again."""
_SMALL = 200_000_000
"""Bytes of a model below which threads wait for one another longer than they work."""


def paint(folder: PaintFolder) -> Job[None]:
    """Paint the frames of a job folder that are not finished; clips that are, are read back from it.

    Raises PantheonError: the settings or the model are not usable, memory or disk ran out, numbers overflowed.
    """
    yield Progress("Looking at the model")
    painting = Painting(folder)
    yield from _with_warnings(painting.run(), painting.warnings)


class Painting:
    """One run over a job folder. warnings: for the artist, not yet passed on."""

    def __init__(self, folder: PaintFolder) -> None:
        """Find the model and lay out the path. Raises PantheonError."""
        self.warnings: list[str] = []
        self._folder = folder
        self._options = PaintOptions.from_json(folder.job.settings.get(SETTINGS_KEY, {}))
        model = model_places.chosen(self._options.model)
        if not model:
            raise JobError(
                "This shot names no model to paint with.",
                advice="Choose one; get one with: python -m backend models add FOLDER_OR_HUB_ID",
                code="no-model",
            )
        self._model = model_store.find(model)
        card = self._model.card
        self._recipe = self._options.recipe(card, int(folder.job.seed))
        self._stride = architecture.stride("vae", self._model.config("vae"))
        length = max(2, self._options.clip or card.frames)
        self._trajectory = Trajectory(
            folder,
            card.width,
            clip=length,
            overlap=self._options.overlap,
            every=self._options.every,
            columns=card.width // self._stride,
            travel=card.travel,
            filled=card.sees_draft,
        )
        self._weights = self._weights_on_disk()
        self._record = PaintingRecord(folder)
        self._record.describe(card, self._weights[0], self._options, self._recipe, card.width)
        self._keys = self._segment_keys()
        self._store = SegmentStore(folder.output)
        share = self._options.share_of_draft(card)
        made_of = [_key([key, {"draft_share": share}]) for key in self._keys] if share else self._keys
        self._frames = ShotFrames(folder, self._trajectory, made_of, share)
        self._networks = Networks(
            self._model,
            self._options,
            self._recipe,
            self._record,
            width=card.width,
            frames=max(len(segment) for segment in self._trajectory.segments),
            lead=CONTEXT if len(self._trajectory.segments) > 1 else 0,
            log=folder.log,
            warn=self._warn,
            check=self._require_same_weights,
        )

    def run(self) -> Job[None]:
        """Paint what is missing."""
        self._introduce()
        segments = self._trajectory.segments
        before: PaintedSegment | None = None
        with _threads(self._model.bytes), closing(self._networks):
            if self._frames.missing(0) or self._frames.unfinished_after(0):
                yield from self._networks.ready()
            for index, segment in enumerate(segments):
                painted = self._store.read(index, self._keys[index])
                missing = self._frames.missing(index)
                images: np.ndarray | None = None
                if painted is None and (missing or self._frames.unfinished_after(index)):
                    if self._store.file(index).exists():
                        self._warn(f"Clip {index + 1} was kept, but damaged or painted otherwise: it is painted again.")
                    painting = self._painted(index, segment, before)
                    painted, images = yield from _numbered(painting, index, len(segments))
                if painted is not None and missing:
                    if images is None:
                        images = yield from _numbered(
                            self._decoded(index, segment, painted, before), index, len(segments)
                        )
                    yield from _numbered(self._frames.write(index, images), index, len(segments))
                before = painted
            self._networks.measure()
        self._record.write()

    # A segment

    def _painted(
        self, index: int, segment: Segment, before: PaintedSegment | None
    ) -> Job[tuple[PaintedSegment, np.ndarray]]:
        """Paint a segment and keep it on disk. Returns it and its frames, (F, H, W, 3) uint8."""
        execution = yield from self._networks.ready()
        started = time.monotonic()
        turned = self._turned(index, before)
        clip = yield from self._trajectory.clip(index, turned.handover if turned is not None else None)
        painting = sampling.paint(execution, clip, self._recipe, _before(segment, turned))
        painted = yield from map_progress(painting, _Watch(self._folder, index, execution, self._options, self._recipe))
        kept = PaintedSegment(painted.latents)
        if self._hands_over(index):
            following = self._trajectory.segments[index + 1]
            kept = replace(kept, handover=painted.images[following.first - segment.first :])
        self._store.write(index, self._keys[index], kept)
        self._note(index, segment, painted.passes, time.monotonic() - started, self._kept_to(index, clip, painted))
        return kept, painted.images

    def _kept_to(self, index: int, clip: Clip, painted: sampling.PaintedClip) -> float | None:
        """How well a clip keeps to its geometry, frames that are known as a whole left out; told if it is weak."""
        found = Correlation()
        for number, (image, geometry) in enumerate(zip(painted.images, clip.geometry, strict=True)):
            if not clip.is_known(number):
                found.add(image, geometry)
        if len(self._trajectory.segments) > 1 and (weak := known_pixels.warning(found.value, f"Clip {index + 1}")):
            self._warn(weak)
        return found.value

    def _hands_over(self, index: int) -> bool:
        """Whether the next segment begins with what this one paints."""
        following = self._trajectory.segments[index + 1 : index + 2]
        return bool(following) and not following[0].starts_at_anchor

    def _decoded(
        self, index: int, segment: Segment, painted: PaintedSegment, before: PaintedSegment | None
    ) -> Job[np.ndarray]:
        """Frames (F, H, W, 3) uint8 of a segment that was painted earlier."""
        execution = yield from self._networks.ready()
        before = self._turned(index, before)
        return (yield from sampling.decode(execution, painted.latents, self._recipe, _before(segment, before)))

    def _turned(self, index: int, before: PaintedSegment | None) -> PaintedSegment | None:
        """The segment before as it is seen in this one's orientation: rolled by whole columns of latents."""
        views = self._trajectory.views
        columns = views[index - 1].columns - views[index].columns if before is not None else 0
        if before is None or not columns:
            return before
        handover = None if before.handover is None else np.roll(before.handover, columns * self._stride, axis=2)
        return PaintedSegment(panorama.roll(before.latents, columns), handover)

    # What is told and kept

    def _introduce(self) -> None:
        """Tell what the artist should know before."""
        card, job = self._model.card, self._folder.job
        if card.kind != "pantheon360" or not card.trained:
            self._warn(f"{card.label}: {card.capability}")
        if job.width != card.width:
            changed = "enlarged" if job.width > card.width else "reduced"
            self._warn(
                f"The model paints {card.width} x {card.width // 2}; "
                f"the frames are {changed} to {job.width} x {job.width // 2}."
            )

    def _warn(self, text: str) -> None:
        self._record.warn(text)
        self.warnings.append(text)

    def _note(self, index: int, segment: Segment, passes: int, seconds: float, known: float | None) -> None:
        self._networks.measure()
        self._record.segment(
            index,
            {
                "frames": [self._trajectory.frame(segment.first), self._trajectory.frame(segment.last)],
                "painted": len(segment),
                "starts_at_capture": segment.starts_at_anchor,
                "ends_at_capture": segment.ends_at_anchor,
                "overlap": segment.overlap,
                "passes": passes,
                "seconds": round(seconds, 3),
                "known_pixels": None if known is None else round(known, 4),
            },
        )
        self._record.write()

    def _weights_on_disk(self) -> tuple[str, list[str]]:
        """What tells the model's weights and those of each LoRA from others. Raises ModelError, FileError."""
        return model_folder.fingerprint(self._model), [_digest(entry["file"]) for entry in self._options.loras]

    def _require_same_weights(self) -> None:
        """Raise JobError if the weights that were loaded are not those that the segments are kept under."""
        if self._weights_on_disk() != self._weights:
            raise JobError(
                f"The weights of {self._model.card.label} or of a LoRA were exchanged while they were being loaded.",
                advice="Start the job again.",
                code="model-changed",
            )

    def _segment_keys(self) -> list[str]:
        """SHA-256 of everything that decides each segment: inputs, model, choices, and the segments before it.

        The device, its precision and how its memory is used are left out: a job may go on elsewhere.
        """
        job = self._folder.job
        decided: dict[str, Any] = {
            "algorithm": _ALGORITHM,
            "inputs": job.inputs,
            "captures": job.captures,
            "anchors": job.anchors,
            "cameras": np.asarray(job.cameras).tolist(),
            "model": self._weights[0],
            "scheduler": self._options.scheduler,
            "loras": [
                [digest, entry["strength"]] for digest, entry in zip(self._weights[1], self._options.loras, strict=True)
            ],
            "recipe": self._recipe.to_json(),
        }
        if self._model.card.sees_draft:
            decided["geometry"] = self._model.card.geometry
        keys = [_key(decided)]
        for segment, view in zip(self._trajectory.segments, self._trajectory.views, strict=True):
            frames = [self._trajectory.frame(position) for position in range(segment.first, segment.last + 1)]
            keys.append(_key([keys[-1], asdict(segment), frames, view.columns]))
        return keys[1:]


class _Watch:
    """Shows a clip while it is painted: the middle of it every few steps, and what the model sees if that is kept."""

    def __init__(
        self, folder: PaintFolder, index: int, execution: Execution, options: PaintOptions, recipe: Recipe
    ) -> None:
        self._folder, self._index, self._options, self._recipe = folder, index, options, recipe
        self._channels = execution.model.card.channels["noise"]
        self._scale = execution.model.vae.config.scaling_factor
        self._preview: LatentPreview | None = None

    def __call__(self, step: Progress) -> Iterator[Progress]:
        if isinstance(step, sampling.Conditioned):
            condition = step.passes[0].condition[:, : self._channels]
            self._preview = LatentPreview.learned(condition, step.videos[0])
            if self._options.save_seen:
                yield from seen_video.write(self._folder.output, self._index, list(step.videos), self._recipe.fps)
        elif isinstance(step, sampling.Step) and self._preview and step.step % max(1, step.of // PREVIEWS) == 0:
            latents = step.pred_original_sample
            self._folder.write_preview(self._preview.picture(latents[len(latents) // 2] / self._scale))
        yield step


def _before(segment: Segment, before: PaintedSegment | None) -> sampling.Before | None:
    return None if before is None else sampling.Before(before.latents, segment.overlap)


def _key(decided: Any) -> str:
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


def _digest(path: str) -> str:
    try:
        return files.sha256(inputs.expanded(path))
    except OSError as error:
        raise FileError(
            f"{path} cannot be read: {error.strerror or error}.", advice="Choose the LoRA file again."
        ) from error


def _numbered(job: Job[Result], index: int, total: int) -> Job[Result]:
    """A segment's job, its phases named after it if there are several."""
    named = f", clip {index + 1} of {total}" if total > 1 else ""
    return map_progress(job, lambda step: (replace(step, phase=step.phase + named),))


def _with_warnings(job: Job[Result], warnings: list[str]) -> Job[Result]:
    """The job, and with its next step whatever there is to tell."""

    def told(step: Progress) -> Iterator[Progress]:
        while warnings:
            yield replace(step, warning=warnings.pop(0))
        yield step

    return map_progress(job, told)


@contextmanager
def _threads(size: int) -> Iterator[None]:
    """One thread for a small model: two were measured to make the tiny one four times slower. size: in bytes."""
    before = torch.get_num_threads()
    if size < _SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
