"""The engine in Blender: which Python the backend has, what the buttons and verbs say, and who is sent to them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests import stand_in_engine


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of engines of this test's own; no other Python is named."""
    place = tmp_path / "engines"
    monkeypatch.setenv("PANTHEON360_ENGINE", str(place))
    monkeypatch.delenv("PANTHEON360_BACKEND_PYTHON", raising=False)
    return place


def pretend(house: Any, root: Path, *parts: str) -> Any:
    """An engine that is there by its record and its interpreter's name."""
    installed = house("core.engine.installed")
    engine = installed.Engine("0123456789ab", list(parts), "cpu", "3.11.7", "2026-01-01T00:00:00+00:00")
    interpreter = engine.interpreter(root)
    interpreter.parent.mkdir(parents=True)
    interpreter.write_text("")
    installed.use(root, engine)
    return engine


def test_the_backend_runs_with_the_engine_unless_another_python_is_named(
    house: Any, blend: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preferences = house("scene.app.preferences")
    assert preferences.backend_python() is None
    engine = pretend(house, root, "reconstruction")
    assert preferences.backend_python() == engine.interpreter(root)
    monkeypatch.setenv("PANTHEON360_BACKEND_PYTHON", "/opt/python")
    assert preferences.backend_python() == Path("/opt/python")


def test_an_engine_keeps_the_parts_it_has(house: Any, blend: Any, root: Path) -> None:
    engine = house("scene.app.engine")
    assert engine.with_parts_there(["importers"]) == ["importers"]
    pretend(house, root, "reconstruction")
    assert engine.with_parts_there(["diffusion"]) == ["reconstruction", "diffusion"]


def test_blenders_own_leave_for_the_network_is_obeyed(house: Any, blend: Any, root: Path) -> None:
    """A Python module of Blender is offline until somebody says otherwise."""
    import bpy

    if bpy.app.online_access:
        pytest.skip("this Blender may use the network")
    with pytest.raises(RuntimeError, match=r"may not use the network.*engine download"):
        bpy.ops.pantheon360.install_engine()
    assert not root.exists()


def test_status_and_removal_from_the_command_line(house: Any, blend: Any, root: Path, capfd: Any) -> None:
    main = house("cli.command_line").main
    assert main(["engine", "status", "--json"]) == 0
    told = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert told["parts"] == [] and told["to_add"] == ["reconstruction", "importers", "diffusion", "learned"]
    assert told["download_megabytes"] > 100
    pretend(house, root, "reconstruction", "importers")
    assert main(["engine", "status", "--json"]) == 0
    told = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert told["parts"] == ["reconstruction", "importers"] and told["to_add"] == ["diffusion", "learned"]
    assert main(["engine", "install", "--parts", "reconstruction,antigravity"]) == 2
    assert "antigravity" in capfd.readouterr().err
    assert main(["engine", "install", "--wheels", str(root / "nowhere")]) == 1
    assert "no folder of packages" in capfd.readouterr().err
    assert main(["engine", "remove", "--json"]) == 0
    assert not root.exists() and house("scene.app.preferences").backend_python() is None


def test_the_button_installs_from_a_folder_without_a_network(
    house: Any, blend: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bpy

    try:
        folder = stand_in_engine.make_folder(tmp_path / "packages")
    except stand_in_engine.Unavailable as reason:
        pytest.skip(str(reason))
    parts = house("core.engine.parts")
    monkeypatch.setattr(parts, "LOCK", stand_in_engine.write_lock(tmp_path / "lock.json"))
    monkeypatch.setattr(parts, "PARTS", stand_in_engine.small_parts())
    assert bpy.ops.pantheon360.install_engine(importers=False, wheels=str(folder)) == {"FINISHED"}
    assert bpy.ops.pantheon360.install_engine(reconstruction=False, wheels=str(folder)) == {"FINISHED"}
    engine = house("core.engine.installed").current(root)
    assert engine is not None and engine.parts == ["reconstruction", "importers"]
    assert house("scene.app.preferences").backend_python() == engine.interpreter(root)


@pytest.mark.skipif(os.name == "nt", reason="the Python is a shell script")
def test_what_the_test_of_an_engine_says(
    house: Any, blend: Any, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    main, python = house("cli.command_line").main, tmp_path / "python"
    monkeypatch.setenv("PANTHEON360_BACKEND_PYTHON", str(python))
    python.write_text('#!/bin/sh\necho "a warning" >&2\necho \'{"importers": "they load"}\'\necho "another" >&2\n')
    python.chmod(0o755)
    assert main(["engine", "test", "--json"]) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["importers"] == "they load"
    python.write_text('#!/bin/sh\necho "Only 3 points of a room were found." >&2\nexit 1\n')
    assert main(["engine", "test"]) == 1
    told = capfd.readouterr().err
    assert "Only 3 points of a room were found" in told and "Install what it lacks, or the engine." in told


def test_removing_is_offered_only_if_there_is_one(house: Any, blend: Any, root: Path) -> None:
    import bpy

    assert not bpy.ops.pantheon360.remove_engine.poll() and not bpy.ops.pantheon360.test_engine.poll()
    pretend(house, root, "reconstruction")
    assert bpy.ops.pantheon360.test_engine.poll()
    assert bpy.ops.pantheon360.remove_engine() == {"FINISHED"} and not root.exists()


def test_a_part_that_the_engine_lacks_is_asked_for_with_its_button(house: Any, shot_scene: Any, root: Path) -> None:
    reason = house("scene.shot.painters").disabled_reason
    shot_scene.pantheon360.painter = "DIFFUSION"
    shot_scene.pantheon360.diffusion.model = "tiny"
    found = reason(shot_scene)
    assert "Diffusion" in found.text and found.repair == house("core.repairs").INSTALL_ENGINE
    assert house("core.repairs").INSTALL_ENGINE in house("core.repairs").ALL
    assert house("cli.console").VERBS[found.repair] == "engine install"
