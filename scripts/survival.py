"""`make survival-test`: a Blender with a job in its queue, disturbed at random moments, loses and doubles nothing.

For each kind of job (building a 3D cache, painting a shot by the draft and by the diffusion painter) and each victim,
Blender or the backend, `--kills` times: a fresh copy of the file is opened in a Blender of its own, the job is begun,
and the victim is killed (SIGKILL) at a moment drawn by `--seed`; the stages take turns. Then a new Blender opens the
file and takes up what it is offered. If the backend was killed, the living Blender must say so in words; in half of
the runs it goes on with the job itself. In `--disturbed` more runs nobody is killed, but the artist undoes, redoes,
loads another file and comes back, loads the file again, saves, saves under another name, deletes the scene and undoes
that, renames it, and copies it, each at a random tick of the queue.

All must end as undisturbed: every file of the job byte for byte, one strip of the right scene, the same points and
poses; no finished file is made twice, no step of a reconstruction told twice, and no folder or process is left.
Writes out/interface/survival.json and prints a table.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kill_test
from kill_test import STARTING, Kind, Run, Test

SUBJECTS = Path(__file__).resolve().with_name("survival_subjects.py")
KINDS = ("build", "draft", "diffusion")
VICTIMS = ("blender", "backend")
NEVER_COMPARED = ("data/", "pantheon360_jobs/.")
"""What is no result: the registry, and the folder that a killed Blender was writing, which the next job removes."""


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    backend, blender = (kill_test.interpreter(each) for each in (options.backend, options.blender))
    os.environ["PANTHEON360_BACKEND_PYTHON"] = str(backend)
    figures: dict[str, Any] = {}
    record: dict[str, Any] = {"seed": options.seed, "blender": version_of(blender), "kinds": figures, "failures": []}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    for name in options.kinds:
        with tempfile.TemporaryDirectory(prefix="survival-", ignore_cleanup_errors=True) as place:
            test = Survival(name, blender, Path(place), random.Random(f"{options.seed} {name}"))
            before = list(record["failures"])
            for figures[name] in test.survive(options.kills, options.disturbed):
                record["failures"] = [*before, *(f"{name}: {failure}" for failure in test.failures)]
                options.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(table(figures))
    for failure in record["failures"]:
        print(f"FAILED {failure}")
    return 1 if record["failures"] else 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--kills", type=int, default=20, help="of each victim, for each kind (%(default)s)")
    made.add_argument("--disturbed", type=int, default=20, help="runs without a kill, for each kind (%(default)s)")
    made.add_argument("--seed", type=int, default=1, help="of the moments (%(default)s)")
    made.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="by default all")
    output = kill_test.OUT / "interface" / "survival.json"
    made.add_argument("--output", type=Path, default=output, help="figures (%(default)s)")
    for name, environment in (("backend", "backend"), ("blender", "blender-5.3")):
        place = kill_test.ENVIRONMENTS / environment / "bin" / "python"
        made.add_argument(f"--{name}", type=Path, default=place, metavar="PYTHON", help="(%(default)s)")
    return made


def version_of(python: Path) -> str:
    asked = [str(python), "-c", "import bpy; print(bpy.app.version_string)"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[-1]


class Survival(Test):
    """All runs of a kind of job. The stages are aimed at once: a kill that came later is at a random moment, too.

    verb: what Blender is started for now, with its options. victim: who is killed. said: what the last Blender said.
    """

    aimed = 1

    def __init__(self, name: str, python: Path, place: Path, moments: random.Random) -> None:
        kind = Kind(name, "blender", lambda python, folder: [], SUBJECTS)
        super().__init__(kind, python, place, moments)
        self._verb: list[str] = []
        self._victim, self._struck = "", ""
        self._counts: Counter[str] = Counter()

    def survive(self, kills: int, disturbed: int) -> Iterator[dict[str, Any]]:
        """Every run; the figures so far, after the kills of each victim and in the end."""
        self._verb = ["begin", "--save"]
        whole = self._undisturbed()
        expected, self._result = results(self._place / "whole"), said(self._place / "whole")
        stages: dict[str, float] = {}
        for stage, seconds in whole.stages:
            if stage != STARTING:  # until it is told, there is no job
                stages[stage] = max(stages.get(stage, 0.0), seconds)
        figures: dict[str, Any] = {"seconds": round(sum(stages.values()), 1)}
        for victim in VICTIMS:
            figures[victim] = self._kills(victim, kills, stages, expected)
            yield figures
        figures["artist"] = self._artist(disturbed, expected)
        yield figures

    def _kills(self, victim: str, kills: int, stages: dict[str, float], expected: dict[str, str]) -> dict[str, Any]:
        self._victim, self._counts = victim, Counter()
        known = [stage for stage in stages if victim == "blender" or stage not in ("Delivered", "Saved")]
        order = [known[index % len(known)] for index in range(kills)]
        self._random.shuffle(order)
        hits: Counter[str] = Counter()
        for number, stage in enumerate(order, 1):
            options = [option for option in ("--save", "--again") if self._random.random() < 0.5]
            self._verb = ["begin", *options]
            folder = self._place / "killed"
            run = self._kill(folder, stage, stages)
            hits[run.stages[-1][0] if victim == "blender" else self._struck] += 1
            self._check(f"{victim} {number}/{kills} ({stage}, {' '.join(options)})", run, folder, expected)
        return {"kills": kills, "stages": dict(hits), **self._counts}

    def _artist(self, runs: int, expected: dict[str, str]) -> dict[str, Any]:
        self._victim, self._counts = "", Counter()
        for number in range(1, runs + 1):
            seed = self._random.randrange(1_000_000)
            folder = self._place / "killed"
            kill_test.gone(folder)
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(self._original, folder, symlinks=True)
            self._verb = ["disturb", f"--seed={seed}", f"--ticks={self._result['ticks']}"]
            run = self._started(folder)
            try:
                self._to_end(run, folder)
            except RuntimeError as error:
                self._fail(f"disturbed {number}/{runs} ({seed})", [str(error)])
                continue
            self._counts.update(said(folder)["disturbed"])
            self._check(f"disturbed {number}/{runs} ({seed})", run, folder, expected)
        return {"runs": runs, **self._counts}

    def _strike(self, run: Run, deadline: float) -> str:
        if self._victim == "blender":
            return super()._strike(run, deadline)
        backend, self._struck = backend_of(run.child.pid), run.stage
        if backend is None or not run.stage:
            run.child.kill()
            return ""
        os.kill(backend, signal.SIGKILL)
        while run.read_until(deadline) and time.monotonic() < deadline:
            pass
        return self._struck if run.child.wait() == 0 else "Blender died with it"

    def _check(self, what: str, run: Run, folder: Path, expected: dict[str, str]) -> None:
        """Let a new Blender take up what is offered, and compare what is there in the end."""
        if self._victim != "blender" and not said(folder):
            self._fail(what, ["Blender did not come to an end"])
            return
        wrong = self._living(folder) if self._victim == "backend" else []
        done = said(folder).get("states") == ["delivered"]
        before = kill_test.finished(folder)
        begun = {path.name for path in (folder / "pantheon360_jobs").glob("[!.]*")}
        self._verb = ["restart"]
        again = self._started(folder)
        try:
            self._to_end(again, folder)
        except RuntimeError as error:
            self._fail(what, [*wrong, str(error)])
            return
        found = said(folder)
        offered = found["offered"]
        self._counts.update(f"offered: {condition}" for condition in offered)
        self._counts["not offered, for it was delivered and saved"] += not offered and done
        if len(offered) != (0 if done else 1) and not (self._victim == "blender" and run.stages[-1][0] == "Saved"):
            wrong.append(f"it was offered: {offered or 'not'}")
        wrong += [f"{name} is made twice" for name in kill_test.made_again(before, kill_test.finished(folder))]
        wrong += [f"{name} is done twice" for name in kill_test.steps_again(run, again)]
        wrong += kill_test.differences(expected, results(folder))
        if found["result"] != self._result["result"]:
            wrong.append(f"the file has {found['result']}")
        if found["states"] != ["delivered"] or found["left"] or found["errors"]:
            wrong.append(f"the list has {found['states']}, offers {found['left']}, says {found['errors']}")
        folders = {path.name for path in (folder / "pantheon360_jobs").iterdir()}
        if len(folders) != 1 or (begun and folders != begun):
            wrong.append(f"{sorted(folders)} instead of {sorted(begun) or 'one folder'}")
        left = self._temporary_files() - self._of_libraries
        wrong += [f"{name} is left in the folder for temporary files" for name in left]
        wrong += [] if kill_test.gone(folder) else ["a process is left"]
        self._fail(what, wrong)
        self._counts["delivered as undisturbed"] += not wrong

    def _living(self, folder: Path) -> list[str]:
        """What the Blender that lost its backend did not do as it should."""
        found = said(folder)
        error = found.get("failed", "")
        self._counts["failed with an error that says why"] += "was killed (SIGKILL)" in error
        self._counts["was not at work"] += "failed" not in found
        wrong = [f"{name} is made twice" for name in found.get("twice", ())]
        return wrong if "failed" not in found or "was killed (SIGKILL)" in error else [*wrong, f"it said {error!r}"]

    def _fail(self, what: str, wrong: list[str]) -> None:
        print(f"[survival] {self._kind.name}, {what}: {'; '.join(wrong) or 'as undisturbed'}", flush=True)
        self.failures += [f"{what}: {each}" for each in wrong]

    def _command(self, folder: Path) -> list[str]:
        verb, *options = self._verb
        return [str(self._python), "-B", str(SUBJECTS), verb, self._kind.name, str(folder), *options]


def backend_of(process: int) -> int | None:
    """The backend that a Blender has started, as Linux tells it."""
    for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
        if b"serve" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    return None


def said(folder: Path) -> dict[str, Any]:
    """What the last Blender said at its end; empty if it has not come to that."""
    path = folder / "data" / "said.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}  # type: ignore[no-any-return]


def results(folder: Path) -> dict[str, str]:
    """kill_test.contents, but for what is none."""
    found = kill_test.contents(folder)
    return {
        name: digest for name, digest in found.items() if not name.startswith(NEVER_COMPARED) and ".blend" not in name
    }


def table(figures: dict[str, Any]) -> str:
    lines = ["| Job | Disturbed by | What happened |", "|---|---|---|"]
    for name, entry in figures.items():
        for who in (*VICTIMS, "artist"):
            counts = {key: value for key, value in entry[who].items() if key != "stages"}
            lines.append(f"| {name} | {who} | {', '.join(f'{key} {value}' for key, value in counts.items())} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
