"""Blender shows of the store's models what the backend wrote there, and is not upset by what else lies there."""

from __future__ import annotations

import os
from dataclasses import replace
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
        shown = models.find(name).card
        assert (shown.label, shown.capability, shown.licence) == (card.label, card.capability, card.licence)
        assert (shown.width, shown.frames, shown.trained) == (card.width, card.frames, card.trained)
    assert "untrained" in models.find("tiny").card.label
    assert models.find("plain").card is None


def test_the_file_is_the_one_the_backend_writes(models: Any) -> None:
    assert models.CARD == model_card.FILE


def test_a_changed_card_is_read_again(models: Any, store: Path) -> None:
    folder = put(store / "model", TINY)
    assert models.find("model").card.label == "Tiny (untrained)"
    model_card.write(folder, replace(TINY, name="Tony"))  # as many bytes as before
    os.utime(folder / models.CARD, ns=(1, 1))
    assert models.find("model").card.label == "Tony (untrained)"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"\xff\xfe", b"{}", b"[" * 100_000, b'{"name": "x"}', b'{"name": 3, "width": 1, "frames": 1}',
        b'{"name": "x", "width": "wide", "frames": 8}', b'{"name": "x", "width": 0, "frames": 8}',
        b'{"name": "\\ud800", "width": 64, "frames": 8}', b'{"name": "x", "width": 64, "frames": 8, "trained": "yes"}',
        b'{"name": "x", "width": 64, "frames": 8, "licence": []}', b" " * (2 << 20),
    ],
)  # fmt: skip
def test_a_damaged_card_is_as_none(models: Any, store: Path, content: bytes) -> None:
    (put(store / "model", None) / models.CARD).write_bytes(content)
    assert models.find("model").card is None
    assert [model.name for model in models.stored()] == ["model"]


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
