"""What the backend does with models for Blender: adds one to the person's store, checks one, asks the hub."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ...core import inputs
from ...core.errors import BackendError, ModelError
from ...core.jobs import child, model_places, paint_settings
from ...core.plain_text import filled
from ...core.progress import Job, Progress, in_thread
from ..app import backend_process, preferences
from . import models, painters

_PATIENCE = 90.0  # seconds, from a cold disk and a slow network


@dataclass(frozen=True)
class Source:
    """Where a model comes from, as `python -m backend models add` takes it.

    place: a folder, or an id of the hub. base: for a U-Net alone, the model whose other parts it uses, or empty.
    name, kind, licence: empty leaves them to the model. copy: keep the weights, not only where they lie.
    half: download weights of half precision only.
    """

    place: str
    base: str = ""
    name: str = ""
    kind: str = ""
    licence: str = ""
    copy: bool = False
    half: bool = False

    @property
    def hub_ids(self) -> list[str]:
        """What of it is to be had from the hub."""
        return [each for each in (self.place, self.base) if _is_of_hub(each)]


@dataclass(frozen=True)
class Download:
    """What getting a model of the hub comes to: bytes to be downloaded, 0 if it is here already; its licence; whether
    that has to be accepted on the hub first.
    """

    id: str
    here: bool
    bytes: int
    licence: str
    gated: bool

    @property
    def text(self) -> str:
        """A sentence for whoever is asked."""
        if self.here:
            return filled("{model} is on this computer already.", model=self.id)
        size = f"{self.bytes / 1e9:.1f} GB" if self.bytes >= 10**8 else f"{self.bytes / 1e6:.0f} MB"
        gated = filled(" It is given only to those who have accepted that on its page.") if self.gated else ""
        return filled(
            "{model}: {size} from huggingface.co. License: {license}.{gated}",
            model=self.id, size=size, license=self.licence, gated=gated,
        )  # fmt: skip


def ask(source: Source, *, online: bool) -> Job[list[Download]]:
    """What downloading a model, and its base, comes to. online: whether the hub may be asked; else only what was
    downloaded before is found. Raises ModelError, BackendError.
    """
    _require()
    arguments = ["ask", "--json", *(["--half"] if source.half else []), *([] if online else ["--offline"])]
    step = Progress("Asking the hub", text=source.place)
    command = partial(
        child.answer, preferences.backend_python(), "backend", "models", *arguments, "--", *source.hub_ids
    )
    try:
        said = yield from in_thread(partial(command, patience=_PATIENCE), step)
    except BackendError as error:
        if online:
            raise
        raise ModelError(
            f"{' and '.join(source.hub_ids)}: not on this computer, and Blender may not use the network.",
            advice="Allow Online Access in Preferences > System, then add it again.",
        ) from error
    try:
        return [Download(**each) for each in inputs.parsed(said.encode())]
    except (ValueError, TypeError) as error:
        raise BackendError(
            f"The backend gave no answer that makes sense: {said[:200]!r}.", advice="Try again."
        ) from error


def add(source: Source, *, download: bool) -> Job[None]:
    """Put a model into the person's store. download: whether what is missing may be fetched from the hub.

    Raises ModelError with the backend's own explanation, BackendError.
    """
    _require()
    options = {"name": source.name, "base": source.base, "kind": source.kind, "licence": source.licence}
    named = [f"--{name}={value}" for name, value in options.items() if value]
    flags = {"--copy": source.copy, "--half": source.half, "--download": download}
    chosen = [flag for flag, wanted in flags.items() if wanted]
    yield from _run("add", "--json", *named, *chosen, "--", source.place)


def check(name: str) -> Job[None]:
    """Check every file and number of a model of the store, and note what is found (core/jobs/model_places.py).

    Raises ModelError with what is wrong, BackendError.
    """
    _require()
    yield from _run("check", "--json", "--", name)


def _require() -> None:
    backend_process.require(painters.packages(paint_settings.SETTINGS_KEY), "models")


def _run(*arguments: str) -> Job[None]:
    try:
        yield from child.run(preferences.backend_python(), "backend", "models", *arguments)
    except child.AnswerError as error:
        raise ModelError(error.text, advice=error.advice, code=error.code, repair=error.repair) from error


def _is_of_hub(text: str) -> bool:
    return model_places.is_hub_id(text) and models.find(text) is None
