"""What a painter model was trained for: `pantheon360.json` in its folder, or what a folder without one tells."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from .. import budget, files, inputs, json_values
from ..errors import ModelError

FILE = "pantheon360.json"
SCHEMA = 1

CONDITIONS = {
    "noise": "the latents being denoised; always first",
    "geometry": "VAE latents of the geometry pass, not multiplied by the VAE's scaling factor",
    "coverage": "share of each latent pixel that the geometry pass covers, 0 to 1",
    "depth": "1 / (1 + range in metres) of the geometry pass, averaged over each latent pixel; 0 where nothing is",
}
"""What channels of the U-Net's input may hold."""

GEOMETRIES = {
    "points": "each point of the cache at one pixel, black where nothing is, as in the paper",
    "filled": "the draft: points, behind them the captures as if far away, holes closed from around",
}
"""What a model sees of the cache."""

CAPABILITIES = {
    "pantheon360": "Trained for panoramas with a geometry pass.",
    "argus": (
        "Argus: trained for panoramas with black holes. It follows a geometry pass without having been trained on one."
    ),
    "svd-xt": "Stable Video Diffusion XT: for plain video. Panoramas and the geometry pass are new to it: degraded.",
    "svd": "Stable Video Diffusion: for plain, short video. Panoramas and the geometry pass are new to it: degraded.",
    "untrained": "Untrained: random weights. For tests and first runs; it paints noise.",
}
"""Kind of a model -> what it can do, for people."""


@dataclass(frozen=True)
class ModelCard:
    """What a model is.

    name: for people. kind: a key of CAPABILITIES. trained: False for random weights.
    conditioning: what the U-Net's input channels are, in order, each "NAME:CHANNELS" with a NAME of CONDITIONS.
    width, height: trained size in pixels; also the native size of what it paints.
    frames: trained length of a clip; fps: frames a second it was trained at (the U-Net is told fps - 1).
    motion_bucket, noise_aug: the other two added time ids.
    anchors: 1 if only the clip's first frame is a panorama, 2 if the last one may be, too.
    guidance: classifier-free guidance to use if the artist chooses none; 1 is none at all. guidance_start: the same
    at the frame a clip begins with, from which it changes evenly; None is no change.
    geometry: a key of GEOMETRIES, the pictures that its channels of geometry are latents of.
    draft_share: how much of the draft stays in each frame if the artist does not say, 0 to 1: a small model finds what
    is right in the mean, and the draft has the detail.
    steps: denoising steps to use if the artist chooses none; None is as many as the scheduler usually takes.
    travel: where in the panoramas it was trained on the direction of travel lies, degrees to the right of the middle;
    None leaves clips in the heading that the camera has.
    licence, source: of the weights; source is a hub id, an address or a sentence.
    capability: a sentence for people; empty stands for that of the kind.
    inferred: True if there was no file and this is a guess from the weights' configuration.
    """

    name: str
    kind: str
    width: int
    height: int
    frames: int
    conditioning: tuple[str, ...] = ("noise:4", "geometry:4")
    fps: int = 7
    motion_bucket: int = 127
    noise_aug: float = 0.02
    anchors: int = 1
    guidance: float = 3.0
    guidance_start: float | None = None
    geometry: str = "points"
    draft_share: float = 0.0
    steps: int | None = None
    travel: float | None = 0.0
    licence: str = "unknown"
    source: str = "unknown"
    trained: bool = True
    capability: str = ""
    inferred: bool = False

    def __post_init__(self) -> None:
        error = _error(self)
        if error:
            raise ModelError(f"The model card of {self.name!r} {error}.", advice=f"Correct its {FILE}.")
        if not self.capability:
            object.__setattr__(self, "capability", CAPABILITIES[self.kind])

    @property
    def channels(self) -> dict[str, int]:
        """Channels of the U-Net's input by what they hold, in their order."""
        return dict(_channels(entry) for entry in self.conditioning)

    @property
    def in_channels(self) -> int:
        """Channels of the U-Net's input in all."""
        return sum(self.channels.values())

    @property
    def sees_draft(self) -> bool:
        """Whether it is shown the draft instead of points alone."""
        return self.geometry == "filled"

    @property
    def extras(self) -> dict[str, int]:
        """Channels beyond noise and geometry."""
        return {name: count for name, count in self.channels.items() if name not in ("noise", "geometry")}

    @property
    def label(self) -> str:
        """The name as it is shown everywhere: untrained models say so."""
        return self.name if self.trained else f"{self.name} (untrained)"


def read(folder: Path) -> ModelCard | None:
    """The card of a model's folder; None if it has none. Raises ModelError if it is damaged."""
    path = folder / FILE
    try:
        value = inputs.read_json(path, budget.CARD_FILE)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path} cannot be read: {inputs.why(error)}.", advice="Remove it, or write it again."
        ) from error
    return from_json(value, path)


