"""Style, types, layers, the test suite inside every supported Blender, and the backend's in its own environment.

`python scripts/test.py [ENVIRONMENT...] [-- PYTEST ARGUMENTS]`, as in `scripts/test.py blender-5.2 -- tests/scene -x`.
An environment whose Python is not on this machine is skipped with the reason; where the variable CI is set, that fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import check
import environments

SUITES = {
    "backend": ("tests/reconstruction", "tests/diffusion", "tests/fuzz", "tests/evaluation", "tests/training"),
    **dict.fromkeys(environments.BLENDERS, ("tests/scene", "tests/interface", "tests/end_to_end")),
    environments.BLENDERS[0]: ("tests",),
    environments.BLENDERS[-1]: ("tests",),
}
"""Environment -> the tests it runs. What needs numba, torch and the like runs in the backend's, without Blender; it
comes first, since the Blenders' end-to-end tests paint with it. The oldest and the newest Blender run all, the ones
between them only what knows Blender: Python and numpy of core and backend differ most at the ends."""


LONGEST = 2400
"""Seconds after which a suite is ended: a Blender that hangs on quitting is in no test that could say so."""

_one_at_a_time = threading.Lock()
"""Environments are made, and long texts printed, one after the other."""

AT_ONCE = min(2, os.cpu_count() or 1)
"""Suites of Blenders that run beside each other: each keeps hardly more than one processor busy. The backend's keeps
all of them busy, and runs alone."""


def main(arguments: list[str]) -> int:
    split = arguments.index("--") if "--" in arguments else len(arguments)
    chosen, options = arguments[:split], arguments[split + 1 :]
    unknown = [name for name in chosen if name not in SUITES]
    if unknown:
        print(f"[test] unknown: {', '.join(unknown)}; there are {', '.join(SUITES)}")
        return 2
    results = {} if options else {"style and types": _verdict(check.main())}
    names = chosen or list(SUITES)
    results |= {name: _suite(name, options) for name in names if name not in environments.BLENDERS}
    blenders = _longest_first(names)
    beside = AT_ONCE > 1 and len(blenders) > 1
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results |= zip(blenders, pool.map(lambda name: _suite(name, options, beside=beside), blenders), strict=True)
    print("\n[test] summary")
    for name, verdict in results.items():
        print(f"  {name:16} {verdict}")
    failed = [verdict for verdict in results.values() if verdict.startswith("FAILED")]
    skipped = [verdict for verdict in results.values() if verdict.startswith("skipped")]
    return 1 if failed or (skipped and (os.environ.get("CI") or len(skipped) == len(SUITES))) else 0


def _longest_first(names: list[str]) -> list[str]:
    """The Blenders among these, those that run all tests first."""
    blenders = [name for name in names if name in environments.BLENDERS]
    return sorted(blenders, key=lambda name: SUITES[name] != ("tests",))


def _suite(name: str, options: list[str], *, beside: bool = False) -> str:
    """Run one suite. beside: others run meanwhile; what it says is then printed in one piece when it is over."""
    try:
        with _one_at_a_time:
            python = environments.ready(name)
    except environments.EnvironmentUnavailable as reason:
        print(f"[test] {name} is skipped: {reason}")
        return f"skipped: {str(reason).splitlines()[0]}"
    print(f"\n[test] the suite in {name}", flush=True)
    started = time.monotonic()
    command = [str(python), "-B", "-m", "pytest", "-q", *(options or SUITES[name])]
    with tempfile.TemporaryFile() as said:
        streams: dict[str, Any] = {"stdout": said, "stderr": subprocess.STDOUT} if beside else {}
        try:
            code = subprocess.run(command, cwd=environments.ROOT, timeout=LONGEST, **streams).returncode
        except subprocess.TimeoutExpired:
            code = 124
        said.seek(0)
        if told := said.read().decode(errors="replace"):
            with _one_at_a_time:
                print(f"\n[test] said in {name}:\n{told}", flush=True)
    return f"{_verdict(code)} in {time.monotonic() - started:.0f} s"


def _verdict(code: int) -> str:
    return "passed" if code == 0 else f"FAILED (exit code {code})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
