"""Clips processed by ViPE (NVIDIA's video pose engine): a pose, a radial depth and a mask for each frame.

A folder holds pose/NAME.npz (data (N, 4, 4) camera-to-world with OpenCV's axes, inds (N,)), depth/NAME.zip of %05d.exr
with half-float ranges in Z, mask/NAME.zip of %05d.png with instances (0 is background), rgb/NAME.mp4, and
intrinsics/NAME_camera.txt with the kind of camera. A SLAM map is read from vipe/NAME_slam_map.npz, saved by numpy
(dense_disp_xyz and dense_disp_rgb, (N, 3) each); ViPE's own NAME_slam_map.pt is a pickle and is left alone.
Source: ViPE, vipe/utils/io.py and its README.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from .. import budget, inputs
from ..errors import ImageError
from ..formats import npz, png, zip_archive
from ..panorama import cameras, depth_image
from ..progress import Job, Progress
from .imported import PICTURES, Gathering, Imported, ImportedCapture, Options, Source, SourceError
from .unprojection import add_depth

_SLAM_ARRAYS = ("dense_disp_xyz", "dense_disp_rgb")

_LARGEST_POSES = 8 * 16 * budget.CLIP_FRAMES  # bytes
_BLOCK = 1 << 20
_FRAME = re.compile(r"(?:.*/)?(\d{1,9})\.(?:exr|png)")
_AGAIN = "Run ViPE again, or copy the folder again."


class _Clip:
    """The files of a clip."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.poses = root / "pose" / f"{name}.npz"
        self.depth = root / "depth" / f"{name}.zip"
        self.masks = root / "mask" / f"{name}.zip"
        self.video = root / "rgb" / f"{name}.mp4"
        self.camera = root / "intrinsics" / f"{name}_camera.txt"
        self.slam_map = root / "vipe" / f"{name}_slam_map.npz"


def _read(path: Path, options: Options) -> Job[Imported]:
    clip = _clip(path)
    indices, poses = read_poses(clip.poses)
    gathering = Gathering(path, options, default_up=None)
    gathering.judge_up(poses, "-y", "the clip")
    gathering.settle(poses[:, :3, 3])
    panoramic = _panoramic(clip, gathering)
    chosen = slice(None, None, options.every)
    frames = dict(zip(indices[chosen].tolist(), poses[chosen], strict=True))
    yield Progress("Reading frames", 0, len(frames))
    pictures: dict[int, Path] = {}
    if panoramic:
        yield from _add_slam_map(clip, gathering)
        yield from _add_frames(clip, frames, pictures, options, gathering)
    captures = [
        ImportedCapture(f"{clip.name}_{index:05d}", pictures.get(index), gathering.pose(pose, str(index)), panoramic)
        for index, pose in frames.items()
    ]
    return gathering.finish(captures)


def _add_frames(
    clip: _Clip, frames: dict[int, np.ndarray], pictures: dict[int, Path], options: Options, gathering: Gathering
) -> Job[None]:
    """Add the points of the frames' depth; fills in where their pictures were put."""
    order = {index: place for place, index in enumerate(frames)}
    with ExitStack() as stack:
        ranges = _members(clip.depth, stack) if clip.depth.is_file() else {}
        masks = _members(clip.masks, stack) if clip.masks.is_file() else {}
        masked = 0
        if not ranges:
            gathering.notes.append(f"{clip.depth} is missing: the frames have poses, but no depth.")
        for done, (index, picture) in enumerate(_pictures(clip, frames, options, gathering)):
            if picture is not None and options.pictures is not None:
                name = f"{PICTURES}/{clip.name}_{index:05d}.png"
                options.pictures.write_bytes(name, png.encode(picture))
                pictures[index] = options.pictures.path / name
            if index in ranges:
                depth = _range(*ranges[index], options)
                if index in masks:
                    masked += _masked(depth, *masks[index])
                add_depth(gathering, depth, picture, frames[index], order[index])
            yield Progress("Reading frames", done + 1, len(frames))
        if masked:
            gathering.notes.append(f"{masked:,} pixels of moving things were left out, by the clip's masks.")
        if ranges and (missing := len(frames.keys() - ranges.keys())):
            gathering.notes.append(f"{missing:,} of {len(frames):,} frames have no depth.")


def _pictures(
    clip: _Clip, frames: dict[int, np.ndarray], options: Options, gathering: Gathering
) -> Iterator[tuple[int, np.ndarray | None]]:
    """Yield each frame's index with its picture, None if the video is missing, shorter, or cannot be read here."""
    left = set(frames)
    if clip.video.is_file() and options.decoders.video is not None:
        for index, picture in enumerate(options.decoders.video(clip.video)):
            if index in left:
                left.discard(index)
                if picture.shape[1] != 2 * picture.shape[0]:
                    raise ImageError(f"{clip.video} is no panorama: its frames are {picture.shape[1::-1]}.")
                yield index, picture
            if not left:
                return
    if left:
        why = "the video is missing" if not clip.video.is_file() else "videos are read by the backend alone"
        if options.decoders.video is not None and clip.video.is_file():
            why = "the video is shorter"
        gathering.notes.append(f"{len(left):,} of {len(frames):,} frames have no colors: {why}.")
    for index in sorted(left):
        yield index, None


