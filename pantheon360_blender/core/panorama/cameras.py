"""Camera poses: conversions between conventions, interpolation, and how fast a path moves and turns.

A pose is a (4, 4) float64 camera-to-world matrix in metres. Blender's camera looks along its -Z with +Y up and +X to
the right; OpenCV's looks along +Z with +Y down and +X to the right. Quaternions are (w, x, y, z), unit length.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..budget import FARTHEST
from ..errors import PoseError

_RIGID = 1e-4  # Blender keeps matrices in float32; a chain of parents loses a few more digits
_FLIP_Y_AND_Z = np.diag([1.0, -1.0, -1.0, 1.0])


def check_pose(pose: Any) -> np.ndarray:
    """Return `pose`, an array or lists, as a new (4, 4) float64 array after checking that it is a rigid transform.

    Raises PoseError if it has another shape, is not finite, lies farther than FARTHEST, or scales, shears or mirrors.
    """
    checked = _finite(pose, (4, 4), "A camera pose")
    _check_rotation(checked[:3, :3], "A camera pose")
    if np.abs(checked[3] - (0.0, 0.0, 0.0, 1.0)).max() > _RIGID:
        raise PoseError("A camera pose's last row is not 0 0 0 1.", advice="Give a camera-to-world matrix.")
    return checked


def check_rotation(rotation: np.ndarray) -> np.ndarray:
    """Return `rotation` as a new (3, 3) float64 array after checking that it is a proper rotation.

    Raises PoseError if it has another shape, is not finite, or scales, shears or mirrors.
    """
    checked = _finite(rotation, (3, 3), "A rotation")
    _check_rotation(checked, "A rotation")
    return checked


def pose_matrix(rotation: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Pose of a camera with axes `rotation` (3, 3), columns in world coordinates, at `position` (3,) in metres.

    Returns (4, 4) float64. Raises PoseError if the two do not make a finite rigid transform.
    """
    pose = np.eye(4)
    pose[:3, :3] = check_rotation(rotation)
    pose[:3, 3] = _finite(position, (3,), "A camera position")
    return pose


def without_scale(world_from_object: np.ndarray) -> np.ndarray:
    """Rigid pose of a camera object from its `matrix_world`, (4, 4), which may scale, shear and mirror.

    The view direction (local -Z) is kept exactly, up (local +Y) as far as it is square to it, and right follows from
    both, so that a mirrored object still gives a camera.
    How large the object is as a whole does not matter.
    Returns (4, 4) float64. Raises PoseError if the matrix is not finite or an axis of it has no length beside others.
    """
    given = _finite(world_from_object, (4, 4), "An object's matrix")
    axes = given[:3, :3] / (np.abs(given[:3, :3]).max() or 1.0)  # squares of tiny numbers are 0
    back = _direction(axes[:, 2])
    up = _direction(axes[:, 1])
    up = _direction(up - back * (up @ back))
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([np.cross(up, back), up, back])
    pose[:3, 3] = given[:3, 3]
    return pose


def invert(pose: np.ndarray) -> np.ndarray:
    """World-to-camera matrix of a rigid camera-to-world `pose`, or the other way round; (..., 4, 4) float64."""
    pose = np.asarray(pose, dtype=np.float64)
    camera_from_world = np.zeros_like(pose)
    camera_from_world[..., :3, :3] = np.swapaxes(pose[..., :3, :3], -1, -2)
    camera_from_world[..., :3, 3:] = -(camera_from_world[..., :3, :3] @ pose[..., :3, 3:])
    camera_from_world[..., 3, 3] = 1.0
    return camera_from_world


def blender_to_opencv(pose: np.ndarray) -> np.ndarray:
    """The same camera with OpenCV's axes (x right, y down, z forward); (..., 4, 4) float64, world unchanged.

    >>> pose = blender_to_opencv(np.eye(4))
    >>> pose[:3, 2]  # OpenCV's forward is Blender's -Z
    array([ 0.,  0., -1.])
    """
    return np.asarray(np.matmul(np.asarray(pose, dtype=np.float64), _FLIP_Y_AND_Z))


def opencv_to_blender(pose: np.ndarray) -> np.ndarray:
    """The same camera with Blender's axes (x right, y up, -z forward); (..., 4, 4) float64, world unchanged."""
    return np.asarray(np.matmul(np.asarray(pose, dtype=np.float64), _FLIP_Y_AND_Z))


def rotation_from_heading(heading_deg: float, pitch_deg: float = 0.0, roll_deg: float = 0.0) -> np.ndarray:
    """Axes of a camera from a compass heading, in a world with north = +Y, east = +X and up = +Z.

    heading_deg: degrees clockwise from north, seen from above.
    pitch_deg: degrees, positive looks up.
    roll_deg: degrees, positive lowers the camera's right side (clockwise seen from behind it).
    Heading, pitch and roll are applied in this order about the camera's own axes, as GPano's PoseHeadingDegrees,
    PosePitchDegrees and PoseRollDegrees are (Google, "Photo Sphere XMP Metadata").
    Returns (3, 3) float64, columns right, up, back; heading 0 is Blender's camera rotation (90°, 0, 0).

    >>> east = rotation_from_heading(90)
    >>> np.allclose(east @ (0, 0, -1), (1, 0, 0))  # what the camera looks along
    True
    """
    heading, pitch, roll = np.radians([heading_deg, pitch_deg, roll_deg])
    return np.asarray(_about_z(-heading) @ _about_x(np.pi / 2 + pitch) @ _about_z(-roll))


