"""Whether a model's weights are all numbers: bad disks and stopped trainings leave others."""

from __future__ import annotations

from pantheon360_blender.core.errors import ModelError
from pantheon360_blender.core.progress import Job, Progress

from . import model_folder, tensor_file
from .model_folder import ModelFolder


def numbers(folder: ModelFolder) -> Job[None]:
    """Read every weight, one tensor at a time. Raises ModelError if one is not finite or cannot be read."""
    files = [file for part in model_folder.WEIGHTS for file in model_folder.weight_files(part, folder.parts[part])]
    for index, path in enumerate(files):
        yield Progress("Reading weights", index, len(files), text=f"{path.parent.name}/{path.name}")
        with tensor_file.opened(path) as file:
            wrong = [name for name in file.keys() if not tensor_file.is_finite(file.get_tensor(name))]  # noqa: SIM118
        if wrong:
            raise ModelError(
                f"{path} has numbers in {wrong[0]} that are not finite.",
                advice="Get the file again; where it comes from a training, take an earlier checkpoint.",
            )
