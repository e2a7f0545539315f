"""What is written into a folder stays in it, whatever lies there; a folder that goes is not made again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pantheon360_blender.core import files, output_folder
from pantheon360_blender.core.errors import FileError
from pantheon360_blender.core.output_folder import OutputFolder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")

Write = Callable[[OutputFolder, str], None]

WRITERS: dict[str, Write] = {
    "writing": lambda folder, name: folder.write_bytes(name, b"new"),
    "appending": lambda folder, name: folder.append(name, b"new"),
    "locking": lambda folder, name: os.close(folder.open(name, os.O_RDWR | os.O_CREAT)),
    "removing": lambda folder, name: folder.remove(name),
}


@pytest.fixture(params=[True, False], ids=["by descriptor", "by comparison"])
def opens_in_folders(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both ways: as on Linux and macOS, and as on Windows."""
    if request.param and not output_folder._OPENS_IN_FOLDERS:
        pytest.skip("this system cannot open files in opened folders")
    monkeypatch.setattr(output_folder, "_OPENS_IN_FOLDERS", request.param)
    return bool(request.param)


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder of the artist's own."""
    folder = tmp_path / "precious"
    (folder / "inner").mkdir(parents=True)
    for name in ("000001.png", ".x.part", "inner/a.txt", "rc"):
        (folder / name).write_text("mine")
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("write", WRITERS.values(), ids=list(WRITERS))
@pytest.mark.parametrize(
    "name", ["frames/000001.png", "frames/new.png", "frames/inner/a.txt", "frames/inner/new/b.txt"]
)
def test_no_folder_that_is_a_link_is_followed(
    write: Write, name: str, opens_in_folders: bool, precious: Path, tmp_path: Path
) -> None:
    job = OutputFolder.made(tmp_path / "job")
    (job.path / "frames").symlink_to(precious)
    before = contents(precious)
    with pytest.raises(FileError, match="frames is a link") as caught:
        write(job, name)
    assert caught.value.code == "link" and caught.value.advice
    assert contents(precious) == before


@pytest.mark.parametrize("write", WRITERS.values(), ids=list(WRITERS))
@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing yet"])
def test_no_file_that_is_a_link_is_written_through(
    write: Write, there: bool, opens_in_folders: bool, precious: Path, tmp_path: Path
) -> None:
    job = OutputFolder.made(tmp_path / "job")
    (job.path / "log.txt").symlink_to(precious / ("rc" if there else "new"))
    before = contents(precious)
    try:
        write(job, "log.txt")
    except FileError as error:
        assert error.code == "link" and "log.txt" in error.text
    else:
        assert not (job.path / "log.txt").is_symlink(), "what is renamed into place takes the place of the link"
    assert contents(precious) == before


def test_a_log_that_shares_its_content_with_another_file_is_left_alone(precious: Path, tmp_path: Path) -> None:
    job = OutputFolder.made(tmp_path / "job")
    os.link(precious / "rc", job.path / "log.txt")
    with pytest.raises(FileError, match="of another folder, too"):
        job.append("log.txt", b"new")
    assert (precious / "rc").read_text() == "mine"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.mkdir()], ids=["a pipe", "a folder"])
def test_what_is_no_file_is_neither_waited_for_nor_written(make: Callable[[Path], None], tmp_path: Path) -> None:
    job = OutputFolder.made(tmp_path / "job")
    make(job.path / "log.txt")
    for write in (WRITERS["appending"], WRITERS["locking"]):
        with pytest.raises(FileError, match=r"log\.txt"):
            write(job, "log.txt")


