"""A shot's result in the sequencer: a strip at the right frames, in a scene that leaves its colours alone.

Results live in a scene of their own, "Pantheon360 Results": the artist's scene keeps its view transform, and the
sequencer, which bakes the scene's one into what it renders, returns the very bytes of the frames.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...core import inputs, json_values
from ...core.errors import JobError, RenderError
from ...core.jobs import painting_summary
from ...core.jobs.job import PaintJob
from ...core.jobs.job_fields import MAXIMUM_WIDTH
from ...core.jobs.job_folder import PaintFolder
from ...core.jobs.painting_record import PaintingEntries
from ...core.progress import Job, Progress, in_thread
from ..app import access, identity, pictures, versions
from ..app.access import SceneReference
from ..app.identity import IDENTITY
from ..app.paths import relative_path
from . import encoder, video

RESULTS = "Pantheon360 Results"
_ID = re.compile(r'\{"id": "(?P<id>[^"]+)"')
CHANNELS = 128
"""Channels of Blender's sequencer."""

VIDEO_NAME = "video.mp4"

JOB = "pantheon360_job"
"""Custom property of a strip: what it was made from, as JSON."""
FOLDER = "pantheon360_folder"
"""Custom property of a strip: its job's folder, as Blender writes paths."""
DELIVERED = "pantheon360_delivered"
"""Custom property of a strip: when it was delivered, ISO 8601."""


def deliver(
    scene: bpy.types.Scene, folder: PaintFolder, source: str | None = None, warnings: Sequence[str] = ()
) -> Job[Any]:
    """Put a finished job's frames into the results scene as a strip that covers the frames they were made for.

    source: "FRAMES" for the lossless PNG frames, "VIDEO" for one MP4 tagged as 360° made from them; None takes the
    scene's setting. warnings: what the painter warned of, besides what its record tells. With a frame step each image
    stays for the frames up to the next one, so that the strip runs in time with the scene. It goes on the lowest
    channel that is free there: nothing is overwritten.
    Returns the strip, which carries its whole provenance as custom properties (see `provenance`).
    Raises JobError if frames are missing, RenderError if the encoder fails or no channel is free.
    """
    job = folder.job
    reference = SceneReference(scene)
    source = source or str(access.of_scene(scene).strip_source)
    yield from in_thread(partial(video.require_all_frames, folder), Progress("Adding strip", 0, 1))
    holds = video.frame_holds(job.frames)
    path = folder.path / VIDEO_NAME
    if source == "VIDEO":
        yield from video.encode(folder, path)
    yield Progress("Adding strip", 0, 1)
    pictures.wake_decoder(folder.preview_file)
    yield Progress("Adding strip", 0, 1)
    results = results_scene(reference.scene, job)
    start, end = job.frames[0], job.frames[0] + sum(holds)
    channel = free_channel(results, start, end)
    if source == "VIDEO":
        strip = _show_movie(results, path, job, channel, start)
    else:
        frames = [folder.frame_file(frame) for frame in job.frames]
        strip = encoder.show_images(results, frames, frame_start=start, channel=channel, holds=holds, name=job.name)
    _make_relative(strip)
    strip[DELIVERED], strip[IDENTITY] = datetime.now(UTC).isoformat(), identity.of(reference.scene)
    for key, value in provenance(folder, warnings).items():
        strip[key] = value
    show_only(strip)
    _show_range(results, start, end)
    versions.show_in_sequencer(bpy.context, results)
    return strip  # at once: undo in a pause would take it away


def made_of(job_id: str) -> list[Any]:
    """The strips of this file that were made of a job."""
    editors: list[Any] = [scene.sequence_editor for scene in bpy.data.scenes if scene.sequence_editor is not None]
    found = [strip for editor in editors for strip in editor.strips_all if JOB in strip]
    return [strip for strip in found if job_of(strip) == job_id]


