"""Scripts reach the house by names in texts, which no type checker follows: each must lead to something."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from tests.layers import ROOT

SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
MODULE = re.compile(r"\.?(?:pantheon360_blender|backend|core|scene|operators|ui|cli)(?:\.[a-z_0-9]+)+")


def file_of(module: str) -> Path | None:
    """The file of a module as a script names it: whole, or from the extension's package or its core and scene on."""
    name = module.lstrip(".")
    for stem in (ROOT / name.replace(".", "/"), ROOT / "pantheon360_blender" / name.replace(".", "/")):
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path.is_file():
                return path
    return None


def named(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, attribute or empty) of each text that is a module's name, in plain texts and at the end of f-strings."""
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Attribute) else node
        arguments = value.args if isinstance(value, ast.Call) else [value]
        texts = [each.value for each in arguments if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if isinstance(value, ast.JoinedStr) and isinstance(value.values[-1], ast.Constant):
            texts.append(str(value.values[-1].value))
        for text in texts:
            if MODULE.fullmatch(text):
                yield text, node.attr if isinstance(node, ast.Attribute) else ""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_script_names_is_there(script: Path) -> None:
    for module, attribute in set(named(ast.parse(script.read_text(encoding="utf-8")))):
        path = file_of(module)
        assert path is not None, f"{script.name} names {module}"
        if attribute:
            text = path.read_text(encoding="utf-8")
            found = re.search(rf"^(?:(?:def|class) )?{attribute}\b|\bimport .*\b{attribute}\b", text, re.MULTILINE)
            assert found, f"{script.name} asks {module} for {attribute}"


def test_a_name_that_leads_nowhere_is_found() -> None:
    code = 'house("backend.device").choose; importlib.import_module(f"{a}.scene.nowhere"); room("core.files")'
    assert set(named(ast.parse(code))) >= {("backend.device", "choose"), (".scene.nowhere", ""), ("core.files", "")}
    assert file_of(".scene.nowhere") is None and file_of("core.files") is not None


def test_any_blender_that_is_there_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packaging installs no other Blender than one that is there already, whichever that is."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    environments = importlib.import_module("environments")
    ours = Environments(environments, tmp_path)
    monkeypatch.setattr(environments, "made", ours.made)
    monkeypatch.setattr(environments, "ready", ours.ready)
    ours.there = {"blender-5.2"}
    assert environments.first_available(environments.BLENDERS).name == "blender-5.2"
    ours.there = set()
    assert environments.first_available(environments.BLENDERS).name == "blender-5.0", "4.5 cannot be made here"
    ours.possible = set()
    with pytest.raises(environments.EnvironmentUnavailable, match=r"blender-4.5[\s\S]*blender-5.3"):
        environments.first_available(environments.BLENDERS)


def test_environments_that_are_shared_by_a_link_are_not_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another checkout works with them."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    environments = importlib.import_module("environments")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs" / ".environments"
    for folder in (ours, theirs / "quick"):
        folder.mkdir(parents=True)
    (theirs / "quick" / "requirements.sha256").write_text("others")
    try:
        (ours / ".environments").symlink_to(theirs)
    except OSError as error:
        pytest.skip(f"links cannot be made here: {error}")
    monkeypatch.setattr(environments, "ROOT", ours)
    monkeypatch.setattr(environments, "ENVIRONMENTS", ours / ".environments")
    run: list[object] = []
    monkeypatch.setattr(environments, "_run", lambda *command: run.append(command))
    with pytest.raises(environments.EnvironmentUnavailable, match="behind a link"):
        environments.ready("quick")
    assert not run and (theirs / "quick" / "requirements.sha256").read_text() == "others"
    (ours / ".environments").unlink()
    (ours / ".environments").mkdir()
    (ours / ".environments" / "quick").symlink_to(theirs / "quick")
    with pytest.raises(environments.EnvironmentUnavailable, match="behind a link"):
        environments.ready("quick")
    assert not run and (theirs / "quick" / "requirements.sha256").read_text() == "others"


def test_two_threads_that_want_an_environment_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of the tests are run beside each other, some of them in the same one."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    environments = importlib.import_module("environments")
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path / ".environments")
    monkeypatch.setattr(environments, "find_python", lambda version: Path(sys.executable))
    run: list[list[str]] = []

    def running(command: list[str], name: str) -> None:
        run.append(command)
        interpreter = environments.ALL[name].interpreter
        interpreter.parent.mkdir(parents=True, exist_ok=True)
        interpreter.touch()

    monkeypatch.setattr(environments, "_run", running)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(environments.ready, ["quick", "tools"] * 4))
    assert len(set(made)) == 2 and sum("venv" in command for command in run) == 2


class Environments:
    """A machine on which some environments are there and others can be made."""

    def __init__(self, module: ModuleType, folder: Path) -> None:
        self.module, self.folder = module, folder
        self.there: set[str] = set()
        self.possible = {"blender-5.0", "blender-5.3"}

    def made(self, name: str) -> bool:
        return name in self.there

    def ready(self, name: str) -> Path:
        if name not in self.there | self.possible:
            raise self.module.EnvironmentUnavailable(f"{name} cannot be made")
        return self.folder / name
