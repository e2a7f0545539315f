"""The process that parses hostile files: `python -m tests.fuzz.child`, driven by campaign.py.

It is told on its command line what to do, says on stdout what it found, one JSON object a line, and keeps the number of
the file it is at in a file of its own, in case it does not survive it. A file is a fault if it raises anything but a
PantheonError, takes more than SECONDS of the processor, or more memory than MEMORY.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, TextIO

from backend.reporting import claim_stdout
from pantheon360_blender.core import unexpected
from pantheon360_blender.core.errors import PantheonError

from .. import process_memory
from .mutations import BYTES
from .parsers import PARSERS, Parser

SECONDS = 10.0
MEMORY = 512 << 20
_ROOM = 16 << 30  # bytes of address space: what asks for more would end the machine
_SPECIFIC = 0.65  # share of mutations that know what they change
_SHORT = "/dev/shm"


class TooLate(BaseException):
    """No Exception: nothing may catch it."""


def main(arguments: list[str]) -> int:
    """PLACE SEED FIRST COUNT START NAME...: mutations FIRST to FIRST + COUNT of each parser; the first begins at START.

    PLACE is the file that tells the name and number it is at.
    """
    place, seed, first, count, start, *names = arguments
    os.environ[unexpected.VARIABLE] = "raise"
    os.fsync = lambda _: None  # type: ignore[assignment]
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGPROF, _too_late)
    begin, end = int(start), int(first) + int(count)
    with open(claim_stdout(), "w", buffering=1) as said:
        for name in names:
            with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_SHORT if Path(_SHORT).is_dir() else None) as folder:
                _work(PARSERS[name], seed, range(begin, end), Path(place), Path(folder), said)
            begin = int(first)
    return 0


def mutated(parser: Parser, files: list[tuple[Path, bytes]], seed: str, number: int) -> tuple[Path, bytes]:
    """The file that a mutation changes, and what is in it then: always the same for the same numbers."""
    random = Random(f"{parser.name}:{seed}:{number}")
    path, data = random.choice(files)
    for _ in range(random.choice((1, 1, 1, 2))):
        specific = parser.mutations and random.random() < _SPECIFIC
        data = random.choice(parser.mutations if specific else BYTES)(data, random)
    return path, data


def _work(parser: Parser, seed: str, numbers: range, place: Path, folder: Path, said: TextIO) -> None:
    _tell(place, parser.name)
    os.chdir(folder)
    assert parser.available
    targets = parser.make(folder)
    whole = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    parser.read(folder)  # imports what it needs; and what is whole is accepted
    process_memory.limit_growth(_ROOM)
    files = [(path, whole[path]) for path in targets]
    outcomes: Counter[str] = Counter()
    started = time.monotonic()
    for number in numbers:
        _tell(place, f"{parser.name} {number}")
        path, data = mutated(parser, files, seed, number)
        _restore(whole)
        path.write_bytes(data)
        outcome, text = _outcome(parser, folder)
        outcomes[outcome] += 1
        if outcome not in ("accepted", "refused"):
            said.write(json.dumps({"parser": parser.name, "number": number, "kind": outcome, "text": text}) + "\n")
    seconds = round(time.monotonic() - started, 3)
    said.write(json.dumps({"parser": parser.name, "done": dict(outcomes), "seconds": seconds}) + "\n")
    os.chdir("/")


def _tell(place: Path, text: str) -> None:
    """In one write: it is read at the same time."""
    with open(place, "r+b") as file:
        file.write(text.encode().ljust(64))


def _restore(whole: dict[Path, bytes]) -> None:
    for path, data in whole.items():
        path.write_bytes(data)


def _outcome(parser: Parser, folder: Path) -> tuple[str, str]:
    """What a file led to, and the traceback if that is a fault."""
    process_memory.forget_peak()
    before, started = process_memory.held(), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        parser.read(folder)
        outcome, text = "accepted", ""
    except PantheonError as error:
        outcome, text = ("memory", _traced()) if _short_of_memory(error) else ("refused", "")
    except TooLate:
        outcome, text = "time", _traced()
    except MemoryError:
        outcome, text = "memory", _traced()
    except Exception:
        outcome, text = "crash", _traced()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    grown, taken = process_memory.peak() - before, time.process_time() - started
    if grown > MEMORY:
        return "memory", f"{grown >> 20} MB ({outcome}) {text}"
    if taken > SECONDS:
        return "time", f"{taken:.0f} s ({outcome}) {text}"
    return outcome, text


def _short_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _traced() -> str:
    return traceback.format_exc()[-3000:]


def _too_late(*_: Any) -> None:
    raise TooLate


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
