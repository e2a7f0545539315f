"""Edits of the cache: what goes, what stays with all its attributes, and what viewports hold back."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]


@pytest.fixture
def cloud(house: House) -> Any:
    """A square of 60 x 60 points a centimetre apart, half of it from each of two captures, and three floaters."""
    generator = np.random.default_rng(5)
    x, y = np.meshgrid(np.arange(60) * 0.01, np.arange(60) * 0.01)
    flat = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    points = np.concatenate([flat, [(0.3, 0.3, 1.0), (-0.5, 0, 0.4), (0.2, 0.9, 0)]]).astype(np.float32)
    count = len(points)
    return house("core.points.point_cloud").PointCloud(
        points,
        generator.integers(40, 120, (count, 3)).astype(np.uint8),
        confidence=generator.random(count).astype(np.float32),
        source=(np.arange(count) % 2).astype(np.int32),
        footprint=np.full(count, 0.01, np.float32),
    )


@pytest.fixture
def obj(house: House, blend: Any, cloud: Any) -> Any:
    return house("scene.cache.cache_objects").replace(blend, cloud)


def run(job: Any) -> Any:
    """A job's result."""
    while True:
        try:
            next(job)
        except StopIteration as end:
            return end.value


def evaluated(house: House) -> Any:
    import bpy

    bpy.context.view_layer.update()
    return house("scene.cache.cache_objects").evaluated_points(bpy.context.evaluated_depsgraph_get())


