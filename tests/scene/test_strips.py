"""What the sequencer gets is what was painted: the same bytes, at the right frames, with its whole history."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def folder(house: Any, run: Any, shot_scene: Any) -> Any:
    """A prepared job whose frames are painted with pictures that are easy to tell apart."""
    made = run(house("scene.shot.shot").prepare(shot_scene))
    paint(made)
    return made


def paint(folder: Any) -> None:
    width, height = folder.job.size
    for frame in folder.job.frames:
        folder.write_frame(frame, picture(frame, width, height))


def picture(frame: int, width: int, height: int) -> np.ndarray:
    """Soft gradients, as a photograph has: noise would measure the encoder's taste, not its correctness."""
    v, u = np.mgrid[0:height, 0:width]
    channels = (u * 255 / width, v * 255 / height, 128 + 100 * np.sin(2 * np.pi * u / width + frame))
    return np.stack(channels, axis=2).astype(np.uint8)


def rendered(house: Any, scene: Any, frame: int, path: Path) -> np.ndarray:
    """The sequencer's output at a frame."""
    import bpy
    from PIL import Image

    house("scene.app.versions").set_output(scene.render.image_settings, "PNG")
    scene.render.image_settings.color_mode = "RGB"
    scene.frame_start = scene.frame_end = frame
    scene.render.filepath = str(path / "out_")
    bpy.ops.render.render(animation=True, scene=scene.name)
    return np.asarray(Image.open(path / f"out_{frame:04d}.png"))


def deliver(house: Any, run: Any, scene: Any, folder: Any, source: str = "FRAMES") -> Any:
    return run(house("scene.shot.strips").deliver(scene, folder, source))


def test_frames_come_back_byte_for_byte(house: Any, run: Any, shot_scene: Any, folder: Any, tmp_path: Path) -> None:
    strip = deliver(house, run, shot_scene, folder)
    assert house("scene.app.versions").strip_range(strip) == (1, 6)
    editor = strip.id_data.sequence_editor
    assert editor.active_strip == strip and [each for each in editor.strips if each.select] == [strip]
    for frame in (1, 4):
        found = rendered(house, strip.id_data, frame, tmp_path)
        np.testing.assert_array_equal(found, picture(frame, 64, 32))


def test_the_artists_scene_is_left_alone(house: Any, run: Any, shot_scene: Any, folder: Any) -> None:
    before = (shot_scene.view_settings.view_transform, shot_scene.render.engine, shot_scene.frame_end)
    strip = deliver(house, run, shot_scene, folder)
    results = strip.id_data
    assert results.name == "Pantheon360 Results"
    assert results.view_settings.view_transform == "Standard"
    assert (results.render.resolution_x, results.render.resolution_y) == (64, 32)
    assert (results.frame_start, results.frame_end) == (1, 5)
    assert (shot_scene.view_settings.view_transform, shot_scene.render.engine, shot_scene.frame_end) == before
    assert not (shot_scene.sequence_editor and len(shot_scene.sequence_editor.strips))


def test_nothing_is_overwritten(house: Any, run: Any, shot_scene: Any, folder: Any) -> None:
    strips = [deliver(house, run, shot_scene, folder) for _ in range(3)]
    assert [strip.channel for strip in strips] == [1, 2, 3]
    assert len({strip.name for strip in strips}) == 3
    assert {strip.id_data.name for strip in strips} == {"Pantheon360 Results"}


def test_a_free_gap_is_used(house: Any, run: Any, shot_scene: Any, folder: Any) -> None:
    deliver(house, run, shot_scene, folder)
    later = run(house("scene.shot.shot").prepare(shot_scene, [20, 21]))
    paint(later)
    strip = deliver(house, run, shot_scene, later)
    assert strip.channel == 1
    assert house("scene.app.versions").strip_range(strip) == (20, 22)
    assert (strip.id_data.frame_start, strip.id_data.frame_end) == (1, 21)


def test_a_frame_step_keeps_the_shots_time(house: Any, run: Any, shot_scene: Any, tmp_path: Path) -> None:
    stepped = run(house("scene.shot.shot").prepare(shot_scene, [1, 3, 5]))
    paint(stepped)
    for source in ("FRAMES", "VIDEO"):
        strip = deliver(house, run, shot_scene, stepped, source)
        assert house("scene.app.versions").strip_range(strip) == (1, 7)
    found = rendered(house, strip.id_data, 4, tmp_path).astype(int)
    assert np.abs(found - picture(3, 64, 32)).mean() < 3