def _range(archive: zipfile.ZipFile, member: zipfile.ZipInfo, options: Options) -> np.ndarray:
    name = f"{archive.filename}/{member.filename}"
    channels = options.decoders.exr(_bytes(archive, member), name, budget.CLIP)
    try:
        return depth_image.to_range(depth_image.depth_channel(channels, name))
    except ImageError as error:
        raise ImageError(f"{name}: {error.text}", advice=error.advice) from error


def _masked(depth: np.ndarray, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Take what is masked out of a range image; how many pixels that had a range."""
    name = f"{archive.filename}/{member.filename}"
    known = budget.exactly(depth.shape[1], depth.shape[0])
    instances = depth_image.only_channel(png.decode(_bytes(archive, member), name, known), name)
    out = (instances > 0) & np.isfinite(depth)
    depth[out] = np.inf
    return int(out.sum())


def read_poses(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N,) int64 frame numbers, increasing, and (N, 4, 4) float64 poses with Blender's camera axes, in ViPE's world.

    Raises SourceError if the file cannot be read or holds no such poses.
    """
    try:
        with npz.opened(file) as archive:
            poses = npz.read(archive, "data", _LARGEST_POSES)
            indices = npz.read(archive, "inds", _LARGEST_POSES)
    except npz.DAMAGED as error:
        raise SourceError(f"{file} cannot be read: {inputs.why(error)}.", advice=_AGAIN) from error
    sound = poses.ndim == 3 and poses.shape[1:] == (4, 4) and poses.dtype.kind == "f" and indices.dtype.kind in "iu"
    if not sound or indices.shape != poses.shape[:1] or not 0 < len(poses) <= budget.CLIP_FRAMES:
        raise SourceError(f"{file} holds no poses: data {poses.shape}, inds {indices.shape}.", advice=_AGAIN)
    if not (np.abs(poses) <= budget.FARTHEST).all():
        raise SourceError(f"{file} has poses that are not finite, or of no place.", advice=_AGAIN)
    _, first = np.unique(indices, return_index=True)
    return indices[first].astype(np.int64), cameras.opencv_to_blender(poses[first])


def _add_slam_map(clip: _Clip, gathering: Gathering) -> Job[None]:
    place = clip.slam_map
    if not place.is_file():
        if (pickled := place.with_suffix(".pt")).is_file():
            gathering.notes.append(
                f"The SLAM map {pickled.name} was not read: it is a pickle, which can run any code. In a "
                f"Python with torch, save its {' and '.join(_SLAM_ARRAYS)} by numpy.savez as {place.name} beside it."
            )
        return
    try:
        with npz.opened(place) as archive:
            points, colours = (npz.read(archive, name, budget.points(place.stat().st_size)) for name in _SLAM_ARRAYS)
    except npz.DAMAGED as error:
        raise SourceError(f"{place} cannot be read: {inputs.why(error)}.", advice="Save it again, unpacked.") from error
    if points.ndim != 2 or points.shape[1] != 3 or colours.shape != points.shape or points.dtype.kind != "f":
        raise SourceError(f"{place} holds {points.shape} points and {colours.shape} colors.", advice="Save it again.")
    for start in range(0, len(points), _BLOCK):
        shades = colours[start : start + _BLOCK]
        if shades.dtype.kind == "f":
            shades = np.clip(np.rint(np.nan_to_num(shades) * 255), 0, 255)
        gathering.add(
            points[start : start + _BLOCK], shades.astype(np.uint8), source=np.full(len(shades), -1, np.int32)
        )
        yield Progress("Reading the SLAM map", start, len(points))


def _panoramic(clip: _Clip, gathering: Gathering) -> bool:
    if not clip.camera.is_file():
        return True
    with inputs.open_regular(clip.camera) as file:
        kinds = file.read(1 << 16).decode("ascii", "replace").upper()
    if "PANORAMA" in kinds or not kinds.strip():
        return True
    gathering.notes.append("The clip is of a perspective camera: its poses came, its depth did not.")
    return False


def _members(file: Path, stack: ExitStack) -> dict[int, tuple[zipfile.ZipFile, zipfile.ZipInfo]]:
    """The numbered images of an archive, open until the stack is left."""
    try:
        archive = stack.enter_context(zip_archive.opened(file))
    except zip_archive.DAMAGED as error:
        raise SourceError(f"{file} cannot be read: {inputs.why(error)}.", advice=_AGAIN) from error
    named = ((_FRAME.fullmatch(member.filename), member) for member in archive.infolist())
    return {int(match[1]): (archive, member) for match, member in named if match}


def _bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    name = f"{archive.filename}/{member.filename}"
    try:
        return zip_archive.read_member(archive, member, budget.CLIP.bytes)
    except zip_archive.DAMAGED as error:
        raise SourceError(f"{name} cannot be read: {inputs.why(error)}.", advice=_AGAIN) from error


def _clip(path: Path) -> _Clip:
    if not path.is_dir():
        return _Clip(path.parent.parent, path.stem)
    names = sorted(file.stem for file in (path / "pose").glob("*.npz"))
    if len(names) > 1:
        listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise SourceError(f"{path} holds {len(names)} clips: {listed}.", advice="Choose one of the files in pose/.")
    return _Clip(path, names[0])


def _is_clip(path: Path, start: bytes) -> bool:
    if not start:
        return (path / "pose").is_dir() and any((path / "pose").glob("*.npz"))
    return start.startswith(b"PK") and path.suffix.lower() == ".npz" and path.parent.name == "pose"


SOURCE = Source(
    "vipe", "ViPE clips (a folder with pose, depth, mask and rgb, or one of its pose/*.npz)", _is_clip, _read
)
