"""pantheon360-small, the model that comes with the extension: what it says of itself, and that it paints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")
pytest.importorskip("transformers", reason="the backend environment has transformers")

from safetensors import safe_open

from backend import self_test
from backend.diffusion.models import model_folder, model_store
from backend.evaluation import caches, clips, methods
from backend.evaluation.methods import Situation
from pantheon360_blender.core.jobs import model_places
from tests import known_room

FOLDER = Path(__file__).resolve().parents[2] / "backend" / "models" / model_places.SHIPPED
LARGEST = 25_000_000


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model as the extension has it, which tests do without elsewhere."""
    monkeypatch.setattr(model_places, "_SHIPPED_IN", FOLDER.parent)
    return FOLDER


def test_it_says_what_it_is(shipped: Path) -> None:
    model = model_store.find(model_places.chosen(""))
    assert model.path == shipped and not model_folder.open(shipped).card.inferred
    card = model.card
    assert card.trained and card.sees_draft and card.steps == 1 and card.licence == "GPL-3.0-or-later"
    text = (shipped / "README.md").read_text("utf-8")
    for heading in ("Data", "Training", "What judged it", "Limits", "Licence"):
        assert f"\n## {heading}\n" in text


def test_it_is_small_and_of_half_precision(shipped: Path) -> None:
    weights = list(shipped.glob("*/*.safetensors"))
    assert len(weights) == 3 and sum(file.stat().st_size for file in weights) < LARGEST
    for file in weights:
        with safe_open(file, "pt") as opened:
            assert {opened.get_slice(name).get_dtype() for name in opened.keys()} == {"F16"}, file  # noqa: SIM118


def test_it_paints_a_room_better_than_the_draft(shipped: Path, tmp_path: Path) -> None:
    """One of the tests' own, which it was not trained on, through a tenth of the points of two captures."""
    known_room.write(tmp_path / "room", known_room.path(9), 256)
    clip = clips.find(tmp_path)[0].read()
    situation = Situation(clip, clip.known, caches.thinned(caches.dense(clip.known), 0.1))
    truth = clip.images[situation.scored].astype(float)
    errors = [
        float(np.square(paint(situation)[situation.scored] - truth).mean())
        for paint in (methods.draft, methods.model({"model": str(shipped)}))
    ]
    assert errors[1] < errors[0]


def test_the_engine_is_tested_with_it(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert self_test.main(["diffusion"]) == 0
    assert "2 frames by Pantheon360 Small on " in capsys.readouterr().out
