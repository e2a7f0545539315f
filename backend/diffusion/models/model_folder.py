"""A painter model on disk: a diffusers folder, checked file by file before anything is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pantheon360_blender.core import budget, inputs, json_values
from pantheon360_blender.core.errors import ModelError
from pantheon360_blender.core.jobs import model_card
from pantheon360_blender.core.jobs.model_card import ModelCard

from . import architecture, noise_schedule, tensor_file

PARTS_FILE = "parts.json"
"""Where parts lie that are not below the model's own folder: {"unet": PATH, ...}, paths absolute or relative to it."""
WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "image_encoder": "model"}
"""Part with weights -> the stem of its files."""
PARTS = (*WEIGHTS, "scheduler")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
HARMLESS = (".position_ids",)
"""Ends of tensors' names that older files carry and nobody needs."""

_VARIANTS = {
    "float32": ("", ".fp16", ".bf16"),
    "float16": (".fp16", "", ".bf16"),
    "bfloat16": (".bf16", ".fp16", ""),
}
"""Precision -> which of a part's files are read, the first that are there. float16 has not the range of bfloat16."""
_LONGEST_REFERENCE = 4096
_SAMPLES, _BLOCK = 64, 1 << 16


@dataclass(frozen=True)
class ModelFolder:
    """A model whose files were found whole. path: its folder; card: what it is; parts: where each part lies."""

    path: Path
    card: ModelCard
    parts: Mapping[str, Path]

    def config(self, part: str) -> dict[str, Any]:
        """The configuration of a part. Raises ModelError."""
        return read_config(part, self.parts[part])

    @property
    def bytes(self) -> int:
        """Size of the weights that are loaded."""
        files = (file for part in WEIGHTS for file in weight_files(part, self.parts[part]))
        return sum(file.stat().st_size for file in files)


def fingerprint(folder: ModelFolder) -> str:
    """SHA-256 of a model's configurations, of the headers of its weights and of samples of their numbers.

    Reading gigabytes at each start would take too long. Raises ModelError.
    """
    digest = hashlib.sha256()
    for part in PARTS:
        digest.update(json.dumps(folder.config(part), sort_keys=True).encode())
    for part in WEIGHTS:
        for file in weight_files(part, folder.parts[part]):
            _sample(file, digest)
    return digest.hexdigest()


