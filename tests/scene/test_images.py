"""Images as arrays: bytes come back unchanged, scene light is exposed, damage is named."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

House = Callable[[str], ModuleType]


@pytest.fixture
def photograph() -> np.ndarray:
    """All 256 values in each channel, none symmetric: a flip or a swap of channels shows."""
    return np.random.default_rng(7).permutation(np.arange(64 * 128 * 3) % 256).reshape(64, 128, 3).astype(np.uint8)


def _load(path: Path) -> Any:
    import bpy

    return bpy.data.images.load(str(path))


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_bytes_of_lossless_files_come_back_unchanged(
    house: House, blend: Any, tmp_path: Path, photograph: np.ndarray, suffix: str
) -> None:
    path = tmp_path / f"Ünïcode 空 photo.{suffix}"
    Image.fromarray(photograph).save(path, **({"lossless": True} if suffix == "webp" else {}))
    assert np.array_equal(house("scene.captures.images").pixels(_load(path)), photograph)


@pytest.mark.parametrize("packed", [False, True], ids=["in its file", "packed"])
def test_a_coarse_look_leaves_the_image_as_it_was(
    house: House, blend: Any, tmp_path: Path, photograph: np.ndarray, packed: bool
) -> None:
    images, big = house("scene.captures.images"), photograph.repeat(8, 0).repeat(8, 1)
    Image.fromarray(big).save(tmp_path / "big.png")
    image = _load(tmp_path / "big.png")
    if packed:
        image.pack()
    coarse = images.coarse(image, 128)
    assert coarse.shape == (64, 128, 3) and np.abs(coarse.astype(int) - photograph).max() <= 1
    assert tuple(image.size) == (1024, 512) and not image.is_dirty
    assert np.array_equal(images.pixels(image), big)


def test_transparency_does_not_change_colours(house: House, blend: Any, tmp_path: Path, photograph: np.ndarray) -> None:
    alpha = np.full((*photograph.shape[:2], 1), 40, np.uint8)
    Image.fromarray(np.concatenate([photograph, alpha], axis=2)).save(tmp_path / "rgba.png")
    assert np.array_equal(house("scene.captures.images").pixels(_load(tmp_path / "rgba.png")), photograph)


def test_16_bit_files_are_rounded_not_exposed(house: House, blend: Any, tmp_path: Path, photograph: np.ndarray) -> None:
    house("core.formats.png").write(tmp_path / "deep.png", photograph.astype(np.uint16) * 257)
    assert np.array_equal(house("scene.captures.images").pixels(_load(tmp_path / "deep.png")), photograph)


def test_a_new_image_survives_the_file(house: House, blend: Any, tmp_path: Path, photograph: np.ndarray) -> None:
    import bpy

    images = house("scene.captures.images")
    made = images.from_array("packed", photograph)
    made.use_fake_user = True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "packed.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "packed.blend"))
    assert np.array_equal(images.pixels(bpy.data.images["packed"]), photograph)


@pytest.mark.parametrize("light", [1e-3, 1.0, 500.0])
def test_scene_light_is_exposed_whatever_its_unit(house: House, blend: Any, tmp_path: Path, light: float) -> None:
    import bpy

    images = house("scene.captures.images")
    values = np.random.default_rng(1).lognormal(0, 1, (64, 128, 1)).astype(np.float32) * light
    image = bpy.data.images.new("light", 128, 64, float_buffer=True)
    image.pixels.foreach_set(np.concatenate([np.repeat(values, 3, axis=2), np.ones_like(values)], axis=2).ravel())
    image.update()
    scene = bpy.context.scene
    house("scene.app.versions").set_output(scene.render.image_settings, "OPEN_EXR")
    scene.render.image_settings.color_depth = "32"
    image.save_render(str(tmp_path / "light.exr"), scene=scene)
    shown = images.pixels(_load(tmp_path / "light.exr"))
    middle_grey = 118  # the sRGB byte of 18 % light
    assert abs(np.median(shown) - middle_grey) <= 3
    assert np.unique(shown).size > 100


def test_resizing_keeps_the_seam_and_the_mean(house: House, blend: Any, tmp_path: Path) -> None:
    columns = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    wave = np.rint(127 + 100 * np.cos(columns)).astype(np.uint8)
    Image.fromarray(np.broadcast_to(wave[None, :, None], (128, 256, 3)).copy()).save(tmp_path / "wave.png")
    small = house("scene.captures.images").pixels(_load(tmp_path / "wave.png"), 64).astype(int)
    assert small.shape == (32, 64, 3)
    assert np.abs(small[:, 0] - small[:, -1]).max() <= 2
    assert abs(small.mean() - 127) < 1


def test_a_mask_of_any_size_covers_its_share(house: House, blend: Any, tmp_path: Path) -> None:
    mask = np.zeros((50, 70), np.uint8)
    mask[25:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    covered = house("scene.captures.images").coverage(_load(tmp_path / "mask.png"), 128)
    assert covered.shape == (64, 128)
    assert np.array_equal(covered > 0.5, np.arange(64)[:, None] >= np.full(128, 32))


def test_a_missing_image_is_named(house: House, blend: Any, tmp_path: Path) -> None:
    import bpy

    Image.new("RGB", (32, 16)).save(tmp_path / "gone.png")
    image = _load(tmp_path / "gone.png")
    (tmp_path / "gone.png").unlink()
    image.reload()
    with pytest.raises(house("core.errors").CaptureError, match=r"gone\.png.*missing"):
        house("scene.captures.images").pixels(image)
    bpy.data.images.remove(image)


@pytest.mark.parametrize("kind", ["pipe", "device", "large"])
def test_what_is_no_picture_of_a_sane_size_is_refused_before_blender_opens_it(
    house: House, blend: Any, tmp_path: Path, kind: str
) -> None:
    """Also as the file of an image that a .blend names."""
    import bpy

    path = tmp_path / "a.png"
    image = bpy.data.images.new("a", 64, 32)
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)
    image = bpy.data.images.load(str(path))
    data = path.read_bytes()
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        head = b"IHDR" + struct.pack(">II", 40_000, 20_000) + data[24:29]
        path.write_bytes(data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:])
    errors = house("core.errors")
    with pytest.raises((errors.FileError, errors.ImageError), match=r"not a file|at most 32768 x 16384"):
        house("scene.captures.capture_files").read(path, print)
    with pytest.raises((errors.FileError, errors.ImageError), match=r"not a file|at most 32768 x 16384"):
        house("scene.sources.import_files").decoded(path)
    with pytest.raises(errors.CaptureError, match=r"not a file|at most 32768 x 16384"):
        house("scene.captures.images").checked_size(image)


def test_pictures_of_other_kinds_are_measured_by_the_library_of_blender(house: House, tmp_path: Path) -> None:
    import bpy

    bpy.utils.expose_bundled_modules()
    pytest.importorskip("OpenImageIO", reason="comes with upstream's builds of Blender")
    path = tmp_path / "a.hdr"
    path.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 20000 +X 40000\n" + bytes(1000))
    with pytest.raises(house("core.errors").ImageError, match="40000 x 20000"):
        house("scene.captures.images").check_file(path)
