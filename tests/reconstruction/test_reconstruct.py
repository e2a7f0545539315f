"""A whole reconstruction in the backend's environment: poses, points, going on after a cancel, and damaged stages.

The place is a box of 4 x 6 x 3 m whose walls carry smooth noise: its panoramas are traced, its truth is known.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs the backend's environment")
pytest.importorskip("pycolmap", reason="needs the backend's environment")

from backend import runner
from backend.reconstruction.depth_map import DepthMap
from backend.reconstruction.reconstruction import Reconstruction
from backend.reporting import Reporter
from pantheon360_blender.core.jobs import job_folder, messages, reconstruct_settings, reuse
from pantheon360_blender.core.jobs.job import ReconstructJob
from pantheon360_blender.core.jobs.job_folder import ReconstructFolder
from pantheon360_blender.core.jobs.whole_progress import WEIGHTS, WholeProgress
from pantheon360_blender.core.panorama import equirectangular
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.points.point_cloud import PointCloud
from pantheon360_blender.core.progress import Progress

HALF = np.array([2.0, 3.0, 1.5])
WIDTH = 1024
DENSE_WIDTH = 128
PLACES = ((-0.3, -0.8, 0.0), (0.0, 0.0, 0.1), (0.35, 0.75, 0.0))
Room = Callable[..., ReconstructFolder]


def true_pose(index: int) -> np.ndarray:
    """Level, looking to +Y and turned a little."""
    angle = 0.4 * index - 0.3
    cosine, sine = np.cos(angle), np.sin(angle)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    pose[:3, 3] = PLACES[index]
    return pose


def panorama(pose: np.ndarray) -> np.ndarray:
    """What is seen of the box, (H, W, 3) uint8: cells of random colours on every wall, fine and coarse."""
    rays = equirectangular.directions(WIDTH).astype(np.float64) @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        ranges = np.where(rays > 0, (HALF - pose[:3, 3]) / rays, (-HALF - pose[:3, 3]) / rays)
    points = pose[:3, 3] + rays * ranges.min(axis=-1, keepdims=True)
    wall = 2 * ranges.argmin(axis=-1) + (np.take_along_axis(rays, ranges.argmin(axis=-1)[..., None], -1)[..., 0] > 0)
    generator = np.random.default_rng(2)
    image = np.zeros((*wall.shape, 3))
    for size in (0.45, 0.11):
        table = generator.integers(30, 110, (6, 64, 64, 64, 3))
        cell = np.floor((points + 4.0) / size).astype(int) % 64
        flat = np.where(np.arange(3) == (wall // 2)[..., None], 0, cell)
        image += table[wall, flat[..., 0], flat[..., 1], flat[..., 2]]
    return image.astype(np.uint8)


@pytest.fixture(scope="session")
def views() -> list[np.ndarray]:
    return [panorama(true_pose(index)) for index in range(len(PLACES))]


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory, views: list[np.ndarray]) -> Room:
    """room(stand=None, **settings): a new job, its captures at their true poses or at those of `stand`."""

    def make(stand: list[np.ndarray] | None = None, **settings: Any) -> ReconstructFolder:
        folder = ReconstructFolder.new(tmp_path_factory.mktemp("rooms"), "Room")
        entries = []
        for index, view in enumerate(views):
            pose = true_pose(index) if stand is None else stand[index]
            entries.append(folder.write_capture(Capture(f"room-{index}", view, pose)))
        folder.seal(ReconstructJob(name="Room", captures=entries, settings={"width": DENSE_WIDTH, **settings}))
        return folder

    return make


@pytest.fixture(scope="session")
def dropped(room: Room) -> Callable[..., ReconstructFolder]:
    """dropped(**settings): a new job as an artist drops captures in, all in one row; one distance is measured."""

    def make(**settings: Any) -> ReconstructFolder:
        rough = []
        for index in range(len(PLACES)):
            pose = true_pose(0)
            pose[:3, 3] = 0.0, float(index), 0.0
            rough.append(pose)
        measured = float(np.linalg.norm(np.subtract(PLACES[2], PLACES[0])))
        return room(rough, distance=["room-0", "room-2", measured], **settings)

    return make


@pytest.fixture(scope="session")
def solved(dropped: Callable[..., ReconstructFolder]) -> ReconstructFolder:
    """Such a job, done: to be read only."""
    folder = dropped()
    assert "Solving poses" in run(folder)
    return folder


@pytest.fixture(scope="session")
def sure(room: Room) -> ReconstructFolder:
    """A job with given poses and without guesses, done: to be read only. Others may take over its maps."""
    folder = room(poses="given", complete=False)
    assert not {"Solving poses", "Completing surfaces"} & set(run(folder))
    return folder


def with_maps_of(done: ReconstructFolder, folder: ReconstructFolder) -> ReconstructFolder:
    """The job with the maps of another one, as `reuse` takes them over."""
    shutil.copytree(done.path / "depth", folder.path / "depth")
    return folder


def run(folder: ReconstructFolder, until: str = "") -> list[str]:
    """Run a job, to its end or until a phase begins and then cancel it. Returns its phases."""
    phases: list[str] = []
    steps = runner.run(folder.path)
    try:
        for step in steps:
            assert isinstance(step, Progress) and (not step.of or 0 <= step.step <= step.of)
            if not phases or phases[-1] != step.phase:
                phases.append(step.phase)
            if until and step.phase.startswith(until):
                break
    finally:
        steps.close()
    return phases


def off_walls(cloud: PointCloud) -> np.ndarray:
    """Distance of each point from the box's nearest wall, metres."""
    return np.asarray(np.abs(np.abs(cloud.points) - HALF).min(axis=1))


