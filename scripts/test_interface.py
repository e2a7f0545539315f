"""The real application, used as a newcomer does: the zip is installed, then a mouse and a keyboard do the rest.

`python scripts/test_interface.py [SCENARIO...]` runs tests/application/SCENARIO.py, first_hour without one, and writes
pictures and a result to out/interface/SCENARIO/. Where no Blender with a window can be had, it says why and ends well;
with REQUIRE_APPLICATION set, that fails.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import application
import environments
import package
import photographs

ROOT = environments.ROOT
OUT = ROOT / "out" / "interface"
SCENARIOS = ROOT / "tests" / "application"
MOST_ACTIONS = 6
"""From an empty Blender to a playing strip."""

_WIDTH = 1440  # pixels of the photographs, so that a run takes minutes
_LONGEST = 1500  # seconds of a scenario

_SHRINK = """
import sys
from pathlib import Path
from PIL import Image
target, width, *sources = Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
for source in map(Path, sources):
    picture = Image.open(source)
    small = picture.resize((width, width // 2), Image.Resampling.LANCZOS)
    small.save(target / source.name, quality=92, exif=picture.getexif())
"""

_DOWNLOAD = """
import sys
from pathlib import Path
from pantheon360_blender.core.engine import install, preflight
folder, python = map(Path, sys.argv[1:])
for _ in install.download(folder, preflight.check(folder, ["reconstruction", "importers"], python)):
    pass
"""


def main(chosen: list[str]) -> int:
    try:
        root = application.ready()
        taken = photographs.fetch()[:2]
    except (environments.EnvironmentUnavailable, photographs.PhotographsUnavailable) as reason:
        print(f"[interface] skipped: {reason}")
        return 1 if os.environ.get("REQUIRE_APPLICATION") else 0
    failed = [name for name in chosen or ["first_hour"] if not _run(name, root, taken)]
    return 1 if failed else 0


def _run(scenario: str, root: Path, taken: list[Path]) -> bool:
    folder = OUT / scenario
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="pantheon360-") as scratch:
        home = Path(scratch) / "home"
        home.mkdir()
        _shrink(taken, home)
        zip_path = package.build(Path(scratch))
        python = environments.find_python("3.11").resolve()
        binds = {
            folder: "/result",
            SCENARIOS: "/scenarios",
            home: "/home/artist",
            zip_path.parent: "/download",
            _wheels(python): "/wheels",
            python.parent.parent: str(python.parent.parent),
        }
        told = {
            "HOME": "/home/artist",
            "XDG_DATA_HOME": "/home/artist/.local/share",
            "BLENDER_USER_RESOURCES": "/home/artist/.blender",
            "WHEELS": "/wheels",
            "ENGINE_PYTHON": str(python),
        }
        install = ["blender", "--command", "extension", "install-file", "-r", "user_default", "--enable"]
        application.run(root, [*install, f"/download/{zip_path.name}"], binds, told, timeout=120)
        width, height = application.SCREEN
        command = ["blender", "--window-geometry", "0", "0", str(width), str(height), "--gpu-backend", "opengl"]
        command += ["--enable-event-simulate", "--python", "/scenarios/driver.py", "--"]
        command += [f"/scenarios/{scenario}.py", "/result"]
        code = application.run(root, command, binds, told, timeout=_LONGEST)
    return _judged(folder, code)


def _judged(folder: Path, code: int) -> bool:
    """Say how a scenario went, and whether well."""
    path = folder / "result.json"
    if not path.exists():
        print(f"[interface] {folder.name}: Blender ended with code {code} before its end; pictures are in {folder}")
        return False
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for name, value in told.items():
        if name not in ("error", "scenario"):
            print(f"[interface] {name}: {value}")
    if told["error"]:
        print(told["error"])
    many = len(told.get("actions", [])) > MOST_ACTIONS
    if many:
        print(f"[interface] {len(told['actions'])} actions are more than {MOST_ACTIONS}")
    well = not told["error"] and not many
    print(f"[interface] {folder.name} {'went well' if well else 'FAILED'} in {told['seconds']} s; see {folder}")
    return well


def _shrink(taken: list[Path], target: Path) -> None:
    python = environments.ready("quick")
    subprocess.run([str(python), "-c", _SHRINK, str(target), str(_WIDTH), *map(str, taken)], check=True)


def _wheels(python: Path) -> Path:
    """Every package that the engine's dialog has ticked, as `engine download` fetches them; once."""
    folder = ROOT / ".cache" / "wheels"
    done = folder / "complete"
    wanted = (ROOT / "backend" / "engine_lock.json").read_text()
    if not done.exists() or done.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print("[interface] downloading the engine's packages")
        subprocess.run([sys.executable, "-c", _DOWNLOAD, str(folder), str(python)], cwd=ROOT, check=True)
        done.write_text(wanted)
    return folder


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
