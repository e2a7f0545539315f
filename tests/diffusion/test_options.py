"""Settings of the painter: what an artist chose, what the model chooses, and what nobody can mean."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from backend import runner
from pantheon360_blender.core.errors import JobError
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.jobs.model_card import ModelCard
from pantheon360_blender.core.jobs.paint_settings import USUAL_STEPS, PaintOptions, SeamOptions
from pantheon360_blender.core.progress import run_to_end

CARD = ModelCard(
    "Street", "pantheon360", 1024, 512, 25, fps=8, motion_bucket=90, noise_aug=0.1, anchors=2, guidance=2.5
)


def test_the_model_decides_what_the_artist_does_not() -> None:
    recipe = PaintOptions().recipe(CARD, seed=11)
    assert (recipe.fps, recipe.motion_bucket_id, recipe.noise_aug_strength, recipe.guidance_scale) == (
        8,
        90,
        0.1,
        (2.5, 2.5),
    )
    assert (recipe.num_inference_steps, recipe.configuration, recipe.weighting, recipe.seed) == (
        25,
        "dual+fusion",
        "equal",
        11,
    )
    assert recipe.seam == SeamOptions("quarter", 2, circular=True)
    assert PaintOptions().share_of_draft(CARD) == 0
    assert PaintOptions().share_of_draft(replace(CARD, draft_share=0.5)) == 0.5
    alone = ModelCard("Street", "svd-xt", 1024, 576, 25)
    assert PaintOptions().recipe(alone, seed=0).configuration == "single+fusion"


def test_the_artist_decides_against_the_model() -> None:
    record = {
        "scheduler": "euler-aligned", "guidance": 1, "guidance_start": 2.0, "fps": 12, "motion_bucket": 3,
        "noise_aug": 0, "anchors": "dual", "weighting": "linear", "roll": "random", "padding": 0, "circular": False,
    }  # fmt: skip
    recipe = PaintOptions.from_json(json.loads(json.dumps(record))).recipe(CARD, seed=0)
    assert recipe.num_inference_steps == USUAL_STEPS["euler-aligned"] and recipe.guidance_scale == (2, 1)
    assert (recipe.fps, recipe.motion_bucket_id, recipe.noise_aug_strength) == (12, 3, 0)
    assert (recipe.configuration, recipe.weighting) == ("dual", "linear")
    assert recipe.seam == SeamOptions("random", 0, circular=False)
    assert PaintOptions(draft_share=0.0).share_of_draft(replace(CARD, draft_share=0.5)) == 0
    assert PaintOptions.from_json({"steps": 4}).recipe(CARD, seed=0).num_inference_steps == 4


def test_settings_survive_the_job() -> None:
    chosen = PaintOptions(model="street", steps=8, loras=[{"file": "rain.safetensors", "strength": 0.5}])
    assert PaintOptions.from_json(json.loads(json.dumps(chosen.to_json()))) == chosen
    assert PaintOptions.from_json({}) == PaintOptions()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", 3), ("scheduler", "heun"), ("steps", 0), ("steps", 2.5), ("steps", True), ("guidance", "3"),
        ("guidance", 0.5), ("guidance_start", 1000), ("fps", 0), ("motion_bucket", -1), ("noise_aug", 11),
        ("anchors", "both"), ("anchors", None), ("weighting", "cubic"), ("roll", 4), ("padding", -1), ("padding", 2.0),
        ("circular", 1), ("loras", {}), ("loras", ["rain"]), ("loras", [{"file": "rain", "strength": "much"}]),
        ("loras", [{"file": "", "strength": 1}]), ("loras", [{"file": "rain"}]), ("stepz", 3),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(name: str, value: Any) -> None:
    with pytest.raises(JobError, match=name):
        PaintOptions.from_json({name: value})


@pytest.mark.parametrize("record", [None, [], "steps", {"guidance": float("nan")}])
def test_what_is_no_object_of_settings(record: Any) -> None:
    with pytest.raises(JobError, match="no settings"):
        PaintOptions.from_json(record)


def test_wrong_settings_are_refused_before_torch_is_started(
    shot: Callable[..., PaintFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "backend.diffusion.shot.long_path", None)  # to import it fails
    with pytest.raises(JobError, match="steps is"):
        run_to_end(runner.run(shot(2, steps=0).path))


def test_every_scheduler_has_usual_steps() -> None:
    pytest.importorskip("torch", reason="the backend environment has torch")
    pytest.importorskip("diffusers", reason="the backend environment has diffusers")
    from backend.diffusion.networks.schedulers import SCHEDULERS

    assert USUAL_STEPS.keys() == SCHEDULERS.keys()
