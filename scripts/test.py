"""Style, types, layers, the test suite inside every supported Blender, and the backend's in its own environment.

`python scripts/test.py [NAME...] [-- PYTEST ARGUMENTS]`, as in `scripts/test.py blender-5.2 -- tests/scene -x`. A name
is an environment's, `check` (style and types), `docs`, or `interface` (scripts/test_interface.py), which alone has to
be asked for; `all` is every one of them. An environment whose Python is not on this machine is skipped with the reason;
where the variable CI is set, that fails.

Suites are run in parts, one more than there are processors beside each other, three at most. What a part says is
printed in one piece when it is over.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import environments

IN_BLENDER = ("tests/scene", "tests/interface", "tests/end_to_end")
"""The tests that know Blender: every Blender runs them, but for those marked `ends`."""

ELSEWHERE = ("tests", *(f"--ignore={room}" for room in IN_BLENDER))
"""All others, of core above all. The oldest and the newest Blender run them: their Python and numpy differ most."""

ENDS = (environments.BLENDERS[0], environments.BLENDERS[-1])


@dataclass(frozen=True)
class Part:
    """Tests that one process runs in one environment."""

    environment: str
    tests: tuple[str, ...]


PARTS = (
    Part("backend", ("tests/reconstruction",)),
    *(Part(name, IN_BLENDER) for name in ENDS),
    *(Part(name, (*IN_BLENDER, "-m", "not ends")) for name in environments.BLENDERS[1:-1]),
    Part("backend", ("tests/diffusion", "tests/fuzz", "tests/evaluation", "tests/training")),
    *(Part(name, ELSEWHERE) for name in ENDS),
)
"""The longest first, so that all processors are busy to the end. The backend's need numba, torch and the like."""

SUITES = tuple(dict.fromkeys(part.environment for part in PARTS))
SCRIPTS = {
    name: Path(__file__).with_name(f"{file}.py")
    for name, file in (("interface", "test_interface"), ("check", "check"), ("docs", "docs"))
}
"""What is no suite of pytest's."""

USUAL = (*SUITES, "check", "docs")

LONGEST = 2400
"""Seconds after which a part is ended: a Blender that hangs on quitting is in no test that could say so."""

AT_ONCE = min(3, (os.cpu_count() or 1) + 1)
"""Parts that run beside each other: each keeps hardly more than one processor busy, and waits now and then."""

_printing = threading.Lock()


def main(arguments: list[str]) -> int:
    split = arguments.index("--") if "--" in arguments else len(arguments)
    chosen, options = arguments[:split], arguments[split + 1 :]
    if unknown := [name for name in chosen if name not in (*SUITES, *SCRIPTS, "all")]:
        print(f"[test] unknown: {', '.join(unknown)}; there are {', '.join((*SUITES, *SCRIPTS))} and all")
        return 2
    names = [*SUITES, *SCRIPTS] if "all" in chosen else chosen or (SUITES if options else USUAL)
    jobs = _jobs(names, options)
    beside = AT_ONCE > 1 and len(jobs) > 1
    with ThreadPoolExecutor(AT_ONCE) as pool:
        verdicts = list(pool.map(lambda job: job(beside), jobs.values()))
    print("\n[test] summary")
    for title, verdict in zip(jobs, verdicts, strict=True):
        print(f"  {verdict:20} {title}")
    failed = any(verdict.startswith("FAILED") for verdict in verdicts)
    skipped = [verdict for verdict in verdicts if verdict.startswith("skipped")]
    return 1 if failed or (skipped and (os.environ.get("CI") or len(skipped) == len(verdicts))) else 0


def _jobs(names: Sequence[str], options: Sequence[str]) -> dict[str, Callable[[bool], str]]:
    """What is to be run: its title, and what runs it, told whether others run beside it.

    Scripts come first: while one of them runs, the backend's environment is made, which takes longest.
    options: arguments for pytest, which then runs once in each suite's environment.
    """
    parts = [Part(name, tuple(options)) for name in SUITES] if options else PARTS
    jobs: dict[str, Callable[[bool], str]] = {
        name: partial(_run, [sys.executable, str(SCRIPTS[name])], name) for name in SCRIPTS if name in names
    }
    for part in parts:
        if part.environment in names:
            jobs[f"{part.environment}: {' '.join(part.tests)}"] = partial(_suite, part, "backend" in names)
    return jobs


def _suite(part: Part, paints: bool, beside: bool) -> str:
    """Run a part. paints: the backend's environment is made first, for end-to-end tests paint with it if they can."""
    try:
        python = environments.ready(part.environment)
    except environments.EnvironmentUnavailable as reason:
        print(f"[test] {part.environment} is skipped: {reason}")
        return f"skipped: {str(reason).splitlines()[0]}"
    if paints:
        with suppress(environments.EnvironmentUnavailable):  # its own suite says so
            environments.ready("backend")
    return _run([str(python), "-m", "pytest", "-q", *part.tests], part.environment, beside)


def _run(command: list[str], name: str, beside: bool) -> str:
    """Run a command and return its verdict. beside: others run meanwhile, so that it is printed at its end.

    Bytecode is kept: of 15 s that it takes to collect all tests, pytest needs 10 to see what they assert.
    """
    print(f"\n[test] {name}: {' '.join(command[1:])}", flush=True)
    started = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as said:
        streams: dict[str, Any] = {"stdout": said, "stderr": subprocess.STDOUT} if beside else {}
        try:
            code = subprocess.run(
                command, cwd=environments.ROOT, env=environment, timeout=LONGEST, **streams
            ).returncode
        except subprocess.TimeoutExpired:
            code = 124
        said.seek(0)
        if told := said.read().decode(errors="replace"):
            with _printing:
                print(f"\n[test] said by {name}: {' '.join(command[1:])}\n{told}", flush=True)
    verdict = "passed" if code == 0 else f"FAILED (exit code {code})"
    return f"{verdict} in {time.monotonic() - started:.0f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
