"""Plug-ins of the backend: one file each, which says what both processes need to know of it.

A painter is a file in backend/painters, a reconstructor one in backend/reconstruction/reconstructors. It assigns a
dictionary of literals to PLUGIN, with Plugin's fields but the name, which is that of the file:

    PLUGIN = {"title": "Negative", "summary": "Shows what is covered in the opposite colors", "needs": ()}

The dictionary is read from the file's text and no file is run, so that Blender's menus, the command line's help and
`doctor` know of every plug-in, whatever packages it needs to work.
"""

from __future__ import annotations

import ast
import functools
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .errors import BackendError
from .version import EXTENSION_ROOT

PAINTERS = [EXTENSION_ROOT / "backend" / "painters"]
"""Folders of painters."""
RECONSTRUCTORS = [EXTENSION_ROOT / "backend" / "reconstruction" / "reconstructors"]
"""Folders of reconstructors."""
VARIABLE = "PLUGIN"


@dataclass(frozen=True)
class Requirement:
    """A package that a plug-in cannot work without.

    module: what it imports. package: what pip is given to install it. purpose: what for.
    """

    module: str
    package: str
    purpose: str


@dataclass(frozen=True)
class Plugin:
    """What a plug-in says of itself.

    name: of its file. title: for people. summary: a sentence without a final period.
    needs: (module, package, purpose) of each package beyond numpy.
    number: what a .blend stores for it; by default made of the name. It must never change.
    settings: the part of a job's settings that is its own, or empty.
    weights: default weights, an id on the Hugging Face hub. license: theirs. size_gb: of their download.
    homepage: where the model comes from.
    """

    name: str
    title: str
    summary: str
    needs: tuple[Requirement, ...] = ()
    number: int = -1
    settings: str = ""
    weights: str = ""
    license: str = ""
    size_gb: float = 0.0
    homepage: str = ""

    @classmethod
    def from_literal(cls, name: str, entries: Any) -> Plugin:
        """A plug-in from what its file assigns to PLUGIN. Raises BackendError that names the file and the fault."""
        kinds = {field.name: field.type for field in fields(cls) if field.name != "name"}
        if not isinstance(entries, dict) or not {"title", "summary"} <= entries.keys() <= kinds.keys():
            raise BackendError(
                f"The plug-in {name}.py does not say what it is.",
                advice=f"Let it assign a dictionary with title and summary to {VARIABLE}; there may be: "
                f"{', '.join(kinds)}.",
            )
        values = {"number": zlib.crc32(name.encode()) >> 2, **entries}
        try:
            values["needs"] = tuple(Requirement(*need) for need in values.get("needs", ()))
        except TypeError as error:
            raise BackendError(
                f"The plug-in {name}.py names its packages wrongly.",
                advice="Let each of its needs be (module, package, purpose).",
            ) from error
        return cls(name, **values)


def find(folders: Iterable[Path]) -> dict[str, Plugin]:
    """The plug-ins in folders, by name, sorted. Files without a PLUGIN are none. Raises BackendError."""
    paths = sorted(path for folder in folders for path in folder.glob("[!_]*.py"))
    found = {path.stem: _read(path) for path in paths}
    return {name: plugin for name, plugin in found.items() if plugin is not None}


@functools.cache
def _read(path: Path) -> Plugin | None:
    """Read once: the files of an installed extension do not change while a process runs."""
    try:
        module = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
    for statement in module.body:
        if isinstance(statement, ast.Assign) and [_name(target) for target in statement.targets] == [VARIABLE]:
            try:
                return Plugin.from_literal(path.stem, ast.literal_eval(statement.value))
            except ValueError as error:
                raise BackendError(
                    f"What {path.name} assigns to {VARIABLE} is not made of literals.",
                    advice="Write texts and numbers only: the file is not run to read it.",
                ) from error
    return None


def _name(target: ast.expr) -> str:
    return target.id if isinstance(target, ast.Name) else ""
