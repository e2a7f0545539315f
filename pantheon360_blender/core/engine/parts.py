"""What an engine can be made of: parts, what each is for, and the packages that are locked for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..version import EXTENSION_ROOT

LOCK = EXTENSION_ROOT / "backend" / "engine_lock.json"
"""Written by scripts/lock_engine.py."""


@dataclass(frozen=True)
class Part:
    """A part of an engine.

    name: in the lock. title, enables: for people. download: megabytes on a computer that has none of it.
    modules: imported to see whether it is there.
    """

    name: str
    title: str
    enables: str
    download: int
    modules: tuple[str, ...]


PARTS = {
    part.name: part
    for part in (
        Part(
            "reconstruction",
            "Reconstruction",
            "Build 3D Cache from photographs alone",
            250,
            ("numpy", "scipy", "numba", "cv2", "pycolmap"),
        ),
        Part(
            "importers",
            "Importers",
            "LAS, LAZ and E57 scans",
            80,
            ("laspy", "lazrs", "pyproj", "pye57", "OpenImageIO"),
        ),
        Part(
            "diffusion",
            "Diffusion",
            "The diffusion painter; its models are added apart",
            400,
            ("torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub", "imageio"),
        ),
    )
}
"""Part by its name."""

DEVICES = {
    "cpu": ("https://download.pytorch.org/whl/cpu", 0),
    "cuda-12.6": ("https://download.pytorch.org/whl/cu126", 2600),
    "cuda-13.0": ("https://download.pytorch.org/whl/cu130", 2200),
    "mps": ("", 0),
}
"""What diffusion computes on -> where builds of torch for it are, if not among the others, and further megabytes."""


def locked(names: Sequence[str]) -> list[str]:
    """Every pinned package of these parts, as pip's requirements with their markers, each once and sorted."""
    parts = json.loads(LOCK.read_text(encoding="utf-8"))["parts"]
    return sorted({line for name in names for line in parts[name]})


def digest(names: Sequence[str], device: str, python: str) -> str:
    """What an engine of these parts is called: 12 hexadecimal digits of all that decides what is in it.

    device: a key of DEVICES, of no account without diffusion. python: its version, "3.11".
    """
    told = [*locked(names), python, device if "diffusion" in names else ""]
    return hashlib.sha256("\n".join(told).encode("utf-8")).hexdigest()[:12]


def download_size(names: Sequence[str], device: str) -> int:
    """Megabytes to be downloaded for these parts."""
    return sum(PARTS[name].download for name in names) + (DEVICES[device][1] if "diffusion" in names else 0)
