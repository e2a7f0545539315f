"""Camera poses: conventions, interpolation and speed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pantheon360_blender.core.errors import PoseError
from pantheon360_blender.core.panorama import cameras

ANGLES = st.floats(-360, 360)
NUMBERS = st.floats(-10, 10)
QUATERNIONS = arrays(np.float64, 4, elements=st.floats(-1, 1)).filter(lambda q: np.linalg.norm(q) > 0.1)
TO_X, TO_Y, TO_Z = np.eye(3)


@st.composite
def poses(draw: st.DrawFn) -> np.ndarray:
    rotation = cameras.matrix_from_quaternion(draw(QUATERNIONS))
    return cameras.pose_matrix(rotation, draw(arrays(np.float64, 3, elements=NUMBERS)))


@pytest.fixture(scope="module")
def mathutils() -> Any:
    pytest.importorskip("bpy", reason="needs Blender's own mathematics")
    return pytest.importorskip("mathutils")


def looking(rotation: np.ndarray) -> np.ndarray:
    return -rotation[:, 2]


def angle_between(first: np.ndarray, second: np.ndarray) -> float:
    """Angle of the rotation from one matrix to another, from its trace; not good below 1e-7."""
    return float(np.arccos(np.clip((np.trace(first.T @ second) - 1) / 2, -1, 1)))


# Conventions


def test_heading_zero_is_a_blender_camera_turned_by_ninety_degrees_about_x() -> None:
    np.testing.assert_allclose(cameras.rotation_from_heading(0), [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-15)


@pytest.mark.parametrize(("heading", "direction"), [(0, TO_Y), (90, TO_X), (180, -TO_Y), (270, -TO_X), (360, TO_Y)])
def test_heading_is_clockwise_from_north(heading: float, direction: np.ndarray) -> None:
    rotation = cameras.rotation_from_heading(heading)
    np.testing.assert_allclose(looking(rotation), direction, atol=1e-12)
    np.testing.assert_allclose(rotation[:, 1], TO_Z, atol=1e-12)


def test_positive_pitch_looks_up_and_positive_roll_lowers_the_right_side() -> None:
    np.testing.assert_allclose(looking(cameras.rotation_from_heading(90, 30)), [np.sqrt(3) / 2, 0, 0.5], atol=1e-12)
    rolled = cameras.rotation_from_heading(90, 0, 30)
    np.testing.assert_allclose(looking(rolled), TO_X, atol=1e-12)
    np.testing.assert_allclose(rolled[:, 0], [0, -np.sqrt(3) / 2, -0.5], atol=1e-12)  # right is south and down


@given(heading=ANGLES, pitch=ANGLES, roll=ANGLES)
def test_heading_pitch_and_roll_are_blenders_rotations_in_order(
    mathutils: Any, heading: float, pitch: float, roll: float
) -> None:
    turn = mathutils.Matrix.Rotation
    blenders = (
        turn(np.radians(-heading), 3, "Z") @ turn(np.radians(90 + pitch), 3, "X") @ turn(np.radians(-roll), 3, "Z")
    )
    np.testing.assert_allclose(cameras.rotation_from_heading(heading, pitch, roll), np.array(blenders), atol=1e-5)


@given(ANGLES, ANGLES, ANGLES)
def test_turning_within_a_camera_is_turning_its_heading_pitch_and_roll(
    heading: float, pitch: float, roll: float
) -> None:
    turned = cameras.rotation_from_heading(0) @ cameras.rotation_from_angles(*np.radians([heading, pitch, roll]))
    np.testing.assert_allclose(turned, cameras.rotation_from_heading(heading, pitch, roll), atol=1e-12)


@given(poses())
def test_opencv_axes_and_back(pose: np.ndarray) -> None:
    opencv = cameras.blender_to_opencv(pose)
    np.testing.assert_array_equal(opencv[:3, 2], -pose[:3, 2])  # OpenCV looks along +z
    np.testing.assert_array_equal(opencv[:3, 1], -pose[:3, 1])  # with y down
    np.testing.assert_array_equal(opencv[:, [0, 3]], pose[:, [0, 3]])
    np.testing.assert_array_equal(cameras.opencv_to_blender(opencv), pose)


@given(poses())
def test_inverse(pose: np.ndarray) -> None:
    np.testing.assert_allclose(cameras.invert(pose), np.linalg.inv(pose), atol=1e-12)
    np.testing.assert_allclose(cameras.invert(np.stack([pose, np.eye(4)]))[0] @ pose, np.eye(4), atol=1e-12)


# Checks


@given(poses())
def test_a_pose_in_blenders_precision_is_taken(pose: np.ndarray) -> None:
    checked = cameras.check_pose(pose.astype(np.float32))
    assert checked.dtype == np.float64
    np.testing.assert_allclose(checked, pose, atol=1e-5)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda pose: pose[:3], "shape"),
        (lambda pose: np.where(np.eye(4), np.nan, pose), "NaN"),
        (lambda pose: pose * [[np.inf], [1], [1], [1]], "NaN or infinity"),
        (lambda pose: pose @ np.diag([2, 2, 2, 1]), "scales"),
        (lambda pose: pose @ np.diag([-1, 1, 1, 1]), "mirrors"),
        (lambda pose: pose + np.eye(4, k=1) * 0.1, "shears"),
        (lambda pose: pose.T, "last row"),
        (lambda pose: np.zeros((4, 4)), "scales"),
        (lambda pose: (np.eye(4) > 0).tolist(), "not made of numbers"),
        (lambda pose: [*np.eye(4)[:3].tolist(), [0, 0, 0, True]], "not made of numbers"),
        (lambda pose: [[[[0]]]], "shape|numbers"),
    ],
)
def test_what_is_no_pose_is_named(spoil: object, reason: str) -> None:
    pose = cameras.pose_matrix(np.eye(3), np.array([1.0, 2.0, 3.0]))
    with np.errstate(invalid="ignore"):
        spoilt = spoil(pose)  # type: ignore[operator]
    with pytest.raises(PoseError, match=reason):
        cameras.check_pose(spoilt)


@given(poses(), arrays(np.float64, 3, elements=st.floats(0.01, 100)))
def test_scale_of_an_object_is_taken_off(pose: np.ndarray, scale: np.ndarray) -> None:
    np.testing.assert_allclose(cameras.without_scale(pose @ np.diag([*scale, 1])), pose, atol=1e-9)


@given(poses(), arrays(np.float64, (3, 3), elements=NUMBERS))
@example(np.eye(4), np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1]]) * 2.4e-134)
@example(np.eye(4), np.eye(3) * 1e-13)
@example(np.eye(4), np.eye(3) * 5e-324)
def test_a_sheared_or_mirrored_object_keeps_its_view_direction(pose: np.ndarray, parent: np.ndarray) -> None:
    """However small it is."""
    matrix = np.eye(4)
    matrix[:3, :3] = parent @ pose[:3, :3]
    axes = matrix[:3, :3] / (np.abs(matrix[:3, :3]).max() or 1)
    if np.linalg.cond(axes) > 1e3:
        return
    rigid = cameras.check_pose(cameras.without_scale(matrix))
    view = -axes[:, 2] / np.linalg.norm(axes[:, 2])
    np.testing.assert_allclose(looking(rigid[:3, :3]), view, atol=1e-9)
    assert rigid[:3, 1] @ axes[:, 1] > 0


@pytest.mark.parametrize("axis", [1, 2])
def test_an_object_without_depth_or_height_is_no_camera(axis: int) -> None:
    matrix = np.eye(4)
    matrix[axis, axis] = 0
    with pytest.raises(PoseError, match="flattens"):
        cameras.without_scale(matrix)


# Quaternions


@given(QUATERNIONS)
def test_quaternion_and_matrix_round_trip(quaternion: np.ndarray) -> None:
    unit = quaternion / np.linalg.norm(quaternion)
    matrix = cameras.matrix_from_quaternion(quaternion)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) > 0
    back = cameras.quaternion_from_matrix(matrix)
    assert back[0] >= 0
    assert abs(back @ unit) == pytest.approx(1, abs=1e-12)


@given(quaternion=QUATERNIONS)
def test_matrix_is_blenders(mathutils: Any, quaternion: np.ndarray) -> None:
    unit = quaternion / np.linalg.norm(quaternion)
    blenders = np.array(mathutils.Quaternion(unit).to_matrix())
    np.testing.assert_allclose(cameras.matrix_from_quaternion(unit), blenders, atol=1e-6)


@pytest.mark.parametrize("axis", [TO_X, TO_Y, TO_Z])
def test_half_turns_have_a_quaternion(axis: np.ndarray) -> None:
    half_turn = 2 * np.outer(axis, axis) - np.eye(3)
    np.testing.assert_allclose(np.abs(cameras.quaternion_from_matrix(half_turn)), [0, *axis], atol=1e-15)


def test_zero_is_no_rotation() -> None:
    with pytest.raises(PoseError):
        cameras.matrix_from_quaternion(np.zeros(4))


# Speed


def test_speed_of_a_circular_flight() -> None:
    """Four metres round, one turn in four seconds, always looking ahead."""
    fps, seconds, radius = 24, 4, 4 / (2 * np.pi)
    angles = np.linspace(0, 2 * np.pi, fps * seconds + 1)
    path = np.stack(
        [
            cameras.pose_matrix(
                cameras.rotation_from_heading(-np.degrees(angle)), radius * np.array([np.cos(angle), np.sin(angle), 0])
            )
            for angle in angles
        ]
    )
    np.testing.assert_allclose(cameras.speeds(path, fps), 1, rtol=1e-3)
    np.testing.assert_allclose(cameras.angular_speeds(path, fps), np.pi / 2, rtol=1e-9)


def test_a_still_camera_and_a_single_frame_have_no_speed() -> None:
    still = np.tile(np.eye(4), (3, 1, 1))
    assert not cameras.speeds(still, 24).any()
    assert not cameras.angular_speeds(still, 24).any()
    assert cameras.angular_speeds(still[:1], 24).shape == cameras.speeds(still[:1], 24).shape == (0,)


@pytest.mark.parametrize("heading", [-170.0, 0.0, 33.0, 120.0])
@pytest.mark.parametrize(("pitch", "roll"), [(0.0, 0.0), (40.0, 10.0), (-80.0, -20.0)])
def test_the_heading_of_a_camera_is_where_it_looks(heading: float, pitch: float, roll: float) -> None:
    rotation = cameras.rotation_from_heading(heading, pitch, roll)
    assert cameras.heading_from_rotation(rotation) == pytest.approx(heading)


@pytest.mark.parametrize("pitch", [-90.0, 90.0])
def test_a_camera_that_looks_straight_down_or_up_has_the_heading_of_its_top(pitch: float) -> None:
    found = cameras.heading_from_rotation(cameras.rotation_from_heading(70.0, pitch))
    assert found == pytest.approx(70)
