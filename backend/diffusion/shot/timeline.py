"""Which frames of a path are painted, and in which clips.

Frames are numbered along the path from 0. An anchor is a frame at which the camera stands on a capture, so that the
frame is known to look like it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_SHARED = 4
"""Two clips share at most 1 / 4 of one: frames painted twice are lost time."""
_SHORTEST = 3
"""A clip that ends early at an anchor has at least 1 / 3 of a whole one: short ones are painted badly."""


@dataclass(frozen=True)
class Segment:
    """Frames that are painted together, as positions in the list of painted frames.

    first, last: inclusive. starts_at_anchor, ends_at_anchor: whether those frames are known.
    overlap: how many of its frames, from the first, the segment before it has too; 0 for the first segment.
    """

    first: int
    last: int
    starts_at_anchor: bool
    ends_at_anchor: bool
    overlap: int = 0

    def __len__(self) -> int:
        return self.last - self.first + 1


def thin_anchor_runs(standing: Mapping[int, str], count: int, shortest: int, longest: int) -> dict[int, str]:
    """The anchors of a path: frames at which the camera stands on a capture, of a run of them only as many as needed.

    A path that eases in and out stands on its captures for some frames, and one that looks around for many.
    standing: frame -> capture. count: of the path's frames. shortest, longest: frames from a clip's first to its last.
    A run below `shortest` keeps the path's first or last frame, else its middle. A longer run keeps both ends, and
    enough frames between that each clip can begin and end at one.
    """
    kept: dict[int, str] = {}
    for run in _runs(standing):
        first, last = run[0], run[-1]
        if last - first >= shortest:
            steps = -(-(last - first) // longest)
            frames = [first + round(index * (last - first) / steps) for index in range(steps + 1)]
        else:
            frames = [end for end in (0, count - 1) if end in run] or [run[len(run) // 2]]
        kept.update((frame, standing[frame]) for frame in frames)
    return kept


def _runs(standing: Mapping[int, str]) -> list[list[int]]:
    """Frames that follow one another on the same capture."""
    runs: list[list[int]] = []
    for frame in sorted(standing):
        if runs and frame - runs[-1][-1] == 1 and standing[frame] == standing[runs[-1][-1]]:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    return runs


def painted_frames(count: int, every: int, anchors: Collection[int]) -> list[int]:
    """The frames that are painted of a path of `count` frames: one in `every`.

    The first frame, the last one and all anchors are among them. Steps between anchors are evened out.
    """
    chosen = {0, count - 1}
    stops = sorted({0, *anchors})
    for start, stop in pairwise(stops):
        steps = -(-(stop - start) // every)
        chosen.update(start + round(index * (stop - start) / steps) for index in range(steps + 1))
    chosen.update(range(stops[-1], count, every))
    return sorted(chosen)


def segments(count: int, anchors: Collection[int], length: int, overlap: int) -> list[Segment]:
    """Cut `count` painted frames into clips of at most `length` (2 or more).

    anchors: positions of painted frames that are known. A clip ends at the first anchor that does not make it very
    short, and the next one begins there. If that is further than a clip reaches, the next one shares `overlap` frames
    with it, at most a quarter of a clip; the last two clips before the anchor, or before the path's end, are of about
    the same length. Raises ValueError if `length` is below 2.
    """
    if length < 2:
        raise ValueError(f"a path cannot be cut into clips of {length} frames: 2 or more can follow one another")
    overlap = min(overlap, max(1, length // _SHARED), length - 1)
    found: list[Segment] = []
    first, shared = 0, 0
    while True:
        last = _end(first, count, anchors, length, overlap)
        found.append(Segment(first, last, first in anchors, last in anchors and last > first, shared))
        if last == count - 1:
            return found
        shared = 1 if last in anchors else overlap
        first = last - shared + 1


def shortest_clip(length: int) -> int:
    """The fewest frames between anchors that make a clip of their own. length: of a whole clip."""
    return max(1, length // _SHORTEST)


def _end(first: int, count: int, anchors: Collection[int], length: int, overlap: int) -> int:
    """The last frame of the clip that begins at `first`."""
    shortest = shortest_clip(length)
    stop = min((anchor for anchor in anchors if anchor - first >= shortest), default=count - 1)
    left = stop - first + 1
    if left <= length:
        return stop
    if left <= 2 * length - overlap:  # two clips are left: of one length each
        return first + (left + overlap + 1) // 2 - 1
    return first + length - 1


def owned(parts: Sequence[Segment], index: int) -> range:
    """Painted frames taken from a segment. Frames that it shares with the next one are taken from that."""
    after = parts[index + 1].first if index + 1 < len(parts) else parts[index].last + 1
    return range(parts[index].first, after)
