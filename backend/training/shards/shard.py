"""A training clip in a file: safetensors, whose metadata holds the cameras and what is said of the clip."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch

from pantheon360_blender.core.errors import FileError
from pantheon360_blender.core.output_folder import OutputFolder
from pantheon360_blender.core.panorama.cameras import check_pose

from ..training_clip import TrainingClip

SCHEMA = "1"
_PICTURES = {"frames": torch.uint8, "geometry": torch.uint8, "filled": torch.uint8, "depth": torch.float16}


def write(folder: OutputFolder, name: str, clip: TrainingClip) -> None:
    """Write a clip into a file of a folder, its range in half precision. Raises FileError."""
    arrays = {"frames": clip.frames, "geometry": clip.geometry, "depth": clip.depth.half()}
    given = {"start": clip.start, "end": clip.end, "filled": clip.filled}
    arrays |= {name: pictures for name, pictures in given.items() if pictures is not None}
    told = {
        "schema": SCHEMA,
        "name": clip.name,
        "fps": json.dumps(clip.fps),
        "cameras": json.dumps(clip.cameras.tolist()),
    }
    # Copies: the ends may be frames, and safetensors takes no memory twice.
    copies = {key: each.cpu().clone(memory_format=torch.contiguous_format) for key, each in arrays.items()}
    folder.write_bytes(name, safetensors.torch.save(copies, told))


def read(path: Path, device: torch.device | str = "cpu") -> TrainingClip:
    """The clip of a file. Raises FileError if it is not there, cut short or no shard."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            told = file.metadata() or {}
            if told.get("schema") != SCHEMA:
                raise ValueError(f"schema {told.get('schema')!r} is not {SCHEMA}")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, for it is no dictionary
        cameras = np.stack([check_pose(np.array(pose, np.float64)) for pose in json.loads(told["cameras"])])
        _check(arrays, len(cameras))
        given = {name: arrays[name].to(device) if name in arrays else None for name in ("start", "end", "filled")}
        return TrainingClip(
            frames=arrays["frames"].to(device),
            geometry=arrays["geometry"].to(device),
            depth=arrays["depth"].to(device).float(),
            **given,
            cameras=cameras,
            fps=float(json.loads(told["fps"])),
            name=told["name"],
        )
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise FileError(f"{path} is no training clip: {error}.", advice="Prepare the data again.") from error


def _check(arrays: dict[str, torch.Tensor], count: int) -> None:
    """Raise ValueError if arrays are not those of a clip of so many frames."""
    height, width = arrays["frames"].shape[-2:]
    shapes = {
        "frames": (count, 3, height, width),
        "geometry": (count, 3, height, width),
        "depth": (count, height, width),
    }
    if "filled" in arrays:
        shapes["filled"] = shapes["geometry"]
    for name, shape in shapes.items():
        if arrays[name].shape != shape or arrays[name].dtype != _PICTURES[name]:
            raise ValueError(f"{name} is {tuple(arrays[name].shape)} of {arrays[name].dtype}, not {shape}")
    for name in {"start", "end"} & arrays.keys():
        if arrays[name].shape != (3, height, width) or arrays[name].dtype != torch.uint8:
            raise ValueError(f"{name} is no picture of {width} x {height}")
