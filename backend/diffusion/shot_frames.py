"""The frames of a shot on disk: painted ones at the shot's size, and those between them."""

from __future__ import annotations

import numpy as np

from pantheon360_blender.core import equirectangular, png
from pantheon360_blender.core.job_folder import JobFolder
from pantheon360_blender.core.progress import Job, Progress

from . import timeline
from .in_between import Pair, View
from .trajectory import Trajectory


class ShotFrames:
    """Writes what segments paint. A frame between two painted ones belongs to the segment of the later one."""

    def __init__(self, folder: JobFolder, trajectory: Trajectory) -> None:
        self._folder = folder
        self._trajectory = trajectory

    def missing(self, index: int) -> list[int]:
        """Positions along the path of a segment's frames that are not finished."""
        owned = timeline.owned(self._trajectory.segments, index)
        painted = self._trajectory.painted
        first = painted[owned[0] - 1] + 1 if owned[0] else 0
        return [
            position
            for position in range(first, painted[owned[-1]] + 1)
            if not self._folder.is_finished(self._trajectory.frames[position])
        ]

    def unfinished_after(self, index: int) -> bool:
        """Whether a later segment has frames that are not finished."""
        return any(self.missing(later) for later in range(index + 1, len(self._trajectory.segments)))

    def write(self, index: int, images: np.ndarray) -> Job[None]:
        """Write a segment's frames that are not finished. images: (F, H, W, 3) uint8, all it painted.

        Raises FileError where they cannot be written, JobError where geometry is missing.
        """
        trajectory = self._trajectory
        missing = set(self.missing(index))
        owned = timeline.owned(trajectory.segments, index)
        for count, position in enumerate(owned):
            yield Progress("Writing frames", count, len(owned))
            if trajectory.painted[position] in missing:
                picture = images[position - trajectory.segments[index].first]
                self._folder.write_frame(
                    trajectory.frame(position), equirectangular.resize(picture, self._folder.job.width)
                )
            if position:
                yield from self._write_between(position - 1, position, missing)
        self._folder.write_preview(images[owned[-1] - trajectory.segments[index].first])

    def _write_between(self, first: int, last: int, missing: set[int]) -> Job[None]:
        """Warp the frames between two neighbouring painted ones."""
        start, stop = (self._trajectory.painted[position] for position in (first, last))
        wanted = [position for position in range(start + 1, stop) if position in missing]
        if not wanted:
            return
        pair = Pair(self._view(start), self._view(stop))
        for position in wanted:
            frame = self._trajectory.frames[position]
            yield Progress("Frames in between", position - start - 1, stop - start - 1)
            depth = self._folder.read_surfaces(frame).depth
            camera = self._folder.job.camera(frame)
            self._folder.write_frame(frame, pair.frame(depth, camera, (position - start) / (stop - start)))

    def _view(self, position: int) -> View:
        """A painted frame as it is on disk: the same whether it was painted now or in an earlier run."""
        frame = self._trajectory.frames[position]
        image = png.read(self._folder.frame_file(frame))
        return View(image, self._folder.read_surfaces(frame).depth, self._folder.job.camera(frame))