def test_from_panoramas_alone_to_points_on_the_walls(solved: ReconstructFolder) -> None:
    folder = solved
    posed, solution = reconstruct_settings.read_poses(folder.path)
    assert all(one.registered for one in posed) and solution["scale_from"] == "distance"
    truth = np.array(PLACES)
    found = np.stack([one.pose[:3, 3] for one in posed])
    steps, expected = (np.linalg.norm(np.diff(each, axis=0), axis=1) for each in (found, truth))
    np.testing.assert_allclose(steps, expected, rtol=0.02)
    for index, one in enumerate(posed):
        turn = true_pose(index)[:3, :3].T @ true_pose(0)[:3, :3]
        np.testing.assert_allclose(one.pose[:3, :3].T @ posed[0].pose[:3, :3], turn, atol=0.01)
    # The world's own turn and place are arbitrary here: the box is compared in the first capture's frame.
    back = true_pose(0) @ np.linalg.inv(posed[0].pose)
    cloud = PointCloud.load(folder.path / "cache.npz").transformed(back)
    assert len(cloud) > 0.3 * DENSE_WIDTH * DENSE_WIDTH // 2
    assert np.median(off_walls(cloud)) < 0.05
    report = reconstruct_settings.read_report(folder.path)
    assert report["points"] == len(cloud) and sum(row["points"] for row in report["captures"]) == len(cloud)
    assert "stated distance" in report["text"]


def test_cancelled_it_goes_on_and_ends_with_the_same_points(dropped: Room, solved: ReconstructFolder) -> None:
    interrupted = dropped()
    assert "Solving poses" in run(interrupted, until="Matching at")
    assert interrupted.state().status == "cancelled"
    assert (interrupted.path / "poses.json").exists() and not (interrupted.path / "cache.npz").exists()
    phases = run(interrupted)
    assert "Solving poses" not in phases and interrupted.state().status == "done"
    for name in ("sparse.npz", "poses.json", "depth/room-0.npz", "cache.npz"):
        assert (solved.path / name).read_bytes() == (interrupted.path / name).read_bytes(), name


