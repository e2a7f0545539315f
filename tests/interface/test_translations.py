"""Every text that artists read has a translation: the RNA's, what code draws, and what it puts together.

A failing test prints what a language lacks as lines of its file, to be filled in.
"""

from __future__ import annotations

import ast
import json
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests import layers
from tests.interface.conftest import Layout
from tests.interface.test_panels import read_by_artists

House = Callable[[str], ModuleType]

DRAWN = {"text", "title", "heading", "placeholder", "confirm_text"}
"""Keywords of Blender's functions that are shown."""
SHOWING = {
    "label", "prop", "prop_enum", "operator", "operator_menu_enum", "column", "template_ID", "popup_menu",
    "invoke_props_dialog", "invoke_confirm", "menu",
}  # fmt: skip
"""Functions of Blender that have these keywords."""
FIRST = {
    "filled": 0, "translated": 0, "DisabledReason": 0, "poll_message_set": 0, "Progress": 0, "end": 0, "end_running": 0,
    "end_sessions_of": 1, "paragraph": 1, "dialog_text": 1, "tell": -1, "warn": -1,
}  # fmt: skip
"""Functions of ours -> which argument is shown."""
LINES = {"hint", "lines"}
"""Functions that are given a text line by line, after the layout."""
RETURNING = {"act", "act_on", "edit", "done", "orient"}
"""Methods of operators whose result is reported."""
ATTRIBUTES = {"left", "wanted", "unbound", "NOTHING_CHANGED"}
"""Of operators: what is reported, or why a button is gray."""
INTERFACE = ("operators", "ui", "pantheon360_blender/scene")
"""Where texts are drawn and reported; elsewhere `filled` and phases of a job's progress are looked for."""

SAME = {"OWNER/MODEL", "LoRA {}"}
"""What is no text."""
OF_BACKEND = {
    "Matching at {} x {}",
    "Matching at {} width",
    "Finding surfaces at {} width",
    "Reconstructing with {}",
    "Loading {}",
    "Memory: {}",
    "Reading scan {}",
}
"""Phases with a name in them that come over the wire as they are, in English."""
NOT_SHOWN = {"Checkpoint", "Training", "Reading", "Preparing", ""}
"""Phases of what no interface runs: training and evaluation."""


