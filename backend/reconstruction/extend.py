"""A job of kind "extend": painted frames and the 3D cache in, the points out that the cache lacks.

This module imports numpy alone; other packages are looked for before the work begins.
"""

from __future__ import annotations

from pantheon360_blender.core import progress
from pantheon360_blender.core.errors import PointCloudError
from pantheon360_blender.core.jobs.job_folder import ExtendFolder
from pantheon360_blender.core.points.point_cloud import PointCloud
from pantheon360_blender.core.progress import Progress

from . import packages


def run(folder: ExtendFolder) -> progress.Job[None]:
    """Do what is missing of a job: `invented.npz`, which holds no points if the frames bring nothing new.

    Raises BackendError if packages are missing, with how to get them; JobError if an input is damaged.
    """
    folder.begin()
    packages.require(["completing surfaces"])
    yield from folder.verification()
    from .invention import PaintedFrame, invented

    job = folder.job
    yield Progress("Reading the frames")
    known, captures = folder.read_known(), folder.unread_captures()
    frames = []
    for index, (frame, pose) in enumerate(zip(job.frames, job.cameras, strict=True)):
        yield Progress("Reading the frames", index, len(job.frames), text=f"frame {frame}")
        frames.append(PaintedFrame(*folder.read_painted(frame), pose))
    cloud = yield from invented(known, frames, captures, job.settings["near"])
    yield Progress("Writing the points")
    with folder.output.writing(folder.invented_file.name) as file:
        cloud.write_npz(file)


def is_finished(folder: ExtendFolder) -> bool:
    """Whether the points are there, are of this job and can be read."""
    if folder.has_results_of_another_job():
        return False
    try:
        PointCloud.load(folder.invented_file)
        return True
    except PointCloudError:
        return False
