"""The job folder: what is written comes back, what is damaged is named, and nothing leads out of it."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pantheon360_blender.core.errors import FileError, JobError
from pantheon360_blender.core.jobs.job import PaintJob
from pantheon360_blender.core.jobs.job_folder import JobFolder, PaintFolder
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.render.splatting import GeometryFrame

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 32
SIZE = (WIDTH // 2, WIDTH)


def pose(x: float = 0.0, turn: float = 0.3) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    matrix[:3, 3] = x, -2.5, 1e3
    return matrix


def geometry(seed: int = 0) -> GeometryFrame:
    random = np.random.default_rng(seed)
    coverage = random.random(SIZE) < 0.3
    return GeometryFrame(
        colour=np.where(coverage[..., None], random.integers(0, 256, (*SIZE, 3)), 0).astype(np.uint8),
        depth=np.where(coverage, random.exponential(5, SIZE), np.inf).astype(np.float32),
        coverage=coverage,
        source=np.full(SIZE, -1, dtype=np.int32),
    )


def capture(name: str = "Ünïcode 空", masked: bool = True) -> Capture:
    random = np.random.default_rng(len(name))
    valid = random.random(SIZE) < 0.7 if masked else None
    return Capture(name, random.integers(0, 256, (*SIZE, 3), dtype=np.uint8), pose(1.0), valid)


def shot(root: Path, name: str = "Shot 1", frames: tuple[int, ...] = (-1, 0, 12)) -> PaintFolder:
    folder = PaintFolder.new(root, name)
    entry = folder.write_capture(capture())
    for frame in frames:
        folder.write_geometry("geometry", frame, geometry(frame + 5))
    cameras = np.stack([pose(float(frame)) for frame in frames])
    folder.seal(
        PaintJob(
            name=name,
            width=WIDTH,
            fps=29.97,
            frames=list(frames),
            cameras=cameras,
            captures=[entry],
            anchors=[{"frame": frames[0], "capture": entry["name"]}],
            settings={"guidance": 3.0},
            seed=str(2**64 - 1),
            software={"blender": "4.5.15"},
        )
    )
    return folder


def agreed(folder: PaintFolder) -> PaintFolder:
    """The folder as if the job had been made with its files as they are now."""
    folder = PaintFolder.open(folder.path)
    folder.seal(folder.job)
    return folder


def altered(folder: PaintFolder, **fields: Any) -> Path:
    file = folder.path / "job.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | fields), "utf-8")
    return folder.path


def test_a_job_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = shot(tmp_path)
    read = PaintFolder.open(written.path)
    assert read.job.to_json() == written.job.to_json()
    assert read.job.cameras.dtype == np.float64
    np.testing.assert_array_equal(read.job.camera(12), pose(12.0))
    assert read.job.seed == "18446744073709551615"
    assert (read.name, read.id) == (written.name, written.id)


def test_geometry_is_a_png_and_an_npz_that_other_programs_read(tmp_path: Path) -> None:
    folder = shot(tmp_path)
    expected = geometry(12 + 5)
    pixels = np.asarray(Image.open(folder.geometry_file(12)))
    np.testing.assert_array_equal(pixels[..., :3], expected.colour)
    np.testing.assert_array_equal(pixels[..., 3], expected.coverage * 255)
    with np.load(folder.geometry_depth_file(12), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["depth"], expected.depth)
    assert folder.geometry_file(-1).name == "-00001.png"


def test_geometry_and_captures_come_back(tmp_path: Path) -> None:
    folder = PaintFolder.open(shot(tmp_path).path)
    read, expected = folder.read_geometry("geometry", 0), geometry(5)
    for name in ("colour", "depth", "coverage"):
        np.testing.assert_array_equal(getattr(read, name), getattr(expected, name))
    (photograph,) = folder.captures()
    assert photograph.valid is not None
    np.testing.assert_array_equal(photograph.image, capture().image)
    assert (photograph.valid == capture().valid).all()
    np.testing.assert_array_equal(photograph.pose, capture().pose)


def test_confidence_comes_back_and_without_any_all_is_sure(tmp_path: Path) -> None:
    """To half of a 255th. A job without confidences has the files that it always had, and is read as sure."""
    expected = geometry(5)
    told = np.where(expected.coverage, np.random.default_rng(8).random(SIZE, np.float32), 0).astype(np.float32)
    folder = PaintFolder.open(shot(tmp_path).path)
    plain = folder.read_geometry("geometry", 0)
    assert plain.confidence is None
    np.testing.assert_array_equal(plain.sureness, expected.coverage.astype(np.float32))
    with np.load(folder.geometry_depth_file(0), allow_pickle=False) as arrays:
        assert arrays.files == ["depth"]

    folder.write_geometry("geometry", 0, replace(expected, confidence=told))
    folder = agreed(folder)
    read = folder.read_geometry("geometry", 0)
    assert read.confidence is not None and read.confidence.dtype == np.float32
    np.testing.assert_allclose(read.confidence, told, atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(read.depth, expected.depth)
    np.testing.assert_array_equal(read.confidence[~expected.coverage], 0)


def test_confidence_of_another_kind_or_size_is_named(tmp_path: Path) -> None:
    folder, depth = shot(tmp_path), geometry(5).depth
    for wrong in (np.zeros(SIZE, np.float32), np.zeros((2, 2), np.uint8), np.zeros((64, 128), np.uint8)):
        np.savez(folder.geometry_depth_file(0), depth=depth, confidence=wrong)
        folder = agreed(folder)
        with pytest.raises(JobError, match=r"000000\.npz is damaged"):
            folder.read_geometry("geometry", 0)
        with pytest.raises(JobError, match=r"000000\.npz is damaged"):
            folder.verify()


def test_what_captures_see_comes_back_and_is_an_input(tmp_path: Path) -> None:
    folder = shot(tmp_path)
    assert not folder.has_ranges
    entry = folder.job.captures[0]
    depth = np.full((512, 1024), 3.0, np.float32)
    depth[:200] = np.inf
    folder.write_range(entry, depth)
    folder.seal(folder.job)
    read = PaintFolder.open(folder.path)
    assert read.has_ranges
    np.testing.assert_array_equal(read.read_range(entry), depth)
    read.verify()
    (folder.path / "captures" / Path(entry["image"]).with_suffix(".range.npz").name).write_bytes(b"damaged")
    with pytest.raises(JobError, match="range"):
        read.read_range(entry)
    with pytest.raises(JobError, match="range"):
        read.verify()


def test_equal_geometry_makes_equal_bytes(tmp_path: Path) -> None:
    first, second = shot(tmp_path), shot(tmp_path)
    assert first.path != second.path
    assert first.geometry_depth_file(0).read_bytes() == second.geometry_depth_file(0).read_bytes()
    assert first.job.inputs == second.job.inputs


def test_captures_with_names_no_file_can_have_stay_apart(tmp_path: Path) -> None:
    folder = PaintFolder.new(tmp_path, "x")
    names = ["a/b", "a:b", "A:B", "../..", "CON", "." * 300]
    entries = [folder.write_capture(capture(name, masked=False)) for name in names]
    cameras = pose()[None]
    folder.seal(PaintJob(name="x", width=WIDTH, fps=24, frames=[1], cameras=cameras, captures=entries))
    assert len({entry["image"].lower() for entry in entries}) == len(names)
    read = JobFolder.open(folder.path).captures()
    assert [photograph.name for photograph in read] == names
    for photograph, name in zip(read, names, strict=True):
        np.testing.assert_array_equal(photograph.image, capture(name, masked=False).image)


def test_a_capture_never_takes_the_file_of_anothers_mask(tmp_path: Path) -> None:
    folder = PaintFolder.new(tmp_path, "x")
    names = ["a.mask", "a", "b", "b.mask", "B"]
    entries = [folder.write_capture(capture(name)) for name in names]
    folder.seal(PaintJob(name="x", width=WIDTH, fps=24, frames=[1], cameras=pose()[None], captures=entries))
    for photograph, name in zip(JobFolder.open(folder.path).captures(), names, strict=True):
        np.testing.assert_array_equal(photograph.image, capture(name).image)
        np.testing.assert_array_equal(photograph.valid, capture(name).valid)


@settings(max_examples=60, deadline=None)
@given(name=st.text(min_size=1, max_size=400))
def test_any_name_makes_one_folder_inside_the_root(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("jobs")
    folder = PaintFolder.new(root, name)
    assert folder.path.parent == root and folder.path.is_dir()
    assert list(root.iterdir()) == [folder.path]


def test_a_folder_is_not_a_job_before_it_is_sealed(tmp_path: Path) -> None:
    folder = PaintFolder.new(tmp_path, "Shot")
    folder.write_geometry("geometry", 1, geometry())
    with pytest.raises(JobError, match=r"no job\.json"):
        JobFolder.open(folder.path)
    with pytest.raises(JobError, match="not complete"):
        _ = folder.job


def test_a_newer_schema_asks_for_an_update(tmp_path: Path) -> None:
    path = altered(shot(tmp_path), schema=2, something_new=True)
    with pytest.raises(JobError, match="schema 2") as caught:
        JobFolder.open(path)
    assert "Update" in caught.value.advice and caught.value.code == "job-version"


DAMAGE = {
    "schema": [None, "1", 0, True],
    "kind": ["dance", None],
    "id": ["", "../x", 7],
    "name": ["", 7, "\ud800"],
    "width": [31, 0, -2, 1e3, 10**9, True, None],
    "fps": [0, -1, "24", None, 10**400],
    "frames": [[], [1], "123", [1, 1, 2], [1.0, 2, 3], [10**9, 1, 2]],
    "cameras": [
        [],
        [[[1, 0], [0, 1]]] * 3,
        [np.zeros((4, 4)).tolist()] * 3,
        [np.diag([2, 2, 2, 1.0]).tolist()] * 3,
        [[[1, 0, 0, 10**400], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]] * 3,
    ],
    "captures": [None, [{}], [{"name": "a", "image": "captures/a.png"}]],
    "anchors": [[{"frame": 99, "capture": "Ünïcode 空"}], [{"frame": 0, "capture": "nobody"}], [7]],
    "painter": ["", "os.system('x')", None],
    "settings": [[], None],
    "seed": [7, "-1", str(2**64), "0x1", "1.5", ""],
    "software": [{"blender": 4.5}, []],
    "inputs": [[{"path": "a"}], [{"path": "a", "sha256": "abc"}]],
}


def test_every_field_has_a_check() -> None:
    assert DAMAGE.keys() == PaintJob.fields.keys()


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in DAMAGE.items() for value in values])
def test_a_damaged_field_is_named(field: str, value: Any, tmp_path: Path) -> None:
    path = altered(shot(tmp_path), **{field: value})
    with pytest.raises(JobError) as caught:
        JobFolder.open(path)
    assert field.rstrip("s") in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("field", sorted(PaintJob.fields))
def test_a_missing_field_is_named(field: str, tmp_path: Path) -> None:
    folder = shot(tmp_path)
    record = json.loads((folder.path / "job.json").read_text("utf-8"))
    del record[field]
    (folder.path / "job.json").write_text(json.dumps(record), "utf-8")
    with pytest.raises(JobError, match=field):
        JobFolder.open(folder.path)


OUTSIDE = ["../x.png", "/etc/passwd", "captures/../../x.png", "C:/x.png", "captures\\x.png", "", ".", "a//b", "a\nb", 7]


@pytest.mark.parametrize("path", OUTSIDE)
def test_paths_out_of_the_folder_are_refused(path: Any, tmp_path: Path) -> None:
    folder = shot(tmp_path)
    entry = dict(folder.job.captures[0]) | {"image": path}
    for fields in ({"captures": [entry]}, {"inputs": [{"path": path, "sha256": "0" * 64}]}):
        with pytest.raises(JobError, match=r"path|image"):
            JobFolder.open(altered(folder, **fields))


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = shot(tmp_path)
    file = folder.path / folder.job.captures[0]["image"]
    outside = file.rename(tmp_path / "outside.png")
    try:
        file.symlink_to(outside)
    except OSError as error:
        pytest.skip(f"links cannot be made here: {error}")
    with pytest.raises(JobError, match="leaves the job folder"):
        folder.verify()
    with pytest.raises(JobError, match="leaves the job folder"):
        folder.captures()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"schema": NaN}', b"null", b'"text"', b'{"schema": 1}']
)
def test_a_damaged_job_file_is_a_job_error(content: bytes, tmp_path: Path) -> None:
    folder = shot(tmp_path)
    (folder.path / "job.json").write_bytes(content)
    with pytest.raises(JobError, match=r"job\.json"):
        JobFolder.open(folder.path)


def test_a_missing_folder_and_a_file_are_job_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(JobError, match=path.name):
            JobFolder.open(path)


def test_every_changed_or_missing_input_is_named(tmp_path: Path) -> None:
    original = shot(tmp_path)
    original.verify()
    assert len(original.job.inputs) == 2 + 2 * 3
    for entry in original.job.inputs:
        copy = JobFolder.open(Path(shutil.copytree(original.path, tmp_path / "copy")))
        file = copy.path / entry["path"]
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        with pytest.raises(JobError, match="SHA-256 differs") as caught:
            copy.verify()
        assert str(file) in caught.value.text
        file.unlink()
        with pytest.raises(JobError, match="is missing") as caught:
            copy.verify()
        assert str(file) in caught.value.text
        shutil.rmtree(copy.path)


@pytest.mark.filterwarnings("error")
def test_what_could_not_be_written_is_freed(tmp_path: Path) -> None:
    """Its error leads to the frame's bytes in a circle, as it does where an operator keeps it."""
    folder = shot(tmp_path)
    shutil.rmtree(folder.path / "geometry")
    (folder.path / "geometry").write_text("a file where the folder should be")
    with pytest.raises(FileError) as caught:
        folder.write_geometry("geometry", 1, geometry())
    caught.value.itself = caught.value  # type: ignore[attr-defined]
    del caught
    gc.collect()


