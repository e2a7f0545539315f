"""A dense estimate that goes on from what was kept of it ends with the same bytes, wherever it was interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs the backend's environment")

from backend.reconstruction import kept
from backend.reconstruction.dense import sweep
from backend.reconstruction.dense.place import PlaneSet
from backend.reconstruction.dense.steps import Step, plan
from backend.reconstruction.dense.sweep import DenseOptions, estimate
from backend.reconstruction.dense.view import DenseView
from backend.reconstruction.kept import KeptSteps, key_of
from pantheon360_blender.core.output_folder import OutputFolder
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.progress import run_to_end

WIDTH, VIEWS = 128, 2
OPTIONS = DenseOptions(width=WIDTH, labels=16)
KEY = key_of("room")


@pytest.fixture(scope="module")
def captures() -> list[Capture]:
    """Two views of a box of 4 x 6 x 3 m, its walls in random cells."""
    made = []
    for index, place in enumerate(((-0.3, -0.6, 0.0), (0.3, 0.5, 0.1))):
        pose = np.eye(4)
        pose[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
        pose[:3, 3] = place
        rays = equirectangular.directions(WIDTH).astype(np.float64) @ pose[:3, :3].T
        with np.errstate(divide="ignore"):
            reach = (np.where(rays > 0, 1.0, -1.0) * [2.0, 3.0, 1.5] - place) / rays
        cell = np.floor((pose[:3, 3] + rays * reach.min(axis=-1, keepdims=True)) / 0.3).astype(int) % 32
        table = np.random.default_rng(2).integers(30, 220, (32, 32, 32, 3), dtype=np.uint8)
        made.append(Capture(f"room-{index}", table[cell[..., 0], cell[..., 1], cell[..., 2]], pose))
    return made


class Recorded(KeptSteps):
    """Copies what is there after every file that is written."""

    def __init__(self, folder: OutputFolder, copies: Path) -> None:
        super().__init__(folder, KEY)
        self._path, self._copies, self.count = folder.path, copies, 0

    def write(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        super().write(name, arrays)
        shutil.copytree(self._path, self._copies / str(self.count))
        self.count += 1


def maps(captures: list[Capture], steps: KeptSteps | None) -> list[bytes]:
    found = run_to_end(estimate(captures, OPTIONS, steps))
    made = [found.depth_map(index) for index in range(len(captures))]
    return [each.range.tobytes() + each.confidence.tobytes() + each.sky.tobytes() for each in made]


@pytest.fixture(scope="module")
def undisturbed(captures: list[Capture], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """Copies, by their number, of what was kept after each file was written, and the maps at last."""
    place = tmp_path_factory.mktemp("copies")
    return place, maps(captures, Recorded(OutputFolder.made(tmp_path_factory.mktemp("job")), place))


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The phases and labellings of what is done from now on."""
    steps: list[str] = []
    improve, label = sweep._improve, sweep._label

    def improved(step: Step, *rest: Any) -> Any:
        steps.append(named(step))
        return improve(step, *rest)

    def labelled(planes: PlaneSet, views: list[DenseView], *rest: Any) -> Any:
        steps.append(f"label {views[0].active.shape[1]}")
        return label(planes, views, *rest)

    monkeypatch.setattr(sweep, "_improve", improved)
    monkeypatch.setattr(sweep, "_label", labelled)
    return steps


def named(step: Step) -> str:
    return f"label {step.width}" if step.view is None else f"{step.width} {step.number} {step.view}"


def files_of(steps: list[Step]) -> list[int]:
    """How many files have been written after each step: one a view that changed, and one of the planes."""
    return list(np.cumsum([1 if step.view is not None else VIEWS + 1 for step in steps]))


def test_every_step_is_kept(undisturbed: tuple[Path, list[bytes]]) -> None:
    assert len(list(undisturbed[0].iterdir())) == files_of(plan(VIEWS, WIDTH))[-1]


@pytest.mark.parametrize("number", [0, 1, 4, 8, 9, 12, 13])
def test_it_goes_on_after_a_step_to_the_same_bytes_and_does_none_twice(
    captures: list[Capture], undisturbed: tuple[Path, list[bytes]], done: list[str], number: int
) -> None:
    copies, expected = undisturbed
    steps = plan(VIEWS, WIDTH)
    folder = OutputFolder(copies / str(files_of(steps)[number] - 1))
    assert maps(captures, KeptSteps(folder, KEY)) == expected
    assert done == [named(step) for step in steps[number + 1 :]]


@pytest.mark.parametrize("files", [1, 2])
def test_labelling_that_was_not_kept_whole_is_done_again(
    captures: list[Capture], undisturbed: tuple[Path, list[bytes]], done: list[str], files: int
) -> None:
    copies, expected = undisturbed
    steps = plan(VIEWS, WIDTH)
    first = next(number for number, step in enumerate(steps) if step.view is None)
    folder = OutputFolder(copies / str(files_of(steps)[first - 1] - 1 + files))
    assert maps(captures, KeptSteps(folder, KEY)) == expected
    assert done == [named(step) for step in steps[first:]]


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def of_another_size(path: Path) -> None:
    with np.load(path) as stored:
        arrays = {name: stored[name][:4] if stored[name].ndim == 3 else stored[name] for name in stored}
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("view-0001.npz", Path.unlink),
        ("view-0001.npz", damaged),
        ("view-0001.npz", of_another_size),
        ("planes.npz", Path.unlink),
        ("planes.npz", damaged),
    ],
)
def test_files_that_do_not_belong_together_are_not_gone_on_from(
    captures: list[Capture],
    undisturbed: tuple[Path, list[bytes]],
    done: list[str],
    tmp_path: Path,
    name: str,
    spoil: Callable[[Path], None],
) -> None:
    copies, expected = undisturbed
    steps = plan(VIEWS, WIDTH)
    shutil.copytree(copies / str(files_of(steps)[-2] - 1), tmp_path / "job")
    spoil(tmp_path / "job" / kept.FOLDER / name)
    assert maps(captures, KeptSteps(OutputFolder(tmp_path / "job"), KEY)) == expected
    assert done == [named(step) for step in steps]


def test_what_another_key_decided_is_not_read(undisturbed: tuple[Path, list[bytes]]) -> None:
    folder = OutputFolder(undisturbed[0] / "0")
    assert KeptSteps(folder, KEY).read("view-0001", "planes") is not None
    assert KeptSteps(folder, key_of("hall")).read("view-0001", "planes") is None


def test_all_of_it_is_removed(undisturbed: tuple[Path, list[bytes]], tmp_path: Path) -> None:
    shutil.copytree(undisturbed[0] / "4", tmp_path / "job")
    kept.remove(OutputFolder(tmp_path / "job"))
    kept.remove(OutputFolder(tmp_path / "job"))
    assert list((tmp_path / "job").iterdir()) == []
