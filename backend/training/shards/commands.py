"""The verb `training` of the command line: what comes before `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def add_to(verbs: Any) -> None:
    """Add the verb to the backend's."""
    training = verbs.add_parser("training", help="make what is trained on")
    steps = training.add_subparsers(dest="step", required=True, metavar="prepare")
    prepare = steps.add_parser("prepare", help="cut panorama videos with cameras and ranges into training clips")
    prepare.add_argument("dataset", type=Path, help="a folder of clips, of ViPE for instance (docs/evaluation.md)")
    prepare.add_argument("--out", type=Path, required=True, help="a folder for shards, split file and report")
    prepare.add_argument("--width", type=int, default=512, help="of the panoramas, in pixels")
    prepare.add_argument("--frames", type=int, default=25, help="of a training clip")
    prepare.add_argument("--fps", type=float, default=7.0, help="their pace")
    prepare.add_argument("--step", type=int, default=13, help="frames between the beginnings of two clips")
    prepare.add_argument("--filled", action="store_true", help="keep the draft, too, for models that see it")


def main(chosen: Any) -> int:
    """Do what was asked. Returns the exit code."""
    from . import preparation
    from .windows import WindowSettings

    windows = WindowSettings(chosen.frames, chosen.fps, chosen.width, chosen.step, filled=chosen.filled)
    return preparation.main(preparation.Preparation(chosen.dataset, chosen.out, windows))