def _sample(file: Path, digest: hashlib._Hash) -> None:
    """Feed a file's size, its first block and others spread over it to a digest."""
    size = file.stat().st_size
    digest.update(str(size).encode())
    with inputs.open_regular(file) as opened:
        for index in range(_SAMPLES):
            opened.seek(index * max(size - _BLOCK, 0) // (_SAMPLES - 1))
            digest.update(opened.read(_BLOCK))


def open(path: Path | str, *, name: str | None = None) -> ModelFolder:
    """Open a model's folder. name: of a model without a card; by default the folder's.

    Every file must be there and safe, and have the shapes that the configurations ask for. It reads no weights.
    Raises ModelError.
    """
    path = snapshot(inputs.expanded(path).absolute())
    if not inputs.is_folder(path):
        raise ModelError(
            f"There is no model folder {path}.", advice="Choose a diffusers folder with unet, vae, image_encoder."
        )
    parts = places(path)
    for part in WEIGHTS:
        if not inputs.is_folder(parts[part]):
            raise _lacks(path, part, parts)
    configs = {part: read_config(part, parts[part]) for part in PARTS}
    card = model_card.read(path) or inferred(path, configs["unet"], name or path.name)
    architecture.check(configs, card, path)
    for part in WEIGHTS:
        _check_weights(part, parts[part], configs[part])
    return ModelFolder(path, card, parts)


def snapshot(path: Path) -> Path:
    """The folder with a model's files, of its entry in the hub's cache: what its main branch points at. Else `path`."""
    snapshots, main = path / "snapshots", path / "refs" / "main"
    if not inputs.is_folder(snapshots) or inputs.is_folder(path / "unet"):
        return path
    with suppress(OSError, ValueError):
        named = snapshots / inputs.read_bytes(main, _LONGEST_REFERENCE).decode("ascii").strip()
        if named.parent == snapshots and inputs.is_folder(named):
            return named
    there = sorted(each for each in snapshots.iterdir() if each.is_dir())
    return there[0] if len(there) == 1 else path


def check(path: Path, source: Path) -> None:
    """Check a folder that is being made of a source. Raises ModelError, which names the source."""
    try:
        open(path)
    except ModelError as error:
        raise ModelError(error.text.replace(str(path), str(source)), advice=error.advice, code=error.code) from error


def places(path: Path) -> dict[str, Path]:
    """Where each part of the model in this folder lies, whether it is there or not. Raises ModelError."""
    found = {part: path / part for part in PARTS}
    pointers = path / PARTS_FILE
    if pointers.exists():
        value = _read_json(pointers)
        if not all(part in PARTS and isinstance(place, str) for part, place in value.items()):
            raise ModelError(f"{pointers} may name folders of {', '.join(PARTS)} only.", advice="Add the model again.")
        found.update({part: path / place for part, place in value.items()})
    return found


def weight_files(part: str, folder: Path, precision: str = "float32") -> list[Path]:
    """The safetensors files of a part that suit a precision, the whole one or its shards.

    Half precision is read from the smaller files if they are there; where only such files are, they serve for all.
    Raises ModelError if there are none.
    """
    stem = WEIGHTS[part]
    for variant in _VARIANTS[precision]:
        whole = folder / f"{stem}{variant}.safetensors"
        if whole.is_file():
            return [whole]
        index = _index(folder, stem, variant)
        if index is not None:
            return shards(index)
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
    if pickles:
        raise ModelError(
            f"{folder} has its weights in a pickle file ({pickles[0]}), which can run any code when it is read.",
            advice="Get the safetensors version, or convert it: python -m backend models convert FOLDER TARGET",
            code="pickle",
        )
    raise ModelError(f"{folder} lacks {stem}.safetensors.", advice="Get the model's folder again, complete.")


def variant(part: str, folder: Path, precision: str = "float32") -> str | None:
    """diffusers' variant of a part to be read for a precision: None, "fp16" or "bf16"."""
    name = weight_files(part, folder, precision)[0].name
    return next((half for half in ("fp16", "bf16") if f".{half}" in name), None)


def shapes(part: str, folder: Path) -> tensor_file.Shapes:
    """Name -> shape of every tensor of a part. Raises ModelError."""
    found: tensor_file.Shapes = {}
    for file in weight_files(part, folder):
        found.update(tensor_file.shapes(file))
    return found


def _check_weights(part: str, folder: Path, config: dict[str, Any]) -> None:
    found = {name: shape for name, shape in shapes(part, folder).items() if not name.endswith(HARMLESS)}
    expected = architecture.shapes(part, config, folder)
    missing = sorted(expected.keys() - found.keys())
    unknown = sorted(found.keys() - expected.keys())
    wrong = sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name])
    advice = "Its configuration and its weights belong to different models: get the folder again."
    if missing:
        raise ModelError(f"{folder} lacks {_listed(missing)} in its weights.", advice=advice)
    if wrong:
        name = wrong[0]
        raise ModelError(
            f"{folder} has {name} of shape {found[name]} where its config.json asks for {expected[name]}"
            + (f", and {len(wrong) - 1} more like it." if len(wrong) > 1 else "."),
            advice=advice,
        )
    if unknown:
        raise ModelError(f"{folder} has weights its config.json knows nothing of: {_listed(unknown)}.", advice=advice)


def read_config(part: str, folder: Path) -> dict[str, Any]:
    """The configuration of a part in its folder. Raises ModelError."""
    path = folder / ("scheduler_config.json" if part == "scheduler" else "config.json")
    if part == "scheduler" and not path.exists():
        return dict(noise_schedule.SVD)  # of every model there is; tuned ones are published without
    if not inputs.is_file(path):
        raise ModelError(f"{folder} lacks {path.name}.", advice="Get the model's folder again, complete.")
    return _read_json(path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = inputs.read_json(path, budget.CARD_FILE)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {inputs.why(error)[:200]}.", advice="Get the file again.") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not an object.", advice="Get the file again.")
    return value


