"""What a job's results were made of, as a hash that is kept with them.

A job folder may be sealed again with another geometry frame, capture, setting or model. Results of before are then of
another job, though they lie in the same place: they count only if their hash is still the job's. What merely says where
and how it is computed, such as the device, is no part of it, nor are the job's name and id. Results without a hash are
a person's own, or of a version that kept none, and count.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from .job import Job, PaintJob, range_file

KEYWORD = "Pantheon360 made of"
"""Of the text in a frame's PNG that holds its hash, and that of the painter if it keeps one, parted by a space."""
FILE = "made_of.json"
"""Of a ReconstructFolder."""
FIELD = "made_of"
"""Of the records `made_of.json` and `painting.json`."""
FRAME_BY_FRAME = ("draft",)
"""Painters whose frames are made of their own geometry, their camera and the captures, and of nothing else."""
NOT_DECIDING = ("name", "id", "software", "schema")
"""Fields of a job that do not decide its results."""
SETTINGS_NOT_DECIDING = {"diffusion": ("device", "precision", "memory", "compile", "save_seen")}
"""Settings of painters that say where and how it is computed: a job may go on with others."""


def whole(job: Job) -> str:
    """SHA-256 of everything that decides a job's results."""
    record = {name: value for name, value in job.to_json().items() if name not in NOT_DECIDING}
    return _hash(record | {"settings": _deciding(job.settings)})


def frames(job: PaintJob) -> dict[int, str]:
    """SHA-256 of everything that decides each frame, by its number."""
    if job.painter not in FRAME_BY_FRAME:
        return dict.fromkeys(job.frames, whole(job))
    inputs = {entry["path"]: entry["sha256"] for entry in job.inputs}
    images = [inputs.get(name) for entry in job.captures for name in (entry["image"], entry["mask"] or "")]
    images += [inputs[name] for name in map(range_file, job.captures) if name in inputs]
    shared = _hash([job.painter, job.width, job.captures, images])
    rendered: dict[str, list[tuple[str, str]]] = {}
    for path, digest in sorted(inputs.items()):
        folder, _, name = path.rpartition("/")
        if folder in ("geometry", "footprint"):
            rendered.setdefault(name.partition(".")[0], []).append((path, digest))
    cameras = np.asarray(job.cameras, dtype=np.float64).tolist()
    return {
        frame: _hash([shared, frame, camera, rendered.get(f"{frame:06d}", [])])
        for frame, camera in zip(job.frames, cameras, strict=True)
    }


def _deciding(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without those that a job may go on with elsewhere."""
    kept = dict(settings)
    for painter, names in SETTINGS_NOT_DECIDING.items():
        own = settings.get(painter)
        if isinstance(own, dict):
            kept[painter] = {name: value for name, value in own.items() if name not in names}
    return kept


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
