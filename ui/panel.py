"""The sidebar tab, in the order of the work: captures, cache, camera path, geometry pass, generate."""

from __future__ import annotations

import math
from typing import Any

import bpy

from ..pantheon360_blender.core.jobs import model_card, model_places
from ..pantheon360_blender.core.jobs.paint_settings import SETTINGS
from ..pantheon360_blender.scene.app import identity, jobs, sidebar, versions
from ..pantheon360_blender.scene.app.access import of_object
from ..pantheon360_blender.scene.app.registration import registration
from ..pantheon360_blender.scene.background import queue
from ..pantheon360_blender.scene.cache import cache_objects
from ..pantheon360_blender.scene.camera import camera_path, level
from ..pantheon360_blender.scene.captures import capture_objects, preview_sphere
from ..pantheon360_blender.scene.render import geometry_pass
from ..pantheon360_blender.scene.shot import diffusion_settings, models, shot, strips
from ..pantheon360_blender.scene.sources import projection, reconstruct
from ..pantheon360_blender.scene.translation import CONTEXT, translated
from .job_state import draw_current, draw_outcome, draw_reason, draw_running
from .text_lines import hint, paragraph


class SidebarPanel(bpy.types.Panel):
    """Where every panel of this extension stands."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = sidebar.CATEGORY
    layout: Any


class PANTHEON360_PT_captures(SidebarPanel):
    bl_label = "Captures"
    bl_idname = "PANTHEON360_PT_captures"

    def draw(self, context: Any) -> None:
        layout = property_layout(self.layout)
        draw_outcome(layout, context.scene, "captures")
        found = capture_objects.in_scene(context.scene)
        layout.prop(context.scene.pantheon360, "eye_height")
        job_button(layout, context, "import_captures", icon="IMPORT")
        if not found:
            hint(layout, "Import 360° photographs of", "one place to begin")
        for capture in found:
            row = layout.row(align=True)
            row.label(text=capture.name, icon="WORLD")
            settings = of_object(capture)
            row.prop(settings, "show_preview", text="", icon="HIDE_OFF" if settings.show_preview else "HIDE_ON")
        shading = context.space_data.shading
        shown = any(of_object(capture).show_preview for capture in found)
        meshes = shown and not preview_sphere.are_drawn_elsewhere()
        if meshes and shading.type == "SOLID" and shading.color_type != "TEXTURE":
            layout.prop_enum(shading, "color_type", "TEXTURE", text="Show Photographs", icon="IMAGE_DATA")


class PANTHEON360_PT_capture(SidebarPanel):
    """The active capture: levelling and what of it to ignore."""

    bl_label = "Active Capture"
    bl_idname = "PANTHEON360_PT_capture"
    bl_parent_id = "PANTHEON360_PT_captures"

    @classmethod
    def poll(cls, context: Any) -> bool:
        return context.object is not None and context.object.pantheon360.is_capture

    def draw(self, context: Any) -> None:
        layout = property_layout(self.layout)
        capture = context.object.pantheon360
        layout.template_ID(capture, "image", open="image.open", text="Image")
        levelling = layout.column(align=True, heading="Level", heading_ctxt=CONTEXT)
        for axis in ("yaw", "pitch", "roll"):
            levelling.prop(capture, axis)
        ignored = layout.column(heading="Ignore")
        ignored.prop(capture, "nadir", slider=True)
        ignored.template_ID(capture, "mask", open="image.open", text="Mask")


class PANTHEON360_PT_cache(SidebarPanel):
    bl_label = "3D Cache"
    bl_idname = "PANTHEON360_PT_cache"

    def draw(self, context: Any) -> None:
        layout = property_layout(self.layout)
        draw_outcome(layout, context.scene, "cache")
        settings = context.scene.pantheon360
        building = layout.column()
        building.prop(settings, "reconstruction_poses")
        building.prop(settings, "reconstruction_dense")
        building.prop(settings, "reconstruction_width", text="Width")
        building.prop(settings, "reconstruction_confidence", slider=True)
        completing = building.column()
        completing.active = settings.reconstruction_dense == "SWEEP"
        completing.prop(settings, "reconstruction_complete")
        guessing = completing.column()
        guessing.active = settings.reconstruction_complete
        guessing.prop(settings, "reconstruction_guesses")
        weights = building.column()
        guessed = settings.reconstruction_complete and settings.reconstruction_guesses != "PLANES"
        weights.active = (
            guessed if settings.reconstruction_dense == "SWEEP" else settings.reconstruction_dense != "NONE"
        )
        weights.prop(settings, "reconstruction_weights", placeholder="The model's own")
        weights.prop(settings, "reconstruction_download")
        building.prop(settings, "reconstruction_cache")
        draw_advice(building, context.scene)
        job_button(building, context, "build_cache", icon="OUTLINER_OB_POINTCLOUD", explain=True)
        draw_queued(building, context.scene, "reconstruct")
        layout.separator()
        layout.prop(settings, "wall_distance")
        layout.operator("pantheon360.make_proxy", icon="MESH_GRID")
        job_button(layout, context, "make_walls", icon="HOME")
        if context.object is not None and context.object.type == "MESH" and not context.object.pantheon360.is_cache:
            layout.prop(context.object.pantheon360, "is_geometry", text="Use Active Mesh")
        meshes = len(projection.geometry_in(context.scene))
        found = cache_objects.find(context.scene)
        if meshes:
            one = translated("1 mesh to project onto")
            counted = one if meshes == 1 else translated("{count} meshes to project onto", count=meshes)
            layout.label(text=counted, icon="OUTLINER_OB_MESH")
        layout.prop(settings, "projection_width", text="Width")
        layout.prop(settings, "nearest_capture_only", text="Nearest Only")
        job_button(layout, context, "project_captures", icon="MOD_UVPROJECT")
        if found is not None:
            mesh: Any = found.data
            counted = translated("{count:,} points in {name}", count=len(mesh.vertices), name=found.name)
            layout.label(text=counted, icon="OUTLINER_OB_POINTCLOUD")
        elif meshes:
            hint(layout, "Fit the meshes to the place,", "then project")


def draw_advice(layout: Any, scene: Any) -> None:
    """Which way to points is best for the scene's captures, and what its model takes."""
    if capture_objects.in_scene(scene):
        best = reconstruct.ways(scene)[0]
        told = translated("Best here: {way}", way=translated(best.title))
        paragraph(layout, told + (f" ({translated(best.takes)})" if best.takes else ""), icon="INFO")


