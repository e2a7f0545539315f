"""`make evaluate`: what painters make of clips whose truth is known, as `python -m backend evaluate` measures it.

Renders the clips (about 10 minutes, once) and fetches the judges' weights (175 MB, once), then runs the backend's verb
with the draft, the baselines and the model that comes with the extension. Writes docs/results.csv and docs/results.md,
and to out/evaluation contact sheets, videos and a plot. Further arguments are the verb's, as in
`scripts/evaluate.py --model NAME --label L`.

`scripts/evaluate.py --all-crops` has every network look at the paper's 8 crops as well, for one clip of each scene and
without a model, and writes docs/results-crops.md: of all clips it would take hours.
"""

from __future__ import annotations

import signal
import subprocess
import sys

import environments
import evaluation_scenes
import evaluation_street
import metric_weights

OUT = environments.ROOT / "out" / "evaluation"
DOCS = environments.ROOT / "docs"
SHIPPED = "pantheon360-small"
"""Name of the model that comes with the extension."""
SELDOM = 4
"""One clip in so many is one of each scene: those that the model paints, and that networks look at crops of."""


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what was started ends too
    scenes = evaluation_scenes.ready()
    python = str(environments.ready("backend"))
    command = [python, "-B", "-m", "backend", "evaluate", str(evaluation_scenes.CACHE), "--out", str(OUT)]
    command += ["--note", note(len(scenes))]
    weights: list[str] = []
    try:
        weights = ["--weights", str(metric_weights.ready())]
    except metric_weights.WeightsUnavailable as reason:
        print(f"[evaluate] without LPIPS, ST-LPIPS, DISTS and FVD: {reason}")
    command += weights
    if arguments == ["--all-crops"]:
        return all_crops(command)
    if "--model" not in arguments:
        arguments = ["--model", SHIPPED, "--label", "small", "--model-every", str(SELDOM), *arguments]
    if subprocess.run([*command, *arguments], cwd=environments.ROOT).returncode:
        return 1
    street = evaluation_street.ready()
    if street is not None:
        command = [python, "-B", "-m", "backend", "evaluate", str(street)]
        command += ["--out", str(OUT / "street"), "--sampled", "1"]
        command += [*weights, *_named("--model", arguments), *_named("--label", arguments)]
        if subprocess.run(command, cwd=environments.ROOT).returncode:
            return 1
    publish(street is not None)
    return 0


def _named(option: str, arguments: list[str]) -> list[str]:
    """An option and its value, if it is among the arguments."""
    return arguments[arguments.index(option) :][:2] if option in arguments else []


def all_crops(command: list[str]) -> int:
    """Have all networks look at crops of one clip of each scene."""
    out = OUT / "crops"
    command = [str(out) if part == str(OUT) else part for part in command]
    if subprocess.run([*command, "--all-crops", "--every", str(SELDOM)], cwd=environments.ROOT).returncode:
        return 1
    (DOCS / "results-crops.md").write_text((out / "results.md").read_text("utf-8"), encoding="utf-8")
    return 0


def publish(street: bool) -> None:
    """Put the tables into docs/, the street's behind those of the scenes."""
    tables, rows = ((OUT / name).read_text("utf-8") for name in ("results.md", "results.csv"))
    if street:
        more, more_rows = ((OUT / "street" / name).read_text("utf-8") for name in ("results.md", "results.csv"))
        found = more[more.index("## ") :].replace("## ", "### ")
        tables += f"\n## The real street, one photograph held back\n\n{evaluation_street.NOTE}\n\n{found}"
        rows += more_rows.split("\n", 1)[1]
    (DOCS / "results.md").write_text(tables, encoding="utf-8")
    (DOCS / "results.csv").write_text(rows, encoding="utf-8")


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
