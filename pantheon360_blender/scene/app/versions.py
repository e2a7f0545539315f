"""Every difference between the supported versions of Blender, and nothing else.

Supported: 4.5 LTS, 5.0, 5.2 LTS. A caller names what it wants; which version needs what is said here.
"""

from __future__ import annotations

from typing import Any

import bpy

VERSION = bpy.app.version


def eevee_engine() -> str:
    """Identifier of EEVEE: it lost its suffix when the old EEVEE was forgotten."""
    return "BLENDER_EEVEE" if VERSION >= (5, 0, 0) else "BLENDER_EEVEE_NEXT"


def node_tree(owner: Any) -> Any:
    """The node tree of a material or world: always there from 5.0, made on request before."""
    if owner.node_tree is None:
        owner.use_nodes = True
    return owner.node_tree


def set_modifier_input(modifier: Any, identifier: str, value: Any) -> None:
    """Set an input of a geometry-nodes modifier by its socket identifier ("Socket_2")."""
    if VERSION >= (5, 2, 0):
        getattr(modifier.properties.inputs, identifier).value = value
    else:
        modifier[identifier] = value
    modifier.id_data.update_tag()


def modifier_input(modifier: Any, identifier: str) -> Any:
    """Read an input of a geometry-nodes modifier by its socket identifier."""
    if VERSION >= (5, 2, 0):
        return getattr(modifier.properties.inputs, identifier).value
    return modifier[identifier]


def strips(editor: Any) -> Any:
    """The strips of a sequence editor."""
    return editor.strips


def strip_range(strip: Any) -> tuple[int, int]:
    """First frame a strip shows and the frame after its last one."""
    if VERSION >= (5, 1, 0):
        return int(strip.left_handle), int(strip.right_handle)
    return int(strip.frame_final_start), int(strip.frame_final_end)


def set_sequencer_scene(context: bpy.types.Context, scene: bpy.types.Scene) -> None:
    """Show a scene's strips in the workspace's sequencers; before 5.0 they show the window's scene anyway."""
    workspace = context.workspace
    if workspace is not None and hasattr(workspace, "sequencer_scene"):
        workspace.sequencer_scene = scene


def set_image_output(image_settings: Any, file_format: str) -> None:
    """Choose a still image format ("PNG", "OPEN_EXR", "OPEN_EXR_MULTILAYER"); from 5.0 the medium is chosen first."""
    if VERSION >= (5, 0, 0):
        image_settings.media_type = "MULTI_LAYER_IMAGE" if file_format == "OPEN_EXR_MULTILAYER" else "IMAGE"
    image_settings.file_format = file_format


def set_video_output(image_settings: Any) -> None:
    """Choose FFmpeg video output; from 5.0 the medium is chosen first."""
    if VERSION >= (5, 0, 0):
        image_settings.media_type = "VIDEO"
    image_settings.file_format = "FFMPEG"


def active_strip(context: Any) -> Any:
    """The active strip of the sequencer at hand, or None; it was a "sequence strip" before 5.0."""
    name = "active_strip" if VERSION >= (5, 0, 0) else "active_sequence_strip"
    return getattr(context, name, None)
