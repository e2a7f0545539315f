"""What is exported of the cache is what every stage reads, and comes back as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

House = Callable[[str], ModuleType]


@pytest.mark.parametrize("suffix", [".ply", ".npz"])
@pytest.mark.parametrize("centimetres", [False, True])
def test_an_exported_cache_is_the_one_that_is_painted(
    house: House, shot_scene: Any, tmp_path: Path, suffix: str, centimetres: bool
) -> None:
    """In metres, with modifiers, and with the points that viewports hold back."""
    import bpy

    cache = shot_scene.pantheon360.cache
    cache.location.x += 2
    house("scene.cache.display").show_at_most(cache, 500)
    if centimetres:
        shot_scene.unit_settings.scale_length = 0.01
    seen = house("scene.render.geometry_pass").points(house("scene.app.access").evaluated(shot_scene))
    assert bpy.ops.pantheon360.export_cache(filepath=str(tmp_path / f"a{suffix}")) == {"FINISHED"}
    read = house("core.points.point_cloud").PointCloud.load(tmp_path / f"a{suffix}")
    metre = 100 if centimetres else 1
    np.testing.assert_allclose(read.points, seen.points / metre, rtol=1e-6)
    np.testing.assert_array_equal(read.colours, seen.colours)
    np.testing.assert_allclose(read.footprint, seen.footprint / metre, rtol=1e-6)
    assert len(read) == len(cache.data.vertices)


def test_without_visible_points_nothing_is_written(house: House, shot_scene: Any, tmp_path: Path) -> None:
    import bpy

    shot_scene.pantheon360.cache.hide_viewport = True
    with pytest.raises(RuntimeError, match="No points"):
        bpy.ops.pantheon360.export_cache(filepath=str(tmp_path / "a.ply"))
    shot_scene.pantheon360.cache.hide_viewport = False
    with pytest.raises(RuntimeError, match=r"\.obj"):
        bpy.ops.pantheon360.export_cache(filepath=str(tmp_path / "a.obj"))
    assert not list(tmp_path.glob("*.obj")) and not list(tmp_path.glob("*.ply"))