def test_results_of_every_size_share_a_scene_which_has_the_size_of_the_one_that_is_shown(
    house: Any, run: Any, shot_scene: Any, folder: Any, tmp_path: Path
) -> None:
    small = deliver(house, run, shot_scene, folder)
    shot_scene.pantheon360.width = 128
    larger = run(house("scene.shot.shot").prepare(shot_scene, [1, 2]))
    paint(larger)
    large = deliver(house, run, shot_scene, larger)
    results = large.id_data
    assert small.id_data == results and small.mute and not large.mute and results.render.resolution_x == 128
    np.testing.assert_array_equal(rendered(house, results, 1, tmp_path), picture(1, 128, 64))
    house("scene.shot.strips").show_only(small)
    assert large.mute and not small.mute and results.render.resolution_x == 64
    np.testing.assert_array_equal(rendered(house, results, 1, tmp_path), picture(1, 64, 32))


def test_results_of_other_frames_stay_in_sight(house: Any, run: Any, shot_scene: Any, folder: Any) -> None:
    first = deliver(house, run, shot_scene, folder)
    later = run(house("scene.shot.shot").prepare(shot_scene, [6, 7]))
    paint(later)
    assert not deliver(house, run, shot_scene, later).mute and not first.mute


def test_a_strip_keeps_what_was_warned_of_while_it_was_painted(
    house: Any, run: Any, shot_scene: Any, folder: Any
) -> None:
    model = {"label": "Tiny", "trained": True}
    record = {"model": model, "warnings": ["Memory ran out\nonce.", "This model is untrained."]}
    folder.painting_file.write_text(json.dumps(record))
    told = ["This model is untrained.", "Frame 3 was painted again."]
    strip = run(house("scene.shot.strips").deliver(shot_scene, folder, "FRAMES", told))
    assert strip["pantheon360_warnings"].splitlines() == [
        "Memory ran out once.",
        "This model is untrained.",
        "Frame 3 was painted again.",
    ]


@pytest.mark.parametrize("found", [None, "text", [3, {}], {"a": 1}, []])
def test_a_strip_without_usable_warnings_has_none(
    house: Any, run: Any, shot_scene: Any, folder: Any, found: Any
) -> None:
    folder.painting_file.write_text(json.dumps({"model": {"label": "Tiny"}, "warnings": found}))
    assert "pantheon360_warnings" not in deliver(house, run, shot_scene, folder)


def test_what_the_backend_warns_of_reaches_the_strip(
    house: Any, run: Any, shot_scene: Any, folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = house("core.progress").Progress

    def painting(_folder: Any) -> Any:
        yield progress("Painting", 0, 5, warning="This model is untrained.")
        yield progress("Painting", 5, 5)

    monkeypatch.setattr(house("scene.app.backend_process"), "run", painting)
    strip = run(house("scene.shot.shot").finish(shot_scene, folder))
    assert strip["pantheon360_warnings"] == "This model is untrained."


def test_the_strip_knows_its_history(house: Any, run: Any, shot_scene: Any, folder: Any, tmp_path: Path) -> None:
    import bpy

    path = tmp_path / "street.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    strip = deliver(house, run, bpy.context.scene, folder)
    name, scene_name = strip.name, strip.id_data.name
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(path))
    strip = bpy.data.scenes[scene_name].sequence_editor.strips[name]
    history = json.loads(strip["pantheon360_job"])
    assert strip["spherical"] == "equirectangular"
    assert history["folder"].startswith("//")
    assert Path(bpy.path.abspath(history["folder"])) == folder.path
    assert (history["painter"], history["seed"]) == ("draft", "0")
    assert [capture["name"] for capture in history["captures"]] == ["A", "B"]
    assert history["software"]["blender"] == bpy.app.version_string
    assert history["cameras_sha256"] == house("scene.shot.strips").cameras_hash(folder.job.cameras)
    assert {entry["path"] for entry in history["inputs"]} >= {"captures/A.png", "geometry/000001.png"}


PAINTED = {
    "model": {"label": "Tiny (untrained)", "kind": "untrained", "licence": "CC0-1.0", "trained": False},
    "device": "CPU, 2 cores",
    "segments": {"1": {"seconds": 3.5}},
}


