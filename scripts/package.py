"""Build the extension's zip with Blender's own tool and have Blender's own validator check it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import environments

ROOT = environments.ROOT
ROOMS = {"operators", "ui", "cli", "backend", "pantheon360_blender"}
FILES = {"__init__.py", "blender_manifest.toml", "LICENSE", "README.md"}


def main() -> int:
    zip_path = build(ROOT / "out")
    print(f"[package] {zip_path.relative_to(ROOT)}  {zip_path.stat().st_size / 1024:.0f} KiB")
    return 0


def build(folder: Path) -> Path:
    """Build `pantheon360-VERSION.zip` in `folder` and validate it; SystemExit with the reason where either fails."""
    python = environments.needed("package", *environments.BLENDERS)
    tool = extension_tool(python)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("pantheon360-*.zip"):
        old.unlink()
    _run([str(python), str(tool), "build", "--source-dir", str(ROOT), "--output-dir", str(folder)])
    (zip_path,) = folder.glob("pantheon360-*.zip")
    _run([str(python), str(tool), "validate", str(zip_path)])
    strangers = unexpected_members(zip_path)
    if strangers:
        sys.exit(f"[package] the zip holds what the extension does not need: {', '.join(strangers)}")
    return zip_path


def extension_tool(python: Path) -> Path:
    """Blender's command-line tool for extensions, which lies inside the bpy package as a plain script."""
    code = "import importlib.util; print(importlib.util.find_spec('bpy').submodule_search_locations[0])"
    answer = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    (tool,) = Path(answer.stdout.strip()).glob("**/bl_pkg/cli/blender_ext.py")
    return tool


def unexpected_members(zip_path: Path) -> list[str]:
    """Members of the zip that are neither one of the extension's rooms nor one of its own files."""
    with zipfile.ZipFile(zip_path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    return [name for name in names if name not in FILES and not _is_code(name)]


def _is_code(name: str) -> bool:
    kinds: tuple[str, ...] = (".py", ".json", ".toml")
    if name.startswith("backend/models/"):
        kinds += (".safetensors", ".md")
    return name.split("/")[0] in ROOMS and name.endswith(kinds)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"[package] {' '.join(command)} failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
