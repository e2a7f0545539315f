"""What a training run is told: one TOML file, read into frozen tables and checked before anything slow begins."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pantheon360_blender.core import inputs, json_values
from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.jobs.model_card import GEOMETRIES

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
"""The recipes that ship."""
RANDOM = "random"
"""Where a run starts that has nothing to start from."""
_LARGEST = 1 << 20
_ADVICE = "Correct the recipe (docs/training.md explains every entry), or give the entry by --set TABLE.ENTRY=VALUE."


def _number(default: float, least: float, most: float, *, whole: bool = False) -> Any:
    """An entry that is a number, bounds included."""
    kind = "a whole number" if whole else "a number"
    return field(default=default, metadata={"least": least, "most": most, "whole": whole, "kind": kind})


def _count(default: int, least: int, most: int) -> Any:
    return _number(default, least, most, whole=True)


def _choice(default: str, *choices: str) -> Any:
    return field(default=default, metadata={"choices": choices})


def _text(default: str | Any = MISSING) -> Any:
    return field(default=default, metadata={"text": True})


def _flag(default: bool) -> Any:
    return field(default=default, metadata={"flag": True})


@dataclass(frozen=True)
class Clips:
    """What is learned from.

    source: of sources.SOURCES. folder: of what the source reads, if it reads anything.
    width: of the panoramas in pixels; frames: of a clip. first: seed of the first clip.
    batch: clips a process takes at a time; accumulate: times it does so for a step.
    kept: clips among which each one is drawn; uses: how often a clip is drawn on average before another replaces it.
    ahead: steps that a thread prepares beforehand, 0 for none. workers: processes that make clips for these, or 0.
    held_out: clips that are never trained on and that the run is judged by, 0 for none; held_out_first: the seed of the
    first. reconstructed: of worlds with several captures, the share whose caches are our own reconstructions of these.
    """

    source: str = _text("worlds")
    folder: str = _text("")
    width: int = _count(256, 64, 8192)
    frames: int = _count(8, 1, 200)
    first: int = _count(0, 0, 1 << 40)
    batch: int = _count(1, 1, 4096)
    accumulate: int = _count(1, 1, 4096)
    kept: int = _count(64, 1, 1_000_000)
    uses: int = _count(4, 1, 1_000_000)
    ahead: int = _count(2, 0, 64)
    workers: int = _count(0, 0, 256)
    held_out: int = _count(4, 0, 1000)
    held_out_first: int = _count(1 << 41, 0, 1 << 62)
    reconstructed: float = _number(0.0, 0, 1)


@dataclass(frozen=True)
class Optimizer:
    """AdamW. rate: the highest, reached after warm_up steps; from there it falls as a cosine to rate * lowest.

    clip: norm that gradients are cut to. average: of the weights' exponential moving average, 0 for none.
    """

    rate: float = _number(3e-4, 0, 1)
    warm_up: int = _count(500, 0, 1_000_000)
    lowest: float = _number(0.02, 0, 1)
    beta1: float = _number(0.9, 0, 1)
    beta2: float = _number(0.999, 0, 1)
    decay: float = _number(0.01, 0, 1)
    clip: float = _number(1.0, 0, 1e6)
    average: float = _number(0.999, 0, 0.999999)


@dataclass(frozen=True)
class Run:
    """How long, how exactly, and what is written down how often; steps and seconds: the first that is reached ends it.

    seconds: 0 for no limit. by_clock: whether rate and phases follow the seconds, too: where a machine is lent for
    minutes, and no two runs are equal. precision: processors without bfloat16 take float32. threads: of the processor,
    0 for all. device: as `backend.device` names it.
    log_every, samples_every: steps; samples_every 0: at the end alone. checkpoint_every: steps;
    checkpoint_seconds: the same by the clock, 0 for never. keep: checkpoints kept.
    """

    steps: int = _count(20_000, 1, 100_000_000)
    seconds: float = _number(0, 0, 1e9)
    by_clock: bool = _flag(False)
    threads: int = _count(0, 0, 1024)
    device: str = _choice("auto", "auto", "cpu", "cuda", "mps")
    precision: str = _choice("float32", "float32", "bfloat16")
    gradient_checkpointing: bool = _flag(False)
    log_every: int = _count(20, 1, 1_000_000)
    samples_every: int = _count(0, 0, 100_000_000)
    checkpoint_every: int = _count(500, 1, 100_000_000)
    checkpoint_seconds: float = _number(600, 0, 1e9)
    keep: int = _count(2, 1, 1000)


@dataclass(frozen=True)
class Perceptual:
    """LPIPS with VGG's features, from `start` on, a share of the run. weights: the folder of scripts/metric_weights.py.

    weight: against the rest of the loss, 0 for none. frames: that it looks at, of each clip. columns: of a painter's
    frames that it looks at, 0 for all of them; which ones changes as clips are turned at random.
    """

    weight: float = _number(0.0, 0, 1000)
    weights: str = _text("")
    start: float = _number(0.8, 0, 1)
    frames: int = _count(2, 1, 1000)
    columns: int = _count(0, 0, 8192)


@dataclass(frozen=True)
class Vae:
    """What a run that trains the VAE minimises: L1 of pictures + divergence * KL + LPIPS.

    frames: of a clip that one sample holds, next to one another. rows, columns: of the pictures' parts that are looked
    at, 0 for all of them; from the share `whole_from` of the run on, whole pictures are.
    """

    frames: int = _count(4, 1, 200)
    rows: int = _count(0, 0, 8192)
    columns: int = _count(0, 0, 8192)
    whole_from: float = _number(0.8, 0, 1)
    divergence: float = _number(1e-6, 0, 1)


@dataclass(frozen=True)
class Painter:
    """What a run that trains the U-Net does. vae: a diffusers folder of the VAE if the start is random.

    train_image_encoder: together with the U-Net. rank: of LoRA, 0 trains all weights; alpha: its scale times the rank.
    dropout: share of clips that are told nothing. high_noise: share of clips at the highest noise.
    curriculum: share of the run in which noise grows to its distribution. one_step: share of the run, at its end, in
    which the share one_step_of of clips is painted in one step. end_shown: share of clips whose last frame is shown.
    latitude: whether rows count by their size on the sphere. turn: whether clips are seen in random headings.
    """

    vae: str = _text("")
    train_image_encoder: bool = _flag(True)
    rank: int = _count(0, 0, 1024)
    alpha: float = _number(0, 0, 10_000)
    dropout: float = _number(0.1, 0, 1)
    high_noise: float = _number(0.5, 0, 1)
    curriculum: float = _number(0.05, 0, 1)
    one_step: float = _number(0.2, 0, 1)
    one_step_of: float = _number(0.75, 0, 1)
    end_shown: float = _number(0.5, 0, 1)
    latitude: bool = _flag(True)
    turn: bool = _flag(True)


@dataclass(frozen=True)
class Card:
    """What the model's card says of it (core/jobs/model_card.py), and what it is trained on: geometry."""

    name: str = _text("pantheon360")
    licence: str = _text("unknown")
    source: str = _text("trained with Pantheon360 for Blender")
    fps: int = _count(7, 1, 240)
    geometry: str = _choice("points", *GEOMETRIES)


