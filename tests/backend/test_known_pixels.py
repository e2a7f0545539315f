"""How well a painting keeps to what was known: measured for every painter, recorded, and told if it is little."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend import known_pixels, runner
from backend.known_pixels import Correlation
from pantheon360_blender.core.errors import JobError
from pantheon360_blender.core.jobs import painting_summary
from pantheon360_blender.core.jobs.job_folder import PaintFolder
from pantheon360_blender.core.progress import Notices, observed, run_to_end
from pantheon360_blender.core.render.coverage import covered_share
from pantheon360_blender.core.render.splatting import GeometryFrame

from .conftest import make_shot


def known(seed: int = 0) -> GeometryFrame:
    random = np.random.default_rng(seed)
    coverage = random.random((32, 64)) < 0.4
    colour = random.integers(0, 256, (32, 64, 3), dtype=np.uint8) * coverage[..., None]
    return GeometryFrame(
        colour, np.where(coverage, 2.0, np.inf).astype(np.float32), coverage, np.zeros((32, 64), np.int32)
    )


def correlation(painted: Callable[[GeometryFrame], np.ndarray]) -> float | None:
    found = Correlation()
    for seed in range(3):
        frame = known(seed)
        found.add(painted(frame), frame)
    return found.value


def test_it_is_pearsons_correlation_where_points_are() -> None:
    """Whatever the painter put elsewhere, and however bright it painted all."""
    random = np.random.default_rng(9)
    noise = random.integers(0, 256, (32, 64, 3), dtype=np.uint8)
    assert correlation(lambda frame: np.where(frame.coverage[..., None], frame.colour, noise)) == pytest.approx(1)
    assert correlation(lambda frame: frame.colour // 2 + 20) == pytest.approx(1, abs=1e-4)
    assert correlation(lambda frame: 255 - frame.colour) == pytest.approx(-1)
    assert correlation(lambda frame: noise) == pytest.approx(0, abs=0.05)
    mixed = [((frame.colour.astype(int) + noise) // 2).astype(np.uint8) for frame in map(known, range(3))]
    seen = [frame.coverage for frame in map(known, range(3))]
    one = np.concatenate([image[where].ravel() for image, where in zip(mixed, seen, strict=True)]).astype(float)
    other = np.concatenate([known(seed).colour[where].ravel() for seed, where in enumerate(seen)]).astype(float)
    found = Correlation()
    for seed, image in enumerate(mixed):
        found.add(image, known(seed))
    assert found.value == pytest.approx(np.corrcoef(one, other)[0, 1], abs=1e-9)


def test_a_guess_counts_as_much_as_it_is_sure() -> None:
    """As if each pixel were there as often as its confidence says; and not at all without any."""
    random = np.random.default_rng(4)
    frame, noise = known(), random.integers(0, 256, (32, 64, 3), dtype=np.uint8)
    guessed = frame.coverage & (random.random((32, 64)) < 0.5)
    painted = np.where(guessed[..., None], noise, frame.colour).astype(np.uint8)
    values = []
    for confidence in (0.0, 0.25, 1.0):
        found = Correlation()
        found.add(painted, replace(frame, confidence=np.where(guessed, confidence, frame.coverage).astype(np.float32)))
        values.append(found.value)
    sure = frame.coverage & ~guessed
    repeated = [np.concatenate([each[guessed].ravel(), *[each[sure].ravel()] * 4]) for each in (painted, frame.colour)]
    assert values[0] == pytest.approx(1) and values[1] == pytest.approx(np.corrcoef(*repeated)[0, 1], abs=1e-9)
    plain = Correlation()
    plain.add(painted, frame)
    assert plain.value == values[2]


def test_too_little_is_no_measure() -> None:
    frame = known()
    bare = replace(frame, coverage=np.zeros_like(frame.coverage))
    found = Correlation()
    found.add(frame.colour, bare)
    assert found.value is None and known_pixels.warning(found.value, "The shot") is None
    assert correlation(lambda frame: np.full_like(frame.colour, 7)) is None, "one colour has no correlation"


def test_only_weak_ones_are_told() -> None:
    assert known_pixels.warning(0.65, "Clip 2") is None
    assert "Clip 2" in (known_pixels.warning(0.64, "Clip 2") or "")


def test_every_painters_record_says_it(shot: Callable[..., PaintFolder]) -> None:
    """The draft shows the points as they are; it writes no other record."""
    folder = shot()
    notices = Notices()
    run_to_end(observed(runner.run(folder.path), notices))
    record = json.loads(folder.painting_file.read_text("utf-8"))
    assert set(record) == {"known_pixels", "made_of", "origins"} and record["known_pixels"]["correlation"] > 0.9
    summary = painting_summary.read(folder)
    assert summary is not None and painting_summary.known_pixels(summary) == record["known_pixels"]["correlation"]
    assert painting_summary.label(summary) == "" and painting_summary.licence(summary) == ""
    assert not any("known points" in text for text in notices.warnings)


def test_the_record_says_how_much_was_photographed(shot: Callable[..., PaintFolder]) -> None:
    folder = shot()
    run_to_end(runner.run(folder.path))
    record = json.loads(folder.painting_file.read_text("utf-8"))["origins"]
    masks = [folder.read_origin(frame) for frame in folder.job.frames]
    assert sum(record.values()) == pytest.approx(1, abs=1e-3)
    points = np.mean([covered_share(folder.read_surfaces(frame).coverage) for frame in folder.job.frames])
    assert record["points"] == pytest.approx(points, abs=1e-3) and record["points"] > 0
    assert record["filled"] == pytest.approx(np.mean([covered_share(mask == 0) for mask in masks]), abs=1e-3)
    summary = painting_summary.read(folder)
    assert summary is not None and f"{record['points']:.0%} points" in painting_summary.origins(summary)


def test_what_a_painter_was_not_shown_it_painted(
    shot: Callable[..., PaintFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PaintFolder, "write_origin", lambda *_: None)
    folder = shot()
    run_to_end(runner.run(folder.path))
    record = json.loads(folder.painting_file.read_text("utf-8"))["origins"]
    points = np.mean([covered_share(folder.read_surfaces(frame).coverage) for frame in folder.job.frames])
    assert record["painted"] == pytest.approx(1 - points, abs=1e-3) and record["photographed"] == 0


@pytest.mark.parametrize("wrong", [[], {"filled": "much"}, 3])
def test_damaged_origins_make_no_record(shot: Callable[..., PaintFolder], wrong: object) -> None:
    folder = shot()
    run_to_end(runner.run(folder.path))
    record = json.loads(folder.painting_file.read_text("utf-8"))
    folder.painting_file.write_text(json.dumps(record | {"origins": wrong}), "utf-8")
    assert painting_summary.read(folder) is None


def test_a_painter_that_ignores_the_geometry_is_told(
    shot: Callable[..., PaintFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.painters import draft

    def inverted(folder: PaintFolder) -> Any:
        for frame in folder.job.frames:
            folder.write_frame(frame, 255 - folder.read_geometry("geometry", frame).colour)
            yield from ()

    monkeypatch.setattr(draft, "paint", inverted)
    notices = Notices()
    run_to_end(observed(runner.run(shot().path), notices))
    assert any("keeps to the known points weakly" in text for text in notices.warnings)


@pytest.mark.parametrize("wrong", [np.nan, -1.0])
def test_ranges_that_are_no_numbers_are_refused_by_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: float
) -> None:
    """When the job is opened, not at the frame in question hours later."""
    write = PaintFolder.write_geometry

    def spoilt(folder: PaintFolder, kind: Any, number: int, frame: GeometryFrame) -> None:
        if number == 3:
            frame = replace(frame, depth=np.where(frame.coverage, np.float32(wrong), frame.depth))
        write(folder, kind, number, frame)

    monkeypatch.setattr(PaintFolder, "write_geometry", spoilt)
    folder = make_shot(tmp_path, 3)
    with pytest.raises(JobError, match=r"3\.npz holds ranges that are no numbers, or negative"):
        run_to_end(runner.run(folder.path))
    assert not folder.finished_frames()
