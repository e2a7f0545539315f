"""What a painter made up becomes points where the cache had none: seen again by later paths, and beside what is known.

The painter of these tests paints the truth, so that ranges and colours of its inventions have one to be compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the backend environment has scipy")

from backend.reconstruction.invention import PaintedFrame, invented
from pantheon360_blender.core.panorama import cameras
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.points.equirectangular_depth import cloud_from_depth
from pantheon360_blender.core.points.point_cloud import INVENTED, INVENTED_CONFIDENCE, PointCloud
from pantheon360_blender.core.progress import run_to_end
from pantheon360_blender.core.render import coverage, splatting
from pantheon360_blender.core.render.splatting import GeometryFrame
from tests import known_room

WIDTH = 256
Place = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def pose(x: float, y: float, z: float = 0.1, heading: float = 0.0, roll: float = 0.0) -> np.ndarray:
    return cameras.pose_matrix(cameras.rotation_from_heading(heading, roll_deg=roll), np.array([x, y, z]))


@dataclass(frozen=True, eq=False)
class Take:
    """A cache from one capture, and the truth painted along a path past the block that hides a part of the place."""

    place: Place
    known: PointCloud
    capture: Capture
    poses: list[np.ndarray]
    frames: list[PaintedFrame]
    new: PointCloud

    @property
    def grown(self) -> PointCloud:
        return PointCloud.concatenate([self.known, self.new])


def seen(cloud: PointCloud, camera: np.ndarray) -> GeometryFrame:
    assert cloud.footprint is not None
    return splatting.splat_footprints(cloud.points, cloud.colours, cloud.footprint, camera, WIDTH)


def take_of(place: Place, poses: Sequence[np.ndarray]) -> Take:
    camera = pose(-1.5, -1.2)
    image, distance = place(camera, WIDTH)
    capture = Capture("A", image, camera)
    known = cloud_from_depth(capture, distance, source=0)
    frames = [PaintedFrame(place(each, WIDTH)[0], ~seen(known, each).coverage, each) for each in poses]
    return Take(place, known, capture, list(poses), frames, run_to_end(invented(known, frames, [capture])))


@pytest.fixture(scope="module")
def indoors() -> Take:
    return take_of(known_room.furnished, [pose(-1.5 + 3 * s, -1.2 + 0.2 * s, roll=20 * s) for s in (0, 0.4, 0.7, 1)])


@pytest.fixture(scope="module")
def outdoors() -> Take:
    return take_of(known_room.yard, [pose(-1.5 + 3 * s, -1.2 + 0.2 * s, roll=20 * s) for s in (0.5, 1)])


def test_a_later_path_sees_the_invention_again(indoors: Take) -> None:
    """The pose painted last shows nearly all of what was made up; one that nobody painted is covered, too."""
    for camera in (indoors.poses[-1], pose(1.2, -1.3, 0.3, heading=40)):
        before, after = seen(indoors.known, camera), seen(indoors.grown, camera)
        was, now = coverage.covered_share(before.coverage), coverage.covered_share(after.coverage)
        assert was < 0.95 and now > 0.99
        _, truth = indoors.place(camera, WIDTH)
        filled = after.coverage & ~before.coverage
        off = np.abs(after.depth[filled] / truth[filled] - 1)
        assert np.median(off) < 0.06 and (off < 0.15).mean() > 0.85


def test_what_was_painted_is_what_the_geometry_pass_shows_then(indoors: Take) -> None:
    before, after = (seen(cloud, indoors.poses[-1]) for cloud in (indoors.known, indoors.grown))
    filled = after.coverage & ~before.coverage
    painted = indoors.frames[-1].image[filled].astype(np.float64)
    error = float(((painted - after.colour[filled]) ** 2).mean())
    assert 10 * np.log10(255**2 / error) > 28


@pytest.mark.parametrize("where", ["indoors", "outdoors"])
def test_what_was_known_stays_as_it_was(where: str, request: pytest.FixtureRequest) -> None:
    """To the last point in the pass that painters see; at silhouettes in the one with points as large as they are."""
    take: Take = request.getfixturevalue(where)
    for camera in [*take.poses, take.capture.pose]:
        before, after = (
            splatting.splat(cloud.points, cloud.colours, camera, WIDTH) for cloud in (take.known, take.grown)
        )
        np.testing.assert_array_equal(after.colour[before.coverage], before.colour[before.coverage])
        large, larger = seen(take.known, camera), seen(take.grown, camera)
        changed = (large.colour != larger.colour).any(axis=-1)[large.coverage]
        assert changed.mean() < 0.01


def test_points_say_that_they_are_invented_and_are_nowhere_sure(indoors: Take) -> None:
    assert indoors.new.source is not None and (indoors.new.source == INVENTED).all()
    assert indoors.new.confidence is not None and (indoors.new.confidence == np.float32(INVENTED_CONFIDENCE)).all()


def test_the_sky_gets_no_points(outdoors: Take) -> None:
    """However the camera is turned. Ground that the block hid gets them."""
    assert len(outdoors.new) > 100
    for camera in outdoors.poses:
        _, truth = outdoors.place(camera, WIDTH)
        new = splatting.splat(outdoors.new.points, outdoors.new.colours, camera, WIDTH)
        assert np.isfinite(truth[new.coverage]).mean() > 0.99
    assert np.abs(outdoors.new.points[:, 2] + known_room.HALF[2]).max() < 2.2  # nothing floats above the block


def test_a_second_time_the_same_frames_bring_next_to_nothing(indoors: Take) -> None:
    again = run_to_end(invented(indoors.grown, indoors.frames, [indoors.capture]))
    assert len(again) < 0.02 * len(indoors.new)


def test_frames_of_what_is_known_bring_nothing(indoors: Take) -> None:
    """Even if their painter was shown nothing of it."""
    everything = np.ones((WIDTH // 2, WIDTH), np.bool_)
    image, _ = indoors.place(indoors.capture.pose, WIDTH)
    there = PaintedFrame(image, everything, indoors.capture.pose)
    assert len(run_to_end(invented(indoors.known, [there]))) == 0


def test_each_surface_is_taken_once(indoors: Take) -> None:
    """One frame alone brings nearly as many points as the same one painted three times."""
    last = indoors.frames[-1]
    once, thrice = (len(run_to_end(invented(indoors.known, [last] * count))) for count in (1, 3))
    assert once > 500 and thrice < 1.1 * once
