"""The tensors of pickled weights, made by torch's restricted reader alone: nothing in the file is run."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pantheon360_blender.core import inputs
from pantheon360_blender.core.errors import ModelError, reason

if TYPE_CHECKING:
    import torch

WITHIN = ("state_dict", "model")
"""Under what names files keep their tensors, if they keep more."""


def read(path: Path) -> dict[str, torch.Tensor]:
    """The named tensors of a file that holds nothing else.

    Raises ModelError, code "pickle" if the file holds what only running it would make.
    """
    value = _whole(path)
    return _tensors(path, value.get("state_dict", value) if isinstance(value, dict) else value)


def read_with_settings(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The named tensors of a file, and the JSON values that stand beside them. Raises ModelError as `read` does."""
    value = _whole(path)
    if not isinstance(value, dict):
        return _tensors(path, value), {}
    settings = {name: each for name, each in value.items() if isinstance(name, str) and _is_json(each)}
    within = next((value[name] for name in WITHIN if isinstance(value.get(name), dict)), None)
    rest = {name: each for name, each in value.items() if name not in settings}
    return _tensors(path, rest if within is None else within), settings


def _whole(path: Path) -> Any:
    try:
        inputs.check_regular(path)
        return _restricted(path)
    except Exception as error:
        if type(error).__name__ == "UnpicklingError":  # by name: nothing here imports pickle
            raise ModelError(
                f"{path} holds more than tensors, which could be any code: it is not read.",
                advice="Get the safetensors version from whoever published it.",
                code="pickle",
            ) from error
        raise ModelError(f"{path} cannot be read: {reason(error)[:300]}", advice="Get the file again.") from error


def _tensors(path: Path, value: Any) -> dict[str, torch.Tensor]:
    import torch

    if not isinstance(value, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in value.items()
    ):
        raise ModelError(f"{path} holds something else than named tensors.", advice="Get the file again.")
    return value


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_json(each) for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_json, value))
    return value is None or isinstance(value, (str, int, float, bool))


def _restricted(path: Path) -> Any:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickle's protocol: what cannot be read raises
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # files of the oldest format cannot be mapped
            return torch.load(path, map_location="cpu", weights_only=True)