def job_of(strip: Any) -> str:
    """Id of the job that a strip was made of; empty if it is none of ours.

    From the beginning of its history, which lists every input: panels ask for it whenever they are drawn.
    """
    found = _ID.match(str(strip.get(JOB, "")))
    return found["id"] if found is not None else ""


def _history_of(strip: Any) -> dict[str, Any]:
    """What a strip says it was made from; empty if that is damaged."""
    try:
        history = inputs.parsed(str(strip.get(JOB, "")).encode())
    except ValueError:
        return {}
    return history if isinstance(history, dict) else {}


def remove(strip: Any) -> None:
    """Remove a strip, from within a meta strip too."""
    parent = strip.parent_meta()
    (parent or strip.id_data.sequence_editor).strips.remove(strip)


def newest(scene: bpy.types.Scene) -> Any:
    """The strip that was delivered last for a scene, wherever it was moved; None if there is none."""
    made = [
        strip
        for results in bpy.data.scenes
        if results.sequence_editor is not None
        for strip in results.sequence_editor.strips
        if strip.get(DELIVERED) and strip.get(IDENTITY) == identity.known_of(scene)
    ]
    return max(made, key=lambda strip: str(strip[DELIVERED]), default=None)


def _make_active(results: bpy.types.Scene, strip: Any) -> None:
    """Select the strip alone, so that the sequencer's sidebar and its operators are about it."""
    editor: Any = results.sequence_editor
    for each in editor.strips:
        each.select = each == strip
    editor.active_strip = strip


def results_scene(scene: bpy.types.Scene, job: PaintJob) -> bpy.types.Scene:
    """The scene that holds results at this rate, made if there is none yet.

    One scene holds results of every size: it has that of the strip that is shown (see `show_only`). A results scene
    whose rate differs is left alone and another one made: changing it would falsify the strips that it has.
    """
    fps = video.rate(job)
    for results in bpy.data.scenes:
        if are_results(results) and _has_rate(results, fps):
            return results
    results = bpy.data.scenes.new(RESULTS)
    results["pantheon360_results"] = True
    encoder.use_exact_colours(results)
    encoder.set_rate(results, fps)
    results.render.resolution_percentage = 100
    results.frame_start, results.frame_end = scene.frame_start, scene.frame_end
    results.sequence_editor_create()
    return results


def are_results(scene: bpy.types.Scene) -> bool:
    """Whether a scene is one that holds results."""
    return bool(scene.get("pantheon360_results"))


def show_only(strip: Any) -> None:
    """Let a result be what its scene shows: others of the same frames that were made for the same scene are muted, and
    the results scene has its size.

    Strips of another size are enlarged or reduced to fill the picture, so that they can be compared.
    """
    results = strip.id_data
    start, end = versions.strip_range(strip)
    for other in results.sequence_editor.strips:
        first, after = versions.strip_range(other)
        if other.get(IDENTITY) and other.get(IDENTITY) == strip.get(IDENTITY) and first < end and start < after:
            other.mute = True
    strip.mute = False
    width, height = size_of(strip)
    results.render.resolution_x, results.render.resolution_y = width, height
    for other in results.sequence_editor.strips:
        with suppress(JobError):
            other.transform.scale_x = other.transform.scale_y = width / size_of(other)[0]
    _make_active(results, strip)


def size_of(strip: Any) -> tuple[int, int]:
    """(width, height) of a result's panoramas, in pixels. Raises JobError if the strip does not tell."""
    width: Any = _history_of(strip).get("width")
    if not json_values.is_integer(width) or not 2 <= width <= MAXIMUM_WIDTH:
        raise JobError(f"Strip {strip.name} does not tell the size of its panoramas.", advice="Deliver its job again.")
    return width, width // 2


