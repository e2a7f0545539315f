"""A folder of shards as a source of training clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pantheon360_blender.core import budget, inputs
from pantheon360_blender.core.errors import FileError

from ..training_clip import TrainingClip
from . import shard

SPLIT_FILE = "split.json"
"""Which shards are for what: {"train": [names of files], "validation": [...], "test": [...]}."""
SPLITS = ("train", "validation", "test")


class Shards:
    """A ClipSource over the shards of one split. Raises FileError if there are none."""

    def __init__(self, folder: Path, split: str = "train", device: torch.device | str = "cpu") -> None:
        self._device = device
        self._files = [Path(folder) / name for name in read_split(folder).get(split, [])]
        if not self._files:
            raise FileError(f"{folder} has no clips for {split}.", advice="Prepare more videos.")

    def __len__(self) -> int:
        return len(self._files)

    def clip(self, seed: int) -> TrainingClip:
        """The clip of a seed. Successive seeds see every clip once before any comes again, in another order then."""
        turn, place = divmod(seed, len(self._files))
        order = np.random.default_rng(turn).permutation(len(self._files))
        return shard.read(self._files[order[place]], self._device)


def read_split(folder: Path) -> dict[str, list[str]]:
    """The split file of a folder. Raises FileError."""
    path = Path(folder) / SPLIT_FILE
    try:
        value = inputs.read_json(path, budget.RECORD_FILE)
        found = {name: [str(each) for each in value[name]] for name in SPLITS if name in value}
        if any(Path(each).name != each for names in found.values() for each in names):
            raise ValueError("it names files elsewhere")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(
            f"{path} is no split file: {error}.", advice="Make it with `python -m backend training prepare`."
        ) from error
    return found
