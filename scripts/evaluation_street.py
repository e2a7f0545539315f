"""The real street as a clip: a photograph that is held back, between the two that are beside it.

`ready()` poses GeoVisio's five photographs as `make evaluate-cache` does, and writes a clip folder of three frames to
`.cache/evaluation/street/`. It starts itself again in the backend's environment.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import environments
import evaluate_cache
import numpy as np
import photographs

CACHE = environments.ROOT / ".cache" / "evaluation" / "street"
CLIP = CACHE / "street-leave-one-out"
WIDTH = 512
CAPTURE_WIDTH = 1024
NOTE = (
    "Five photographs of a street (GeoVisio's tests, MIT), posed by the project's own solver; the third is painted "
    "from the second and the fourth. The photographer is in the truth: the 8 crops do not show him."
)


def ready() -> Path | None:
    """The dataset's folder, made on first use; None, with the reason printed, if the photographs are out of reach."""
    if not (CLIP / "clip.json").exists():
        try:
            paths = photographs.fetch()
        except photographs.PhotographsUnavailable as reason:
            print(f"[evaluate] without the real street: {reason}")
            return None
        command = [str(environments.ready("backend")), "-B", __file__, *map(str, paths)]
        subprocess.run(command, cwd=environments.ROOT, check=True)
    return CACHE


def make(paths: list[Path]) -> None:
    """Pose the photographs and write the clip."""
    png, equirectangular = house("formats.png"), house("panorama.equirectangular")
    captures, priors, _ = evaluate_cache.street_captures(paths)
    solution = evaluate_cache.run(
        importlib.import_module("backend.reconstruction.poses.poses").solve_poses(captures, priors)
    )
    middle = evaluate_cache.HELD_BACK
    chosen = [middle - 1, middle, middle + 1]
    for frame, index in enumerate(chosen):
        capture = captures[index]
        png.write(CLIP / f"{frame:06d}.png", equirectangular.resize(capture.image, WIDTH))
        if index != middle:
            png.write(CLIP / "captures" / f"{frame:06d}.png", equirectangular.resize(capture.image, CAPTURE_WIDTH))
            valid = equirectangular.resize(capture.valid, CAPTURE_WIDTH)
            png.write(CLIP / "captures" / f"{frame:06d}.mask.png", np.where(valid, 0, 255).astype(np.uint8))
    poses = np.asarray(solution.poses)[chosen]
    record = {"schema": 1, "fps": 7, "cameras": poses.tolist(), "captures": [0, 2], "licence": photographs.LICENCE}
    (CLIP / "clip.json").write_text(json.dumps(record) + "\n", encoding="utf-8")


def house(name: str) -> Any:
    return importlib.import_module(f"pantheon360_blender.core.{name}")


if __name__ == "__main__":
    sys.path.insert(0, str(environments.ROOT))
    make([Path(path) for path in sys.argv[1:]])
