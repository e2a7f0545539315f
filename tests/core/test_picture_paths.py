"""Names of pictures in other programs' files: what is asked of the file system for one is bounded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pantheon360_blender.core.importers import picture_paths

MOST = 200


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked for."""
    questions: list[str] = []

    def counted(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        questions.append(os.fspath(path))
        return stat(path, *arguments, **options)

    stat = os.stat
    monkeypatch.setattr(os, "stat", counted)
    return questions


HOSTILE = {
    "many folders": "/" + "a/" * 2040 + "a.png",
    "many folders of a drive": "D:\\" + "a\\" * 2040 + "a.png",
    "many folders up": "../" * 1300 + "a.png",
    "percent-encoded": "/" + "%61/" * 1000 + "a.png",
    "one that is there again and again": "/" + "images/" * 500 + "a.png",
    "no name": "/" + "./" * 2000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_long_name_costs_little(name: str, tmp_path: Path, asked: list[str]) -> None:
    (tmp_path / "images").mkdir()
    assert picture_paths.near(tmp_path, HOSTILE[name]) is None
    assert picture_paths.below(tmp_path, HOSTILE[name]) is None
    assert len(asked) < 3 * MOST


def test_a_part_that_no_file_system_takes_hides_no_other(tmp_path: Path) -> None:
    picture = tmp_path / "images" / "a.png"
    picture.parent.mkdir()
    picture.touch()
    assert picture_paths.near(tmp_path, f"/{'x' * 300}/images/a.png") == picture
    assert picture_paths.near(tmp_path, f"/disk/{'deep/' * 100}images/a.png") == picture
    assert picture_paths.near(tmp_path, "/elsewhere/images/\ud800/../a") is None
