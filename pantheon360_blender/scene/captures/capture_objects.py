"""Captures in the scene: an Empty whose transform is the pose of a 360° photograph.

The capture convention is the camera's: local -Z is the image centre, +Y the top. A capture that heads north (world +Y)
therefore has rotation (90°, 0, 0). Yaw, pitch and roll level the photograph on top of the transform without changing
it, so that parents, constraints and keyframes of the object stay the artist's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import bpy
import numpy as np

from ...core import geography, repairs
from ...core.errors import CaptureError, PantheonError
from ...core.panorama import cameras
from ...core.panorama.capture import Capture
from ...core.plain_text import filled
from ...core.progress import Job, Progress
from ..app import units
from ..app.access import ObjectReference, SceneReference, of_object, of_scene
from . import capture_files, decoding, images, photograph_reading, preview_sphere
from .capture_files import Photograph, Warn, logged
from .decoding import Decoded, Wanted

COLLECTION = "Captures"

SPACING = 2.0
"""Metres between captures that do not say where they were taken."""

STEEPEST = 0.2
"""Slope between two captures above which GPS altitudes are taken for noise; half a metre is always believed."""


def in_scene(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The scene's captures that have an image, by name: their order is the `source` index of cache points."""
    found = [obj for obj in scene.objects if of_object(obj).is_capture and of_object(obj).image]
    return sorted(found, key=lambda obj: (obj.name, obj.library.filepath if obj.library else ""))


def labelled(scene: bpy.types.Scene) -> dict[str, bpy.types.Object]:
    """The captures of `in_scene`, in their order, by labels that tell them apart: job folders and notes name them so.

    A label is the object's name; a capture that is linked from a library may have that of a local one, and then has the
    library's name behind it.
    """
    found: dict[str, bpy.types.Object] = {}
    for obj in in_scene(scene):
        label = obj.name
        if label in found:
            label = f"{obj.name} ({Path(obj.library.filepath).stem if obj.library else 'another'})"
        found[next(each for each in _numbered(label) if each not in found)] = obj
    return found


def references(scene: bpy.types.Scene) -> dict[str, ObjectReference]:
    """The captures by their labels, to be looked up again: they may be renamed, or undone, while a job is at work."""
    return {label: ObjectReference(obj) for label, obj in labelled(scene).items()}


def label_of(scene: bpy.types.Scene, obj: bpy.types.Object) -> str:
    """The label of one of a scene's captures; its name if it is none."""
    return next((label for label, each in labelled(scene).items() if each == obj), obj.name)


def by_label(scene: bpy.types.Scene, label: str) -> bpy.types.Object:
    """The capture of that label. Raises CaptureError if the artist removed or renamed it meanwhile."""
    obj = labelled(scene).get(label)
    if obj is None:
        raise CaptureError(f"The capture {label} is no longer there.", advice="Start it again.")
    return obj


def _numbered(label: str) -> Iterator[str]:
    yield label
    yield from (f"{label} {number}" for number in itertools.count(2))


def present_places(scene: bpy.types.Scene, captures: Sequence[ObjectReference]) -> list[int]:
    """Where captures of a while ago stand in `in_scene` now, some having been renamed or removed; -1 if not at all."""
    there = in_scene(scene)
    return [there.index(obj) if (obj := each.find()) in there else -1 for each in captures]


