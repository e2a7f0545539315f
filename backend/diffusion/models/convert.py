"""Safe diffusers folders of what people have: pickled weights, and Stable Video Diffusion's single files.

Pickles are read by torch's restricted reader, which makes tensors and nothing else; files that need more are refused.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pantheon360_blender.core import files, inputs
from pantheon360_blender.core.errors import ModelError
from pantheon360_blender.core.jobs import model_card
from pantheon360_blender.core.progress import Job, Progress

from ... import pickled_weights
from . import architecture, model_folder, new_folder, noise_schedule, published_names, tensor_file
from .model_folder import PICKLES, WEIGHTS, ModelFolder

SHARD = 2_000_000_000
"""Bytes after which a part's next file is begun: so much is held in memory at a time."""
_PICKLED = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "image_encoder": "pytorch_model"}
_JSON = ("model_index.json", "feature_extractor/preprocessor_config.json", model_card.FILE)

Fetch = Callable[[str], torch.Tensor]
"""A tensor by its name."""


def convert(source: Path, target: Path, *, half: bool = False, kind: str | None = None) -> Job[ModelFolder]:
    """Make a diffusers folder with safetensors of a folder with pickles, or of a single file.

    half: store floats as float16. kind: "svd" or "svd-xt" for a single file; None reads it off the file's name.
    Raises ModelError, FileError; nothing is left behind then.
    """
    source, target = (inputs.expanded(path).absolute() for path in (source, target))
    if not inputs.is_folder(source) and not inputs.is_file(source):
        raise ModelError(f"There is no {source}.", advice="Choose a diffusers folder or a single SVD file.")
    with new_folder.atomic_directory(target) as scratch:
        if source.is_dir():
            yield from _folder(source, scratch, half)
        else:
            yield from _single_file(source, scratch, half, kind)
        yield Progress("Checking it")
        model_folder.check(scratch, source)
    return model_folder.open(target)


