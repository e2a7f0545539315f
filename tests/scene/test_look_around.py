"""A result from within: the right picture at each frame, the right way round; and nothing stays when it is left."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core.panorama import equirectangular


@pytest.fixture
def look(house: Any) -> Any:
    return house("scene.shot.look_around")


def delivered(house: Any, scene: Any, source: str, step: int = 1) -> Any:
    """The strip of a painted shot of this scene."""
    run = house("scene.app.jobs").run_blocking
    scene.pantheon360.frame_step = step
    folder = run(house("scene.shot.shot").prepare(scene))
    for frame in folder.job.frames:
        height, width = folder.job.size[1], folder.job.size[0]
        folder.write_frame(frame, np.full((height, width, 3), frame * 5, np.uint8))
    return run(house("scene.shot.strips").deliver(scene, folder, source))


def texture(sphere: Any) -> Any:
    return sphere.material_slots[0].material.node_tree.nodes.active


def counts() -> list[int]:
    import bpy

    return [len(each) for each in (bpy.data.objects, bpy.data.materials, bpy.data.images, bpy.data.meshes)]


@pytest.mark.parametrize(("source", "step"), [("FRAMES", 1), ("FRAMES", 2), ("VIDEO", 1)])
def test_each_frame_has_its_picture_and_all_of_it_goes(
    house: Any, look: Any, shot_scene: Any, source: str, step: int
) -> None:
    strip = delivered(house, shot_scene, source, step)
    results, before = strip.id_data, counts()
    look.place(results, strip)
    sphere = look.place(results, strip)  # again, in place of the first one
    assert [obj.name for obj in results.objects] == [sphere.name] and not shot_scene.objects.get(sphere.name)
    node = texture(sphere)
    assert (node.image.source, node.image.colorspace_settings.name) == (
        "MOVIE" if source == "VIDEO" else "SEQUENCE",
        "sRGB",
    )
    if source == "FRAMES":
        start, after = house("scene.app.versions").strip_range(strip)
        for frame in range(start, after):
            results.frame_set(frame)
            shown = sphere.evaluated_get(house("scene.app.access").evaluated(results))
            user = texture(shown).image_user
            number = min(max(frame - user.frame_start + 1, 1), user.frame_duration) + user.frame_offset
            assert number == frame - (frame - start) % step, "with a step each picture stays"
    look.tidy()
    assert counts() == before


def test_what_the_camera_looked_at_is_straight_ahead(house: Any, look: Any, shot_scene: Any) -> None:
    """The middle of the panorama lies along +Y, its right quarter along +X, its top along +Z."""
    import bpy

    sphere = look.place(delivered(house, shot_scene, "FRAMES").id_data, house("scene.shot.strips").newest(shot_scene))
    bpy.context.view_layer.update()
    mesh, matrix = sphere.data, sphere.rotation_euler.to_matrix()
    wanted = {(0.5, 0.5): (0, 1, 0), (0.75, 0.5): (1, 0, 0), (0.5, 1.0): (0, 0, 1)}
    layer = mesh.uv_layers[0].uv
    found = {}
    for loop in mesh.loops:
        place = tuple(round(value, 4) for value in layer[loop.index].vector)
        if place in wanted:
            found[place] = (matrix @ mesh.vertices[loop.vertex_index].co).normalized()
    for place, direction in wanted.items():
        assert np.allclose(found[place], direction, atol=1e-4), place
    centre = equirectangular.pixels_to_directions(np.array([[1.0, 0.5]]), 2)  # the same by the project's own convention
    assert np.allclose(centre, [[0, 0, -1]]) and math.isclose(sphere.rotation_euler.x, math.pi / 2, rel_tol=1e-6)


def test_files_that_are_gone_are_told_and_nothing_is_made(house: Any, look: Any, shot_scene: Any) -> None:
    import bpy

    strip = delivered(house, shot_scene, "FRAMES")
    before = counts()
    house("scene.shot.look_around").paths.absolute_path(strip.directory).rename(
        house("scene.shot.look_around").paths.absolute_path(strip.directory).with_name("elsewhere")
    )
    with pytest.raises(RuntimeError, match="is gone"):
        bpy.ops.pantheon360.show_result(view="AROUND")
    assert counts() == before
    assert house("scene.background.outcomes").of(shot_scene, "video").label == "Show Result"


def test_undo_brings_no_sphere_back(house: Any, look: Any, shot_scene: Any) -> None:
    import bpy

    strip = delivered(house, shot_scene, "FRAMES")
    look.place(strip.id_data, strip)
    bpy.ops.ed.undo_push(message="With the sphere")
    look.tidy()
    bpy.ops.ed.undo_push(message="Without it")
    bpy.ops.ed.undo()
    assert not [obj for obj in bpy.data.objects if obj.get(look.MARK)]


def test_the_button_has_three_views(house: Any, shot_scene: Any) -> None:
    import bpy

    items = bpy.ops.pantheon360.show_result.get_rna_type().properties["view"].enum_items
    assert [item.name for item in items] == ["In the Sequencer", "Look Around", "Both"]
    delivered(house, shot_scene, "FRAMES")
    assert bpy.ops.pantheon360.show_result(view="BOTH") == {"FINISHED"}
    assert not bpy.ops.pantheon360.leave_look_around.poll()
