"""A take as the light of a scene: its panoramas as a world, turned as the camera was that they were painted for.

Source of the mapping: Blender's manual, "Environment Texture Node", equirectangular; its middle looks along +X.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ...core import budget
from ...core.errors import FileError, ImageError, JobError
from ...core.formats import image_headers
from ...core.jobs.job import PaintJob
from ...core.jobs.job_folder import PaintFolder
from ..app import paths

CAMERA_TO_TEXTURE = np.array([(0.0, 0.0, -1.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)])
"""From the axes of a camera (-Z forward, +X right, +Y up) to those of an environment texture (+X middle, -Y right)."""


def make(scene: bpy.types.Scene, folder: PaintFolder) -> bpy.types.World:
    """Make a world of a job's frames and let the scene have it; the world that it had stays in the file.

    Raises JobError if frames are missing, or some were left out by a frame step, so that there is no sequence.
    """
    job = folder.job
    if np.any(np.diff(job.frames) != 1):
        raise JobError(
            "This take has every few frames only, and a world needs each.", advice="Export it as a video instead."
        )
    _require_frames(folder)
    world = bpy.data.worlds.new(f"{job.name} 360°")
    _make_nodes(world, folder)
    scene.world = world
    return world


def _require_frames(folder: PaintFolder) -> None:
    """Raise JobError if a frame is missing, cut off or of another size.

    No pixels are decoded: Blender stands still meanwhile, and a long take would take minutes.
    """
    for frame in folder.job.frames:
        try:
            image_headers.check_whole(folder.frame_file(frame), budget.exactly(*folder.job.size))
        except (FileError, ImageError) as error:
            raise JobError(
                f"Frame {frame} of {folder.path.name} is missing or damaged.",
                advice="Run the job again: it goes on where it stopped.",
            ) from error


def _make_nodes(world: Any, folder: PaintFolder) -> None:
    if world.node_tree is None:  # Blender before 5.0
        world.use_nodes = True
    tree = world.node_tree
    tree.nodes.clear()
    place, mapping, texture, background, output = (
        tree.nodes.new(kind)
        for kind in (
            "ShaderNodeTexCoord",
            "ShaderNodeMapping",
            "ShaderNodeTexEnvironment",
            "ShaderNodeBackground",
            "ShaderNodeOutputWorld",
        )
    )
    for index, node in enumerate((place, mapping, texture, background, output)):
        node.location = (index * 250 - 500, 0)
    _show_frames(texture, folder)
    _turn(mapping.inputs["Rotation"], folder.job)
    tree.links.new(place.outputs["Generated"], mapping.inputs["Vector"])
    tree.links.new(mapping.outputs["Vector"], texture.inputs["Vector"])
    tree.links.new(texture.outputs["Color"], background.inputs["Color"])
    tree.links.new(background.outputs["Background"], output.inputs["Surface"])


def _show_frames(texture: Any, folder: PaintFolder) -> None:
    frames = folder.job.frames
    image = bpy.data.images.load(str(folder.frame_file(frames[0])))
    stated: Any = image.colorspace_settings
    stated.name = "sRGB"
    texture.image = image
    if len(frames) > 1:
        image.source = "SEQUENCE"
        user = texture.image_user
        user.frame_start, user.frame_duration, user.frame_offset = frames[0], len(frames), frames[0] - 1
        user.use_auto_refresh = True
    image.filepath = paths.relative_path(folder.frame_file(frames[0]))


def _turn(rotation: Any, job: PaintJob) -> None:
    """Key the texture's rotation at every frame, so that it stays in the world while the camera turns."""
    for frame, pose in zip(job.frames, np.asarray(job.cameras, dtype=np.float64), strict=True):
        turned = CAMERA_TO_TEXTURE @ pose[:3, :3].T
        rotation.default_value = Matrix(turned.tolist()).to_euler("XYZ")
        if len(job.frames) > 1:
            rotation.keyframe_insert("default_value", frame=frame)
