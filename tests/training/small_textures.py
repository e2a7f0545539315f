"""A texture folder as `scripts/training_textures.py` leaves it, of small pictures that are made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from backend.training.worlds.textures import SIDE, VERSION
from pantheon360_blender.core.formats import png

KINDS = (
    "wall", "facade", "floor", "ceiling", "ground", "road", "paving", "wood", "metal",
    "roof", "door", "picture", "rug", "fabric", "foliage", "front",
)  # fmt: skip
FILLS = ("door", "picture", "rug", "front")


def make(folder: Path) -> Path:
    """Write a folder with one texture of each kind to learn from, three kinds held out, and a panorama of each."""
    random = np.random.default_rng(8)
    folder.mkdir(parents=True, exist_ok=True)
    textures, panoramas = [], []
    for split, kinds in (("train", KINDS), ("held-out", ("wall", "floor", "wood"))):
        for kind in kinds:
            coarse = (random.integers(60, 196, 3) + random.integers(-50, 51, (4, 4, 3))).astype(np.uint8)
            name = f"{split}-{kind}.png"
            png.write(folder / name, coarse.repeat(SIDE // 4, 0).repeat(SIDE // 4, 1))
            metres = 0.0 if kind in FILLS else 2.0
            package = f"package-{split}"
            textures.append(
                {"file": name, "package": package, "licence": "CC0-1.0", "split": split, "kind": kind, "metres": metres}
            )
        light = random.uniform(0.05, 1, (8, 16, 3)).astype(np.float16).repeat(4, 0).repeat(4, 1)
        np.save(folder / f"{split}.npy", light)
        panoramas.append(
            {
                "file": f"{split}.npy",
                "package": "made",
                "licence": "CC0-1.0",
                "split": split,
                "roofed": split == "train",
            }
        )
    manifest = {"version": VERSION, "textures": textures, "panoramas": panoramas}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder
