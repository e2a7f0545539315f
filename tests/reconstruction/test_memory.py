"""What would not fit into memory is refused before it begins, with the width that fits."""

from __future__ import annotations

import re

import numpy as np
import pytest

from backend.reconstruction import memory
from pantheon360_blender.core.errors import CaptureError
from pantheon360_blender.core.panorama.capture import Capture

CAPTURES = [Capture(f"{index}", np.zeros((8, 16, 3), np.uint8), np.eye(4)) for index in range(5)]


def test_what_fits_may_begin() -> None:
    memory.check(CAPTURES, 1024, free=memory.needed(CAPTURES, 1024))


def test_the_advice_fits_and_nothing_wider_would() -> None:
    with pytest.raises(CaptureError) as refused:
        memory.check(CAPTURES, 2048, free=2e9)
    width = int(re.findall(r"Width to (\d+)", str(refused.value))[0])
    assert width % 64 == 0 and memory.needed(CAPTURES, width) <= 2e9 < memory.needed(CAPTURES, width + 64)


def test_where_nothing_fits_no_width_is_advised() -> None:
    with pytest.raises(CaptureError, match="Close other programs"):
        memory.check(CAPTURES, 1024, free=1e8)


def test_more_captures_and_wider_maps_take_more() -> None:
    assert memory.needed(CAPTURES, 2048) > memory.needed(CAPTURES, 1024) > memory.needed(CAPTURES[:2], 1024)
    assert memory.needed(CAPTURES, 2048) < 8e9
