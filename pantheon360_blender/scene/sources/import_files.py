"""What other programs made, in the scene: points become the 3D cache, pictures with poses become captures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ...core import files, importers
from ...core.errors import CaptureError, FileError, ImageError, PantheonError
from ...core.formats import appearance, exr
from ...core.importers import Decoders, Imported, ImportedCapture, MissingLibraryError, Options, SourceError, clouds
from ...core.importers.imported import PICTURES
from ...core.importers.joining import at_offset, joined, without_captures
from ...core.jobs.reconstruct_settings import PosedCapture
from ...core.output_folder import OutputFolder
from ...core.plain_text import Filled, filled, listed
from ...core.points import spacing
from ...core.progress import Job, Progress, in_thread, job_in_thread
from ..app import preferences, units
from ..app.access import SceneReference, of_object
from ..app.paths import jobs_root
from ..cache import attributes, cache_merge, cache_objects
from ..cache.cache_merge import MERGE, REPLACE
from ..captures import capture_files, capture_objects, images, photograph_reading, placing, preview_sphere
from ..captures.capture_files import Photograph
from . import backend_import
from .file_types import POINTS_AND_POSES

OFFSET = "pantheon360_offset"
"""Custom property of a cache object: metres (x, y, z) to add to its points to get the surveyed coordinates."""

PICTURE = "pantheon360_picture"
"""Custom property of an imported camera: the picture that was taken from where it stands."""

POSES = "Imported Poses"
"""Collection of the cameras that stand where perspective pictures were taken."""

SOURCES = tuple(source for source in importers.SOURCES if not source.name.startswith("depth-"))
"""What Blender reads itself; a depth image belongs to a capture and is brought in by depth_points."""

_VIPE = "vipe"
_UPSIDE_DOWN = 3  # the orientation of a picture taken with the camera over head


@dataclass(frozen=True)
class ImportResult:
    """What an import brought into the scene.

    cache: name of the cache object, None if no points came. points: how many are new. captures: names of the
    captures that are new or were moved. cameras: how many perspective pictures came as cameras. notes: what the artist
    should know. text: one sentence on all of it.
    """

    cache: str | None
    points: int
    captures: list[str]
    cameras: int
    notes: list[str]
    text: str


@dataclass(frozen=True)
class _Pictures:
    """The panoramas of an import that were found, by their place in it.

    photographs: those that no capture shows yet. digests: SHA-256 of the bytes of all.
    """

    photographs: dict[int, Photograph] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)


def import_files(
    scene: bpy.types.Scene,
    paths: Sequence[Path],
    *,
    result: str = REPLACE,
    with_captures: bool = True,
    limit: int = Options.limit,
    **options: Any,
) -> Job[ImportResult]:
    """Bring files or folders of other programs into a scene, all of them as one import.

    result: REPLACE or MERGE, of the cache's points. with_captures: whether pictures come, too. limit: most points that
    come in; more are thinned by voxel, and a note says so. options: `voxel`, `up`, `scale` and `every` of
    importers.Options.
    If it fails or is cancelled, nothing in the scene has changed.
    Raises SourceError, MissingLibraryError, FileError, PointCloudError and ImageError if a file cannot be read;
    BackendError if the backend cannot be started; CacheError if the cache is being edited.
    """
    reference, root = SceneReference(scene), jobs_root(scene)
    if not paths:
        raise SourceError("No file was chosen.", advice=f"Choose {', '.join(POINTS_AND_POSES)}, or a folder.")
    cache_objects.refuse_unchangeable(cache_objects.find(scene))
    extracted: list[Path] = []
    try:
        imported = yield from _read_all(paths, root, extracted, limit, options)
        return (yield from _into_scene(reference, imported, result, with_captures, _names(paths)))
    finally:
        _forget_extracted(extracted)


def _into_scene(
    reference: SceneReference, imported: Imported, result: str, with_captures: bool, what: str
) -> Job[ImportResult]:
    """Bring what was read into the scene; all that changes it is done at once."""
    if imported.cloud is not None and imported.cloud.footprint is None:
        step = Progress("Measuring the spacing of points")
        yield step
        known = yield from in_thread(partial(spacing.footprints, imported.cloud.points), step)
        imported = replace(imported, cloud=replace(imported.cloud, footprint=known))
    pictures = _Pictures()
    notes = list(imported.notes)
    try:
        if with_captures:
            yield from _read_pictures(reference, imported.captures, pictures, notes)
        else:
            imported = without_captures(imported)
        _refuse_nothing(reference.scene, imported, pictures, notes, what)
        step = Progress("Bringing the points into the scene")
        yield step
        imported, fitted, to = replace(imported, notes=tuple(notes)), imported, None
        while (now := _coordinates(reference.scene, result)) != to:
            fitted, to = (yield from in_thread(partial(_in_coordinates, imported, now), step)), now
        return _deliver(reference.scene, fitted, pictures, result, what)
    finally:
        capture_files.forget_unused(pictures.photographs.values())


def _refuse_nothing(
    scene: bpy.types.Scene,
    imported: Imported,
    pictures: _Pictures,
    notes: list[str],
    what: str,
) -> None:
    """Raise SourceError if an import would bring neither points nor captures nor cameras, with the reasons."""
    if imported.cloud is not None or pictures.photographs or any(not each.panoramic for each in imported.captures):
        return
    if all(_same(scene, each, pictures.digests.get(index)) is None for index, each in enumerate(imported.captures)):
        raise SourceError(
            f"Nothing came from {what}. {' '.join(notes)}", advice="Put the pictures beside it, as it names them."
        )


def _read_all(
    paths: Sequence[Path], root: Path, extracted: list[Path], limit: int, options: dict[str, Any]
) -> Job[Imported]:
    """All files as one import; however many there are, a few times `limit` points are held."""
    parts: list[Imported] = []
    given = 0
    for path in paths:
        parts.append((yield from read(path, root, extracted, limit=limit, **options)))
        given += _count(parts[-1])
        if sum(map(_count, parts)) > 2 * limit:
            parts = [(yield from in_thread(partial(joined, parts, limit), Progress("Joining files", text=path.name)))]
    imported = yield from in_thread(partial(joined, parts, limit), Progress("Joining files"))
    if given > _count(imported):
        note = f"{given:,} points of {len(paths)} files were thinned to {_count(imported):,} by voxels."
        imported = replace(imported, notes=(*imported.notes, note))
    return imported


def _count(imported: Imported) -> int:
    return 0 if imported.cloud is None else len(imported.cloud)


def read(path: Path, root: Path, extracted: list[Path], **options: Any) -> Job[Imported]:
    """Read a file or folder here, or in the backend if it takes a library or a video is to be decoded.

    root: folder for pictures that lie inside a file; the folder made there is added to `extracted`. Raises as
    `import_files` does.
    """
    _refuse_pictures(path)
    bpy.utils.expose_bundled_modules()  # OpenImageIO, for depth in OpenEXR files
    try:
        source = importers.source_of(path, SOURCES)
        if source.name != _VIPE or preferences.backend_python() is None:
            steps = importers.open_source(path, sources=SOURCES, decoders=Decoders(picture=decoded), **options)
            if source in (clouds.PLY, clouds.NPZ):  # others have Blender decode pictures, which a thread may not
                steps = job_in_thread(steps, Progress("Reading points", text=path.name))
            return (yield from steps)
    except (MissingLibraryError, exr.UnsupportedExrError):
        yield Progress("Starting the backend", text=path.name)
    return (yield from backend_import.read(path, root, extracted, **options))


def decoded(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB, upright, of any picture file that Blender reads. Raises ImageError and FileError."""
    images.check_file(path)
    try:
        return images.shown(path, appearance.read(path))[0]
    except CaptureError as error:
        raise ImageError(f"{path} cannot be decoded: {error.text}", advice=error.advice) from error


