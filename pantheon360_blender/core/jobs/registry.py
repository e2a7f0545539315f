"""Every job of a person, whichever Blender began it: where it lies, for which scene it is, and how far it is.

A job outlives the .blend, undo and the Blender that began it. What is needed to go on with it, or to deliver it,
therefore stands in the person's folder, one small file a job:

    <person>/jobs/ID.json

Files are written whole and renamed, so that several Blenders can read and write at once. A job that is at work, or
waits for its turn, names the process that has it. When that process is gone, the job is interrupted: another Blender
may go on with it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from .. import budget, inputs, json_values, person_folder, temporary
from ..errors import FileError, JobError, PantheonError
from ..output_folder import OutputFolder

State = Literal["preparing", "waiting", "running", "paused", "failed", "finished", "delivered"]
"""preparing: Blender writes its folder. waiting: for its turn in a queue. running: the backend works on it. paused: the
person stopped it. failed: see its error. finished: its results are in the folder. delivered: and in the scene."""

Condition = Literal["preparing", "waiting", "running", "paused", "failed", "finished", "delivered", "interrupted"]
"""A state, or interrupted: whoever had the job in hand is gone."""

IN_HAND: tuple[State, ...] = ("preparing", "waiting", "running")
"""States in which a process has the job in hand."""

_STATES = get_args(State)
_STOP = ".stop"
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_MOST = 10_000  # files that are looked at


@dataclass(frozen=True)
class Entry:
    """A job as its person's registry knows it.

    id: the job's own. kind: that of its job.json. title: for people. folder: where it lies, absolute; while it is
    prepared, where it will lie once it is complete.
    blend: the .blend it was begun from, absolute; empty if that was not saved. delivered_to: the .blend that has its
    results. scene, identity: the scene's name then, and what it is known by since. owner: the process that has it in
    hand. place: its turn in that process's queue. captures: label in the job -> what the capture's object is known by.
    error, repair: why it failed, and the operator that repairs it. made, updated: UTC, ISO 8601.
    """

    id: str
    kind: str
    title: str
    folder: str
    blend: str = ""
    delivered_to: str = ""
    scene: str = ""
    identity: str = ""
    state: State = "waiting"
    owner: str = ""
    place: float = 0.0
    captures: dict[str, str] = field(default_factory=dict)
    error: str = ""
    repair: str = ""
    made: str = ""
    updated: str = ""

    @property
    def path(self) -> Path:
        """The job's folder."""
        return Path(self.folder)

    @property
    def condition(self) -> Condition:
        """Its state, unless whoever has it in hand is gone."""
        return "interrupted" if self.state in IN_HAND and temporary.is_gone(self.owner, self._changed()) else self.state

    @property
    def is_ours(self) -> bool:
        """Whether this process has it in hand."""
        return self.state in IN_HAND and self.owner == temporary.owner()

    def _changed(self) -> float:
        with suppress(ValueError):
            return datetime.fromisoformat(self.updated).timestamp()
        return 0.0


def folder() -> Path:
    """Where the registry lies. It may not exist yet."""
    return person_folder.path() / "jobs"


def add(entry: Entry) -> Entry:
    """Enter a job, or enter it anew, and return it as it stands there. Raises FileError if it cannot be written."""
    now = datetime.now(UTC).isoformat()
    owner = temporary.owner() if entry.state in IN_HAND else ""
    entry = replace(entry, owner=owner, made=entry.made or now, updated=now)
    output = OutputFolder.made(folder())
    output.remove_abandoned(alone=False)
    output.write_json(f"{entry.id}.json", asdict(entry))
    return entry


def update(job_id: str, **changes: Any) -> Entry | None:
    """Change fields of a job's entry; whoever calls has the job in hand if it is in hand. None if it has no entry.

    Raises FileError if it cannot be written.
    """
    entry = find(job_id)
    return None if entry is None else add(replace(entry, **changes))


def note(job_id: str, **changes: Any) -> None:
    """`update` on the way: a registry that cannot be written never stops a job."""
    with suppress(FileError):
        update(job_id, **changes)


@contextmanager
def at_work(job_id: str, folder: Path) -> Iterator[None]:
    """Note that this process works on a job, and how that ended. folder: where it lies now.

    Raises JobError if another process has it in hand.
    """
    entry = find(job_id)
    if entry is not None and entry.condition in IN_HAND and not entry.is_ours:
        raise JobError(f"Another process works on the job in {folder}.", advice="Wait for it.", code="busy")
    note(job_id, folder=str(folder), state="running", error="", repair="")
    try:
        yield
    except PantheonError as error:
        _leave(job_id, state="failed", error=str(error), repair=error.repair or "")
        raise
    except BaseException:  # it was cancelled, or the process is to end
        _leave(job_id, state="paused")
        raise
    _leave(job_id, state="finished")


def _leave(job_id: str, **changes: Any) -> None:
    """`note`, unless another process took the job over meanwhile."""
    entry = find(job_id)
    if entry is not None and entry.is_ours:
        note(job_id, **changes)


def keep_alive(job_ids: Iterable[str]) -> None:
    """Let others see that these jobs, which this process has in hand, are not abandoned."""
    for job_id in job_ids:
        _leave(job_id)


def ask_to_stop(job_id: str) -> None:
    """Ask the process that has a job in hand to leave it: see `is_asked_to_stop`. Raises FileError."""
    OutputFolder.made(folder()).write_bytes(f"{job_id}{_STOP}", b"")


def is_asked_to_stop(job_id: str) -> bool:
    """Whether somebody asked; the question is forgotten with that."""
    if not inputs.is_file(folder() / f"{job_id}{_STOP}"):
        return False
    with suppress(FileError):
        OutputFolder(folder()).remove(f"{job_id}{_STOP}")
    return True


def remove(job_id: str) -> None:
    """Take a job out of the registry; its folder stays. Nothing if it is not there. Raises FileError."""
    if folder().is_dir() and find(job_id) is not None:
        OutputFolder(folder()).remove(f"{job_id}.json")


def find(job_id: str) -> Entry | None:
    """A job's entry as it stands there now, or None."""
    return _read(folder() / f"{job_id}.json") if _ID.fullmatch(job_id) else None


def entries() -> list[Entry]:
    """All jobs, the oldest first. What is damaged is left out."""
    found = [_read(path) for path in _files()]
    return sorted((entry for entry in found if entry is not None), key=lambda entry: (entry.made, entry.id))


def stamp() -> int:
    """A number that is another one whenever an entry was written or removed; it costs one look at the folder."""
    with suppress(OSError):
        return folder().stat().st_mtime_ns
    return 0


def _files() -> Sequence[Path]:
    with suppress(OSError), os.scandir(folder()) as found:
        names = [each.name for each, _ in zip(found, range(_MOST), strict=False)]
        return [folder() / name for name in names if name.endswith(".json") and not name.startswith(".")]
    return []


def _read(path: Path) -> Entry | None:
    """The entry in a file; None if there is none that is sound and of this name."""
    known = {each.name for each in fields(Entry)}
    try:
        record = inputs.read_json(path, budget.RECORD_FILE)
        entry = Entry(**{name: value for name, value in record.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return entry if _is_sound(entry) and entry.id == path.stem else None


def _is_sound(entry: Entry) -> bool:
    values = asdict(entry)
    place, captures = values.pop("place"), values.pop("captures")
    texts = [*values.values(), *(captures.values() if isinstance(captures, dict) else [None])]
    return json_values.is_number(place) and all(isinstance(text, str) for text in texts) and entry.state in _STATES
