"""Photographs read by the second Blender: this one gets what is known of them, and links or packs their files unread.

The second Blender reads a file as `capture_files.read` does here. What it has to make of it, a padded panorama or a
mask, comes back as a file, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import bpy

from ...core.output_folder import OutputFolder
from ...core.progress import Job, Progress, in_thread, map_progress
from ..worker import process
from . import capture_files, colour, decoding
from .capture_files import Photograph, Reading, Warn

TASK = "photograph"

_MADE = Reading("sRGB", "STRAIGHT")
"""How Blender reads what it has packed itself, of 8 bits."""


def reading(path: Path, warn: Warn, step: Progress) -> Job[Photograph]:
    """`capture_files.read`, by a second Blender if somebody waits for this one. step: what is told meanwhile."""
    if process.is_wanted() and colour.is_rec709():
        try:
            return (yield from _asked(path, warn, step))
        except process.Unavailable:
            pass
    return capture_files.read(path, warn)


def _asked(path: Path, warn: Warn, step: Progress) -> Job[Photograph]:
    def told(each: Progress) -> tuple[Progress]:
        if each.warning:
            warn(each.warning)
        return (decoding.waiting(step),)

    with process.request_folder() as folder:
        asked = process.ask(TASK, {"path": str(path)}, folder, step.phase)
        answer = yield from decoding.explained(map_progress(asked, told), path.name)
        metadata = yield from in_thread(partial(capture_files.metadata_of, path, lambda _: None), step)
        image, mask = _brought(path, folder, answer)
    return Photograph(path, image.name, mask.name if mask else None, metadata, float(answer["exposure"]))


def _brought(path: Path, folder: Path, answer: dict[str, Any]) -> tuple[bpy.types.Image, bpy.types.Image | None]:
    """The photograph's image and mask in this Blender, which reads neither yet."""
    digest = str(answer["digest"])
    if there := capture_files.made_of(digest):
        return there
    before = set(bpy.data.images)
    try:
        made = {kind: _packed(folder / kind, name, digest, kind) for kind, name in answer["made"].items()}
        known = Reading(**answer["reading"])
        return made.get("picture") or capture_files.linked(path, digest, known), made.get("mask")
    except BaseException:
        _remove(image for image in bpy.data.images if image not in before)
        raise


def _packed(file: Path, name: str, digest: str, kind: str) -> bpy.types.Image:
    """An image that the second Blender made, as it would have been made here."""
    image = _MADE.unread(file, name)
    image.pack()
    image.filepath_raw = ""
    image[capture_files.SOURCE], image[capture_files.MADE] = digest, kind
    return image


def answer(asked: dict[str, Any], folder: Path, warn: Warn) -> dict[str, Any]:
    """In the second Blender: read a photograph, and write what had to be made of it into the request's folder."""
    try:
        photograph = capture_files.read(Path(asked["path"]), warn)
        image = capture_files.image_named(photograph.image)
        mask = capture_files.image_named(photograph.mask) if photograph.mask else None
        made: dict[str, str] = {}
        for each in (image, mask):
            if each is not None and (kind := each.get(capture_files.MADE)):
                packed: Any = each.packed_file
                OutputFolder(folder).write_bytes(kind, packed.data)
                made[kind] = each.name
        digest = str(image[capture_files.SOURCE])
        reading = asdict(Reading.of(image))
        return {"digest": digest, "made": made, "reading": reading, "exposure": photograph.exposure}
    finally:
        _remove(bpy.data.images)


def _remove(unused: Iterable[bpy.types.Image]) -> None:
    for image in list(unused):
        bpy.data.images.remove(image)
