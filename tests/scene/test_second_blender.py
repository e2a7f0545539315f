"""What a second Blender reads and writes is what this one would have, and none of it happens in this one's thread."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def process(house: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """As if there were an interface to keep alive."""
    module = house("scene.worker.process")
    monkeypatch.setattr(module, "is_wanted", lambda: not module._Shared.failed)
    yield module
    module._Shared.failed = False


@pytest.fixture(scope="module", autouse=True)
def _ended(extension: Any) -> Iterator[None]:
    yield
    sys.modules[f"{extension.__name__}.pantheon360_blender.scene.worker.process"].stop()


@pytest.fixture
def folder(house: Any, run: Any, shot_scene: Any) -> Any:
    """A job whose frames are painted with noise."""
    made = run(house("scene.shot.shot").prepare(shot_scene))
    width, height = made.job.size
    for frame in made.job.frames:
        made.write_frame(frame, np.random.default_rng(frame).integers(0, 256, (height, width, 3), dtype=np.uint8))
    return made


def test_a_video_is_the_one_that_this_blender_encodes(
    house: Any, run: Any, folder: Any, process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bpy

    video = house("scene.shot.video")
    rendered: list[Any] = []
    bpy.app.handlers.render_init.append(rendered.append)
    try:
        steps = list(_steps(video.encode(folder, tmp_path / "there.mp4")))
    finally:
        bpy.app.handlers.render_init.remove(rendered.append)
    assert not rendered
    assert {step.step for step in steps if step.phase == "Encoding video"} == {0, 1, 2, 3, 4, 5}
    monkeypatch.setattr(process, "is_wanted", lambda: False)
    run(video.encode(folder, tmp_path / "here.mp4"))
    assert (tmp_path / "there.mp4").read_bytes() == (tmp_path / "here.mp4").read_bytes()
    assert {file.name for file in tmp_path.glob("*.mp4")} == {"there.mp4", "here.mp4"}


def _steps(job: Any) -> Iterator[Any]:
    for step in job:
        yield step
        if step.waiting:
            time.sleep(0.01)


def test_cancelling_ends_the_encoder_and_leaves_nothing(
    house: Any, folder: Any, process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    start = process._started
    monkeypatch.setattr(process, "_started", lambda: started.append(start()) or started[-1])
    target = tmp_path / "videos" / "shot.mp4"
    job = house("scene.shot.video").encode(folder, target)
    for step in _steps(job):
        if step.step > 0:
            break
    job.close()
    assert [child.alive for child in started] == [False]
    assert list(target.parent.iterdir()) == []


def test_an_error_there_is_an_error_here(
    house: Any, run: Any, folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, errors = house("scene.shot.video"), house("core.errors")
    encoding = video._encoding

    def impossible(*given: Any) -> Any:
        return dataclasses.replace(encoding(*given), size=(1, 1), codec="PRORES", place="the film's folder")

    monkeypatch.setattr(video, "_encoding", impossible)
    with pytest.raises(errors.RenderError, match="the film's folder"):
        run(video.encode(folder, tmp_path / "videos" / "shot.mp4"))
    assert list((tmp_path / "videos").iterdir()) == []


KINDS = ("jpeg", "png", "deep", "scene light", "packed", "as linear")


def capture_of(house: Any, scene: Any, kind: str, path: Path) -> Any:
    """A capture of 128 x 64 pixels of noise, and half a mask."""
    import bpy

    random = np.random.default_rng(3)
    values = random.integers(0, 256, (64, 128, 3), dtype=np.uint8)
    if kind == "scene light":
        light = bpy.data.images.new("light", 128, 64, float_buffer=True)
        light.pixels.foreach_set(random.random(128 * 64 * 4, np.float32) * 4)
        light.file_format, light.filepath_raw = "OPEN_EXR", str(path / "a.exr")
        light.save()
    elif kind == "jpeg":
        from PIL import Image

        Image.fromarray(values).save(path / "a.jpg")
    else:
        house("core.formats.png").write(path / "a.png", values.astype(np.uint16) * 200 if kind == "deep" else values)
    (file,) = path.glob("a.*")
    image = bpy.data.images.load(str(file))
    if kind == "packed":
        image.pack()
        file.unlink()
    if kind == "as linear":
        image.colorspace_settings.name = "Non-Color"
    obj = house("scene.captures.capture_objects").create(scene, kind, image, (1.0, 2.0, 3.0))
    mask = np.zeros((32, 64), np.uint8)
    mask[:, :32] = 255
    obj.pantheon360.mask = house("scene.captures.images").from_array("mask", mask)
    obj.pantheon360.nadir = 0.1
    return obj


def reading(house: Any, obj: Any, *wanted: Any) -> Any:
    """A capture read as jobs read it."""
    given = house("scene.captures.decoding").Wanted(*wanted), house("core.progress").Progress("Reading")
    return house("scene.captures.capture_objects").reading(obj, *given)


@pytest.mark.parametrize("kind", KINDS)
def test_a_capture_is_the_one_that_this_blender_decodes(
    house: Any, run: Any, blend: Any, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    obj = capture_of(house, blend, kind, tmp_path)
    images, image = house("scene.captures.images"), obj.pantheon360.image
    wanted = {width: house("scene.captures.capture_objects").load(obj, width) for width in (None, 48, 256)}
    image.buffers_free()
    monkeypatch.setattr(images, "pixels", None)
    for width, here in wanted.items():
        there = run(reading(house, obj, width))
        assert np.array_equal(there.image, here.image) and np.array_equal(there.valid, here.valid)
        assert there.name == kind and np.array_equal(there.pose, here.pose)
    assert run(reading(house, obj, 1000, False, 4)).image.shape == (64, 128, 3)
    assert run(reading(house, obj, 126, False, 4)).image.shape == (62, 124, 3)
    assert not image.has_data


def test_what_is_painted_on_is_read_here(house: Any, run: Any, blend: Any, tmp_path: Path) -> None:
    obj = capture_of(house, blend, "png", tmp_path)
    image = obj.pantheon360.image
    image.pixels[0] = 1 - image.pixels[0]
    painted = round(image.pixels[0] * 255)
    assert run(reading(house, obj)).image[-1, 0, 0] == painted


def test_a_capture_is_decoded_once(
    house: Any, run: Any, blend: Any, tmp_path: Path, process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    obj = capture_of(house, blend, "png", tmp_path)
    asked: list[str] = []
    ask = process.ask
    monkeypatch.setattr(process, "ask", lambda task, *rest: asked.append(task) or ask(task, *rest))
    first, again = (run(reading(house, obj, 64)) for _ in range(2))
    assert len(asked) == 1 and np.array_equal(first.image, again.image)
    house("core.formats.png").write(tmp_path / "a.png", np.zeros((64, 128, 3), np.uint8))
    assert not run(reading(house, obj, 64)).image.any() and len(asked) == 2


@pytest.mark.parametrize("what", ["cut", "not 2:1", "missing"])
def test_a_picture_that_cannot_be_used_says_what_it_said(
    house: Any, run: Any, blend: Any, tmp_path: Path, what: str
) -> None:
    obj = capture_of(house, blend, "png", tmp_path)
    file = tmp_path / "a.png"
    if what == "cut":
        file.write_bytes(file.read_bytes()[:2000])
    elif what == "missing":
        file.unlink()
    else:
        house("core.formats.png").write(file, np.zeros((64, 64, 3), np.uint8))
    obj.pantheon360.image.buffers_free()
    errors = house("core.errors")
    with pytest.raises(errors.CaptureError) as there:
        run(reading(house, obj))
    with pytest.raises(errors.CaptureError) as here:
        house("scene.captures.capture_objects").load(obj)
    assert str(there.value) == str(here.value)


def photograph_file(path: Path, kind: str) -> Path:
    """A photograph that is linked as it is, one that is padded and masked, one with alpha, and one of scene light."""
    import bpy
    from PIL import Image

    values = np.random.default_rng(4).integers(0, 256, (64, 128, 4), dtype=np.uint8)
    if kind == "scene light":
        light = bpy.data.images.new("light", 128, 64, float_buffer=True)
        light.pixels.foreach_set((values / np.float32(50)).ravel())
        light.file_format, light.filepath_raw = "OPEN_EXR", str(path / "a.exr")
        light.save()
        bpy.data.images.remove(light)
        return path / "a.exr"
    if kind == "with alpha":
        Image.fromarray(values).save(path / "a.png")
        return path / "a.png"
    stated = "".join(f' GPano:{name}="{value}"' for name, value in PARTIAL.items()) if kind == "partial" else ""
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:GPano="http://ns.google.com/photos/1.0/panorama/"'
        f' GPano:ProjectionType="equirectangular" GPano:PoseHeadingDegrees="30"{stated}/></rdf:RDF></x:xmpmeta>'
    )
    Image.fromarray(values[..., :3]).save(path / "a.jpg", xmp=packet.encode())
    return path / "a.jpg"


PARTIAL = {
    "FullPanoWidthPixels": 256,
    "FullPanoHeightPixels": 128,
    "CroppedAreaImageWidthPixels": 128,
    "CroppedAreaImageHeightPixels": 64,
    "CroppedAreaLeftPixels": 10,
    "CroppedAreaTopPixels": 20,
}


def imported(house: Any, run: Any, file: Path) -> tuple[Any, ...]:
    """What an import makes of a file in an empty scene: plain values."""
    import bpy

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    warnings: list[str] = []
    scene = bpy.context.scene
    (obj,) = run(house("scene.captures.capture_objects").import_files(scene, [file], warnings.append))
    settings, found = obj.pantheon360, []
    read = [image.name for image in bpy.data.images if image.has_data]
    for image in (settings.image, settings.mask):
        if image is not None:
            packed = image.packed_file.data if image.packed_file else None
            kept = sorted((key, image[key]) for key in image.keys())  # noqa: SIM118
            pixels = house("scene.captures.images").pixels(image).tobytes()
            names = image.name, image.filepath, image.alpha_mode, image.colorspace_settings.name, image.source
            kinds = image.file_format, image.type, image.depth, image.is_float, image.is_dirty, image.users
            found.append((names, packed, kept, pixels, tuple(image.size), kinds))
    (material,) = [each for each in bpy.data.materials if each.get("pantheon360_preview")]
    strength = material.node_tree.nodes["Emission"].inputs["Strength"].default_value
    place = np.array(obj.matrix_world).round(6).tolist(), settings.source_path, strength
    return place, found, warnings, len(bpy.data.images), read


@pytest.mark.parametrize("kind", ["linked", "partial", "with alpha", "scene light"])
def test_an_import_is_the_one_that_this_blender_makes(
    house: Any, run: Any, blend: Any, tmp_path: Path, kind: str, process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = photograph_file(tmp_path, kind)
    *there, unread = imported(house, run, file)
    monkeypatch.setattr(process, "is_wanted", lambda: False)
    *here, _ = imported(house, run, file)
    assert there == here
    assert len(here[1]) == (2 if kind in ("partial", "with alpha") else 1)
    assert not unread


def test_an_import_again_takes_what_is_there(house: Any, run: Any, blend: Any, tmp_path: Path) -> None:
    import bpy

    file = photograph_file(tmp_path, "partial")
    captures = house("scene.captures.capture_objects")
    one, two = (run(captures.import_files(blend, [file], print))[0] for _ in range(2))
    assert one.pantheon360.image == two.pantheon360.image and len(bpy.data.images) == 2


def test_a_file_that_cannot_be_imported_says_what_it_said(
    house: Any, run: Any, blend: Any, tmp_path: Path, process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bpy

    file = photograph_file(tmp_path, "linked")
    file.write_bytes(file.read_bytes()[:-700])
    told = []
    for wanted in (True, False):
        monkeypatch.setattr(process, "is_wanted", lambda wanted=wanted: wanted)
        with pytest.raises(house("core.errors").PantheonError) as error:
            run(house("scene.captures.capture_objects").import_files(blend, [file], print))
        told.append((type(error.value), str(error.value), error.value.code))
    assert told[0] == told[1] and not bpy.data.images


def test_a_reader_that_crashes_leaves_this_blender_alone(
    house: Any, run: Any, blend: Any, tmp_path: Path, process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    obj = capture_of(house, blend, "png", tmp_path)
    step, shared = house("core.progress").Progress("Reading"), process._shared
    with process.request_folder() as folder:
        run(process.ask("decode", _arguments(house, obj), folder, step.phase))  # it runs, and has greeted

    def dying() -> Any:
        child = shared()
        os.kill(child.pid, signal.SIGKILL)
        return child

    monkeypatch.setattr(process, "_shared", dying)
    with pytest.raises(house("core.errors").CaptureError, match=r"image a\.png stopped Blender's reader.*was killed"):
        run(reading(house, obj, 32))
    monkeypatch.undo()
    monkeypatch.setattr(process, "is_wanted", lambda: True)
    assert run(reading(house, obj, 32)).image.shape == (16, 32, 3)


def _arguments(house: Any, obj: Any) -> dict[str, Any]:
    decoding = house("scene.captures.decoding")
    source = dataclasses.asdict(decoding._source(obj.pantheon360.image))
    return {"sources": [source], "wanted": dataclasses.asdict(decoding.Wanted(16))}


def test_without_a_second_blender_this_one_does_it(
    house: Any, run: Any, folder: Any, process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(process, "command", lambda: asked.append(1) or [sys.executable, "-c", "print('Welcome')"])
    for name in ("a.mp4", "b.mp4"):
        assert run(house("scene.shot.video").encode(folder, tmp_path / name)).stat().st_size
    assert asked == [1]


def test_it_dies_with_whoever_started_it(process: Any, run: Any) -> None:
    child = process._started()
    child.wait_for_hello()
    child._child.stdin.close()
    child._wait(300.0)
    assert not child.alive
    child.stop(grace=0)
