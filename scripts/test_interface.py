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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import application
import environments
import package
import photographs

ROOT = environments.ROOT
OUT = ROOT / "out" / "interface"
SCENARIOS = ROOT / "tests" / "application"
WHEELS = ROOT / ".cache" / "application-wheels"
CERTIFICATES = Path("/etc/ssl")
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


def main(chosen: list[str]) -> int:
    try:
        root = application.ready()
        taken = photographs.fetch()[:2]
    except (environments.EnvironmentUnavailable, photographs.PhotographsUnavailable) as reason:
        print(f"[interface] skipped: {reason}")
        return 1 if os.environ.get("REQUIRE_APPLICATION") else 0
    failed = [name for name in chosen or ["first_hour"] if not run(name, root, taken)]
    return 1 if failed else 0


def run(scenario: str, root: Path, taken: list[Path]) -> bool:
    """Run a scenario in the application with the extension installed; whether it went well.

    taken: photographs for the artist's home folder. Scenarios that begin with "live" need no engine.
    """
    folder = OUT / scenario
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="pantheon360-") as scratch:
        home, download = Path(scratch) / "home", Path(scratch) / "download"
        home.mkdir()
        if taken:
            _shrink(taken, home)
        zip_path = package.build(download)
        binds = {folder: "/result", SCENARIOS: "/scenarios", home: "/home/artist", download: "/download"}
        binds |= {WHEELS: "/wheels", CERTIFICATES: str(CERTIFICATES)}
        WHEELS.mkdir(parents=True, exist_ok=True)
        told = {
            "HOME": "/home/artist",
            "XDG_DATA_HOME": "/home/artist/.local/share",
            "BLENDER_USER_RESOURCES": "/home/artist/.blender",
            "WHEELS": "/wheels",
        }

        def blender(*arguments: str, timeout: float) -> int:
            return application.run(root, ["blender", *arguments], binds, told, timeout=timeout)

        install = ("--command", "extension", "install-file", "-r", "user_default", "--enable")
        blender(*install, f"/download/{zip_path.name}", timeout=120)
        if not scenario.startswith("live") and not _get_wheels(blender):
            return False
        width, height = application.SCREEN
        shown = ("--window-geometry", "0", "0", str(width), str(height), "--gpu-backend", "opengl")
        driver = ("--enable-event-simulate", "--python", "/scenarios/driver.py", "--")
        code = blender(*shown, *driver, f"/scenarios/{scenario}.py", "/result", timeout=_LONGEST)
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


def _get_wheels(blender: Callable[..., int]) -> bool:
    """Have the extension fetch the packages that its dialog has ticked, into the folder that stands for a disk that is
    carried to a computer without a network; once.
    """
    done, wanted = WHEELS / "complete", (ROOT / "backend" / "engine_lock.json").read_text()
    if done.exists() and done.read_text() == wanted:
        return True
    for old in WHEELS.iterdir():
        old.unlink()
    verb = ("--online-mode", "--command", "pantheon360", "engine", "download", "/wheels")
    if blender(*verb, "--parts", "reconstruction,importers", timeout=900) != 0:
        print("[interface] the engine's packages cannot be downloaded")
        return False
    done.write_text(wanted)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
