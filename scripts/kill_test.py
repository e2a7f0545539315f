"""`make kill-test`: kill -9 at random moments of painting, reconstruction and Blender's Generate.

Each kind of job is run undisturbed once. Then, `--kills` times for each kind, a fresh copy of it is killed: the stages
take turns, the moment within a stage is random, by `--seed`. What was killed is run again, to its end. Its results
must have the bytes of the undisturbed run, and nothing else may be left of the kill: no file in the folder that the
undisturbed run does not have, no temporary file, no process. Nothing that was finished may be done twice: its file
stays the same one, and steps that were told to be over are not told again.
Writes out/kill-test.json and prints a table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out"
ENVIRONMENTS = ROOT / ".environments"
MAKER = ROOT / "scripts" / "kill_subjects.py"
PATIENCE = 300.0
"""Seconds after which a run is taken to hang."""
STARTING = "starting"
"""What comes before the first progress."""
TRIES, AIMED = 12, 4
"""Runs for each kill, for some end before their moment has come; how many of them have to hit the very stage."""
OF_A_RUN = re.compile(r"log\.txt|state\.json|run\.lock|preview\.png|painting\.json|report\.json|job\.json")
"""Files that tell of the run and differ from one to the next."""
FINISHED = re.compile(r"(?:.*/)?(?:(?:frames|segments|depth)/[^.][^/]*|poses\.json|cache\.npz)")
"""Files that are whole once they are there, so that a run which goes on leaves them as they are."""
STEPS = re.compile(r"Sweeping|Matching at .*")
"""Phases whose every step is kept when the next one begins."""


@dataclass(frozen=True)
class Kind:
    """A kind of job. python: which of the interpreters given runs it. command: what runs it in a folder by that.

    maker: the script that makes it: MAKER NAME FOLDER.
    """

    name: str
    python: str
    command: Callable[[Path, Path], list[str]]
    maker: Path = MAKER


def run_job(python: Path, folder: Path) -> list[str]:
    return run_job_at(python, folder / "job")


def generate(python: Path, folder: Path) -> list[str]:
    verb = ["generate", str(folder / "shot.blend"), "--json"]
    return [str(python), "-B", str(MAKER), "command", str(folder), *verb]


KINDS = (
    Kind("draft", "backend", run_job),
    Kind("diffusion", "backend", run_job),
    Kind("reconstruction", "backend", run_job),
    Kind("blender", "blender", generate),
)


@dataclass
class Run:
    """A run of a job. stage: the last that it told, empty once it has ended. stages: those before it, with seconds.

    steps: what it told of STEPS, phase and number, in their order.
    """

    child: subprocess.Popen[bytes]
    lines: queue.Queue[bytes] = field(default_factory=queue.Queue)
    stage: str = STARTING
    stages: list[tuple[str, float]] = field(default_factory=list)
    steps: list[tuple[str, int]] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    def read_until(self, deadline: float) -> bool:
        """Take in what was told, until a new stage begins, the child has ended, or the time is over.

        Returns whether the child still speaks.
        """
        while self.stage and (left := deadline - time.monotonic()) > 0:
            try:
                line = self.lines.get(timeout=left)
            except queue.Empty:
                return True
            if not line:
                self._enter("")
                return False
            told = told_by(line)
            if told and STEPS.fullmatch(told[0]) and told not in self.steps:
                self.steps.append(told)
            if told and (stage := stage_of(told[0])) != self.stage:
                self._enter(stage)
                return True
        return bool(self.stage)

    def _enter(self, stage: str) -> None:
        now = time.monotonic()
        self.stages.append((self.stage, now - self.since))
        self.stage, self.since = stage, now


def told_by(line: bytes) -> tuple[str, int] | None:
    """Phase and step of a line of progress; None if it is none."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or record.get("kind") != "progress":
        return None
    return str(record["phase"]), int(record["step"])


def stage_of(phase: str) -> str:
    """The stage that a phase belongs to, the same for all clips and widths."""
    return re.sub(r", clip .*|: .*| at \w+ width", "", phase)


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    chosen = [kind for kind in KINDS if kind.name in options.kinds]
    figures, failures = {}, []
    for kind in chosen:
        python = interpreter(getattr(options, kind.python))
        with tempfile.TemporaryDirectory(prefix="kill-test-", ignore_cleanup_errors=True) as place:
            test = Test(kind, python, Path(place), random.Random(f"{options.seed} {kind.name}"))
            figures[kind.name] = test.run(options.kills, options.stage)
            failures += [f"{kind.name}: {failure}" for failure in test.failures]
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(table(figures))
    for failure in failures:
        print(f"FAILED {failure}")
    return 1 if failures else 0


