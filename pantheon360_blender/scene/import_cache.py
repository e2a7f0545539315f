"""What other programs made, in the scene: points become the 3D cache, pictures with poses become captures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ..core import exr, importers, spacing
from ..core.errors import ImageError, PantheonError
from ..core.importers import Decoders, Imported, ImportedCapture, MissingLibraryError, Options, SourceError
from ..core.point_cloud import PointCloud
from ..core.progress import Job, Progress
from ..core.reconstruction_job import PosedCapture
from ..core.thinning import thin_to
from . import backend_import, build_cache, cache, camera_path, capture_files, captures, images, preferences, shot
from .capture_files import Photograph
from .properties import of_object

SUFFIXES = (".ply", ".las", ".laz", ".e57", ".npz", ".json", ".bin", ".txt")
"""Of files that are points, or points and pictures with poses; folders may be, too."""

REPLACE, MERGE = "REPLACE", "MERGE"
"""What becomes of the points that are there."""

OFFSET = "pantheon360_offset"
"""Custom property of a cache object: metres (x, y, z) to add to its points to get the surveyed coordinates."""

POSES = "Imported Poses"
"""Collection of the cameras that stand where perspective pictures were taken."""

SOURCES = tuple(source for source in importers.SOURCES if not source.name.startswith("depth-"))
"""What Blender reads itself; a depth image belongs to a capture and is brought in by depth_points."""

_VIPE = "vipe"


@dataclass(frozen=True)
class Brought:
    """What an import brought into the scene.

    cache: name of the cache object, None where no points came. points: how many are new. captures: names of the
    captures that are new or were moved. cameras: how many perspective pictures came as cameras. notes: what the artist
    should know. text: one sentence on all of it.
    """

    cache: str | None
    points: int
    captures: list[str]
    cameras: int
    notes: list[str]
    text: str


def bring_in(
    scene: bpy.types.Scene,
    paths: Sequence[Path],
    *,
    result: str = REPLACE,
    with_captures: bool = True,
    limit: int = Options.limit,
    **options: Any,
) -> Job[Brought]:
    """Bring files or folders of other programs into a scene, all of them as one import.

    result: REPLACE or MERGE, of the cache's points. with_captures: whether pictures come, too. limit: most points that
    come in; more are thinned by voxel, and a note says so. options: `voxel`, `up`, `scale` and `every` of
    importers.Options.
    Where it fails or is cancelled, nothing in the scene has changed.
    Raises SourceError, MissingLibraryError, FileError, PointCloudError and ImageError where a file cannot be read;
    BackendError where the backend cannot be started; CacheError where the cache is being edited.
    """
    name, root = scene.name, shot.jobs_root(scene)
    if not paths:
        raise SourceError("No file was chosen.", advice=f"Choose {', '.join(SUFFIXES)}, or a folder.")
    if (found := cache.find(scene)) is not None:
        cache.refuse_unchangeable(found)
    parts = []
    for path in paths:
        parts.append((yield from read(path, root, limit=limit, **options)))
    imported = joined(parts, limit)
    if imported.cloud is not None and imported.cloud.footprint is None:
        yield Progress("Measuring the spacing of points")
        known = spacing.footprints(imported.cloud.points)
        imported = replace(imported, cloud=replace(imported.cloud, footprint=known))
    photographs: dict[int, Photograph] = {}
    notes = list(imported.notes)
    try:
        if with_captures:
            yield from _read_pictures(name, imported.captures, photographs, notes)
        yield Progress("Bringing the points into the scene")
        scene = camera_path.scene_named(name)
        if not with_captures:
            imported = _without_captures(imported)
        return _deliver(scene, replace(imported, notes=tuple(notes)), photographs, result, _names(paths))
    finally:
        capture_files.forget_unused(photographs.values())


def read(path: Path, root: Path, **options: Any) -> Job[Imported]:
    """Read a file or folder here, or in the backend where it takes a library or a video is to be decoded.

    root: folder for pictures that lie inside a file. Raises as `bring_in` does.
    """
    _refuse_pictures(path)
    try:
        if importers.source_of(path, SOURCES).name != _VIPE or preferences.backend_python() is None:
            steps = importers.open_source(path, sources=SOURCES, decoders=Decoders(picture=decoded), **options)
            return (yield from steps)
    except (MissingLibraryError, exr.UnsupportedExrError):
        yield Progress("Starting the backend", text=path.name)
    return (yield from backend_import.read(path, root, **options))


def decoded(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of any picture file that Blender reads. Raises ImageError."""
    if reason := images.why_incomplete(path):
        raise ImageError(f"{path} is damaged: {reason}.", advice="Copy or export it again.")
    image = None
    try:
        image = bpy.data.images.load(str(path))
        return images.pixels(image)
    except (RuntimeError, PantheonError) as error:
        raise ImageError(f"{path} cannot be decoded: {str(error).strip()}") from error
    finally:
        if image is not None:
            bpy.data.images.remove(image)