@dataclass(frozen=True)
class Settings:
    """A run. trains: "vae" or "painter". start: "random", a diffusers folder, or a checkpoint of such a run."""

    trains: str = _choice("painter", "vae", "painter")
    start: str = _text(RANDOM)
    seed: int = _count(0, 0, 1 << 62)
    clips: Clips = Clips()
    optimizer: Optimizer = Optimizer()
    run: Run = Run()
    vae: Vae = Vae()
    painter: Painter = Painter()
    perceptual: Perceptual = Perceptual()
    card: Card = Card()

    def as_json(self) -> dict[str, Any]:
        """Every entry, as JSON has it."""
        return asdict(self)


_TABLES: dict[str, Any] = {
    "clips": Clips, "optimizer": Optimizer, "run": Run, "vae": Vae, "painter": Painter, "perceptual": Perceptual,
    "card": Card,
}  # fmt: skip


def find(recipe: Path) -> Path:
    """The recipe's file: a path, or the name of one that ships, with or without ".toml". Raises PantheonError."""
    for path in (inputs.expanded(recipe), RECIPES / recipe.name, RECIPES / f"{recipe.name}.toml"):
        if inputs.is_file(path):
            return path
    shipped = ", ".join(sorted(path.stem for path in RECIPES.glob("*.toml")))
    raise PantheonError(
        f"There is no recipe {recipe}.", advice=f"Name a TOML file, or one of {shipped}.", code="recipe"
    )


def read(path: Path, changes: Sequence[str] = (), *, with_files: bool = True) -> Settings:
    """The settings of a recipe. changes: "TABLE.ENTRY=VALUE" each, VALUE as TOML has it; a bare word is a text.

    with_files: whether what the recipe names has to be there.

    Raises PantheonError that names every wrong entry and what is right.
    """
    try:
        given = tomllib.loads(inputs.read_bytes(path, _LARGEST).decode("utf-8"))
    except (OSError, ValueError) as error:
        raise PantheonError(f"{path} cannot be read: {inputs.why(error)}.", advice=_ADVICE, code="recipe") from error
    for change in changes:
        _change(given, change)
    return of(given, str(path), with_files=with_files)


