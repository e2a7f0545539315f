"""`make evaluate`: what painters make of clips whose truth is known, as `python -m backend evaluate` measures it.

Renders the clips (about 20 minutes, once) and fetches the judges' weights (175 MB, once), then runs the backend's verb
with the draft, the baselines and an untrained model. Writes docs/results.csv and docs/results.md, and to out/evaluation
contact sheets, videos and a plot. Further arguments are the verb's, as in `scripts/evaluate.py --model NAME --label L`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

import environments
import evaluation_scenes
import metric_weights

OUT = environments.ROOT / "out" / "evaluation"
DOCS = environments.ROOT / "docs"
UNTRAINED = environments.ROOT / ".cache" / "evaluation" / "untrained"
UNTRAINED_WIDTH = 128


def main(arguments: list[str]) -> int:
    scenes = evaluation_scenes.ready()
    python = str(environments.ready("backend"))
    command = [python, "-B", "-m", "backend", "evaluate", str(evaluation_scenes.CACHE), "--out", str(OUT)]
    command += ["--note", note(len(scenes))]
    try:
        command += ["--weights", str(metric_weights.ready())]
    except metric_weights.WeightsUnavailable as reason:
        print(f"[evaluate] without LPIPS, ST-LPIPS, DISTS and FVD: {reason}")
    if "--model" not in arguments:
        command += ["--model", untrained(python), "--label", "untrained model"]
    done = subprocess.run([*command, *arguments], cwd=environments.ROOT)
    if done.returncode == 0:
        for name in ("results.csv", "results.md"):
            shutil.copyfile(OUT / name, DOCS / name)
    return done.returncode


def untrained(python: str) -> str:
    """A random model that paints panoramas of UNTRAINED_WIDTH; made on first use."""
    if not UNTRAINED.exists():
        make = (
            "from pathlib import Path; from backend.diffusion.models import tiny_model; "
            f"tiny_model.make(Path({str(UNTRAINED)!r}), width={UNTRAINED_WIDTH}, height={UNTRAINED_WIDTH // 2})"
        )
        subprocess.run([python, "-B", "-c", make], cwd=environments.ROOT, check=True)
    return str(UNTRAINED)


def note(clips: int) -> str:
    """What the tables say of the scenes."""
    return (
        f"{clips} clips of {evaluation_scenes.FRAMES} frames, {evaluation_scenes.WIDTH} pixels wide, "
        f"through {len(evaluation_scenes.WAYS)} scenes rendered by Cycles with exact range: three indoors (parlour, "
        "office, gallery), three outdoors (alley, courtyard, park). Captures are "
        f"{evaluation_scenes.CAPTURE_WIDTH} pixels wide."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
