"""Hostile files for every parser, in the environment that has the libraries of all of them.

`python scripts/fuzz.py [ARGUMENTS]`, as of `python -m tests.fuzz.campaign`: 50,000 files without any.
"""

from __future__ import annotations

import subprocess
import sys

import environments


def main(options: list[str]) -> int:
    python = environments.needed("fuzz", "backend")
    return subprocess.run([str(python), "-B", "-m", "tests.fuzz.campaign", *options], cwd=environments.ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
