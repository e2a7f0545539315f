"""`python -m backend.importers PATH FOLDER`: bring a file or folder in, for Blender to read as an import folder."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.importers import depth, import_folder
from pantheon360_blender.core.importers.imported import UP_AXES, Options
from pantheon360_blender.core.jobs import messages
from pantheon360_blender.core.output_folder import OutputFolder
from pantheon360_blender.core.unexpected import boundary
from pantheon360_blender.core.version import version

from .. import terminal
from ..reporting import MessageWriter, Reporter, claim_stdout
from . import decoders, open_source


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m backend.importers",
        description="Read points, and pictures with poses, of another program into a folder.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong command line, 130 cancelled.",
    )
    parser.add_argument("path", type=Path, help="the file or folder of the other program")
    parser.add_argument("folder", type=Path, help="where cache.npz, import.json and pictures go")
    parser.add_argument(
        "--limit", type=int, default=Options.limit, help="points above which it is thinned (%(default)s)"
    )
    parser.add_argument("--voxel", type=float, default=0.0, help="thin by voxels of this edge in meters")
    parser.add_argument("--up", choices=list(UP_AXES), help="the file's axis that points up, as --up=-y")
    parser.add_argument("--scale", type=float, help="meters of a unit of the file's coordinates")
    parser.add_argument("--offset", type=float, nargs=3, metavar=("X", "Y", "Z"), help="meters to take off")
    parser.add_argument("--image", type=Path, help="the panorama of a depth image")
    parser.add_argument("--depth-scale", type=float, help="meters of a step of a depth image (inverse depth: 1/m)")
    parser.add_argument("--depth-inverse", action="store_true", help="the depth image holds 1 / depth")
    parser.add_argument("--depth-measure", default="range", help="range, cube or horizontal (%(default)s)")
    parser.add_argument("--range-only", action="store_true", help="of a depth image write its range alone, range.npz")
    parser.add_argument("--every", type=int, default=1, help="of a sequence of frames, take every n-th")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line instead of text")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Import and return the exit code."""
    options = vars(arguments().parse_args(argv))
    path, folder, as_json = options.pop("path"), options.pop("folder"), options.pop("json")
    range_only = options.pop("range_only")
    printer: terminal.Printer = MessageWriter(claim_stdout()) if as_json else terminal.Lines(sys.stdout)
    if as_json:
        printer.send(messages.Hello(messages.PROTOCOL, version(), os.getpid(), "CPU"))
    try:
        with boundary(f"Reading {path}"):
            output = OutputFolder.made(folder)
            if range_only:
                ranges, notes = depth.read_range(path, Options(**options, decoders=decoders.DECODERS))
                import_folder.write_range(ranges, output)
            else:
                steps = open_source(path, **options | {"pictures": output})
                imported = Reporter(path.name, Path()).follow(steps, printer.send)
                import_folder.write(imported, output)
                notes = list(imported.notes)
        for note in notes:
            printer.send(messages.Warning_(note))
        printer.send(messages.Done(path.name, str(folder), 0))
        return terminal.DONE
    except KeyboardInterrupt:
        printer.send(messages.Cancelled(path.name))
        return terminal.CANCELLED
    except PantheonError as error:
        with suppress(OSError):  # nothing came
            folder.rmdir()
        printer.send(messages.Error(error.code, error.text, error.advice, path.name))
        return terminal.FAILED


if __name__ == "__main__":
    sys.exit(main())
