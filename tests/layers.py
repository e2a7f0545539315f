"""The house as its files' imports make it: rooms, floors, circles. `python -m tests.layers` prints it.

test_layers.py runs the same code and fails on a circle among files, on an import against the order of HOUSES, on an
absolute import inside the extension, and on a package from outside that a room must do without.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class House:
    """A layer of DESIGN.md.

    rooms: its folders, or single files that stand apart from their folder, from the ground up: a file imports files of
    its own room and of those before it. below: the houses that its files may import besides.
    outside: packages it may import besides the standard library; None is all but bpy. relative: how its files name
    files of this repository.
    """

    rooms: tuple[str, ...]
    below: tuple[str, ...]
    outside: frozenset[str] | None
    relative: bool = True


HOUSES: dict[str, House] = {
    "ground": House(("pantheon360_blender/late_files.py",), (), frozenset()),
    "core": House(
        rooms=(
            "pantheon360_blender/core",
            "pantheon360_blender/core/formats/video",
            "pantheon360_blender/core/formats",
            "pantheon360_blender/core/panorama",
            "pantheon360_blender/core/points",
            "pantheon360_blender/core/render",
            "pantheon360_blender/core/importers",
            "pantheon360_blender/core/jobs",
            "pantheon360_blender/core/engine",
        ),
        below=("ground",),
        outside=frozenset({"numpy"}),
    ),
    "scene": House(
        rooms=(
            "pantheon360_blender/scene/translation.py",
            "pantheon360_blender/scene/app",
            "pantheon360_blender/scene/worker",
            "pantheon360_blender/scene/captures",
            "pantheon360_blender/scene/cache",
            "pantheon360_blender/scene/sources",
            "pantheon360_blender/scene/camera",
            "pantheon360_blender/scene/live",
            "pantheon360_blender/scene/render",
            "pantheon360_blender/scene/shot",
            "pantheon360_blender/scene/background",
            "pantheon360_blender/scene",
        ),
        below=("ground", "core"),
        outside=frozenset({"numpy", "bpy", "bpy_extras", "bmesh", "mathutils", "gpu", "gpu_extras", "idprop", "imbuf"}),
    ),
    "operators": House(
        rooms=("operators/errors.py", "operators/base.py", "operators/background", "operators/camera", "operators"),
        below=("core", "scene"),
        outside=frozenset({"bpy", "bpy_extras"}),
    ),
    "ui": House(
        ("ui/translations", "ui"),
        ("core", "scene"),
        frozenset({"bpy", "blf", "gpu", "gpu_extras", "mathutils", "numpy"}),
    ),
    "cli": House(("cli",), ("core", "scene"), frozenset({"bpy", "numpy"})),
    "face": House(("__init__.py", "pantheon360_blender"), ("scene", "operators", "ui", "cli"), frozenset({"bpy"})),
    "backend": House(
        rooms=(
            "backend/device.py",
            "backend/known_pixels.py",
            "backend/origins.py",
            "backend/numba_cache.py",
            "backend/pickled_weights.py",
            "backend/reporting.py",
            "backend/terminal.py",
            "backend/importers",
            "backend/reconstruction",
            "backend/reconstruction/poses",
            "backend/reconstruction/dense",
            "backend/reconstruction/room_layout",
            "backend/reconstruction/crops",
            "backend/reconstruction/reconstructors",
            "backend/reconstruction/compilation.py",
            "backend/reconstruction/reconstruct.py",
            "backend/diffusion",
            "backend/diffusion/networks",
            "backend/diffusion/models",
            "backend/diffusion/execution",
            "backend/diffusion/clip",
            "backend/diffusion/shot",
            "backend/painters",
            "backend/evaluation/metrics",
            "backend/evaluation",
            "backend/training",
            "backend/training/shards",
            "backend/training/worlds",
            "backend/training/worlds/places",
            "backend/training/worlds/generator.py",
            "backend/training/networks",
            "backend/training/trainer",
            "backend",
        ),
        below=("core",),
        outside=None,
    ),
}
"""Every house and its rooms, from the ground up: the one table of who may import whom."""

ALONE = {"pantheon360_blender/core/formats/openimageio.py": frozenset({"OpenImageIO"})}
"""File -> what it alone may import besides. Upstream's Blender has OpenImageIO; core has a fallback without it."""

NEVER = frozenset({"pickle", "shelve", "marshal"})
"""Of the standard library: nothing is unpickled."""


@dataclass(frozen=True)
class Import:
    """An import of a file. module: dotted, seen from the repository's root. relative: whether it is written so."""

    line: int
    module: str
    relative: bool


def files() -> list[Path]:
    """Every file of the product, relative to the repository's root."""
    folders = ("pantheon360_blender", "operators", "ui", "cli", "backend")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted(path.relative_to(ROOT) for path in [*found, *ROOT.glob("__init__.py")])


