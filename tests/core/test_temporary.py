"""What a killed process left is known by its name, and removed once nobody can be at work on it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pantheon360_blender.core import files, temporary
from pantheon360_blender.core.output_folder import OutputFolder

ROOT = Path(__file__).resolve().parents[2]
OTHER_HOST = "0" * 8


_alive: list[subprocess.Popen[str]] = []


def named_by_a_process(stem: str, *, alive: bool) -> str:
    """A temporary name as another process of this computer makes it, one that runs or one that was killed."""
    code = f"from pantheon360_blender.core import temporary; print(temporary.name({stem!r}), flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    said = child.stdout.readline().strip()
    _alive.append(child)
    if not alive:
        end_processes()
    return said


def end_processes() -> None:
    while _alive:
        child = _alive.pop()
        child.kill()
        child.communicate()


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    yield
    end_processes()


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def left(folder: Path, *, alone: bool = False) -> list[str]:
    temporary.remove_abandoned(folder, alone=alone)
    return names(folder)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_dead_process_left_goes_and_what_a_living_one_makes_stays(kind: str, tmp_path: Path) -> None:
    dead = named_by_a_process("a.png", alive=False)
    living, own = named_by_a_process("a.png", alive=True), temporary.name("a.png")
    for name in (dead, living, own):
        if kind == "file":
            (tmp_path / name).write_bytes(b"")
        else:
            (tmp_path / name / "deep").mkdir(parents=True)
            (tmp_path / name / "deep" / "a").write_bytes(b"")
    assert left(tmp_path) == sorted([living, own])


def test_a_process_id_that_was_given_to_another_process_does_not_keep_it_for_ever(tmp_path: Path) -> None:
    """Containers number their processes alike: ours may have the very number of the one that was killed."""
    ours = temporary.name("a")
    of_our_number = ours.replace(temporary._RUN, "12345678")
    living = named_by_a_process("a", alive=True)
    for name in (ours, of_our_number, living):
        (tmp_path / name).write_bytes(b"")
        age(tmp_path / name, temporary.LONGEST_SILENCE + 60)
    assert left(tmp_path) == [ours]


def test_another_computer_keeps_its_own_until_it_is_silent_for_a_day_or_locked_out(tmp_path: Path) -> None:
    young, old = (f".a.{OTHER_HOST}-4711-{run}-abcdef.part" for run in ("11111111", "22222222"))
    (tmp_path / young).write_bytes(b"")
    (tmp_path / old).mkdir()
    (tmp_path / old / "b").write_bytes(b"")
    age(tmp_path / old / "b", 3600)
    age(tmp_path / old, temporary.LONGEST_SILENCE + 60)
    assert left(tmp_path) == sorted([young, old]), "something in it was changed an hour ago"
    age(tmp_path / old / "b", temporary.LONGEST_SILENCE + 60)
    assert left(tmp_path) == [young]
    assert left(tmp_path, alone=True) == []


def test_only_names_that_it_makes_itself_are_removed(tmp_path: Path) -> None:
    dead = named_by_a_process("a.png", alive=False)
    artists = [".x.part", "a.part", dead[1:], f"{dead}.bak", dead.replace(".part", ""), ".x.1234567.part", ".cache"]
    older = ".000001.png.ab_d1234.part"  # as tempfile names them, which version 0.1.0 used
    for name in (*artists, older):
        (tmp_path / name).write_bytes(b"")
    assert left(tmp_path) == sorted([*artists, older])
    assert left(tmp_path, alone=True) == sorted(artists)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    dead = named_by_a_process("a", alive=False)
    precious, job = tmp_path / "precious", OutputFolder.made(tmp_path / "job")
    precious.mkdir()
    for name in ("mine.txt", dead):
        (precious / name).write_bytes(b"")
    for name in ("frames", dead):
        (job.path / name).symlink_to(precious)
    (job.path / "segments" / dead).mkdir(parents=True)
    (job.path / "segments" / dead / "link").symlink_to(precious)
    job.remove_abandoned(alone=True)
    assert names(precious) == sorted(["mine.txt", dead])
    assert names(job.path) == ["frames", "segments"] and not names(job.path / "segments")


def test_writing_a_file_again_removes_what_an_earlier_try_left(tmp_path: Path) -> None:
    (tmp_path / named_by_a_process("video.mp4", alive=False)).write_bytes(b"half")
    files.write_bytes(tmp_path / "video.mp4", b"whole")
    assert names(tmp_path) == ["video.mp4"]


@pytest.mark.parametrize("stem", ["a" * 250, "空" * 80, "\udce9", "a\nb", ""])
def test_any_name_makes_one_that_fits_and_is_known_again(stem: str, tmp_path: Path) -> None:
    made = temporary.name(stem)
    assert len(os.fsencode(made)) < 160
    (tmp_path / made.replace(temporary._RUN, "12345678")).write_bytes(b"")
    assert left(tmp_path) == []


def test_a_temporary_folder_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), temporary.directory(tmp_path, "poses") as made:
        (made / "a").write_bytes(b"")
        assert os.name == "nt" or made.stat().st_mode & 0o077 == 0
        raise ZeroDivisionError
    assert not names(tmp_path)
