"""Pairs of panoramas 2, 5 and 10 m apart, with exact range and poses: a street, a courtyard, an office.

`ready()` renders them once into `.cache/ground_truth/walk-<scene>/`, in the form of ground_truth.py: the first panorama
and those beside it at each distance. Run as a program inside Blender's Python it renders the scenes it is given.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import evaluation_scenes
import ground_truth

DISTANCES = (2, 5, 10)
"""Metres between the first panorama and the second, third and fourth."""

WALKS: dict[str, tuple[ground_truth.Stand, ground_truth.Stand]] = {
    "street": (((0.4, -5.0, 2.0), 10, -1, 0.5), ((0.4, 5.0, 2.0), -15, 1, -0.4)),
    "courtyard": (((-5.0, -4.5, 1.7), 30, 1, -0.5), ((1.36, 3.22, 1.7), 60, -1, 0.3)),
    "office": (((-5.0, 0.0, 1.6), 80, -1, 0.4), ((5.0, 0.0, 1.6), 110, 0.5, -0.6)),
}
"""Where each begins and ends, 10 m apart; what lies between is on the line."""


def main(names: Sequence[str]) -> int:
    sys.path.insert(0, str(ground_truth.ROOT))
    for name in names:
        if name in ground_truth.SCENES:
            ground_truth.SCENES[name]()
        else:
            evaluation_scenes.build(name)
        ground_truth.render(f"walk-{name}", stands(name))
    return 0


def stands(name: str) -> list[ground_truth.Stand]:
    """The first stand, and those at DISTANCES from it."""
    (start, *turned), (end, *last) = WALKS[name]
    found: list[ground_truth.Stand] = [WALKS[name][0]]
    for distance in DISTANCES:
        share = distance / DISTANCES[-1]
        place = tuple(one + share * (other - one) for one, other in zip(start, end, strict=True))
        angles = [one + share * (other - one) for one, other in zip(turned, last, strict=True)]
        found.append((place, *angles))  # type: ignore[arg-type]
    return found


def ready() -> dict[str, list[Path]]:
    """Scene -> its panoramas' PNG files, rendered on first use in one of Blender's environments."""
    environments = importlib.import_module("environments")
    missing = [name for name in WALKS if not (ground_truth.CACHE / f"walk-{name}" / "done.json").exists()]
    if missing:
        python = environments.needed("ground-truth", *environments.BLENDERS)
        print(f"[distances] rendering {', '.join(missing)}: a few minutes, once")
        subprocess.run([str(python), "-B", str(Path(__file__)), *missing], cwd=ground_truth.ROOT, check=True)
    return {name: sorted((ground_truth.CACHE / f"walk-{name}").glob("*.png")) for name in WALKS}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
