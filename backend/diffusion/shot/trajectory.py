"""What is known along a shot's path: what the camera sees of the points, the captures it stands on, and the clips."""

from __future__ import annotations

import math

import numpy as np

from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.progress import Job, Progress
from pantheon360_blender.core.render import splatting
from pantheon360_blender.core.render.draft import DraftPainter
from pantheon360_blender.core.render.splatting import GeometryFrame

from ..clip.passes import Clip
from ..networks import conditioning
from . import level_view, timeline
from .level_view import LevelView
from .timeline import Segment

_ALIKE_PIXELS = 1.0
"""Parallax, in pixels of the painted panorama, of the nearest tenth of what is seen, up to which a capture beside the
path shows what the camera sees."""


class Trajectory:
    """A shot's path as a model paints it.

    width: of the painted panoramas, pixels. frames: Blender's numbers of all frames of the path.
    painted: positions in `frames` of those that are painted; in_between.py makes the others.
    segments: the clips, in positions of `painted`. views: the orientation of each.
    """

    def __init__(
        self,
        folder: PaintFolder,
        width: int,
        *,
        clip: int,
        overlap: int = 5,
        every: int = 1,
        columns: int | None = None,
        travel: float | None = 0.0,
        filled: bool = False,
    ) -> None:
        """columns: of the model's latents around the horizon, None for one of 8 pixels. travel: see ModelCard.

        filled: whether the model sees the draft instead of points alone.
        """
        self.folder = folder
        self.width = width
        self.frames = folder.job.frames
        self._captures = {entry["name"]: entry for entry in folder.job.captures}
        self._loaded: dict[str, Capture] = {}
        self._draft_width = max(width, folder.job.width)
        self._draft = DraftPainter(folder.unread_captures(), self._draft_width) if filled else None
        standing = {self.frames.index(anchor["frame"]): anchor["capture"] for anchor in folder.job.anchors}
        standing = timeline.thin_anchor_runs(
            standing, len(self.frames), every * timeline.shortest_clip(clip), every * (clip - 1)
        )
        self.painted = timeline.painted_frames(len(self.frames), every, standing)
        self._anchors = {self.painted.index(frame): capture for frame, capture in standing.items()}
        self.segments = timeline.segments(len(self.painted), self._anchors, clip, overlap)
        paths = [self._cameras(segment) for segment in self.segments]
        self.views = level_view.level_views(paths, columns or width // 8, travel)

    def frame(self, position: int) -> int:
        """Blender's number of a painted frame."""
        return self.frames[self.painted[position]]

    def camera(self, position: int) -> np.ndarray:
        """(4, 4) camera-to-world of a painted frame."""
        return self.folder.job.camera(self.frame(position))

    def geometry(self, position: int, view: LevelView) -> GeometryFrame:
        """What is seen of the points from there in a clip's orientation, at the painted width. Raises JobError."""
        seen = self.folder.read_geometry("geometry", self.frame(position))
        return splatting.resized(view.geometry(seen, self.camera(position)), self.width)

    def clip(self, index: int, painted: np.ndarray | None = None) -> Job[Clip]:
        """What is known of a segment's frames, in its orientation.

        painted: (N, H, W, 3) uint8, its first frames if they were painted before; captures come first.
        Raises JobError.
        """
        segment, view = self.segments[index], self.views[index]
        geometry: list[GeometryFrame] = []
        filled: list[np.ndarray] = []
        known: dict[int, np.ndarray] = {} if painted is None else dict(enumerate(painted))
        for number, position in enumerate(range(segment.first, segment.last + 1)):
            yield Progress("Reading the geometry", number, len(segment))
            geometry.append(self.geometry(position, view))
            if self._draft is not None:
                filled.append((yield from self._filled(self._draft, position, view)))
            capture = self._anchors.get(position) or self._beside(position, geometry[-1])
            if capture is not None:
                behind = filled[-1] if filled else geometry[-1].colour
                known[number] = self._seen(capture, view.pose(self.camera(position)), behind)
        first_seen = filled[0] if filled else geometry[0].colour
        last = len(segment) - 1
        start, end = known.pop(0, None), known.pop(last, None) if last else None
        return Clip(
            geometry=geometry,
            start=start,
            end=end,
            known=known,
            clip_image=self._look(view.pose(self.camera(segment.first)), first_seen) if start is None else None,
            first=segment.first,
            columns=view.columns,
            filled=filled or None,
        )

    def _filled(self, draft: DraftPainter, position: int, view: LevelView) -> Job[np.ndarray]:
        """What the draft painter makes of points as large as they are, in a clip's orientation, at the painted width.

        It is made at the shot's size and reduced then, so that colors are means and not those of single points.
        """
        camera = self.camera(position)
        surfaces = view.geometry(self.folder.read_surfaces(self.frame(position)), camera)
        surfaces, pose = splatting.resized(surfaces, self._draft_width), view.pose(camera)
        for name in draft.load(surfaces, pose):
            yield Progress("Loading captures", text=name)
        return equirectangular.resize(draft.paint(surfaces, pose), self.width)

    def _cameras(self, segment: Segment) -> np.ndarray:
        return np.stack([self.camera(position) for position in range(segment.first, segment.last + 1)])

    def _beside(self, position: int, geometry: GeometryFrame) -> str | None:
        """The capture that the camera is so near to that what is near looks alike from both, or None."""
        near = np.sort(geometry.depth[geometry.coverage])
        name, distance = self._nearest(self.camera(position))
        if name is None or not len(near):
            return None
        alike = _ALIKE_PIXELS * math.tau / self.width * float(near[len(near) // 10])
        return name if distance <= alike else None

    def _nearest(self, camera: np.ndarray) -> tuple[str | None, float]:
        """The capture nearest to a camera, and how many metres it is away."""
        places = {name: np.asarray(entry["pose"])[:3, 3] for name, entry in self._captures.items()}
        away = {name: float(np.linalg.norm(place - camera[:3, 3])) for name, place in places.items()}
        nearest = min(away, key=lambda name: away[name], default=None)
        return nearest, away[nearest] if nearest is not None else math.inf

    def _look(self, pose: np.ndarray, behind: np.ndarray) -> np.ndarray | None:
        """The nearest capture in an orientation: the place as seen from elsewhere."""
        nearest, _ = self._nearest(pose)
        return None if nearest is None else self._seen(nearest, pose, behind)

    def _seen(self, name: str, pose: np.ndarray, behind: np.ndarray) -> np.ndarray:
        """A capture in an orientation. behind: (H, W, 3) uint8, what its masked pixels show."""
        if name not in self._loaded:
            self._loaded = {name: self.folder.read_capture(self._captures[name])}  # they are large: one at a time
        return conditioning.anchor_frame(self._loaded[name], pose, behind)