def test_one_bar_shows_all_of_a_job_in_the_order_in_which_it_comes(room: Room) -> None:
    """No phase is told before its place in the bar, none is passed over, and none takes a third of it at once."""
    folder, whole, phases, seen = room(width=4 * 64, complete=True), WholeProgress("reconstruct"), [], [0.0]
    for step in runner.run(folder.path):
        whole.take(step)
        seen.append(whole.fraction)
        phases.append(step.phase)
    order = [phase for phase in WEIGHTS["reconstruct"] if phase in phases]
    firsts = [phases.index(phase) for phase in order if phase != "First look"]  # at each width from 128 on
    assert firsts == sorted(firsts)
    before, after = {"Writing captures", "Starting the backend"}, {"Bringing the points into the scene"}
    far = {"Proving surfaces"}  # of captures that stand farther from one another than those of the room
    assert set(WEIGHTS["reconstruct"]) - set(order) == before | after | far
    assert np.diff(seen).min() >= 0 and np.diff(seen).max() < 0.1 and seen[-1] > 0.95


def test_a_first_look_is_told_of_before_the_end_and_goes_with_it(room: Room) -> None:
    """Its points lie on the walls, too, and it is fewer of them."""
    folder, looks = room(poses="given", width=2 * DENSE_WIDTH), []

    def send(message: messages.Message) -> None:
        if isinstance(message, messages.Preview):
            assert not (folder.path / "depth").exists() and not (folder.path / "cache.npz").exists()
            looks.append(PointCloud.load(Path(message.path)))

    Reporter("room", *job_folder.previews(folder.path)).follow(runner.run(folder.path), send)
    assert len(looks) == 1 and np.median(off_walls(looks[0])) < 0.15
    assert set(np.unique(looks[0].source)) == set(range(len(PLACES)))
    assert 0 < len(looks[0]) < len(PointCloud.load(folder.path / "cache.npz"))
    assert not (folder.path / "look.npz").exists()


def test_a_damaged_stage_is_done_again_and_only_that(solved: ReconstructFolder, tmp_path: Path) -> None:
    folder = ReconstructFolder.open(Path(shutil.copytree(solved.path, tmp_path / solved.path.name)))
    depth = folder.path / "depth" / "room-1.npz"
    depth.write_bytes(depth.read_bytes()[:1000])
    (folder.path / "cache.npz").unlink()
    phases = run(folder)
    assert "Solving poses" not in phases and any(phase.startswith("Matching at") for phase in phases)
    assert len(PointCloud.load(folder.path / "cache.npz")) > 1000


def test_maps_taken_over_from_an_earlier_job_are_kept_if_the_poses_are_given(
    room: Room, sure: ReconstructFolder
) -> None:
    """`reuse` brings maps without `poses.json` if the captures stand where they were solved."""
    second = with_maps_of(sure, room(poses="given", complete=False, confidence=0.3))
    assert not any(phase.startswith(("Sweeping", "Matching at", "Judging")) for phase in run(second))
    assert len(PointCloud.load(second.path / "cache.npz")) > len(PointCloud.load(sure.path / "cache.npz"))


def test_points_that_are_whole_are_not_fused_again_but_after_other_maps(room: Room, sure: ReconstructFolder) -> None:
    folder = with_maps_of(sure, room(poses="given"))
    assert "Fusing points" in run(folder)
    (folder.path / "report.json").unlink()
    phases = run(folder)
    assert "Fusing points" not in phases and "Writing the report" in phases
    (folder.path / "depth" / "room-2.npz").unlink()
    (folder.path / "report.json").unlink()
    phases = run(folder)
    assert phases.count("Writing depth") == 1 and "Fusing points" in phases and not (folder.path / "steps").exists()


def test_surfaces_are_completed_unless_that_is_switched_off(room: Room, sure: ReconstructFolder) -> None:
    """What is sure stays, beside surfaces and not edges now; what is guessed lies on the walls, the report tells."""
    complete = with_maps_of(sure, room(poses="given", complete=True))
    assert "Completing surfaces" in run(complete)
    less, more = (PointCloud.load(each.path / "cache.npz") for each in (sure, complete))
    assert less.confidence is not None and less.confidence.min() >= 0.5 and more.confidence is not None
    guessed = more.confidence < 0.5
    assert len(less) <= (~guessed).sum() < min(1.1 * len(less), len(more))
    assert np.median(off_walls(more.selected(guessed))) < 0.1
    reports = [reconstruct_settings.read_report(each.path) for each in (sure, complete)]
    assert [report["guessed_points"] for report in reports] == [0, guessed.sum()]
    assert "guessed" in reports[1]["text"] and "guessed" not in reports[0]["text"]


