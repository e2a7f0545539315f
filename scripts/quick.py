"""What is worth asking between two edits, in one small environment: style, layers and core, in under 20 seconds.

`python scripts/quick.py [PYTEST ARGUMENTS]`, as in `scripts/quick.py tests/core/test_ply.py -x`. It needs no Blender,
tries properties on fewer examples and leaves out the tests marked slow. It checks no types: mypy wants an environment
of its own, and `make check` runs it. `make test` is what a change has to pass.
"""

from __future__ import annotations

import sys
import time

import check
import environments

TESTS = ("tests/core", "tests/test_layers.py")
WORKERS = ("-n", "auto", "--maxprocesses", "4")
"""A process a core; each takes two seconds to collect the tests, so that more than four gain nothing."""


def main(options: list[str]) -> int:
    python = environments.needed("quick", "quick")
    started = time.monotonic()
    failed = check.style(python)
    named = any((environments.ROOT / option.split("::")[0]).exists() for option in options)
    tests = [*options] if named else [*TESTS, *WORKERS, *options]
    pytest = [str(python), "-B", "-m", "pytest", "-q", "-rfE", "-m", "not slow", "--hypothesis-profile", "quick"]
    if not check.passes("core and layers" if not named else "tests", [*pytest, *tests], environments.ROOT):
        failed.append("tests")
    verdict = f"failed: {', '.join(failed)}" if failed else "passed"
    print(f"[quick] {verdict} ({time.monotonic() - started:.0f} s)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