def _folder(source: Path, target: Path, half: bool) -> Job[None]:
    for name in (*_JSON, *(f"{part}/config.json" for part in WEIGHTS), "scheduler/scheduler_config.json"):
        if (source / name).is_file():
            with files.translate_os_errors(target / name):
                (target / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(source / name, target / name)
    for part in WEIGHTS:
        if not (source / part).is_dir():
            raise ModelError(f"{source} lacks its part {part}.", advice="Get the model's folder again, complete.")
        given = _weights(part, source / part)
        writer = _Writer(target / part, WEIGHTS[part], half)
        for index, file in enumerate(given):
            yield Progress("Converting", index, len(given), text=f"{part}/{file.name}")
            with _reading(file) as (names, fetch):
                for name in names:
                    writer.put(name, fetch(name))
        writer.finish()


def _single_file(source: Path, target: Path, half: bool, kind: str | None) -> Job[None]:
    kind = kind or ("svd-xt" if "xt" in source.stem.lower() else "svd")
    yield Progress("Reading", text=source.name)
    with _reading(source) as (names, fetch):
        shapes = (
            tensor_file.shapes(source)
            if source.suffix == ".safetensors"
            else {name: tuple(fetch(name).shape) for name in names}
        )
        card = model_folder.preset(kind, source.stem)
        configs = published_names.configs(shapes, card.frames)
        for index, part in enumerate(WEIGHTS):
            yield Progress("Converting", index, len(WEIGHTS), text=part)
            writer = _Writer(target / part, WEIGHTS[part], half)
            for name, shape in architecture.shapes(part, configs[part], source).items():
                tensor = _published(source, shapes, fetch, part, configs[part], name)
                writer.put(name, _of_shape(tensor, shape, name, source))
            writer.finish()
            files.write_json(target / part / "config.json", configs[part])
    files.write_json(target / "scheduler" / "scheduler_config.json", noise_schedule.SVD)
    model_card.write(target, card)


def _published(
    source: Path, shapes: tensor_file.Shapes, fetch: Fetch, part: str, config: dict[str, Any], name: str
) -> torch.Tensor:
    """The weight that published files have for a part's weight of diffusers' name, under whatever name. Any shape."""
    third = None
    if part == "image_encoder":
        published, third = published_names.image_encoder(name)
    else:
        published = (published_names.unet if part == "unet" else published_names.vae)(name, config)
    if published not in shapes:
        raise ModelError(f"{source} lacks {published}.", advice="Get the file again.")
    tensor = fetch(published)
    if third is not None:
        tensor = tensor.chunk(3)[third]
    if name == "visual_projection.weight":
        tensor = tensor.T
    return tensor


def _of_shape(tensor: torch.Tensor, shape: tuple[int, ...], name: str, source: Path) -> torch.Tensor:
    """The tensor in the shape that diffusers wants: convolutions of one pixel are linear layers there."""
    if tensor.ndim == len(shape) + 2 and tensor.shape[-2:] == (1, 1):
        tensor = tensor.flatten(-3)
    if tuple(tensor.shape) != shape:
        raise ModelError(
            f"{source} has a weight of shape {tuple(tensor.shape)} for {name}; {shape} is needed.",
            advice="Get the file again, or the diffusers folder of the model.",
        )
    return tensor


class _Writer:
    """Writes a part's tensors into one safetensors file, or into several with their index if they are large."""

    def __init__(self, folder: Path, stem: str, half: bool) -> None:
        self.folder, self.stem, self.half = folder, stem, half
        self._waiting: dict[str, torch.Tensor] = {}
        self._bytes = 0
        self._shards: list[dict[str, int]] = []
        with files.translate_os_errors(folder):
            folder.mkdir(exist_ok=True)

    def put(self, name: str, tensor: torch.Tensor) -> None:
        """Add a tensor."""
        if tensor.is_floating_point() and self.half:
            tensor = tensor.half()
        size = tensor.numel() * tensor.element_size()
        if self._waiting and self._bytes + size > SHARD:
            self._flush()
        self._waiting[name] = tensor.detach().clone().contiguous()
        self._bytes += size

    def finish(self) -> None:
        """Write what waits, and give the files their names."""
        self._flush()
        count = len(self._shards)
        with files.translate_os_errors(self.folder):
            if count == 1:
                self._scratch(0).rename(self.folder / f"{self.stem}.safetensors")
                return
            weight_map = {}
            for index, names in enumerate(self._shards):
                name = f"{self.stem}-{index + 1:05d}-of-{count:05d}.safetensors"
                self._scratch(index).rename(self.folder / name)
                weight_map.update(dict.fromkeys(names, name))
        total = sum(size for names in self._shards for size in names.values())
        index_file = self.folder / f"{self.stem}.safetensors.index.json"
        files.write_json(index_file, {"metadata": {"total_size": total}, "weight_map": weight_map})

    def _flush(self) -> None:
        with files.translate_os_errors(self.folder):
            tensor_file.write(self._scratch(len(self._shards)), self._waiting, {"format": "pt"})
        self._shards.append({name: t.numel() * t.element_size() for name, t in self._waiting.items()})
        self._waiting, self._bytes = {}, 0

    def _scratch(self, index: int) -> Path:
        return self.folder / f".{index}.safetensors"


def _weights(part: str, folder: Path) -> list[Path]:
    """The files of a part to read: safetensors if there are any, else its pickles, whole or in shards."""
    try:
        return model_folder.weight_files(part, folder)
    except ModelError as error:
        stem = _PICKLED[part]
        for variant in ("", ".fp16"):
            if (folder / f"{stem}{variant}.bin").is_file():
                return [folder / f"{stem}{variant}.bin"]
            for index in (folder / f"{stem}.bin.index{variant}.json", folder / f"{stem}{variant}.bin.index.json"):
                if index.is_file():
                    return model_folder.shards(index, ".bin")
        others = sorted(file for file in folder.iterdir() if file.suffix in PICKLES)
        if len(others) == 1:
            return others
        raise error


@contextmanager
def _reading(path: Path) -> Iterator[tuple[list[str], Fetch]]:
    """Names of a file's tensors and how to get one. Raises ModelError if it is damaged or not safe."""
    if path.suffix == ".safetensors":
        with tensor_file.opened(path) as file:
            yield list(file.keys()), file.get_tensor
        return
    tensors = pickled_weights.read(path)
    yield list(tensors), tensors.__getitem__