def test_the_strip_says_what_model_painted_it(house: Any, folder: Any) -> None:
    folder.painting_file.write_text(json.dumps(PAINTED), "utf-8")
    found = house("scene.shot.strips").provenance(folder)
    assert found["pantheon360_painter"] == "draft: Tiny (untrained)"
    assert found["pantheon360_licence"] == "CC0-1.0"
    assert json.loads(found["pantheon360_job"])["painting"] == PAINTED


def test_the_strip_says_how_much_was_photographed(house: Any, folder: Any) -> None:
    shares = {"photographed": 0.714, "points": 0.0, "filled": 0.286}
    folder.painting_file.write_text(json.dumps(PAINTED | {"origins": shares}), "utf-8")
    assert house("scene.shot.strips").provenance(folder)["pantheon360_origins"] == "71% photographed, 29% filled"
    folder.painting_file.write_text(json.dumps(PAINTED), "utf-8")
    assert "pantheon360_origins" not in house("scene.shot.strips").provenance(folder)


def test_an_untrained_model_is_never_shown_as_another(house: Any, folder: Any) -> None:
    for label in ("Tiny", "Tiny\n" + "x" * 500):
        record = {"model": {"label": label, "trained": False}}
        folder.painting_file.write_text(json.dumps(record), "utf-8")
        shown = house("scene.shot.strips").provenance(folder)["pantheon360_painter"]
        assert shown.endswith(" (untrained)") and "\n" not in shown and len(shown) < 200
    assert "pantheon360_licence" not in house("scene.shot.strips").provenance(folder)


def test_a_long_record_leaves_its_segments_to_the_folder(house: Any, folder: Any) -> None:
    segments = {str(index): {"seconds": 1.0} for index in range(20_000)}
    folder.painting_file.write_text(json.dumps(PAINTED | {"segments": segments}), "utf-8")
    carried = json.loads(house("scene.shot.strips").provenance(folder)["pantheon360_job"])["painting"]
    assert carried == {key: value for key, value in PAINTED.items() if key != "segments"}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"{}", b'{"model": {"label": " "}}', b'{"model": "Tiny"}',
        b'{"model": {"label": "Tiny"}, "seconds": NaN}', b'{"model": {"label": "\\ud800"}}',
        b'{"model": {"label": "Tiny", "trained": "no"}}', b'{"model": {"label": "Tiny", "licence": 3}}',
        b'{"model": {"label": "' + b"x" * (1 << 19) + b'"}}', b" " * (17 << 20),
        b'{"model": {"label": "Tiny"}, "warnings": [3]}', b'{"model": {"label": "Tiny"}, "segments": {"1": {}}}',
    ],
)  # fmt: skip
def test_a_damaged_record_of_painting_is_left_out(house: Any, folder: Any, content: bytes) -> None:
    folder.painting_file.write_bytes(content)
    found = house("scene.shot.strips").provenance(folder)
    assert found["pantheon360_painter"] == "draft"
    assert "pantheon360_licence" not in found and "painting" not in json.loads(found["pantheon360_job"])


def test_the_record_is_the_one_the_backend_writes(house: Any, folder: Any) -> None:
    """Read back as the backend's own class wrote it."""
    from backend.diffusion.execution.memory_plan import Plan
    from backend.diffusion.shot import painting_record

    record = painting_record.PaintingRecord(folder)
    record.entries["model"] = PAINTED["model"]
    record.use(Plan(), "CPU, 2 cores", "float32")
    record.segment(0, {"seconds": 3.5})
    record.warn("Memory is short.")
    record.write()
    summary = house("core.jobs.painting_summary")
    assert summary.read(folder) == record.entries and summary.warnings(record.entries) == ["Memory is short."]


def test_what_the_painter_warned_of_is_short(house: Any, folder: Any) -> None:
    summary = house("core.jobs.painting_summary")
    told = ["Memory\nran  out.", "x" * 5000, *(f"Warning {index}" for index in range(500))]
    folder.painting_file.write_text(json.dumps(PAINTED | {"warnings": told}), "utf-8")
    shown = summary.warnings(summary.read(folder))
    assert shown[:3] == ["Memory ran out.", "x" * 300, "Warning 0"] and len(shown) == 20
    folder.painting_file.write_text(json.dumps(PAINTED), "utf-8")
    assert summary.warnings(summary.read(folder)) == []


