"""`python -m backend models ...`: a person's models, from a terminal."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pantheon360_blender.core import plain_text
from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.jobs import messages
from pantheon360_blender.core.progress import Job, Progress, Result, map_progress, run_to_end
from pantheon360_blender.core.unexpected import boundary
from pantheon360_blender.core.version import version

from ...reporting import MessageWriter, Reporter, claim_stdout
from .. import packages, quiet_imports

if TYPE_CHECKING:
    from .model_store import Entry

DONE, FAILED, CANCELLED = 0, 1, 130
_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub")


def add_to(verbs: Any) -> None:
    """Add `models` to the verbs of the backend's command line."""
    models = verbs.add_parser("models", help="add, list, check and convert the models that paint")
    actions = models.add_subparsers(
        dest="action", required=True, metavar="add | list | check | ask | convert | make-tiny"
    )
    add = actions.add_parser("add", help="add a model from a folder or the hub, and say what it can do")
    add.add_argument("source", help="a diffusers folder, or a hub id such as OWNER/MODEL")
    add.add_argument("--name", help="what to call it; by default the folder's name")
    add.add_argument("--base", help="for a U-Net alone: the model whose other parts it uses (name, folder or hub id)")
    add.add_argument("--kind", choices=("argus", "svd", "svd-xt"), help="what it is, where nothing in it tells")
    add.add_argument("--licence", help="of its weights, to be shown with it")
    add.add_argument("--download", action="store_true", help="get what is missing from the hub; else stay offline")
    add.add_argument("--half", action="store_true", help="download weights of half precision only")
    add.add_argument("--copy", action="store_true", help="keep a copy of the weights; else only where they lie")
    add.add_argument("--json", action="store_true", help="print one JSON object a line instead of text")
    asking = actions.add_parser("ask", help="say what downloading models of the hub comes to: size and license")
    asking.add_argument("ids", nargs="+", metavar="ID", help="hub ids such as OWNER/MODEL")
    asking.add_argument("--half", action="store_true", help="of weights of half precision only")
    asking.add_argument("--offline", action="store_true", help="look on this computer alone")
    asking.add_argument("--json", action="store_true", help="print JSON instead of text")
    listing = actions.add_parser("list", help="list the models there are")
    listing.add_argument("--json", action="store_true", help="print JSON instead of text")
    check = actions.add_parser("check", help="check models: files, shapes, and that every number is one")
    check.add_argument("models", nargs="*", help="names, folders or hub ids; by default every model there is")
    check.add_argument("--quick", action="store_true", help="leave the numbers unread")
    check.add_argument("--json", action="store_true", help="print one JSON object a line instead of text")
    convert = actions.add_parser("convert", help="make a safe diffusers folder of pickles or of a single file")
    convert.add_argument("source", help="a diffusers folder with .bin files, or a single SVD file")
    convert.add_argument("target", help="the folder to make")
    convert.add_argument("--kind", choices=("svd", "svd-xt"), help="of a single file; by default its name tells")
    convert.add_argument("--half", action="store_true", help="store half precision")
    tiny = actions.add_parser("make-tiny", help="make a small random model, for tests and first runs")
    tiny.add_argument("target", nargs="?", help="the folder to make; by default one among the models, called tiny")
    tiny.add_argument("--seed", type=int, default=0, help="of its random weights")
    tiny.add_argument("--extra", action="append", default=[], help="a further input channel: coverage or depth")


def main(chosen: argparse.Namespace) -> int:
    """Run a command and return its exit code: 0 done, 1 failed, 130 cancelled."""
    quiet_imports.ask()
    if chosen.action in _STEPS and chosen.json:
        return _tell_blender(chosen)
    try:
        packages.require(_PACKAGES, "Models need")
        with boundary(f"models {chosen.action}"):
            return int(_ACTIONS[chosen.action](chosen))
    except PantheonError as error:
        _say(f"Error: {error.text} {error.advice}".rstrip(), error=True)
        return FAILED
    except KeyboardInterrupt:
        _say("Cancelled.", error=True)
        return CANCELLED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python does not fail again at exit
        return FAILED


def _tell_blender(chosen: argparse.Namespace) -> int:
    """Do it for Blender, which reads messages (core/jobs/messages.py)."""
    writer = MessageWriter(claim_stdout())
    name = f"models {chosen.action}"
    writer.send(messages.Hello(messages.PROTOCOL, version(), os.getpid(), "CPU"))
    try:
        packages.require(_PACKAGES, "Models need")
        with boundary(name):
            Reporter(name, Path()).follow(_STEPS[chosen.action](chosen), writer.send)
        writer.send(messages.Done(name, "", 0))
        return DONE
    except KeyboardInterrupt:
        writer.send(messages.Cancelled(name))
        return CANCELLED
    except PantheonError as error:
        writer.send(messages.Error(error.code, error.text, error.advice, name))
        return FAILED


