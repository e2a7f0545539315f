"""Properties that a .blend keeps: the shot's settings on the scene, captures and caches on their objects."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from .app import plugin_items
from .app.access import of_object
from .cache import cache_merge, display
from .captures import preview_sphere
from .live import refining
from .shot import diffusion_settings
from .translation import CONTEXT

# Blender evaluates the annotations below; a type checker cannot, hence the ignores.


def is_capture_object(_group: PANTHEON360_PG_scene, obj: bpy.types.Object) -> bool:
    """Whether an object may be chosen as one end of the path."""
    return bool(of_object(obj).is_capture)


def _show_preview_changed(group: PANTHEON360_PG_object, _context: bpy.types.Context) -> None:
    if group.is_capture:
        preview_sphere.update(group.id_data)  # type: ignore[arg-type]


def _levelling_changed(group: PANTHEON360_PG_object, _context: bpy.types.Context) -> None:
    """Blender does not evaluate an object anew because a script set a property of an add-on's on it."""
    group.id_data.update_tag()  # type: ignore[union-attr]


def _most_shown_changed(group: PANTHEON360_PG_object, _context: bpy.types.Context) -> None:
    display.show_at_most(group.id_data, group.most_shown)  # type: ignore[arg-type]


def _least_confidence_changed(group: PANTHEON360_PG_object, _context: bpy.types.Context) -> None:
    display.show_from(group.id_data, group.least_confidence)  # type: ignore[arg-type]


def _live_in_editors_changed(_group: PANTHEON360_PG_scene, _context: bpy.types.Context) -> None:
    refining.redraw_viewports(("IMAGE_EDITOR",))


def _dense_methods(_group: PANTHEON360_PG_scene, _context: bpy.types.Context | None) -> list[tuple[Any, ...]]:
    return plugin_items.reconstructors()  # type: ignore[return-value]


def _guessers(_group: PANTHEON360_PG_scene, _context: bpy.types.Context | None) -> list[tuple[Any, ...]]:
    return plugin_items.guessers()  # type: ignore[return-value]


def _painters(_group: PANTHEON360_PG_scene, _context: bpy.types.Context | None) -> list[tuple[Any, ...]]:
    return plugin_items.painters()  # type: ignore[return-value]


class PANTHEON360_PG_scene(bpy.types.PropertyGroup):
    """Settings of one shot."""

    # Captures and proxy
    eye_height: FloatProperty(  # type: ignore[valid-type]
        name="Eye Height",
        description="Height of the lens above the ground, given to captures whose own height is not known",
        default=2.0,
        min=0.0,
        soft_max=5.0,
        subtype="DISTANCE",
        unit="LENGTH",
    )
    wall_distance: FloatProperty(  # type: ignore[valid-type]
        name="Wall Distance",
        description="How far the starter proxy's walls stand from the line of captures",
        default=8.0,
        min=0.1,
        soft_max=200.0,
        subtype="DISTANCE",
        unit="LENGTH",
    )
    # 3D cache
    cache: PointerProperty(  # type: ignore[valid-type]
        name="3D Cache",
        description="The colored points of this scene; projecting again replaces them",
        type=bpy.types.Object,
    )
    projection_width: IntProperty(  # type: ignore[valid-type]
        name="Projection Width",
        description="Rays around the horizon sent from each capture; half as many from pole to pole",
        default=1024,
        min=16,
        max=16384,
        subtype="PIXEL",
    )
    nearest_capture_only: BoolProperty(  # type: ignore[valid-type]
        name="Nearest Capture Only",
        description="Where several captures see the same surface, keep the points of the nearest one",
        default=True,
    )
    # Reconstruction
    reconstruction_poses: EnumProperty(  # type: ignore[valid-type]
        name="Poses",
        translation_context=CONTEXT,
        description="Where the captures stand",
        items=[
            ("SOLVE", "Solve", "Found from what the captures have in common; GPS, or the eye height, tells the scale"),
            ("GIVEN", "As Placed", "The captures stay where they are"),
            ("MODEL", "By Model", "The learned reconstructor says where they stand"),
        ],
        default="SOLVE",
    )
    reconstruction_dense: EnumProperty(  # type: ignore[valid-type]
        name="Points",
        description="What finds the points",
        items=_dense_methods,
        default=0,
    )
    reconstruction_weights: StringProperty(  # type: ignore[valid-type]
        name="Weights",
        description="Folder with the learned reconstructor's weights, or their id on the Hugging Face hub if they "
        "were downloaded before; empty is the model's own choice",
        default="",
        subtype="DIR_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    reconstruction_download: BoolProperty(  # type: ignore[valid-type]
        name="Download Weights",
        description="Fetch the model's weights if they are not there, as its license allows; Blender's Allow Online "
        "Access must be on",
        default=False,
    )
    reconstruction_width: IntProperty(  # type: ignore[valid-type]
        name="Working Width",
        description="Width at which the captures are compared, rounded to a multiple of 64; time grows with its square",
        default=1024,
        min=64,
        max=8192,
        step=64,
        subtype="PIXEL",
    )
    reconstruction_confidence: FloatProperty(  # type: ignore[valid-type]
        name="Confidence",
        description="Points that are less sure than this are left out, or guessed",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    reconstruction_complete: BoolProperty(  # type: ignore[valid-type]
        name="Complete Surfaces",
        description="Guess what the captures do not tell: surfaces go on to where the color changes, and the cache's "
        "Least Confidence hides such points again",
        default=True,
    )
    reconstruction_guesses: EnumProperty(  # type: ignore[valid-type]
        name="Guess By",
        description="What guesses surfaces; a model's guesses are made to fit what the captures tell surely",
        items=_guessers,
        default=0,
    )
    reconstruction_cache: EnumProperty(  # type: ignore[valid-type]
        name="Result",
        description="What becomes of the points that are there",
        items=cache_merge.RESULTS,
        default="REPLACE",
    )
    # Camera path
    start_capture: PointerProperty(  # type: ignore[valid-type]
        name="Start",
        description="Capture the camera starts from; it is the first frame's anchor",
        type=bpy.types.Object,
        poll=is_capture_object,
    )
    end_capture: PointerProperty(  # type: ignore[valid-type]
        name="End",
        description="Capture the camera arrives at; it is the last frame's anchor",
        type=bpy.types.Object,
        poll=is_capture_object,
    )
    match_orientation: BoolProperty(  # type: ignore[valid-type]
        name="Match Orientation",
        description="Turn the camera as the captures are turned; off keeps the camera's own orientation",
        default=False,
    )
    # Geometry pass and frames
    width: IntProperty(  # type: ignore[valid-type]
        name="Width",
        description="Width of the panoramas in pixels; the height is half of it",
        default=1024,
        min=16,
        max=16384,
        step=64,
        subtype="PIXEL",
    )
    own_pixels: BoolProperty(  # type: ignore[valid-type]
        name="Photographed Surfaces",
        description="Surfaces show the captures' own pixels as seen from the camera; off shows points and is faster",
        default=True,
    )
    near: FloatProperty(  # type: ignore[valid-type]
        name="Near",
        description="Points nearer to the camera than this are not drawn",
        default=0.05,
        min=1e-6,
        soft_max=10.0,
        subtype="DISTANCE",
        unit="LENGTH",
    )
    frame_step: IntProperty(  # type: ignore[valid-type]
        name="Step",
        description="Generate every n-th frame",
        default=1,
        min=1,
        soft_max=10,
    )
    # Live panorama
    live: BoolProperty(  # type: ignore[valid-type]
        name="Live Panorama",
        description="Show in 3D viewports what the camera sees all around, while it moves",
        default=True,
    )
    live_in_editors: BoolProperty(  # type: ignore[valid-type]
        name="Live Panorama",
        description="Fill image editors with what the camera sees all around, while it moves",
        default=False,
        update=_live_in_editors_changed,
    )
    live_corner: EnumProperty(  # type: ignore[valid-type]
        name="Corner",
        description="Where in 3D viewports the live panorama stands",
        items=[
            ("TOP_LEFT", "Top Left", "Below the names of the view and the object"),
            ("TOP_RIGHT", "Top Right", "Beside the gizmo that turns the view"),
            ("BOTTOM_LEFT", "Bottom Left", "Above the panel that adjusts the last operation"),
            ("BOTTOM_RIGHT", "Bottom Right", "Beside the sidebar"),
        ],
        default="BOTTOM_RIGHT",
    )
    live_size: FloatProperty(  # type: ignore[valid-type]
        name="Size",
        description="Width of the live panorama as a share of the viewport's",
        default=0.38,
        min=0.1,
        max=1.0,
        subtype="FACTOR",
    )
    live_opacity: FloatProperty(  # type: ignore[valid-type]
        name="Opacity",
        description="How little of the viewport shows through the live panorama",
        default=1.0,
        min=0.1,
        max=1.0,
        subtype="FACTOR",
    )
    live_width: IntProperty(  # type: ignore[valid-type]
        name="Detail",
        description="Pixels that the live panorama is drawn with, from the left to the right",
        default=1024,
        min=128,
        max=4096,
        step=64,
        subtype="PIXEL",
    )
    live_marks: BoolProperty(  # type: ignore[valid-type]
        name="Show Coverage",
        description="Tint the live panorama: red is not covered by any point, orange is guessed, blue is sure",
        default=False,
    )
    # Painting
    painter: EnumProperty(  # type: ignore[valid-type]
        name="Painter",
        description="What turns the geometry pass into photographic frames",
        items=_painters,
        translation_context=CONTEXT,
        default=0,  # the draft
    )
    diffusion: PointerProperty(  # type: ignore[valid-type]
        name="Diffusion",
        description="Settings of the diffusion painter",
        type=diffusion_settings.PANTHEON360_PG_diffusion,
    )
    seed: StringProperty(  # type: ignore[valid-type]
        name="Seed",
        description="64-bit number that makes a result repeatable",
        default="0",
    )
    jobs_folder: StringProperty(  # type: ignore[valid-type]
        name="Jobs Folder",
        description="Where shots are written; empty is pantheon360_jobs beside the saved file",
        default="",
        subtype="DIR_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    strip_source: EnumProperty(  # type: ignore[valid-type]
        name="Strip",
        description="What the sequencer gets",
        items=[
            ("FRAMES", "Frames", "The lossless PNG frames"),
            ("VIDEO", "Video", "The MP4 tagged as 360°"),
        ],
        default="FRAMES",
    )


class PANTHEON360_PG_object(bpy.types.PropertyGroup):
    """What an object is to Pantheon360, and a capture's own settings."""

    is_capture: BoolProperty(  # type: ignore[valid-type]
        name="Is a Capture", description="This object's transform is the pose of a 360° photograph", default=False
    )
    is_cache: BoolProperty(  # type: ignore[valid-type]
        name="Is a 3D Cache", description="This object's points are splatted into the geometry pass", default=False
    )
    most_shown: IntProperty(  # type: ignore[valid-type]
        name="Shown in Viewport",
        description="How many of the cache's points viewports show at most; renders and the geometry pass have all",
        default=1_000_000,
        min=0,
        soft_max=10_000_000,
        step=10_000,
        update=_most_shown_changed,
    )
    least_confidence: FloatProperty(  # type: ignore[valid-type]
        name="Least Confidence",
        description="Points of less confidence are hidden, from the geometry pass as well; guesses have less than was "
        "asked for when the cache was built, and what takes added has 0.05",
        default=0.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=_least_confidence_changed,
    )
    is_geometry: BoolProperty(  # type: ignore[valid-type]
        name="Projection Geometry", description="Captures are projected onto this mesh", default=False
    )
    image: PointerProperty(  # type: ignore[valid-type]
        name="Image", description="Equirectangular photograph, twice as wide as high", type=bpy.types.Image
    )
    mask: PointerProperty(  # type: ignore[valid-type]
        name="Mask",
        description="White where the photograph is to be ignored: the photographer, a tripod, passers-by",
        type=bpy.types.Image,
    )
    nadir: FloatProperty(  # type: ignore[valid-type]
        name="Nadir",
        description="Share of the image's height ignored at its foot, where photographer and tripod are",
        default=0.0,
        min=0.0,
        max=0.5,
        subtype="FACTOR",
    )
    yaw: FloatProperty(  # type: ignore[valid-type]
        name="Yaw",
        description="Leveling: turns the image's center to the right",
        default=0.0,
        subtype="ANGLE",
        unit="ROTATION",
        update=_levelling_changed,
    )
    pitch: FloatProperty(  # type: ignore[valid-type]
        name="Pitch",
        description="Leveling: turns the image's center up",
        default=0.0,
        subtype="ANGLE",
        unit="ROTATION",
        update=_levelling_changed,
    )
    roll: FloatProperty(  # type: ignore[valid-type]
        name="Roll",
        description="Leveling: tilts the camera's right side down",
        default=0.0,
        subtype="ANGLE",
        unit="ROTATION",
        update=_levelling_changed,
    )
    show_preview: BoolProperty(  # type: ignore[valid-type]
        name="Show Preview",
        description="Show the photograph on a sphere around the capture",
        default=True,
        update=_show_preview_changed,
    )
    source_path: StringProperty(  # type: ignore[valid-type]
        name="Source", description="File the capture was imported from", default=""
    )
    has_position: BoolProperty(  # type: ignore[valid-type]
        name="Has a Position", description="The photograph says where on Earth it was taken", default=False
    )
    # Text, because Blender's float properties are 32 bit: a metre off at best.
    latitude: StringProperty(  # type: ignore[valid-type]
        name="Latitude", description="Degrees north, WGS 84", default=""
    )
    longitude: StringProperty(  # type: ignore[valid-type]
        name="Longitude", description="Degrees east, WGS 84", default=""
    )
    altitude: StringProperty(  # type: ignore[valid-type]
        name="Altitude", description="Meters above sea level; empty if unknown", default=""
    )


class PANTHEON360_PG_window_manager(bpy.types.PropertyGroup):
    """The running job as panels show it; never saved."""

    running: BoolProperty(name="Running", default=False, options={"SKIP_SAVE"})  # type: ignore[valid-type]
    progress: FloatProperty(  # type: ignore[valid-type]
        name="Progress", default=0.0, min=0.0, max=1.0, subtype="FACTOR", options={"SKIP_SAVE"}
    )
    phase: StringProperty(name="Phase", default="", options={"SKIP_SAVE"})  # type: ignore[valid-type]
    eta: StringProperty(name="Time Left", default="", options={"SKIP_SAVE"})  # type: ignore[valid-type]
    warnings: StringProperty(  # type: ignore[valid-type]
        name="Warnings", description="What the running job warned of, a line each", default="", options={"SKIP_SAVE"}
    )
    show_coverage_plot: BoolProperty(  # type: ignore[valid-type]
        name="Show Plot",
        description="Draw the coverage of the camera's path over the 3D viewport",
        default=True,
        options={"SKIP_SAVE"},
    )


NAME = "pantheon360"

GROUPS: tuple[tuple[Any, Any], ...] = (
    (bpy.types.Scene, PANTHEON360_PG_scene),
    (bpy.types.Object, PANTHEON360_PG_object),
    (bpy.types.WindowManager, PANTHEON360_PG_window_manager),
)
"""Which group hangs on which Blender type, always under NAME."""

NESTED = diffusion_settings.CLASSES
"""Groups that are parts of those; registered before them."""


def register() -> None:
    for part in NESTED:
        bpy.utils.register_class(part)
    for owner, group in GROUPS:
        bpy.utils.register_class(group)
        setattr(owner, NAME, PointerProperty(type=group))  # type: ignore[func-returns-value]


def unregister() -> None:
    for owner, group in reversed(GROUPS):
        delattr(owner, NAME)
        bpy.utils.unregister_class(group)
    for part in reversed(NESTED):
        bpy.utils.unregister_class(part)
