"""Style, types, layers, the test suite inside every supported Blender, and the backend's in its own environment.

`python scripts/test.py [ENVIRONMENT...] [-- PYTEST ARGUMENTS]`, as in `scripts/test.py blender-5.2 -- tests/scene -x`.
An environment whose Python is not on this machine is skipped with the reason; where the variable CI is set, that fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import check
import environments

SUITES = {
    "backend": ("tests/reconstruction", "tests/diffusion", "tests/fuzz", "tests/evaluation"),
    **dict.fromkeys(environments.BLENDERS, ("tests/scene", "tests/interface", "tests/end_to_end")),
    environments.BLENDERS[0]: ("tests",),
    environments.BLENDERS[-1]: ("tests",),
}
"""Environment -> the tests it runs. What needs numba, torch and the like runs in the backend's, without Blender; it
comes first, since the Blenders' end-to-end tests paint with it. The oldest and the newest Blender run all, the ones
between them only what knows Blender: Python and numpy of core and backend differ most at the ends."""


def main(arguments: list[str]) -> int:
    split = arguments.index("--") if "--" in arguments else len(arguments)
    chosen, options = arguments[:split], arguments[split + 1 :]
    unknown = [name for name in chosen if name not in SUITES]
    if unknown:
        print(f"[test] unknown: {', '.join(unknown)}; there are {', '.join(SUITES)}")
        return 2
    results = {} if options else {"style and types": _verdict(check.main())}
    for name in chosen or SUITES:
        results[name] = _suite(name, options)
    print("\n[test] summary")
    for name, verdict in results.items():
        print(f"  {name:16} {verdict}")
    failed = [verdict for verdict in results.values() if verdict.startswith("FAILED")]
    skipped = [verdict for verdict in results.values() if verdict.startswith("skipped")]
    return 1 if failed or (skipped and (os.environ.get("CI") or len(skipped) == len(SUITES))) else 0


def _suite(name: str, options: list[str]) -> str:
    try:
        python = environments.ready(name)
    except environments.EnvironmentUnavailable as reason:
        print(f"[test] {name} is skipped: {reason}")
        return f"skipped: {str(reason).splitlines()[0]}"
    print(f"\n[test] the suite in {name}", flush=True)
    started = time.monotonic()
    command = [str(python), "-B", "-m", "pytest", "-q", *(options or SUITES[name])]
    code = subprocess.run(command, cwd=environments.ROOT).returncode
    return f"{_verdict(code)} in {time.monotonic() - started:.0f} s"


def _verdict(code: int) -> str:
    return "passed" if code == 0 else f"FAILED (exit code {code})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
