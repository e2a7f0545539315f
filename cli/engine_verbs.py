"""The verbs of the engine: install, status, remove, test and download."""

from __future__ import annotations

import argparse
from typing import Any

from ..pantheon360_blender.core.engine import install as installing
from ..pantheon360_blender.core.engine import installed, parts, preflight
from ..pantheon360_blender.scene.app import engine
from .console import Output

Facts = dict[str, Any]
DEVICES = tuple(parts.DEVICES)
HELP = "The engine: a Python of its own for the backend, with the packages that Blender's does not have."


def parts_list(text: str) -> tuple[str, ...]:
    """Parts as written with commas, or `all`. Raises argparse.ArgumentTypeError if one is unknown."""
    names = tuple(parts.PARTS) if text == "all" else tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in parts.PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no part; there are {', '.join(parts.PARTS)}, all")
    return names


def install(options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    """Install the engine, or further parts of it."""
    names = engine.with_parts_there(options.parts)
    wheels = options.wheels.absolute() if options.wheels else None
    flight = engine.check(names, python=options.python, device=options.device, wheels=wheels)
    output.say(flight.text)
    made = output.run(engine.install_parts(flight))
    return 0, {"engine": str(made.interpreter(engine.root())), "parts": made.parts, "device": made.device}


def download(options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    """Fetch the packages of the engine into a folder, for a computer without a network."""
    flight = engine.check(options.parts, python=options.python, device=options.device)
    output.say(flight.text)
    folder = options.folder.absolute()
    count = output.run(installing.download(engine.root(), folder, flight))
    return 0, {"folder": str(folder), "packages": count}


def status(_options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    """Say what is installed, how large it is, and what could be added."""
    found, root = engine.current(), engine.root()
    device, because = preflight.best_device()
    missing = [name for name in parts.PARTS if found is None or name not in found.parts]
    output.say("\n".join(f"{part.title} ({part.name}): {part.enables}" for part in parts.PARTS.values()))
    return 0, {
        "engine": str(found.interpreter(root)) if found else "",
        "parts": found.parts if found else [],
        "python": found.python if found else "",
        "device": found.device if found else device,
        "computes_on": because,
        "megabytes": round(installed.size(root) / 1e6) if found else 0,
        "to_add": missing,
        "download_megabytes": parts.download_size(missing, device) if missing else 0,
    }


def remove(_options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    """Remove the engine and everything that was downloaded for it."""
    return 0, {"freed_megabytes": round(output.run(engine.remove()) / 1e6)}


def test(_options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    """Have the engine reconstruct two small panoramas, and paint with a tiny model."""
    return 0, output.run(engine.self_test())