@pytest.mark.parametrize("name", ["../out", "a/../../out", "", ".", "/tmp/out"])
def test_a_name_that_does_not_lie_in_the_folder_is_a_mistake(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not lie in|is not in the subpath"):
        OutputFolder.made(tmp_path / "job").write_bytes(name, b"")
    assert not (tmp_path / "out").exists()


def test_links_above_the_folder_are_the_persons_own_business(
    opens_in_folders: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home folder may lie behind a link, and so may the folder itself."""
    (tmp_path / "disk" / "shots").mkdir(parents=True)
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    (tmp_path / "job").symlink_to(tmp_path / "home" / "shots")
    monkeypatch.chdir(tmp_path)
    for number, path in enumerate(
        (tmp_path / "home" / "shots", tmp_path / "job", Path("job"), Path("disk/../home/shots"))
    ):
        job = OutputFolder(path)
        job.write_json(f"frames/{number}.json", number)
        job.append("log.txt", b"line\n")
        assert json.loads((tmp_path / "disk" / "shots" / "frames" / f"{number}.json").read_text()) == number
    assert (tmp_path / "disk" / "shots" / "log.txt").read_text() == 4 * "line\n"
    assert names(tmp_path / "disk" / "shots") == ["frames", "log.txt"]


@pytest.mark.parametrize("write", WRITERS.values(), ids=list(WRITERS))
@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_a_folder_that_goes_is_not_made_again(write: Write, how: str, opens_in_folders: bool, tmp_path: Path) -> None:
    job = OutputFolder.made(tmp_path / "job")
    if how == "moved":
        job.path.rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(job.path)
    with pytest.raises(FileError, match="is gone: it was moved or deleted") as caught:
        write(job, "a.txt")
    assert caught.value.code == "folder-gone" and not job.path.exists()


def test_a_folder_that_another_one_replaces_is_not_written_to(opens_in_folders: bool, tmp_path: Path) -> None:
    for name in ("one", "two"):
        OutputFolder.made(tmp_path / name).write_json("job.json", {"name": name, "is": "a job"})
    one = OutputFolder(tmp_path / "one").recognised_by("job.json")
    one.write_bytes("a.txt", b"of one")
    one.path.rename(tmp_path / "away")
    (tmp_path / "two").rename(one.path)
    with pytest.raises(FileError, match="another folder") as caught:
        one.write_bytes("b.txt", b"of one")
    assert caught.value.code == "folder-changed" and not (one.path / "b.txt").exists()
    shutil.copytree(tmp_path / "away", tmp_path / "copied")  # keeps the time of change
    shutil.rmtree(one.path)
    (tmp_path / "copied").rename(one.path)
    one.write_bytes("b.txt", b"of one")


def test_what_is_removed_is_removed_here_alone(opens_in_folders: bool, precious: Path, tmp_path: Path) -> None:
    job = OutputFolder.made(tmp_path / "job")
    (job.path / "link").symlink_to(precious / "rc")
    (job.path / "empty").mkdir()
    (job.path / "full").mkdir()
    job.write_bytes("full/a.txt", b"")
    with pytest.raises(FileError, match="link"):
        job.remove("link/rc")
    for name in ("link", "empty", "nothing", "full/nothing", "nowhere/at/all"):
        job.remove(name)
    with pytest.raises(FileError, match="full"):
        job.remove("full")
    assert names(job.path) == ["full"] and len(contents(precious)) == 4


def test_only_links_that_lead_out_are_refused_before_work_begins(precious: Path, tmp_path: Path) -> None:
    job = OutputFolder.made(tmp_path / "job")
    job.write_bytes("kept/a.txt", b"")
    (job.path / "inside").symlink_to("kept")
    (job.path / "captures").symlink_to(precious)
    job.refuse_links(besides=("captures",))
    with pytest.raises(FileError, match="captures is a link"):
        job.refuse_links()


def test_a_file_made_by_another_program_takes_its_place_whole(
    opens_in_folders: bool, precious: Path, tmp_path: Path
) -> None:
    job = OutputFolder.made(tmp_path / "job")
    (job.path / "video.mp4").symlink_to(precious / "rc")
    with job.scratch() as scratch:
        assert scratch.parent == job.path
        (scratch / "made.mp4").write_bytes(b"video")
        job.take(scratch / "made.mp4", "video.mp4")
        (scratch / "rest").write_bytes(b"")
    assert names(job.path) == ["video.mp4"] and (job.path / "video.mp4").read_bytes() == b"video"
    assert (precious / "rc").read_text() == "mine"


def test_a_person_who_names_a_link_means_what_it_leads_to(tmp_path: Path) -> None:
    """A path that a person chose, as that of a video to be tagged, is no folder that may come from anywhere."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    files.write_bytes(tmp_path / "link" / "deep" / "a.txt", b"new")
    assert (tmp_path / "disk" / "deep" / "a.txt").read_bytes() == b"new"
