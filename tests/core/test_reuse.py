"""Which finished stages a new reconstruction takes over: what would come out the same, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core.jobs import reconstruct_settings as results
from pantheon360_blender.core.jobs import reuse
from pantheon360_blender.core.jobs.job import ReconstructJob
from pantheon360_blender.core.jobs.job_folder import ReconstructFolder
from pantheon360_blender.core.jobs.reconstruct_settings import PosedCapture
from pantheon360_blender.core.panorama.capture import Capture

MAPS = {"depth": "depth/a.npz", "guesses": "guesses/a.npz"}


def job(root: Path, **settings: Any) -> ReconstructFolder:
    folder = ReconstructFolder.new(root, "Place")
    entries = [folder.write_capture(Capture("A", np.full((32, 64, 3), 90, np.uint8), np.eye(4)))]
    chosen = {"poses": "given", "complete": True, **settings}
    folder.seal(ReconstructJob(name="Place", captures=entries, settings=chosen))
    return folder


def finished(root: Path, **settings: Any) -> ReconstructFolder:
    """A job whose stages are done."""
    folder = job(root, **settings)
    results.write_poses(folder.output, [PosedCapture("A", np.eye(4), True)], {})
    for name in MAPS.values():
        with folder.output.writing(name) as file:
            file.write(b"maps")
    return folder


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [
        ({"guess_by": "da360"}, {"guess_by": "da360", "confidence": 0.3}, {"depth", "guesses"}),
        ({"guess_by": "da360"}, {"guess_by": "planes"}, {"depth"}),
        ({"guess_by": "da360"}, {"guess_by": "da2"}, {"depth"}),
        ({"guess_by": "da360"}, {"guess_by": "da360", "options": {"weights": "/other"}}, {"depth"}),
        ({"guess_by": "da360"}, {"guess_by": "da360", "width": 512}, set()),
        ({"guess_by": "da360"}, {"guess_by": "da360", "complete": False}, {"depth"}),
        ({"dense": "vggt"}, {"dense": "vggt"}, {"depth"}),
        ({"dense": "vggt"}, {"dense": "vggt", "options": {"weights": "/other"}}, set()),
    ],
)
def test_range_maps_and_guesses_are_taken_over_alone(
    before: dict[str, Any], now: dict[str, Any], kept: set[str], tmp_path: Path
) -> None:
    """Another model guesses, and the sweep need not be done again."""
    copied = reuse.take_over(finished(tmp_path / "before", **before), job(tmp_path / "now", **now))
    assert {name for name in copied if name.endswith(".npz")} == {MAPS[each] for each in kept}