class PANTHEON360_PT_path(SidebarPanel):
    bl_label = "Camera Path"
    bl_idname = "PANTHEON360_PT_path"

    def draw(self, context: Any) -> None:
        layout = property_layout(self.layout)
        draw_outcome(layout, context.scene, "path")
        scene = context.scene
        settings = scene.pantheon360
        layout.prop(scene, "camera")
        frames = layout.column(align=True)
        frames.prop(scene, "frame_start", text="Frames")
        frames.prop(scene, "frame_end", text="End")
        layout.prop(settings, "start_capture", text="From")
        layout.prop(settings, "end_capture", text="To")
        layout.prop(settings, "match_orientation")
        layout.operator("pantheon360.set_path_ends", icon="KEYFRAME_HLT")
        layout.menu("PANTHEON360_MT_path_moves", icon="CURVE_PATH")
        moves: Any = bpy.types
        if jobs.running() in {moves.PANTHEON360_OT_path_walk.bl_label, moves.PANTHEON360_OT_path_smooth.bl_label}:
            draw_running(layout, context.window_manager.pantheon360)
        tilt = camera_path.tilt(scene.camera) if scene.camera is not None else 0.0
        if tilt > level.TILTED and capture_objects.in_scene(scene):
            hint(
                layout,
                "The camera is tilted by {angle:.0f}°:",
                "the horizon will not be level",
                angle=math.degrees(tilt),
            )
            layout.operator("pantheon360.level_camera", icon="ORIENTATION_GLOBAL")