def _refuse_pictures(path: Path) -> None:
    if path.suffix.lower() in (".png", ".exr", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".hdr"):
        raise SourceError(
            f"{path.name} is a picture.",
            advice="Import a 360° photograph as a capture; a depth image of it by Points from Depth Image.",
        )


# Pictures


def _read_pictures(
    reference: SceneReference,
    wanted: Sequence[ImportedCapture],
    pictures: _Pictures,
    notes: list[str],
) -> Job[None]:
    """Load the panoramas that no capture of the scene shows yet; those that cannot be used become notes."""
    for index, each in enumerate(wanted):
        step = Progress("Reading pictures", index, len(wanted), text=each.name)
        yield step
        if not each.panoramic or each.image is None:
            continue
        try:
            pictures.digests[index] = files.sha256(each.image)
            there = _same(reference.scene, each, pictures.digests[index])
            if there is not None and _shows(there, pictures.digests[index]):
                continue
            pictures.photographs[index] = yield from photograph_reading.reading(each.image, notes.append, step)
        except OSError as error:
            notes.append(f"Left out: {each.image} cannot be read: {error.strerror or error}.")
        except PantheonError as error:
            notes.append(f"Left out: {error}")


def _same(scene: bpy.types.Scene, wanted: ImportedCapture, digest: str | None) -> bpy.types.Object | None:
    """The capture that shows the same photograph: by its bytes, for it may be a copy, or by its file, which may have
    been exported anew. If the picture was not found, the only one of its name."""
    there = capture_objects.in_scene(scene)
    if wanted.image is None or digest is None:
        named = [obj for obj in there if wanted.name in (obj.name, *(Path(path).stem for path in _files(obj)))]
        return named[0] if len(named) == 1 else None
    found = (obj for obj in there if _shows(obj, digest))
    by_path = (obj for obj in there if any(_is_same_file(Path(path), wanted.image) for path in _files(obj)))
    return next(found, None) or next(by_path, None)