def test_sparse_points_alone_need_no_sweep(dropped: Room, solved: ReconstructFolder) -> None:
    folder = dropped(dense="none", confidence=0.0)
    for name in ("poses.json", "sparse.npz"):
        shutil.copy(solved.path / name, folder.path / name)
    phases = run(folder)
    assert not any(phase.startswith(("Matching at", "Sweeping")) for phase in phases)
    cloud = PointCloud.load(folder.path / "cache.npz")
    assert len(cloud) > 200 and not (folder.path / "depth").exists()


def test_given_poses_are_kept(sure: ReconstructFolder) -> None:
    posed, _ = reconstruct_settings.read_poses(sure.path)
    for index, one in enumerate(posed):
        np.testing.assert_array_equal(one.pose, true_pose(index))
    assert np.median(off_walls(PointCloud.load(sure.path / "cache.npz"))) < 0.05


# Guesses of a learned reconstructor


class StandIn:
    """A reconstructor that is given posed captures and answers the truth, in a unit of its own for each."""

    plugin = None
    confidence = 0.5

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def missing(self, options: Any = None) -> str:
        return ""

    def reconstruct(self, rigs: Any, options: dict[str, Any]) -> Any:
        self.asked.append(options)
        maps: list[Any] = []
        for index, rig in enumerate(rigs):
            yield Progress("Reconstructing with a stand-in", index, len(rigs))
            pose = rig.capture.pose
            rays = equirectangular.directions(options["width"]).astype(np.float64) @ pose[:3, :3].T
            with np.errstate(divide="ignore"):
                ranges = np.where(rays > 0, (HALF - pose[:3, 3]) / rays, (-HALF - pose[:3, 3]) / rays).min(axis=-1)
            nothing = np.zeros(ranges.shape, np.bool_)
            told = (0.3 + index) / (1 / ranges + 0.1)  # inverse ranges are off by a shift, too
            maps.append(DepthMap(told.astype(np.float32), np.full_like(ranges, 0.6), nothing))
        poses = np.stack([rig.capture.pose for rig in rigs])
        return Reconstruction(poses, maps, [True] * len(rigs), ["It guessed."], affine=True)


def test_a_reconstructor_guesses_what_the_sweep_leaves_open(
    room: Room, sure: ReconstructFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sure stays as with planes; guesses lie on the walls; a second run asks nobody again."""
    from backend.reconstruction import reconstructors

    stand_in = StandIn()
    monkeypatch.setattr(reconstructors, "named", lambda name: {"da360": stand_in}[name])
    settings: dict[str, Any] = {"poses": "given", "confidence": 0.9}
    plain, guessed = room(**settings, complete=True), room(**settings, complete=True, guess_by="da360")
    run(with_maps_of(sure, plain))
    assert any(name.startswith("depth/") for name in reuse.take_over(plain, guessed))
    run(guessed)
    clouds = [PointCloud.load(folder.path / "cache.npz") for folder in (plain, guessed)]
    unsure = [cloud.confidence < 0.9 for cloud in clouds if cloud.confidence is not None]
    assert all(each.sum() > 500 for each in unsure)
    before, after = (set(map(tuple, cloud.points[~each])) for cloud, each in zip(clouds, unsure, strict=True))
    assert len(before & after) > 0.97 * len(before | after)
    by_planes, by_model = (off_walls(cloud)[each] for cloud, each in zip(clouds, unsure, strict=True))
    assert np.quantile(by_model, 0.9) < 0.05 and np.quantile(by_model, 0.9) < np.quantile(by_planes, 0.9)
    assert len(stand_in.asked) == 1 and stand_in.asked[0]["poses"] == "given"
    report = reconstruct_settings.read_report(guessed.path)
    assert "guessed by da360" in report["text"] and "It guessed." in report["text"]
    (guessed.path / "cache.npz").unlink()
    run(guessed)
    assert len(stand_in.asked) == 1, "its answer is kept in the job folder"
    again = PointCloud.load(guessed.path / "cache.npz")
    assert (again.points == clouds[1].points).all()