class PANTHEON360_PT_geometry(SidebarPanel):
    bl_label = "Geometry Pass"
    bl_idname = "PANTHEON360_PT_geometry"

    def draw(self, context: Any) -> None:
        layout = property_layout(self.layout)
        draw_outcome(layout, context.scene, "geometry")
        settings = context.scene.pantheon360
        layout.prop(settings, "width")
        layout.prop(settings, "near")
        layout.prop(settings, "own_pixels", text="Photographed")
        layout.prop(settings, "frame_step")
        job_button(layout, context, "render_geometry", icon="RENDER_ANIMATION")
        layout.operator("pantheon360.set_up_rendering", icon="RENDER_STILL")


class PANTHEON360_PT_generate(SidebarPanel):
    bl_label = "Generate"
    bl_idname = "PANTHEON360_PT_generate"

    def draw(self, context: Any) -> None:
        layout = property_layout(self.layout)
        draw_outcome(layout, context.scene, "video")
        settings = context.scene.pantheon360
        layout.prop(settings, "painter")
        if settings.painter == "DIFFUSION":
            _diffusion(layout, settings)
        layout.prop(settings, "seed")
        layout.prop(settings, "strip_source")
        layout.prop(settings, "jobs_folder", placeholder="Beside the saved file")
        job_button(layout, context, "generate", icon="PLAY", explain=True)
        draw_queued(layout, context.scene, "paint")
        if shot.unfinished(context.scene) is not None and not queue.is_in_hand(context.scene):
            job_button(layout, context, "resume", icon="FRAME_NEXT")
        if strips.newest(context.scene) is not None:
            row = layout.row(align=True)
            row.operator("pantheon360.show_result", icon="SEQ_SEQUENCER")
            row.operator_menu_enum("pantheon360.show_result", "view", text="", icon="DOWNARROW_HLT")
        layout.separator()
        job_button(layout, context, "tag_360", icon="FILE_MOVIE")
        layout.operator("pantheon360.check_360", icon="VIEWZOOM")


def _diffusion(layout: Any, settings: Any) -> None:
    """What is set of the diffusion painter each time."""
    chosen = settings.diffusion
    layout.prop(chosen, "model", placeholder="Name or folder")
    _model(layout, diffusion_settings.model_of(chosen), geometry_pass.even_width(settings.width))
    layout.prop(chosen, "steps")
    layout.prop(chosen, "guidance")
    if any(getattr(chosen, name) < SETTINGS[name].least for name in ("steps", "guidance")):
        hint(layout, "0 leaves it to the model")
    layout.prop(chosen, "anchors")


def _model(layout: Any, name: str, width: int) -> None:
    """What the named model is, or how to get one. width: of the shot's panoramas."""
    model = models.find(name)
    if model is None:
        _not_found(layout, name)
    elif model.card is None:
        hint(layout, "It has no model card: its size and", "license are told when it paints")
    else:
        _card(layout, model.card, width)


def _not_found(layout: Any, name: str) -> None:
    if model_places.is_hub_id(name):
        hint(layout, "Used where it was downloaded", "from the Hugging Face hub before")
        return
    known = "Choose a model, or add one:" if models.stored() else "There are no models yet; add one:"
    told = translated("There is no model {name}; add it:", name=name) if name else translated(known)
    paragraph(layout, told, icon="INFO")
    layout.operator("pantheon360.add_model", icon="IMPORT")