def test_the_hashes_are_those_of_the_files(tmp_path: Path) -> None:
    folder = PaintFolder.new(tmp_path, "x")
    folder.write_geometry("geometry", 1, geometry(1))
    folder.write_geometry("geometry", 1, geometry(2))
    (folder.path / "geometry" / "notes.txt").write_text("put there by somebody else")
    folder.seal(PaintJob(name="x", width=WIDTH, fps=24, frames=[1], cameras=pose()[None]))
    found = {entry["path"]: entry["sha256"] for entry in folder.job.inputs}
    names = ("geometry/000001.npz", "geometry/000001.png", "geometry/notes.txt")
    assert found == {name: hashlib.sha256((folder.path / name).read_bytes()).hexdigest() for name in names}


def test_what_changes_between_writing_and_sealing_is_noticed(tmp_path: Path) -> None:
    folder = PaintFolder.new(tmp_path, "x")
    folder.write_geometry("geometry", 1, geometry(1))
    folder.geometry_file(1).write_bytes(b"another program wrote here")
    folder.seal(PaintJob(name="x", width=WIDTH, fps=24, frames=[1], cameras=pose()[None]))
    with pytest.raises(JobError, match=r"000001\.png .*SHA-256 differs"):
        folder.verify()


@pytest.mark.parametrize(
    "wrong", [{"settings": {"near": float("nan")}}, {"settings": {"a": np.ones(2)}}, {"software": {"a": "\ud800"}}]
)
def test_what_json_cannot_hold_is_named_before_anything_is_sealed(wrong: dict[str, Any], tmp_path: Path) -> None:
    folder = PaintFolder.new(tmp_path, "x")
    with pytest.raises(JobError, match=next(iter(wrong))):
        folder.seal(PaintJob(name="x", width=WIDTH, fps=24, frames=[1], cameras=pose()[None], **wrong))
    assert not (folder.path / "job.json").exists()


