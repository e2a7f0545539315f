"""Plug-ins: what both processes know of a painter or reconstructor without running its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pantheon360_blender.core import plugins
from pantheon360_blender.core.errors import BackendError
from pantheon360_blender.core.plugins import Requirement, Weights


def written(folder: Path, name: str, text: str) -> Path:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def test_a_file_is_known_without_being_run(tmp_path: Path) -> None:
    text = (
        'import a_package_that_nobody_has\nPLUGIN = {"title": "Negative", "summary": "Ünïcode 空",'
        ' "models": [("a/b", "MIT", True, 0.5, 2.0)],'
        ' "needs": [("a", "b==1", "all of it")]}\nraise SystemExit("it was run")\n'
    )
    (found,) = plugins.find([written(tmp_path, "negative", text)]).values()
    assert (found.name, found.title, found.summary) == ("negative", "Negative", "Ünïcode 空")
    assert found.needs == (Requirement("a", "b==1", "all of it"),) and found.models == (
        Weights("a/b", "MIT", True, 0.5, 2.0),
    )


def test_files_that_are_none_are_left_out(tmp_path: Path) -> None:
    written(tmp_path, "_helper", 'PLUGIN = {"title": "Hidden", "summary": "Not offered"}')
    written(tmp_path, "helper", "def paint(folder):\n    PLUGIN = 3\n")
    assert plugins.find([tmp_path, tmp_path / "nowhere"]) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("PLUGIN = {'title': str(3), 'summary': 'b'}", "cannot be read"),
        ("PLUGIN = {'title': 'a'}", "does not say what it is"),
        ("PLUGIN = ['title', 'summary']", "does not say what it is"),
        ("PLUGIN = {'title': 'a', 'summary': 'b', 'licence': 'c'}", "does not say what it is"),
        ("PLUGIN = {'title': 'a', 'summary': 'b', 'needs': [('torch',)]}", "names its packages wrongly"),
        ("PLUGIN = {'title': 'a', 'summary': 'b', 'needs': 3}", "names its packages wrongly"),
        ("PLUGIN = {'title': 'a', 'summary': 'b', 'models': [('a/b', 'MIT')]}", "names its weights wrongly"),
        ("PLUGIN = {", "cannot be read"),
        ("PLUGIN = " + "[" * 5000 + "]" * 5000, "cannot be read"),
    ],
)
def test_one_that_is_wrong_is_told_and_hides_no_other(tmp_path: Path, text: str, told: str) -> None:
    written(tmp_path, "broken", text)
    written(tmp_path, "sound", "PLUGIN = {'title': 'a', 'summary': 'b'}")
    with pytest.raises(BackendError, match=told) as caught:
        plugins.find([tmp_path])
    assert "broken.py" in caught.value.text and caught.value.advice
    errors: list[Any] = []
    assert list(plugins.find([tmp_path], errors.append)) == ["sound"]
    assert [str(error) for error in errors] == [str(caught.value)]


@pytest.mark.parametrize("folders", [plugins.PAINTERS, plugins.RECONSTRUCTORS], ids=["painters", "reconstructors"])
def test_those_of_the_backend_can_be_told_apart(folders: list[Path]) -> None:
    found = plugins.find(folders)
    files = {path.stem for folder in folders for path in folder.glob("[!_]*.py")}
    assert found.keys() == files and len(found) >= 2
    assert len({plugin.number for plugin in found.values()}) == len(found)
    assert all(0 <= plugin.number < 2**31 for plugin in found.values()), "what a .blend can store"
    assert not any(plugin.summary.endswith(".") for plugin in found.values()), "they are tooltips"
