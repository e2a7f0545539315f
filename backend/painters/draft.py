"""The draft painter: splatted points over the captures at infinity, with the holes closed. It needs no model.

Surfaces show the captures' own pixels if the job knows how far away is what each capture sees.
"""

from __future__ import annotations

from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.progress import Job, Progress
from pantheon360_blender.core.render.draft import DraftPainter, Ranges

PLUGIN = {
    "title": "Draft",
    "summary": "Cache points over the captures at infinity, holes filled; needs no model and no download",
    "needs": [("numpy", "numpy", "all of its arithmetic; Blender's own Python has it")],
    "number": 0,
}

PREVIEWS = 24
"""Previews of a whole job; a glimpse now and then is enough."""


def paint(folder: PaintFolder) -> Job[None]:
    """Paint with what the job folder has: geometry frames, captures, cameras."""
    job = folder.job
    total = len(job.frames)
    finished = set(folder.finished_frames())
    painter = DraftPainter(folder.unread_captures(), job.width, ranges(folder))
    for index, frame in enumerate(job.frames):
        if frame in finished:
            continue
        yield Progress("Painting", len(finished), total, text=f"frame {frame}")
        surfaces, camera = folder.read_surfaces(frame), job.camera(frame)
        for name in painter.load(surfaces, camera):
            yield Progress("Loading captures", text=name)
        painted = painter.painted(surfaces, camera)
        image = painted.image
        folder.write_origin(frame, painted.origin)
        folder.write_frame(frame, image)
        finished.add(frame)
        if index % max(1, total // PREVIEWS) == 0 or len(finished) == total:
            folder.write_preview(image)
    yield Progress("Painting", total, total)


def ranges(folder: PaintFolder) -> Ranges | None:
    """Capture's place in the job to what it sees, if the job knows that."""
    if not folder.has_ranges:
        return None
    captures = folder.job.captures
    return lambda index: folder.read_range(captures[index])
