"""Blender shows of the store's models what the backend wrote there, and is not upset by what else lies there."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pantheon360_blender.core.jobs import model_card
from pantheon360_blender.core.jobs.model_card import ModelCard

TINY = ModelCard("Tiny", "untrained", 256, 128, 8, anchors=2, licence="CC0-1.0", trained=False)
STREET = ModelCard("Street", "pantheon360", 1024, 512, 25, licence="apache-2.0")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "store 空"
    monkeypatch.setenv("PANTHEON360_MODELS", str(folder))
    return folder


@pytest.fixture
def models(house: Any) -> Any:
    return house("scene.shot.models")


def put(folder: Path, card: ModelCard | None) -> Path:
    folder.mkdir(parents=True)
    if card is not None:
        model_card.write(folder, card)
    return folder


def test_there_may_be_no_store_yet(models: Any, store: Path) -> None:
    assert models.stored() == [] and models.find("tiny") is None
    store.write_text("a file")
    assert models.stored() == []


def test_a_model_is_shown_by_its_card(models: Any, store: Path) -> None:
    for name, card in (("tiny", TINY), ("Street", STREET), ("plain", None)):
        put(store / name, card)
    put(store / ".being-made", TINY)
    (store / "file").write_text("no model")
    assert [model.name for model in models.stored()] == ["plain", "Street", "tiny"]
    for name, card in (("tiny", TINY), ("Street", STREET)):
        assert asdict(models.find(name).card) == asdict(card)
    assert "untrained" in models.find("tiny").card.label
    assert models.find("plain").card is None


def test_a_changed_card_is_read_again(models: Any, store: Path) -> None:
    folder = put(store / "model", TINY)
    assert models.find("model").card.label == "Tiny (untrained)"
    model_card.write(folder, replace(TINY, name="Tony"))  # as many bytes as before
    os.utime(folder / model_card.FILE, ns=(1, 1))
    assert models.find("model").card.label == "Tony (untrained)"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"{}", b"[" * 100_000, b" " * (2 << 20)])
def test_a_file_that_is_no_card_is_as_none(models: Any, store: Path, content: bytes) -> None:
    (put(store / "model", None) / model_card.FILE).write_bytes(content)
    assert models.find("model").card is None
    assert [model.name for model in models.stored()] == ["model"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": 3}, {"name": "\ud800"}, {"width": "wide"}, {"width": 0}, {"trained": "yes"}, {"licence": []},
        {"kind": "dance"}, {"conditioning": ["x"]}, {"schema": 2}, {"more": 1},
    ],
)  # fmt: skip
def test_a_wrong_card_is_as_none(models: Any, store: Path, wrong: dict[str, Any]) -> None:
    file = put(store / "model", STREET) / model_card.FILE
    assert models.find("model").card.label == "Street"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | wrong), "utf-8")
    assert models.find("model").card is None


def test_a_model_may_lie_anywhere(
    house: Any, models: Any, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = put(tmp_path / "elsewhere" / "model", STREET)
    put(store / "model", TINY)
    assert models.find(str(elsewhere)).card.label == "Street"
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert models.find("model").card.label == "Tiny (untrained)", "the store goes first, as in the backend"
    assert models.resolved("model") == "model"
    assert models.resolved("./model") == str(elsewhere)
    for text in ("", "..\0", "~nobody-of-this-name/x", "owner/model"):
        assert models.find(text) is None and models.resolved(text) == text
    is_hub_id = house("core.jobs.model_places").is_hub_id
    assert [is_hub_id(text) for text in ("owner/model", "model", str(elsewhere))] == [True, False, False]
