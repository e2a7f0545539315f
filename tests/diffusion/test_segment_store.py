"""Painted segments on disk: what comes back, and what counts as not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the backend environment has torch")
pytest.importorskip("safetensors", reason="the backend environment has safetensors")

import safetensors.torch
import torch

from backend.diffusion.clip.sampling import Before, cross_fade
from backend.diffusion.shot.segment_store import PaintedSegment, SegmentStore
from pantheon360_blender.core.errors import FileError
from pantheon360_blender.core.output_folder import OutputFolder

LATENTS = torch.randn(3, 4, 2, 4, generator=torch.Generator().manual_seed(0))
PICTURES = np.random.default_rng(0).integers(0, 256, (2, 16, 32, 3), dtype=np.uint8)


def test_a_segment_comes_back_bit_for_bit(tmp_path: Path) -> None:
    store = SegmentStore(OutputFolder(tmp_path))
    store.write(0, "key", PaintedSegment(LATENTS, PICTURES))
    store.write(1, "other", PaintedSegment(LATENTS.flip(0)))
    first, second = store.read(0, "key"), store.read(1, "other")
    assert first is not None and torch.equal(first.latents, LATENTS)
    assert first.handover is not None and np.array_equal(first.handover, PICTURES)
    assert second is not None and torch.equal(second.latents, LATENTS.flip(0)) and second.handover is None


def test_what_was_made_of_something_else_is_not_there(tmp_path: Path) -> None:
    store = SegmentStore(OutputFolder(tmp_path))
    store.write(0, "key", PaintedSegment(LATENTS))
    assert store.read(0, "another") is None and store.read(1, "key") is None


@pytest.mark.parametrize("keep", [0, 7, 40, -1])
def test_damaged_files_are_not_there(tmp_path: Path, keep: int) -> None:
    store = SegmentStore(OutputFolder(tmp_path))
    store.write(0, "key", PaintedSegment(LATENTS))
    store.file(0).write_bytes(store.file(0).read_bytes()[:keep])
    assert store.read(0, "key") is None
    store.write(0, "key", PaintedSegment(torch.full_like(LATENTS, float("nan"))))
    assert store.read(0, "key") is None


@pytest.mark.parametrize(
    "tensors",
    [
        {"latents": LATENTS.double()},
        {"latents": LATENTS[0]},
        {"latents": LATENTS, "handover": torch.zeros(16, 32, 3, dtype=torch.bfloat16)},
        {"latents": LATENTS, "handover": torch.zeros(16, 32, dtype=torch.uint8)},
        {"handover": torch.zeros(16, 32, 3, dtype=torch.uint8)},
    ],
)
def test_what_is_no_segment_is_not_there(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    store = SegmentStore(OutputFolder(tmp_path))
    store.file(0).parent.mkdir()
    safetensors.torch.save_file(tensors, store.file(0), {"key": "key"})
    assert store.read(0, "key") is None


def test_what_cannot_be_written_is_named_and_nothing_half_is_left(tmp_path: Path) -> None:
    store = SegmentStore(OutputFolder(tmp_path))
    store.file(0).parent.write_text("in the way")
    with pytest.raises(FileError, match="segments"):
        store.write(0, "key", PaintedSegment(LATENTS))


def test_a_fade_begins_with_the_earlier_and_ends_before_the_later() -> None:
    """Over four frames: all of the earlier one's, then three quarters, a half, a quarter."""
    before, after = torch.full((6, 1, 1, 1), 8.0), torch.zeros(7, 1, 1, 1)
    assert cross_fade(Before(before, 4), after).flatten().tolist() == [8, 6, 4, 2, 0, 0, 0]
    assert cross_fade(Before(before, 1), after).flatten().tolist() == [8, 0, 0, 0, 0, 0, 0]
    assert torch.equal(cross_fade(Before(before, 0), after), after)
