"""Style (ruff) and types (mypy) of every room.

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
    commands: tuple[tuple[str, list[str], Path, dict[str, str]], ...] = (
        ("ruff check", [str(python), "-m", "ruff", "check", "."], ROOT, {}),
        ("ruff format", [str(python), "-m", "ruff", "format", "--check", "."], ROOT, {}),
    )
    failed = [name for name, command, folder, extra in commands if not _passes(name, command, folder, extra)]
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / "pantheon360"
        package.mkdir()
        for part in EXTENSION_PARTS:
            (package / part).symlink_to(ROOT / part)
        mypy = [str(python), "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
        cache = ["--cache-dir", str(ROOT / ".mypy_cache")]
        if not _passes("mypy, extension", [*mypy, *cache, "-p", "pantheon360"], Path(scratch), {}):
            failed.append("mypy, extension")
        backend = [*mypy, *cache, "-p", "backend", "-p", "pantheon360_blender.core"]
        if not _passes("mypy, backend", backend, ROOT, {}):
            failed.append("mypy, backend")
        scripts = [*mypy, *cache, *map(str, sorted((ROOT / "scripts").glob("*.py")))]
        if not _passes("mypy, scripts", scripts, ROOT, {"MYPYPATH": str(ROOT / "scripts")}):
            failed.append("mypy, scripts")
    print("[check] " + (f"failed: {', '.join(failed)}" if failed else "style and types are fine"))
    return 1 if failed else 0


def _passes(name: str, command: list[str], folder: Path, extra: dict[str, str]) -> bool:
    print(f"[check] {name}", flush=True)
    return subprocess.run(command, cwd=folder, env={**os.environ, **extra}).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