def free_channel(scene: bpy.types.Scene, start: int, end: int) -> int:
    """The lowest channel without a strip in frames `start` to `end` - 1. Raises RenderError if all are taken."""
    editor = scene.sequence_editor
    taken = set()
    for strip in editor.strips if editor else ():
        first, after = versions.strip_range(strip)
        if first < end and start < after:
            taken.add(strip.channel)
    for channel in range(1, CHANNELS + 1):
        if channel not in taken:
            return channel
    raise RenderError(
        f"All {CHANNELS} channels of scene {scene.name} have strips in frames {start} to {end - 1}.",
        advice="Move or delete some of them, then deliver the job again.",
    )


def provenance(folder: PaintFolder, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """What made a strip, as custom properties: JSON for programs, a few plain values for people.

    Warnings, those given and those of the painter's record, stand a line each. The job's folder is relative to the
    .blend if both lie on one drive, so that they can be moved together.
    """
    job = folder.job
    record = painting_summary.read(folder)
    known = painting_summary.known_pixels(record) if record else None
    values = {
        JOB: json.dumps(_history(folder, record), ensure_ascii=False),
        FOLDER: relative_path(folder.path),
        "pantheon360_painter": painting_summary.painter(job, record),
        "pantheon360_licence": painting_summary.licence(record) if record else "",
        "pantheon360_known_pixels": "" if known is None else f"correlation {known:.2f}",
        "pantheon360_origins": painting_summary.origins(record) if record else "",
        "pantheon360_seed": job.seed,
        "pantheon360_warnings": "\n".join(painting_summary.warnings(record, warnings)),
        "spherical": "equirectangular",
    }
    return {key: value for key, value in values.items() if value}


def _history(folder: PaintFolder, record: PaintingEntries | None) -> dict[str, Any]:
    """record: what painted it, if that was written."""
    job = folder.job
    return {
        "id": job.id,
        "name": job.name,
        "folder": relative_path(folder.path),
        "projection": "equirectangular",
        "width": job.width,
        "fps": job.fps,
        "frames": list(job.frames),
        "painter": job.painter,
        "settings": job.settings,
        **({"painting": record} if record else {}),
        "seed": job.seed,
        "captures": [
            {"name": entry["name"], "pose": np.asarray(entry["pose"], dtype=np.float64).tolist()}
            for entry in job.captures
        ],
        "anchors": job.anchors,
        "cameras_sha256": cameras_hash(job.cameras),
        "inputs": job.inputs,
        "software": job.software,
    }


def cameras_hash(cameras: Any) -> str:
    """SHA-256 of the camera path: (F, 4, 4) matrices as little-endian float64, row by row."""
    return hashlib.sha256(np.ascontiguousarray(cameras, dtype="<f8").tobytes()).hexdigest()


def _show_movie(results: bpy.types.Scene, path: Path, job: PaintJob, channel: int, start: int) -> Any:
    editor: Any = results.sequence_editor or results.sequence_editor_create()
    strip = editor.strips.new_movie(
        name=job.name, filepath=str(path), channel=channel, frame_start=start, fit_method="ORIGINAL"
    )
    strip.colorspace_settings.name = "sRGB"
    return strip


def _make_relative(strip: Any) -> None:
    """Let the strip find its files beside the .blend, so that both can be moved together."""
    if strip.type == "IMAGE":
        strip.directory = relative_path(Path(strip.directory))
    else:
        strip.filepath = relative_path(Path(strip.filepath))


def _has_rate(results: bpy.types.Scene, fps: tuple[int, float]) -> bool:
    render = results.render
    return abs(render.fps / render.fps_base - fps[0] / fps[1]) < 1e-3


def _show_range(results: Any, start: int, end: int) -> None:
    """Widen the results' range to the strip; the first one sets it."""
    if len(results.sequence_editor.strips) == 1:
        results.frame_start, results.frame_end = max(start, 0), max(end - 1, 0)
    else:
        results.frame_start = max(min(results.frame_start, start), 0)
        results.frame_end = max(results.frame_end, end - 1)
