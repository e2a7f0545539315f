"""What an evaluation writes for people and programs: a row a clip as CSV, and the means as Markdown tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pantheon360_blender.core import budget, files, inputs
from pantheon360_blender.core.errors import FileError

from .judge import MEASURES, VIDEO_FRAMES
from .metrics.bootstrap import interval
from .metrics.fvd import frechet_distance

_ACCURACY = ("psnr", "ssim", "lpips", "st_lpips", "dists", "ws_psnr", "ws_ssim")
_CROPS = ("psnr_crops", "ssim_crops", "lpips_crops")
_VIDEO = ("stwe_exact", "stwe_dis", "ie_dis", "seam", "pole", "known_correlation", "coverage", "met3r")
_DIGITS = {"psnr": 2, "ws_psnr": 2, "psnr_crops": 2, "coverage": 1, "ie_dis": 2, "seam": 2, "pole": 2}


@dataclass(frozen=True)
class Result:
    """A row of one clip. values: by column of MEASURES. features: (400,) for FVD, and the truth's, or None."""

    table: str
    method: str
    regime: str
    clip: str
    values: Mapping[str, float]
    features: np.ndarray | None = field(default=None, repr=False, compare=False)
    true_features: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.table, self.method, self.regime


def write_results(path: Path, results: Iterable[Result]) -> None:
    """Keep the results of a clip. Raises FileError."""
    files.write_json(path, [_record(each) for each in results])


def read_results(path: Path) -> list[Result]:
    """Results that were kept. Raises FileError if the file is damaged."""
    try:
        return [_result(record) for record in inputs.read_json(path, budget.RECORD_FILE)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(f"{path} is damaged: {error}.", advice="Delete it and evaluate again.") from error


def _record(each: Result) -> dict[str, Any]:
    features = {
        name: None if values is None else values.tolist()
        for name, values in (("features", each.features), ("true_features", each.true_features))
    }
    values = {name: value for name, value in each.values.items() if np.isfinite(value)}
    return {
        "table": each.table,
        "method": each.method,
        "regime": each.regime,
        "clip": each.clip,
        "values": values,
    } | features


def _result(record: dict[str, Any]) -> Result:
    features = {
        name: None if record[name] is None else np.array(record[name]) for name in ("features", "true_features")
    }
    return Result(**(record | features))


def write_csv(path: Path, results: Iterable[Result]) -> None:
    """One row a method, regime and clip; a measure that was not taken is empty. Raises FileError."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "regime", "clip", *MEASURES, "captures"])
    for each in results:
        values = [_number(each.values.get(name), 5) for name in MEASURES]
        writer.writerow([each.method, each.regime, each.clip, *values, 1 if each.table.startswith("one") else 2])
    files.write_bytes(path, text.getvalue().encode("utf-8"))


def markdown(results: Sequence[Result], preface: str) -> str:
    """The document: what was measured, and for each number of captures three tables."""
    parts = [preface.rstrip() + "\n"]
    for table in dict.fromkeys(each.table for each in results):
        rows = {key: [each for each in results if each.key == key] for key in dict.fromkeys(e.key for e in results)}
        rows = {key: found for key, found in rows.items() if key[0] == table}
        parts.append(f"## {table.capitalize()}\n")
        parts.append("Against the truth, whole panoramas; 95 % bootstrap interval of PSNR over clips.\n")
        parts.append(_table(rows, _ACCURACY, intervals=("psnr",), distance=True))
        parts.append("On the paper's 8 crops round the horizon, 90° each.\n")
        parts.append(_table({key: found for key, found in rows.items() if _taken(found, _CROPS)}, _CROPS))
        parts.append("In time, and on the sphere.\n")
        parts.append(_table({key: found for key, found in rows.items() if _taken(found, _VIDEO)}, _VIDEO))
    return "\n".join(parts)


def fvd_of(found: Sequence[Result]) -> float:
    """FVD of a row over its clips; NaN if it was not measured."""
    pairs = [(e.features, e.true_features) for e in found if e.features is not None and e.true_features is not None]
    if len(pairs) < 2:
        return float("nan")
    return frechet_distance(np.stack([one for one, _ in pairs]), np.stack([other for _, other in pairs]))


def mean(found: Sequence[Result], name: str) -> float:
    """Mean of a measure over the clips that have it; NaN if none has."""
    known = [each.values[name] for each in found if np.isfinite(each.values.get(name, np.nan))]
    return float(np.mean(known)) if known else float("nan")


def _taken(found: Sequence[Result], names: Sequence[str]) -> bool:
    return any(np.isfinite(mean(found, name)) for name in names if name not in ("seam", "pole", "coverage"))


def _table(
    rows: Mapping[tuple[str, str, str], Sequence[Result]],
    names: Sequence[str],
    intervals: Sequence[str] = (),
    distance: bool = False,
) -> str:
    shown = [name for name in names if any(np.isfinite(mean(found, name)) for found in rows.values())]
    heads = ["method", "cache", "clips", *(MEASURES[name] for name in shown)]
    if distance:
        heads.append(f"FVD ({VIDEO_FRAMES} frames)")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for (_, method, regime), found in rows.items():
        cells = [method, regime, str(len(found))]
        for name in shown:
            text = _number(mean(found, name), _DIGITS.get(name, 3))
            if name in intervals and text:
                low, high = interval([each.values.get(name, np.nan) for each in found])
                text += f" ({low:.1f}-{high:.1f})"
            cells.append(text or "-")
        if distance:
            cells.append(_number(fvd_of(found), 0) or "-")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _number(value: float | None, digits: int) -> str:
    # Adding zero makes a zero of a negative one.
    return "" if value is None or not np.isfinite(value) else f"{round(value, digits) + 0.0:.{digits}f}"