def test_a_folder_works_where_it_is_moved(tmp_path: Path) -> None:
    folder = shot(tmp_path / "here")
    moved = JobFolder.open(folder.path.rename(tmp_path / "Ünïcode 空 dir"))
    moved.verify()
    assert str(tmp_path) not in (moved.path / "job.json").read_text("utf-8")
    assert len(moved.captures()) == 1


def test_finished_are_frames_that_decode_and_have_the_size(tmp_path: Path) -> None:
    folder = shot(tmp_path, frames=(1, 2, 3, 4))
    image = capture().image
    for frame in (1, 2, 3):
        folder.write_frame(frame, image)
    assert folder.finished_frames() == [1, 2, 3]
    content = folder.frame_file(2).read_bytes()
    folder.frame_file(2).write_bytes(content[: len(content) // 2])
    Image.fromarray(image[:8, :16]).save(folder.frame_file(3))
    (folder.path / "frames" / ".000004.png.abc.part").write_bytes(content)
    assert folder.finished_frames() == [1]
    assert JobFolder.open(folder.path).finished_frames() == [1]


def test_a_preview_is_small_and_true(tmp_path: Path) -> None:
    folder = PaintFolder.new(tmp_path, "x")
    image = np.random.default_rng(0).integers(0, 256, (1024, 2048, 3), dtype=np.uint8)
    folder.write_preview(image)
    np.testing.assert_array_equal(np.asarray(Image.open(folder.preview_file)), image[::4, ::4])


def test_state_is_kept_and_a_damaged_one_is_new(tmp_path: Path) -> None:
    folder = shot(tmp_path)
    assert folder.state().status == "new"
    error = {"code": "file", "text": "the disk is full", "advice": "Free some"}
    folder.write_state("failed", [2, 1], error)
    state = folder.state()
    assert (state.status, state.finished, state.error) == ("failed", [1, 2], error)
    for damage in ('{"status": "done"', '{"status": "odd"}', "[]", '{"status": "done", "more": 1}'):
        (folder.path / "state.json").write_text(damage)
        assert folder.state().status == "new"


def test_a_depth_file_cannot_claim_more_than_a_frame(tmp_path: Path) -> None:
    folder = shot(tmp_path)
    for array in (np.zeros((2, 2), np.float32), np.zeros(SIZE, np.float64), np.array([{}], dtype=object)):
        np.savez(folder.geometry_depth_file(0), depth=array)
        folder = agreed(folder)
        with pytest.raises(JobError, match=r"000000\.npz is damaged"):
            folder.read_geometry("geometry", 0)
    content = shot(tmp_path).geometry_depth_file(0).read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        folder.geometry_depth_file(0).write_bytes(content[:length])
        folder = agreed(folder)
        with pytest.raises(JobError, match=r"000000\.npz is damaged"):
            folder.read_geometry("geometry", 0)


@pytest.mark.parametrize(
    "header", ["{1: 2, 'a': 3}", "{'descr': (), 'fortran_order': False, 'shape': (16, 32)}", "[[[["]
)
def test_a_depth_file_with_a_senseless_header_is_named(header: str, tmp_path: Path) -> None:
    folder = shot(tmp_path)
    line = header.ljust(117).encode() + b"\n"
    with zipfile.ZipFile(folder.geometry_depth_file(0), "w") as archive:
        archive.writestr("depth.npy", b"\x93NUMPY\1\0" + len(line).to_bytes(2, "little") + line)
    folder = agreed(folder)
    with pytest.raises(JobError, match=r"000000\.npz is damaged"):
        folder.read_geometry("geometry", 0)


def test_geometry_of_another_size_and_truncated_captures_are_named(tmp_path: Path) -> None:
    folder = shot(tmp_path)
    Image.new("RGBA", (16, 8)).save(folder.geometry_file(0))
    folder = agreed(folder)
    with pytest.raises(JobError, match=r"000000\.png"):
        folder.read_geometry("geometry", 0)
    file = folder.path / folder.job.captures[0]["image"]
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(JobError, match=file.name):
        agreed(folder).captures()


UNSEALED = """
import sys
from pathlib import Path
from pantheon360_blender.core.jobs.job_folder import PaintFolder
folder = PaintFolder.new(Path(sys.argv[1]), "Shot")
folder.output.write_bytes("geometry/000001.png", b"half a job")
print(folder.path.name, flush=True)
input()
"""


def test_a_job_that_its_maker_did_not_live_to_seal_is_removed_by_the_next_one(tmp_path: Path) -> None:
    """But not one that is still being made, nor one that is complete, nor anything else that lies there."""
    sealed, ours = shot(tmp_path), PaintFolder.new(tmp_path, "Ours")
    (tmp_path / "notes").mkdir()
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", UNSEALED, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    dead, living = (str(maker.stdout.readline()).strip() for maker in makers if maker.stdout is not None)
    makers[0].kill()
    makers[0].communicate()
    assert {path.name for path in tmp_path.iterdir()} == {sealed.path.name, ours.path.name, "notes", dead, living}
    new = PaintFolder.new(tmp_path, "New")
    left = {path.name for path in tmp_path.iterdir()}
    makers[1].kill()
    makers[1].communicate()
    assert left == {sealed.path.name, ours.path.name, "notes", living, new.path.name}
    new.discard()
    ours.discard()
    assert PaintFolder.new(tmp_path, "Newest").path.parent == tmp_path
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".Newest")} == {
        sealed.path.name,
        "notes",
    }


def test_a_folder_has_its_name_once_it_is_complete(tmp_path: Path) -> None:
    folder = PaintFolder.new(tmp_path, "Shot 1")
    assert folder.path.name.startswith(".") and folder.path.name.endswith(".part")
    folder.discard()
    assert shot(tmp_path).path.name.startswith("Shot 1-") and len(list(tmp_path.iterdir())) == 1


def test_a_log_has_one_line_for_each_entry_whatever_is_in_it(tmp_path: Path) -> None:
    folder = shot(tmp_path)
    for text in ("one", "two\n* * * * * sh evil", "\x1b]0;owned\x07\r\u2028\udce9", "four  \n\n"):
        folder.log(text)
    lines = folder.log_file.read_bytes().decode("utf-8").splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "one",
        r"two\n* * * * * sh evil",
        r"\x1b]0;owned\x07\r\u2028\udce9",
        "four",
    ]


def test_a_folder_that_cannot_be_made_is_a_file_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError, match="file"):
        PaintFolder.new(tmp_path / "file", "Shot")
