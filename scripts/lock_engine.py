"""Write backend/engine_lock.json: every package of each part of the engine, for every platform and Python.

    python3 scripts/lock_engine.py

uv resolves the requirements below for all platforms at once; it is fetched into a throw-away environment. What torch
itself asks for on NVIDIA's computers is left out: each of its builds names the libraries that fit it. Then each kind of
computer and every Python is tried: the lock tells for which of them all packages of a part are built. uv itself is
named with its hash, since it is what the extension installs with.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "backend" / "engine_lock.json"
UV = "0.13.9"
PIP = "pip==26.3"
"""What `engine download` runs."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""The Pythons that are tried; the first is the oldest that an engine is made with."""

COMPUTERS = {
    "linux-x86_64": ("x86_64-manylinux_2_28", "manylinux_2_17_x86_64"),
    "linux-arm64": ("aarch64-manylinux_2_28", "manylinux_2_17_aarch64"),
    "macos-arm64": ("aarch64-apple-darwin", "macosx_11_0_arm64"),
    "macos-x86_64": ("x86_64-apple-darwin", "macosx_10_12_x86_64"),
    "windows-x86_64": ("x86_64-pc-windows-msvc", "win_amd64"),
    "windows-arm64": ("aarch64-pc-windows-msvc", "win_arm64"),
}
"""Kind of computer, as core/engine/parts.py names it -> how uv calls it, and the tag of uv's own wheel for it."""
OLDEST_MACOS = "14.0"
"""As core/engine/preflight.py has it: torch and pycolmap are built for no older one."""

PARTS = {
    "reconstruction": (
        "numpy==1.26.4; python_version < '3.13'",
        "numpy>=2.1; python_version >= '3.13'",
        "scipy",
        "numba==0.68.1",
        "opencv-python-headless",
        "pycolmap==4.2.1",
    ),
    "importers": ("laspy[lazrs]==2.7.0", "pyproj", "pye57==0.4.19", "openimageio"),
    "diffusion": (
        "torch==2.13.0",
        "transformers==5.23.0",
        "diffusers==0.42.1",
        "accelerate==1.15.0",
        "safetensors==0.8.0",
        "huggingface-hub==2.4.0",
        "imageio==2.38.1",
        "imageio-ffmpeg==0.8.1",
    ),
    "learned": (
        "torch==2.13.0",
        "torchvision==0.28.0",
        "transformers==5.23.0",
        "timm==1.0.31",
        "einops==0.8.2",
        "omegaconf==2.4.0",
        "addict==2.4.0",
        "imageio==2.38.1",
        "scipy",
        "opencv-python-headless",
        "safetensors==0.8.0",
        "huggingface-hub==2.4.0",
    ),
}
"""Part -> what it needs for itself; all parts have numpy."""

BARE = {"learned": ("panodac==0.1.1", "depth-anything-3==0.1.1", "evo==1.38.1")}
"""Part -> packages that are installed without what they ask for: viewers, servers and older versions of what there is.
PARTS has what of that is imported."""

NEWEST = {"learned": "3.12"}
"""Part -> the last Python that is tried: depth-anything-3 and panodac ask for numpy 1, which later ones do not have."""


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), f"uv=={UV}"]
        subprocess.run(install, check=True)
        everything = _resolved(folder, [line for part in PARTS.values() for line in part])
        parts = {
            name: _resolved(folder, [*PARTS["reconstruction"][:2], *lines], everything) for name, lines in PARTS.items()
        }
        pythons = {
            computer: {
                name: _built(folder, [*lines, *BARE.get(name, ())], target, NEWEST.get(name, PYTHONS[-1]))
                for name, lines in parts.items()
            }
            for computer, (target, _) in COMPUTERS.items()
        }
    record = {
        "made_with": f"uv=={UV}",
        "uv": _uv_wheels(),
        "pip": PIP,
        "pythons": pythons,
        "parts": parts,
        "bare": BARE,
    }
    LOCK.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{LOCK.relative_to(ROOT)}: " + ", ".join(f"{name} {len(lines)}" for name, lines in parts.items()))
    return 0


def _resolved(folder: Path, lines: list[str], constraints: list[str] | None = None) -> list[str]:
    """Pinned requirements, a line each, with the platforms and Pythons that they are for."""
    wanted, fixed = folder / "wanted.in", folder / "fixed.in"
    wanted.write_text("\n".join(lines), encoding="utf-8")
    fixed.write_text("\n".join(constraints or []), encoding="utf-8")
    command = ["compile", "--universal", "--python-version", PYTHONS[0], "--no-header", "--no-annotate"]
    found = _uv(folder, [*command, "--constraint", str(fixed), str(wanted)])
    if found.returncode != 0:
        raise SystemExit(found.stderr)
    lines = [line.strip() for line in found.stdout.splitlines() if line.strip()]
    return [line for line in lines if not line.startswith(("nvidia-", "cuda-", "triton"))]


def _built(folder: Path, lines: list[str], target: str, newest: str) -> list[str]:
    """The Pythons, up to the newest, that all these packages have wheels for, on one kind of computer."""
    wanted = folder / "wanted.in"
    wanted.write_text("\n".join(lines), encoding="utf-8")
    command = ["install", "--dry-run", "--no-deps", "--only-binary", ":all:", "--python", sys.executable]
    command += ["--target", str(folder / "nowhere"), "--python-platform", target, "--requirement", str(wanted)]
    tried = PYTHONS[: PYTHONS.index(newest) + 1]
    return [version for version in tried if _uv(folder, [*command, "--python-version", version]).returncode == 0]


def _uv(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [str(folder / "bin" / "uv"), "pip", *arguments, "--quiet"]
    environment = os.environ | {"MACOSX_DEPLOYMENT_TARGET": OLDEST_MACOS}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def _uv_wheels() -> dict[str, dict[str, Any]]:
    """Kind of computer -> where uv's wheel for it is, its hash, and the program in it."""
    request = urllib.request.Request(
        "https://pypi.org/simple/uv/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    with urllib.request.urlopen(request) as answer:
        files = json.loads(answer.read())["files"]
    found = {}
    for computer, (_, tag) in COMPUTERS.items():
        (file,) = (each for each in files if each["filename"].startswith(f"uv-{UV}-py3-none-{tag}"))
        member = f"uv-{UV}.data/scripts/uv{'.exe' if computer.startswith('windows') else ''}"
        found[computer] = {"url": file["url"], "sha256": file["hashes"]["sha256"], "member": member}
    return found


if __name__ == "__main__":
    sys.exit(main())
