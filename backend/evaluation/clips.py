"""Clips whose truth is known, and the folders they are read from.

A dataset is a folder of clips; each is of one of these kinds:

    NAME/clip.json          this project's: {"schema": 1, "fps": 7, "cameras": [[4x4 camera-to-world], ...],
                            "captures": [frames that are captures]}; frames as 000000.png, their ranges as 000000.npz
                            with `range` (H, W) float32 metres, inf in the sky; captures/ has larger ones, if any,
                            and 000000.mask.png, white where a capture is to be ignored
    NAME/pose/NAME.npz ...  a clip of ViPE, as core/importers/vipe.py describes it
    NAME.mp4                a panorama video alone (Web360): no poses, no ranges; rows that need geometry are left out

The first and the last frame are the captures where nothing else is said.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pantheon360_blender.core import budget, inputs
from pantheon360_blender.core.errors import FileError
from pantheon360_blender.core.formats import exr, npz, png, zip_archive
from pantheon360_blender.core.importers import vipe
from pantheon360_blender.core.panorama import cameras, depth_image, equirectangular
from pantheon360_blender.core.panorama.capture import Capture

FRAMES = 25
"""Frames that are taken of a longer video, as many as a clip of the model's has."""
_NOWHERE = np.eye(4)
_LARGEST_RANGE = 4 * budget.DEPTH.width * budget.DEPTH.height


@dataclass(frozen=True, eq=False)
class KnownFrame:
    """A frame that a row may see as a capture. range: (h, w) metres of the capture's pixels, or None."""

    frame: int
    capture: Capture
    range: np.ndarray | None


@dataclass(frozen=True, eq=False)
class EvaluationClip:
    """A panorama video and what is known of it.

    name: of the clip. images: (F, H, W, 3) uint8. cameras: (F, 4, 4) camera-to-world, or None if nobody knows them.
    ranges: (F, H, W) float32 metres, inf in the sky, or None. known: its captures, by frame. fps: frames a second.
    """

    name: str
    images: np.ndarray
    cameras: np.ndarray | None
    ranges: np.ndarray | None
    known: tuple[KnownFrame, ...]
    fps: float

    @property
    def width(self) -> int:
        return int(self.images.shape[2])

    def pose(self, frame: int) -> np.ndarray:
        """The camera of a frame; if none is known, one that never moves."""
        return _NOWHERE if self.cameras is None else self.cameras[frame]


@dataclass(frozen=True)
class ClipFile:
    """A clip that is there to be read. path: its clip.json, its pose file, or its video."""

    name: str
    path: Path

    def read(self, width: int | None = None, frames: int = FRAMES) -> EvaluationClip:
        """The clip, at most `frames` of its first frames, `width` pixels wide (None: as it is).

        Raises FileError, and SourceError of a clip of ViPE whose poses cannot be read.
        """
        return _READERS[self.path.suffix](self, width, frames)


def find(folder: Path) -> list[ClipFile]:
    """The clips of a dataset, by name. Raises FileError if there are none."""
    folder = Path(folder)
    found = [ClipFile(path.parent.name, path) for path in folder.glob("*/clip.json")]
    for pattern in ("pose/*.npz", "*/pose/*.npz"):
        found += [ClipFile(path.stem, path) for path in folder.glob(pattern)]
    if not found:
        found = [ClipFile(path.stem, path) for path in folder.glob("*.mp4")]
    if not found:
        raise FileError(
            f"{folder} holds no clips.",
            advice="Folders with a clip.json, clips of ViPE, or panorama videos are read: docs/evaluation.md.",
        )
    return sorted(found, key=lambda clip: clip.name)


def _own(file: ClipFile, width: int | None, frames: int) -> EvaluationClip:
    folder = file.path.parent
    record = _record(file.path)
    poses = np.stack([cameras.check_pose(np.array(pose)) for pose in record["cameras"][:frames]])
    images = np.stack([png.read(folder / f"{frame:06d}.png")[..., :3] for frame in range(len(poses))])
    ranges = [_range(folder / f"{frame:06d}.npz") for frame in range(len(poses))]
    known = []
    for frame in record.get("captures", [0, len(poses) - 1]):
        if frame < len(poses):
            place = folder / "captures" if (folder / "captures" / f"{frame:06d}.png").exists() else folder
            image = png.read(place / f"{frame:06d}.png")[..., :3]
            mask = place / f"{frame:06d}.mask.png"
            valid = png.read(mask).reshape(*image.shape[:2], -1)[..., 0] < 128 if mask.exists() else None
            capture = Capture(f"capture-{frame}", np.ascontiguousarray(image), poses[frame], valid)
            known.append(KnownFrame(frame, capture, _range(place / f"{frame:06d}.npz")))
    there = None if any(each is None for each in ranges) else np.stack([each for each in ranges if each is not None])
    return _sized(EvaluationClip(file.name, images, poses, there, tuple(known), float(record["fps"])), width)


