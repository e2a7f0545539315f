"""Checkpoints: folders that appear whole, of safetensors and JSON, from which a run goes on as if never stopped.

step-00001200/weights.safetensors    the trained weights, by their names in the module
              average.safetensors    their moving average
              optimizer.safetensors  AdamW's moments
              run.json               step, samples seen, settings, and the size of each file
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pantheon360_blender.core import files, inputs, json_values, temporary
from pantheon360_blender.core.errors import ModelError, PantheonError

from ...diffusion.models import new_folder, tensor_file

Tensors = dict[str, torch.Tensor]
GROUPS = ("weights", "average", "optimizer")
SCHEMA = 1
_RUN = "run.json"
_NAME = re.compile(r"step-(\d{8,})")
_LARGEST = 1 << 26


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """step, samples: finished. settings: of the run, as JSON. tensors: of each of GROUPS."""

    step: int
    samples: int
    settings: Mapping[str, Any]
    tensors: Mapping[str, Tensors]


def write(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint into a run's folder of them, whole or not at all, and remove all but the newest `keep`.

    Raises FileError.
    """
    place = folder / f"step-{checkpoint.step:08d}"
    if place.exists():  # of this very step, or one that was cut short
        temporary.remove(place)
    with new_folder.atomic_directory(place) as scratch, files.translate_os_errors(place):
        for group in GROUPS:
            plain = {name: tensor.contiguous() for name, tensor in checkpoint.tensors[group].items()}
            tensor_file.write(scratch / f"{group}.safetensors", plain, {"format": "pt"})
        sizes = {group: (scratch / f"{group}.safetensors").stat().st_size for group in GROUPS}
        run = {
            "schema": SCHEMA, "step": checkpoint.step, "samples": checkpoint.samples,
            "settings": dict(checkpoint.settings), "sizes": sizes,
        }  # fmt: skip
        files.write_json(scratch / _RUN, run)
    for old in found(folder)[:-keep]:
        temporary.remove(old)
    return place


def found(folder: Path) -> list[Path]:
    """The whole checkpoints in a run's folder of them, the newest last. What was cut short is not among them."""
    if not inputs.is_folder(folder):
        return []
    named = sorted((int(match[1]), path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)))
    return [path for _, path in named if _is_whole(path)]


def newest(folder: Path) -> Path | None:
    """The newest whole checkpoint, or None."""
    whole = found(folder)
    return whole[-1] if whole else None


def read(path: Path) -> Checkpoint:
    """A checkpoint, its tensors on the CPU. Raises ModelError if it is damaged."""
    run = _run(path)
    if run is None:
        raise ModelError(f"{path} is no whole checkpoint.", advice="Choose another one: its files do not fit together.")
    tensors = {}
    for group in GROUPS:
        with tensor_file.opened(path / f"{group}.safetensors") as file:
            tensors[group] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return Checkpoint(run["step"], run["samples"], run["settings"], tensors)


def is_checkpoint(path: Path) -> bool:
    """Whether a folder holds a checkpoint, rather than a diffusers model."""
    return inputs.is_file(path / _RUN)


def _is_whole(path: Path) -> bool:
    with suppress(PantheonError):
        return _run(path) is not None
    return False


def _run(path: Path) -> dict[str, Any] | None:
    """What `run.json` says if every file is as large as it says, and a whole safetensors file."""
    run = json_values.read(path / _RUN, _LARGEST)
    if not isinstance(run, dict) or run.get("schema") != SCHEMA:
        return None
    counted = all(json_values.is_integer(run.get(name)) for name in ("step", "samples"))
    told = all(isinstance(run.get(name), dict) for name in ("settings", "sizes"))
    if not counted or not told:
        return None
    for group in GROUPS:
        file = path / f"{group}.safetensors"
        if not inputs.is_file(file) or file.stat().st_size != run["sizes"].get(group):
            return None
        tensor_file.shapes(file)
    return run
