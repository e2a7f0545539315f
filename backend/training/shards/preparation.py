"""`python -m backend training prepare`: folders of panorama videos become shards, a split file and a report."""

from __future__ import annotations

import csv
import hashlib
import io
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pantheon360_blender.core import budget, duration, files, json_values, plain_text
from pantheon360_blender.core.errors import FileError, PantheonError
from pantheon360_blender.core.output_folder import OutputFolder

from ...evaluation import clips
from ...evaluation.clips import ClipFile
from . import faults, shard, windows
from .faults import Limits
from .shards import SPLIT_FILE, SPLITS
from .windows import WindowSettings

REPORT_FILE, DROPPED_FILE = "report.md", "dropped.csv"
LONGEST = 300
"""Frames of a video that are looked at, from its beginning: they are in memory together."""


@dataclass(frozen=True)
class Preparation:
    """dataset: a folder of clips, as docs/evaluation.md says. out: a folder for shards, split file and report.

    validation, test: shares of the videos, by the hash of their names: a video is never in two splits, and stays in
    its own when others come.
    """

    dataset: Path
    out: Path
    windows: WindowSettings = field(default_factory=WindowSettings)
    limits: Limits = field(default_factory=Limits)
    validation: float = 0.05
    test: float = 0.05


@dataclass(frozen=True)
class Dropped:
    """A clip, or a whole video, that nobody learns from. frames: "first-last", or empty for all."""

    video: str
    frames: str
    reason: str


def prepare(request: Preparation) -> dict[str, list[str]]:
    """Cut and check every video, write what is kept, and say of everything else why it was dropped.

    A video that was prepared with the same settings is not read again. Returns names of shards by split.
    Raises FileError if the dataset holds no clips or `out` cannot be written.
    """
    found = clips.find(request.dataset)
    with files.translate_os_errors(request.out):
        request.out.mkdir(parents=True, exist_ok=True)
    split: dict[str, list[str]] = {name: [] for name in SPLITS}
    dropped: list[Dropped] = []
    started = time.monotonic()
    for number, video in enumerate(found, 1):
        kept, lost = _video(video, request)
        split[split_of(video.name, request)] += kept
        dropped += lost
        left = duration.as_text((time.monotonic() - started) / number * (len(found) - number))
        counts = f"{len(kept)} clips kept, {len(lost)} dropped"
        print(plain_text.one_line(f"{number} of {len(found)}: {video.name}, {counts}; {left} left"), flush=True)
    OutputFolder(request.out).write_json(SPLIT_FILE, split)
    _write_report(request, found, split, dropped)
    return split


def split_of(video: str, request: Preparation) -> str:
    """The split of a video."""
    place = int.from_bytes(hashlib.sha256(video.encode("utf-8")).digest()[:8], "big") / 2**64
    return "test" if place < request.test else "validation" if place < request.test + request.validation else "train"


def _video(video: ClipFile, request: Preparation) -> tuple[list[str], list[Dropped]]:
    """Names of the shards of a video, and what was dropped of it."""
    out, done = OutputFolder(request.out), request.out / f"{video.name}.json"
    key = hashlib.sha256(repr((request.windows, request.limits, _stamp(video.path))).encode()).hexdigest()
    if (kept := _done(done, key)) is not None:
        return kept[0], [Dropped(*each) for each in kept[1]]
    names, lost = [], []
    try:
        read = video.read(None, LONGEST)
        if read.cameras is None or read.ranges is None:
            raise FileError(f"{video.path} has no cameras or no ranges.")
        if len(read.images) == LONGEST:
            lost.append(Dropped(video.name, f"{LONGEST}-", f"it is long: its first {LONGEST} frames are looked at"))
        for index, numbers in enumerate(windows.places(len(read.images), read.fps, request.windows)):
            clip = windows.cut(read, numbers, request.windows, index)
            fault = faults.first_fault(clip, request.limits)
            if fault is not None:
                lost.append(Dropped(video.name, f"{numbers[0]}-{numbers[-1]}", fault))
                continue
            names.append(f"{video.name}-{numbers[0]:05d}.safetensors")
            shard.write(out, names[-1], clip)
        if not names and not lost:
            lost.append(Dropped(video.name, "", f"it is too short: {len(read.images)} frames at {read.fps:g} a second"))
    except PantheonError as error:
        lost.append(Dropped(video.name, "", error.text))
    out.write_json(
        done.name, {"key": key, "kept": names, "dropped": [[each.video, each.frames, each.reason] for each in lost]}
    )
    return names, lost


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _done(path: Path, key: str) -> tuple[list[str], list[list[str]]] | None:
    """What is there of a video that was prepared; None if it is to be prepared."""
    record = json_values.read(path, budget.RECORD_FILE)
    if not isinstance(record, dict) or record.get("key") != key:
        return None
    if not all((path.parent / name).exists() for name in record["kept"]):
        return None
    return list(record["kept"]), list(record["dropped"])


def _write_report(
    request: Preparation, found: list[ClipFile], split: dict[str, list[str]], dropped: list[Dropped]
) -> None:
    reasons = Counter(each.reason.split(":")[0] for each in dropped)
    kept = ", ".join(f"{len(names)} for {name}" for name, names in split.items())
    lines = [f"# {request.dataset.name}", "", f"{len(found)} videos; clips kept: {kept}; dropped: {len(dropped)}.", ""]
    cut = request.windows
    lines += [f"Each clip has {cut.frames} frames at {cut.fps:g} a second, {cut.width} pixels wide.", ""]
    lines += ["| dropped | why |", "|---|---|", *(f"| {count} | {reason} |" for reason, count in reasons.most_common())]
    OutputFolder(request.out).write_bytes(REPORT_FILE, ("\n".join(lines) + "\n").encode("utf-8"))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "frames", "reason"])
    writer.writerows([each.video, each.frames, each.reason] for each in dropped)
    OutputFolder(request.out).write_bytes(DROPPED_FILE, text.getvalue().encode("utf-8"))


def main(request: Preparation) -> int:
    """Prepare, and say where everything is. Returns the exit code: 0, or 1 with an error said."""
    try:
        split = prepare(request)
    except PantheonError as error:
        print(plain_text.paragraph(str(error)), file=sys.stderr)
        return 1
    count = sum(map(len, split.values()))
    print(plain_text.one_line(f"{count} clips in {request.out}; what was dropped and why: {REPORT_FILE} there"))
    return 0
