"""How long the live panorama and viewports take, in the real application with software OpenGL.

`python scripts/measure_live.py` runs tests/application/live_figures.py and writes out/interface/live.json and a table:
milliseconds by points of `shader` (a whole panorama by the graphics card), `cpu` (the processor's pass), and of a
redraw in Solid shading with the view turned each time, `viewport_with_cache` and `viewport_without`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import application
import environments
import test_interface

SCENARIO = "live_figures"
COLUMNS = ("shader", "cpu", "viewport_with_cache", "viewport_without", "viewport_at_rest")


def main() -> int:
    try:
        root = application.ready()
    except environments.EnvironmentUnavailable as reason:
        print(f"[live] skipped: {reason}")
        return 0
    if not test_interface.run(SCENARIO, root, []):
        return 1
    told = json.loads((test_interface.OUT / SCENARIO / "result.json").read_text(encoding="utf-8"))
    figures: dict[str, Any] = told["figures"]
    (test_interface.OUT / "live.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    print("| points | " + " | ".join(COLUMNS) + " |\n" + "|---" * (len(COLUMNS) + 1) + "|")
    for points in figures["processor"]["shader"]:
        row = (f"{figures['processor'][name][points]:.0f}" for name in COLUMNS)
        print(f"| {int(points):,} | " + " | ".join(row) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
