"""`make benchmark`: the geometry pass beside its peers, and what Blender waits for. Writes out/benchmark.json.

The splats run in an environment that has Blender's numpy, torch (CPU) and numba, so that all three do the same work
in the same run; what touches Blender runs in a fresh Blender process each time.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import environments

OUT = environments.ROOT / "out"
REPEATS = 5


def main() -> int:
    python = environments.needed("benchmark", "benchmark")
    record: dict[str, Any] = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "python": "3.11"}
    record |= _measure(python, "benchmark_splatting.py")
    record |= _medians([_measure(python, "benchmark_blender.py") for _ in range(REPEATS)])
    OUT.mkdir(exist_ok=True)
    (OUT / "benchmark.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    table = markdown(record)
    (OUT / "benchmark.md").write_text(table, encoding="utf-8")
    print(table)
    return 0


def markdown(record: dict[str, Any]) -> str:
    """The record as the tables of the README's performance section."""
    rows = ["| geometry pass 1024x512, ms a frame | 0.1 M points | 1 M | 5 M |", "|---|---|---|---|"]
    for key, name in (
        ("geometry_pass_ms", "this extension (numpy)"),
        ("peer_torch_ms", "torch scatter_reduce, CPU"),
        ("peer_numba_ms", "numba z-buffer"),
    ):
        rows.append(f"| {name} | " + " | ".join(f"{value:.1f}" for value in record[key].values()) + " |")
    rows += ["", "| in Blender | |", "|---|---|"]
    for key, name in (
        ("points_into_blender_s", "2 M points become the cache object"),
        ("import_capture_s", "import one 5760x2880 capture"),
        ("project_s", "project two captures at 1024x512 onto the proxy"),
        ("enable_ms", "enable the extension"),
    ):
        rows.append(f"| {name} | {record[key]:.3g} {'ms' if key.endswith('_ms') else 's'} |")
    return "\n".join(rows) + "\n"


def _measure(python: Path, script: str) -> dict[str, Any]:
    """Run one measuring script, which prints one JSON object as its last line."""
    path = Path(__file__).with_name(script)
    with tempfile.TemporaryDirectory() as resources:
        # Compiled modules are kept, as an installed Blender keeps them: only the first of the runs compiles.
        environment = {**os.environ, "BLENDER_USER_RESOURCES": resources, "PYTHONPYCACHEPREFIX": str(OUT / "pycache")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        done = subprocess.run([str(python), str(path)], stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"[benchmark] {script} failed with exit code {done.returncode}")
    print(done.stdout, flush=True)
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def _medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


if __name__ == "__main__":
    sys.exit(main())
