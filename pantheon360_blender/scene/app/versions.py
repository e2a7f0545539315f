"""Every difference between the supported versions of Blender, and nothing else.

Supported: 4.5 LTS, 5.0, 5.2 LTS and 5.3. A caller names what it wants; which version needs what is said here.
"""

from __future__ import annotations

from typing import Any

import bpy

VERSION = bpy.app.version


SEQUENCER_HAS_WINDOWS_SCENE = VERSION < (5, 0, 0)
"""Whether sequencers show the scene of their window, not one of their workspace."""


def node_tree(owner: Any) -> Any:
    """The node tree of a material or world: always there from 5.0, made on request before."""
    if owner.node_tree is None:
        owner.use_nodes = True
    return owner.node_tree


def set_modifier_input(modifier: Any, identifier: str, value: Any) -> None:
    """Set an input of a geometry-nodes modifier by its socket identifier ("Socket_2"): from 5.2 an RNA property."""
    if VERSION >= (5, 2, 0):
        getattr(modifier.properties.inputs, identifier).value = value
    else:
        modifier[identifier] = value
    modifier.id_data.update_tag()


def fcurves(owner: Any, data_path: str) -> list[Any]:
    """The animation curves of one of a data-block's properties, in the slot of its action that it uses."""
    data = owner.animation_data
    if data is None or data.action is None:
        return []
    bags = [strip.channelbag(data.action_slot) for layer in data.action.layers for strip in layer.strips]
    return [curve for bag in bags if bag is not None for curve in bag.fcurves if curve.data_path == data_path]


def strip_range(strip: Any) -> tuple[int, int]:
    """First frame a strip shows and the frame after its last one: its handles from 5.1, deprecated names before."""
    if VERSION >= (5, 1, 0):
        return int(strip.left_handle), int(strip.right_handle)
    return int(strip.frame_final_start), int(strip.frame_final_end)


def strip_content_start(strip: Any) -> int:
    """The frame at which a strip's first picture is, also if that was trimmed away."""
    return int(strip.content_start if VERSION >= (5, 1, 0) else strip.frame_start)


def show_in_sequencer(context: Any, scene: bpy.types.Scene) -> None:
    """Give the workspace's sequencers a scene if they show none; before 5.0 they show the window's scene anyway."""
    workspace = context.workspace
    if VERSION >= (5, 0, 0) and workspace is not None and workspace.sequencer_scene is None:
        workspace.sequencer_scene = scene


def assign_sequencer(window: Any, scene: bpy.types.Scene) -> None:
    """Have a window's sequencers show this scene: the workspace's from 5.0 on, the window's own before."""
    if SEQUENCER_HAS_WINDOWS_SCENE:
        window.scene = scene
    else:
        window.workspace.sequencer_scene = scene


def set_output(image_settings: Any, file_format: str) -> None:
    """Choose a file format ("FFMPEG", "PNG", "OPEN_EXR_MULTILAYER"); from 5.0 the medium is chosen first."""
    if VERSION >= (5, 0, 0):
        media = {"FFMPEG": "VIDEO", "OPEN_EXR_MULTILAYER": "MULTI_LAYER_IMAGE"}
        image_settings.media_type = media.get(file_format, "IMAGE")
    image_settings.file_format = file_format


def active_strip(context: Any) -> Any:
    """The active strip of the sequencer at hand, or None; it was a "sequence strip" before 5.0."""
    name = "active_strip" if VERSION >= (5, 0, 0) else "active_sequence_strip"
    return getattr(context, name, None)


def smooth(texture: Any, *, wrap: bool = False) -> Any:
    """A texture of the graphics card, interpolated between its pixels, over its left and right edge if it wraps.

    Up to 5.0 textures are interpolated as they are made, and how they go on cannot be chosen.
    """
    if hasattr(texture, "filter_mode"):
        texture.filter_mode(True)
    if wrap and hasattr(texture, "extend_mode_x"):
        texture.extend_mode_x("REPEAT")
        texture.extend_mode_y("EXTEND")
    return texture