def constants(node: ast.expr, named: dict[str, ast.expr]) -> Iterator[str]:
    """The texts that an expression may be; where values are put in, braces. named: what the file's names stand for."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Name) and node.id in named:
        yield from constants(named[node.id], {})
    elif isinstance(node, ast.IfExp):
        yield from constants(node.body, named)
        yield from constants(node.orelse, named)
    elif isinstance(node, ast.BoolOp):
        for each in node.values:
            yield from constants(each, named)
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def texts_in(path: Path) -> Iterator[tuple[str, bool]]:
    """(text, whether it was put together where nothing can translate it) of all that a file shows."""
    room = path.relative_to(layers.ROOT).as_posix()
    of_interface = room.startswith(INTERFACE)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assigned = [each for each in ast.walk(tree) if isinstance(each, ast.Assign)]
    named = {getattr(target, "id", ""): each.value for each in assigned for target in each.targets}
    for node in ast.walk(tree):
        shown: list[ast.expr] = []
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name not in ("filled", "Progress") and not of_interface:
                continue
            if name in LINES:
                parts = [constants(each, named) for each in node.args[1:]]
                yield " ".join(text for part in parts for text in part), False
            elif name in FIRST and (FIRST[name] < len(node.args)) and node.args:
                shown = [node.args[FIRST[name]]]
            elif name in SHOWING:
                shown = [each.value for each in node.keywords if each.arg in DRAWN]
        elif isinstance(node, ast.FunctionDef) and node.name in RETURNING and room.startswith("operators"):
            shown = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value is not None]
        elif isinstance(node, ast.Assign) and of_interface:
            names = {getattr(each, "id", "") for each in node.targets}
            shown = [node.value] if names & ATTRIBUTES else []
        for each in shown:
            for text in constants(each, named):
                yield text, "{}" in text


def is_text(text: str) -> bool:
    """Whether there is a word in it besides values and units."""
    bare = "".join(part for part, *_ in string.Formatter().parse(text)) if "{" in text else text
    return any(len(word) > 1 and any(map(str.islower, word)) for word in bare.split())


def in_code() -> tuple[set[str], set[str]]:
    """(texts that tables must have, texts that were put together so that none can have them)."""
    whole, built = set(), set()
    for path in layers.files():
        if path.parts[0] in ("operators", "ui", "pantheon360_blender", "backend"):
            for text, is_built in texts_in(layers.ROOT / path):
                (built if is_built else whole).add(text)
    return {text for text in whole if is_text(text)} - SAME - NOT_SHOWN, {
        text for text in built if is_text(text.replace("{}", ""))
    } - SAME - OF_BACKEND


def in_data(house: House) -> set[str]:
    """What panels draw of tables of ours."""
    panel, jobs, measured = house("ui.panel"), house("ui.jobs_panel"), house("scene.background.measured")
    found = {*jobs.KINDS.values(), *jobs.ICONS, *(title for title, _ in panel._MADE_FROM), measured._ELSEWHERE}
    found |= set(house("core.jobs.model_card").CAPABILITIES.values())
    found |= {phase for phases in house("core.jobs.whole_progress").WEIGHTS.values() for phase in phases}
    for part in house("core.engine.parts").PARTS.values():
        found |= {part.title, part.enables}
    items = house("scene.app.plugin_items").guessers()
    return found | {text for item in items for text in item[1:3]}


@pytest.fixture
def english(house: House, blend: Any) -> set[str]:
    """All that artists read."""
    read = {text for _, label, tooltip in read_by_artists(house) for text in (label, tooltip)}
    return {text for text in read | in_code()[0] | in_data(house) if text}


@pytest.fixture(params=["de_DE"])
def language(request: Any, house: House) -> tuple[str, dict[str, str]]:
    return request.param, house("ui.translations").languages()[request.param]


def as_lines(texts: set[str]) -> str:
    return "\n".join(f'  {json.dumps(text, ensure_ascii=False)}: "",' for text in sorted(texts))


def fields(template: str) -> list[tuple[str, str]]:
    """Names and formats of what is put into a template."""
    return sorted((name, form or "") for _, name, form, _ in string.Formatter().parse(template) if name is not None)


def test_nothing_is_missing_and_nothing_is_left_over(english: set[str], language: tuple[str, dict[str, str]]) -> None:
    name, table = language
    missing, stale = english - table.keys(), table.keys() - english
    assert not missing, f"ui/translations/{name}.json lacks, to be filled in:\n{as_lines(missing)}"
    assert not stale, f"ui/translations/{name}.json has texts that are said nowhere:\n{as_lines(stale)}"


def test_texts_with_values_can_be_translated() -> None:
    """An f-string is English for ever: `filled` or `translated` keep its template."""
    assert in_code()[1] == set()


def test_translations_take_the_same_values(language: tuple[str, dict[str, str]]) -> None:
    for text, translation in language[1].items():
        assert fields(translation) == fields(text), f"{text!r}: {translation!r}"
        assert translation.strip(), text
        assert text[:1].isspace() == translation[:1].isspace(), f"{text!r}: it is put behind another text"


def test_translations_keep_blenders_conventions(house: House, blend: Any, language: tuple[str, dict[str, str]]) -> None:
    """Tooltips without a final period, one sentence each, as in English."""
    table = language[1]
    for where, label, description in read_by_artists(house):
        for text in filter(None, (label, description)):
            assert not table[text].endswith("."), where
            assert "\n" not in table[text], where


def test_a_language_has_its_texts_in_order(house: House, language: tuple[str, dict[str, str]]) -> None:
    """So that two branches that add texts seldom meet at the same line."""
    assert [*language[1]] == sorted(language[1])


def test_blender_has_them_for_labels_and_for_buttons_as_long_as_we_are_enabled(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module of bpy has no languages: tests/application/languages.py asks a Blender that has."""
    translations, known = house("ui.translations"), {}
    blender = SimpleNamespace(register=known.__setitem__, unregister=known.__delitem__)
    monkeypatch.setattr(translations, "bpy", SimpleNamespace(app=SimpleNamespace(translations=blender)))
    translations.register()
    (tables,) = known.values()
    german, label = tables["de_DE"], "Build 3D Cache"
    assert german["Operator", label] == german["*", label] == "3D-Cache aufbauen"
    translations.unregister()
    assert known == {}


