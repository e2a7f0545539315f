"""The world frame of a solved model: up, north, scale and origin from what captures know, on models made for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.reconstruction import registration
from backend.reconstruction.poses import pose_priors
from backend.reconstruction.poses.pose_priors import Frame, PosePrior
from backend.reconstruction.registration import Similarity
from pantheon360_blender.core.errors import CaptureError
from pantheon360_blender.core.panorama.cameras import pose_matrix, rotation_from_heading
from pantheon360_blender.core.panorama.capture import Capture

HEADINGS = [15.0, 40.0, 350.0, 20.0, 200.0]
HEIGHT = 1.7


def walk(count: int, step: float = 2.0) -> np.ndarray:
    """True poses of a straight walk to the north, camera level, (count, 4, 4)."""
    return np.stack(
        [pose_matrix(rotation_from_heading(HEADINGS[i]), np.array([0.1 * i, step * i, HEIGHT])) for i in range(count)]
    )


def believing(poses: np.ndarray, tilts: list[tuple[float, float]] | None = None) -> list[Capture]:
    """Captures that think to look north at the origin, tilted by (pitch, roll) degrees against what they think."""
    tilts = tilts or [(0.0, 0.0)] * len(poses)
    image = np.zeros((4, 8, 3), np.uint8)
    captures = []
    for index, (pitch, roll) in enumerate(tilts):
        pose = pose_matrix(rotation_from_heading(0, pitch, roll), np.array([0.0, 0.0, HEIGHT]))
        captures.append(Capture(f"capture-{index}", image, pose))
    return captures


def ground(count: int = 400) -> np.ndarray:
    """Points on the ground beside the walk, and some walls."""
    random = np.random.default_rng(1)
    floor = np.column_stack(
        [random.uniform(-4, 4, count), random.uniform(-3, 12, count), random.normal(0, 0.01, count)]
    )
    walls = np.column_stack(
        [random.choice([-5.0, 5.0], count), random.uniform(-3, 12, count), random.uniform(0, 6, count)]
    )
    return np.concatenate([floor, walls])


def solved(seed: int = 0) -> Similarity:
    """The unknown frame of a model: world to model."""
    random = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    return Similarity(float(np.exp(random.normal())), rotation, random.normal(size=3) * 5)


def placed(count: int, priors: list[PosePrior], seed: int = 0, **options: object) -> tuple[np.ndarray, Frame]:
    """Poses of a walk after their model was placed in the world, and the frame."""
    truth, model = walk(count), solved(seed)
    frame = pose_priors.world_frame(
        model.poses(truth),
        model.points(ground()),
        believing(truth),
        priors,
        **options,  # type: ignore[arg-type]
    )
    return frame.similarity.poses(model.poses(truth)), frame


def gps(count: int, noise: float = 0.0) -> list[PosePrior]:
    random = np.random.default_rng(2)
    return [PosePrior(position=pose[:3, 3] + random.normal(0, 1, 3) * noise) for pose in walk(count)]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_exact_gps_puts_any_model_where_it_was(seed: int) -> None:
    poses, frame = placed(4, gps(4), seed)
    np.testing.assert_allclose(poses, walk(4), atol=1e-6)
    assert (frame.scale_from, frame.north_from) == ("gps", "gps")


def test_gps_heights_are_not_believed() -> None:
    """A phone's height may be metres off; levelling says that the walk is flat."""
    priors = gps(4)
    assert priors[2].position is not None
    priors[2] = PosePrior(position=priors[2].position + np.array([0.0, 0.0, 8.0]))
    poses, _ = placed(4, priors)
    np.testing.assert_allclose(poses[:, 2, 3], HEIGHT, atol=1e-6)


def test_one_bad_fix_does_not_bend_the_scale() -> None:
    priors = gps(5)
    assert priors[1].position is not None
    priors[1] = PosePrior(position=priors[1].position + np.array([6.0, 3.0, 0.0]))
    poses, frame = placed(5, priors)
    assert [note for note in frame.notes if "GPS" in note] == ["GPS puts capture-1 6.7 m from where its picture does."]
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    np.testing.assert_allclose(steps, np.linalg.norm(np.diff(walk(5)[:, :3, 3], axis=0), axis=1), rtol=0.02)


def test_one_tilted_capture_is_outvoted_and_named() -> None:
    truth, model = walk(5), solved()
    tilts = [(0.0, 0.0)] * 4 + [(12.0, 0.0)]
    frame = pose_priors.world_frame(model.poses(truth), ground()[:0], believing(truth, tilts), gps(5))
    up = frame.similarity.rotation @ model.rotation @ np.array([0.0, 0.0, 1.0])
    assert np.degrees(np.arccos(up[2])) < 0.5
    assert np.degrees(frame.tilts[4]) == pytest.approx(12.0, abs=0.5)
    assert any("capture-4 is 12" in note for note in frame.notes)


