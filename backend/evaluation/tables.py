"""What an evaluation writes for people and programs: a row a clip as CSV, and the means as Markdown tables."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pantheon360_blender.core import budget, files, inputs
from pantheon360_blender.core.errors import FileError

from .judge import DISTANCES, MEASURES
from .metrics.bootstrap import interval
from .metrics.fvd import frechet_distance

_ACCURACY = ("psnr", "ssim", "lpips", "st_lpips", "dists", "ws_psnr", "ws_ssim")
_CROPS = ("psnr_crops", "ssim_crops", "lpips_crops", "st_lpips_crops", "dists_crops")
_VIDEO = ("stwe_exact", "stwe_dis", "ie_dis", "seam", "pole", "known_correlation", "coverage", "met3r")
_DIGITS = {"psnr": 2, "ws_psnr": 2, "psnr_crops": 2, "coverage": 1, "ie_dis": 2, "seam": 2, "pole": 2}


@dataclass(frozen=True)
class Result:
    """A row of one clip. values: by column of MEASURES.

    features: for each of DISTANCES that is taken, (videos, 400), and the same of the truth.
    """

    table: str
    method: str
    regime: str
    clip: str
    values: Mapping[str, float]
    features: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    true_features: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

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
        name: {distance: values.tolist() for distance, values in of.items()}
        for name, of in (("features", each.features), ("true_features", each.true_features))
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
        name: {distance: np.array(values) for distance, values in record[name].items()}
        for name in ("features", "true_features")
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
        parts.append(_table(rows, _ACCURACY, intervals=("psnr",), distance="fvd"))
        compared = _against_draft(rows)
        if compared:
            parts.append("Against the draft of the same cache, on the same clips.\n")
            parts.append(compared)
        parts.append("On the paper's 8 crops round the horizon, 90° each.\n")
        taken = {key: found for key, found in rows.items() if _taken(found, _CROPS)}
        parts.append(_table(taken, _CROPS, distance="fvd_crops"))
        parts.append("In time, and on the sphere.\n")
        parts.append(_table({key: found for key, found in rows.items() if _taken(found, _VIDEO)}, _VIDEO))
    return "\n".join(parts)


def _against_draft(rows: Mapping[tuple[str, str, str], Sequence[Result]]) -> str:
    """What painters that see a cache gain over its draft, a line each; empty if there are none."""
    lines = []
    for (table, method, regime), found in rows.items():
        share = re.search(r", \d+% of the cache$", method)
        draft = {each.clip: each for each in rows.get((table, f"draft{share[0] if share else ''}", regime), ())}
        pairs = [(each, draft[each.clip]) for each in found if each.clip in draft]
        if not pairs or method.startswith(("draft", "geometry only")):
            continue
        gains = {
            name: np.array([ours.values.get(name, np.nan) - its.values.get(name, np.nan) for ours, its in pairs])
            for name in ("psnr", "lpips")
        }
        cells = [method, regime, str(len(pairs)), f"{gains['psnr'].mean():+.2f}", str(int((gains["psnr"] > 0).sum()))]
        known = gains["lpips"][np.isfinite(gains["lpips"])]
        cells += [f"{known.mean():+.3f}", str(int((known < 0).sum()))] if len(known) else ["-", "-"]
        lines.append("| " + " | ".join(cells) + " |")
    heads = ["method", "cache", "clips", "PSNR, dB", "clips better", "LPIPS (Alex)", "clips better"]
    return "\n".join(["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *lines]) + "\n" if lines else ""


def fvd_of(found: Sequence[Result], name: str = "fvd") -> float:
    """One of DISTANCES, of a row over its clips; NaN if it was not measured."""
    pairs = [(e.features[name], e.true_features[name]) for e in found if name in e.features and name in e.true_features]
    if len(pairs) < 2:
        return float("nan")
    return frechet_distance(*(np.concatenate(each) for each in zip(*pairs, strict=True)))


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
    distance: str = "",
) -> str:
    shown = [name for name in names if any(np.isfinite(mean(found, name)) for found in rows.values())]
    heads = ["method", "cache", "clips", *(MEASURES[name] for name in shown)]
    if not any(np.isfinite(fvd_of(found, distance)) for found in rows.values()):
        distance = ""
    if distance:
        heads.append(DISTANCES[distance])
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
            cells.append(_number(fvd_of(found, distance), 0) or "-")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _number(value: float | None, digits: int) -> str:
    # Adding zero makes a zero of a negative one.
    return "" if value is None or not np.isfinite(value) else f"{round(value, digits) + 0.0:.{digits}f}"
