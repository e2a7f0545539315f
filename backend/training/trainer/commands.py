"""`python -m backend train RECIPE`: a model is trained, from a terminal."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pantheon360_blender.core import files, inputs, plain_text
from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.progress import Job, Progress, map_progress, run_to_end
from pantheon360_blender.core.unexpected import boundary

from ...diffusion import packages, quiet_imports
from . import settings as recipes
from .settings import Settings

if TYPE_CHECKING:
    from accelerate import Accelerator

    from .loop import Outcome, Trainee

DONE, FAILED, STOPPED = 0, 1, 130
_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors")


def add_to(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `train` to the verbs of the backend's command line."""
    train = verbs.add_parser("train", help="train a model by a recipe (docs/training.md)")
    train.add_argument("recipe", type=Path, help="a TOML file, or the name of one that ships: small-vae, small, full")
    train.add_argument("--out", type=Path, help="the run's folder; by default out/training/RECIPE")
    train.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in the run's folder")
    train.add_argument("--set", action="append", default=[], metavar="TABLE.ENTRY=VALUE", help="change the recipe")
    train.add_argument("--steps", type=int, help="as --set run.steps")
    train.add_argument("--seconds", type=float, help="as --set run.seconds")
    train.add_argument("--threads", type=int, help="as --set run.threads")
    train.add_argument("--device", help="as --set run.device")
    train.add_argument("--dry-run", action="store_true", help="say what a painter's run takes of memory, and end")
    train.add_argument("--export", type=Path, metavar="FOLDER", help="write the newest checkpoint as a model, and end")


def main(chosen: argparse.Namespace) -> int:
    """Train, and return the exit code: 0 done, 1 failed, 130 stopped with a checkpoint."""
    try:
        settings = _settings(chosen)
        out = inputs.expanded(chosen.out or Path("out", "training", chosen.recipe.stem))
        packages.require(_PACKAGES, "Training needs")
        with boundary("train"):
            if chosen.dry_run:
                return _weigh(settings)
            if chosen.export:
                return _export(out, inputs.expanded(chosen.export))
            return _train(settings, out, resume=chosen.resume)
    except PantheonError as error:
        _say(f"Error: {error.text} {error.advice}".rstrip())
        return FAILED
    except KeyboardInterrupt:
        _say("Cancelled. What the last checkpoint holds is kept; go on with --resume.")
        return STOPPED


def _settings(chosen: argparse.Namespace) -> Settings:
    options = ("steps", "seconds", "threads", "device")
    given = {name: getattr(chosen, name) for name in options}
    changes = [f"run.{name}={value}" for name, value in given.items() if value is not None]
    recipe = recipes.find(chosen.recipe)
    return recipes.read(recipe, [*chosen.set, *changes], with_files=not (chosen.dry_run or chosen.export))


def _weigh(settings: Settings) -> int:
    from . import memory

    for line in memory.told(settings):
        _say(line)
    return DONE


def _export(out: Path, target: Path) -> int:
    quiet_imports.ask()
    from . import checkpoints, export, loop

    newest = checkpoints.newest(out / loop.CHECKPOINTS)
    if newest is None:
        raise PantheonError(f"{out} holds no checkpoint.", advice="Name the run's folder with --out.", code="no-run")
    _say(export.export(newest, target))
    return DONE


def _train(settings: Settings, out: Path, *, resume: bool) -> int:
    _choose_threads(settings.run.threads)
    quiet_imports.ask()
    from . import checkpoints, loop, sources

    there = checkpoints.newest(out / loop.CHECKPOINTS)
    if there is not None and not resume:
        advice = "Go on with --resume, or choose another folder with --out."
        raise PantheonError(f"{out} holds a run already: {there.name}.", advice=advice, code="run-there")
    machine = loop.accelerator(settings)
    trainee = _trainee(settings, machine)
    if machine.is_main_process:
        files.write_json(out / "settings.json", settings.as_json())
    outcome = _told(loop.train(trainee, settings, out, machine, sources.source, resume=resume), machine)
    if machine.is_main_process:
        _say(f"{'Done' if outcome.ended else 'Stopped'} at step {outcome.step}. {outcome.told}")
    machine.end_training()
    return DONE if outcome.ended or settings.run.seconds else STOPPED


def _trainee(settings: Settings, machine: Accelerator) -> Trainee:
    if settings.trains == "vae":
        from .vae_trainer import VaeTrainee

        return VaeTrainee(settings)
    from .painter_trainer import PainterTrainee

    return PainterTrainee(settings, machine)


def _told(job: Job[Outcome], machine: Accelerator) -> Outcome:
    """Run the job and print its progress, a line a step that tells something."""

    def tell(step: Progress) -> tuple[()]:
        if machine.is_main_process and step.text:
            where = f" {step.step} of {step.of}" if step.of else ""
            _say(f"{step.phase}{where}: {step.text}")
        return ()

    return run_to_end(map_progress(job, tell))


def _choose_threads(threads: int) -> None:
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        import torch

        torch.set_num_threads(threads)


def _say(text: str) -> None:
    print(plain_text.paragraph(text), file=sys.stderr, flush=True)
