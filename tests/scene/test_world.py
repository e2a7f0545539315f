"""A take as a world: Cycles sees in every direction what the panorama shows there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.scene.conftest import House


def seen_by_cycles(scene: Any, frame: int, path: Path, width: int) -> np.ndarray:
    """What a panoramic camera of Cycles renders, (H, W, 3) bytes."""
    import bpy

    camera = scene.camera.data
    camera.type = "PANO"
    for owner, name in ((camera, "panorama_type"), (getattr(camera, "cycles", None), "panorama_type")):
        if owner is not None and hasattr(owner, name):
            setattr(owner, name, "EQUIRECTANGULAR")
    render = scene.render
    render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 64, False
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, width // 2, 100
    scene.view_settings.view_transform, render.dither_intensity = "Standard", 0.0
    settings = render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_mode, render.filepath = "PNG", "RGB", str(path)
    scene.frame_set(frame)
    bpy.ops.render.render(write_still=True)
    return np.asarray(Image.open(path).convert("RGB"))


def test_cycles_sees_each_frame_where_its_camera_looked(house: House, shot_scene: Any, tmp_path: Path) -> None:
    import bpy

    camera = shot_scene.camera
    for frame, turn in ((1, 0.0), (5, 1.2)):
        camera.rotation_euler = (np.pi / 2 - 0.2 * turn, 0.1 * turn, turn)
        camera.keyframe_insert("rotation_euler", frame=frame)
    run = house("scene.app.jobs").run_blocking
    folder = run(house("scene.shot.shot").prepare(shot_scene))
    v, u = np.mgrid[0:32, 0:64]
    for frame in folder.job.frames:
        smooth = np.stack([127 + 100 * np.sin(u / 32 * np.pi + frame), 8 * v, 255 - 6 * v], axis=2)
        folder.write_frame(frame, np.clip(smooth, 0, 255).astype(np.uint8))
    for obj in list(bpy.data.objects):
        if obj != camera:
            bpy.data.objects.remove(obj)
    house("scene.shot.world").make(shot_scene, folder)
    for frame in (1, 4):
        found = seen_by_cycles(shot_scene, frame, tmp_path / "seen.png", 64).astype(float)
        wanted = np.asarray(Image.open(folder.frame_file(frame)).convert("RGB"))
        assert np.abs(found - wanted)[4:28].mean() < 4, frame


def test_a_take_with_gaps_is_refused(house: House, shot_scene: Any) -> None:
    shot_scene.pantheon360.frame_step = 2
    folder = house("scene.app.jobs").run_blocking(house("scene.shot.shot").prepare(shot_scene))
    for frame in folder.job.frames:
        folder.write_frame(frame, np.zeros((32, 64, 3), np.uint8))
    with pytest.raises(house("core.errors").JobError, match="a world needs each"):
        house("scene.shot.world").make(shot_scene, folder)


def test_a_world_decodes_no_pixels_and_names_a_frame_that_is_damaged(
    house: House, shot_scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = house("scene.app.jobs").run_blocking(house("scene.shot.shot").prepare(shot_scene))
    for frame in folder.job.frames:
        folder.write_frame(frame, np.zeros((32, 64, 3), np.uint8))
    monkeypatch.setattr(house("core.formats.png"), "decode", lambda *_: pytest.fail("Blender would stand still"))
    make, before = house("scene.shot.world").make, shot_scene.world
    whole = folder.frame_file(4).read_bytes()
    folder.frame_file(4).write_bytes(whole[:-40])
    with pytest.raises(house("core.errors").JobError, match=r"Frame 4 .* missing or damaged"):
        make(shot_scene, folder)
    folder.frame_file(4).unlink()
    with pytest.raises(house("core.errors").JobError, match=r"Frame 4 .* missing or damaged"):
        make(shot_scene, folder)
    assert shot_scene.world == before
    folder.frame_file(4).write_bytes(whole)
    assert make(shot_scene, folder) == shot_scene.world
