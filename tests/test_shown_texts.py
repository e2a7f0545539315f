"""What a terminal or a log is told goes through plain_text: names in it come from files, and may hold commands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import layers

METHODS = {"report": 1, "error_set": 0, "update_stats": 1, "print": 0}
"""What shows a text, and which of its arguments that is."""
ENGINES = ("self", "operator", "engine")
"""What Blender's own `report` is called on."""
LOGGING = {"debug", "info", "warning", "error", "exception", "critical"}

ON_THEIR_OWN = {
    "backend/diffusion/models/commands.py": "JSON, which escapes",
    "backend/doctor.py": "JSON, which escapes",
    "backend/self_test.py": "JSON, which escapes",
    "backend/terminal.py": "a bar whose text went through one_line, cut to the terminal's width",
    "pantheon360_blender/scene/cache/cache_objects.py": "two numbers",
    "backend/evaluation/evaluate.py": "a developer's own clips",
}
"""Files in which something is shown that no file of a person's can have put there."""


def shown(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of every call of a file that shows a text that is neither its own nor plain."""
    for node in ast.walk(ast.parse((layers.ROOT / path).read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        if owner in ("_log", "logging") and name in LOGGING:
            texts = node.args
        elif name in METHODS and len(node.args) > METHODS[name] and (name != "report" or owner in ENGINES):
            texts = [node.args[METHODS[name]]]
        else:
            continue
        if not all(map(_is_plain, texts)):
            yield node.lineno, f"{owner}.{name}" if owner else name


def _is_plain(node: ast.expr) -> bool:
    """Whether an expression is a constant of the source, or made plain, at least where others are put into it."""
    if isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.isupper()):
        return True
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        return called == "len" or called.startswith("plain_text.")
    if isinstance(node, ast.JoinedStr):
        return all(not isinstance(part, ast.FormattedValue) or _is_plain(part.value) for part in node.values)
    return False


def test_whatever_is_shown_is_plain() -> None:
    found = {path.as_posix(): [*shown(path)] for path in layers.files()}
    strangers = [f"{path}:{line}: {name}" for path, calls in found.items() for line, name in calls]
    assert [each for each in strangers if each.split(":")[0] not in ON_THEIR_OWN] == []
    assert [path for path in ON_THEIR_OWN if not found.get(path)] == [], "these need no permission any more"


@pytest.mark.parametrize(
    "line",
    [
        'self.report({"ERROR"}, str(error))',
        'self.report({"INFO"}, f"Imported {name}")',
        "self.error_set(str(error))",
        'self.update_stats("", name)',
        "print(error)",
        '_log.warning("The preview %s cannot be shown", path)',
    ],
)
def test_a_text_that_is_not_plain_is_found(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "ROOT", tmp_path)
    (tmp_path / "a.py").write_text(line)
    assert len([*shown(Path("a.py"))]) == 1
    (tmp_path / "a.py").write_text('self.report({"INFO"}, plain_text.paragraph(str(error))); print("Done."); print()')
    assert [*shown(Path("a.py"))] == []
