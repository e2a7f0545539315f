"""Drives a scenario inside Blender and writes how it went: `blender ... --python driver.py -- SCENARIO.py FOLDER`.

A scenario is a file with `steps(hand, told)`, a generator that yields seconds. FOLDER gets result.json and pictures.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import bpy

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import hand  # noqa: E402


def main(scenario: Path, folder: Path) -> None:
    """Begin as soon as the window is there."""
    preferences = bpy.context.preferences
    preferences.view.show_splash = False
    preferences.use_preferences_save = False
    told: dict[str, Any] = {"scenario": scenario.stem, "blender": bpy.app.version_string}
    at_work = hand.Hand(folder)
    steps = runpy.run_path(str(scenario))["steps"](at_work, told)
    bpy.app.timers.register(_runner(steps, at_work, told, folder), first_interval=1.0, persistent=True)


def _runner(
    steps: Generator[float, None, Any], at_work: hand.Hand, told: dict[str, Any], folder: Path
) -> Callable[[], float | None]:
    began = time.monotonic()

    def step() -> float | None:
        try:
            return next(steps)
        except StopIteration:
            told["error"] = ""
        except Exception:
            told["error"] = traceback.format_exc()
            for _ in at_work.picture("failed"):
                pass
        told["seconds"] = round(time.monotonic() - began, 1)
        (folder / "result.json").write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
        bpy.ops.wm.quit_blender()
        return None

    return step


if __name__ == "__main__":
    chosen = sys.argv[sys.argv.index("--") + 1 :]
    main(Path(chosen[0]), Path(chosen[1]))
