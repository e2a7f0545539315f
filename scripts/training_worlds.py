"""A contact sheet of training's worlds: `python scripts/training_worlds.py [--split held-out] [--seed N] SHEET.jpg`.

A row is a clip, one of each family of places: its first and its last frame, its cache as the middle and the last frame
see it. It starts itself again in the backend's environment, and fetches the textures if they are not there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import environments
import training_textures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sheet", type=Path, help="the picture to write")
    parser.add_argument("--split", default="train", choices=("train", "held-out"))
    parser.add_argument("--seed", type=int, default=0, help="of the clips")
    parser.add_argument("--width", type=int, default=256, help="of the panoramas, pixels")
    parser.add_argument("--drawing", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.drawing:
        draw(chosen.sheet, chosen.split, chosen.seed, chosen.width)
        return 0
    training_textures.ready()
    python = environments.needed("training-worlds", "backend")
    command = [str(python), "-B", __file__, "--drawing", *sys.argv[1:]]
    return subprocess.run(command, cwd=environments.ROOT).returncode


def draw(sheet: Path, split: str, seed: int, width: int) -> None:
    """Make the clips and write them as one JPEG."""
    sys.path.insert(0, str(environments.ROOT))
    import numpy as np
    from PIL import Image

    from backend.training.worlds.generator import FAMILIES, Worlds, WorldSettings

    rows = []
    for family in FAMILIES:
        settings = WorldSettings(training_textures.CACHE, split, width, families=(family,))
        clip = Worlds(settings).clip(seed)
        print(f"[worlds] {clip.name}: {float(clip.coverage.float().mean()):.0%} of the pixels have a point", flush=True)
        shown = (clip.frames[0], clip.frames[-1], clip.geometry[len(clip) // 2], clip.geometry[-1])
        rows.append(np.concatenate([picture.permute(1, 2, 0).cpu().numpy() for picture in shown], axis=1))
    Image.fromarray(np.concatenate(rows)).save(sheet, quality=60)


if __name__ == "__main__":
    sys.exit(main())