def room_of(path: Path) -> tuple[str, str]:
    """(house, room) of a file: the longest name of HOUSES that it has or lies under. Raises LookupError."""
    candidates = [
        (house, room)
        for house, content in HOUSES.items()
        for room in content.rooms
        if path.as_posix() == room or path.as_posix().startswith(f"{room}/")
    ]
    if not candidates:
        raise LookupError(f"{path} lies in no room of HOUSES")
    return max(candidates, key=lambda candidate: len(candidate[1]))


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file, wherever in it it stands, for type checkers alone or not."""
    package = path.parts[:-1]
    for node in _import_statements(ROOT / path):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name, False) for alias in node.names)
        else:
            above = package[: len(package) - node.level + 1] if node.level else ()
            stem = [*above, *(node.module.split(".") if node.module else [])]
            yield from (Import(node.lineno, ".".join([*stem, alias.name]), node.level > 0) for alias in node.names)


@functools.cache
def _import_statements(path: Path) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """Those of a file, parsed once: every question is about all files."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def file_of(module: str, known: frozenset[Path]) -> Path | None:
    """The file that a dotted module, or a name in one, lies in; None if it is not of this repository."""
    parts = module.split(".")
    for stem in (Path(*parts), Path(*parts[:-1])):
        for candidate in (Path(f"{stem}.py"), stem / "__init__.py"):
            if stem.parts and candidate in known:
                return candidate
    return None


def graph() -> dict[Path, set[Path]]:
    """Each file -> the files that it imports."""
    known = frozenset(files())
    targets = {path: {file_of(each.module, known) for each in imports(path)} for path in known}
    return {path: {target for target in found if target not in (None, path)} for path, found in targets.items()}


def violations() -> list[str]:
    """What breaks the rules of HOUSES, a sentence each."""
    known = frozenset(files())
    found = []
    for path in sorted(known):
        for each in imports(path):
            problem = _problem(path, each, file_of(each.module, known))
            if problem:
                found.append(f"{path.as_posix()}:{each.line} imports {each.module}: {problem}")
    return found


def _problem(path: Path, each: Import, target: Path | None) -> str:
    """What is wrong with an import; empty if nothing is."""
    house, room = room_of(path)
    content = HOUSES[house]
    if target is None:
        package = each.module.split(".")[0]
        allowed = package in ALONE.get(path.as_posix(), ()) or _allowed_outside(package, content)
        return "" if allowed else f"{house} does without it"
    other_house, other_room = room_of(target)
    if not each.relative and house != "backend":
        return "imports inside the extension are relative"
    if other_house == house:
        above = content.rooms.index(other_room) > content.rooms.index(room)
        return f"{other_room} stands above {room}" if above else ""
    return "" if other_house in content.below else f"{house} may import {', '.join(content.below) or 'no other house'}"


def _allowed_outside(package: str, house: House) -> bool:
    if package in sys.stdlib_module_names:
        return package not in NEVER
    return package != "bpy" if house.outside is None else package in house.outside


def circles(edges: Mapping[Path, set[Path]]) -> list[list[Path]]:
    """Groups of files that import one another in a circle (Tarjan's strongly connected components of more than one)."""
    index: dict[Path, int] = {}
    low: dict[Path, int] = {}
    stack: list[Path] = []
    found: list[list[Path]] = []

    def visit(path: Path) -> None:
        index[path] = low[path] = len(index)
        stack.append(path)
        for target in sorted(edges[path]):
            if target not in index:
                visit(target)
                low[path] = min(low[path], low[target])
            elif target in stack:
                low[path] = min(low[path], index[target])
        if low[path] == index[path]:
            group = stack[stack.index(path) :]
            del stack[stack.index(path) :]
            if len(group) > 1:
                found.append(sorted(group))

    for path in sorted(edges):
        if path not in index:
            visit(path)
    return found


def floors(room: str, edges: Mapping[Path, set[Path]]) -> int:
    """The longest chain of imports among the files of a room; there must be no circle in it."""
    inside = {path for path in edges if room_of(path)[1] == room}
    heights: dict[Path, int] = {}

    def height(path: Path) -> int:
        if path not in heights:
            heights[path] = 1 + max((height(target) for target in edges[path] & inside), default=0)
        return heights[path]

    return max((height(path) for path in inside), default=0)


def main() -> int:
    """Print the rooms, their files and floors, and the number of circles."""
    edges, wrong = graph(), violations()
    rings = circles(edges)
    print(f"{'room':42} files floors")
    for content in HOUSES.values():
        for room in content.rooms:
            count = sum(room_of(path)[1] == room for path in edges)
            print(f"{room:42} {count:5} {'-' if rings else floors(room, edges):>6}")
    print(f"\n{len(edges)} files; circles: {len(rings)}; imports against the order: {len(wrong)}")
    for ring in rings:
        print("  circle: " + ", ".join(path.as_posix() for path in ring))
    for problem in wrong:
        print(f"  {problem}")
    return 1 if rings or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
