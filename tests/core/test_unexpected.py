"""What nobody foresaw becomes an error with the log's place at each way in, unless somebody looks for faults."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend import run
from backend.importers import __main__ as importers_main
from pantheon360_blender.core import importers, person_folder, unexpected
from pantheon360_blender.core.errors import FileError, PantheonError
from pantheon360_blender.core.importers import Source
from pantheon360_blender.core.progress import run_to_end
from pantheon360_blender.core.unexpected import UnexpectedError, boundary


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where faults are logged; errors do not pass as they are."""
    monkeypatch.delenv(unexpected.VARIABLE)
    monkeypatch.setattr(person_folder, "path", lambda: tmp_path / "data")
    return tmp_path / "data" / "errors.log"


def broken(*_: Any, **__: Any) -> Iterator[Any]:
    raise ZeroDivisionError("the innermost reason")
    yield


def test_a_fault_is_told_and_logged(log: Path) -> None:
    told = "Reading a failed unexpectedly: ZeroDivisionError: the innermost reason"
    for _ in range(2):
        with pytest.raises(UnexpectedError, match=told) as caught, boundary("Reading a"):
            list(broken())
    assert caught.value.code == "unexpected" and str(log) in caught.value.advice
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert log.read_text().count("Traceback") == 2 and "in broken" in log.read_text()


def test_errors_that_explain_themselves_pass(log: Path) -> None:
    with pytest.raises(FileError), boundary("Reading a"):
        raise FileError("a is missing.")
    for passing in (KeyboardInterrupt, GeneratorExit, BrokenPipeError):
        with pytest.raises(passing), boundary("Reading a"):
            raise passing
    assert not log.exists()


def test_memory_that_is_short_is_no_fault(log: Path) -> None:
    with pytest.raises(PantheonError, match="not enough memory") as caught, boundary("Reading a"):
        raise MemoryError
    assert caught.value.code == "memory" and not log.exists()


def test_tests_see_the_fault_itself(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(unexpected.VARIABLE, "raise")
    with pytest.raises(ZeroDivisionError), boundary("Reading a"):
        list(broken())
    assert not log.exists()


def test_the_log_begins_anew_when_it_is_long(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unexpected, "LARGEST_LOG", 100)
    for _ in range(5):
        with pytest.raises(UnexpectedError), boundary("Reading a"):
            list(broken())
    assert log.read_text().count("Traceback") == 1


def test_without_a_log_the_console_has_the_details(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log.parent.write_bytes(b"a file where a folder belongs")
    with pytest.raises(UnexpectedError, match="on the console"), boundary("Reading a"):
        list(broken())
    assert "in broken" in capsys.readouterr().err


# The ways in; those of Blender are tested in its rooms


def test_an_importer_that_breaks_names_its_file(log: Path, tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes(b"1 2 3")
    source = Source("xyz", "Points", lambda path, start: True, broken)
    with pytest.raises(UnexpectedError, match=r"a\.xyz failed unexpectedly"):
        run_to_end(importers.open_source(tmp_path / "a.xyz", sources=[source]))
    assert log.exists()


def test_the_importers_process_that_breaks_says_so(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importers_main, "open_source", broken)
    assert importers_main.main([str(tmp_path), str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said and str(log) in said and "Traceback" not in said


def test_a_run_that_breaks_says_so(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from backend import runner

    monkeypatch.setattr(runner, "run", broken)
    monkeypatch.setattr(run.signal, "signal", lambda *_: None)
    monkeypatch.setitem(sys.modules, "backend.runner", runner)
    assert run.main(str(tmp_path), as_json=False) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said and str(log) in said and "Traceback" not in said