def parser() -> argparse.ArgumentParser:
    names = [kind.name for kind in KINDS]
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--kills", type=int, default=50, help="of each kind (%(default)s)")
    made.add_argument("--seed", type=int, default=1, help="of the moments (%(default)s)")
    made.add_argument("--kinds", nargs="+", choices=names, default=names, help="by default all")
    made.add_argument("--stage", default="", help="kill in this one alone, as soon as it is told; by default in all")
    made.add_argument("--output", type=Path, default=OUT / "kill-test.json", help="figures (%(default)s)")
    for name, environment in (("backend", "backend"), ("blender", "blender-4.5")):
        place = ENVIRONMENTS / environment / "bin" / "python"
        made.add_argument(f"--{name}", type=Path, default=place, metavar="PYTHON", help="(%(default)s)")
    return made


def interpreter(path: Path) -> Path:
    """An interpreter that is there: this script makes none, for it would take it away from whoever is using it."""
    if not path.exists():
        sys.exit(f"There is no {path}. Make it: python scripts/environments.py backend blender-4.5")
    return path.absolute()


class Test:
    """All kills of a kind of job. aimed: as AIMED."""

    aimed = AIMED

    def __init__(self, kind: Kind, python: Path, place: Path, moments: random.Random) -> None:
        self.failures: list[str] = []
        self._of_libraries = {"#"}  # Blender's own folder of a session; others are those of an undisturbed run
        self._kind, self._python, self._place, self._random = kind, python, place, moments
        self._temporary = place / "tmp"
        self._temporary.mkdir()
        self._errors = place / "errors.txt"
        self._original = place / "original"
        self._original.mkdir()
        made = [str(python), "-B", str(kind.maker), kind.name, str(self._original)]
        subprocess.run(made, check=True, cwd=ROOT, env=self._environment())

    def run(self, kills: int, only: str = "") -> dict[str, Any]:
        """Kill so often, and say how many kills hit each stage. only: a stage that is to be hit at its beginning."""
        whole = self._undisturbed()
        stages: dict[str, float] = {}
        for stage, seconds in whole.stages:
            stages[stage] = max(stages.get(stage, 0.0), seconds)
        expected = contents(self._place / "whole")
        if only:
            stages = {only: 0.0}
        order = [list(stages)[index % len(stages)] for index in range(kills)]
        self._random.shuffle(order)
        hits: Counter[str] = Counter(dict.fromkeys(stages, 0))
        for number, stage in enumerate(order, 1):
            folder = self._place / "killed"
            run = self._kill(folder, stage, stages)
            hit = run.stages[-1][0]
            hits[hit] += 1
            before = len(self.failures)
            self._finish(run, folder, expected, f"kill {number} ({hit})")
            told = "as undisturbed" if len(self.failures) == before else "DIFFERS"
            print(f"[kill-test] {self._kind.name} {number}/{kills}: killed in {hit!r}; {told}", flush=True)
        seconds = sum(seconds for _, seconds in whole.stages)
        return {"kills": kills, "failures": len(self.failures), "seconds": round(seconds, 1), "hits": dict(hits)}

    def _undisturbed(self) -> Run:
        folder = Path(shutil.copytree(self._original, self._place / "whole", symlinks=True))
        run = self._started(folder)
        self._to_end(run, folder)
        self._of_libraries |= self._temporary_files()
        return run

    def _kill(self, folder: Path, stage: str, stages: dict[str, float]) -> Run:
        """Kill a fresh copy of the job in a stage; the last stage of the run is the one in which it was.

        Some stages take a millisecond: after some tries that missed it, a kill in any other one is as good.
        """
        for trial in range(TRIES):
            gone(folder)  # a child of the last one may still be at its last step
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(self._original, folder, symlinks=True)
            aim = stage if trial < self.aimed else self._random.choice(list(stages))
            run = self._started(folder)
            hit = self._killed(run, aim, stages[aim])
            if hit == stage or (hit and trial + 1 >= self.aimed):
                return run
        raise RuntimeError(f"{self._kind.name} ended {TRIES} times before it could be killed in {stage!r}")

    def _killed(self, run: Run, stage: str, seconds: float) -> str:
        """Kill a run at a random moment of a stage; where it was, empty if it had ended. A stage comes once a clip."""
        later = self._random.choice([0, 0, 0, 1, 2])
        deadline = time.monotonic() + PATIENCE
        while run.stage != stage or later > 0:
            later -= run.stage == stage
            if not run.read_until(deadline):
                break
        time.sleep(self._random.uniform(0.0, seconds))
        return self._strike(run, deadline)

    def _strike(self, run: Run, deadline: float) -> str:
        """Kill a run; where it was, empty if it had ended."""
        run.child.send_signal(signal.SIGKILL)
        code = run.child.wait()
        while run.read_until(deadline) and time.monotonic() < deadline:  # what it told meanwhile
            pass
        return run.stages[-1][0] if code == -signal.SIGKILL else ""

    def _finish(self, killed: Run, folder: Path, expected: dict[str, str], what: str) -> None:
        """Run what was killed again, and compare."""
        if not gone(folder):
            self.failures.append(f"{what}: a process is left")
        before = finished(folder)
        again = self._started(folder)
        try:
            self._to_end(again, folder)
        except RuntimeError as error:
            self.failures.append(f"{what}: {error}")
            return
        for sealed in sorted(folder.glob("pantheon360_jobs/*/job.json")):  # one that was killed is a job to go on with
            command = run_job_at(self._python, sealed.parent)
            if subprocess.run(command, cwd=ROOT, env=self._environment(), capture_output=True).returncode:
                self.failures.append(f"{what}: {sealed.parent.name} cannot be gone on with")
        self.failures += [f"{what}: {name} is made twice" for name in made_again(before, finished(folder))]
        self.failures += [f"{what}: {name} is done twice" for name in steps_again(killed, again)]
        found = contents(folder)
        self.failures += [f"{what}: {difference}" for difference in differences(expected, found)]
        left = self._temporary_files() - self._of_libraries
        self.failures += [f"{what}: {name} is left in the folder for temporary files" for name in left]

    def _temporary_files(self) -> set[str]:
        """The kinds of names in the folder for temporary files, which is empty afterwards."""
        names = set()
        for path in self._temporary.iterdir():
            names.add(re.sub(r"^blender_\w+|\d+", "#", path.name))
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        return names

    def _started(self, folder: Path) -> Run:
        with self._errors.open("wb") as errors:
            child = subprocess.Popen(
                self._command(folder),
                cwd=ROOT,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        run = Run(child)
        threading.Thread(target=_read, args=(run,), daemon=True).start()
        return run

    def _command(self, folder: Path) -> list[str]:
        return self._kind.command(self._python, folder)

    def _to_end(self, run: Run, folder: Path) -> None:
        deadline = time.monotonic() + PATIENCE
        while run.read_until(deadline):
            if time.monotonic() > deadline:
                run.child.kill()
                raise RuntimeError(f"{folder} takes longer than {PATIENCE:g} s")
        if run.child.wait() != 0:
            said = self._errors.read_text(errors="replace").splitlines() or ["nothing"]
            raise RuntimeError(f"{folder} ended with {run.child.returncode}, its last words: {said[-1]}")

    def _environment(self) -> dict[str, str]:
        """Temporary files in a folder of their own, so that those that are left show; no person's files are touched."""
        own = {"TMPDIR": "tmp", "BLENDER_USER_RESOURCES": "resources", "XDG_DATA_HOME": "data"}
        return {**os.environ, **{name: str(self._place / folder) for name, folder in own.items()}}


def run_job_at(python: Path, folder: Path) -> list[str]:
    return [str(python), "-B", "-m", "backend", "run", str(folder), "--json"]


def _read(run: Run) -> None:
    assert run.child.stdout is not None
    for line in run.child.stdout:
        run.lines.put(line)
    run.lines.put(b"")


def gone(folder: Path, seconds: float = 15.0) -> bool:
    """Whether no process is left that was started for this folder: children end when their parent does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(str(folder).encode() in command for command in _commands()):
            return True
        time.sleep(0.05)
    return False


def _commands() -> list[bytes]:
    """Command lines and open folders of the other processes of this computer, as Linux tells them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name != str(os.getpid()):
            try:
                found.append((process / "cmdline").read_bytes())
                found += [os.fsencode(each.readlink()) for each in (process / "fd").iterdir()]
            except OSError:
                continue
    return found


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its path; job folders of Blender are called alike, what tells of the run is not read."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not path.is_file() or path.is_symlink() or relative.parts[0] in ("repository", "model"):
            continue
        name = re.sub(r"^pantheon360_jobs/[^/]+-[0-9a-f]{8}/", "pantheon360_jobs/SHOT/", relative.as_posix())
        told = OF_A_RUN.fullmatch(path.name) or path.suffix.startswith(".blend")
        digest = "" if told else hashlib.sha256(path.read_bytes()).hexdigest()
        found[name] = digest if found.get(name, digest) == digest else "of two jobs, which differ"
    return found


def finished(folder: Path) -> dict[str, tuple[int, int]]:
    """What tells a file from one written in its place, of each that is whole: its number and time of change in ns."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if FINISHED.fullmatch(name) and path.is_file() and not path.is_symlink():
            status = path.stat()
            found[name] = (status.st_ino, status.st_mtime_ns)
    return found


def made_again(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> list[str]:
    """The files that were whole before and were written again; one that is gone is not among them."""
    return [name for name in before if name in after and after[name] != before[name]]


def steps_again(killed: Run, again: Run) -> list[str]:
    """The steps that the killed run had gone past and the next one did again."""
    return [f"{phase}, step {step}" for phase, step in killed.steps[:-1] if (phase, step) in again.steps]


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """What is missing, differs, or is left over."""
    missing = [f"{name} is missing" for name in expected if name not in found]
    wrong = [f"{name} differs" for name in expected if name in found and found[name] != expected[name]]
    return missing + wrong + [f"{name} is left over" for name in found if name not in expected]


def table(figures: dict[str, Any]) -> str:
    lines = ["| what was killed | kills | differ | in which stage |", "|---|---|---|---|"]
    for name, entry in figures.items():
        hits = ", ".join(f"{stage} {count}" for stage, count in entry["hits"].items())
        lines.append(f"| {name} | {entry['kills']} | {entry['failures']} | {hits} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
