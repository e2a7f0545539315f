"""Files that are run when something of them is first used: a room made for it, and the rooms of the house."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pantheon360_blender.late_files import UnreadFile
from tests import layers

Room = Callable[..., ModuleType]


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """room(file=text, ...): a package of these files, which are run when they are used."""
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "a_room_of_late_files"

    def made(**files: str) -> ModuleType:
        (tmp_path / name).mkdir()
        late = "from pantheon360_blender.late_files import run_when_used\n\nrun_when_used(__name__)\n"
        for file, text in {"__init__": late, **files}.items():
            (tmp_path / name / f"{file}.py").write_text(text, encoding="utf-8")
        return importlib.import_module(name)

    yield made
    for each in [each for each in sys.modules if each.split(".")[0] == name]:
        del sys.modules[each]


def is_unread(module: ModuleType) -> bool:
    return type(module) is UnreadFile


def test_a_file_is_run_when_something_of_it_is_asked_for_and_once(room: Room) -> None:
    made = room(counted="times = []\ntimes.append(1)\n", other="from . import counted\n")
    from a_room_of_late_files import counted, other  # type: ignore[import-not-found]

    assert counted is made.counted is sys.modules["a_room_of_late_files.counted"]
    assert is_unread(counted) and is_unread(other)
    assert other.counted is counted and not is_unread(other) and is_unread(counted)
    assert counted.times == [1] and not is_unread(counted)
    assert importlib.import_module("a_room_of_late_files.counted").times == [1]


def test_a_name_that_is_imported_has_its_file_run(room: Room) -> None:
    made = room(first="from .second import VALUE\n", second="VALUE = 2\n")
    assert made.first.VALUE == 2
    assert not is_unread(made.second)


def test_what_is_set_stays_set(room: Room) -> None:
    made = room(settings="VALUE = 2\n")
    made.settings.VALUE = 3
    assert made.settings.VALUE == 3


def test_a_name_that_is_not_there_is_an_ordinary_error(room: Room) -> None:
    made = room(empty="")
    with pytest.raises(AttributeError, match="nothing"):
        _ = made.empty.nothing
    with pytest.raises(ImportError):
        from a_room_of_late_files.empty import nothing  # type: ignore[import-not-found]  # noqa: F401


def test_two_threads_never_wait_for_one_another(room: Room, tmp_path: Path) -> None:
    """One imports an ordinary file, which uses a late one; the other runs another late one, which imports that file."""
    meet = "import sys\nsys.modules['meeting'].wait(timeout=300)\n"
    (tmp_path / "ordinary_file.py").write_text(f"{meet}from a_room_of_late_files import used\nVALUE = used.VALUE\n")
    made = room(used="VALUE = 4\n", user=f"{meet}import ordinary_file\nVALUE = ordinary_file.VALUE\n")
    sys.modules["meeting"] = threading.Barrier(2)  # type: ignore[assignment]
    try:
        threads = [
            threading.Thread(target=importlib.import_module, args=("ordinary_file",), daemon=True),
            threading.Thread(target=lambda: made.user.VALUE, daemon=True),
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join(300)
        assert not any(each.is_alive() for each in threads) and made.user.VALUE == 4
    finally:
        del sys.modules["meeting"]
        sys.modules.pop("ordinary_file", None)


def test_whoever_looks_through_all_modules_runs_none(room: Room) -> None:
    """Blender does when it quits: it reads the dictionary of every module."""
    made = room(file="")
    assert [getattr(each, "__dict__", None) for each in list(sys.modules.values())]
    assert made.file.__name__ == "a_room_of_late_files.file" and Path(made.file.__file__ or "").name == "file.py"
    assert is_unread(made.file)


def test_a_file_that_fails_is_run_again_at_the_next_use(room: Room) -> None:
    made = room(failing="import a_room_of_late_files\na_room_of_late_files.ready\nVALUE = 1\n")
    with pytest.raises(AttributeError, match="ready"):
        _ = made.failing.VALUE
    made.ready = True
    assert made.failing.VALUE == 1


def test_another_thread_waits_until_a_file_was_run(room: Room) -> None:
    made = room(
        slow="import a_room_of_late_files as room\nEARLY = 1\nroom.begun.set()\nroom.may_end.wait(300)\nLATE = 2\n"
    )
    made.begun, made.may_end = threading.Event(), threading.Event()
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(made.slow.EARLY + vars(made.slow)["LATE"])) for _ in "12"]
    threads[0].start()
    assert made.begun.wait(300)
    threads[1].start()
    threads[1].join(0.1)
    assert not seen
    made.may_end.set()
    for thread in threads:
        thread.join(300)
    assert seen == [3, 3]


AT_ONCE = {"pantheon360_blender/core/importers"}
"""It lists what its files read."""


def test_every_room_of_core_and_scene_is_late() -> None:
    rooms = {room for house in ("core", "scene") for room in layers.HOUSES[house].rooms if not room.endswith(".py")}
    grounds = {"pantheon360_blender/core", "pantheon360_blender/scene"}
    late = {room for room in rooms if "run_when_used(__name__)" in (layers.ROOT / room / "__init__.py").read_text()}
    assert late == rooms - grounds - AT_ONCE
