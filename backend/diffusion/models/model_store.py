"""This person's models: one folder each, most of which only say where the weights lie."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from pantheon360_blender.core import files, inputs
from pantheon360_blender.core.errors import ModelError, PantheonError, reason
from pantheon360_blender.core.jobs import model_card, model_places
from pantheon360_blender.core.jobs.model_places import is_hub_id, is_name
from pantheon360_blender.core.progress import Job, Progress

from . import model_check, model_folder, new_folder
from .model_folder import ModelFolder

_PATIENCE = 20.0  # seconds that the hub is waited for


@dataclass(frozen=True)
class Entry:
    """A model of the store. folder: None if it cannot be used; problem: why, for people."""

    name: str
    path: Path
    folder: ModelFolder | None
    problem: str = ""


def root() -> Path:
    """The store's folder: PANTHEON360_MODELS, or the person's data folder of the system. It may not exist yet."""
    return model_places.root(os.environ, sys.platform)


def entries() -> list[Entry]:
    """Every model there is, by name, also those that cannot be used."""
    return [_entry(path) for path in model_places.folders()]


def find(model: str | Path) -> ModelFolder:
    """A model by its name in the store, its folder, or its hub id if it was downloaded before. Goes to no network.

    Raises ModelError.
    """
    named = model_places.folder_of(str(model))
    if named is not None:
        return model_folder.open(named)
    if not inputs.is_folder(inputs.expanded(model)) and is_name(str(model)):
        known = ", ".join(entry.name for entry in entries()) or "none yet"
        raise ModelError(
            f"There is no model called {str(model)!r}.",
            advice=f"There are: {known}. Get one with: python -m backend models add FOLDER_OR_HUB_ID",
            code="no-model",
        )
    place = located(str(model), download=False)
    return model_folder.open(place, name=_name_of(str(model)))


def located(source: str, *, download: bool, half: bool = False) -> Path:
    """The folder of a source: itself, or that of a hub id in the hub's cache.

    download: fetch what is missing; else nothing goes to the network. half: only weights of half precision.
    Raises ModelError.
    """
    path = inputs.expanded(source)
    if inputs.is_folder(path):
        return model_folder.snapshot(path.absolute())
    if not is_hub_id(source):
        raise ModelError(f"There is no model folder {source}.", advice="Name a folder, or a hub id as in OWNER/MODEL.")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelError(
            f"{source} cannot be looked up: huggingface_hub is not installed.",
            advice=f'"{sys.executable}" -m pip install huggingface_hub',
        ) from error
    try:
        return Path(snapshot_download(source, local_files_only=not download, allow_patterns=_wanted(half)))
    except Exception as error:
        raise _not_to_be_had(source, download, error) from error


def add(
    source: str,
    *,
    name: str | None = None,
    base: str | None = None,
    kind: str | None = None,
    licence: str | None = None,
    download: bool = False,
    half: bool = False,
    copy: bool = False,
) -> Job[Entry]:
    """Add a model to the store.

    source: a folder or hub id. base: name, folder or hub id of the model whose other parts complete a U-Net alone, such
    as Argus. kind, licence: what the model is if it has no card. copy: keep the weights in the store, not only their
    place. Raises ModelError, FileError; the store is then as it was.
    """
    name = name or _name_of(source)
    if not is_name(name):
        raise ModelError(f"{name!r} cannot be a model's name.", advice="Use letters, digits, dots and dashes.")
    target = root() / name
    if target.exists():
        raise ModelError(
            f"There is a model called {name!r} already.", advice=f"Give another --name, or remove {target}."
        )
    yield Progress("Looking for the model", text=source)
    place = located(source, download=download, half=half)
    parts, alone = _parts(place)
    if alone:
        if kind is None and model_card.read(place) is None:
            raise ModelError(
                f"{place} brings a U-Net alone, and nothing in it says what it was trained for.",
                advice="Say it: --kind argus for Argus, --kind svd or svd-xt for a tuned Stable Video Diffusion.",
            )
        if base is None:
            raise ModelError(
                f"{place} brings a U-Net alone, as Argus does.",
                advice="Name the model it was tuned from as well: --base stabilityai/stable-video-diffusion-img2vid-xt",
            )
        yield Progress("Looking for its base", text=base)
        parts = {**find_parts(base, download=download, half=half), "unet": parts["unet"]}
    with new_folder.atomic_directory(target) as scratch:
        yield from _fill(scratch, parts, copy)
        model_card.write(scratch, _card(source, place, scratch, name, kind, licence))
        yield Progress("Checking it")
        model_folder.check(scratch, place)
    return _noted(_entry(target))


def check(model: str, *, numbers: bool = True) -> Job[ModelFolder]:
    """Check a model: its files, its shapes and, if asked, that every number is one. Of one of the store that is noted.

    model: as of `find`. Raises ModelError.
    """
    stored = root() / model if is_name(model) and (root() / model).is_dir() else None
    try:
        folder = find(model)
        if numbers:
            yield from model_check.numbers(folder)
    except ModelError as error:
        if stored is not None:
            model_places.write_state(stored, str(error), 0)
        raise
    if stored is not None:
        model_places.write_state(stored, "", folder.bytes)
    return folder


@dataclass(frozen=True)
class OnHub:
    """A model of the hub. here: whether it was downloaded before. bytes: to be downloaded. licence: of the weights.
    gated: whether it is given only to those who accept its licence on the hub.
    """

    id: str
    here: bool
    bytes: int = 0
    licence: str = "unknown"
    gated: bool = False


def on_hub(hub_id: str, *, online: bool, half: bool = False) -> OnHub:
    """What downloading a model comes to. online: whether the hub may be asked. half: as of `located`.

    Raises ModelError if it is not on this computer and the hub may not be asked, or does not answer.
    """
    with suppress(ModelError):
        located(hub_id, download=False, half=half)
        return OnHub(hub_id, here=True)
    if not is_hub_id(hub_id) or not online:
        raise _not_to_be_had(hub_id, False, ModelError(hub_id))
    try:
        from huggingface_hub import HfApi

        found = HfApi().model_info(hub_id, files_metadata=True, timeout=_PATIENCE)
    except Exception as error:
        raise _not_to_be_had(hub_id, True, error) from error
    wanted = [each for each in found.siblings or () if any(fnmatch(each.rfilename, name) for name in _wanted(half))]
    card = found.card_data or {}
    licence = str(card.get("license_name") or card.get("license") or "unknown")[:200]
    return OnHub(hub_id, False, sum(each.size or 0 for each in wanted), licence, bool(found.gated))


def find_parts(model: str, *, download: bool, half: bool) -> Mapping[str, Path]:
    """Where the parts of a model lie that others are built on. Raises ModelError."""
    if (root() / model).is_dir() and is_name(model):
        return model_folder.open(root() / model).parts
    return model_folder.open(located(model, download=download, half=half)).parts


def _noted(entry: Entry) -> Entry:
    """The entry, with a note beside it of what was found."""
    model_places.write_state(entry.path, entry.problem, entry.folder.bytes if entry.folder else 0)
    return entry


def _entry(path: Path) -> Entry:
    try:
        return Entry(path.name, path, model_folder.open(path))
    except PantheonError as error:
        return Entry(path.name, path, None, str(error))


def _parts(place: Path) -> tuple[dict[str, Path], bool]:
    """Where the parts of a source lie, and whether it is a U-Net alone."""
    if not (place / "unet").exists() and (place / "config.json").is_file() and not (place / "vae").exists():
        return {"unet": place}, True
    parts = model_folder.places(place)
    alone = parts["unet"].is_dir() and not any(parts[part].is_dir() for part in ("vae", "image_encoder"))
    return parts, alone


def _fill(scratch: Path, parts: Mapping[str, Path], copy: bool) -> Job[None]:
    if not copy:
        files.write_json(scratch / model_folder.PARTS_FILE, {part: str(place) for part, place in parts.items()})
        return
    for index, (part, place) in enumerate(parts.items()):
        yield Progress("Copying", index, len(parts), text=part)
        if not place.is_dir():
            continue  # what is missing is told when the whole is checked
        chosen = [place / name for name in ("config.json", "scheduler_config.json") if (place / name).is_file()]
        if part in model_folder.WEIGHTS:
            weights = model_folder.weight_files(part, place)
            lists = place.glob(f"{model_folder.WEIGHTS[part]}*.index*.json")
            chosen += [*weights, *(file for file in lists if file.is_file())]
        with files.translate_os_errors(scratch / part):
            (scratch / part).mkdir()
            for file in chosen:
                shutil.copyfile(file, scratch / part / file.name)


def _card(
    source: str, place: Path, scratch: Path, name: str, kind: str | None, licence: str | None
) -> model_card.ModelCard:
    """The model's own card, else what is told or can be inferred."""
    card = model_card.read(place)
    if card is not None:
        if kind is not None and kind != card.kind:
            raise ModelError(f"{place} says itself that it is of kind {card.kind}.", advice="Leave --kind away.")
        return card if licence is None else replace(card, licence=licence)
    unet = model_folder.read_config("unet", model_folder.places(scratch)["unet"])
    inferred = model_folder.inferred(place, unet, f"{name} {_name_of(source)}")
    card = model_folder.preset(kind or inferred.kind, name, frames=inferred.frames)
    if is_hub_id(source) and not Path(source).expanduser().is_dir():
        card = replace(card, source=source)
    return replace(card, licence=licence) if licence else card


