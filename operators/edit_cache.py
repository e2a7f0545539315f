"""Edits of the 3D cache: confidence, floaters, voxels, boxes, masks and colours."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty

from ..pantheon360_blender.core.errors import CacheError
from ..pantheon360_blender.core.plain_text import filled
from ..pantheon360_blender.core.points import colour_match
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene.app.access import ObjectReference
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.app.jobs import NOTHING_CHANGED
from ..pantheon360_blender.scene.cache import cache_edit
from . import base
from .base import JobOperator


def _sides() -> Any:
    return EnumProperty(  # type: ignore[valid-type]
        name="Keep",
        items=[("INSIDE", "Inside", "Keep the points inside"), ("OUTSIDE", "Outside", "Keep the points outside")],
        default="INSIDE",
        description="Which points stay",
    )


def _cache(context: Any) -> bpy.types.Object:
    """The active 3D cache, or else the scene's. Raises CacheError if there is none."""
    obj = cache_edit.chosen(context.scene, context.object)
    if obj is None:
        raise CacheError("The scene has no 3D cache.", advice="Build or project one.")
    return obj


def _disabled_reason(context: Any) -> DisabledReason | None:
    obj = cache_edit.chosen(context.scene, context.object)
    if obj is None:
        return base.without_cache(context.scene)
    return DisabledReason("Leave the cache's Edit Mode first") if obj.mode != "OBJECT" else None


class EditOperator(base.ImmediateOperator):
    """An edit of the cache that is done at once. A subclass defines `edit`."""

    stage = "cache"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return _disabled_reason(context)

    def edit(self, context: Any, obj: bpy.types.Object) -> str:
        """Do it, and say what was done. Raises PantheonError."""
        raise NotImplementedError

    def act(self, context: Any) -> str:
        return self.edit(context, _cache(context))


class EditJobOperator(JobOperator):
    """An edit of the cache that takes seconds if it is large. A subclass defines `edit` and may define `done`."""

    bl_options = {"REGISTER", "UNDO"}
    stage = "cache"
    left = NOTHING_CHANGED

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return _disabled_reason(context)

    def edit(self, context: Any, obj: bpy.types.Object) -> Job[Any]:
        """The job that does it. Raises PantheonError."""
        raise NotImplementedError

    def done(self, result: Any, obj: bpy.types.Object) -> str:
        """What was done, by the job's result: how many points were removed."""
        return _removed(result, obj)

    def job(self, context: Any) -> Job[Any]:
        obj = _cache(context)
        self._reference = ObjectReference(obj)
        return self.edit(context, obj)

    def finished(self, _context: Any, result: Any) -> None:
        self.tell("INFO", self.done(result, self._reference.object))


class Bounded:
    """An edit by another object, the active one or else one that is selected."""

    kinds: frozenset[str] = frozenset()
    unbound = ""
    """Disabled reason if there is none."""

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        return _disabled_reason(context) or (None if cls.bound(context) else DisabledReason(cls.unbound))

    @classmethod
    def bound(cls, context: Any) -> bpy.types.Object | None:
        """The object that bounds the edit; captures and caches have no say."""
        for each in (context.object, *getattr(context, "selected_objects", ())):
            ours = each is not None and (each.pantheon360.is_cache or each.pantheon360.is_capture)
            if each is not None and each.type in cls.kinds and not ours:
                return each  # type: ignore[no-any-return]
        return None


class PANTHEON360_OT_threshold_confidence(EditOperator):
    """Remove cache points that are less sure than a threshold"""

    bl_idname = "pantheon360.threshold_confidence"
    bl_label = "Threshold Confidence"

    least: FloatProperty(  # type: ignore[valid-type]
        name="Confidence",
        description="Points of less confidence are removed",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )

    def edit(self, _context: Any, obj: bpy.types.Object) -> str:
        return _removed(cache_edit.threshold(obj, self.least), obj)


class PANTHEON360_OT_remove_invented(EditOperator):
    """Remove the cache points that takes added: what painters made up and no capture saw"""

    bl_idname = "pantheon360.remove_invented"
    bl_label = "Remove Invented Points"

    def edit(self, _context: Any, obj: bpy.types.Object) -> str:
        return _removed(cache_edit.remove_invented(obj), obj)


class PANTHEON360_OT_remove_floaters(EditJobOperator):
    """Remove cache points that stand alone, judged by how dense the points are where they lie"""

    bl_idname = "pantheon360.remove_floaters"
    bl_label = "Remove Floaters"

    strictness: FloatProperty(  # type: ignore[valid-type]
        name="Deviations",
        description="How far beyond the usual a point's neighbors may be; less removes more",
        default=3.0,
        min=0.1,
        soft_max=10.0,
    )
    neighbours: IntProperty(  # type: ignore[valid-type]
        name="Neighbors", description="How many neighbors a point must have near", default=8, min=1, soft_max=32
    )

    def edit(self, _context: Any, obj: bpy.types.Object) -> Job[int]:
        return cache_edit.remove_floaters(obj, self.strictness, self.neighbours)


