"""A take as other programs want it, seen by ffprobe, exiftool and Pillow."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.scene.conftest import House

needs_ffprobe = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs ffprobe")


@pytest.fixture
def take(house: House, shot_scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The folder of a painted take, 256 pixels wide: some encoders take nothing smaller."""
    monkeypatch.setattr(house("core.person_folder"), "path", lambda *_: tmp_path / "data")
    shot_scene.pantheon360.width = 256
    house("scene.app.jobs").run_blocking(house("scene.shot.shot").generate(shot_scene))
    (found,) = house("scene.background.takes").of_scene(shot_scene)
    yield house("core.jobs.job_folder").PaintFolder.open(found.entry.path)
    house("scene.background.queue").unregister()


def probed(path: Path) -> list[dict[str, Any]]:
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    streams: list[dict[str, Any]] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[
        "streams"
    ]
    return streams


@needs_ffprobe
@pytest.mark.parametrize(
    ("codec", "name", "suffix"),
    [("H264", "h264", ".mp4"), ("H265", "hevc", ".mp4"), ("AV1", "av1", ".mp4"), ("PRORES", "prores", ".mov")],
)
def test_every_codec_is_tagged_and_has_the_shot_s_frames(
    codec: str, name: str, suffix: str, take: Any, house: House, tmp_path: Path
) -> None:
    import bpy

    target = tmp_path / "out" / f"Ünïcode 空{suffix}"
    assert bpy.ops.pantheon360.export_video(filepath=str(target), codec=codec) == {"FINISHED"}
    (stream,) = probed(target)
    assert (stream["codec_name"], stream["width"], stream["height"]) == (name, 256, 128)
    assert int(stream.get("nb_frames", 5)) == 5
    tags = house("core.formats.spherical_video").read(target)
    assert (tags.projection, tags.v1, tags.v2) == ("equirectangular", True, True)
    assert [path.name for path in target.parent.iterdir()] == [target.name]


@needs_ffprobe
def test_size_and_sound_are_those_asked_for(take: Any, tmp_path: Path) -> None:
    import bpy

    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(48000)
        sound.writeframes(bytes(96000))
    target = tmp_path / "larger.mp4"
    bpy.ops.pantheon360.export_video(filepath=str(target), width=512, sound=str(tmp_path / "sound.wav"))
    streams = {stream["codec_type"]: stream for stream in probed(target)}
    assert (streams["video"]["width"], streams["video"]["height"]) == (512, 256)
    assert streams["audio"]["codec_name"] == "aac"


def test_an_enlarged_video_fills_the_picture(take: Any, tmp_path: Path) -> None:
    import av
    import bpy

    target = tmp_path / "larger.mp4"
    bpy.ops.pantheon360.export_video(filepath=str(target), width=512)
    with av.open(str(target)) as video:
        found = next(video.decode(video=0)).to_ndarray(format="rgb24").astype(float)
    wanted = np.asarray(Image.open(take.frame_file(1)).convert("RGB").resize((512, 256), Image.Resampling.BILINEAR))
    assert np.abs(found - wanted).mean() < 12, "not a small picture in a black frame"


def test_a_sound_that_is_none_is_named_and_nothing_is_written(take: Any, tmp_path: Path) -> None:
    import bpy

    with pytest.raises(RuntimeError, match=r"missing\.wav cannot be read"):
        bpy.ops.pantheon360.export_video(filepath=str(tmp_path / "a.mp4"), sound=str(tmp_path / "missing.wav"))
    assert not (tmp_path / "a.mp4").exists()


def test_frames_are_copied_byte_for_byte(take: Any, tmp_path: Path) -> None:
    import bpy

    assert bpy.ops.pantheon360.export_frames(filepath=str(tmp_path / "frames")) == {"FINISHED"}
    copied = [path.read_bytes() for path in sorted((tmp_path / "frames").glob("*.png"))]
    assert copied == [take.frame_file(frame).read_bytes() for frame in take.job.frames]


def test_frames_of_two_takes_share_a_folder_and_overwrite_nothing(
    take: Any, house: House, shot_scene: Any, tmp_path: Path
) -> None:
    import bpy

    target = tmp_path / "my.shots"
    house("scene.app.jobs").run_blocking(house("scene.shot.shot").generate(shot_scene))
    for each in house("scene.background.takes").of_scene(shot_scene):
        bpy.ops.pantheon360.export_frames(filepath=str(target), job_id=each.entry.id)
    assert len(list(target.glob("*.png"))) == 10 and not list(tmp_path.glob("*_0001.png"))


@pytest.mark.parametrize(
    ("chosen", "written"), [("my.shots", "my.shots"), ("new/shot.png", "new"), ("there.png", "there.png")]
)
def test_the_frames_are_where_the_message_says(
    take: Any, house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str, written: str
) -> None:
    import bpy

    (tmp_path / "there.png").mkdir()
    told = []
    monkeypatch.setattr(house("operators.errors"), "tell", lambda _operator, _level, text: told.append(text))
    bpy.ops.pantheon360.export_frames(filepath=str(tmp_path / chosen))
    assert len(list((tmp_path / written).glob("*.png"))) == 5
    assert told == [f"The frames are in {tmp_path / written}"]


def test_a_scene_s_name_makes_no_folders_and_no_streams(house: House, take: Any, tmp_path: Path) -> None:
    job = dataclasses.replace(take.job, name='Shot 1/2: "a"')
    renamed = house("core.jobs.job_folder").PaintFolder(take.path, job.name, job.id, job)
    house("scene.app.jobs").run_blocking(house("scene.shot.export").frames(renamed, tmp_path / "out"))
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"Shot 1-2- -a-{job.id}_{frame:04d}.png" for frame in job.frames]


def test_a_poster_is_a_panorama_to_our_own_importer_and_to_exiftool(take: Any, house: House, tmp_path: Path) -> None:
    import bpy

    bpy.context.scene.frame_set(3)
    target = tmp_path / "poster.jpg"
    assert bpy.ops.pantheon360.export_poster(filepath=str(target)) == {"FINISHED"}
    Image.open(take.frame_file(3)).convert("RGB").save(tmp_path / "pillow.jpg", quality=95, subsampling="4:2:0")
    found, wanted = (np.asarray(Image.open(tmp_path / name)).astype(float) for name in ("poster.jpg", "pillow.jpg"))
    assert np.abs(found - wanted).mean() < 3
    read = house("core.formats.panorama_metadata").read(target)
    assert read.projection == "equirectangular" and read.full_size == (256, 128)
    if shutil.which("exiftool"):
        told = json.loads(subprocess.run(["exiftool", "-j", str(target)], capture_output=True, check=True).stdout)[0]
        assert told["ProjectionType"] == "equirectangular" and told["FullPanoWidthPixels"] == 256
        assert "Warning" not in told


def test_what_is_no_jpeg_is_not_tagged(house: House) -> None:
    with pytest.raises(house("core.errors").ImageError):
        house("core.formats.gpano").tagged(b"\x89PNG", 2, 1)


def test_without_a_take_there_is_nothing_to_export(house: House, shot_scene: Any, tmp_path: Path) -> None:
    import bpy

    with pytest.raises(RuntimeError, match="has no take"):
        bpy.ops.pantheon360.export_video(filepath=str(tmp_path / "a.mp4"))
