"""Hostile files end in a clear error or are accepted: for every parser, in little time and memory, in a child.

The suite parses COUNT files for each; `make fuzz` as many as one likes. What it finds becomes a test of its kind in the
parser's own room.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pantheon360_blender.core.errors import PantheonError

from . import campaign, child
from .campaign import Report
from .parser import Parser
from .parsers import PARSERS

COUNT = 200
_CHILDREN = 2

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux tells it")


@pytest.fixture(scope="module")
def reports() -> dict[str, Report]:
    """Of every parser that this Python has the libraries of."""
    names = [name for name, parser in PARSERS.items() if parser.available]
    with ThreadPoolExecutor(_CHILDREN) as pool:
        parts = pool.map(
            lambda part: campaign.run(part, COUNT), [names[first::_CHILDREN] for first in range(_CHILDREN)]
        )
        return {name: report for part in parts for name, report in part.items()}


@pytest.mark.parametrize("name", PARSERS)
def test_hostile_files_are_refused_or_accepted(reports: dict[str, Report], name: str) -> None:
    if not PARSERS[name].available:
        pytest.skip(f"needs {', '.join(PARSERS[name].needs)}")
    report = reports[name]
    assert not report.faults, "\n".join(report.faults)
    assert report.files == COUNT
    assert report.outcomes["refused"] > COUNT // 10, "its mutations are hardly hostile"
    assert report.outcomes["accepted"] > COUNT // 50, "its mutations do not get past the first check"


def test_the_same_numbers_make_the_same_files(tmp_path: Path) -> None:
    files = [(path, path.read_bytes()) for path in PARSERS["png"].make(tmp_path)]
    made = [child.mutated(PARSERS["png"], files, "0", number)[1] for number in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def refusing(_: Path) -> None:
    try:
        raise MemoryError
    except MemoryError as error:
        raise PantheonError("It does not fit into memory.") from error


def hungry(_: Path) -> None:
    bytearray(100 << 20)


def slow(_: Path) -> None:
    while time.process_time() < 1e9:
        pass


def broken(_: Path) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("read", "outcome"),
    [(broken, "crash"), (refusing, "memory"), (hungry, "memory"), (slow, "time"), (lambda _: None, "accepted")],
)
def test_faults_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _alarm: None, read: object, outcome: str
) -> None:
    monkeypatch.setattr(child, "SECONDS", 0.2)
    monkeypatch.setattr(child, "MEMORY", 64 << 20)
    assert child._outcome(Parser("a", lambda _: [], read), tmp_path)[0] == outcome  # type: ignore[arg-type]


@pytest.fixture
def _alarm() -> Iterator[None]:
    import signal

    before = signal.signal(signal.SIGPROF, child._too_late)
    yield
    signal.signal(signal.SIGPROF, before)


def test_a_child_that_dies_is_a_fault_and_the_others_go_on() -> None:
    reports = campaign.run(["unknown", "xmp"], 3)
    assert "death" in reports["unknown"].faults[0] and reports["xmp"].files == 3
