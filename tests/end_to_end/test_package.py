"""The built zip in a clean Blender: installs, enables, disables, enables again, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("bpy", reason="needs Blender as a Python module")

INSTALL_AND_TOGGLE = """
import gc, json, sys, threading
from pathlib import Path
import bpy, addon_utils

PACKAGE = "bl_ext.user_default.pantheon360"

def traces():
    '''Everything an extension can leave in Blender, as names.'''
    found = set()
    for name in dir(bpy.types):
        if "PANTHEON360" in name.upper():
            found.add("class " + name)
    for name in dir(bpy.ops):
        if name == "pantheon360":
            found.update("operator " + verb for verb in dir(bpy.ops.pantheon360))
    for owner in (bpy.types.Scene, bpy.types.Object, bpy.types.WindowManager, bpy.types.Image):
        if hasattr(owner, "pantheon360"):
            found.add("property on " + owner.__name__)
    for name in dir(bpy.app.handlers):
        handlers = getattr(bpy.app.handlers, name)
        if isinstance(handlers, list):
            owners = [getattr(handler, "__module__", "") for handler in handlers]
            found.update("handler " + name for owner in owners if "pantheon360" in owner)
    found.update("thread " + thread.name for thread in threading.enumerate() if "pantheon" in thread.name.lower())
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    if children.exists():
        for pid in children.read_text().split():
            found.add("process " + Path(f"/proc/{pid}/cmdline").read_text().replace(chr(0), " "))
    for menu in (bpy.types.TOPBAR_MT_file_import, bpy.types.VIEW3D_MT_add):
        draws = getattr(menu.draw, "_draw_funcs", [])
        found.update("menu entry" for draw in draws if "pantheon360" in draw.__module__)
    for engine in bpy.types.RenderEngine.__subclasses__():
        if getattr(engine, "bl_idname", "") == "PANTHEON360" and engine.is_registered:
            found.add("render engine")
    for panel in bpy.types.Panel.__subclasses__():
        if "PANTHEON360" in getattr(panel, "COMPAT_ENGINES", ()):
            found.add("compatible panel " + panel.__name__)
    return sorted(found)

threads = threading.active_count()
clean = traces()
addon_utils.enable("bl_pkg")
bpy.ops.extensions.package_install_files(repo="user_default", filepath=sys.argv[1], enable_on_install=True)
enabled = traces()
folder = Path(sys.modules[PACKAGE].__file__).parent
files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
bpy.ops.pantheon360.make_proxy.poll()
addon_utils.disable(PACKAGE, default_set=True)
disabled = traces()
addon_utils.enable(PACKAGE, default_set=True)
again = traces()
addon_utils.disable(PACKAGE, default_set=True)
gc.collect()
print("REPORT " + json.dumps({
    "clean": clean, "enabled": enabled, "disabled": disabled, "again": again, "after": traces(),
    "threads": threading.active_count() - threads, "files": files,
}))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip, built by Blender's own tool from this tree."""
    import bpy

    folder = tmp_path_factory.mktemp("package")
    (tool,) = Path(bpy.utils.system_resource("SCRIPTS")).glob("addons_core/bl_pkg/cli/blender_ext.py")
    build = [sys.executable, str(tool), "build", "--source-dir", str(ROOT), "--output-dir", str(folder)]
    subprocess.run(build, check=True, capture_output=True)
    (zip_path,) = folder.glob("*.zip")
    subprocess.run([sys.executable, str(tool), "validate", str(zip_path)], check=True, capture_output=True)
    return zip_path


@pytest.fixture(scope="module")
def report(package: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a Blender of its own saw while the zip was installed, enabled, disabled and enabled again."""
    resources = tmp_path_factory.mktemp("resources")
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(resources)}
    command = [sys.executable, "-c", INSTALL_AND_TOGGLE, str(package)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    lines = [line for line in done.stdout.splitlines() if line.startswith("REPORT ")]
    assert done.returncode == 0 and lines, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    result: dict[str, Any] = json.loads(lines[0].removeprefix("REPORT "))
    return result


def test_the_zip_holds_the_extension_and_nothing_else(package: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    rooms = {name.split("/")[0] for name in names if "/" in name}
    assert rooms == {"operators", "ui", "cli", "backend", "pantheon360_blender"}
    assert {name for name in names if "/" not in name} == {
        "__init__.py",
        "blender_manifest.toml",
        "LICENSE",
        "README.md",
    }
    assert not [name for name in names if name.endswith((".pyc", ".zip", ".png", ".jpg"))]


def test_enabling_gives_operators_panels_engine_and_properties(report: dict[str, Any]) -> None:
    assert report["clean"] == []
    for expected in ("operator generate", "operator import_captures", "render engine", "property on Scene"):
        assert expected in report["enabled"]


def test_disabling_leaves_nothing_behind(report: dict[str, Any]) -> None:
    assert report["disabled"] == []
    assert report["after"] == []
    assert report["threads"] == 0


def test_enabling_twice_gives_the_same(report: dict[str, Any]) -> None:
    assert report["again"] == report["enabled"]


def test_nothing_is_written_into_the_extensions_own_folder(package: Path, report: dict[str, Any]) -> None:
    with zipfile.ZipFile(package) as archive:
        installed = sorted(name for name in archive.namelist() if not name.endswith("/"))
    assert [name for name in report["files"] if not name.startswith(".")] == installed
