"""What is known along a shot's path: what the camera sees of the points, the captures it stands on, and the clips."""

from __future__ import annotations

import numpy as np

from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.progress import Job, Progress
from pantheon360_blender.core.render import splatting
from pantheon360_blender.core.render.splatting import GeometryFrame

from ..clip.passes import Clip
from ..networks import conditioning
from . import timeline
from .timeline import Segment


class Trajectory:
    """A shot's path as a model paints it.

    width: of the painted panoramas, pixels. frames: Blender's numbers of all frames of the path.
    painted: positions in `frames` of those that are painted; in_between.py makes the others.
    segments: the clips, in positions of `painted`.
    """

    def __init__(self, folder: PaintFolder, width: int, *, clip: int, overlap: int = 5, every: int = 1) -> None:
        self.folder = folder
        self.width = width
        self.frames = folder.job.frames
        self._captures = {entry["name"]: entry for entry in folder.job.captures}
        self._loaded: dict[str, Capture] = {}
        standing = {self.frames.index(anchor["frame"]): anchor["capture"] for anchor in folder.job.anchors}
        standing = timeline.thin_anchor_runs(
            standing, len(self.frames), every * timeline.shortest_clip(clip), every * (clip - 1)
        )
        self.painted = timeline.painted_frames(len(self.frames), every, standing)
        self._anchors = {self.painted.index(frame): capture for frame, capture in standing.items()}
        self.segments = timeline.segments(len(self.painted), self._anchors, clip, overlap)

    def frame(self, position: int) -> int:
        """Blender's number of a painted frame."""
        return self.frames[self.painted[position]]

    def geometry(self, position: int) -> GeometryFrame:
        """What the camera sees of the points there, at the painted width. Raises JobError."""
        return splatting.resized(self.folder.read_geometry("geometry", self.frame(position)), self.width)

    def clip(self, segment: Segment, start: np.ndarray | None = None) -> Job[Clip]:
        """What is known of a segment's frames.

        start: (H, W, 3) uint8, the segment's first frame if it was painted before; captures come first.
        Raises JobError.
        """
        geometry: list[GeometryFrame] = []
        for position in range(segment.first, segment.last + 1):
            yield Progress("Reading the geometry", len(geometry), len(segment))
            geometry.append(self.geometry(position))
        if segment.starts_at_anchor:
            start = self._anchor(segment.first, geometry[0])
        return Clip(
            geometry=geometry,
            start=start,
            end=self._anchor(segment.last, geometry[-1]) if segment.ends_at_anchor else None,
            clip_image=self._look(segment.first, geometry[0]) if start is None else None,
            first=segment.first,
        )

    def _anchor(self, position: int, geometry: GeometryFrame) -> np.ndarray:
        """The capture that the camera stands on, in the camera's orientation."""
        return self._seen(self._anchors[position], position, geometry)

    def _look(self, position: int, geometry: GeometryFrame) -> np.ndarray | None:
        """The nearest capture in the camera's orientation: the place as seen from elsewhere."""
        camera = self.folder.job.camera(self.frame(position))
        places = {name: np.asarray(entry["pose"])[:3, 3] for name, entry in self._captures.items()}
        if not places:
            return None
        nearest = min(places, key=lambda name: float(np.linalg.norm(places[name] - camera[:3, 3])))
        return self._seen(nearest, position, geometry)

    def _seen(self, name: str, position: int, geometry: GeometryFrame) -> np.ndarray:
        if name not in self._loaded:
            self._loaded = {name: self.folder.read_capture(self._captures[name])}  # they are large: one at a time
        camera = self.folder.job.camera(self.frame(position))
        return conditioning.anchor_frame(self._loaded[name], camera, geometry.colour)
