"""The door for files from elsewhere: what is no regular file is refused unopened, and everything goes through it."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core import budget, files, inputs
from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.formats import media_files, panorama_metadata, png, spherical_video
from pantheon360_blender.core.importers import import_folder, open_source
from pantheon360_blender.core.jobs import model_card, painting_record, reconstruct_settings
from pantheon360_blender.core.jobs.job_folder import JobFolder
from pantheon360_blender.core.points.point_cloud import PointCloud
from pantheon360_blender.core.progress import run_to_end

ROOT = Path(__file__).resolve().parents[2]
POSIX = pytest.mark.skipif(os.name == "nt", reason="pipes and devices of POSIX")


@pytest.fixture
def _no_waiting() -> Iterator[None]:
    """A reader that waits for a pipe, or reads a device without end, is interrupted."""

    def interrupt(*_: Any) -> None:
        raise AssertionError("it waits, or reads without end")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def special(path: Path, kind: str) -> Path:
    """Something at a path that is no regular file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        os.chdir(path.parent)  # a socket's path is short
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    else:
        path.symlink_to("/dev/zero")
    return path


def colmap(path: Path) -> Any:
    (path.parent / "cameras.txt").write_text("1 EQUIRECTANGULAR 64 32 1 1\n")
    return run_to_end(open_source(path.parent))


def vipe(path: Path) -> Any:
    np.savez(path.parent.parent / "pose" / "clip.npz", data=np.eye(4)[None], inds=np.zeros(1, int))
    return run_to_end(open_source(path.parent.parent))


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "job": ("job.json", lambda path: JobFolder.open(path.parent)),
    "poses": ("poses.json", lambda path: reconstruct_settings.read_poses(path.parent)),
    "model card": ("pantheon360.json", lambda path: model_card.read(path.parent)),
    "import folder": ("import.json", lambda path: import_folder.read(path.parent)),
    "range": ("range.npz", lambda path: import_folder.read_range(path.parent)),
    "png": ("a.png", png.read),
    "cloud npz": ("a.npz", PointCloud.load),
    "cloud ply": ("a.ply", PointCloud.load),
    "photograph": ("a.jpg", panorama_metadata.read),
    "video": ("a.mp4", spherical_video.read),
    "tagged video": ("a.mp4", spherical_video.tag),
    "ply": ("a.ply", lambda path: run_to_end(open_source(path))),
    "las": ("a.las", lambda path: run_to_end(open_source(path))),
    "transforms": ("transforms.json", lambda path: run_to_end(open_source(path))),
    "colmap": ("images.txt", colmap),
    "vipe depth": ("depth/clip.zip", vipe),
}


@POSIX
@pytest.mark.usefixtures("_no_waiting")
@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    name, read = READERS[reader]
    (tmp_path / "pose").mkdir()
    with suppress(PantheonError):  # a clip without depth is one, a folder without a model is none
        found = read(special(tmp_path / name, kind))
        assert reader in ("colmap", "vipe depth") and not getattr(found, "cloud", None)


@POSIX
@pytest.mark.usefixtures("_no_waiting")
def test_what_decides_nothing_is_taken_for_missing(tmp_path: Path) -> None:
    special(tmp_path / "painting.json", "pipe")
    assert painting_record.read(tmp_path / "painting.json", "") == {}


@POSIX
@pytest.mark.usefixtures("_no_waiting")
def test_errors_say_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(PantheonError, match=r"a\.png cannot be read: it is a pipe, not a file"):
        png.read(special(tmp_path / "a.png", "pipe"))
    with pytest.raises(PantheonError, match=r"job\.json cannot be read: it is a device, not a file"):
        JobFolder.open(special(tmp_path / "job.json", "device").parent)


@POSIX
def test_a_file_exchanged_for_a_pipe_in_between_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    special(tmp_path / "a", "pipe")
    monkeypatch.setattr(inputs, "check_regular", lambda path: None)
    with pytest.raises(OSError, match="not a file"):
        inputs.open_regular(tmp_path / "a")


@POSIX
def test_links_to_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"here")
    (tmp_path / "b").symlink_to("a")
    assert inputs.read_bytes(tmp_path / "b", 4) == b"here"


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "a" * 5000])
def test_names_that_no_file_has_are_errors_of_the_system(tmp_path: Path, name: str) -> None:
    for read in (inputs.open_regular, inputs.check_regular, files.sha256):
        with pytest.raises(OSError):
            read(tmp_path / name)
    with pytest.raises(PantheonError), media_files.reading(tmp_path / name):
        pass