@pytest.mark.parametrize("source", ["FRAMES", "VIDEO"])
def test_the_blend_and_its_jobs_can_be_moved_together(
    house: Any, run: Any, shot_scene: Any, tmp_path: Path, source: str
) -> None:
    import bpy

    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(here / "street.blend"))
    made = run(house("scene.shot.shot").prepare(bpy.context.scene))
    paint(made)
    strip = deliver(house, run, bpy.context.scene, made, source)
    name, scene_name = strip.name, strip.id_data.name
    bpy.ops.wm.save_mainfile()
    here.rename(there)
    bpy.ops.wm.open_mainfile(filepath=str(there / "street.blend"))
    results = bpy.data.scenes[scene_name]
    assert results.sequence_editor.strips[name].type == ("IMAGE" if source == "FRAMES" else "MOVIE")
    pixels = rendered(house, results, 3, tmp_path)
    difference = np.abs(pixels.astype(int) - picture(3, *made.job.size))
    assert difference.mean() <= (0.0 if source == "FRAMES" else 4.0)


def test_missing_frames_are_named(house: Any, run: Any, shot_scene: Any, folder: Any) -> None:
    import bpy

    folder.frame_file(4).write_bytes(folder.frame_file(4).read_bytes()[:-40])
    for source in ("FRAMES", "VIDEO"):
        with pytest.raises(house("core.errors").JobError, match=r"4 of 5 frames; frame 4 is missing"):
            deliver(house, run, shot_scene, folder, source)
    assert [scene.name for scene in bpy.data.scenes] == ["Scene"]