def joined(parts: Sequence[Imported], limit: int) -> Imported:
    """Several imports as one, in the coordinates of the first one that was moved to the origin.

    Raises PointCloudError where `limit` makes no sense.
    """
    offset = next((part.offset for part in parts if part.offset.any()), np.zeros(3))
    moved = [_at_offset(part, offset) for part in parts]
    clouds: list[PointCloud] = []
    captures: list[ImportedCapture] = []
    notes: list[str] = []
    for part in moved:
        if part.cloud is not None:
            known = part.cloud.source
            if known is not None:
                known = np.where(known >= 0, known + len(captures), -1).astype(np.int32)
            clouds.append(replace(part.cloud, source=known))
        captures += part.captures
        notes += [note for note in part.notes if note not in notes]
    cloud = PointCloud.concatenate(clouds) if clouds else None
    if cloud is not None and len(cloud) > limit:
        given, cloud = len(cloud), thin_to(cloud, limit)
        notes.append(f"{given:,} points of {len(parts)} files were thinned to {len(cloud):,} by voxels.")
    return Imported(cloud, tuple(captures), tuple(notes), offset)


def _at_offset(imported: Imported, offset: np.ndarray) -> Imported:
    """An import that was moved to the origin by its own offset, moved by another one instead."""
    if not imported.offset.any() or not offset.any():
        return imported
    shift = np.eye(4)
    shift[:3, 3] = imported.offset - offset
    if not shift[:3, 3].any():
        return imported
    cloud = None if imported.cloud is None else imported.cloud.transformed(shift)
    moved = tuple(replace(each, pose=shift @ each.pose) for each in imported.captures)
    return replace(imported, cloud=cloud, captures=moved, offset=offset)


def _without_captures(imported: Imported) -> Imported:
    if imported.cloud is None:
        raise SourceError("There are no points in it, only poses.", advice="Bring its captures in, too.")
    return replace(imported, cloud=replace(imported.cloud, source=None), captures=())


def _refuse_pictures(path: Path) -> None:
    if path.suffix.lower() in (".png", ".exr", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".hdr"):
        raise SourceError(
            f"{path.name} is a picture.",
            advice="Import a 360° photograph as a capture; a depth image of it by Points from Depth Image.",
        )


# Pictures


def _read_pictures(
    scene_name: str, wanted: Sequence[ImportedCapture], photographs: dict[int, Photograph], notes: list[str]
) -> Job[None]:
    """Load the panoramas that no capture of the scene shows yet; those that cannot be used become notes."""
    for index, each in enumerate(wanted):
        yield Progress("Reading pictures", index, len(wanted), text=each.name)
        if not each.panoramic or each.image is None or _same(camera_path.scene_named(scene_name), each) is not None:
            continue
        try:
            photographs[index] = capture_files.read(each.image, notes.append)
        except PantheonError as error:
            notes.append(str(error))


def _same(scene: bpy.types.Scene, wanted: ImportedCapture) -> bpy.types.Object | None:
    """The capture that shows the same photograph: by its file, or by its name where the picture was not found."""
    for obj in captures.in_scene(scene):
        settings = of_object(obj)
        known = [bpy.path.abspath(text) for text in (settings.source_path, settings.image.filepath) if text]
        if wanted.image is None and wanted.name in (obj.name, *(Path(text).stem for text in known)):
            return obj
        if wanted.image is not None and any(_is_same_file(Path(text), wanted.image) for text in known):
            return obj
    return None


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


# Into the scene


