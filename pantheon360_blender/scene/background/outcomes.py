"""What the last work of each stage of the way came to: why it failed, or what it warned of.

Kept here and not in the .blend, so that undo does not take it away and no file carries it; another file begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import bpy
from bpy.app.handlers import persistent

from ...core import inputs
from ...core.errors import PantheonError
from ..app import jobs, registration

Stage = Literal["captures", "cache", "path", "geometry", "video", "takes", "jobs", "engine", "models"]
STAGES: tuple[str, ...] = get_args(Stage)
"""One a panel; the last two are those of the preferences, where no scene counts."""
OF_NO_SCENE = ("engine", "models")

_PAINTING: tuple[Stage, str] = ("video", "Generate 360° Video")
_OF_KIND: dict[str, tuple[Stage, str]] = {
    "paint": _PAINTING,
    "reconstruct": ("cache", "Build 3D Cache"),
    "extend": ("takes", "Add Take to Cache"),
}


@dataclass(frozen=True)
class Outcome:
    """How something ended of which the artist should know.

    label: of the button. error: why it failed, empty if it was done. repair: id of the operator that helps, or empty.
    warnings: what it told. log: a file with more, or None.
    """

    label: str
    error: str = ""
    repair: str = ""
    warnings: tuple[str, ...] = ()
    log: Path | None = None

    @property
    def text(self) -> str:
        """All that was told, to be copied."""
        return "\n".join(filter(None, (self.error, *self.warnings)))


_outcomes: dict[tuple[int, str], Outcome] = {}
"""(a scene's session_uid, or 0; stage) -> outcome."""


def stage_of(kind: str) -> tuple[Stage, str]:
    """The stage that a job of this kind belongs to, and what its button is called."""
    return _OF_KIND.get(kind, _PAINTING)


def of(scene: bpy.types.Scene | None, stage: str) -> Outcome | None:
    """What the artist should know of a stage; None if nothing. Cheap enough for a panel."""
    return _outcomes.get(_key(scene, stage))


def fail(
    scene: bpy.types.Scene | None,
    stage: str,
    label: str,
    error: PantheonError,
    warnings: Iterable[str] = (),
    log: Path | None = None,
) -> None:
    """Keep why something failed, until it, or a job of its stage, is done or the artist takes it away.

    log: where more stands if the error itself names no file.
    """
    told = tuple(warnings)
    _outcomes[_key(scene, stage)] = Outcome(label, str(error), error.repair or "", told, _existing(error.log or log))
    _redraw()


def succeed(
    scene: bpy.types.Scene | None,
    stage: str,
    label: str,
    warnings: Iterable[str] = (),
    log: Path | None = None,
    *,
    whole: bool,
) -> None:
    """Let what a stage told before go, and keep what it warned of now.

    whole: whether this was the stage's long work; less than that takes only its own failure away.
    """
    key, told = _key(scene, stage), tuple(warnings)
    before = _outcomes.get(key)
    if told:
        _outcomes[key] = Outcome(label, warnings=told, log=_existing(log))
    elif before is not None and (whole or before.label == label):
        del _outcomes[key]
    _redraw()


def forget(scene: bpy.types.Scene | None, stage: str) -> None:
    """Take away what a stage told."""
    _outcomes.pop(_key(scene, stage), None)
    _redraw()


def _redraw() -> None:
    for manager in bpy.data.window_managers:
        jobs.redraw(manager, whole=True)


def _key(scene: bpy.types.Scene | None, stage: str) -> tuple[int, str]:
    """Undo and renaming change neither number nor stage."""
    return (scene.session_uid if scene is not None and stage not in OF_NO_SCENE else 0, stage)


def _existing(log: Path | None) -> Path | None:
    return log if log is not None and inputs.is_file(log) else None


@persistent
def _forget_scenes(*_: Any) -> None:
    """What failed in one file is nothing to another one."""
    for key in [key for key in _outcomes if key[1] not in OF_NO_SCENE]:
        del _outcomes[key]


_HANDLERS = {"load_post": _forget_scenes}


def register() -> None:
    registration.add_handlers(_HANDLERS)


def unregister() -> None:
    registration.remove_handlers(_HANDLERS)
    _outcomes.clear()
