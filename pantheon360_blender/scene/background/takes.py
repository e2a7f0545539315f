"""The takes of a scene: every video that was painted for it and is still on the disk, in the sequencer or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import bpy

from ...core import inputs
from ...core.errors import JobError, PantheonError
from ...core.jobs import painting_summary, registry
from ...core.jobs.job_folder import PaintFolder
from ...core.jobs.registry import Entry
from ..app import access, identity, paths
from ..shot import diffusion_settings, painters, strips
from . import removal
from .removal import Removed


@dataclass(frozen=True)
class Take:
    """One painted video.

    painter: with its model, in one line. origins: how much of it was photographed, and so on, in one line, or empty.
    width: pixels. frames: how many. bytes: of its folder.
    """

    entry: Entry
    painter: str
    origins: str
    width: int
    frames: int
    bytes: int

    @property
    def preview(self) -> str:
        """Path of a small picture of it, which may not be there."""
        return str(self.entry.path / "preview.png")


def of_scene(scene: bpy.types.Scene) -> list[Take]:
    """The takes of a scene, the newest first. Cheap enough for a panel."""
    known = identity.known_of(scene)
    found = [_take(entry) for entry in _painted(registry.stamp()) if known and entry.identity == known]
    return [take for take in reversed(found) if take is not None]


def find(job_id: str) -> Take:
    """One take. Raises JobError if it is not there any more."""
    entry = registry.find(job_id)
    take = _take(entry) if entry is not None else None
    if take is None:
        raise JobError("This take is not there any more.")
    return take


def strip_of(take: Take) -> Any:
    """The take's strip, or None if it is in no sequencer of this file."""
    return next(iter(strips.made_of(take.entry.id)), None)


def is_shown(take: Take) -> bool:
    """Whether the take is what its results scene shows."""
    strip = strip_of(take)
    return strip is not None and not strip.mute


def other_of(scene: bpy.types.Scene) -> Take | None:
    """The take to compare with the one that is shown: the newest other one that is in the sequencer; or None."""
    return next((take for take in of_scene(scene) if strip_of(take) is not None and not is_shown(take)), None)


def load_settings(scene: bpy.types.Scene, take: Take) -> None:
    """Set the scene's painter, size, seed and painter's settings as they were for a take. Raises JobError."""
    folder, chosen = PaintFolder.open(take.entry.path), access.of_scene(scene)
    job = folder.job
    chosen.painter = job.painter.upper()
    chosen.width, chosen.seed = job.width, job.seed
    chosen.near = float(job.settings.get("near", chosen.near))
    chosen.frame_step = _step(job.frames)
    if job.painter != painters.DIFFUSION:
        chosen.own_pixels = folder.has_ranges
    if isinstance(job.settings.get("diffusion"), dict):
        diffusion_settings.from_json(chosen.diffusion, job.settings["diffusion"])


def delete(take: Take) -> Removed | None:
    """Delete a take's strips, and its files if they are this project's. Returns what became of them, None if they
    stay: a copy of a project has the takes of the original.

    Raises JobError if the files cannot be deleted now; the strips stay then, too.
    """
    ours = owns_files(take)
    if ours:
        removal.is_deletable(take.entry)  # it raises before anything is gone
    for strip in strips.made_of(take.entry.id):
        strips.remove(strip)
    return removal.remove(take.entry) if ours else None


def owns_files(take: Take) -> bool:
    """Whether a take's files belong to this project: its job was begun here, or its strip finds them from here."""
    if not take.entry.blend or Path(take.entry.blend) == Path(bpy.data.filepath):
        return True
    named = (strip.get(strips.FOLDER) for strip in strips.made_of(take.entry.id))
    return any(isinstance(path, str) and paths.absolute_path(path) == take.entry.path for path in named)


def _step(frames: Sequence[int]) -> int:
    return max(frames[1] - frames[0], 1) if len(frames) > 1 else 1


@lru_cache(maxsize=1)
def _painted(_stamp: int) -> tuple[Entry, ...]:
    made = (entry for entry in registry.entries() if entry.kind == "paint")
    return tuple(entry for entry in made if entry.state in ("finished", "delivered"))


_known: dict[tuple[str, str], Take | None] = {}


def _take(entry: Entry) -> Take | None:
    """What a take's folder says of it, read once for each change of its entry; None if it is gone."""
    if not inputs.is_folder(entry.path):
        return None
    key = (entry.id, entry.updated)
    if key not in _known:
        _known[key] = _described(entry)
    return _known[key]


def _described(entry: Entry) -> Take | None:
    try:
        folder = PaintFolder.open(entry.path)
    except PantheonError:
        return None
    record = painting_summary.read(folder)
    painter = painting_summary.painter(folder.job, record)
    origins = painting_summary.origins(record) if record else ""
    return Take(entry, painter, origins, folder.job.width, len(folder.job.frames), removal.size(entry.path))
