"""Files that are run when something of them is first used: enabling the extension waits for none that it does not need.

A room says `run_when_used(__name__)`. Then `from ..sources import reconstruct` costs nothing, and the first
`reconstruct.prepare` runs the file; `from .reconstruct import prepare` runs it there and then. This is the recipe for
lazy imports in the documentation of importlib, for a folder. `importlib.util.LazyLoader` itself is not used: in Python
3.11 a second thread sees a file that is half run. Python 3.15 will write `lazy from ..sources import reconstruct`.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

_KNOWN = frozenset({"__class__", "__dict__", "__file__", "__name__", "__spec__"})
"""What is asked of every module there is, and no reason to run a file: Blender reads each `__dict__` when it quits."""

_locks: dict[str, threading.RLock] = {}
"""One for each file: files do not import one another in circles, so that none waits for a file that waits for it."""

_running: set[str] = set()


class UnreadFile(ModuleType):
    """A module whose file was not run yet. It is an ordinary module from then on."""

    def __getattribute__(self, name: str) -> Any:
        if name not in _KNOWN:
            _run(self)
        return ModuleType.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _run(self)
        ModuleType.__setattr__(self, name, value)


def run_when_used(room: str) -> None:
    """Have the files of a room, not those of rooms in it, run when something of them is first used.

    room: the name of the package, which is being imported.
    """
    package = sys.modules[room]
    for path in Path(package.__path__[0]).glob("*.py"):
        name = f"{room}.{path.stem}"
        if path.stem != "__init__" and name not in sys.modules:
            sys.modules[name] = _unread(name, path)
            setattr(package, path.stem, sys.modules[name])


def _unread(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # it is None of unknown suffixes only
    module = importlib.util.module_from_spec(spec)
    module.__class__ = UnreadFile
    _locks[name] = threading.RLock()
    return module


def _run(module: ModuleType) -> None:
    """Run a module's file, unless that is done. Another thread waits until it is; this one may be in the midst of it.

    Raises what the file raises. As with any import that failed, the next use tries again.
    """
    name, spec = module.__name__, module.__spec__
    with _locks[name]:
        if type(module) is not UnreadFile or name in _running:
            return
        assert spec is not None and spec.loader is not None  # `_unread` gave it both
        _running.add(name)
        try:
            spec.loader.exec_module(module)
            ModuleType.__setattr__(module, "__class__", ModuleType)
        finally:
            _running.discard(name)