def test_the_artists_levelling_is_honoured() -> None:
    """Captures whose own poses say how they were tilted give the same world as level ones."""
    random = np.random.default_rng(3)
    angles = random.uniform(-10, 10, (4, 2))
    level = walk(4)
    truth = np.stack([pose_matrix(rotation_from_heading(HEADINGS[i], *angles[i]), level[i, :3, 3]) for i in range(4)])
    model = solved()
    captures = believing(truth, [(float(pitch), float(roll)) for pitch, roll in angles])
    frame = pose_priors.world_frame(model.poses(truth), ground()[:0], captures, gps(4))
    np.testing.assert_allclose(frame.similarity.poses(model.poses(truth)), truth, atol=1e-6)
    assert frame.tilts.max() < 1e-6


def test_a_stated_distance_outranks_gps() -> None:
    truth = walk(3)
    apart = float(np.linalg.norm(truth[2, :3, 3] - truth[0, :3, 3]))
    wrong = [PosePrior(position=1.4 * np.asarray(prior.position)) for prior in gps(3)]
    poses, frame = placed(3, wrong, distance=("capture-0", "capture-2", apart))
    assert frame.scale_from == "distance"
    assert np.linalg.norm(poses[2, :3, 3] - poses[0, :3, 3]) == pytest.approx(apart)


@pytest.mark.parametrize("distance", [("capture-0", "nobody", 1.0), ("capture-0", "capture-1", 0.0)])
def test_a_distance_that_cannot_be_is_refused(distance: tuple[str, str, float]) -> None:
    with pytest.raises(CaptureError):
        placed(3, gps(3), distance=distance)


def test_a_camera_height_gives_the_scale_where_there_is_no_gps() -> None:
    poses, frame = placed(4, [PosePrior()] * 4, camera_height=HEIGHT)
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    assert frame.scale_from == "height"
    np.testing.assert_allclose(steps, np.linalg.norm(np.diff(walk(4)[:, :3, 3], axis=0), axis=1), rtol=0.02)


def test_a_short_gps_track_yields_to_a_camera_height_and_warns_without_one() -> None:
    short = [PosePrior(position=np.asarray(prior.position) * 0.2) for prior in gps(2)]
    _, with_height = placed(2, short, camera_height=HEIGHT)
    _, without = placed(2, short)
    assert with_height.scale_from == "height"
    assert without.scale_from == "gps"
    assert any("only 0.4 m apart" in note for note in without.notes)


def test_without_any_scale_the_first_step_is_a_metre_and_says_so() -> None:
    poses, frame = placed(3, [PosePrior()] * 3)
    assert np.linalg.norm(poses[1, :3, 3] - poses[0, :3, 3]) == pytest.approx(1.0)
    assert frame.scale_from == "nothing"
    assert any("Nothing tells the scale" in note for note in frame.notes)


def test_headings_give_north_where_there_is_no_gps() -> None:
    priors = [PosePrior(heading=heading) for heading in HEADINGS[:4]]
    poses, frame = placed(4, priors, camera_height=HEIGHT)
    assert frame.north_from == "heading"
    assert registration.rotation_angles(poses[:, :3, :3], walk(4)[:, :3, :3]).max() < 1e-6


def test_a_long_gps_track_leads_over_headings_that_are_all_wrong() -> None:
    """Cameras write the direction of the walk for the direction of the image."""
    priors = [
        PosePrior(position=prior.position, heading=(heading + 35) % 360)
        for prior, heading in zip(gps(5), HEADINGS, strict=True)
    ]
    poses, frame = placed(5, priors)
    assert frame.north_from == "gps and heading"
    assert np.degrees(registration.rotation_angles(poses[:, :3, :3], walk(5)[:, :3, :3])).max() < 4.0


def test_opposite_headings_do_not_turn_the_walk_round() -> None:
    priors = [
        PosePrior(position=prior.position, heading=(heading + 179) % 360)
        for prior, heading in zip(gps(5), HEADINGS, strict=True)
    ]
    poses, _ = placed(5, priors)
    np.testing.assert_allclose(poses, walk(5), atol=1e-6)


def test_the_ground_is_found_below_tables_and_beside_walls() -> None:
    random = np.random.default_rng(4)
    table = np.column_stack([random.uniform(-1, 1, 60), random.uniform(0, 4, 60), np.full(60, 0.75)])
    found = pose_priors.ground_distance(np.concatenate([ground(), table]), walk(3)[:, :3, 3])
    assert found == pytest.approx(HEIGHT, rel=0.03)


@pytest.mark.parametrize("points", [np.empty((0, 3)), ground()[:8], ground()[400:] + np.array([0.0, 0.0, 3.0])])
def test_no_ground_is_made_up(points: np.ndarray) -> None:
    assert pose_priors.ground_distance(points, walk(3)[:, :3, 3]) is None
