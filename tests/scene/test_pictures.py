"""The newest picture of a job at work, as an icon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pantheon360_blender.core.formats import png
from pantheon360_blender.scene.app import pictures


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    pictures.unregister()


def shown(picture: object) -> np.ndarray:
    """(H, W, 4) uint8, rows from the top."""
    width, height = picture.image_size  # type: ignore[attr-defined]
    values = np.array(picture.image_pixels, np.int32)  # type: ignore[attr-defined]
    return values.view(np.uint8).reshape(height, width, 4)[::-1]


def test_the_newest_picture_is_what_blender_itself_would_show(tmp_path: Path) -> None:
    across, down = np.meshgrid(np.linspace(0, 250, 512), np.linspace(0, 120, 256))
    image = np.stack([across, down, 255 - across], axis=-1).astype(np.uint8)
    png.write(tmp_path / "preview.png", image)
    pictures.show_newest(str(tmp_path / "preview.png"))
    pictures.icon(tmp_path / "preview.png")
    newest = pictures.collection["newest"]
    (other,) = (picture for name, picture in pictures.collection.items() if name != "newest")
    assert tuple(newest.image_size) == tuple(other.image_size)
    assert np.abs(shown(newest).astype(int) - shown(other)).max() <= 3


def test_a_picture_that_changed_is_shown_anew(tmp_path: Path) -> None:
    for level in (10, 200):
        png.write(tmp_path / "preview.png", np.full((64, 128, 3), level, np.uint8))
        pictures.show_newest(str(tmp_path / "preview.png"))
        assert (shown(pictures.collection["newest"]) == (level, level, level, 255)).all()


def test_what_is_no_picture_leaves_none(tmp_path: Path) -> None:
    path = tmp_path / "preview.png"
    png.write(path, np.full((64, 128, 3), 7, np.uint8))
    pictures.show_newest(str(path))
    for data in (path.read_bytes()[:100], png.encode(np.zeros((64, 128, 4), np.uint8)), b""):
        path.write_bytes(data)
        pictures.show_newest(str(path))
        assert pictures.newest_icon() == 0
    pictures.show_newest(str(tmp_path / "gone.png"))
    assert pictures.newest_icon() == 0
