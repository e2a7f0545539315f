"""Runs: stopped and resumed, shared among processes, and what comes of them, with networks that learn in seconds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("diffusers", reason="the backend environment has diffusers")
pytest.importorskip("transformers", reason="the backend environment has transformers")
pytest.importorskip("accelerate", reason="the backend environment has accelerate")

import torch
from safetensors.torch import load_file

from backend.diffusion.models import loading, lora, model_folder, tiny_model
from backend.training.trainer import (
    checkpoints,
    clip_pool,
    export,
    frame_convolutions,
    loop,
    low_rank,
    painter_trainer,
    samples,
    training_log,
    vae_trainer,
)  # fmt: skip
from backend.training.trainer import settings as recipes
from backend.training.trainer.clip_pool import ClipPool, Share
from pantheon360_blender.core.errors import ModelError, PantheonError
from pantheon360_blender.core.progress import run_to_end
from tests.training import moving_patterns

ROOT = Path(__file__).resolve().parents[2]
WIDTH, FRAMES = 128, 2


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model to start from."""
    folder = tmp_path_factory.mktemp("start") / "tiny"
    tiny_model.make(folder, width=WIDTH, height=WIDTH // 2, frames=FRAMES)
    return folder


def told(start: Path | None, **tables: Any) -> dict[str, Any]:
    """A recipe's tables, for a run of seconds."""
    given: dict[str, Any] = {
        "trains": "painter",
        "start": str(start) if start else "random",
        "clips": {"width": WIDTH, "frames": FRAMES, "kept": 3, "uses": 2, "held_out": 1},
        "optimizer": {"warm_up": 1, "rate": 1e-3, "average": 0.9},
        "run": {"steps": 4, "log_every": 1, "checkpoint_every": 2, "checkpoint_seconds": 0, "device": "cpu"},
    }
    for name, value in tables.items():
        given[name] = {**given.get(name, {}), **value} if isinstance(value, dict) else value
    return given


def trained(recipe: dict[str, Any], out: Path, *, resume: bool = False, until: int | None = None) -> loop.Outcome:
    """Run a recipe. until: close the run at this step's checkpoint, as if it had been killed after it."""
    settings = recipes.of(recipe)
    machine = loop.accelerator(settings)
    trainee: Any = (
        vae_trainer.VaeTrainee(settings)
        if settings.trains == "vae"
        else painter_trainer.PainterTrainee(settings, machine)
    )
    trainee.judge = lambda held_out: {"psnr_truth": 0.0, "psnr_covered": 0.0}  # paintings are another test's business
    trainee.show = lambda held_out, stem: None
    job = loop.train(trainee, settings, out, machine, moving_patterns.source, resume=resume)
    if until is None:
        return run_to_end(job)
    for step in job:
        if step.phase == "Training" and step.step > until:
            job.close()
            break
    return loop.Outcome(until, False, "")


def kept(out: Path, step: int) -> dict[str, bytes]:
    """A checkpoint's files of tensors."""
    folder = out / loop.CHECKPOINTS / f"step-{step:08d}"
    return {group: (folder / f"{group}.safetensors").read_bytes() for group in checkpoints.GROUPS}


VAE = {"trains": "vae", "vae": {"frames": 2, "rows": 32, "columns": 64, "whole_from": 0.5}}


@pytest.mark.parametrize("kind", ["painter", "vae", "lora"])
def test_what_was_resumed_equals_what_was_never_stopped(start: Path, tmp_path: Path, kind: str) -> None:
    changes: dict[str, dict[str, Any]] = {
        "painter": {"painter": {"one_step": 0.5}, "clips": {"accumulate": 2, "ahead": 1}},
        "vae": VAE,
        "lora": {"painter": {"rank": 2}, "optimizer": {"average": 0.0}},
    }
    recipe = told(start, **changes[kind])
    trained(recipe, tmp_path / "whole")
    trained(recipe, tmp_path / "stopped", until=2)
    assert checkpoints.newest(tmp_path / "stopped" / loop.CHECKPOINTS).name == "step-00000002"  # type: ignore[union-attr]
    outcome = trained(recipe, tmp_path / "stopped", resume=True)
    assert outcome.ended and outcome.step == 4
    assert kept(tmp_path / "whole", 4) == kept(tmp_path / "stopped", 4)
    rows = [training_log.read(tmp_path / name / training_log.TABLE) for name in ("whole", "stopped")]
    assert [(row["step"], row.get("loss")) for row in rows[0]] == [(row["step"], row.get("loss")) for row in rows[1]]


def test_a_signal_ends_a_run_with_a_checkpoint(start: Path, tmp_path: Path) -> None:
    recipe = told(start, run={"checkpoint_every": 100})
    settings = recipes.of(recipe)
    machine = loop.accelerator(settings)
    trainee = painter_trainer.PainterTrainee(settings, machine)
    trainee.judge = lambda held_out: {}  # type: ignore[method-assign,assignment]
    job = loop.train(trainee, settings, tmp_path, machine, moving_patterns.source)
    handler = signal.getsignal(signal.SIGTERM)
    for step in job:
        if step.phase == "Training":
            os.kill(os.getpid(), signal.SIGTERM)
            break
    outcome = run_to_end(job)
    assert not outcome.ended and outcome.step == 2
    assert [path.name for path in checkpoints.found(tmp_path / loop.CHECKPOINTS)] == ["step-00000002"]
    assert signal.getsignal(signal.SIGTERM) is handler
    assert trained(recipe, tmp_path, resume=True).ended


def test_checkpoints_that_were_cut_short_are_not_there(start: Path, tmp_path: Path) -> None:
    trained(told(start, run={"steps": 3, "checkpoint_every": 1, "log_every": 3}), tmp_path)
    folder = tmp_path / loop.CHECKPOINTS
    assert [path.name for path in checkpoints.found(folder)] == ["step-00000002", "step-00000003"]
    newest = folder / "step-00000003"
    whole = (newest / "weights.safetensors").read_bytes()
    for damage in (whole[:-1], whole[:100], b""):
        (newest / "weights.safetensors").write_bytes(damage)
        assert checkpoints.newest(folder) == folder / "step-00000002"
        with pytest.raises(ModelError, match="no whole checkpoint"):
            checkpoints.read(newest)
    (newest / "weights.safetensors").write_bytes(whole)
    assert checkpoints.newest(folder) == newest
    (newest / "run.json").write_text("{")
    assert checkpoints.newest(folder) == folder / "step-00000002"
    shutil.rmtree(folder / "step-00000002")
    assert checkpoints.newest(folder) is None and checkpoints.newest(tmp_path / "nothing") is None


def test_a_checkpoint_of_another_network_is_refused(start: Path, tmp_path: Path) -> None:
    trained(told(start, run={"steps": 1}), tmp_path)
    with pytest.raises(ModelError, match="does not fit the recipe"):
        trained(told(start, painter={"rank": 2}), tmp_path, resume=True)


def test_gradient_checkpointing_changes_nothing(start: Path, tmp_path: Path) -> None:
    found = []
    for name, wanted in (("without", False), ("with", True)):
        trained(told(start, run={"steps": 1, "gradient_checkpointing": wanted}), tmp_path / name)
        found.append(checkpoints.read(tmp_path / name / loop.CHECKPOINTS / "step-00000001").tensors["weights"])
    for name, weight in found[0].items():
        torch.testing.assert_close(weight, found[1][name], rtol=0, atol=1e-5)


_PROCESS = """
import sys, json
from pathlib import Path
import torch
from safetensors.torch import load_file
torch.set_num_threads(1)
from tests.training import test_trainer
test_trainer.trained(json.loads(sys.argv[1]), Path(sys.argv[2]))
"""


def test_two_processes_learn_what_one_does(start: Path, tmp_path: Path) -> None:
    """Each takes half of a step's samples; one process takes both halves, one after the other."""
    recipe = told(start, run={"steps": 2}, optimizer={"average": 0.9, "rate": 1e-4})
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    running = []
    for rank in ("0", "1"):
        told_apart = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        environment = {**os.environ, **told_apart, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [sys.executable, "-c", _PROCESS, json.dumps(recipe), str(tmp_path / "two")]
        running.append(subprocess.Popen(command, cwd=ROOT, env=environment))
    trained(told(start, run={"steps": 2}, optimizer=recipe["optimizer"], clips={"accumulate": 2}), tmp_path / "one")
    assert [process.wait(timeout=300) for process in running] == [0, 0]
    one, two = (checkpoints.read(tmp_path / name / loop.CHECKPOINTS / "step-00000002") for name in ("one", "two"))
    assert one.samples == two.samples == 4
    assert one.tensors["optimizer"].keys() == two.tensors["optimizer"].keys()
    for group in ("weights", "average", "optimizer"):
        for name, tensor in one.tensors[group].items():
            torch.testing.assert_close(tensor, two.tensors[group][name], rtol=1e-3, atol=2e-6)


def test_a_clip_is_learned(start: Path, tmp_path: Path) -> None:
    recipe = told(
        start,
        clips={"kept": 1, "uses": 1_000_000},
        run={"steps": 40, "checkpoint_every": 40},
        optimizer={"rate": 3e-3, "warm_up": 5, "lowest": 0.1},
        painter={"high_noise": 1.0, "dropout": 0.0},
    )
    trained(recipe, tmp_path)
    losses = [row["loss"] for row in training_log.read(tmp_path / training_log.TABLE) if "loss" in row]
    assert np.mean(losses[-8:]) < 0.4 * np.mean(losses[:5])
    assert (tmp_path / training_log.PLOT).stat().st_size > 1000


def test_what_was_trained_loads_and_paints(start: Path, tmp_path: Path) -> None:
    recipe = told(start, run={"steps": 2}, card={"name": "Waves", "licence": "CC0-1.0"})
    trained(recipe, tmp_path / "run")
    checkpoint = checkpoints.newest(tmp_path / "run" / loop.CHECKPOINTS)
    assert checkpoint is not None
    export.export(checkpoint, tmp_path / "exported")
    with pytest.raises(ModelError, match="there already"):
        export.export(checkpoint, tmp_path / "exported")
    models = [model_folder.open(tmp_path / "run" / "model"), model_folder.open(tmp_path / "exported")]
    assert models[0].card == models[1].card
    card = models[0].card
    assert (card.name, card.kind, card.trained, card.width, card.frames) == (
        "Waves",
        "pantheon360",
        True,
        WIDTH,
        FRAMES,
    )
    for part in ("unet", "vae", "image_encoder"):
        (written,) = (tmp_path / "exported" / part).glob("*.safetensors")
        assert {entry.dtype for entry in load_file(written).values()} == {torch.float16}, part
    shown = [loading.load(model) for model in models]
    for one, other in zip(shown[0].unet.parameters(), shown[1].unet.parameters(), strict=True):
        assert torch.equal(one, other) and one.dtype == torch.float32
    clip = moving_patterns.MovingPatterns(recipes.of(recipe).clips).clip(1)
    images = samples.painted(shown[0], clip)
    assert images.shape == (FRAMES, WIDTH // 2, WIDTH, 3) and images.dtype == np.uint8
    samples.show(shown[0], clip, tmp_path / "shown")
    assert (tmp_path / "shown.png").exists()


def test_a_lora_that_was_trained_loads(start: Path, tmp_path: Path) -> None:
    recipe = told(start, painter={"rank": 3, "alpha": 6.0}, run={"steps": 3}, optimizer={"average": 0.0})
    trained(recipe, tmp_path)
    path = tmp_path / "model" / "lora.safetensors"
    settings = recipes.of(recipe)
    checkpoint = checkpoints.read(tmp_path / loop.CHECKPOINTS / "step-00000003")
    assert all(name.endswith((".down", ".up")) for name in checkpoint.tensors["weights"])
    changed = loading.load(model_folder.open(start), loras=[(path, 1.0)]).unet
    beside = painter_trainer.starts.networks(
        painter_trainer.starts.onwards(settings, tmp_path / loop.CHECKPOINTS / "step-00000003")
    ).unet
    assert lora.read(path).changes.keys() == low_rank.changes(beside).keys()
    inputs = (torch.randn(1, FRAMES, 8, 8, 16), torch.tensor(1.0), torch.randn(1, 8, 32), torch.ones(1, 3))
    with torch.no_grad():
        one, other = (network.eval()(*inputs).sample for network in (changed, beside))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    plain = loading.load(model_folder.open(start)).unet
    with torch.no_grad():
        assert not torch.allclose(plain(*inputs).sample, one, atol=1e-5)


def test_a_vae_that_was_trained_is_one_to_start_from(tmp_path: Path) -> None:
    recipe = told(None, **VAE, run={"steps": 2}, clips={"width": 64})
    outcome = trained(recipe, tmp_path)
    assert "scaling factor" in outcome.told
    config = model_folder.read_config("vae", tmp_path / "vae")
    again = recipes.of(told(None, painter={"vae": str(tmp_path / "vae")}, clips={"width": 64}))
    networks = painter_trainer.starts.networks(again)
    assert networks.vae.config.scaling_factor == config["scaling_factor"] != 0.18215
    latents = vae_trainer.VaeTrainee(recipes.of({**recipe, "start": str(tmp_path)}))._encoded(
        moving_patterns.MovingPatterns(again.clips).clip(again.clips.held_out_first).frames
    )
    assert float(latents.std()) * config["scaling_factor"] == pytest.approx(1, rel=1e-3)


def test_a_vae_goes_on_from_the_checkpoint_of_another_run(tmp_path: Path) -> None:
    """Also where diffusers makes layers that it never calls, which no checkpoint holds."""
    trained(told(None, **VAE, clips={"width": 64}), tmp_path)
    newest = checkpoints.newest(tmp_path / "checkpoints")
    assert newest is not None
    again = painter_trainer.starts.vae(recipes.of(told(None, **VAE, clips={"width": 64}) | {"start": str(newest)}))
    for name, tensor in checkpoints.read(newest).tensors["average"].items():
        assert torch.equal(again.state_dict()[name.removeprefix("vae.")], tensor), name


def test_convolutions_over_frames_are_flat_ones() -> None:
    for kernel, padding in (((3, 1, 1), (1, 0, 0)), ((1, 1, 1), (0, 0, 0))):
        layer = torch.nn.Conv3d(4, 6, kernel, padding=padding)
        video = torch.randn(2, 4, 5, 6, 8)
        plain = layer(video)
        with frame_convolutions.flat(layer):
            torch.testing.assert_close(layer(video), plain)
        assert "_conv_forward" not in vars(layer)
    whole = torch.nn.Conv3d(4, 6, 3, padding=1)
    with frame_convolutions.flat(whole):
        assert "_conv_forward" not in vars(whole)


def test_which_clip_a_sample_sees_depends_on_its_number_alone() -> None:
    clips = recipes.Clips(kept=4, uses=3, width=64, frames=1)
    source = moving_patterns.MovingPatterns(clips)
    whole = ClipPool(source, clips, seed=7)
    names = [whole.sample(number).clip.name for number in range(30)]
    assert len(source.asked) == len(set(source.asked)) <= 30 / 3 + 4
    assert [ClipPool(source, clips, 7).sample(number).clip.name for number in range(30)] == names
    assert [ClipPool(source, clips, 8).sample(number).clip.name for number in range(30)] != names
    numbers = [Share(2, 2, rank, 2).numbers(8) for rank in (0, 1)]
    assert numbers == [[range(8, 10), range(12, 14)], [range(10, 12), range(14, 16)]]
    for ahead in (0, 2):
        with clip_pool.batches(ClipPool(source, clips, 7), Share(2, 1), 0, ahead) as steps:
            found = [sample for _ in range(5) for batch in next(steps) for sample in batch]
        assert [sample.clip.name for sample in found] == names[:10]
        drawn = [int(torch.randint(1 << 30, (1,), generator=sample.generator)) for sample in found]
        assert len(set(drawn)) == 10


@pytest.mark.parametrize(
    ("capability", "precision", "mixed"),
    [("AVX2", "bfloat16", "no"), ("AVX512", "bfloat16", "bf16"), ("AVX512", "float32", "no")],
)
def test_a_processor_without_bfloat16_takes_float32(
    monkeypatch: pytest.MonkeyPatch, capability: str, precision: str, mixed: str
) -> None:
    """It would work bfloat16 out of other numbers, and take four times as long."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(loop, "Accelerator", lambda **told: told)
    settings = recipes.of({"run": {"device": "cpu", "precision": precision}}, with_files=False)
    assert loop.accelerator(settings) == {"cpu": True, "mixed_precision": mixed}


def test_numbers_that_overflow_end_a_run(start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painter_trainer.objective, "loss", lambda *_, **__: torch.tensor(torch.nan, requires_grad=True))
    with pytest.raises(PantheonError, match="step 1") as caught:
        trained(told(start), tmp_path)
    assert caught.value.code == "not-finite" and "optimizer.rate" in caught.value.advice
    assert checkpoints.newest(tmp_path / loop.CHECKPOINTS) is None
