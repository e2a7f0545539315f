"""Fixtures shared by all rooms: the repository enabled as an extension inside this Python's Blender."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import backend  # noqa: E402, F401

# A busy machine must not fail a property by being slow.
settings.register_profile("untimed", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=8)  # of scripts/quick.py
settings.load_profile("untimed")

# Set before bpy is first imported: preferences of the person who runs the tests are neither read nor written.
_RESOURCES = tempfile.mkdtemp(prefix="pantheon360-tests-")
os.environ["BLENDER_USER_RESOURCES"] = _RESOURCES

# A fault of ours is a failure of a test, not an error that it may expect.
os.environ["PANTHEON360_UNEXPECTED"] = "raise"
os.environ["XDG_DATA_HOME"] = str(Path(_RESOURCES) / "data")


def pytest_unconfigure() -> None:
    shutil.rmtree(_RESOURCES, ignore_errors=True)


@contextmanager
def _nothing_deprecated() -> Iterator[None]:
    """Fail if code of this repository does what Python or Blender says will go, on whichever version.

    An "error" filter would not do: Blender 5.2 leaves the exception of a deprecated property pending, so that
    whatever Python does next fails with a SystemError, or not at all.
    """
    found: list[str] = []
    with warnings.catch_warnings():
        show = warnings.showwarning

        def note(message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: Any) -> None:
            if issubclass(category, DeprecationWarning) and _is_ours(Path(filename)):
                found.append(f"{filename}:{lineno}: {message}")
            else:
                show(message, category, filename, lineno, *rest)

        warnings.showwarning = note
        yield
    if found:
        pytest.fail("Deprecated:\n" + "\n".join(found), pytrace=False)


def _is_ours(path: Path) -> bool:
    """The extension is loaded through a link, so that the file counts, not the module's name."""
    resolved = path.resolve()
    return resolved.is_relative_to(ROOT) and ".environments" not in resolved.parts


@pytest.fixture(autouse=True)
def _no_shipped_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests say themselves which models there are; that of the extension is tested in tests/diffusion."""
    for name in [name for name in sys.modules if name.split(".")[-1] == "pantheon360_blender"]:
        places = importlib.import_module(f"{name}.core.jobs.model_places")
        monkeypatch.setattr(places, "_SHIPPED_IN", Path(_RESOURCES) / "none")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    with _nothing_deprecated():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    with _nothing_deprecated():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, object, object]:
    with _nothing_deprecated():
        return (yield)


@pytest.fixture(scope="session")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The repository as the enabled extension `bl_ext.dev.pantheon360`."""
    pytest.importorskip("bpy", reason="needs Blender as a Python module")
    import bpy  # isort: skip  (addon_utils is on the path only once bpy is imported)
    import addon_utils

    repository = tmp_path_factory.mktemp("repository")
    (repository / "pantheon360").symlink_to(ROOT, target_is_directory=True)
    bpy.context.preferences.extensions.repos.new(name="Dev", module="dev", custom_directory=str(repository))
    name = "bl_ext.dev.pantheon360"
    if addon_utils.enable(name, default_set=True) is None:
        pytest.fail(f"{name} cannot be enabled; its traceback is above")
    yield sys.modules[name]
    addon_utils.disable(name, default_set=True)


@pytest.fixture
def house(extension: ModuleType) -> Callable[[str], ModuleType]:
    """Import a room of the enabled extension: house("scene.captures.capture_objects"), house("operators.generate")."""

    def room(name: str) -> ModuleType:
        inside = name if name.startswith(("operators", "ui", "cli")) else f"pantheon360_blender.{name}"
        return importlib.import_module(f"{extension.__name__}.{inside}")

    return room


@pytest.fixture
def blend(extension: ModuleType) -> Any:
    """An empty factory file with the extension enabled; returns its scene."""
    import bpy

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    return bpy.context.scene