def _wanted(half: bool) -> list[str]:
    """Patterns of what is worth downloading: the parts' configurations and safetensors, and no single files."""
    weights = "*.fp16*.safetensors" if half else "*.safetensors"
    parts = [f"{part}/{weights}" for part in model_folder.WEIGHTS]
    return ["*.json", *parts, *([] if half else ["diffusion_pytorch_model*.safetensors"])]


def _name_of(source: str) -> str:
    """A name for a source: the last part of its path or hub id."""
    path = inputs.expanded(source)
    last = (path.absolute() if inputs.is_folder(path) else path).name
    return re.sub(r"[^\w.+-]+", "-", last).strip("-.")[:64] or "model"


def _not_to_be_had(source: str, download: bool, error: Exception) -> ModelError:
    if not download:
        return ModelError(
            f"{source} is not on this computer.",
            advice=f"Download it with: python -m backend models add {source} --download",
            code="no-model",
        )
    if type(error).__name__ == "GatedRepoError":
        return ModelError(
            f"{source} is given only to those who accept its license.",
            advice=f"Accept it on https://huggingface.co/{source}, sign in with `hf auth login`, then try again.",
            code="gated-model",
        )
    return ModelError(
        f"{source} could not be downloaded: {reason(error)[:500]}",
        advice="Check the connection and the name; what was downloaded is kept.",
        code="download",
    )
