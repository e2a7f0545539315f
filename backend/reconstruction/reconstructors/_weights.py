"""Weights of models: a folder of safetensors files, given or from the Hugging Face cache. Nothing is ever unpickled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pantheon360_blender.core import inputs
from pantheon360_blender.core.errors import PantheonError, reason
from pantheon360_blender.core.plugins import Plugin

_WANTED = ["*.safetensors", "*.json"]


def missing(source: str, download: bool, model: Plugin) -> str:
    """Empty if the weights can be had, else what to do about it."""
    if download and not inputs.is_folder(Path(source)):
        return ""
    try:
        folder(source, False, model)
    except PantheonError as error:
        return f"{error.text} {error.advice}".strip()
    return ""


def folder(source: str, download: bool, model: Plugin) -> str:
    """A local folder with the weights of `source`, a folder or a hub id.

    Raises PantheonError, code "reconstructor-missing", if there are none or only pickled ones.
    """
    if inputs.is_folder(Path(source)):
        return _checked(Path(source), model)
    advice = (
        f"They are {model.size_gb:g} GB under {model.license} ({model.homepage}). Download them with "
        f"`hf download {source}`, allow downloads, or choose a folder that holds them."
    )
    if Path(source).is_absolute() or source.startswith((".", "~")) or source.count("/") > 1:
        raise _refusal(f"There is no folder {source} with weights of {model.title}.", advice)
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise _refusal(
            f"The weights of {model.title} cannot be looked up.", "python -m pip install huggingface_hub safetensors"
        ) from error
    try:
        found = snapshot_download(source, local_files_only=not download, allow_patterns=_WANTED)
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


def _checked(place: Path, model: Plugin) -> str:
    try:
        for file in place.iterdir():
            if not file.is_dir():
                inputs.check_regular(file)
    except OSError as error:
        raise _refusal(f"{error.filename} cannot be read: {inputs.why(error)}.", "Get the folder again.") from error
    if not any(place.glob("*.safetensors")):
        raise _refusal(
            f"{place} holds no safetensors file of {model.title}.",
            "Weights in pickle files (.pt, .bin) are not read, as they may run code: get the safetensors version.",
        )
    return str(place)


def _refusal(text: str, advice: str) -> PantheonError:
    return PantheonError(text, advice=advice, code="reconstructor-missing")
