"""The frames of a shot on disk: painted ones at the shot's size, and those between them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from pantheon360_blender.core.formats import png
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.progress import Job, Progress
from pantheon360_blender.core.render.draft import DraftPainter

from . import timeline
from .in_between import PaintedView, Pair
from .trajectory import Trajectory


class ShotFrames:
    """Writes what segments paint, and what of the draft stays in it.

    A frame between two painted ones belongs to the segment of the later one.
    """

    def __init__(
        self, folder: PaintFolder, trajectory: Trajectory, keys: Sequence[str], draft_share: float = 0.0
    ) -> None:
        """keys: of the segments' frames: what these are made of. draft_share: of the draft in each frame, 0 to 1."""
        self._draft = DraftPainter(folder.unread_captures(), folder.job.width) if draft_share else None
        self._draft_share = draft_share
        self._folder = folder
        self._trajectory = trajectory
        self._keys = keys

    def missing(self, index: int) -> list[int]:
        """Positions along the path of a segment's frames that are not finished."""
        owned, painted = timeline.owned(self._trajectory.segments, index), self._trajectory.painted
        positions = range(painted[owned[0] - 1] + 1 if owned[0] else 0, painted[owned[-1]] + 1)
        numbers, key = self._trajectory.frames, self._keys[index]
        return [place for place in positions if not self._folder.is_finished(numbers[place], key)]

    def unfinished_after(self, index: int) -> bool:
        """Whether a later segment has frames that are not finished."""
        return any(self.missing(later) for later in range(index + 1, len(self._trajectory.segments)))

    def write(self, index: int, images: np.ndarray) -> Job[None]:
        """Write a segment's frames that are not finished, as the camera sees them.

        images: (F, H, W, 3) uint8, all it painted, in its own orientation.

        Raises FileError if they cannot be written, JobError if geometry is missing.
        """
        trajectory, missing = self._trajectory, self.missing(index)
        first, view = trajectory.segments[index].first, trajectory.views[index]
        pair: tuple[int, Pair] | None = None
        for count, frame in enumerate(self._painted_first(missing)):
            yield Progress("Writing frames", count, len(missing))
            after = bisect_left(trajectory.painted, frame)
            if trajectory.painted[after] == frame:
                camera = self._folder.job.camera(trajectory.frames[frame])
                image = view.into_camera(images[after - first], camera, self._folder.job.width)
                if self._draft is not None:
                    image = yield from self._mixed(image, self._draft, trajectory.frames[frame])
            else:
                if pair is None or pair[0] != after:
                    pair = after, self._pair(after)
                image = self._between(pair[1], after, frame)
            self._folder.write_frame(trajectory.frames[frame], image, self._keys[index])
        yield Progress("Writing frames", len(missing), len(missing))
        self._folder.write_preview(images[timeline.owned(trajectory.segments, index)[-1] - first])

    def _mixed(self, image: np.ndarray, draft: DraftPainter, number: int) -> Job[np.ndarray]:
        """A painted frame, with the draft's share of it at the shot's own size."""
        surfaces, camera = self._folder.read_surfaces(number), self._folder.job.camera(number)
        for name in draft.load(surfaces, camera):
            yield Progress("Loading captures", text=name)
        share = np.float32(self._draft_share)
        mixed = share * draft.paint(surfaces, camera) + (1 - share) * image
        return np.asarray(np.rint(mixed), np.uint8)

    def _painted_first(self, frames: list[int]) -> list[int]:
        """Positions along the path, those of painted frames first: the others are made of them."""
        painted = set(self._trajectory.painted)
        return sorted(frames, key=lambda frame: (frame not in painted, frame))

    def _pair(self, after: int) -> Pair:
        """A painted frame and the one before it. after: its position among painted frames."""
        return Pair(*(self._view(frame) for frame in self._trajectory.painted[after - 1 : after + 1]))

    def _between(self, pair: Pair, after: int, frame: int) -> np.ndarray:
        """The frame at a position along the path, between two painted ones."""
        start, stop = self._trajectory.painted[after - 1 : after + 1]
        number = self._trajectory.frames[frame]
        depth = self._folder.read_surfaces(number).depth
        return pair.frame(depth, self._folder.job.camera(number), (frame - start) / (stop - start))

    def _view(self, position: int) -> PaintedView:
        """A painted frame as it is on disk: the same whether it was painted now or in an earlier run."""
        frame = self._trajectory.frames[position]
        image = png.read(self._folder.frame_file(frame))
        return PaintedView(image, self._folder.read_surfaces(frame).depth, self._folder.job.camera(frame))
