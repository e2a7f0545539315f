"""`make demo`: real panoramas of a street to a tagged 360° strip, in a real Blender, with no screen.

Makes the environments, fetches the photographs, then runs `demo_shot.py` inside Blender. Everything lands in
`out/demo/`. The 3D cache is reconstructed from five panoramas, and the path is painted twice: by the draft painter, and
by diffusion with the model that comes with the extension. Where the backend's environment cannot be made, the cache is
two panoramas projected onto a proxy, and the draft paints alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import environments
import photographs

OUT = environments.ROOT / "out" / "demo"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cache",
        choices=("proxy", "reconstruction"),
        default="reconstruction",
        help="where the 3D cache comes from: two captures projected onto a proxy, or five captures alone",
    )
    reconstruct = parser.parse_args(arguments).cache == "reconstruction"
    python = environments.needed("demo", *_order())
    try:
        street = photographs.fetch()
        backend = _backend() if reconstruct else []
        pictures = street if backend else [street[1], street[2]]
        options = ["--source", photographs.LICENCE, *backend]
    except photographs.PhotographsUnavailable as reason:
        print(f"[demo] {reason}")
        print("[demo] falling back on the CC0 panoramas inside Blender: they show two places, not one street")
        pictures, options = [], ["--source", "CC0 panoramas that come with Blender"]
    OUT.mkdir(parents=True, exist_ok=True)
    shot = environments.ROOT / "scripts" / "demo_shot.py"
    command = [str(python), "-B", str(shot), "--out", str(OUT), *options, *map(str, pictures)]
    return subprocess.run(command, cwd=environments.ROOT).returncode


def _backend() -> list[str]:
    """Options for reconstruction and diffusion; none where no environment for them can be made."""
    try:
        python = environments.ready("backend")
        return ["--backend-python", str(python), "--diffusion"]
    except environments.EnvironmentUnavailable as reason:
        print(f"[demo] {reason}\n[demo] without torch the diffusion painter is left out")
    try:
        return ["--backend-python", str(environments.ready("reconstruction"))]
    except environments.EnvironmentUnavailable as reason:
        print(f"[demo] {reason}\n[demo] without the backend's environment the cache is projected onto a proxy")
        return []


def _order() -> tuple[str, ...]:
    """Blenders to try, those for the running Python first: nothing has to be fetched for them."""
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    newest_first = environments.BLENDERS[::-1]
    return tuple(sorted(newest_first, key=lambda name: environments.ALL[name].python != ours))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
