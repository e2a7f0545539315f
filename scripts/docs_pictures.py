"""Pictures of the documentation: panels and windows, cut out of what the running application looked like.

`make test-interface` first, then `python scripts/docs_pictures.py`, and look at docs/pictures/: if panels have changed
their height, the boxes below have to follow.
"""

from __future__ import annotations

import subprocess
import sys

import environments

SHOTS = environments.ROOT / "out" / "interface" / "first_hour"
PICTURES = environments.ROOT / "docs" / "pictures"

PANELS = (1292, 1546)
"""Left and right edge of the sidebar on the virtual screen, pixels."""

CUT = {
    "captures.png": ("11-built", (PANELS[0], 84, PANELS[1], 437)),
    "cache.png": ("11-built", (PANELS[0], 442, PANELS[1], 1031)),
    "camera-path.png": ("13-generated", (PANELS[0], 377, PANELS[1], 622)),
    "geometry-pass.png": ("13-generated", (PANELS[0], 627, PANELS[1], 801)),
    "generate.png": ("13-generated", (PANELS[0], 806, PANELS[1], 1036)),
    "path-to-generate.png": ("13-generated", (PANELS[0], 377, PANELS[1], 1036)),
    "engine.png": ("05-engine", (1026, 729, 1480, 1156)),
    "cache.jpg": ("11-built", (0, 0, 1920, 1200)),
    "result.jpg": ("14-playing", (0, 0, 1920, 1200)),
}
"""Picture -> the shot it is cut out of, and left, top, right, bottom there. What is as wide as the screen is halved."""

_CUT = """
import sys
from PIL import Image
source, target, *box = sys.argv[1:]
picture = Image.open(source).convert("RGB").crop(tuple(map(int, box)))
if picture.width > 1500:
    picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
picture.save(target, quality=85)
"""


def main() -> int:
    python = environments.needed("docs-pictures", "tools")
    PICTURES.mkdir(exist_ok=True)
    for name, (shot, box) in CUT.items():
        source = SHOTS / f"{shot}.png"
        if not source.exists():
            print(f"[docs-pictures] {source} is not there: make test-interface")
            return 1
        subprocess.run([str(python), "-c", _CUT, str(source), str(PICTURES / name), *map(str, box)], check=True)
    print(f"[docs-pictures] {len(CUT)} pictures in {PICTURES.relative_to(environments.ROOT)}; look at them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