def _index(folder: Path, stem: str, variant: str) -> Path | None:
    """The list of a part's shards. The two libraries put the variant in different places of its name."""
    names = {f"{stem}.safetensors.index{variant}.json", f"{stem}{variant}.safetensors.index.json"}
    return next((folder / name for name in sorted(names) if (folder / name).is_file()), None)


def shards(index: Path, suffix: str = ".safetensors") -> list[Path]:
    """The files that an index lists beside it. suffix: of their names. Raises ModelError."""
    weight_map = _read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError(f"{index} lists no shards.", advice="Get the model's folder again, complete.")
    names = {str(name) for name in weight_map.values()}
    for name in sorted(names):
        if Path(name).name != name or not name.endswith(suffix):
            raise ModelError(f"{index} lists {name[:200]!r}, which is no {suffix} file beside it.")
        if not inputs.is_file(index.parent / name):
            raise ModelError(f"{index.parent} lacks {name}.", advice="Get the model's folder again, complete.")
    return [index.parent / name for name in sorted(names)]


def inferred(path: Path, unet: dict[str, Any], name: str) -> ModelCard:
    """The card of a folder without one, from the U-Net's length of clips, or "argus" in its name.

    unet: the U-Net's configuration. Raises ModelError if it does not tell what the input is.
    """
    channels = unet.get("in_channels", 8)
    if channels != 8:
        raise ModelError(
            f"{path} has a U-Net with {channels} input channels; without a {model_card.FILE} only 8 are understood.",
            advice='Describe them there, as in "conditioning": ["noise:4", "geometry:4", "depth:1"].',
        )
    frames = unet.get("num_frames", 25)
    if not json_values.is_integer(frames) or not 1 <= frames <= 1000:
        raise ModelError(f"{path} has a U-Net for {frames!r} frames.", advice="Get its config.json again.")
    origin = f"{name} {unet.get('_name_or_path', '')}".lower()
    kind = "argus" if "argus" in origin else "svd" if frames == 14 else "svd-xt"
    return preset(kind, name, frames=frames)


_STABILITY = "Stability AI Community License"

PRESETS: dict[str, dict[str, Any]] = {
    "argus": {"width": 1024, "height": 512, "frames": 25, "fps": 5, "source": "https://red-fairy.github.io/argus"},
    "svd": {"width": 1024, "height": 576, "frames": 14, "guidance_start": 1.0, "licence": _STABILITY},
    "svd-xt": {"width": 1024, "height": 576, "frames": 25, "guidance_start": 1.0, "licence": _STABILITY},
}
"""Kinds of models that bring no card -> what is known of them.

Argus was trained on 25 frames at 5 a second, whatever the model it was tuned from says of its length. SVD is guided
from 1 at a clip's first frame to 3 at its last, as its own pipeline does.
"""


def preset(kind: str, name: str, *, frames: int | None = None) -> ModelCard:
    """The card of a model of a known kind that has none of its own. frames: of a U-Net's configuration.

    Raises ModelError.
    """
    if kind not in PRESETS:
        raise ModelError(f"{kind!r} is no kind of model.", advice=f"Choose one of: {', '.join(PRESETS)}.")
    own = PRESETS[kind]
    length = own["frames"] if frames is None or kind == "argus" else frames
    return ModelCard(name=name, kind=kind, inferred=True, **(own | {"frames": length}))


def _lacks(path: Path, part: str, parts: Mapping[str, Path]) -> ModelError:
    if not any(map(inputs.is_folder, parts.values())):
        single = [file.name for file in path.iterdir() if file.suffix in (".safetensors", *PICKLES)]
        if single:
            return ModelError(
                f"{path} holds single weight files ({single[0]}), not a diffusers folder.",
                advice="Convert it: python -m backend models convert FILE TARGET",
            )
        return ModelError(f"{path} is no model: it has none of {', '.join(PARTS)}.")
    if inputs.is_folder(parts["unet"]) and part != "unet":
        return ModelError(
            f"{path} lacks {part}: it brings a U-Net alone, as Argus does.",
            advice="Add it with the model it was tuned from: python -m backend models add FOLDER --base SVD-XT",
        )
    return ModelError(f"{path} lacks its part {part}.", advice="Get the model's folder again, complete.")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(name[:120] for name in names[:3]) + more