def same(one: Any, other: Any) -> None:
    for name in ("points", "colours", "confidence", "source", "footprint"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_confidence_keeps_the_sure_points_with_all_their_attributes(house: House, cloud: Any, obj: Any) -> None:
    mine = obj.data.attributes.new("mine", "FLOAT2", "POINT")
    values = np.random.default_rng(1).random((len(cloud), 2)).astype(np.float32)
    mine.data.foreach_set("vector", values.ravel())
    removed = house("scene.cache.cache_edit").threshold(obj, 0.4)
    sure = cloud.confidence >= np.float32(0.4)
    assert removed == (~sure).sum() > 0
    same(evaluated(house), cloud.selected(sure))
    kept = np.empty(2 * int(sure.sum()), np.float32)
    obj.data.attributes["mine"].data.foreach_get("vector", kept)
    np.testing.assert_array_equal(kept.reshape(-1, 2), values[sure])
    assert obj.data.color_attributes.active_color_name == "colour"


def test_caches_with_edges_and_groups_are_edited_too(house: House, cloud: Any, obj: Any) -> None:
    group = obj.vertex_groups.new(name="mine")
    group.add([0, 5], 0.5, "REPLACE")
    which = np.ones(len(cloud), bool)
    which[1:5] = False
    assert house("scene.cache.cache_edit").keep(obj, which) == 4
    same(evaluated(house), cloud.selected(which))
    assert group.weight(1) == 0.5


def test_nothing_left_is_refused_and_changes_nothing(house: House, cloud: Any, obj: Any) -> None:
    errors = house("core.errors")
    with pytest.raises(errors.CacheError, match="None of"):
        house("scene.cache.cache_edit").threshold(obj, 1.0)
    same(evaluated(house), cloud)
    obj.data.attributes.remove(obj.data.attributes["confidence"])
    with pytest.raises(errors.CacheError, match="how sure"):
        house("scene.cache.cache_edit").threshold(obj, 0.1)


def test_floaters_go_whatever_the_scale_of_the_object(house: House, cloud: Any, obj: Any) -> None:
    obj.scale = (5, 5, 5)
    evaluated(house)
    assert run(house("scene.cache.cache_edit").remove_floaters(obj)) == 3
    np.testing.assert_allclose(evaluated(house).points, cloud.points[:-3] * 5, rtol=1e-6)


def test_voxels_are_the_worlds(house: House, obj: Any) -> None:
    obj.scale = (10, 10, 10)
    evaluated(house)
    run(house("scene.cache.cache_edit").thin(obj, 0.5))
    left = evaluated(house)
    cells = np.unique(np.floor(left.points / 0.5), axis=0)
    assert len(cells) == len(left) and 144 <= len(left) <= 172


def test_crop_by_a_turned_box_and_by_an_empty(house: House, blend: Any, cloud: Any, obj: Any) -> None:
    import bpy
    from mathutils import Matrix

    edit = house("scene.cache.cache_edit")
    bpy.ops.mesh.primitive_cube_add(size=2)
    box = bpy.context.object
    box.matrix_world = (
        Matrix.Translation((0.3, 0.3, 0)) @ Matrix.Rotation(0.6, 4, "Z") @ Matrix.Diagonal((0.2, 0.1, 0.05, 1))
    )
    evaluated(house)
    turned = (cloud.points - (0.3, 0.3, 0)) @ np.array(Matrix.Rotation(0.6, 3, "Z"))
    inside = (np.abs(turned) <= (0.2, 0.1, 0.05)).all(axis=1)
    assert 500 < inside.sum() < 1000
    assert edit.crop(obj, box, inside=False) == inside.sum()
    same(evaluated(house), cloud.selected(~inside))
    ball = bpy.data.objects.new("ball", None)
    ball.empty_display_size = 0.25
    blend.collection.objects.link(ball)
    evaluated(house)
    edit.crop(obj, ball)
    assert (np.abs(evaluated(house).points) <= 0.25).all()


def test_mask_by_a_mesh_with_modifiers(house: House, cloud: Any, obj: Any) -> None:
    import bpy

    edit = house("scene.cache.cache_edit")
    bpy.ops.mesh.primitive_uv_sphere_add(segments=64, ring_count=32, radius=0.1, location=(0.3, 0.3, 0))
    ball = bpy.context.object
    ball.modifiers.new("finer", "SUBSURF")
    distance = np.linalg.norm(cloud.points - (0.3, 0.3, 0), axis=1)
    removed = run(edit.mask(obj, ball, bpy.context.evaluated_depsgraph_get(), inside=False))
    assert (distance < 0.098).sum() <= removed <= (distance < 0.102).sum()
    bpy.ops.mesh.primitive_plane_add()
    with pytest.raises(house("core.errors").CacheError, match="not closed"):
        edit.mask(obj, bpy.context.object, bpy.context.evaluated_depsgraph_get())


def test_colours_are_matched_and_given_back(house: House, cloud: Any, obj: Any) -> None:
    """Capture 1 was a stop darker in red; its points lie between those of capture 0."""
    edit, cache = house("scene.cache.cache_edit"), house("scene.cache.cache_objects")
    darker = cloud.colours.copy()
    darker[:] = 150
    darker[cloud.source == 1] = (109, 150, 150)
    changed = house("core.points.point_cloud").PointCloud(
        cloud.points, darker, cloud.confidence, cloud.source, cloud.footprint
    )
    cache.fill(obj, changed)
    assert not edit.is_matched(obj)
    match = run(edit.match_colours(obj, 0.05))
    first, second = evaluated(house).colours[:2].astype(int)
    assert np.abs(first - second).max() <= 1 and match.gains[1, 0] > 1.3
    assert edit.is_matched(obj)
    run(edit.match_colours(obj, 0.05))
    edit.threshold(obj, 0.5)
    edit.restore_colours(obj)
    same(evaluated(house), changed.selected(cloud.confidence >= np.float32(0.5)))
    with pytest.raises(house("core.errors").CacheError, match="not matched"):
        edit.restore_colours(obj)


def test_viewports_show_a_share_and_the_geometry_pass_has_all(house: House, cloud: Any, obj: Any) -> None:
    import bpy

    shown_points = house("scene.cache.cache_objects").shown_points
    for most, least in ((4000, 3603), (1000, 850), (100, 40), (0, 0)):
        obj.pantheon360.most_shown = most
        same(evaluated(house), cloud)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        shown, radii = shown_points(obj, depsgraph)
        assert least <= len(shown) == len(radii) <= most or least == len(shown)
        growth = min((len(cloud) / most) ** 0.5, 4.0) if 0 < most < len(cloud) else 1.0
        np.testing.assert_allclose(radii, 0.01 / 2**0.5 * growth, rtol=1e-5, err_msg="surfaces stay closed")
    assert len(obj.data.vertices) == len(cloud)


def test_points_of_less_confidence_are_hidden_and_come_back(house: House, cloud: Any, obj: Any) -> None:
    """From the geometry pass as well, whatever viewports show; a cache without confidences stays whole."""
    for most in (1_000_000, 1000):
        obj.pantheon360.most_shown = most
        for least in (0.3, 0.7):
            obj.pantheon360.least_confidence = least
            same(evaluated(house), cloud.selected(cloud.confidence >= np.float32(least)))
        obj.pantheon360.least_confidence = 0.0
        same(evaluated(house), cloud)
    assert len(obj.data.vertices) == len(cloud)
    plain = house("core.points.point_cloud").PointCloud(cloud.points, cloud.colours)
    house("scene.cache.cache_objects").fill(obj, plain)
    obj.pantheon360.least_confidence = 0.7
    assert len(evaluated(house)) == len(cloud)


def test_the_modifier_cannot_be_applied_where_that_would_drop_points(
    house: House, blend: Any, cloud: Any, obj: Any
) -> None:
    """Blender keeps the mesh of what it applies, and drops point clouds without a word."""
    import bpy

    for most in (10_000, 1000):
        obj.pantheon360.most_shown = most
        bpy.context.view_layer.objects.active = obj
        with pytest.raises(RuntimeError, match="does not contain a mesh"):
            bpy.ops.object.modifier_apply(modifier="Points")
        same(evaluated(house), cloud)


def test_modifiers_after_it_treat_shown_and_held_back_points_alike(house: House, cloud: Any, obj: Any) -> None:
    obj.pantheon360.most_shown = 1000
    moved = obj.modifiers.new("mine", "DISPLACE")
    moved.direction, moved.mid_level, moved.strength = "Z", 0.0, 5.0
    same(evaluated(house), cloud)


def test_each_edit_is_an_operator_that_says_why_it_cannot(house: House, blend: Any, cloud: Any) -> None:
    import bpy

    verbs = ("threshold_confidence", "remove_floaters", "thin_cache", "crop_cache", "mask_cache", "match_colours")
    for verb in (*verbs, "restore_colours"):
        with pytest.raises(RuntimeError, match="Build or project a 3D cache first"):
            getattr(bpy.ops.pantheon360, verb)()
    obj = house("scene.cache.cache_objects").replace(blend, cloud)
    bpy.context.view_layer.objects.active = obj
    for verb, why in (("crop_cache", "around the points"), ("mask_cache", "closed mesh"), ("restore_colours", "not")):
        with pytest.raises(RuntimeError, match=why):
            getattr(bpy.ops.pantheon360, verb)()
    assert bpy.ops.pantheon360.threshold_confidence(least=0.2) == {"FINISHED"}
    assert bpy.ops.pantheon360.remove_floaters() == {"FINISHED"}
    assert bpy.ops.pantheon360.match_colours(voxel=0.05) == {"FINISHED"}
    assert bpy.ops.pantheon360.restore_colours() == {"FINISHED"}
    bpy.ops.mesh.primitive_cube_add(size=0.7, location=(0.3, 0.3, 0))
    assert bpy.ops.pantheon360.mask_cache(side="INSIDE") == {"FINISHED"}
    assert bpy.ops.pantheon360.crop_cache(side="INSIDE") == {"FINISHED"}
    assert bpy.ops.pantheon360.thin_cache(size=0.05) == {"FINISHED"}
    assert 0 < len(obj.data.vertices) < 200
    with pytest.raises(RuntimeError, match="would be left"):
        bpy.ops.pantheon360.crop_cache(side="OUTSIDE")


def test_an_edit_is_one_undo_step(house: House, blend: Any, cloud: Any) -> None:
    import bpy

    house("scene.cache.cache_objects").replace(blend, cloud)
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.pantheon360.threshold_confidence(least=0.5)
    bpy.ops.ed.undo_push(message="Threshold Confidence")  # what the interface pushes for a button
    assert len(evaluated(house)) < len(cloud)
    bpy.ops.ed.undo()
    same(evaluated(house), cloud)


KINDS = {
    "FLOAT": ("value", 1, float),
    "INT": ("value", 1, int),
    "INT8": ("value", 1, int),
    "BOOLEAN": ("value", 1, bool),
    "FLOAT2": ("vector", 2, float),
    "FLOAT_VECTOR": ("vector", 3, float),
    "FLOAT_COLOR": ("color", 4, float),
    "QUATERNION": ("value", 4, float),
    "INT32_2D": ("value", 2, int),
    "FLOAT4X4": ("value", 16, float),
    "STRING": ("value", 0, str),
}


def add_attributes(mesh: Any) -> dict[str, list[Any]]:
    """One attribute of every type that an artist may add, of random values; and those, by its name."""
    generator = np.random.default_rng(11)
    given = {}
    for kind, (field, width, made) in KINDS.items():
        attribute = mesh.attributes.new(f"my {kind}", kind, "POINT")
        for number, each in enumerate(attribute.data):
            if made is str:
                setattr(each, field, f"point {number}".encode())
                continue
            drawn = [made(value) for value in generator.uniform(-1, 1, max(width, 1)) * (100 if made is int else 1)]
            shaped = [drawn[row : row + 4] for row in range(0, 16, 4)] if width == 16 else drawn
            setattr(each, field, shaped if width > 1 else drawn[0])
        given[attribute.name] = values_of(mesh, attribute.name)
    return given


def values_of(mesh: Any, name: str) -> list[Any]:
    attribute = mesh.attributes[name]
    field, width, _ = KINDS[attribute.data_type]
    if attribute.data_type == "FLOAT4X4":
        return [tuple(map(tuple, getattr(each, field))) for each in attribute.data]
    return [tuple(getattr(each, field)) if width > 1 else getattr(each, field) for each in attribute.data]


@pytest.mark.parametrize("nearest", [False, True])
@pytest.mark.parametrize("edges", [False, True])
def test_thinned_points_keep_the_artists_attributes(
    house: House, cloud: Any, obj: Any, nearest: bool, edges: bool
) -> None:
    """Those of the point nearest to the mean of each voxel, found here one voxel at a time."""
    mesh = obj.data
    given = add_attributes(mesh)
    if edges:
        mesh.edges.add(1)
        mesh.edges.foreach_set("vertices", [0, 1])
    before = np.array([tuple(vertex.co) for vertex in mesh.vertices])
    assert run(house("scene.cache.cache_edit").thin(obj, 0.05, nearest)) == len(before) - len(mesh.vertices) > 3000
    voxels = np.floor(before.astype(np.float32).astype(np.float64) / 0.05).astype(int)
    left = evaluated(house)
    chosen = []
    for voxel in np.unique(voxels, axis=0):
        members = np.flatnonzero((voxels == voxel).all(axis=1))
        mean = before[members].mean(axis=0)
        distance = np.linalg.norm(before[members] - mean, axis=1)
        chosen.append((members[distance <= distance.min() + 1e-7], mean))
    assert len(chosen) == len(left) == len(mesh.vertices)
    kept = {name: values_of(mesh, name) for name in given}
    for candidates, mean in chosen:
        places = [before[each] for each in candidates] if nearest else [mean]
        found = min(np.linalg.norm(left.points - place, axis=1).argmin() for place in places)
        same_point = [
            each for each in candidates if all(kept[name][found] == values[each] for name, values in given.items())
        ]
        assert same_point, "attributes of no point, or of several mixed"


@pytest.mark.parametrize("texts", [False, True])
def test_all_kinds_of_attributes_stay_with_their_points(house: House, cloud: Any, obj: Any, texts: bool) -> None:
    given = add_attributes(obj.data)
    if not texts:  # which alone cannot be copied as arrays
        del given["my STRING"]
        obj.data.attributes.remove(obj.data.attributes["my STRING"])
    which = cloud.confidence >= np.float32(0.6)
    house("scene.cache.cache_edit").threshold(obj, 0.6)
    for name, values in given.items():
        assert values_of(obj.data, name) == [value for value, stays in zip(values, which, strict=True) if stays], name


def moved(obj: Any) -> None:
    obj.data.vertices[3].co.x += 5


def recoloured(obj: Any) -> None:
    point = obj.data.attributes["colour"].data[3]
    point.color = [1 - value for value in point.color[:3]] + [1]


def carried(obj: Any) -> None:
    import bpy

    obj.location.x += 1
    bpy.context.view_layer.update()


@pytest.mark.parametrize("change", [moved, recoloured, carried])
def test_a_change_that_keeps_the_number_of_points_is_noticed(house: House, cloud: Any, obj: Any, change: Any) -> None:
    edit, errors = house("scene.cache.cache_edit"), house("core.errors")
    for begin in (edit.remove_floaters, lambda each: edit.thin(each, 0.05), edit.match_colours):
        job = begin(obj)
        next(job)
        change(obj)
        before = values_of(obj.data, "position"), values_of(obj.data, "colour")
        with pytest.raises(errors.CacheError, match="changed or removed"):
            run(job)
        assert (values_of(obj.data, "position"), values_of(obj.data, "colour")) == before


def test_a_change_that_is_undone_meanwhile_is_none(house: House, cloud: Any, obj: Any) -> None:
    job = house("scene.cache.cache_edit").thin(obj, 0.05)
    next(job)
    obj.data.vertices[3].co.x += 4
    obj.data.vertices[3].co.x = cloud.points[3, 0]
    run(job)


def test_a_cache_changed_while_its_points_are_read_is_left_alone(house: House, cloud: Any, obj: Any) -> None:
    import bpy

    edit, errors = house("scene.cache.cache_edit"), house("core.errors")
    for job in (edit.remove_floaters(obj), edit.thin(obj, 0.05)):
        next(job)
        edit.threshold(obj, float(np.sort(obj_confidence(obj))[5]))
        count = len(obj.data.vertices)
        with pytest.raises(errors.CacheError, match="changed or removed"):
            run(job)
        assert len(obj.data.vertices) == count
    job = edit.remove_floaters(obj)
    next(job)
    bpy.data.objects.remove(obj)
    with pytest.raises(errors.CacheError, match="changed or removed"):
        run(job)


def obj_confidence(obj: Any) -> np.ndarray:
    values = np.empty(len(obj.data.vertices), np.float32)
    obj.data.attributes["confidence"].data.foreach_get("value", values)
    return values