class PANTHEON360_OT_thin_cache(EditJobOperator):
    """Merge the cache points of each voxel into one"""

    bl_idname = "pantheon360.thin_cache"
    bl_label = "Thin to Voxels"

    size: FloatProperty(  # type: ignore[valid-type]
        name="Voxel",
        description="Edge of the voxels",
        default=0.02,
        min=1e-4,
        soft_max=1.0,
        subtype="DISTANCE",
        unit="LENGTH",
    )
    nearest: BoolProperty(  # type: ignore[valid-type]
        name="Keep Original Points",
        description="Keep the point nearest to the middle as it is, not the mean of all",
        default=False,
    )

    def edit(self, _context: Any, obj: bpy.types.Object) -> Job[int]:
        return cache_edit.thin(obj, self.size, self.nearest)


class PANTHEON360_OT_crop_cache(Bounded, EditOperator):
    """Remove the cache points outside the active object's bounding box, which may be turned and scaled"""

    bl_idname = "pantheon360.crop_cache"
    bl_label = "Crop to Box"
    kinds = frozenset({"MESH", "EMPTY", "CURVE", "SURFACE", "META", "FONT", "LATTICE"})
    unbound = "Select an object around the points to keep, such as a cube"

    side: _sides()  # type: ignore[valid-type]

    def edit(self, context: Any, obj: bpy.types.Object) -> str:
        box = self.bound(context)
        assert box is not None
        return _removed(cache_edit.crop(obj, box, self.side == "INSIDE"), obj)


class PANTHEON360_OT_mask_cache(Bounded, EditJobOperator):
    """Remove the cache points inside, or outside, the active closed mesh"""

    bl_idname = "pantheon360.mask_cache"
    bl_label = "Mask to Mesh"
    kinds = frozenset({"MESH"})
    unbound = "Select a closed mesh"

    side: _sides()  # type: ignore[valid-type]

    def edit(self, context: Any, obj: bpy.types.Object) -> Job[int]:
        by = self.bound(context)
        assert by is not None
        return cache_edit.mask(obj, by, context.evaluated_depsgraph_get(), self.side == "INSIDE")


class PANTHEON360_OT_match_colours(EditJobOperator):
    """Make the captures' exposures and white balances agree where their cache points overlap"""

    bl_idname = "pantheon360.match_colours"
    bl_label = "Match Colors"

    voxel: FloatProperty(  # type: ignore[valid-type]
        name="Voxel",
        description="Points within such a cube are taken for the same surface; 0 suits the points' spacing",
        default=0.0,
        min=0.0,
        soft_max=1.0,
        subtype="DISTANCE",
        unit="LENGTH",
    )
    white_balance: BoolProperty(  # type: ignore[valid-type]
        name="White Balance",
        description="Match red, green and blue each for itself; off matches the exposure alone",
        default=True,
    )

    def edit(self, _context: Any, obj: bpy.types.Object) -> Job[colour_match.ColourMatch]:
        return cache_edit.match_colours(obj, self.voxel, self.white_balance)

    def done(self, result: colour_match.ColourMatch, _obj: bpy.types.Object) -> str:
        matched = int((result.overlaps.sum(axis=1) > 0).sum())
        factor = result.gains.max() / result.gains.min()
        return filled(
            "{count} captures matched; their gains differ by a factor of {factor:.2f} at most",
            count=matched, factor=factor,
        )  # fmt: skip


class PANTHEON360_OT_restore_colours(EditOperator):
    """Give the cache points the colors they had before color match"""

    bl_idname = "pantheon360.restore_colours"
    bl_label = "Restore Colors"

    @classmethod
    def disabled_reason(cls, context: Any) -> DisabledReason | None:
        obj = cache_edit.chosen(context.scene, context.object)
        matched = obj is not None and cache_edit.is_matched(obj)
        return _disabled_reason(context) or (None if matched else DisabledReason("The cache's colors were not matched"))

    def edit(self, _context: Any, obj: bpy.types.Object) -> str:
        cache_edit.restore_colours(obj)
        return filled("{name} has its own colors again", name=obj.name)


def _removed(count: int, obj: bpy.types.Object) -> str:
    mesh: Any = obj.data
    return filled(
        "{count:,} points removed, {left:,} left in {name}", count=count, left=len(mesh.vertices), name=obj.name
    )


CLASSES = (
    PANTHEON360_OT_threshold_confidence,
    PANTHEON360_OT_remove_invented,
    PANTHEON360_OT_remove_floaters,
    PANTHEON360_OT_thin_cache,
    PANTHEON360_OT_crop_cache,
    PANTHEON360_OT_mask_cache,
    PANTHEON360_OT_match_colours,
    PANTHEON360_OT_restore_colours,
)

register, unregister = base.registration(*CLASSES)
