"""Poses solved from pictures alone, against the poses the pictures were made from.

The pictures are of a box room with random wallpaper: rays of core.equirectangular meet its walls analytically, so the
truth is exact. Nothing of the solver takes part in making them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pycolmap", reason="needs the backend's environment")

from backend.reconstruction import registration
from backend.reconstruction.poses.pose_priors import PosePrior
from backend.reconstruction.poses.poses import PoseOptions, PoseSolution, solve_poses
from pantheon360_blender.core.errors import BackendError, CaptureError
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.cameras import pose_matrix, rotation_from_heading
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.progress import Job

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 768
ROOM = np.array([[-4.0, -3.0, 0.0], [4.0, 5.0, 3.0]])
PLACES = [(-0.5, -1.0, 1.5), (0.2, 0.1, 1.6), (0.9, 0.6, 1.5), (0.1, 1.7, 1.4), (-0.8, 2.5, 1.5)]
HEADINGS = [10.0, 75.0, 200.0, 310.0, 140.0]
OPTIONS = PoseOptions(ignore_sky=False, threads=2, features=500)


def wallpaper(seed: int) -> np.ndarray:
    """(512, 512, 3) float in [0, 255]: blotches of three sizes."""
    random = np.random.default_rng(seed)
    picture = np.zeros((512, 512, 3))
    for cells, strength in ((16, 40.0), (48, 60.0), (128, 40.0)):
        grid = random.uniform(-1, 1, (cells, cells, 3))
        place = np.arange(512) * cells // 512
        picture += strength * grid[place][:, place]
    return np.clip(picture + 128, 0, 255)


def room(pose: np.ndarray, width: int = WIDTH, decoration: int = 0) -> np.ndarray:
    """What a panoramic camera at `pose` sees of the room; (H, W, 3) uint8, four rays a pixel."""
    rays = equirectangular.directions(2 * width).astype(np.float64) @ pose[:3, :3].T
    return papered(*met(pose[:3, 3], rays, ROOM), width, decoration)


def met(origin: np.ndarray, rays: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays (..., 3) from inside a box meet it, and the number of the wall there: twice the axis, and the side."""
    with np.errstate(divide="ignore"):
        reach = np.where(rays > 0, box[1] - origin, box[0] - origin) / rays
    axis = np.argmin(reach, axis=-1)
    wall = 2 * axis + (np.take_along_axis(rays, axis[..., None], axis=-1)[..., 0] > 0)
    return origin + np.min(reach, axis=-1)[..., None] * rays, wall


