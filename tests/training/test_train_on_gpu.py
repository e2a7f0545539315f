"""What comes back from a GPU that was at hand for minutes is what the next run starts from."""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("safetensors", reason="the backend environment has safetensors")

import torch

from backend.training.trainer import checkpoints, loop
from backend.training.trainer import settings as recipes
from backend.training.trainer.checkpoints import Checkpoint
from backend.training.worlds.textures import TRAIN, TextureSet
from tests.training import small_textures


@pytest.fixture(scope="module")
def script() -> Any:
    place = Path(__file__).resolve().parents[2] / "scripts" / "train_on_gpu.py"
    found = importlib.util.spec_from_file_location("train_on_gpu", place)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_weights_come_back_in_small_files_and_as_a_checkpoint(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "SHARD", 250_000)
    weights = {f"unet.{index}": torch.randn(100, 100) for index in range(7)}
    settings = recipes.of({"trains": "vae", "seed": 5}).as_json()
    kept = Checkpoint(1200, 2400, settings, {"weights": weights, "average": weights, "optimizer": {}})
    checkpoints.write(tmp_path / "run" / loop.CHECKPOINTS, kept, keep=1)
    (tmp_path / "out").mkdir()
    script._deliver(tmp_path / "run", tmp_path / "out")
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["1.safetensors", "2.safetensors", "3.safetensors", "4.safetensors", "run.json"]
    assert all(path.stat().st_size <= 250_000 for path in (tmp_path / "out").iterdir())
    assert json.loads((tmp_path / "out" / "run.json").read_text())["step"] == 1200

    chosen = argparse.Namespace(folder=tmp_path / "out", checkpoints=tmp_path / "back")
    assert script.unpack(chosen) == 0
    again = checkpoints.newest(tmp_path / "back")
    assert again is not None and str(again) in capsys.readouterr().out
    found = checkpoints.read(again)
    assert (found.step, found.samples, found.settings) == (1200, 2400, settings)
    for name, weight in weights.items():
        torch.testing.assert_close(found.tensors["average"][name], weight, rtol=1e-3, atol=1e-4)


def test_the_small_painters_files_are_few(script: Any) -> None:
    shards = script._shards({str(index): torch.zeros(11_000_000 // 100, dtype=torch.half) for index in range(100)})
    assert len(shards) <= 4
    assert all(sum(each.nbytes for each in shard.values()) <= script.SHARD for shard in shards)


def test_textures_that_travel_are_read_there(script: Any, tmp_path: Path) -> None:
    """As JPEG, and without those that are held out."""
    folder = small_textures.make(tmp_path / "textures")
    script._pack_textures(folder, tmp_path / "bundle")
    assert list((tmp_path / "bundle").glob("*.jpg")) and not list((tmp_path / "bundle").glob("*.png"))
    there, here = (TextureSet.load(each, TRAIN, "cpu") for each in (tmp_path / "bundle", folder))
    assert there.texels.shape == here.texels.shape
    assert (there.texels.float() - here.texels.float()).abs().mean() < 12