def _files(obj: bpy.types.Object) -> list[str]:
    settings = of_object(obj)
    places = ((settings.source_path, obj.library), (settings.image.filepath, settings.image.library))
    return [bpy.path.abspath(text, library=library) for text, library in places if text]


def _shows(obj: bpy.types.Object, digest: str) -> bool:
    """Whether a capture's pixels come from a file of these bytes. One of an earlier version does not know."""
    image = of_object(obj).image
    if image.get(capture_files.SOURCE) is None:
        with suppress(OSError, StopIteration):
            image[capture_files.SOURCE] = files.sha256(next(Path(path) for path in _files(obj) if Path(path).is_file()))
    return bool(image.get(capture_files.SOURCE) == digest)


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


def _forget_extracted(folders: Sequence[Path]) -> None:
    """Remove pictures that were taken out of a file, but those that captures show."""
    shown = {os.path.realpath(bpy.path.abspath(image.filepath)) for image in bpy.data.images if image.filepath}
    for folder in folders:
        pictures = folder / PICTURES
        unused = [picture for picture in pictures.glob("*") if os.path.realpath(picture) not in shown]
        for each in (*unused, pictures):
            with suppress(FileError):  # a folder that is not empty
                OutputFolder(folder).remove(each)
        with suppress(OSError):
            folder.rmdir()


# Into the scene


def _deliver(
    scene: bpy.types.Scene,
    imported: Imported,
    pictures: _Pictures,
    result: str,
    what: str,
) -> ImportResult:
    found = cache_objects.find(scene)
    cache_objects.refuse_unchangeable(found)  # before anything changes: the artist may have begun to edit it meanwhile
    notes = list(imported.notes)
    if found is not None:
        cache_merge.note_captures(scene, found)
    merging = _merges(scene, result)
    units.adopt(scene)
    placed = _place(scene, imported.captures, pictures, notes)
    cameras = _place_cameras(scene, imported.captures, what)
    text = _told(_count(imported), len(placed), cameras, what)
    name = None
    if imported.cloud is not None:
        order = {label: index for index, label in enumerate(capture_objects.labelled(scene))}
        numbers = [order.get(placed.get(index, ""), -1) for index in range(len(imported.captures))]
        obj = (cache_merge.merge if merging else cache_objects.replace)(
            scene, attributes.renumbered(imported.cloud, numbers)
        )
        obj[cache_objects.REPORT] = "\n".join([text, *notes])
        if not merging or imported.offset.any():
            obj[OFFSET] = imported.offset.tolist()
        name = obj.name
    return ImportResult(name, _count(imported), sorted(placed.values()), cameras, notes, text)


@dataclass(frozen=True)
class _Coordinates:
    """What points and captures become part of. offset: metres, of the cache that they are merged with, or None.

    metre: units of the scene.
    """

    offset: tuple[float, ...] | None
    metre: float


def _coordinates(scene: bpy.types.Scene, result: str) -> _Coordinates:
    found = cache_objects.find(scene)
    offset = found.get(OFFSET) if found is not None and _merges(scene, result) else None
    return _Coordinates(None if offset is None else tuple(offset), units.per_metre(scene))


def _merges(scene: bpy.types.Scene, result: str) -> bool:
    """Whether an import is added to points that are there."""
    found: Any = cache_objects.find(scene)
    return result == MERGE and found is not None and len(found.data.vertices) > 0


def _in_coordinates(imported: Imported, to: _Coordinates) -> Imported:
    """An import as a scene has it; its own offset stays in metres, in which surveys are told. In any thread."""
    if to.offset is not None:
        imported = at_offset(imported, np.array(to.offset, dtype=np.float64))
    cloud, captures = imported.cloud, imported.captures
    if to.metre != 1.0:
        cloud = None if cloud is None else cloud.transformed(units.scaling(to.metre))
        captures = tuple(replace(each, pose=units.moved(each.pose, to.metre)) for each in captures)
    return replace(imported, cloud=None if cloud is None else attributes.prepare(cloud), captures=captures)


def _place(
    scene: bpy.types.Scene,
    wanted: Sequence[ImportedCapture],
    pictures: _Pictures,
    notes: list[str],
) -> dict[int, str]:
    """Make or find the captures and move them to their poses; their labels by their place in the import."""
    found: dict[int, bpy.types.Object] = {}
    for index, each in enumerate(wanted):
        if not each.panoramic:
            continue
        obj = _same(scene, each, pictures.digests.get(index))
        if index in pictures.photographs:
            obj = _shown(scene, obj, each, pictures.photographs[index], notes)
        if obj is not None:
            found[index] = obj
    labels = {obj: label for label, obj in capture_objects.labelled(scene).items()}
    placed = {index: labels[obj] for index, obj in found.items()}
    posed = [PosedCapture(placed[index], _shown_pose(wanted[index]), True, "") for index in placed]
    notes += placing.place(scene, posed)
    return placed