def from_json(value: Any, path: Path) -> ModelCard:
    """A card from what its file holds. path: for messages. Raises ModelError."""
    advice = "Correct it, or remove it: a plain SVD folder needs none."
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not an object.", advice=advice)
    if value.get("schema") != SCHEMA:
        raise ModelError(
            f"{path} has schema {value.get('schema')!r}; this version reads {SCHEMA}.",
            advice="Update the Pantheon360 extension.",
        )
    known = {field.name for field in fields(ModelCard)} - {"inferred"}
    unknown = sorted(set(value) - known - {"schema"})
    missing = sorted({"name", "kind", "width", "height", "frames", "conditioning"} - set(value))
    if unknown or missing:
        wrong = f"has unknown entries: {', '.join(unknown)}" if unknown else f"lacks {', '.join(missing)}"
        raise ModelError(f"{path} {wrong}.", advice=advice)
    entries: dict[str, Any] = {
        name: tuple(entry) if isinstance(entry, list) else entry for name, entry in value.items()
    }
    entries.pop("schema")
    try:
        return ModelCard(**entries)
    except ModelError as error:
        raise ModelError(f"{path}: {error.text}", advice=advice) from error


def write(folder: Path, card: ModelCard) -> None:
    """Write a card into a model's folder. Raises FileError."""
    value = {"schema": SCHEMA, **asdict(replace(card, inferred=False))}
    value.pop("inferred")
    files.write_json(folder / FILE, value)


def _error(card: ModelCard) -> str | None:
    """What is wrong with a card, or None."""
    texts = (card.name, card.kind, card.licence, card.source, card.capability, card.geometry)
    if not all(isinstance(text, str) and json_values.is_unicode(text) and len(text) < 2000 for text in texts):
        return "has a text that is none"
    if not card.name.strip():
        return "has no name"
    if card.kind not in CAPABILITIES:
        return f"is of unknown kind {card.kind!r}; there are {', '.join(CAPABILITIES)}"
    for name, least, most in (("width", 64, 16384), ("height", 32, 8192), ("frames", 1, 1000), ("fps", 1, 240)):
        if not json_values.is_integer(getattr(card, name)) or not least <= getattr(card, name) <= most:
            return f"has {name} {getattr(card, name)!r}, not a whole number from {least} to {most}"
    if not json_values.is_integer(card.motion_bucket) or not 0 <= card.motion_bucket <= 1000:
        return f"has motion_bucket {card.motion_bucket!r}, not a whole number from 0 to 1000"
    if card.steps is not None and (not json_values.is_integer(card.steps) or not 1 <= card.steps <= 1000):
        return f"has steps {card.steps!r}, neither null nor a whole number from 1 to 1000"
    for name, lowest, highest in (("guidance_start", 0.0, 100.0), ("travel", -360.0, 360.0)):
        value = getattr(card, name)
        if value is not None and (not json_values.is_number(value) or not lowest <= value <= highest):
            return f"has {name} {value!r}, neither null nor a number from {lowest:g} to {highest:g}"
    for name, highest in (("noise_aug", 10.0), ("guidance", 100.0), ("draft_share", 1.0)):
        if not json_values.is_number(getattr(card, name)) or not 0 <= getattr(card, name) <= highest:
            return f"has {name} {getattr(card, name)!r}, not a number from 0 to {highest:g}"
    if card.geometry not in GEOMETRIES:
        return f"has geometry {card.geometry!r}; there are {', '.join(GEOMETRIES)}"
    if card.anchors not in (1, 2) or isinstance(card.anchors, bool):
        return f"has anchors {card.anchors!r}; 1 and 2 are possible"
    if not isinstance(card.trained, bool):
        return f"has trained {card.trained!r}, neither true nor false"
    return _conditioning_error(card.conditioning)


def _conditioning_error(conditioning: Any) -> str | None:
    if not isinstance(conditioning, tuple) or not all(isinstance(entry, str) for entry in conditioning):
        return f"has conditioning {conditioning!r}, not a list of texts such as noise:4"
    try:
        entries = [_channels(entry) for entry in conditioning]
    except ValueError:
        return f"has conditioning {list(conditioning)!r}: each entry is NAME:CHANNELS, such as noise:4"
    names = [name for name, _ in entries]
    unknown = [name for name in names if name not in CONDITIONS]
    if unknown:
        return f"has unknown conditioning {', '.join(unknown)}; there are {', '.join(CONDITIONS)}"
    if names[:2] != ["noise", "geometry"] or len(set(names)) != len(names):
        return "must begin its conditioning with noise and geometry and name nothing twice"
    if any(count != 1 for name, count in entries[2:]) or len({count for _, count in entries[:2]}) != 1:
        return "must have as many channels of noise as of geometry, and one of coverage or depth"
    return None


def _channels(entry: str) -> tuple[str, int]:
    """("geometry", 4) of "geometry:4". Raises ValueError."""
    name, count = entry.split(":")
    if not count.isascii() or not count.isdigit() or not 0 < int(count[:6]) <= 64:
        raise ValueError(entry)
    return name, int(count)
