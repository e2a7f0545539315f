"""Each room imports only the rooms below it (the table in docs/architecture.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXTENSION = ("pantheon360_blender", "operators", "ui")

MAY_IMPORT = {
    "pantheon360_blender/core": {"pantheon360_blender/core"},
    "pantheon360_blender/scene": {"pantheon360_blender/core", "pantheon360_blender/scene"},
    "operators": {"operators", "pantheon360_blender/core", "pantheon360_blender/scene"},
    "ui": {"ui", "pantheon360_blender/core", "pantheon360_blender/scene"},
    "backend": {"backend", "pantheon360_blender/core"},
    "": {"operators", "ui", "pantheon360_blender/scene"},
}
"""Room -> the rooms of this repository it may import."""

OUTSIDE = {
    "pantheon360_blender/core": {"numpy"},
    "pantheon360_blender/scene": {"numpy", "bpy", "bpy_extras", "bmesh", "mathutils", "gpu", "gpu_extras", "idprop"},
    "operators": {"bpy", "bpy_extras"},
    "ui": {"bpy", "blf", "gpu", "gpu_extras", "mathutils", "numpy"},
    "": {"bpy"},
}
"""Room -> what it may import from outside besides the standard library; the backend is free but for bpy."""

ALONE = {"pantheon360_blender/core/openimageio.py": {"OpenImageIO"}}
"""File -> what it alone may import beyond that. Upstream's Blender has OpenImageIO; core has a fallback without it."""


def modules(room: str) -> list[Path]:
    folder = ROOT / room
    return sorted(folder.glob("*.py") if room == "" else folder.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str, bool]]:
    """(line, dotted module seen from the repository's root, relative?) of every import, wherever it stands."""
    package = list(path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = [*base, *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                yield node.lineno, ".".join([*stem, alias.name]), node.level > 0


def room_of(dotted: str) -> str | None:
    """The room a dotted module lies in, or None where it is not of this repository."""
    parts = dotted.split(".")
    if parts[0] == "pantheon360_blender":
        return "/".join(parts[:2]) if len(parts) > 1 and parts[1] in ("core", "scene") else "pantheon360_blender"
    return parts[0] if parts[0] in ("operators", "ui", "backend", "tests", "scripts") else None


def violations(room: str) -> list[str]:
    found = []
    for path in modules(room):
        for line, target, relative in imports(path):
            where = f"{path.relative_to(ROOT)}:{line} imports {target}"
            inside = room_of(target)
            if inside is not None and not relative and room != "backend":
                found.append(f"{where}: imports inside the extension are relative")
            elif inside is not None and inside not in MAY_IMPORT[room]:
                found.append(f"{where}: {room or 'the face'} may import {sorted(MAY_IMPORT[room])}")
            elif inside is None and not _allowed_outside(room, path, target.split(".")[0]):
                found.append(f"{where}: not allowed in {room or 'the face'}")
    return found


def _allowed_outside(room: str, path: Path, package: str) -> bool:
    if package in sys.stdlib_module_names:
        return package not in ("pickle", "shelve", "marshal")
    if package in ALONE.get(path.relative_to(ROOT).as_posix(), ()):
        return True
    return package != "bpy" if room == "backend" else package in OUTSIDE[room]


@pytest.mark.parametrize("room", MAY_IMPORT, ids=lambda room: room or "face")
def test_room_imports_only_what_is_below_it(room: str) -> None:
    assert modules(room), f"there is no code in {room}"
    assert violations(room) == []


def test_a_violation_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself can fail: core reaching for bpy and for scene, absolutely and relatively."""
    core = tmp_path / "pantheon360_blender" / "core"
    core.mkdir(parents=True)
    (core / "wrong.py").write_text(
        "import bpy\nfrom ..scene import cache\nfrom pantheon360_blender.core import cameras\nimport pickle\n"
        "import OpenImageIO\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert len(violations("pantheon360_blender/core")) == 5


def test_what_the_backend_says_of_itself_imports_no_learning_stack() -> None:
    """`python -m backend --help` and the lists of painters and reconstructors are instant."""
    program = """
import sys
import backend.__main__, backend.doctor, backend.painters, backend.runner, backend.service
import backend.reconstruction.reconstruct, backend.reconstruction.reconstructors
for name in backend.painters.names():
    backend.painters.named(name).describe()
print(sorted({"torch", "diffusers", "transformers", "accelerate", "numba", "scipy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-B", "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
