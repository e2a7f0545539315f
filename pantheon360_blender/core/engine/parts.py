"""What an engine can be made of: parts, what each is for, and the packages that are locked for it."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import BackendError
from ..plain_text import Filled, filled
from ..version import EXTENSION_ROOT

LOCK = EXTENSION_ROOT / "backend" / "engine_lock.json"
"""Written by scripts/lock_engine.py."""


@dataclass(frozen=True)
class Part:
    """A part of an engine.

    name: in the lock. title, enables: for people. download: megabytes, measured on Linux, with those of uv.
    modules: imported to see whether it is there. torch: whether it computes with that, of which there are builds for
    devices.
    """

    name: str
    title: str
    enables: str
    download: int
    modules: tuple[str, ...]
    torch: bool = False


PARTS = {
    part.name: part
    for part in (
        Part(
            "reconstruction",
            "Reconstruction",
            "Build 3D Cache from photographs alone",
            235,
            ("numpy", "scipy", "numba", "cv2", "pycolmap"),
        ),
        Part(
            "importers",
            "Importers",
            "LAS, LAZ and E57 scans",
            60,
            ("laspy", "lazrs", "pyproj", "pye57", "OpenImageIO"),
        ),
        Part(
            "diffusion",
            "Diffusion",
            "The diffusion painter; its models are added apart",
            400,
            ("torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub", "imageio"),
            torch=True,
        ),
        Part(
            "learned",
            "Learned Depth",
            "Depth Any Camera, Depth Anything 3, DA360 and Depth Anything V2; their weights are added apart",
            380,
            ("torch", "transformers", "safetensors", "huggingface_hub", "panodac.models", "depth_anything_3.cfg"),
            torch=True,
        ),
    )
}
"""Part by its name."""

DEVICES = {"cpu": ("cpu", 0), "cuda-12.6": ("cu126", 2600), "cuda-13.0": ("cu130", 2200), "mps": ("", 0)}
"""What torch computes on -> uv's name for the builds of torch for it, if any, and further megabytes."""

_MACHINES = {"amd64": "x86_64", "aarch64": "arm64"}
_SYSTEMS = {"win32": "windows", "darwin": "macos"}


@dataclass(frozen=True)
class Tool:
    """Where a program comes from: a wheel's URL and SHA-256, and the member of it that is the program."""

    url: str
    sha256: str
    member: str


def computer() -> str:
    """What kind of computer this is, as the lock names it: "linux-x86_64", "macos-arm64", "windows-x86_64"."""
    machine = platform.machine().lower()
    return f"{_SYSTEMS.get(sys.platform, sys.platform)}-{_MACHINES.get(machine, machine)}"


def locked(names: Sequence[str]) -> list[str]:
    """Every pinned package of these parts, as requirements with their markers, each once and sorted."""
    parts = _lock()["parts"]
    return sorted({line for name in names for line in parts[name]})


def bare(names: Sequence[str]) -> list[str]:
    """The pinned packages of these parts that are installed without what they ask for, each once and sorted."""
    packages = _lock().get("bare", {})
    return sorted({line for name in names for line in packages.get(name, ())})


def bringing(packages: Iterable[str]) -> tuple[list[str], list[str]]:
    """The parts that bring these packages, as few as it takes, and the packages that no part brings.

    packages: as registries call them, "opencv-python-headless", without versions.
    """
    left, chosen = {name: name.lower().replace("_", "-") for name in packages}, []
    brought = {name: {line.partition("==")[0] for line in [*locked([name]), *bare([name])]} for name in PARTS}
    while left:
        best = max(PARTS, key=lambda name: len(brought[name] & set(left.values())))
        if not brought[best] & set(left.values()):
            break
        chosen.append(best)
        left = {name: plain for name, plain in left.items() if plain not in brought[best]}
    return [name for name in PARTS if name in chosen], sorted(left)


def titles(names: Iterable[str]) -> str:
    """What these parts are called, for people: "part Diffusion", "parts Reconstruction and Learned Depth"."""
    each = [Filled(PARTS[name].title, {}) for name in names]
    if len(each) == 1:
        return filled("part {part}", part=each[0])
    return filled("parts {parts} and {last}", parts=", ".join(each[:-1]), last=each[-1])


def computes(names: Sequence[str]) -> bool:
    """Whether any of these parts computes with torch, so that its build has to fit the device."""
    return any(PARTS[name].torch for name in names)


def pythons(name: str) -> list[str]:
    """The Pythons that all packages of a part are built for on this kind of computer, the oldest first; maybe none."""
    found: list[str] = _lock()["pythons"].get(computer(), {}).get(name, [])
    return found


def uv() -> Tool:
    """The wheel of uv for this kind of computer. Raises BackendError if there is none."""
    tool = _lock()["uv"].get(computer())
    if tool is None:
        raise BackendError(
            f"The engine cannot be installed on this kind of computer ({computer()}).",
            advice="Name a Python that has the packages as Use This Python Instead in the preferences.",
            code="engine",
        )
    return Tool(**tool)


def pip() -> str:
    """The pinned pip, which fetches packages into a folder: uv installs them only."""
    return str(_lock()["pip"])


def digest(names: Sequence[str], device: str, python: str) -> str:
    """What an engine of these parts is called: 12 hexadecimal digits of all that decides what is in it.

    device: a key of DEVICES, of no account without torch. python: its version, "3.11".
    """
    told = [*locked(names), *bare(names), python, device if computes(names) else ""]
    return hashlib.sha256("\n".join(told).encode("utf-8")).hexdigest()[:12]


def download_size(names: Sequence[str], device: str) -> int:
    """Megabytes to be downloaded for these parts."""
    return sum(PARTS[name].download for name in names) + (DEVICES[device][1] if computes(names) else 0)


def _lock() -> dict[str, Any]:
    record: dict[str, Any] = json.loads(LOCK.read_text(encoding="utf-8"))
    return record