def _deliver(
    scene: bpy.types.Scene, imported: Imported, photographs: dict[int, Photograph], result: str, what: str
) -> Brought:
    notes = list(imported.notes)
    found = cache.find(scene)
    old = cache.stored_points(found) if found is not None and (result == MERGE or imported.cloud is None) else None
    if found is not None and old is not None and len(old) and imported.offset.any() and found.get(OFFSET):
        imported = _at_offset(imported, np.array(found[OFFSET], dtype=np.float64))
    before = [obj.name for obj in captures.in_scene(scene)]
    placed = _place(scene, imported.captures, photographs, notes)
    cameras = _add_cameras(scene, imported.captures)
    order = {obj.name: index for index, obj in enumerate(captures.in_scene(scene))}
    clouds = []
    if old is not None and len(old):
        clouds.append(_renumbered(old, [order.get(name, -1) for name in before]))
    points = 0
    if imported.cloud is not None:
        numbers = [order.get(placed.get(index, ""), -1) for index in range(len(imported.captures))]
        clouds.append(_renumbered(imported.cloud, numbers))
        points = len(imported.cloud)
    text = _told(points, len(placed), cameras, what)
    name = None
    if clouds:
        obj = cache.replace(scene, PointCloud.concatenate(clouds))
        name = obj.name
        if points:
            obj[build_cache.REPORT] = "\n".join([text, *notes])
        if imported.offset.any():
            obj[OFFSET] = imported.offset.tolist()
        elif result == REPLACE and points and obj.get(OFFSET):
            del obj[OFFSET]
    return Brought(name, points, sorted(placed.values()), cameras, notes, text)


def _place(
    scene: bpy.types.Scene, wanted: Sequence[ImportedCapture], photographs: dict[int, Photograph], notes: list[str]
) -> dict[int, str]:
    """Make or find the captures and move them to their poses; their names by their place in the import."""
    placed: dict[int, str] = {}
    for index, each in enumerate(wanted):
        if not each.panoramic:
            continue
        obj = _created(scene, each, photographs[index], notes) if index in photographs else _same(scene, each)
        if obj is not None:
            placed[index] = obj.name
    posed = [PosedCapture(placed[index], wanted[index].pose, True, "") for index in placed]
    notes += build_cache.place(scene, posed)
    return placed


def _created(
    scene: bpy.types.Scene, wanted: ImportedCapture, photograph: Photograph, notes: list[str]
) -> bpy.types.Object:
    """A capture of a photograph; what its metadata says of its levelling is in the pose already."""
    obj = captures.create(scene, wanted.name, bpy.data.images[photograph.image])
    settings = of_object(obj)
    settings.source_path = str(photograph.path)
    captures.remember_position(obj, photograph.position)
    if photograph.mask is not None:
        settings.mask = bpy.data.images[photograph.mask]
    elif wanted.mask is not None:
        try:
            settings.mask = images.from_array(f"{wanted.name} mask", 255 - decoded(wanted.mask))
        except ImageError as error:
            notes.append(str(error))
    return obj


def _add_cameras(scene: bpy.types.Scene, wanted: Sequence[ImportedCapture]) -> int:
    """Stand a camera where each perspective picture was taken; they share their lens, which nobody told."""
    flat = [each for each in wanted if not each.panoramic]
    if not flat:
        return 0
    lens = bpy.data.cameras.new("Imported Picture")
    lens.display_size = 0.2
    collection = captures.collection_of(scene, POSES)
    for each in flat:
        obj = bpy.data.objects.new(each.name, lens)
        obj.matrix_world = Matrix(each.pose.tolist())
        collection.objects.link(obj)
    return len(flat)


def _renumbered(cloud: PointCloud, numbers: Sequence[int]) -> PointCloud:
    """Sources by the captures' present order; numbers: of each old number the new one, -1 for none."""
    if cloud.source is None:
        return cloud
    places = np.array([*numbers, -1], dtype=np.int32)
    known = np.where((cloud.source >= 0) & (cloud.source < len(numbers)), cloud.source, len(numbers))
    return replace(cloud, source=places[known])


def _told(points: int, placed: int, cameras: int, what: str) -> str:
    parts = [(points, "point"), (placed, "capture"), (cameras, "camera of perspective pictures")]
    parts = [(count, name) for count, name in parts if count]
    listed = ", ".join(f"{count:,} {name if count == 1 else _plural(name)}" for count, name in parts)
    return f"{listed or 'Nothing'} from {what}"


def _plural(name: str) -> str:
    first, _, rest = name.partition(" ")
    return f"{first}s {rest}".strip()


def _names(paths: Sequence[Path]) -> str:
    return paths[0].name if len(paths) == 1 else f"{len(paths)} files"