def _card(layout: Any, card: model_card.ModelCard, width: int) -> None:
    facts = layout.column(align=True)
    facts.label(text=card.label, icon="CHECKMARK" if card.trained else "ERROR")
    size: dict[str, Any] = {"width": card.width, "height": card.width // 2}
    facts.label(text=translated("{width} x {height}, {frames} frames", frames=card.frames, **size), icon="BLANK1")
    known = card.licence or translated("unknown")
    facts.label(text=translated("License: {license}", license=known), icon="BLANK1")
    paragraph(layout, card.capability, icon="INFO")
    if card.width != width:
        size |= {"to_width": width, "to_height": width // 2}
        if width > card.width:
            hint(layout, "Paints {width} x {height}; frames are", "enlarged to {to_width} x {to_height}", **size)
        else:
            hint(layout, "Paints {width} x {height}; frames are", "reduced to {to_width} x {to_height}", **size)


_MADE_FROM = (
    ("Painter", "painter"),
    ("Model License", "licence"),
    ("Known Pixels", "known_pixels"),
    ("Pixels", "origins"),
    ("Seed", "seed"),
    ("Job", "folder"),
)
"""What the sequencer tells of a strip: title, and key of its custom property after "pantheon360_"."""


class PANTHEON360_PT_sequencer(bpy.types.Panel):
    """The active strip where finished videos are edited: what it was made from, and the 360° tags."""

    bl_label = "360° Video"
    bl_idname = "PANTHEON360_PT_sequencer"
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = sidebar.CATEGORY

    def draw(self, context: Any) -> None:
        layout: Any = self.layout
        draw_outcome(layout, context.scene, "video")
        strip = versions.active_strip(context)
        if strip is not None and "pantheon360_folder" in strip:
            column = layout.column(align=True)
            for title, key in _MADE_FROM:
                if f"pantheon360_{key}" in strip:
                    column.label(text=f"{translated(title)}: {strip[f'pantheon360_{key}']}")
            for warning in str(strip.get("pantheon360_warnings", "")).splitlines():
                paragraph(layout, warning, icon="ERROR")
            if job := strips.job_of(strip):
                adding = job_button(layout, context, "add_take", icon="OUTLINER_OB_POINTCLOUD")
                if adding is not None:
                    adding.job_id = job
        elif strip is None:
            hint(layout, "Select a strip to see", "what it was made from")
        button = job_button(layout, context, "tag_360", icon="FILE_MOVIE")
        checking = layout.operator("pantheon360.check_360", icon="VIEWZOOM")
        if strip is not None and strip.type == "MOVIE":
            for each in (button, checking) if button is not None else (checking,):
                each.filepath = bpy.path.abspath(strip.filepath)


CLASSES = (
    PANTHEON360_PT_captures,
    PANTHEON360_PT_capture,
    PANTHEON360_PT_cache,
    PANTHEON360_PT_path,
    PANTHEON360_PT_geometry,
    PANTHEON360_PT_generate,
    PANTHEON360_PT_sequencer,
)

register, unregister = registration(*CLASSES)


def property_layout(layout: Any) -> Any:
    """A column as Blender's own property editors have it: names left, values right."""
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column


def draw_queued(layout: Any, scene: bpy.types.Scene, kind: str) -> None:
    """The job of this scene that the queue works on, if it is of this kind. The list of jobs has the others."""
    current = queue.current()
    if current is not None and current.entry.kind == kind and current.entry.identity == identity.known_of(scene):
        draw_current(layout, current)


def job_button(layout: Any, context: Any, verb: str, icon: str, *, explain: bool = False) -> Any:
    """The button of a long job, or its progress while it runs.

    explain: also tell why the button is gray, for the one of a panel that the others wait for.
    Returns the button's operator properties, if any.
    """
    kind = getattr(bpy.types, f"PANTHEON360_OT_{verb}")
    state = context.window_manager.pantheon360
    if jobs.running() == kind.bl_label:
        draw_running(layout, state)
        return None
    button = layout.operator(f"pantheon360.{verb}", icon=icon)
    if explain and (reason := kind.disabled_reason(context)) is not None:
        draw_reason(layout, reason)
    return button