def _adding(chosen: argparse.Namespace) -> Job[Entry]:
    from . import model_store

    return (
        yield from model_store.add(
            chosen.source,
            name=chosen.name,
            base=chosen.base,
            kind=chosen.kind,
            licence=chosen.licence,
            download=chosen.download,
            half=chosen.half,
            copy=chosen.copy,
        )
    )


def _checking(chosen: argparse.Namespace) -> Job[None]:
    from . import model_store

    for model in chosen.models or [entry.name for entry in model_store.entries()]:
        yield from model_store.check(model, numbers=not chosen.quick)


_STEPS: dict[str, Callable[[argparse.Namespace], Job[Any]]] = {"add": _adding, "check": _checking}
"""What Blender has done as jobs, and a person as commands."""


def _add(chosen: argparse.Namespace) -> int:
    entry = _finish(_adding(chosen))
    _say(_text(entry))
    return DONE if entry.folder else FAILED


def _ask(chosen: argparse.Namespace) -> int:
    from . import model_store

    found = [model_store.on_hub(each, online=not chosen.offline, half=chosen.half) for each in chosen.ids]
    if chosen.json:
        print(json.dumps([asdict(each) for each in found]))
        return DONE
    for each in found:
        gated = " Accept it on the hub first." if each.gated else ""
        size = "on this computer" if each.here else f"{_size(each.bytes)} to download. License: {each.licence}.{gated}"
        _say(f"{each.id}: {size}")
    return DONE


def _list(chosen: argparse.Namespace) -> int:
    from . import model_store

    entries = model_store.entries()
    if chosen.json:
        print(json.dumps([_json(entry) for entry in entries], indent=2))
    elif entries:
        for entry in entries:
            _say(_text(entry))
    else:
        _say(f"There are no models in {model_store.root()}.")
        _say("Get one with: python -m backend models add FOLDER_OR_HUB_ID, or try: python -m backend models make-tiny")
    return DONE


def _check(chosen: argparse.Namespace) -> int:
    from . import model_store

    failed = 0
    for model in chosen.models or [entry.name for entry in model_store.entries()]:
        try:
            folder = _finish(model_store.check(model, numbers=not chosen.quick))
            _say(f"{model}: whole. {folder.card.capability}")
        except PantheonError as error:
            failed += 1
            _say(f"{model}: {error.text} {error.advice}".rstrip())
    return FAILED if failed else DONE


def _convert(chosen: argparse.Namespace) -> int:
    from . import convert

    folder = _finish(convert.convert(Path(chosen.source), Path(chosen.target), half=chosen.half, kind=chosen.kind))
    _say(f"{folder.path} is ready: {folder.card.label}. {folder.card.capability}")
    _say(f'Add it with: python -m backend models add "{folder.path}"')
    return DONE


def _make_tiny(chosen: argparse.Namespace) -> int:
    from . import model_store, tiny_model

    target = Path(chosen.target) if chosen.target else model_store.root() / "tiny"
    conditioning = ("noise:4", "geometry:4", *(f"{name}:1" for name in chosen.extra))
    card = tiny_model.make(target, seed=chosen.seed, conditioning=conditioning)
    if not chosen.target:
        _finish(model_store.check(target.name, numbers=False))
    _say(f"{target} is ready: {card.label}. {card.capability}")
    return DONE


_ACTIONS = {"add": _add, "list": _list, "check": _check, "ask": _ask, "convert": _convert, "make-tiny": _make_tiny}


def _finish(job: Job[Result]) -> Result:
    """Run a job and print its phases to stderr."""
    told = ""

    def tell(step: Progress) -> tuple[()]:
        nonlocal told
        line = f"{step.phase}{f': {step.text}' if step.text else ''}"
        if line != told:
            _say(line, error=True)
            told = line
        return ()

    return run_to_end(map_progress(job, tell))


def _say(text: str, *, error: bool = False) -> None:
    """Print for people: what models say of themselves may hold what a terminal takes for commands."""
    print(plain_text.paragraph(text), file=sys.stderr if error else sys.stdout, flush=True)


def _text(entry: Entry) -> str:
    """A model for people: its name and size, what it can do, whose it is, where it lies."""
    if entry.folder is None:
        return f"{entry.name}: cannot be used. {entry.problem}\n  in {entry.path}"
    card = entry.folder.card
    name = entry.name if entry.name == card.name else f"{entry.name}: {card.label}"
    return (
        f"{name}, {card.width} x {card.height}, {card.frames} frames, {_size(entry.folder.bytes)}\n"
        f"  {card.capability}\n"
        f"  Input: {' + '.join(card.conditioning)}. License: {card.licence}. Source: {card.source}.\n"
        f"  in {entry.path}"
    )


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e6:.0f} MB"


def _json(entry: Entry) -> dict[str, Any]:
    folder = entry.folder
    return {
        "name": entry.name,
        "path": str(entry.path),
        "usable": folder is not None,
        "problem": entry.problem,
        "bytes": folder.bytes if folder else None,
        "card": asdict(folder.card) | {"label": folder.card.label} if folder else None,
    }
