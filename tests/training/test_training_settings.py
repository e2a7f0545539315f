"""Recipes: every wrong entry is named, with what is right, before anything slow begins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.training.trainer import settings as recipes
from pantheon360_blender.core.errors import PantheonError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"run": {"steps": 0}}, "run.steps is 0, not a whole number from 1"),
        ({"run": {"steps": True}}, "run.steps is True, not a whole number"),
        ({"run": {"steps": 1.5}}, "run.steps is 1.5, not a whole number"),
        ({"run": {"precision": "float16"}}, "run.precision is 'float16', not one of float32, bfloat16"),
        ({"run": {"gradient_checkpointing": 1}}, "run.gradient_checkpointing is 1, not true or false"),
        ({"optimizer": {"rate": "fast"}}, "optimizer.rate is 'fast', not a number from 0 to 1"),
        ({"optimizer": {"rate": float("nan")}}, "optimizer.rate is nan, not a number"),
        ({"optimizer": {"speed": 1}}, "optimizer.speed is unknown, there are rate, warm_up"),
        ({"optimizer": 3}, "optimizer is no table"),
        ({"clips": {"width": 250}}, "clips.width is 250, not a multiple of 32"),
        ({"clips": {"held_out_first": 5}}, "clips.held_out_first must lie at least 2^40 beyond"),
        ({"trains": "all"}, "trains is 'all', not one of vae, painter"),
        ({"seed": -1}, "seed is -1, not a whole number"),
        ({"start": "/nowhere"}, "start is '/nowhere', neither 'random' nor a folder"),
        ({"trains": "painter"}, "painter.vae is '', not the folder of a VAE"),
        ({"painter": {"rank": 4}}, "painter.rank asks for LoRA, which needs a start"),
        ({"perceptual": {"weight": 1.0}}, "perceptual.weights is '', not the folder with vgg16.safetensors"),
        ({"run": {"by_clock": True}}, "run.by_clock needs run.seconds"),
        ({"clips": {"held_out": 0}}, "clips.held_out is 0, and a VAE's scaling factor"),
        ({"vae": {"frames": 9}}, "vae.frames is 9, more than the 8 of clips.frames"),
        ({"vae": {"rows": 20}}, "vae.rows and vae.columns must be multiples of 16"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_right(given: dict[str, Any], named: str) -> None:
    with pytest.raises(PantheonError) as caught:
        recipes.of({"trains": "vae", **given}, "mine.toml")
    assert named in caught.value.text and caught.value.text.startswith("mine.toml is wrong: ")
    assert caught.value.advice


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(PantheonError, match=r"trains is .*; run\.steps is .*; vae\.rows is "):
        recipes.of({"trains": 1, "run": {"steps": -1}, "vae": {"rows": -16}})


@pytest.mark.parametrize("recipe", sorted(recipes.RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_recipes_that_ship_are_right(recipe: Path, tmp_path: Path) -> None:
    there = [f'start="{tmp_path}"'] if "random" not in recipe.read_text() else [f'painter.vae="{tmp_path}"']
    found = recipes.read(recipes.find(Path(recipe.stem)), [*there, "perceptual.weight=0.0"])
    assert recipes.of(found.as_json()) == found


def test_a_change_is_read_as_toml_or_as_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('trains = "vae"\n')
    changes = ["run.steps=7", "run.device=cpu", "optimizer.rate=1e-5", 'clips.folder="a b"', "seed=3"]
    found = recipes.read(tmp_path / "a.toml", changes)
    assert (found.run.steps, found.run.device, found.optimizer.rate, found.seed) == (7, "cpu", 1e-5, 3)
    assert found.clips.folder == "a b"
    for wrong in ("steps", "run.steps", "=", "trains.x=1"):
        with pytest.raises(PantheonError, match="--set"):
            recipes.read(tmp_path / "a.toml", [wrong])


@pytest.mark.parametrize("text", ["[", "\xff\xfe", "a = 1\na = 2"])
def test_a_damaged_recipe_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(PantheonError, match="cannot be read"):
        recipes.read(tmp_path / "a.toml")
    with pytest.raises(PantheonError, match="There is no recipe"):
        recipes.find(tmp_path / "b.toml")


def test_a_wrong_recipe_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from backend import __main__;"
        "sys.exit(__main__.main(['train', 'small-vae', '--set', 'run.steps=none']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "run.steps is 'none'" in done.stderr