def some_in_scene(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The captures of a scene, as `in_scene`. Raises CaptureError if there are none."""
    objects = in_scene(scene)
    if not objects:
        raise CaptureError(
            f"Scene {scene.name} has no captures.",
            advice="Import 360° photographs first.",
            repair=repairs.IMPORT_CAPTURES,
        )
    return objects


def pose(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph | None = None) -> np.ndarray:
    """Pose of a capture: its world transform without scale, then its levelling.

    depsgraph: evaluates parents, constraints and animation; None takes the object's matrix as it stands.
    Returns (4, 4) float64, camera-to-world. Raises PoseError if the transform is flattened or not finite.
    """
    evaluated = obj.evaluated_get(depsgraph) if depsgraph else obj
    levelling = of_object(evaluated)
    levelled = cameras.without_scale(np.array(evaluated.matrix_world, dtype=np.float64))
    levelled[:3, :3] @= cameras.rotation_from_angles(levelling.yaw, levelling.pitch, levelling.roll)
    return levelled


def load(
    obj: bpy.types.Object,
    width: int | None = None,
    depsgraph: bpy.types.Depsgraph | None = None,
    *,
    label: str | None = None,
    enlarge: bool = True,
) -> Capture:
    """Read a capture's pixels; Blender holds no more of them afterwards than it did before.

    width: of the image wanted; None is the photograph's own. enlarge: whether it may become wider than it is. label:
    what to call it; None is the object's name. What the mask paints white and the nadir share are not valid.
    Raises CaptureError if the image is missing, damaged or not a full panorama.
    """
    image, mask = _pictures(obj)
    decoded = decoding.decode_here(image, mask, Wanted(width, enlarge))
    return _captured(label or obj.name, decoded, pose(obj, depsgraph), of_object(obj).nadir)


def reading(
    obj: bpy.types.Object,
    wanted: Wanted,
    step: Progress,
    depsgraph: bpy.types.Depsgraph | None = None,
    *,
    label: str | None = None,
) -> Job[Capture]:
    """`load` as a job, which lets Blender draw meanwhile. step: what is told."""
    (image, mask), posed, nadir = _pictures(obj), pose(obj, depsgraph), float(of_object(obj).nadir)
    name = label or obj.name
    decoded = yield from decoding.decode(image, mask, wanted, step)
    return _captured(name, decoded, posed, nadir)


def _pictures(obj: bpy.types.Object) -> tuple[bpy.types.Image, bpy.types.Image | None]:
    """A capture's image and its mask. Raises CaptureError if it has no image."""
    settings = of_object(obj)
    if settings.image is None:
        raise CaptureError(f"Capture {obj.name} has no image.", advice="Choose one in its Pantheon360 properties.")
    return settings.image, settings.mask


def _captured(name: str, decoded: Decoded, posed: np.ndarray, nadir: float) -> Capture:
    """Neither what the mask paints white nor the nadir share is valid."""
    height, width = decoded.pixels.shape[:2]
    valid = np.ones((height, width), np.bool_)
    if decoded.white is not None:
        valid &= decoded.white < 0.5
    if nadir > 0:
        valid[height - round(nadir * height) :] = False
    return Capture(name, decoded.pixels, posed, None if valid.all() else valid)


def position(obj: bpy.types.Object) -> geography.Position | None:
    """Where on Earth the photograph was taken, if it says so."""
    settings = of_object(obj)
    if not settings.has_position:
        return None
    altitude = float(settings.altitude) if settings.altitude else None
    return geography.Position(float(settings.latitude), float(settings.longitude), altitude)


def remember_position(obj: bpy.types.Object, place: geography.Position | None) -> None:
    """Note on a capture where on Earth its photograph was taken; None leaves it as it is."""
    if place is None:
        return
    settings = of_object(obj)
    settings.has_position = True
    settings.latitude, settings.longitude = repr(place.latitude), repr(place.longitude)
    settings.altitude = "" if place.altitude is None else repr(place.altitude)


def create(
    scene: bpy.types.Scene,
    name: str,
    image: bpy.types.Image,
    location: Sequence[float] = (0.0, 0.0, 0.0),
    heading: float = 0.0,
    exposure: float | None = None,
) -> bpy.types.Object:
    """Add a capture and show its preview.

    image: a full panorama. location: world, in the scene's units. heading: degrees clockwise from world +Y, as seen
    from above. exposure: of the image, if it is known: else it is read.
    """
    obj = bpy.data.objects.new(name, None)
    obj.empty_display_type = "SPHERE"
    obj.empty_display_size = preview_sphere.RADIUS * units.per_metre(scene)
    obj.location = location
    obj.rotation_euler = (math.pi / 2, 0.0, -math.radians(heading))
    obj.matrix_world = obj.matrix_basis  # right at once, not only after the next evaluation
    settings = of_object(obj)
    settings.is_capture = True
    settings.image = image
    collection_of(scene, COLLECTION).objects.link(obj)
    with images.released(image):
        preview_sphere.update(obj, units.per_metre(scene), exposure)
    return obj


def chosen(scene: bpy.types.Scene, active: bpy.types.Object | None) -> bpy.types.Object | None:
    """The capture that an artist means: the active one, else the only one."""
    found = in_scene(scene)
    if active is not None and active in found:
        return active
    return found[0] if len(found) == 1 else None


def collection_of(scene: bpy.types.Scene, name: str) -> bpy.types.Collection:
    """The scene's own collection of that name, made if it is missing."""
    for collection in scene.collection.children:
        if collection.name == name or collection.name.rpartition(".")[0] == name:
            return collection
    collection = bpy.data.collections.new(name)
    scene.collection.children.link(collection)
    return collection


def import_files(
    scene: bpy.types.Scene, paths: Iterable[str | Path], warn: Warn = logged
) -> Job[list[bpy.types.Object]]:
    """Import 360° photographs as captures.

    GPano metadata gives the heading (the object's rotation), pitch and roll (its levelling); partial panoramas are
    padded to the full sphere and masked. GPS positions become metres from the first capture that has one; altitudes
    count if all captures have one and they are plausible, else captures stand at the scene's eye height.
    warn: told of each file that was left out and each guess that was made.
    Returns the new objects, in the order of the files. Raises CaptureError if no file could be imported.
    """
    reference = SceneReference(scene)
    files = [Path(bpy.path.abspath(str(path))).absolute() for path in paths]
    photographs: list[Photograph] = []
    refused: list[PantheonError] = []
    try:
        for done, path in enumerate(files):
            step = Progress("Importing captures", done, len(files), text=path.name)
            yield step
            try:
                photographs.append((yield from photograph_reading.reading(path, warn, step)))
            except PantheonError as error:
                refused.append(error)
        yield Progress("Importing captures", len(files), len(files))
        if not photographs:
            raise _nothing_imported(refused)
        for problem in refused:
            warn(filled("Left out: {problem}", problem=problem))
        scene = reference.scene
        photographs[:] = [capture_files.still_there(each) for each in photographs]
        return [_add(scene, *placed) for placed in _placed(scene, photographs, warn)]
    finally:
        capture_files.forget_unused(photographs)


def _nothing_imported(refused: list[PantheonError]) -> PantheonError:
    if len(refused) == 1:
        return refused[0]
    if not refused:
        return CaptureError("No file was chosen.", advice="Choose 360° photographs: JPEG, PNG, TIFF, EXR, HDR or WebP.")
    listed = " ".join(each.text for each in refused[:5])
    more = f" And {len(refused) - 5} more." if len(refused) > 5 else ""
    return CaptureError(f"None of {len(refused)} files could be imported. {listed}{more}")


def _add(scene: bpy.types.Scene, photograph: Photograph, location: np.ndarray) -> bpy.types.Object:
    metadata = photograph.metadata
    heading = (metadata.heading if metadata else None) or 0.0
    image = capture_files.image_named(photograph.image)
    obj = create(scene, photograph.path.stem, image, tuple(location), heading, photograph.exposure)
    settings = of_object(obj)
    settings.source_path = str(photograph.path)
    if photograph.mask:
        settings.mask = capture_files.image_named(photograph.mask)
    if metadata:
        settings.pitch = math.radians(metadata.pitch or 0.0)
        settings.roll = math.radians(metadata.roll or 0.0)
    remember_position(obj, photograph.position)
    return obj


def _placed(
    scene: bpy.types.Scene, photographs: Sequence[Photograph], warn: Warn
) -> list[tuple[Photograph, np.ndarray]]:
    """Each photograph with where it goes: (3,) float64, world, the scene's units."""
    units.adopt(scene)
    metre, eye_height = units.per_metre(scene), of_scene(scene).eye_height
    anchor = next((obj for obj in in_scene(scene) if position(obj)), None)
    foot = np.array(anchor.location if anchor else (0.0, 0.0, eye_height), dtype=np.float64)
    known = [photograph.position for photograph in photographs if photograph.position]
    origin = position(anchor) if anchor else next(iter(known), None)
    offsets = [geography.local_metres(place, origin) for place in known] if origin else []
    if not _altitudes_plausible(known, origin, offsets):
        foot[2] = eye_height
        for offset in offsets:
            offset[2] = 0.0
        if len(known) + bool(anchor) > 1 and all(place.altitude is not None for place in known):
            height = units.length(scene, eye_height)
            warn(
                filled(
                    "GPS altitudes differ too much to be believed: the captures stand {height} above the ground.",
                    height=height,
                )
            )
    remaining = iter(offsets)
    row = len(in_scene(scene)) if not origin else 0
    placed, unplaced = [], []
    for photograph in photographs:
        if photograph.position:
            location = foot + next(remaining) * metre
        else:
            location = np.array([0.0 if not origin else SPACING * metre, row * SPACING * metre, eye_height])
            row += 1
            unplaced.append(photograph.path.name)
        placed.append((photograph, location))
    if len(unplaced) + len(in_scene(scene)) > 1 and unplaced:
        one = filled("does not say where it was taken")
        what = one if len(unplaced) == 1 else filled("do not say where they were taken")
        told = filled(
            "{files} {what}: placed {distance} apart. Move the captures to where the photographs were taken.",
            files=", ".join(unplaced), what=what, distance=units.length(scene, SPACING * metre),
        )  # fmt: skip
        warn(told)
    return placed


def _altitudes_plausible(
    known: Sequence[geography.Position], origin: geography.Position | None, offsets: Sequence[np.ndarray]
) -> bool:
    """Whether all have an altitude and no capture is further above or below the first than a street climbs."""
    if origin is None or origin.altitude is None or any(place.altitude is None for place in known):
        return False
    return all(abs(offset[2]) <= STEEPEST * np.hypot(offset[0], offset[1]) + 0.5 for offset in offsets)