def test_frames_are_decoded_beside_blender_s_own_thread(
    house: Any, run: Any, shot_scene: Any, folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second of it at once would be a second in which the interface stands still."""
    video, threads = house("scene.shot.video"), []
    check = video.require_all_frames
    monkeypatch.setattr(
        video, "require_all_frames", lambda folder: (threads.append(threading.current_thread()), check(folder))
    )
    deliver(house, run, shot_scene, folder)
    run(video.encode(folder, tmp_path / "shot.mp4"))
    run(house("scene.shot.export").frames(folder, tmp_path / "frames"))
    assert len(threads) == 3 and threading.main_thread() not in threads


def test_full_channels_are_said(house: Any, run: Any, shot_scene: Any, folder: Any) -> None:
    first = deliver(house, run, shot_scene, folder)
    for channel in range(2, 129):
        house("scene.shot.encoder").show_images(first.id_data, [folder.frame_file(1)], frame_start=3, channel=channel)
    with pytest.raises(house("core.errors").RenderError, match="128 channels"):
        deliver(house, run, shot_scene, folder)


def decoded(path: Path, width: int, height: int) -> np.ndarray:
    import av

    with av.open(str(path)) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    return np.array(frames).reshape(-1, height, width, 3)


@pytest.mark.parametrize(("quality", "mean_error", "largest_error"), [("VISUALLY_LOSSLESS", 4, 40), ("LOSSLESS", 1, 4)])
def test_the_video_shows_the_frames(
    house: Any, run: Any, folder: Any, tmp_path: Path, quality: str, mean_error: float, largest_error: int
) -> None:
    import bpy

    video = house("scene.shot.video")
    path = run(video.encode(folder, tmp_path / "Ünïcode 空" / "shot.mp4", video.VideoSettings(quality=quality)))
    found = decoded(path, 64, 32).astype(int)
    wanted = np.array([picture(frame, 64, 32) for frame in folder.job.frames])
    assert found.shape == wanted.shape
    error = np.abs(found - wanted)
    assert error.mean() < mean_error
    assert error.max() <= largest_error
    assert [scene.name for scene in bpy.data.scenes] == ["Scene"]
    assert [file.name for file in path.parent.iterdir()] == ["shot.mp4"]


def test_the_same_frames_make_the_same_video_whenever_it_is_made(
    house: Any, run: Any, folder: Any, tmp_path: Path
) -> None:
    """Blender would write date, time and the .blend's path into it.

    On a busy machine x264 itself decides otherwise about a macroblock now and then: two of some must be equal, of
    which no two would be if they told the second in which they were made.
    """
    made = set()
    for number in range(20):
        video = run(house("scene.shot.video").encode(folder, tmp_path / f"{number}.mp4")).read_bytes()
        if video in made:
            return
        made.add(video)
        time.sleep(1.1)
    pytest.fail("no two videos are alike")


def test_the_video_is_tagged(house: Any, run: Any, folder: Any, tmp_path: Path) -> None:
    path = run(house("scene.shot.video").encode(folder, tmp_path / "shot.mp4"))
    tags = house("core.formats.spherical_video").read(path)
    assert (tags.projection, tags.v1, tags.v2) == ("equirectangular", True, True)


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs ffprobe")
def test_ffprobe_sees_a_360_video_of_the_shots_rate(house: Any, run: Any, shot_scene: Any, tmp_path: Path) -> None:
    shot_scene.render.fps, shot_scene.render.fps_base = 24, 1.001
    job = run(house("scene.shot.shot").prepare(shot_scene))
    paint(job)
    path = run(house("scene.shot.video").encode(job, tmp_path / "shot.mp4"))
    told = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)], capture_output=True, check=True
    )
    stream = json.loads(told.stdout)["streams"][0]
    assert stream["r_frame_rate"] == "24000/1001"
    assert stream["codec_name"] == "h264"
    assert stream["color_space"] == "bt709"
    assert any(side.get("projection") == "equirectangular" for side in stream["side_data_list"])


def test_a_video_that_cannot_be_written_leaves_no_scene(house: Any, run: Any, folder: Any, tmp_path: Path) -> None:
    import bpy

    (tmp_path / "taken").write_text("a file")
    with pytest.raises(house("core.errors").PantheonError, match="taken"):
        run(house("scene.shot.video").encode(folder, tmp_path / "taken" / "shot.mp4"))
    assert [scene.name for scene in bpy.data.scenes] == ["Scene"]


def test_tag_360_copies_or_tags_in_place(house: Any, run: Any, folder: Any, tmp_path: Path) -> None:
    import bpy

    spherical = house("core.formats.spherical_video")
    tagged = run(house("scene.shot.video").encode(folder, tmp_path / "tagged.mp4"))
    plain = tmp_path / "export.mp4"
    remux(tagged, plain)
    assert spherical.read(plain) is None
    assert bpy.ops.pantheon360.tag_360(filepath=str(plain)) == {"FINISHED"}
    assert spherical.read(plain) is None
    assert spherical.read(tmp_path / "export_360.mp4").v2
    bpy.ops.pantheon360.tag_360(filepath=str(plain))
    assert (tmp_path / "export_360-2.mp4").exists()
    bpy.ops.pantheon360.tag_360(filepath=str(plain), in_place=True, stereo="top-bottom")
    assert spherical.read(plain).stereo == "top-bottom"
    with pytest.raises(RuntimeError, match=r"missing\.mp4"):
        bpy.ops.pantheon360.tag_360(filepath=str(tmp_path / "missing.mp4"))


@pytest.mark.parametrize("container", ["MPEG4", "QUICKTIME"])
def test_what_blender_tagged_is_not_tagged_twice(house: Any, blend: Any, tmp_path: Path, container: str) -> None:
    """A panoramic camera's own render: from 5.2 Blender marks a MOV itself, in Apple's way, and an MP4 not at all."""
    import bpy

    spherical = house("core.formats.spherical_video")
    path = panorama(house, blend, container, tmp_path / ("a.mp4" if container == "MPEG4" else "a.mov"))
    by_blender = container == "QUICKTIME" and bpy.app.version >= (5, 2, 0)
    assert boxes(house, path) == (["vexu"] if by_blender else [])
    for _ in range(2):
        assert bpy.ops.pantheon360.tag_360(filepath=str(path), in_place=True) == {"FINISHED"}
        assert boxes(house, path) == [*(["vexu"] if by_blender else []), "st3d", "sv3d", "version 1"]
        found = spherical.read(path)
        assert (found.projection, found.stereo, found.v1, found.v2) == ("equirectangular", "mono", True, True)
        assert not found.warnings
    bpy.ops.pantheon360.tag_360(filepath=str(path), in_place=True, stereo="left-right")
    assert boxes(house, path)[-3:] == ["st3d", "sv3d", "version 1"]
    assert spherical.read(path).stereo == "left-right"


@pytest.mark.parametrize("container", ["MKV", "WEBM"])
def test_what_blender_writes_into_matroska_is_tagged_soundly_and_once(
    house: Any, blend: Any, tmp_path: Path, container: str
) -> None:
    """From 5.2 Blender marks it itself, turned by whatever lay in memory."""
    import bpy

    spherical = house("core.formats.spherical_video")
    path = panorama(house, blend, container, tmp_path / "a.mkv")
    found = spherical.check(path)
    assert (found.tags is not None) == (bpy.app.version >= (5, 2, 0))
    assert found.is_sound or found.tags is None or "angles that cannot be" in found.text
    assert bpy.ops.pantheon360.tag_360(filepath=str(path), in_place=True) == {"FINISHED"}
    mended = path.read_bytes()
    assert spherical.check(path).text == "tagged as 360° (equirectangular, mono, version 2)"
    assert bpy.ops.pantheon360.tag_360(filepath=str(path), in_place=True) == {"FINISHED"}
    assert path.read_bytes() == mended


def test_the_check_tells_what_a_video_is_tagged_as(house: Any, tmp_path: Path, capfd: Any) -> None:
    import bpy

    from tests.fuzz.videos import video

    path = tmp_path / "a.mp4"
    path.write_bytes(video())
    assert bpy.ops.pantheon360.check_360(filepath=str(path)) == {"FINISHED"}
    assert "Warning: a.mp4 is not tagged as 360°" in capfd.readouterr().out
    house("core.formats.spherical_video").tag(path)
    assert bpy.ops.pantheon360.check_360(filepath=str(path)) == {"FINISHED"}
    assert "Info: a.mp4 is tagged as 360° (equirectangular, mono, versions 1 and 2)" in capfd.readouterr().out


def panorama(house: Any, scene: Any, container: str, path: Path) -> Path:
    """A video of two frames that Cycles' panoramic camera makes of an empty scene."""
    import bpy

    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.data.type, camera.data.panorama_type = "PANO", "EQUIRECTANGULAR"
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.frame_start, scene.frame_end = 1, 2
    scene.cycles.samples, scene.cycles.use_denoising = 1, False
    render = scene.render
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = 64, 32, 100
    house("scene.app.versions").set_output(render.image_settings, "FFMPEG")
    render.ffmpeg.format, render.ffmpeg.codec = container, "WEBM" if container == "WEBM" else "H264"
    render.filepath, render.use_file_extension = str(path), False
    bpy.ops.render.render(animation=True)
    return path


def boxes(house: Any, path: Path) -> list[str]:
    """What marks a video as 360°, each as often as it is there, in the order of the file."""
    mp4 = house("core.formats.mp4")
    with open(path, "rb") as file:
        (span,) = [span for span in mp4.spans(file, path.stat().st_size, path) if span.kind == b"moov"]
        (track,) = mp4.read_tree(file, span, path).all(b"trak")
    (entry,) = mp4.visual_sample_entries(track, path)
    marks = [child.kind.decode() for child in entry.children if child.kind in (b"vexu", b"st3d", b"sv3d")]
    return marks + ["version 1" for child in track.children if child.kind == b"uuid"]


def remux(source: Path, target: Path) -> None:
    """Copy the picture into a new MP4, as an editing program's export would have it: without 360° tags."""
    import av

    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for frame in old.decode(video=0):
            new.mux(stream.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), format="rgb24")))
        new.mux(stream.encode())


def test_the_newest_strip_of_a_scene_is_found_wherever_it_went(
    house: Any, run: Any, shot_scene: Any, folder: Any
) -> None:
    """By identity, not by name: the artist renames scenes, moves strips, and has other scenes with results."""
    import bpy

    strips = house("scene.shot.strips")
    assert strips.newest(shot_scene) is None and not bpy.ops.pantheon360.show_result.poll()
    deliver(house, run, shot_scene, folder)
    second = deliver(house, run, shot_scene, folder)
    other = bpy.data.scenes.new("Other")
    assert strips.newest(shot_scene) == second and strips.newest(other) is None
    shot_scene.name, second.id_data.name, second.name = "Renamed", "Cut", "mine"
    assert strips.newest(shot_scene).name == "mine"
    assert bpy.ops.pantheon360.show_result() == {"FINISHED"}
    results, (first, after) = second.id_data, house("scene.app.versions").strip_range(second)
    assert results.frame_current == first and results.use_preview_range, "it plays this strip alone, in a loop"
    assert (results.frame_preview_start, results.frame_preview_end) == (first, after - 1)
