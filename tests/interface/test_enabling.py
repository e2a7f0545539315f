"""What enabling the extension runs: Blender waits for it at every start, whether the person wants a video or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests import layers

pytest.importorskip("bpy", reason="needs Blender as a Python module")

ROOT = layers.ROOT

MOST_FILES = 128
"""Files of ours that are run, at most. Half of them are buttons and panels, which Blender has to know."""

HEAVY = (
    "cli.command_line",
    "core.engine.install",
    "core.formats",
    "core.importers",
    "core.jobs.job_folder",
    "core.points.thinning",
    "core.render.draft",
    "core.render.splatting",
    "scene.background.delivery",
    "scene.cache.cache_edit",
    "scene.captures.capture_objects",
    "scene.captures.images",
    "scene.second_blender",
    "scene.shot.export",
    "scene.shot.shot",
    "scene.shot.strips",
    "scene.shot.video",
    "scene.sources.import_files",
    "scene.sources.projection",
    "scene.sources.reconstruct",
)
"""Files, or rooms with all their files, that come with the work that they do."""

ROOMS = {"core.formats"}
"""Packages whose own file says nothing but that theirs are late."""

LIBRARIES = ("ast", "asyncio", "ctypes", "multiprocessing", "sqlite3", "ssl", "urllib.request", "xml.parsers.expat")
"""Of the standard library, what takes long and has no place in a start."""

PROGRAM = """
import json, sys
import bpy, addon_utils

NAME = "bl_ext.dev.pantheon360"
bpy.context.preferences.extensions.repos.new(name="Dev", module="dev", custom_directory=sys.argv[1])
before = set(sys.modules)
assert addon_utils.enable(NAME, default_set=True) is not None


def run():
    found = set(sys.modules) - before
    return sorted(each for each in found if type(sys.modules[each]).__name__ != "UnreadFile")


enabled = run()
addon_utils.disable_all()
print(json.dumps({"enabled": enabled, "disabled": run()}))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Modules that a Blender of its own has run when the extension was enabled, and when all was disabled to quit."""
    folder = tmp_path_factory.mktemp("enabling")
    (folder / "repository").mkdir()
    (folder / "repository" / "pantheon360").symlink_to(ROOT, target_is_directory=True)
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(folder), "XDG_DATA_HOME": str(folder)}
    command = [sys.executable, "-B", "-X", "utf8", "-c", PROGRAM, str(folder / "repository")]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return {when: {shortened(each) for each in found[when]} for when in found}


def shortened(module: str) -> str:
    """A module's name as seen from the extension's folder, and from the house's."""
    return module.removeprefix("bl_ext.dev.pantheon360.").removeprefix("pantheon360_blender.")


def within(name: str, modules: set[str]) -> set[str]:
    """Those of the modules that are the file of this name, or lie in the room of this name."""
    return {each for each in modules if each == name or each.startswith(f"{name}.")} - ROOMS


def ours(modules: set[str]) -> set[str]:
    return {each for each in modules if each.split(".")[0] in ("cli", "core", "operators", "scene", "ui")}


def test_enabling_runs_what_blender_has_to_know(loaded: dict[str, set[str]]) -> None:
    assert {"operators.generate", "ui.panel", "scene.properties", "scene.render.render_engine"} <= loaded["enabled"]
    assert len(ours(loaded["enabled"])) <= MOST_FILES


@pytest.mark.parametrize("name", HEAVY)
def test_what_does_the_work_comes_with_the_work(name: str, loaded: dict[str, set[str]]) -> None:
    assert within(name, {shortened(".".join(path.with_suffix("").parts)) for path in layers.files()}), "there is none"
    assert not within(name, loaded["enabled"])


def test_no_heavy_library_comes_with_it(loaded: dict[str, set[str]]) -> None:
    assert not loaded["enabled"] & set(LIBRARIES)


def test_nothing_else_is_run_to_quit(loaded: dict[str, set[str]]) -> None:
    """Blender disables all add-ons; whoever then looks at each module must not have its file run."""
    assert not {each for name in HEAVY for each in within(name, loaded["disabled"])}