def test_files_are_no_larger_than_allowed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(11))
    assert len(inputs.read_bytes(tmp_path / "a", 11)) == 11
    with pytest.raises(OSError, match="11 bytes large, and 10 are the most"):
        inputs.read_bytes(tmp_path / "a", 10)


def test_json_is_no_larger_in_memory_than_its_file_lets_expect() -> None:
    for text in (b"[" * 100_000, b'{"a":' * 100_000):
        with pytest.raises(ValueError, match="deep"):
            inputs.parsed(text)
    many = b"[" + b"[]," * budget.JSON_VALUES + b"0]"
    with pytest.raises(ValueError, match="values"):
        inputs.parsed(many)
    for text in (b"", b"{", b"\xff", b'{"a": 1}}', b"[1,]", b"9" * 10_000):
        with pytest.raises(ValueError):
            inputs.parsed(text)
    assert inputs.parsed(b'\xef\xbb\xbf{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}


def test_a_job_of_the_most_frames_is_read(tmp_path: Path) -> None:
    """What can be sealed can be opened: the budget of a `job.json` holds its largest one."""
    from pantheon360_blender.core.jobs import job_fields

    number = -1234567.123456789
    frame = json.dumps([[number] * 4] * 4, indent=2)
    indented = len(frame) + 4 * frame.count("\n") + 6 + len("    -100000,\n")
    assert indented * job_fields.MAXIMUM_FRAMES < budget.JOB_FILE
    assert (20 + 5 + 1) * job_fields.MAXIMUM_FRAMES < budget.JSON_VALUES


def test_lone_surrogates_are_written_as_json_has_them(tmp_path: Path) -> None:
    """Python names files that are no UTF-8 by them."""
    files.write_json(tmp_path / "a.json", {"name": "caf\udce9"})
    assert inputs.read_json(tmp_path / "a.json", 100) == {"name": "caf\udce9"}


# Everything goes through the door

OPENERS = {"open", "read_bytes", "read_text", "fromfile", "load", "loads", "ZipFile", "memmap", "genfromtxt"}
OWN = {
    ("pantheon360_blender/core/inputs.py", "open"): "the door",
    ("pantheon360_blender/core/inputs.py", "loads"): "the door",
    ("pantheon360_blender/core/inputs.py", "read_bytes"): "the door",
    ("pantheon360_blender/core/formats/zip_archive.py", "ZipFile"): "of a file from the door",
    ("pantheon360_blender/core/formats/zip_archive.py", "open"): "a member of it",
    ("pantheon360_blender/core/formats/npz.py", "ZipFile"): "writes",
    ("pantheon360_blender/core/formats/npz.py", "open"): "writes",
    ("pantheon360_blender/core/formats/openimageio.py", "open"): "a copy of what was read, or preceded by check_whole",
    ("pantheon360_blender/core/unexpected.py", "open"): "writes",
    ("pantheon360_blender/scene/captures/decoding.py", "load"): "what the second Blender wrote into a private folder",
    ("pantheon360_blender/core/version.py", "read_text"): "a file of the extension",
    ("pantheon360_blender/core/version.py", "loads"): "a file of the extension",
    ("pantheon360_blender/core/plugins.py", "read_text"): "a file of the extension",
    ("pantheon360_blender/core/engine/parts.py", "read_text"): "a file of the extension",
    ("pantheon360_blender/core/engine/parts.py", "loads"): "a file of the extension",
    ("pantheon360_blender/core/engine/command.py", "open"): "writes",
    ("pantheon360_blender/core/engine/fetch.py", "open"): "writes",
    ("pantheon360_blender/scene/captures/images.py", "load"): "preceded by check_file",
    ("pantheon360_blender/scene/app/engine.py", "loads"): "what a process of ours says",
    ("pantheon360_blender/core/jobs/reuse.py", "open"): "an output folder's own, which follows no link",
    ("pantheon360_blender/core/output_folder.py", "open"): "writes",
    ("backend/painters/draft.py", "load"): "what the draft painter reads for a frame",
    ("backend/diffusion/shot/trajectory.py", "load"): "what the draft painter reads for a frame",
    ("backend/diffusion/shot/shot_frames.py", "load"): "what the draft painter reads for a frame",
    ("backend/numba_cache.py", "read_bytes"): "a file of the extension",
    ("backend/device.py", "read_text"): "of the system",
    ("backend/doctor.py", "loads"): "what a process of ours says",
    ("backend/run.py", "open"): "of the system",
    ("backend/reporting.py", "open"): "of the system",
    ("pantheon360_blender/core/jobs/lock.py", "open"): "writes",
    ("backend/diffusion/models/commands.py", "open"): "of the system",
    ("backend/diffusion/models/model_folder.py", "open"): "its own function",
    ("backend/diffusion/models/architecture.py", "loads"): "what was read already",
    ("backend/diffusion/execution/dry_run.py", "loads"): "what was read already",
    ("backend/pickled_weights.py", "load"): "preceded by check_regular",
    ("backend/diffusion/shot/seen_video.py", "read_bytes"): "a temporary folder of ours",
    ("backend/reconstruction/poses/poses.py", "loads"): "a temporary folder of ours",
    ("backend/reconstruction/poses/poses.py", "read_text"): "a temporary folder of ours",
    ("backend/reconstruction/poses/poses.py", "load"): "a temporary folder of ours",
    ("backend/reconstruction/poses/colmap_process.py", "loads"): "a temporary folder of ours",
    ("backend/reconstruction/poses/colmap_process.py", "read_text"): "a temporary folder of ours",
    ("backend/reconstruction/poses/colmap_process.py", "load"): "a temporary folder of ours",
    ("backend/reconstruction/poses/colmap_process.py", "open"): "a temporary folder of ours",
    ("backend/evaluation/evaluate.py", "load"): "its own function",
    ("backend/evaluation/metrics/dists.py", "load"): "its own function",
    ("backend/evaluation/metrics/i3d.py", "load"): "its own function",
    ("backend/evaluation/metrics/lpips.py", "load"): "its own function",
    ("backend/training/trainer/settings.py", "loads"): "what was read already",
    ("backend/training/trainer/perceptual.py", "load"): "its own function",
    ("backend/training/shards/shard.py", "loads"): "what was read already",
    ("backend/training/worlds/textures.py", "open"): "what was read already",
    ("backend/training/worlds/textures.py", "load"): "what was read already",
    ("backend/training/worlds/generator.py", "load"): "its own function",
    ("backend/importers/las.py", "open"): "preceded by a check of the header",
    ("cli/console.py", "open"): "of the system",
    ("pantheon360_blender/scene/captures/capture_files.py", "load"): "preceded by images.check_file",
    ("pantheon360_blender/scene/app/pictures.py", "load"): "preceded by check_whole",
    ("pantheon360_blender/scene/shot/export.py", "load"): "preceded by check_whole",
    ("pantheon360_blender/scene/shot/look_around.py", "load"): "a regular file, which a strip of ours plays already",
    ("pantheon360_blender/scene/shot/world.py", "load"): "preceded by a check of every frame",
}
"""Where something is opened otherwise, and why that is right. Readers of ours may be called `load` and `open`, too."""

OURS = {
    "inputs", "JobFolder", "PaintFolder", "ReconstructFolder", "ExtendFolder", "PointCloud", "model_folder",
    "capture_objects", "loading", "LOADED_CAPTURES", "self",
}  # fmt: skip


def calls(file: Path) -> Iterator[tuple[str, str]]:
    """What a file calls that could open another one, and on what."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            owner = ast.unparse(called.value) if isinstance(called, ast.Attribute) else ""
            if name in OPENERS:
                yield name, owner


def test_everything_else_opens_files_through_the_door() -> None:
    found = set()
    for folder in ("pantheon360_blender", "backend", "operators", "cli", "ui"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            place = file.relative_to(ROOT).as_posix()
            for name, owner in calls(file):
                if owner.split(".")[-1] not in OURS:
                    found.add((place, name))
    assert found - OWN.keys() == set(), "open them by core.inputs, or say why not"
    assert OWN.keys() - found == set(), "these are gone"


LONG = ("a" * 300, "a/" * 3000, "a\0b", "\ud800", "~nobody-here/a")


@pytest.mark.parametrize("name", LONG)
def test_names_that_no_file_can_have_are_those_of_no_file(tmp_path: Path, name: str) -> None:
    assert not inputs.is_file(tmp_path / name) and not inputs.is_folder(tmp_path / name)
    assert not inputs.is_folder(inputs.expanded(name))
    with pytest.raises(PantheonError):
        run_to_end(open_source(tmp_path / name))
