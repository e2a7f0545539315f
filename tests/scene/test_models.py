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


def test_the_extensions_own_model_paints_where_none_is_chosen(
    models: Any, house: Any, drawn: Any, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found by its name, listed as what it is, and gives way to a person's own of that name."""
    places = house("core.jobs.model_places")
    monkeypatch.setattr(places, "_SHIPPED_IN", tmp_path / "extension")
    assert places.chosen("") == "" and places.shipped() is None and not models.stored()
    folder = put(tmp_path / "extension" / places.SHIPPED, TINY)
    (folder / "unet").mkdir()
    assert places.chosen("") == places.SHIPPED and places.chosen("mine") == "mine"
    found = models.find(places.SHIPPED)
    assert found is not None and found.path == folder and found.shipped
    assert [model.name for model in models.stored()] == [places.SHIPPED]
    assert "Comes with the extension" in " ".join(drawn().labels)
    own = put(store / places.SHIPPED, STREET)
    found = models.find(places.SHIPPED)
    assert found is not None and found.path == own and not found.shipped
    assert [model.path for model in models.stored()] == [own]


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


# The list in the preferences ------------------------------------------------------------------------------------------


@pytest.fixture
def drawn(house: Any, blend: Any, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """drawn(): what the preferences show of models."""
    import bpy

    from tests.interface.conftest import Layout

    monkeypatch.setattr(house("core.person_folder"), "path", lambda *_: tmp_path / "data")

    def draw() -> Layout:
        layout = Layout()
        house("ui.model_list").draw(layout, bpy.context)
        return layout

    return draw


def test_the_list_tells_what_each_model_is_and_what_was_found(house: Any, drawn: Any, store: Path) -> None:
    places = house("core.jobs.model_places")
    assert drawn().shown == ["pantheon360.add_model"]
    for name, card in (("tiny", TINY), ("Street", STREET), ("broken", STREET), ("plain", None)):
        put(store / name, card)
    places.write_state(store / "Street", "", 4_600_000_000)
    places.write_state(store / "broken", "It lacks config.json. Get it again.", 0)
    text = " ".join(drawn().labels)
    assert "1024 x 512, 25 frames; 4,600 MB; license: apache-2.0" in text and "Whole, checked 20" in text
    assert "It lacks config.json. Get it again." in text and "Not checked yet" in text and "Tiny (untrained)" in text
    assert "no model card tells its license" in text
    assert "not measured here (20 s a clip" in text, "of full size there are figures"
    assert "Time and memory of a clip: not measured here" in text, "of others there are none"
    assert drawn().shown.count("pantheon360.check_model") == 4


@pytest.mark.parametrize("content", [b"", b"[]", b'{"bytes": -1, "problem": "", "checked": ""}', b'{"bytes": 1}'])
def test_a_damaged_state_is_as_none(models: Any, house: Any, store: Path, content: bytes) -> None:
    (put(store / "model", TINY) / house("core.jobs.model_places").STATE_FILE).write_bytes(content)
    assert models.find("model").state is None


def test_the_time_of_a_clip_is_that_of_the_last_painting_here(
    house: Any, models: Any, drawn: Any, store: Path, tmp_path: Path
) -> None:
    registry, measured = house("core.jobs.registry"), house("scene.background.measured")
    put(store / "Street", STREET)
    for number, seconds in enumerate((90.0, 30.0)):
        folder = tmp_path / str(number)
        folder.mkdir()
        record = {
            "made_of": "x", "settings": {"model": "Street"}, "painted_size": [1024, 512], "device": "Two Cores",
            "memory": {"peak_bytes": 11_900_000_000},
            "segments": {"1": {"seconds": seconds}, "2": {"seconds": seconds + 2}},
        }  # fmt: skip
        (folder / "painting.json").write_text(json.dumps(record))
        registry.add(registry.Entry(f"job{number}", "paint", "Shot", str(folder), updated=f"2026-01-0{number + 1}"))
    assert measured.of_model(models.find("Street")).text == "31.0 s a clip of 1024 x 512, 11.9 GB on Two Cores"
    assert "not measured here" not in " ".join(drawn().labels).lower()
    for wrong in ({"segments": {}}, {"settings": []}, {"painted_size": 3}, {"memory": {"peak_bytes": "much"}}):
        folder = tmp_path / str(wrong)[2:8]
        folder.mkdir()
        (folder / "painting.json").write_text(json.dumps(record | wrong))
        registry.add(registry.Entry(f"w{folder.name}", "paint", "Shot", str(folder), updated="2026-02-01"))
    assert measured.of_model(models.find("Street")) is not None


# Adding and checking --------------------------------------------------------------------------------------------------


def asking(house: Any, monkeypatch: pytest.MonkeyPatch, found: list[dict[str, Any]]) -> list[list[str]]:
    """Let the backend give this answer. Returns what it is told, call by call."""
    told: list[list[str]] = []
    jobs = house("scene.shot.model_jobs")

    def run(_python: Any, *module: str) -> Any:
        told.append(list(module))
        yield from ()

    def answer(_python: Any, *module: str, patience: float) -> str:
        told.append(list(module))
        return json.dumps(found)

    monkeypatch.setattr(jobs.child, "run", run)
    monkeypatch.setattr(jobs.child, "answer", answer)
    monkeypatch.setattr(jobs.backend_process, "require", lambda *_: None)
    monkeypatch.setenv("PANTHEON360_BACKEND_PYTHON", "/opt/python")
    return told


HUB = {"id": "owner/model", "here": False, "bytes": 4_600_000_000, "licence": "stability-ai-community", "gated": True}


def test_a_folder_is_added_without_a_question_and_nothing_is_downloaded(
    house: Any, blend: Any, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bpy

    told = asking(house, monkeypatch, [])
    place = put(tmp_path / "-model 空", STREET)
    options = {"model_name": "mine", "base_model": "svd", "kind": "SVD_XT", "license": "mit", "copy": True}
    assert bpy.ops.pantheon360.add_model(folder=str(place), **options) == {"FINISHED"}
    named = ["--name=mine", "--base=svd", "--kind=svd-xt", "--licence=mit", "--copy"]
    assert told == [["backend", "models", "add", "--json", *named, "--", str(place)]]
    with pytest.raises(RuntimeError, match="No model is named"):
        bpy.ops.pantheon360.add_model(folder="  ")


def test_the_hub_is_asked_before_it_gives_anything(
    house: Any, blend: Any, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bpy

    told = asking(house, monkeypatch, [HUB])
    with pytest.raises(RuntimeError, match=r"(?s)owner/model: 4\.6 GB.*stability-ai-community.*download_model"):
        bpy.ops.pantheon360.add_model(origin="HUB", hub_id="owner/model")
    assert [each[2] for each in told] == ["ask"] and told[0][-2:] == ["--", "owner/model"]
    assert ("--offline" in told[0]) == (not bpy.app.online_access), "Blender decides who may use the network"
    assert bpy.ops.pantheon360.download_model(origin="HUB", hub_id="owner/model") == {"FINISHED"}
    assert told[1][2] == "add" and ("--download" in told[1]) == bpy.app.online_access


def test_a_base_of_the_hub_is_asked_for_too(
    house: Any, blend: Any, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bpy

    told = asking(house, monkeypatch, [HUB])
    unet = put(tmp_path / "unet alone", None)
    with pytest.raises(RuntimeError, match="download_model"):
        bpy.ops.pantheon360.add_model(folder=str(unet), base_model="owner/model")
    assert told[0][2] == "ask" and told[0][-1] == "owner/model"


def test_without_an_engine_the_button_says_so_and_a_failure_stays(
    house: Any, blend: Any, store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import bpy

    monkeypatch.setenv("PANTHEON360_ENGINE", str(tmp_path / "none"))
    monkeypatch.delenv("PANTHEON360_BACKEND_PYTHON", raising=False)
    assert not bpy.ops.pantheon360.add_model.poll() and not bpy.ops.pantheon360.check_model.poll()
    monkeypatch.setenv("PANTHEON360_BACKEND_PYTHON", str(tmp_path / "no python"))
    with pytest.raises(RuntimeError):
        bpy.ops.pantheon360.check_model(model="tiny")
    outcomes = house("scene.background.outcomes")
    assert outcomes.of(None, "models").label == "Check Model"
    outcomes.forget(None, "models")


def test_offline_it_is_said_who_allows_the_network(
    house: Any, blend: Any, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, jobs = house("core.errors"), house("scene.shot.model_jobs")
    asking(house, monkeypatch, [])

    def refuse(*_: Any, **__: Any) -> str:
        raise errors.BackendError("owner/model is not on this computer. Download it with: a command")

    monkeypatch.setattr(jobs.child, "answer", refuse)
    ask = house("core.progress").run_to_end
    with pytest.raises(errors.ModelError, match=r"owner/model: not on this computer.*Allow Online Access"):
        ask(jobs.ask(jobs.Source("owner/model"), online=False))
    with pytest.raises(errors.BackendError, match="a command"):
        ask(jobs.ask(jobs.Source("owner/model"), online=True))


def test_an_answer_that_makes_no_sense_is_an_error(
    house: Any, blend: Any, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = house("scene.shot.model_jobs")
    asking(house, monkeypatch, [{"id": 3}])
    with pytest.raises(house("core.errors").BackendError, match="no answer that makes sense"):
        house("core.progress").run_to_end(jobs.ask(jobs.Source("owner/model"), online=False))
