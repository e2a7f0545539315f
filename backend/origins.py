"""How much of a finished shot was photographed, how much points, and how much nobody has seen; in its record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pantheon360_blender.core.jobs import painting_record
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.progress import Job, Progress
from pantheon360_blender.core.render import origin

_MOST_FRAMES = 64
"""Frames of a shot that are looked at, evenly spread."""


def note(folder: PaintFolder) -> Job[dict[str, float]]:
    """Write shares of the sphere, the mean of the frames, into `painting.json`; returns them, by name.

    What a painter made up is "filled" if it says where that is, as the draft does. One that does not has painted
    whatever it was not shown as points. Raises PantheonError if a frame cannot be read.
    """
    told = [frame for frame in folder.job.frames if folder.origin_file(frame).is_file()]
    frames = _spread(told or folder.job.frames)
    found = []
    for index, frame in enumerate(frames):
        yield Progress("Counting what was photographed", index, len(frames))
        if told:
            seen = folder.read_origin(frame)
        else:
            shown = folder.read_surfaces(frame).coverage
            seen = np.where(shown, origin.POINT, origin.MADE_UP).astype(np.uint8)
        found.append(origin.shares(seen))
    names = {"photographed": "photographed", "points": "points", "made_up": "filled" if told else "painted"}
    mean = {names[name]: round(float(np.mean([each[name] for each in found])), 4) for name in names}
    entries = painting_record.read(folder.painting_file, folder.made_of)
    entries["made_of"] = folder.made_of
    entries["origins"] = mean
    folder.output.write_json(folder.painting_file, entries)
    yield Progress("Counting what was photographed", len(frames), len(frames))
    return mean


def _spread(frames: Sequence[int]) -> list[int]:
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), _MOST_FRAMES)).round().astype(int)
    return [frames[index] for index in chosen]