def _record(path: Path) -> dict[str, Any]:
    try:
        record = inputs.read_json(path, budget.RECORD_FILE)
        if record["schema"] != 1 or not record["cameras"] or not float(record["fps"]) > 0:
            raise ValueError("schema 1 with cameras and fps is wanted")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{path} is no clip: {error}.", advice="docs/evaluation.md says what is in it.") from error
    return dict(record)


def _range(path: Path) -> np.ndarray | None:
    """The array `range` of a file; None if there is no such file. Raises FileError."""
    if not path.exists():
        return None
    try:
        with zip_archive.opened(path) as archive:
            return npz.read(archive, "range", _LARGEST_RANGE).astype(np.float32)
    except npz.DAMAGED as error:
        raise FileError(f"{path} is damaged: {error}.", advice="Make it again.") from error


def _vipe(file: ClipFile, width: int | None, frames: int) -> EvaluationClip:
    root = file.path.parent.parent
    numbers, poses = vipe.read_poses(file.path)
    try:
        with zip_archive.opened(root / "depth" / f"{file.name}.zip") as archive:
            members = {Path(name).stem: name for name in archive.namelist() if name.endswith(".exr")}
            chosen = [index for index, number in enumerate(numbers) if f"{number:05d}" in members][:frames]
            ranges = [_decoded(archive, members[f"{numbers[index]:05d}"]) for index in chosen]
    except (*npz.DAMAGED, KeyError) as error:
        raise FileError(f"The depth of {file.path} cannot be read: {error}.", advice="Copy the clip again.") from error
    images = list(islice(_video(root / "rgb" / f"{file.name}.mp4"), int(numbers[chosen[-1]]) + 1))
    taken = np.stack([images[int(numbers[index])] for index in chosen])
    fps = float(_fps(root / "rgb" / f"{file.name}.mp4"))
    placed = np.stack([_blender_world(poses[index]) for index in chosen])
    known = [
        KnownFrame(frame, Capture(f"capture-{frame}", taken[frame], placed[frame]), ranges[frame])
        for frame in (0, len(chosen) - 1)
    ]
    return _sized(EvaluationClip(file.name, taken, placed, np.stack(ranges), tuple(known), fps), width)


def _blender_world(pose: np.ndarray) -> np.ndarray:
    """A pose in ViPE's world, whose -Y is up, in Blender's, whose +Z is."""
    upright = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    return np.asarray(upright @ pose)


def _decoded(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    channels = exr.decode(zip_archive.read_member(archive, archive.getinfo(member), budget.DEPTH.bytes), member)
    return depth_image.to_range(depth_image.depth_channel(channels, member))


def _video_alone(file: ClipFile, width: int | None, frames: int) -> EvaluationClip:
    images = np.stack(list(islice(_video(file.path), frames)))
    ends = (0, len(images) - 1)
    known = tuple(KnownFrame(frame, Capture(f"capture-{frame}", images[frame], _NOWHERE), None) for frame in ends)
    return _sized(EvaluationClip(file.name, images, None, None, known, _fps(file.path)), width)


def _video(path: Path) -> Iterator[np.ndarray]:
    """The frames of a panorama video, (H, W, 3) uint8. Raises FileError."""
    import imageio.v3

    try:
        for frame in imageio.v3.imiter(path, plugin="FFMPEG"):
            if frame.shape[1] != 2 * frame.shape[0]:
                raise FileError(f"{path} is {frame.shape[1]} x {frame.shape[0]}: no panorama.", advice="Leave it out.")
            yield np.ascontiguousarray(frame[..., :3])
    except (OSError, ValueError, RuntimeError) as error:
        raise FileError(f"{path} cannot be read: {error}.", advice="Copy it again.") from error


def _fps(path: Path) -> float:
    import imageio.v3

    return float(imageio.v3.immeta(path, plugin="FFMPEG")["fps"])


def _sized(clip: EvaluationClip, width: int | None) -> EvaluationClip:
    """The clip at another width; captures keep theirs. Of ranges, pixels are left out: surfaces must not mix."""
    if width is None or width == clip.width:
        return clip
    images = np.stack([equirectangular.resize(image, width) for image in clip.images])
    ranges = None if clip.ranges is None else np.stack([_nearest(each, width) for each in clip.ranges])
    return EvaluationClip(clip.name, images, clip.cameras, ranges, clip.known, clip.fps)


def _nearest(image: np.ndarray, width: int) -> np.ndarray:
    rows, columns = (
        ((np.arange(count) + 0.5) * image.shape[1] / width).astype(np.intp) for count in (width // 2, width)
    )
    return np.asarray(image[np.ix_(rows, columns)])


_READERS: dict[str, Callable[[ClipFile, int | None, int], EvaluationClip]] = {
    ".json": _own,
    ".npz": _vipe,
    ".mp4": _video_alone,
}