@pytest.fixture
def in_german(house: House, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The module of bpy has no languages: its look-up is ours, and labels are drawn as Blender draws them."""
    table = house("ui.translations").languages()["de_DE"]
    monkeypatch.setattr(house("scene.translation"), "_in_language", lambda text: table.get(text, text))
    draw_label = Layout.label

    def label(self: Layout, *, text: str, icon: str = "NONE") -> None:
        draw_label(self, text=table.get(text, text), icon=icon)

    monkeypatch.setattr(Layout, "label", label)
    return table


def test_what_was_put_together_is_said_in_german(house: House, in_german: dict[str, str]) -> None:
    translated, filled = house("scene.translation").translated, house("core.plain_text").filled
    assert translated("{count} more, {name}", count=3, name="{x}") == "3 more, {x}", "no table has it"
    assert translated(filled("{count:,} points in {name}", count=12345, name="{0}")) == "12,345 Punkte in {0}"
    counted = filled("{things} from {files}", things=filled("1 point"), files=filled("{count} files", count=2))
    assert counted == "1 point from 2 files", "to logs and terminals"
    assert translated(counted) == "1 Punkt aus 2 Dateien"
    assert translated("") == "" and translated("Camera.001 {") == "Camera.001 {"


def test_panels_are_drawn_in_german(
    draw: Callable[..., Layout], house: House, blend: Any, request: pytest.FixtureRequest
) -> None:
    """A new file, a place on its way, a failure: no line is the English one but for names and numbers."""
    import bpy
    import numpy as np

    image = house("scene.captures.images").from_array("Aufnahme-1", np.full((16, 32, 3), 90, np.uint8))

    def lines() -> set[str]:
        rooms = ("ui.panel", "ui.cache_panel", "ui.jobs_panel", "ui.takes_panel", "ui.painter_panel")
        return {text for room in rooms for text in draw(room=room).labels}

    def everything() -> list[set[str]]:
        found = [lines()]
        blend.pantheon360.painter, blend.pantheon360.diffusion.model = "DIFFUSION", "nobody"
        capture = house("scene.captures.capture_objects").create(blend, "Aufnahme-1", image, (0, 0, 2))
        bpy.context.view_layer.objects.active = capture
        bpy.ops.pantheon360.make_proxy()
        blend.pantheon360.projection_width = 32
        bpy.ops.pantheon360.project_captures()
        bpy.ops.pantheon360.set_path_ends()
        blend.camera.rotation_euler.x -= np.radians(27)
        bpy.context.view_layer.update()
        blend.frame_end = 3
        assert bpy.ops.pantheon360.check_coverage(clearance=50.0) == {"FINISHED"}
        found.append(lines())
        blend.camera.location.x += 1
        bpy.context.view_layer.update()
        return [*found, lines()]

    english = everything()
    for obj in [*blend.collection.all_objects]:
        bpy.data.objects.remove(obj)
    house("scene.camera.coverage_check").clear(blend)
    request.getfixturevalue("in_german")
    blend.pantheon360.painter, blend.pantheon360.diffusion.model = "DRAFT", ""
    german = everything()
    for before, after in zip(english, german, strict=True):
        same = {text for text in before & after if is_text(text)}
        assert same <= {"Aufnahme-1", blend.name}, same  # a job of an earlier test may bear the scene's name
    told = " ".join(text for lines_ in german for text in sorted(lines_))
    for text in (
        "360°-Fotos",
        "5 Meshes",
        "27°",
        "Punkte in 3D Cache",
        "berührt den Cache",
        "Es gibt kein Modell nobody",
    ):
        assert text in told, text
