"""`python -m backend serve | run FOLDER | models ... | doctor`: the only way in, for Blender and for people."""

from __future__ import annotations

import sys

# The artist may choose any Python, and deserves more than a SyntaxError.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("The backend needs Python 3.11 or newer; this is Python " + sys.version.split()[0] + ".")

import argparse

from .diffusion.models import commands as models


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m backend",
        description="Paint or reconstruct what Pantheon360 for Blender prepares as job folders.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong command line, 130 cancelled.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="serve | run | models | doctor")
    verbs.add_parser("serve", help="answer Blender's messages on stdin and stdout until stdin ends")
    run = verbs.add_parser("run", help="do the job in a folder; a half-finished one goes on where it stopped")
    run.add_argument("folder", help="a folder with a job.json")
    run.add_argument("--json", action="store_true", help="print one JSON object a line instead of text")
    models.add_to(verbs)
    testing = verbs.add_parser("self-test", help="reconstruct and paint something small, to see that all of it works")
    testing.add_argument("parts", nargs="*", help="reconstruction, importers, diffusion; by default all")
    doctor = verbs.add_parser("doctor", help="say what this Python can do, what is missing and how to get it")
    doctor.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code. Modules are imported per verb, so that --help is instant."""
    chosen = arguments().parse_args(argv)
    if chosen.verb == "self-test":
        from . import self_test

        return self_test.main(chosen.parts)
    if chosen.verb == "doctor":
        from . import doctor

        return doctor.main(as_json=chosen.json)
    if chosen.verb == "models":
        return models.main(chosen)
    if chosen.verb == "serve":
        from . import service

        return service.main()
    from . import run

    return run.main(chosen.folder, as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
