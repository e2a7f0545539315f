"""`python -m backend serve | run FOLDER | jobs | models | evaluate FOLDER | train RECIPE | doctor`: the only way in."""

from __future__ import annotations

import sys

# The artist may choose any Python, and deserves more than a SyntaxError.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("The backend needs Python 3.11 or newer; this is Python " + sys.version.split()[0] + ".")

import argparse
from pathlib import Path
from typing import Any

from .diffusion.models import commands as models
from .training.shards import commands as shards
from .training.trainer import commands as training


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m backend",
        description="Paint or reconstruct what Pantheon360 for Blender prepares as job folders.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong command line, 130 cancelled.",
    )
    verbs = parser.add_subparsers(
        dest="verb", required=True, metavar="serve | run | jobs | models | evaluate | training | train | doctor"
    )
    verbs.add_parser("serve", help="answer Blender's messages on stdin and stdout until stdin ends")
    run = verbs.add_parser("run", help="do the job in a folder; a half-finished one goes on where it stopped")
    run.add_argument("folder", help="a folder with a job.json")
    run.add_argument("--json", action="store_true", help="print one JSON object a line instead of text")
    jobs = verbs.add_parser("jobs", help="list the jobs that Blender began, or do those named one after the other")
    jobs.add_argument("ids", nargs="*", metavar="ID", help="of a job in the list")
    models.add_to(verbs)
    testing = verbs.add_parser("self-test", help="reconstruct and paint something small, to see that all of it works")
    testing.add_argument("parts", nargs="*", help="reconstruction, importers, diffusion; by default all")
    _add_evaluate(verbs)
    shards.add_to(verbs)
    training.add_to(verbs)
    doctor = verbs.add_parser("doctor", help="say what this Python can do, what is missing and how to get it")
    doctor.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parser


def _add_evaluate(verbs: Any) -> None:
    evaluate = verbs.add_parser("evaluate", help="measure painters and models on clips whose truth is known")
    evaluate.add_argument("dataset", type=Path, help="a folder of clips (docs/evaluation.md)")
    evaluate.add_argument("--out", type=Path, required=True, help="a folder for tables, sheets, videos and plots")
    evaluate.add_argument("--weights", type=Path, help="weights of the networks that judge (scripts/metric_weights.py)")
    evaluate.add_argument("--model", help="a model that paints: its name, or its folder")
    evaluate.add_argument("--model-every", type=int, default=1, help="the model paints one clip in so many")
    evaluate.add_argument("--label", default="model", help="what the tables call the model")
    evaluate.add_argument("--width", type=int, help="of the panoramas, in pixels; by default as the clips are")
    evaluate.add_argument("--frames", type=int, default=25, help="most frames of a clip")
    evaluate.add_argument("--sampled", type=int, default=2, help="frames of a clip that networks look at")
    evaluate.add_argument("--all-crops", action="store_true", help="ST-LPIPS, DISTS and FVD of the 8 crops, too: slow")
    evaluate.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    evaluate.add_argument("--met3r", action="store_true", help="MEt3R too, with your own package and weights")
    evaluate.add_argument("--only", default="", help="clips whose names begin so")
    evaluate.add_argument("--every", type=int, default=1, help="one clip in so many")
    evaluate.add_argument("--resume", action="store_true", help="keep the clips that --out has results of")
    evaluate.add_argument("--note", default="", help="what the tables say of the dataset")


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code. Modules are imported per verb, so that --help is instant."""
    chosen = arguments().parse_args(argv)
    if chosen.verb == "self-test":
        from . import self_test

        return self_test.main(chosen.parts)
    if chosen.verb == "jobs":
        from . import jobs

        return jobs.main(chosen.ids)
    if chosen.verb == "doctor":
        from . import doctor

        return doctor.main(as_json=chosen.json)
    if chosen.verb == "models":
        return models.main(chosen)
    if chosen.verb == "evaluate":
        from .evaluation import evaluate

        options = {name: value for name, value in vars(chosen).items() if name != "verb"}
        return evaluate.main(evaluate.Request(**options))
    if chosen.verb == "training":
        return shards.main(chosen)
    if chosen.verb == "train":
        return training.main(chosen)
    if chosen.verb == "serve":
        from . import service

        return service.main()
    from . import run

    return run.main(chosen.folder, as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
