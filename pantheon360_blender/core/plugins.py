"""Plug-ins of the backend: one file each, which says what both processes need to know of it.

A painter is a file in backend/painters, a reconstructor one in backend/reconstruction/reconstructors. It assigns a
dictionary of literals to PLUGIN, with Plugin's fields but the name, which is that of the file:

    PLUGIN = {"title": "Negative", "summary": "Shows what is covered in the opposite colors", "needs": ()}

The dictionary is read from the file's text and no file is run, so that Blender's menus, the command line's help and
`doctor` know of every plug-in, whatever packages it needs to work.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .errors import BackendError, reason
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
class Weights:
    """Weights that a plug-in can work with.

    hub: their id on the Hugging Face hub. license: theirs, and of what they were made of. studio: whether that lets a
    studio work with them for money. size_gb: of their download. memory_gb: about what the device needs for them.
    pickled: their file, if they are published as a pickle; it is converted without being run.
    """

    hub: str
    license: str
    studio: bool
    size_gb: float
    memory_gb: float
    pickled: str = ""


@dataclass(frozen=True)
class Plugin:
    """What a plug-in says of itself.

    name: of its file. title: for people. summary: a sentence without a final period.
    needs: (module, package, purpose) of each package beyond numpy.
    number: what a .blend stores for it; by default made of the name. It must never change.
    settings: the part of a job's settings that is its own, or empty.
    models: (hub, license, studio, size_gb, memory_gb[, pickled]) of each Weights that it knows, the default first.
    sees: what a reconstructor's model is shown: "panorama" (one at a time), "crop" (one at a time), "crops" (of all
    captures together), or "" if there is no model.
    homepage: where the model comes from.
    """

    name: str
    title: str
    summary: str
    needs: tuple[Requirement, ...] = ()
    number: int = -1
    settings: str = ""
    models: tuple[Weights, ...] = ()
    sees: str = ""
    homepage: str = ""

    def weights_of(self, source: str) -> Weights:
        """What is known of weights by their id on the hub; of any others, what is known of the default ones."""
        return next((each for each in self.models if each.hub == source), self.models[0])

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
        try:
            values["models"] = tuple(Weights(*model) for model in values.get("models", ()))
        except TypeError as error:
            raise BackendError(
                f"The plug-in {name}.py names its weights wrongly.",
                advice="Let each of its models be (hub, license, studio, size_gb, memory_gb) and perhaps a pickle.",
            ) from error
        return cls(name, **values)


def find(folders: Iterable[Path], broken: Callable[[BackendError], None] | None = None) -> dict[str, Plugin]:
    """The plug-ins in folders, by name, sorted. Files without a PLUGIN are none.

    broken: called with the error of each plug-in that does not describe itself rightly; it is left out. If `broken` is
    None, the first such BackendError is raised.
    """
    found = {}
    for path in sorted(path for folder in folders for path in folder.glob("[!_]*.py")):
        try:
            plugin = _read(path)
        except BackendError as error:
            if broken is None:
                raise
            broken(error)
        else:
            found.update({path.stem: plugin} if plugin is not None else {})
    return found


@functools.cache
def _read(path: Path) -> Plugin | None:
    """Read once: the files of an installed extension do not change while a process runs. Raises BackendError."""
    import ast  # when somebody asks: it takes a tenth of the time in which Blender enables the extension

    try:
        module = ast.parse(path.read_text(encoding="utf-8"))
        assigned = None
        for each in module.body:
            if isinstance(each, ast.Assign) and VARIABLE in map(ast.unparse, each.targets):
                assigned = each.value
        return None if assigned is None else Plugin.from_literal(path.stem, ast.literal_eval(assigned))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = f"what it assigns to {VARIABLE} is not made of literals" if type(error) is ValueError else reason(error)
        raise BackendError(
            f"The plug-in {path.name} cannot be read: {why}.",
            advice=f"Let it be Python, and {VARIABLE} a dictionary of texts and numbers: it is not run to be read.",
        ) from error