def of(given: Mapping[str, Any], name: str = "The recipe", *, with_files: bool = True) -> Settings:
    """Settings from tables of entries; see `read`."""
    wrong: list[str] = []
    entries = _entries(Settings, "", {key: value for key, value in given.items() if key not in _TABLES}, wrong)
    for table, kind in _TABLES.items():
        value = given.get(table, {})
        if not isinstance(value, dict):
            wrong.append(f"{table} is no table")
            continue
        entries[table] = kind(**_entries(kind, f"{table}.", value, wrong))
    if not wrong:
        made = Settings(**entries)
        wrong = _contradictions(made) + (_missing(made) if with_files else [])
    if wrong:
        raise PantheonError(f"{name} is wrong: {'; '.join(wrong)}.", advice=_ADVICE, code="recipe")
    return made


def _change(given: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    table, dot, entry = key.strip().rpartition(".")
    if not equals or not entry:
        raise PantheonError(f"--set {change} is no TABLE.ENTRY=VALUE.", advice=_ADVICE, code="recipe")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        value = text.strip()
    place = given.setdefault(table, {}) if dot else given
    if not isinstance(place, dict):
        raise PantheonError(f"--set {change}: {table} is no table.", advice=_ADVICE, code="recipe")
    place[entry] = value


def _entries(kind: Any, prefix: str, given: Mapping[str, Any], wrong: list[str]) -> dict[str, Any]:
    """The entries of a table that are right; what is wrong is added to `wrong`."""
    known = {each.name: each for each in fields(kind) if each.metadata}
    found = {}
    for name, value in given.items():
        if name not in known:
            wrong.append(f"{prefix}{name} is unknown, there are {', '.join(known)}")
            continue
        error = _error(known[name].metadata, value)
        if error:
            wrong.append(f"{prefix}{name} is {value!r}, not {error}")
        else:
            found[name] = value
    return found


def _error(rule: Mapping[str, Any], value: Any) -> str | None:
    """What is right if a value is not, or None."""
    if "choices" in rule:
        return None if value in rule["choices"] else f"one of {', '.join(rule['choices'])}"
    if "flag" in rule:
        return None if isinstance(value, bool) else "true or false"
    if "text" in rule:
        return None if isinstance(value, str) and json_values.is_unicode(value) else "a text"
    right = json_values.is_integer(value) if rule["whole"] else json_values.is_number(value)
    if right and rule["least"] <= value <= rule["most"]:
        return None
    return f"{rule['kind']} from {rule['least']:g} to {rule['most']:g}"


def _contradictions(made: Settings) -> list[str]:
    """Entries that do not fit each other."""
    wrong = []
    if made.clips.width % 32:
        wrong.append(f"clips.width is {made.clips.width}, not a multiple of 32")
    if made.trains == "vae" and made.vae.frames > made.clips.frames:
        wrong.append(f"vae.frames is {made.vae.frames}, more than the {made.clips.frames} of clips.frames")
    if made.trains == "vae" and not made.clips.held_out:
        wrong.append("clips.held_out is 0, and a VAE's scaling factor is measured on held-out clips")
    if any(size % 16 for size in (made.vae.rows, made.vae.columns)):
        wrong.append("vae.rows and vae.columns must be multiples of 16")
    if made.clips.workers and not made.clips.ahead:
        wrong.append("clips.workers need clips.ahead, or nothing is made before it is asked for")
    if made.run.by_clock and not made.run.seconds:
        wrong.append("run.by_clock needs run.seconds")
    if made.painter.rank and made.start == RANDOM:
        wrong.append("painter.rank asks for LoRA, which needs a start that was trained")
    if made.clips.held_out_first < made.clips.first + (1 << 40):
        wrong.append("clips.held_out_first must lie at least 2^40 beyond clips.first, so that no clip is both")
    return wrong


def _missing(made: Settings) -> list[str]:
    """What a recipe names that is not there."""
    wrong = []
    if made.start != RANDOM and not _is_folder(made.start):
        wrong.append(f"start is {made.start!r}, neither {RANDOM!r} nor a folder that is there")
    if made.trains == "painter" and made.start == RANDOM and not _is_folder(made.painter.vae):
        wrong.append(f"painter.vae is {made.painter.vae!r}, not the folder of a VAE, which a random start needs")
    if made.perceptual.weight and not _has_vgg(inputs.expanded(made.perceptual.weights)):
        wrong.append(
            f"perceptual.weights is {made.perceptual.weights!r}, not the folder with vgg16.safetensors and"
            " lpips-vgg.safetensors that scripts/metric_weights.py makes"
        )
    return wrong


def _is_folder(text: str) -> bool:
    return bool(text) and inputs.is_folder(inputs.expanded(text))


def _has_vgg(folder: Path) -> bool:
    return all(inputs.is_file(folder / f"{name}.safetensors") for name in ("vgg16", "lpips-vgg"))
