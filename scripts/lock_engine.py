"""Write backend/engine_lock.json: every package of each part of the engine, for every platform and Python.

    python3 scripts/lock_engine.py

uv resolves the requirements below for all platforms at once; it is fetched into a throw-away environment. What torch
itself asks for on NVIDIA's computers is left out: each of its builds names the libraries that fit it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "backend" / "engine_lock.json"
UV = "uv==0.13.9"
PYTHON = "3.11"
"""The oldest Python that an engine is made with."""

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
}
"""Part -> what it needs for itself; all parts have numpy."""


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), UV], check=True)
        everything = _resolved(folder, [line for part in PARTS.values() for line in part])
        parts = {
            name: _resolved(folder, [*PARTS["reconstruction"][:2], *lines], everything) for name, lines in PARTS.items()
        }
    record = {"made_with": UV, "python": PYTHON, "parts": parts}
    LOCK.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{LOCK.relative_to(ROOT)}: " + ", ".join(f"{name} {len(lines)}" for name, lines in parts.items()))
    return 0


def _resolved(uv: Path, lines: list[str], constraints: list[str] | None = None) -> list[str]:
    """Pinned requirements, a line each, with the platforms and Pythons that they are for."""
    wanted, fixed = uv / "wanted.in", uv / "fixed.in"
    wanted.write_text("\n".join(lines), encoding="utf-8")
    fixed.write_text("\n".join(constraints or []), encoding="utf-8")
    command = [str(uv / "bin" / "uv"), "pip", "compile", "--universal", "--python-version", PYTHON, "--no-header"]
    command += ["--no-annotate", "--quiet", "--constraint", str(fixed), str(wanted)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.strip() for line in found if line.strip() and not line.startswith(("nvidia-", "cuda-", "triton"))]


if __name__ == "__main__":
    sys.exit(main())