def _shown_pose(wanted: ImportedCapture) -> np.ndarray:
    """The pose of a picture as it is shown: programs pose the pixels that a file stores, whatever its orientation."""
    with suppress(PantheonError):
        if wanted.image is not None and appearance.read(wanted.image).orientation == _UPSIDE_DOWN:
            return np.asarray(wanted.pose @ np.diag([-1.0, -1.0, 1.0, 1.0]))
    return wanted.pose


def _shown(
    scene: bpy.types.Scene,
    obj: bpy.types.Object | None,
    wanted: ImportedCapture,
    photograph: Photograph,
    notes: list[str],
) -> bpy.types.Object:
    """The capture that shows a photograph: a new one, or the one that showed an earlier export of its file.

    What its metadata says of its levelling is in the pose already.
    """
    photograph = capture_files.still_there(photograph)
    image = capture_files.image_named(photograph.image)
    if obj is None:
        obj = capture_objects.create(scene, wanted.name, image)
    settings = of_object(obj)
    settings.image, settings.source_path = image, str(photograph.path)
    preview_sphere.update(obj)
    capture_objects.remember_position(obj, photograph.position)
    if photograph.mask is not None or (settings.mask is not None and settings.mask.get(capture_files.MADE)):
        settings.mask = capture_files.image_named(photograph.mask) if photograph.mask else None
    if wanted.mask is not None:
        try:
            settings.mask = _mask(f"{wanted.name} mask", 255 - decoded(wanted.mask), settings.mask)
        except ImageError as error:
            notes.append(str(error))
    return obj


def _mask(name: str, ignored: np.ndarray, other: bpy.types.Image | None) -> bpy.types.Image:
    """A mask of what is to be ignored, white, (H, W, 3) uint8, together with what another one ignores."""
    if other is not None and (other.size[0], other.size[1]) == ignored.shape[1::-1]:
        ignored = np.maximum(ignored, images.pixels(other))
    return images.from_array(name, ignored)


def _place_cameras(scene: bpy.types.Scene, wanted: Sequence[ImportedCapture], what: str) -> int:
    """Stand a camera where each perspective picture was taken; one that is there from an earlier import is moved."""
    flat = [each for each in wanted if not each.panoramic]
    if not flat:
        return 0
    collection = capture_objects.collection_of(scene, POSES)
    there: dict[Any, list[bpy.types.Object]] = {}
    for obj in collection.objects:
        if obj.type == "CAMERA":
            there.setdefault(obj.get(PICTURE), []).append(obj)
    lenses: dict[float | None, bpy.types.Camera] = {}
    for each in flat:
        angle = None if each.field_of_view is None else round(each.field_of_view, 6)
        lens = lenses.get(angle) or lenses.setdefault(angle, _lens(angle, units.per_metre(scene)))
        picture = str(each.image or f"{each.name} of {what}")
        if there.get(picture):
            obj = there[picture].pop(0)
        else:
            obj = bpy.data.objects.new(each.name, lens)
            obj[PICTURE] = picture
            collection.objects.link(obj)
        obj.data = lens
        obj.matrix_world = Matrix(each.pose.tolist())
    return len(flat)


def _lens(angle: float | None, metre: float) -> bpy.types.Camera:
    """A camera that sees `angle` radians across; as Blender makes it if that is not known."""
    lens = bpy.data.cameras.new("Imported Picture")
    lens.display_size = 0.2 * metre
    if angle is not None:
        lens.sensor_fit = "HORIZONTAL"
        lens.angle = angle
    return lens


def _told(points: int, placed: int, cameras: int, what: str) -> str:
    """In a sentence. what: the files, for people."""
    found = [
        _counted(points, filled("1 point"), filled("{count:,} points", count=points)),
        _counted(placed, filled("1 capture"), filled("{count:,} captures", count=placed)),
        _counted(
            cameras,
            filled("1 camera of perspective pictures"),
            filled("{count:,} cameras of perspective pictures", count=cameras),
        ),
    ]
    things = listed([each for each in found if each is not None])
    return filled("{things} from {files}", things=things or filled("Nothing"), files=what)


def _counted(count: int, one: Filled, many: Filled) -> Filled | None:
    return (one if count == 1 else many) if count else None


def _names(paths: Sequence[Path]) -> str:
    return paths[0].name if len(paths) == 1 else filled("{count} files", count=len(paths))
