"""A shot for the diffusion painter holds its settings; what is missing for it is said before any work is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pantheon360_blender.core.jobs import model_card
from pantheon360_blender.core.jobs.model_card import ModelCard
from pantheon360_blender.core.jobs.paint_settings import PaintOptions


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PANTHEON360_BACKEND_PYTHON", raising=False)
    monkeypatch.setenv("PANTHEON360_MODELS", str(tmp_path / "store"))
    folder = tmp_path / "store" / "tiny"
    folder.mkdir(parents=True)
    model_card.write(folder, ModelCard("Tiny", "untrained", 256, 128, 8, trained=False))
    return tmp_path / "store"


@pytest.fixture
def scene(shot_scene: Any) -> Any:
    shot_scene.pantheon360.painter = "DIFFUSION"
    shot_scene.pantheon360.diffusion.model = "tiny"
    return shot_scene


def disabled(house: Any, scene: Any, operator: str = "generate") -> str:
    kind = getattr(house(f"operators.{operator}"), f"PANTHEON360_OT_{operator}")
    reason = kind.disabled_reason(_Context(scene))
    return str(reason.text) if reason is not None else ""


class _Context:
    def __init__(self, scene: Any) -> None:
        self.scene = scene


def test_every_painter_of_the_backend_is_offered(house: Any, scene: Any) -> None:
    from backend import painters

    items = house("scene.app.plugin_items").painters()
    assert {item[0].lower() for item in items} == set(painters.described())
    assert [(item[0], item[3]) for item in items[:2]] == [("DRAFT", 0), ("DIFFUSION", 1)], "as 0.1.0 stored them"


def test_the_job_holds_the_settings(house: Any, run: Any, scene: Any) -> None:
    scene.pantheon360.diffusion.steps = 3
    folder = run(house("scene.shot.shot").prepare(scene, settings={"every": 2, "steps": 5}))
    job = house("core.jobs.job_folder").JobFolder.open(folder.path).job
    assert job.painter == "diffusion" and job.settings.keys() == {"near", "diffusion"}
    assert PaintOptions.from_json(job.settings["diffusion"]) == PaintOptions(model="tiny", steps=5, every=2)


def test_the_draft_has_no_such_settings(house: Any, run: Any, scene: Any) -> None:
    scene.pantheon360.painter = "DRAFT"
    assert run(house("scene.shot.shot").prepare(scene)).job.settings.keys() == {"near"}
    assert (
        run(house("scene.shot.shot").prepare(scene, painter="DIFFUSION")).job.settings["diffusion"]["model"] == "tiny"
    )
    with pytest.raises(house("core.errors").JobError, match="steps: these are settings of the diffusion painter"):
        run(house("scene.shot.shot").prepare(scene, settings={"steps": 5}))


@pytest.mark.parametrize(("settings", "told"), [({"model": " "}, "no model"), ({"steps": 0}, "steps is not")])
def test_wrong_settings_stop_a_shot_before_its_geometry(
    house: Any, run: Any, scene: Any, tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(house("core.errors").JobError, match=told):
        run(house("scene.shot.shot").prepare(scene, settings=settings))
    assert not (tmp_path / "jobs").exists()


def test_the_gray_button_says_what_the_painter_lacks(
    house: Any, scene: Any, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = scene.pantheon360.diffusion
    assert "part Diffusion" in disabled(house, scene)
    assert disabled(house, scene, "render_geometry") == "", "another computer may paint it"
    monkeypatch.setenv("PANTHEON360_BACKEND_PYTHON", "/opt/python")
    assert disabled(house, scene) == ""
    for named, told in (("nobody", "no model nobody"), ("", "model first"), ("owner/model", "")):
        chosen.model = named
        assert told in disabled(house, scene) and bool(told) == bool(disabled(house, scene))
    chosen.model = ""
    assert disabled(house, scene, "render_geometry") == "", "the pass needs no model"
    scene.pantheon360.painter = "DRAFT"
    assert disabled(house, scene) == ""


def test_the_pass_alone_needs_no_model(house: Any, scene: Any) -> None:
    """Its job folder is for the draft painter then, and that is said."""
    import bpy

    scene.pantheon360.diffusion.model = ""
    assert bpy.ops.pantheon360.render_geometry() == {"FINISHED"}
    folder = house("core.jobs.job_folder").PaintFolder.open(house("scene.shot.shot").unfinished(scene))
    assert folder.job.painter == "draft"


def test_the_works_own_order_goes_first(house: Any, scene: Any) -> None:
    scene.pantheon360.diffusion.model = ""
    scene.camera = None
    assert "camera" in disabled(house, scene)
