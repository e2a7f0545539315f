"""What a reconstruction found, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pantheon360_blender.core.jobs import reconstruct_settings as job
from pantheon360_blender.core.jobs.reconstruct_settings import PosedCapture, ReconstructionSettings
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.points.point_cloud import PointCloud

from .depth_map import DepthMap

_SCALES = {
    "distance": "scale from the stated distance",
    "gps": "scale from GPS",
    "height": "scale from the camera height",
    "model": "scale from the model",
    "nothing": "nothing tells the scale",
}


def report(
    settings: ReconstructionSettings,
    captures: Sequence[Capture],
    posed: Sequence[PosedCapture],
    solution: dict[str, Any],
    maps: Sequence[DepthMap | None],
    cloud: PointCloud,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The object of `report.json`: `text` for people, everything else for programs.

    Per capture: registered, reason, points in the cloud, complete_percent (share of what is neither sky nor masked
    that has a confident range) or None. steps_metres: distances between one registered capture and the next.
    """
    rows = [
        {
            "name": one.name,
            "registered": one.registered,
            "reason": one.reason,
            "points": 0 if cloud.source is None else int((cloud.source == index).sum()),
            "complete_percent": _complete(captures[index], maps[index], settings.confidence),
        }
        for index, one in enumerate(posed)
    ]
    places = np.array([one.pose[:3, 3] for one in posed if one.registered]).reshape(-1, 3)
    steps = [round(float(step), 3) for step in np.linalg.norm(np.diff(places, axis=0), axis=1)]
    found: dict[str, Any] = {
        "captures": rows,
        "posed": len(places),
        "steps_metres": steps,
        "points": len(cloud),
        "dense": settings.dense,
        "width": settings.width,
        "confidence": settings.confidence,
        "guessed_points": _guessed(cloud, settings.confidence),
        "solution": solution,
        "seconds": seconds,
    }
    return {"text": _text(settings, found), **found}


def _guessed(cloud: PointCloud, confidence: float) -> int:
    """How many points are guessed."""
    guesses = cloud.guesses(confidence)
    return 0 if guesses is None else int(guesses.sum())


def _complete(capture: Capture, depth: DepthMap | None, confidence: float) -> float | None:
    if depth is None:
        return None
    wanted = ~depth.sky
    if capture.valid is not None:
        height, width = depth.sky.shape
        rows = (np.arange(height) + 0.5) * capture.valid.shape[0] / height
        columns = (np.arange(width) + 0.5) * capture.valid.shape[1] / width
        wanted &= capture.valid[rows.astype(int)[:, None], columns.astype(int)]
    known = wanted & np.isfinite(depth.range) & (depth.confidence >= confidence)
    return round(100 * float(known.sum()) / max(int(wanted.sum()), 1), 1)


def _text(settings: ReconstructionSettings, found: dict[str, Any]) -> str:
    rows, solution = found["captures"], found["solution"]
    method = {job.SWEEP: "without a model", job.NONE: "sparse"}.get(settings.dense, f"by {settings.dense}")
    lines = [f"{found['points']:,} points {method}, from {found['posed']} of {len(rows)} captures."]
    if found["guessed_points"]:
        share = found["guessed_points"] / found["points"]
        by = f" by {settings.guesser}" if settings.guesser else ""
        lines.append(f"{share:.0%} of them are guessed{by}: Least Confidence under Edit Points hides them.")
    facts = []
    if settings.poses == job.GIVEN:
        facts.append("poses as placed")
    elif solution.get("scale_from") in _SCALES:
        facts.append(_SCALES[solution["scale_from"]])
    if solution.get("reprojection_error_degrees") is not None:
        facts.append(f"reprojection error {solution['reprojection_error_degrees']:.3f}°")
    if solution.get("camera_height") is not None:
        facts.append(f"cameras {solution['camera_height']:.2f} m above the ground")
    if facts:
        lines.append(f"{facts[0][0].upper()}{'; '.join(facts)[1:]}.")
    for row in rows:
        if not row["registered"]:
            lines.append(f"{row['name']} was not posed: {row['reason']}")
        elif row["complete_percent"] is not None:
            lines.append(f"{row['name']}: {row['complete_percent']:.0f} % of what it sees, {row['points']:,} points.")
    return "\n".join([*lines, *solution.get("notes", [])])
