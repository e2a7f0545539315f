"""How a path is cut into clips: what must hold of every path, and cases worked out by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.diffusion.shot.timeline import Segment, owned, painted_frames, segments, thin_anchor_runs


@st.composite
def paths(draw: st.DrawFn) -> tuple[int, set[int], int, int]:
    """Number of frames, anchors, length of a clip, overlap."""
    count = draw(st.integers(1, 120))
    anchors = draw(st.sets(st.integers(0, count - 1), max_size=12))
    return count, anchors, draw(st.integers(2, 30)), draw(st.integers(1, 10))


@given(paths())
def test_every_frame_comes_from_one_clip(path: tuple[int, set[int], int, int]) -> None:
    count, anchors, length, overlap = path
    parts = segments(count, anchors, length, overlap)
    frames = [frame for index in range(len(parts)) for frame in owned(parts, index)]
    assert frames == list(range(count))
    assert all(owned(parts, index) for index in range(len(parts))), "a clip that nothing comes from is painted in vain"
    assert all(1 <= len(part) <= length for part in parts)


@given(paths())
def test_clips_hang_together(path: tuple[int, set[int], int, int]) -> None:
    """Each begins within the one before, at an anchor it ends at or sharing what was asked for."""
    count, anchors, length, overlap = path
    parts = segments(count, anchors, length, overlap)
    for part in parts:
        assert part.starts_at_anchor == (part.first in anchors)
        assert part.ends_at_anchor == (part.last in anchors and len(part) > 1)
    for before, after in pairwise(parts):
        assert before.first < after.first <= before.last < after.last
        assert after.overlap == before.last - after.first + 1
        if after.starts_at_anchor and after.overlap == 1:
            assert before.ends_at_anchor
        else:
            assert after.overlap == min(overlap, max(1, length // 4), length - 1)


@given(paths())
def test_no_clip_is_short_for_want_of_frames(path: tuple[int, set[int], int, int]) -> None:
    """Where no capture asks for a short one, clips of a path that needs several are about half of a whole one."""
    count, _, length, overlap = path
    parts = segments(count, (), length, overlap)
    if len(parts) > 1:
        assert min(len(part) for part in parts) >= (length + 1) // 2


@given(paths(), st.integers(1, 60))
def test_a_longer_path_begins_alike(path: tuple[int, set[int], int, int], more: int) -> None:
    """What was painted of a path is painted alike when the artist makes it longer, but for its last two clips."""
    count, anchors, length, overlap = path
    parts, longer = segments(count, anchors, length, overlap), segments(count + more, anchors, length, overlap)
    assert longer[: len(parts) - 2] == parts[: len(parts) - 2] if len(parts) > 2 else True


def test_five_captures_and_a_hundred_frames_are_four_clips() -> None:
    """The paper's long path."""
    parts = segments(97, {0, 24, 48, 72, 96}, 25, 5)
    assert [(part.first, part.last) for part in parts] == [(0, 24), (24, 48), (48, 72), (72, 96)]
    assert all(part.starts_at_anchor and part.ends_at_anchor for part in parts)
    assert [part.overlap for part in parts] == [0, 1, 1, 1]


def test_a_clip_is_cut_at_a_capture_unless_that_is_near() -> None:
    assert segments(20, {0, 9}, 20, 3)[0] == Segment(0, 9, True, True)
    assert segments(20, {0, 3}, 20, 3) == [Segment(0, 19, True, False)]


def test_without_captures_whole_clips_overlap() -> None:
    parts = segments(60, (), 25, 5)
    assert [(part.first, part.last, part.overlap) for part in parts] == [(0, 24, 0), (20, 42, 5), (38, 59, 5)]
    assert [len(part) for part in segments(27, (), 25, 6)] == [17, 16]


def test_a_long_path_takes_no_more_clips_than_it_must() -> None:
    """Clips of four frames share one: 67 of them for two hundred frames, and not 197."""
    parts = segments(200, {0}, 4, 5)
    assert len(parts) == 67 and {part.overlap for part in parts[1:]} == {1}


def test_two_clips_up_to_a_capture_are_alike() -> None:
    parts = segments(40, {0, 29}, 25, 5)
    assert [(part.first, part.last, part.overlap) for part in parts] == [(0, 17, 0), (13, 29, 5), (29, 39, 1)]


@given(st.integers(1, 200), st.integers(1, 12), st.data())
def test_painted_frames_hold_ends_and_captures_and_are_close(count: int, every: int, data: st.DataObject) -> None:
    anchors = data.draw(st.sets(st.integers(0, count - 1), max_size=6))
    painted = painted_frames(count, every, anchors)
    assert {0, count - 1} | anchors <= set(painted)
    assert painted == sorted(set(painted))
    assert all(last - first <= every for first, last in pairwise(painted))
    assert len(painted) <= -(-count // every) + len(anchors) + 1


def test_steps_are_even_between_captures() -> None:
    assert painted_frames(11, 4, {0, 10}) == [0, 3, 7, 10]
    assert painted_frames(11, 4, {0}) == [0, 4, 8, 10]
    assert painted_frames(5, 1, ()) == [0, 1, 2, 3, 4]


def test_a_camera_that_eases_in_and_out_stands_on_each_capture_once() -> None:
    standing = dict.fromkeys((0, 1, 2), "a") | dict.fromkeys((20, 21, 22), "b") | dict.fromkeys((47, 48), "c")
    assert thin_anchor_runs(standing, 49, 8, 24) == {0: "a", 21: "b", 48: "c"}


def test_of_a_long_rest_both_ends_are_kept() -> None:
    assert thin_anchor_runs(dict.fromkeys(range(10, 31), "a"), 49, 8, 24) == {10: "a", 30: "a"}
    assert thin_anchor_runs({3: "a", 4: "b", 5: "b"}, 49, 8, 24) == {3: "a", 5: "b"}
    assert thin_anchor_runs(dict.fromkeys(range(5), "a"), 5, 8, 24) == {0: "a", 4: "a"}, "a path that never leaves"


def test_who_looks_around_on_a_capture_sees_it_at_both_ends_of_every_clip() -> None:
    """A hundred frames on one capture, as from a tripod."""
    kept = thin_anchor_runs(dict.fromkeys(range(100), "a"), 100, 8, 24)
    assert list(kept) == [0, 20, 40, 59, 79, 99]
    assert all(part.starts_at_anchor and part.ends_at_anchor for part in segments(100, kept, 25, 5))


def test_clips_of_one_frame_are_refused() -> None:
    with pytest.raises(ValueError, match="clips of 1"):
        segments(2, {0}, 1, 5)
