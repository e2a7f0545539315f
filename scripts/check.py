"""Style (ruff) and types (mypy) of every room.

`python scripts/check.py`, or `scripts/check.py --style [FILE...]` for style alone, of some files or of all: the hook of
.pre-commit-config.yaml runs this, in the small environment of scripts/quick.py.

The extension's rooms use relative imports that reach above themselves, so mypy sees them as one package made of
links; the backend and core are checked a second time under the names the backend process imports them by.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import environments

ROOT = environments.ROOT
EXTENSION_PARTS = ("__init__.py", "pantheon360_blender", "operators", "ui", "cli")


def main() -> int:
    python = environments.ready("tools")
    failed = style(python)
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / "pantheon360"
        package.mkdir()
        for part in EXTENSION_PARTS:
            (package / part).symlink_to(ROOT / part)
        mypy = [str(python), "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
        cache = ["--cache-dir", str(ROOT / ".mypy_cache")]
        if not passes("mypy, extension", [*mypy, *cache, "-p", "pantheon360"], Path(scratch)):
            failed.append("mypy, extension")
        backend = [*mypy, *cache, "-p", "backend", "-p", "pantheon360_blender.core"]
        if not passes("mypy, backend", backend, ROOT):
            failed.append("mypy, backend")
        scripts = [*mypy, *cache, *map(str, sorted((ROOT / "scripts").glob("*.py")))]
        if not passes("mypy, scripts", scripts, ROOT, MYPYPATH=str(ROOT / "scripts")):
            failed.append("mypy, scripts")
    return _end(failed, "style and types are fine")


def style(python: Path, files: list[str] | None = None) -> list[str]:
    """Run ruff's two checks with this interpreter on the files (None: all) and return the names of those that fail."""
    checked = ["--force-exclude", *files] if files else ["."]
    commands = {"ruff check": ["check", *checked], "ruff format": ["format", "--check", *checked]}
    return [name for name, command in commands.items() if not passes(name, [str(python), "-m", "ruff", *command], ROOT)]


def passes(name: str, command: list[str], folder: Path, **extra: str) -> bool:
    """Run a command in a folder, with some more environment variables, and say whether it ended with 0."""
    print(f"[check] {name}", flush=True)
    return subprocess.run(command, cwd=folder, env={**os.environ, **extra}).returncode == 0


def _end(failed: list[str], praise: str) -> int:
    print("[check] " + (f"failed: {', '.join(failed)}" if failed else praise))
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--style"]:
        sys.exit(_end(style(environments.ready("quick"), sys.argv[2:]), "style is fine"))
    sys.exit(main())
