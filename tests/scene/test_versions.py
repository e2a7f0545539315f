"""What differs between the versions of Blender is hidden, and what is deprecated is found by every test."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

found = pytest.mark.xfail(strict=True, raises=pytest.fail.Exception, reason="a deprecation of ours has to fail")


@found
def test_a_deprecation_in_the_extension_fails(house: Any) -> None:
    warnings.warn_explicit("gone soon", DeprecationWarning, house("scene.app.versions").__file__, 1)


@found
def test_a_deprecation_in_a_test_fails() -> None:
    warnings.warn("gone soon", DeprecationWarning, stacklevel=1)


@found
def test_a_deprecated_property_of_blender_fails(blend: Any) -> None:
    import bpy

    if bpy.app.version < (5, 0, 0):
        pytest.skip("Blender deprecates properties from 5.0")
    assert bpy.data.materials.new("Material").use_nodes


def test_a_strips_range_is_what_it_shows(house: Any, blend: Any, tmp_path: Any) -> None:
    """Handles that were moved count, not the content behind them."""
    import bpy

    editor = blend.sequence_editor_create()
    length = {"length": 10} if bpy.app.version >= (5, 0, 0) else {"frame_end": 13}
    strip = editor.strips.new_effect(name="Color", type="COLOR", channel=1, frame_start=3, **length)
    assert house("scene.app.versions").strip_range(strip) == (3, 13)
    if bpy.app.version >= (5, 1, 0):
        strip.left_handle, strip.right_handle = 5, 9
    else:
        strip.frame_final_start, strip.frame_final_end = 5, 9
    assert house("scene.app.versions").strip_range(strip) == (5, 9)