def papered(hit: np.ndarray, wall: np.ndarray, width: int, decoration: int = 0) -> np.ndarray:
    """The walls' colours, four rays averaged for each pixel."""
    image = np.zeros(hit.shape)
    for index in range(6):
        on = wall == index
        texel = (np.delete(hit[on], index // 2, axis=1) * 50).astype(int) % 512
        image[on] = wallpaper(10 * decoration + index)[texel[:, 0], texel[:, 1]]
    return np.rint(image.reshape(width // 2, 2, width, 2, 3).mean(axis=(1, 3))).astype(np.uint8)


def alike_from_both_ends(pose: np.ndarray) -> np.ndarray:
    """A room that a half turn about its middle brings onto itself."""
    box = np.array([[-4.0, -3.0, 0.0], [4.0, 3.0, 3.0]])
    hit, wall = met(pose[:3, 3], equirectangular.directions(2 * WIDTH).astype(np.float64) @ pose[:3, :3].T, box)
    turned = (wall == 1) | (wall == 3) | ((wall >= 4) & (hit[..., 0] < 0))
    hit[turned, :2] *= -1
    return papered(hit, np.where(wall < 4, wall // 2 * 2, wall), WIDTH)


def repeating_street(pose: np.ndarray) -> np.ndarray:
    """Two facades of one pattern every 3 m, on a ground that nowhere repeats."""
    box = np.array([[-60.0, -4.0, 0.0], [60.0, 4.0, 30.0]])
    hit, wall = met(pose[:3, 3], equirectangular.directions(2 * WIDTH).astype(np.float64) @ pose[:3, :3].T, box)
    facade = (wall == 2) | (wall == 3)
    hit[facade, 0] %= 3.0
    return papered(hit, wall, WIDTH)


def mirror_room(pose: np.ndarray, width: int) -> np.ndarray:
    """The room, with a mirror of 4.6 by 2.3 m on its wall at x = 4."""
    rays = equirectangular.directions(2 * width).astype(np.float64) @ pose[:3, :3].T
    hit, wall = met(pose[:3, 3], rays, ROOM)
    through, behind = met(pose[:3, 3], rays, np.array([ROOM[0], [12.0, *ROOM[1, 1:]]]))
    glass = (wall == 1) & (np.abs(hit[..., 1]) < 2.3) & (np.abs(hit[..., 2] - 1.45) < 1.15)
    through[..., 0] = np.where(through[..., 0] > 4, 8 - through[..., 0], through[..., 0])
    hit[glass], wall[glass] = through[glass], np.where(behind == 1, 0, behind)[glass]
    return papered(hit, wall, width)


def true_pose(index: int) -> np.ndarray:
    return pose_matrix(rotation_from_heading(HEADINGS[index]), np.array(PLACES[index]))


def captured(index: int, name: str = "", decoration: int = 0) -> Capture:
    """Capture `index`, which believes to stand at the origin and to look north."""
    unknown = pose_matrix(rotation_from_heading(0), np.array([0.0, 0.0, 1.5]))
    return Capture(name or f"room-{index}", room(true_pose(index), decoration=decoration), unknown)


@pytest.fixture(scope="module")
def captures() -> list[Capture]:
    return [captured(index) for index in range(5)]


def two_of(see: Callable[[np.ndarray], np.ndarray], stands: Sequence[tuple[float, float]]) -> list[Capture]:
    """Two captures of a place from stands in plan, turned, of unknown pose."""
    poses = [
        pose_matrix(rotation_from_heading(40 * index), np.array([*stand, 1.5])) for index, stand in enumerate(stands)
    ]
    return [replace(captured(0, f"here-{index}"), image=see(pose)) for index, pose in enumerate(poses)]


def gps(indices: Sequence[int]) -> list[PosePrior]:
    """Exact positions."""
    return [PosePrior(position=np.array(PLACES[index])) for index in indices]


def finished(job: Job[PoseSolution]) -> PoseSolution:
    while True:
        try:
            next(job)
        except StopIteration as end:
            assert isinstance(end.value, PoseSolution)
            return end.value


@pytest.fixture(scope="module")
def solved(captures: list[Capture]) -> PoseSolution:
    return finished(solve_poses(captures, gps(range(5)), OPTIONS))


@pytest.fixture(scope="module")
def pair(captures: list[Capture]) -> PoseSolution:
    """Two captures of the room and a stranger, with a stated distance and no GPS."""
    stranger = captured(3, "elsewhere", decoration=1)
    apart = float(np.linalg.norm(np.subtract(PLACES[0], PLACES[1])))
    options = replace(OPTIONS, distance=("room-0", "room-1", apart))
    return finished(solve_poses([captures[0], stranger, captures[1]], None, options))


# Five captures with GPS


def test_positions_are_within_a_hundredth_of_the_baseline(solved: PoseSolution) -> None:
    assert solved.registered.all() and solved.reasons == ("",) * 5
    truth = np.stack([true_pose(index) for index in range(5)])
    fitted = registration.pose_similarity(solved.poses, truth).poses(solved.poses)
    baseline = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1).min()
    assert np.linalg.norm(fitted[:, :3, 3] - truth[:, :3, 3], axis=1).max() < 0.01 * baseline
    assert registration.rotation_angles(fitted[:, :3, :3], truth[:, :3, :3]).max() < np.radians(0.1)


def test_the_result_does_not_depend_on_the_number_of_threads(captures: list[Capture], solved: PoseSolution) -> None:
    again = finished(solve_poses(captures, gps(range(5)), replace(OPTIONS, threads=1)))
    assert again.poses.tobytes() == solved.poses.tobytes()
    assert again.points.points.tobytes() == solved.points.points.tobytes()
    assert again.points.colours.tobytes() == solved.points.colours.tobytes()


def test_the_mapper_has_no_threads_that_race() -> None:
    """Which pair of captures it began with was whichever a thread found first: one solve in forty on a busy machine."""
    program = (
        "from backend.reconstruction.poses import colmap_process\n"
        "request = colmap_process.Request(['a', 'b'], 512, 1, 175, 100, threads=8)\n"
        "options = colmap_process._mapper_options(request)\n"
        "assert options.num_threads == options.mapper.num_threads == 1"
    )  # in a process of its own, as pycolmap and OpenCV do not get on
    subprocess.run([sys.executable, "-B", "-c", program], cwd=ROOT, check=True, timeout=300)


def test_gps_and_levelling_give_the_world_frame(solved: PoseSolution) -> None:
    """No fit here: metres, up, north and origin are those of the truth."""
    truth = np.stack([true_pose(index) for index in range(5)])
    assert solved.scale_from == "gps"
    np.testing.assert_allclose(solved.poses[:, :2, 3], truth[:, :2, 3], atol=0.01)
    heights = solved.poses[:, 2, 3] - truth[:, 2, 3]
    assert np.ptp(heights) < 0.02
    assert registration.rotation_angles(solved.poses[:, :3, :3], truth[:, :3, :3]).max() < np.radians(0.3)


def test_sparse_points_lie_on_the_walls_and_have_their_colours(solved: PoseSolution, captures: list[Capture]) -> None:
    points = solved.points.points.astype(np.float64)
    points[:, 2] -= np.median(solved.poses[:, 2, 3] - [true_pose(index)[2, 3] for index in range(5)])
    to_wall = np.abs(points[:, None] - ROOM).min(axis=(1, 2))
    assert len(points) > 300
    assert np.median(to_wall) < 0.01
    assert (to_wall < 0.1).mean() > 0.95
    index, point = int(solved.points.source[0]), points[0]  # type: ignore[index]
    pose = true_pose(index)
    pixel = equirectangular.directions_to_pixels(pose[:3, :3].T @ (point - pose[:3, 3]), WIDTH)
    shown = equirectangular.sample(captures[index].image, pixel)
    assert np.abs(shown - solved.points.colours[0]).max() < 40


def test_the_cameras_height_above_the_floor_is_found(solved: PoseSolution) -> None:
    assert solved.camera_height == pytest.approx(np.median([place[2] for place in PLACES]), rel=0.03)


@pytest.mark.slow
def test_a_capture_more_does_not_move_the_others(solved: PoseSolution, captures: list[Capture]) -> None:
    fewer = finished(solve_poses(captures[:4], gps(range(4)), OPTIONS))
    moved = registration.pose_similarity(fewer.poses, solved.poses[:4]).poses(fewer.poses) - solved.poses[:4]
    assert np.abs(moved[:, :3, 3]).max() < 0.01


# Two captures, a stated distance, and a stranger


def test_two_captures_are_posed(pair: PoseSolution) -> None:
    truth = np.stack([true_pose(0), true_pose(1)])
    found = pair.poses[[0, 2]]
    assert pair.registered.tolist() == [True, False, True]
    assert pair.scale_from == "distance"
    step, wanted = (np.linalg.inv(ends[0]) @ ends[1] for ends in (found, truth))
    assert np.linalg.norm(step[:3, 3] - wanted[:3, 3]) < 0.01 * np.linalg.norm(wanted[:3, 3])
    assert registration.rotation_angles(step[:3, :3], wanted[:3, :3]) < np.radians(0.1)


def test_the_first_heading_is_kept_where_nothing_tells_north(pair: PoseSolution) -> None:
    """The captures' own headings disagree; between two of them their mean is taken."""
    assert pair.north_from == "captures"
    ahead = -pair.poses[[0, 2], :2, 2]
    assert np.degrees(np.arctan2(*ahead.sum(axis=0))) == pytest.approx(0.0, abs=0.5)


def test_a_capture_of_another_place_is_named_with_the_reason_and_stays_where_it_was(
    pair: PoseSolution, captures: list[Capture]
) -> None:
    assert "nothing in common" in pair.reasons[1] or "do not agree" in pair.reasons[1]
    np.testing.assert_array_equal(pair.poses[1], captures[0].pose)
    assert np.isnan(pair.tilts[1])


def test_a_baseline_too_short_for_mapping_is_posed_by_its_matches_alone() -> None:
    """Two centimetres in a room eight metres long: no pair of rays meets at three degrees."""
    truth = [true_pose(0), true_pose(1)]
    truth[1][:3, 3] = truth[0][:3, 3] + (0.0, 0.02, 0.0)
    unknown = pose_matrix(rotation_from_heading(0), np.array([0.0, 0.0, 1.5]))
    near = [Capture(f"near-{index}", room(pose), unknown) for index, pose in enumerate(truth)]
    found = finished(solve_poses(near, None, replace(OPTIONS, distance=("near-0", "near-1", 0.02))))
    step, wanted = (np.linalg.inv(ends[0]) @ ends[1] for ends in (found.poses, truth))
    assert np.linalg.norm(step[:3, 3] - wanted[:3, 3]) < 0.02 * 0.02
    assert any("by their matches alone" in note for note in found.notes)


def on_one_tripod() -> list[Capture]:
    """The first capture, and one from the same place: turned by a right angle, tilted, and in dimmer light."""
    again = true_pose(0)
    again[:3, :3] = rotation_from_heading(HEADINGS[0] + 90.0, 3.0, -2.0)
    dim = np.rint(0.7 * room(again) + 10).astype(np.uint8)
    level = pose_matrix(rotation_from_heading(0, 3.0, -2.0), np.array([0.0, 0.0, 1.5]))
    return [captured(0), Capture("again", dim, level)]


def test_captures_of_one_tripod_share_its_position(captures: list[Capture]) -> None:
    """They are no pair to start from, and no step to measure by: the third one is as far away as it is alone."""
    first, again = on_one_tripod()
    found = finished(solve_poses([first, again, captures[1]], None, OPTIONS))
    assert found.registered.all()
    np.testing.assert_array_equal(found.poses[0, :3, 3], found.poses[1, :3, 3])
    turn = found.poses[0, :3, :3].T @ found.poses[1, :3, :3]
    wanted = true_pose(0)[:3, :3].T @ rotation_from_heading(HEADINGS[0] + 90.0, 3.0, -2.0)
    assert np.degrees(np.arccos(np.clip((np.trace(turn.T @ wanted) - 1) / 2, -1, 1))) < 0.1
    step = np.linalg.inv(found.poses[0]) @ found.poses[2]
    truth = np.linalg.inv(true_pose(0)) @ true_pose(1)
    assert np.linalg.norm(step[:3, 3]) == pytest.approx(1.0)  # nothing tells the scale, and that is said
    along = step[:3, 3] @ truth[:3, 3] / np.linalg.norm(truth[:3, 3])
    assert np.degrees(np.arccos(min(along, 1.0))) < 1.0
    assert any("room-0 and again were taken in one place" in note for note in found.notes)
    assert any("Nothing tells the scale" in note for note in found.notes)


# What cannot be solved


def test_one_tripod_alone_has_no_parallax() -> None:
    with pytest.raises(CaptureError, match="room-0 and again were taken in one place") as caught:
        finished(solve_poses(on_one_tripod(), None, OPTIONS))
    assert caught.value.code == "no-parallax"


def test_captures_of_different_places_are_refused_by_name() -> None:
    blank = Capture("blank", np.full((256, 512, 3), 128, np.uint8), np.eye(4))
    other = Capture("grey", np.full((256, 512, 3), 90, np.uint8), np.eye(4))
    with pytest.raises(CaptureError, match=r"blank: only 0 features.*grey: only 0") as caught:
        finished(solve_poses([blank, other], None, OPTIONS))
    assert caught.value.code == "no-poses"


@pytest.mark.parametrize("see", [alike_from_both_ends, repeating_street])
def test_a_place_that_fits_in_two_ways_is_told(see: Callable[[np.ndarray], np.ndarray]) -> None:
    notes = finished(solve_poses(two_of(see, [(-1.5, -0.2), (0.3, 0.2)]), None, OPTIONS)).notes
    assert any("here-0 and here-1 fit together in two ways" in note for note in notes)


def test_a_mirror_is_told() -> None:
    options = replace(OPTIONS, features=2000)
    made = two_of(lambda pose: mirror_room(pose, 2 * WIDTH), [(-1.5, -0.5), (-0.3, 0.6)])
    notes = finished(solve_poses(made, None, options)).notes
    assert any("mirror image" in note for note in notes)


def test_nothing_is_doubted_without_cause(solved: PoseSolution, pair: PoseSolution) -> None:
    assert not any("two ways" in note or "mirror" in note for note in (*solved.notes, *pair.notes))


def test_masked_captures_give_no_features(captures: list[Capture]) -> None:
    hidden = [replace(capture, valid=np.zeros((WIDTH // 2, WIDTH), np.bool_)) for capture in captures[:2]]
    with pytest.raises(CaptureError, match="only 0 features outside masks"):
        finished(solve_poses(hidden, None, OPTIONS))


def test_a_sky_mask_is_applied(captures: list[Capture]) -> None:
    with pytest.raises(CaptureError, match="only 0 features"):
        finished(solve_poses(captures[:2], None, OPTIONS, sky=lambda image: np.ones(image.shape[:2], np.bool_)))


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_captures_are_refused(captures: list[Capture], count: int) -> None:
    with pytest.raises(CaptureError, match="two or more"):
        finished(solve_poses(captures[:count], None, OPTIONS))


def test_two_captures_of_one_name_are_refused(captures: list[Capture]) -> None:
    with pytest.raises(CaptureError, match="room-0"):
        finished(solve_poses([captures[0], captures[0]], None, OPTIONS))


# The process


@pytest.mark.skipif(os.name == "nt", reason="reads /proc")
def test_closing_the_job_ends_the_process(captures: list[Capture]) -> None:
    job = solve_poses(captures, None, OPTIONS)
    while next(job).phase != "Finding features":
        pass
    for _ in range(10):
        next(job)
    assert solvers()
    job.close()
    deadline = time.monotonic() + 300
    while solvers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not solvers()


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for the interpreter")
def test_a_death_is_explained_with_its_last_words(captures: list[Capture], tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'cannot go on' >&2\nkill -SEGV $$\n")
    python.chmod(0o755)
    with pytest.raises(BackendError, match=r"crashed \(SIGSEGV\)[\s\S]*cannot go on"):
        finished(solve_poses(captures[:2], None, replace(OPTIONS, python=python)))


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for the interpreter")
def test_a_python_without_pycolmap_is_told_how_to_get_it(captures: list[Capture], tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    with pytest.raises(BackendError, match="pip install pycolmap"):
        finished(solve_poses(captures[:2], None, replace(OPTIONS, python=python)))


def test_a_missing_interpreter_is_named(captures: list[Capture], tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="nowhere"):
        finished(solve_poses(captures[:2], None, replace(OPTIONS, python=tmp_path / "nowhere")))


def solvers() -> list[int]:
    """Processes of this one that solve."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rsplit(")", 1)[1].split()[1])
            command = status.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and b"colmap_process" in command:
            found.append(int(status.parent.name))
    return found
