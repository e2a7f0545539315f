"""Weights of models: a folder of safetensors files, given or from the Hugging Face cache. Nothing is ever unpickled.

What is published as a pickle is converted once, by torch's restricted reader, and kept in the person's folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pantheon360_blender.core import budget, files, inputs, person_folder
from pantheon360_blender.core.errors import PantheonError, reason
from pantheon360_blender.core.plugins import Plugin

from ... import pickled_weights

CONVERTED = "converted"
"""Within the person's folder: weights that were pickles, a folder each."""
SETTINGS = "settings.json"
"""Beside converted weights: the numbers and texts that stood beside the tensors."""
_WANTED = ["*.safetensors", "*.json"]
_PICKLES = (".pt", ".pth")


def missing(source: str, download: bool, model: Plugin) -> str:
    """Empty if the weights can be had, else what to do about it."""
    if download and not inputs.is_folder(Path(source)):
        return ""
    try:
        _found(source, False, model)
    except PantheonError as error:
        return f"{error.text} {error.advice}".strip()
    return ""


def folder(source: str, download: bool, model: Plugin) -> str:
    """A local folder with the weights of `source`, a folder or a hub id, as safetensors.

    Raises PantheonError, code "reconstructor-missing", if there are none; ModelError if a
    pickle holds more than tensors.
    """
    place = _found(source, download, model)
    return str(place if any(place.glob("*.safetensors")) else _converted(_pickle_in(place, model)))


def _found(source: str, download: bool, model: Plugin) -> Path:
    known = model.weights_of(source)
    if inputs.is_folder(Path(source)):
        return _checked(Path(source), model)
    one_file = f" {known.pickled}" if known.pickled else ""
    size = f"They are {known.size_gb:g} GB under {known.license} ({model.homepage}). " if known.hub == source else ""
    advice = (
        f"{size}Download them with `hf download {source}{one_file}`, allow downloads, or choose a folder that holds "
        "them."
    )
    if Path(source).is_absolute() or source.startswith((".", "~")) or source.count("/") > 1:
        raise _refusal(f"There is no folder {source} with weights of {model.title}.", advice)
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise _refusal(
            f"The weights of {model.title} cannot be looked up.", "python -m pip install huggingface_hub safetensors"
        ) from error
    wanted = [*_WANTED, *([known.pickled] if known.pickled else [])]
    try:
        found = snapshot_download(source, local_files_only=not download, allow_patterns=wanted)
    except Exception as error:
        text = f"The weights of {model.title} ({source}) are not on this computer."
        if download:
            text = f"The weights of {model.title} ({source}) could not be downloaded: {reason(error)}"
        raise _refusal(text, advice) from error
    return _checked(Path(found), model)


@contextmanager
def offline(yes: bool) -> Iterator[None]:
    """Keep libraries from going to the hub by themselves while a model loads."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if yes else ()
    before = {name: os.environ.get(name) for name in names}
    for name in names:
        os.environ[name] = "1"
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _pickle_in(place: Path, model: Plugin) -> Path | None:
    """The pickle file in a folder that is converted: the known one, or the only one. None for models that have none."""
    names = [known.pickled for known in model.models if known.pickled]
    there = [place / name for name in names if (place / name).is_file()]
    others = [path for path in sorted(place.iterdir()) if path.suffix in _PICKLES] if names else []
    return there[0] if there else (others[0] if len(others) == 1 else None)


def _converted(pickle: Path | None) -> Path:
    """A folder with the tensors of a pickle file in model.safetensors and what else it tells in SETTINGS; made once.

    A JSON file of the pickle's name lies beside some pickles, and then it is what they tell.
    """
    from safetensors.torch import save_file

    assert pickle is not None
    stands_for = pickle.resolve()
    with files.translate_os_errors(pickle):
        state = stands_for.stat()
    told = f"{stands_for}\n{state.st_size}\n{state.st_mtime_ns}"
    made = person_folder.path() / CONVERTED / hashlib.sha256(told.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    target = made / "model.safetensors"
    if not target.is_file():
        tensors, settings = pickled_weights.read_with_settings(pickle)
        if (beside := pickle.with_suffix(".json")).is_file():
            settings = inputs.read_json(beside, budget.CARD_FILE)
        scratch = made / f".{os.getpid()}.safetensors"
        with files.translate_os_errors(target):
            made.mkdir(parents=True, exist_ok=True)
            files.write_json(made / SETTINGS, settings)
            try:
                save_file({name: each.detach().clone().contiguous() for name, each in tensors.items()}, scratch)
                scratch.replace(target)
            finally:
                scratch.unlink(missing_ok=True)
    return made


def _checked(place: Path, model: Plugin) -> Path:
    try:
        for file in place.iterdir():
            if not file.is_dir():
                inputs.check_regular(file)
    except OSError as error:
        raise _refusal(f"{error.filename} cannot be read: {inputs.why(error)}.", "Get the folder again.") from error
    if any(place.glob("*.safetensors")) or _pickle_in(place, model) is not None:
        return place
    known = model.models[0]
    if known.pickled:
        raise _refusal(
            f"{place} holds neither {known.pickled} nor a safetensors file of {model.title}.",
            f"Download it with `hf download {known.hub} {known.pickled}`.",
        )
    raise _refusal(
        f"{place} holds no safetensors file of {model.title}.",
        "Weights in pickle files (.pt, .bin) are not read, as they may run code: get the safetensors version.",
    )


def _refusal(text: str, advice: str) -> PantheonError:
    return PantheonError(text, advice=advice, code="reconstructor-missing")