def heading_from_rotation(rotation: np.ndarray) -> float:
    """Where a camera with these axes, (3, 3), looks: degrees clockwise from +Y; one that looks up or down, by its top.

    >>> round(heading_from_rotation(rotation_from_heading(90, pitch_deg=20)))
    90
    """
    ahead = -rotation[:2, 2]
    if np.linalg.norm(ahead) < 1e-3:
        ahead = rotation[:2, 1] * np.sign(rotation[2, 2])
    return float(np.degrees(np.arctan2(ahead[0], ahead[1])))


def rotation_from_angles(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Rotation that turns a camera within its own axes; radians.

    yaw: positive to the right; pitch: positive up; roll: positive lowers the right side. Applied in this order.
    Returns (3, 3) float64 that maps directions of the turned camera to directions of the camera before.
    """
    return np.asarray(_about_y(-yaw) @ _about_x(pitch) @ _about_z(-roll))


def quaternion_from_matrix(rotation: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4) float64, w x y z with w >= 0, of rotation matrices (..., 3, 3).

    Source: S. W. Shepperd, "Quaternion from rotation matrix", J. Guidance and Control 1(3), 1978.
    """
    m = np.asarray(rotation, dtype=np.float64)
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    x, y, z = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, yz, zx = m[..., 1, 0] + m[..., 0, 1], m[..., 2, 1] + m[..., 1, 2], m[..., 0, 2] + m[..., 2, 0]
    # Row i is 4 q_i (w, x, y, z); the row with the largest diagonal divides by nothing small.
    rows = np.stack(
        [
            np.stack([1 + m00 + m11 + m22, x, y, z], axis=-1),
            np.stack([x, 1 + m00 - m11 - m22, xy, zx], axis=-1),
            np.stack([y, xy, 1 - m00 + m11 - m22, yz], axis=-1),
            np.stack([z, zx, yz, 1 - m00 - m11 + m22], axis=-1),
        ],
        axis=-2,
    )
    largest = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), axis=-1)
    quaternion = np.take_along_axis(rows, largest[..., None, None], axis=-2)[..., 0, :]
    quaternion = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    return np.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def matrix_from_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) float64 of quaternions (..., 4), w x y z, which need not be unit length.

    Raises PoseError if a quaternion is zero or not finite.
    """
    q = _unit(quaternion)
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def speeds(poses: np.ndarray, fps: float) -> np.ndarray:
    """Speed in m/s from each of `poses` (F, 4, 4) to the next, `fps` of them a second; (F - 1,) float64."""
    return _steps(poses) * float(fps)


def angular_speeds(poses: np.ndarray, fps: float) -> np.ndarray:
    """Turning speed in rad/s from each of `poses` (F, 4, 4) to the next, `fps` of them a second; (F - 1,) float64."""
    rotations = np.asarray(poses, dtype=np.float64)[:, :3, :3]
    relative = quaternion_from_matrix(np.swapaxes(rotations[:-1], -1, -2) @ rotations[1:])
    angles = 2 * np.arctan2(np.linalg.norm(relative[:, 1:], axis=-1), relative[:, 0])
    return np.asarray(angles * float(fps))


def _steps(poses: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(np.diff(np.asarray(poses, dtype=np.float64)[:, :3, 3], axis=0), axis=-1))


def _holds_truth(values: Any) -> bool:
    """Whether rows of a matrix, as JSON has it, hold true or false, which numpy takes for numbers."""
    rows = [row if isinstance(row, list) else [row] for row in values]
    return any(isinstance(value, bool) for row in rows for value in row)


def _finite(values: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    if isinstance(values, list) and _holds_truth(values):
        raise PoseError(f"{what} is not made of numbers.")
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:  # of JSON, say
        raise PoseError(f"{what} is not made of numbers.") from error
    if array.shape != shape:
        raise PoseError(f"{what} is an array of shape {array.shape}; {shape} is wanted.")
    if not np.isfinite(array).all():
        raise PoseError(f"{what} holds NaN or infinity.", advice="Clear the object's transforms, constraints, drivers.")
    if np.abs(array).max() > FARTHEST:
        raise PoseError(f"{what} lies {np.abs(array).max():.3g} m away: no place is.", advice="Move it to the origin.")
    return array


def _check_rotation(rotation: np.ndarray, what: str) -> None:
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > _RIGID:
        raise PoseError(f"{what} scales or shears.", advice="Apply the object's scale.")
    if np.linalg.det(rotation) < 0:
        raise PoseError(f"{what} mirrors.", advice="Make the object's scale positive.")


def _direction(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    if length < 1e-12:
        raise PoseError("An object's matrix flattens an axis of its camera.", advice="Give it a scale other than zero.")
    return np.asarray(vector / length)


def _unit(quaternion: np.ndarray) -> np.ndarray:
    q = np.asarray(quaternion, dtype=np.float64)
    with np.errstate(over="ignore"):
        length = np.linalg.norm(q, axis=-1, keepdims=True)
    if q.shape[-1:] != (4,) or not np.isfinite(length).all() or (length == 0).any():
        raise PoseError("A quaternion is not four finite numbers, or is zero.")
    return np.asarray(q / length)


def _about_x(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def _about_y(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _about_z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
