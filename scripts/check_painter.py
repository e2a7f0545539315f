"""`make check-painter`: the diffusion painter's proofs, and its speed where a CUDA GPU is. Writes out/painter.json.

The proofs are the tests in tests/diffusion, which record the figures they judge by; nothing is computed twice.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import benchmark_painter
import environments

OUT = environments.ROOT / "out"
FIGURES = (
    "stock_max_abs_difference",
    "seam_ratio_with",
    "seam_ratio_without",
    "turning_difference_with",
    "turning_difference_without",
    "fusion_reversal_difference",
    "resume_identical",
)
"""What the tests record; libraries record things of their own beside it."""


def main(arguments: list[str]) -> int:
    python = environments.needed("check-painter", "backend")
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        command = [str(python), "-B", "-m", "pytest", "-q", f"--junitxml={report}", *(arguments or ["tests/diffusion"])]
        code = subprocess.run(command, cwd=environments.ROOT).returncode
        figures, tests = read(report)
    record: dict[str, Any] = {**figures, "passed": code == 0, "tests": tests, "gpu": None}
    if benchmark_painter.has_cuda(python):
        record["gpu"] = benchmark_painter.measure(python)
    OUT.mkdir(exist_ok=True)
    (OUT / "painter.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=2))
    return code


def read(report: Path) -> tuple[dict[str, Any], int]:
    """Figures by name, the worst of each, and how many tests ran."""
    root = xml.etree.ElementTree.parse(report).getroot()
    found: dict[str, list[str]] = {}
    for entry in root.iter("property"):
        found.setdefault(str(entry.get("name")), []).append(str(entry.get("value")))
    return {name: worst(found[name]) for name in FIGURES if name in found}, sum(1 for _ in root.iter("testcase"))


def worst(values: list[str]) -> Any:
    """The largest of numbers; of yes and no, no."""
    if set(values) <= {"True", "False"}:
        return "False" not in values
    return max(map(float, values))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
