"""Hostile files by the thousand, parsed in children that may die of them: `python -m tests.fuzz.campaign`.

python -m tests.fuzz.campaign                        50,000 files, over all parsers
python -m tests.fuzz.campaign e57 laz --count 1000   some parsers
python -m tests.fuzz.campaign png --seed 1 --only 17 --keep out.png   one file again, to look at
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from . import child
from .parsers import PARSERS

ROOT = Path(__file__).resolve().parents[2]
COUNT = 50_000
_PATIENCE = 10 * child.SECONDS  # seconds until a child that Python cannot interrupt is ended, on a busy machine, too
_STARTING = 300.0
_MOST_DEATHS = 20


@dataclass
class Report:
    """What became of a parser's files. outcomes: how many of each kind. faults: what was wrong, for people."""

    parser: str
    outcomes: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def files(self) -> int:
        return sum(self.outcomes.values())


def run(names: Sequence[str], count: int, seed: int = 0, first: int = 0) -> dict[str, Report]:
    """Have mutations `first` to `first + count` of each parser parsed; a child that dies is followed by another one."""
    reports = {name: Report(name) for name in names}
    left, start = list(names), first
    while left:
        died = _child(reports, left, seed, first, count, start)
        if died is None:
            break
        name, number = died
        start = first + count if number is None or _hopeless(reports[name]) else number + 1
        left = left[left.index(name) :]
        if start >= first + count:
            left, start = left[1:], first
    return reports


def _hopeless(report: Report) -> bool:
    return report.outcomes.get("death", 0) >= _MOST_DEATHS


def _child(
    reports: dict[str, Report], names: list[str], seed: int, first: int, count: int, start: int
) -> tuple[str, int | None] | None:
    """Run one child. The parser and the number of the file that it died of, None if it came to its end."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        place, errors = Path(folder) / "number", Path(folder) / "stderr"
        place.write_text(names[0])
        told = [str(each) for each in (place, seed, first, count, start)]
        command = [sys.executable, "-B", "-m", "tests.fuzz.child", *told, *names]
        with open(errors, "wb") as stream:
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stream
            )
        ended_for: list[str] = []
        watch = threading.Thread(target=_watch, args=(process, place, ended_for), daemon=True)
        watch.start()
        said = process.stdout.read().decode() if process.stdout else ""
        code = process.wait()
        watch.join()
        _hear(reports, said, seed)
        if code == 0:
            return None
        name, _, number = place.read_text().strip().partition(" ")
        report = reports[name]
        why = ended_for[0] if ended_for else f"death (exit code {code})"
        details = errors.read_bytes()[-1500:].decode("utf-8", "replace")
        report.faults.append(f"{name} --seed {seed} --only {number or 'none yet'}: {why}\n{details}")
        report.outcomes["death"] = report.outcomes.get("death", 0) + 1
        if not number:  # it did not even start
            return name, None
        done = int(number) - (start if name == names[0] else first)
        report.outcomes["before a death"] = report.outcomes.get("before a death", 0) + done
        return name, int(number)


def _hear(reports: dict[str, Report], said: str, seed: int) -> None:
    """Take what a child said."""
    for line in said.splitlines():
        record = json.loads(line)
        report = reports[record["parser"]]
        if "done" in record:
            report.seconds += record["seconds"]
            for name, number in record["done"].items():
                report.outcomes[name] = report.outcomes.get(name, 0) + number
        else:
            where = f"{report.parser} --seed {seed} --only {record['number']}"
            report.faults.append(f"{where}: {record['kind']}\n{record['text']}")


def _watch(process: subprocess.Popen[bytes], place: Path, ended_for: list[str]) -> None:
    """End a child whose file takes more memory or time than it may, where it cannot tell so itself."""
    at, since, base = "", time.monotonic(), 0
    while process.poll() is None:
        time.sleep(0.02)
        now, held = place.read_text().strip(), _held(process.pid)
        if now != at:
            at, since, base = now, time.monotonic(), held
        started = " " in at  # before, it imports and makes valid files
        patience = _PATIENCE if started else _STARTING
        if started and held - base > child.MEMORY + (64 << 20):
            ended_for.append(f"memory ({held - base >> 20} MB and growing)")
        elif time.monotonic() - since > patience:
            ended_for.append(f"time (more than {patience:.0f} s)")
        if ended_for:
            process.kill()
            return


def _held(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where Linux does not say."""
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run a campaign and print its table. 1 if there are faults."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.campaign", description=__doc__.split("\n")[0])
    parser.add_argument("parsers", nargs="*", help=f"by default all of: {', '.join(PARSERS)}")
    parser.add_argument("--count", type=int, default=COUNT, help="files over all parsers (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="parsers at the same time (%(default)s)")
    parser.add_argument("--minutes", type=float, help="begin no parser after so many minutes")
    parser.add_argument("--only", type=int, help="the number of one file")
    parser.add_argument("--keep", type=Path, help="write the file of --only there")
    options = parser.parse_args(arguments)
    chosen = [PARSERS[name] for name in options.parsers or PARSERS]
    for each in chosen:
        if not each.available:
            print(f"{each.name} is left out: it needs {', '.join(each.needs)}")
    names = [each.name for each in chosen if each.available]
    if options.keep is not None:
        return _keep(names[0], options.seed, options.only, options.keep)
    count = 1 if options.only is not None else -(-options.count // max(len(names), 1))
    deadline = time.monotonic() + 60 * (options.minutes or 1e6)

    def work(name: str) -> Report | None:
        if time.monotonic() > deadline:
            return None
        return _shown(run([name], count, options.seed, options.only or 0)[name])

    with ThreadPoolExecutor(options.jobs) as pool:
        reports = [report for report in pool.map(work, names) if report is not None]
    faults = [fault for report in reports for fault in report.faults]
    print("\n\n".join(faults))
    files = sum(report.files for report in reports)
    print(f"{files:,} files of {len(reports)} parsers (of {len(names)}): {len(faults)} faults")
    return 1 if faults else 0


def _shown(report: Report) -> Report:
    told = ", ".join(f"{number:,} {name}" for name, number in sorted(report.outcomes.items()))
    print(f"{report.parser:20} {report.seconds:7.1f} s   {told}", flush=True)
    return report


def _keep(name: str, seed: int, number: int, target: Path) -> int:
    """Write a mutated file, to look at it."""
    with tempfile.TemporaryDirectory() as folder:
        files = [(path, path.read_bytes()) for path in PARSERS[name].make(Path(folder))]
        path, data = child.mutated(PARSERS[name], files, str(seed), number)
        target.write_bytes(data)
        print(f"{target} is {path.relative_to(folder)} of {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
