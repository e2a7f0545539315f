"""Which finished stages of an earlier reconstruction a new one may keep.

So a job that was cancelled goes on, and another confidence threshold costs seconds.
"""

from __future__ import annotations

import shutil
from contextlib import suppress

import numpy as np

from ..errors import JobError
from . import reconstruct_settings as results
from .job_folder import ReconstructFolder
from .reconstruct_settings import PosedCapture, ReconstructionSettings

POSE_SETTINGS = ("poses", "camera_height", "distance")
"""Settings that decide poses, beside the priors."""
DENSE_SETTINGS = ("dense", "width")
"""Settings that decide range maps, beside poses; a learned reconstructor's options, too."""
GUESS_SETTINGS = ("guess_by", "width", "options")
"""Settings that decide what a learned reconstructor guesses, beside poses."""
STILL = 1e-4
"""Meters, and radians, within which a capture stands where it stood."""


def take_over(previous: ReconstructFolder, folder: ReconstructFolder) -> list[str]:
    """Copy the finished stages of an earlier job that would come out the same in this one.

    Returns the names of the copied files, relative to the folder. Damaged files do no harm: the backend checks them.
    """
    copied = []
    for name in _reusable(previous, folder):
        with suppress(OSError, JobError), open(previous.inside(name), "rb") as old:
            with folder.output.writing(name) as new:
                shutil.copyfileobj(old, new)
            copied.append(name)
    return copied


def _reusable(previous: ReconstructFolder, folder: ReconstructFolder) -> list[str]:
    """Names of the earlier job's files that decide the same as the new job's would."""
    before, now = previous.job, folder.job
    if before.inputs != now.inputs or before.seed != now.seed:
        return []
    old, new = (ReconstructionSettings.from_json(job.settings) for job in (before, now))
    solved = _solved(previous)
    given = [np.array(entry["pose"], dtype=np.float64) for entry in now.captures]
    asked = [np.array(entry["pose"], dtype=np.float64) for entry in before.captures]
    unmoved = all(_still(pose, first) for pose, first in zip(given, asked, strict=True))
    as_solved = bool(solved) and all(_still(one.pose, pose) for one, pose in zip(solved, given, strict=True))
    posed = bool(solved) and _same(old, new, POSE_SETTINGS) and (as_solved or (unmoved and old.priors == new.priors))
    names = [results.POSES_FILE, results.SPARSE_FILE] if posed else []
    if posed or (new.poses == results.GIVEN and as_solved):
        if _same(old, new, DENSE_SETTINGS) and (not new.reconstructor or old.options == new.options):
            names += _maps(previous, results.DEPTH_FOLDER)
        if new.guesser and _same(old, new, GUESS_SETTINGS):
            names += _maps(previous, results.GUESSES_FOLDER)
    return names


def _maps(previous: ReconstructFolder, folder: str) -> list[str]:
    return [f"{folder}/{path.name}" for path in sorted((previous.path / folder).glob("[!.]*.npz"))]


def _same(old: ReconstructionSettings, new: ReconstructionSettings, names: tuple[str, ...]) -> bool:
    return all(getattr(old, name) == getattr(new, name) for name in names)


def _solved(folder: ReconstructFolder) -> list[PosedCapture]:
    try:
        posed = results.read_poses(folder.path)[0]
    except JobError:
        return []
    return posed if [one.name for one in posed] == [entry["name"] for entry in folder.job.captures] else []


def _still(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.abs(one - other).max() <= STILL)
