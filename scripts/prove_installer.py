"""`python scripts/prove_installer.py [--real]`: the engine's installer, interrupted, offline, watched and starved.

Small parts of tiny packages come from a registry on this computer (tests/stand_in_engine.py). With --real the parts
Reconstruction and Importers are installed from PyPI, too: killed and gone on with, tested, measured, downloaded into a
folder and installed from that. What needs root, strace or Linux is left out with the reason where it is missing.
Writes out/interface/installer.json; the exit code is 1 if something was not as it should be.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import environments

ROOT = environments.ROOT
OUT = ROOT / "out" / "interface" / "installer.json"
MODULE = "tests.stand_in_engine"
REAL = ROOT / "backend" / "engine_lock.json"
MOMENTS = ("Making an environment", "Downloaded nothing-one", "rename")
ODD_NAME = "Ünïcode 空 dir"
SECOND = "nothing_two-1.0-py3-none-any.whl"
NETWORK = ("AF_INET",)
PATIENCE = 1800.0

Facts = dict[str, Any]


class Missing(Exception):
    """What a proof needs and this computer lacks."""


class Proofs:
    """The proofs, each in a folder of its own below `place`."""

    def __init__(self, place: Path) -> None:
        from tests import stand_in_engine

        self.tools = stand_in_engine
        self.place = place
        self.packages: Path = stand_in_engine.make_folder(place / "packages")
        self.lock: Path = stand_in_engine.write_lock(place / "lock.json")

    def killed_and_resumed(self) -> Facts:
        """SIGKILL at three moments; the next installation asks for nothing that had come."""
        found: Facts = {}
        for moment in MOMENTS:
            with self._registry(held=() if moment == "rename" else (SECOND,)) as (registry, lock, more):
                root = self.place / "killed" / moment.replace(" ", "-").lower()
                killed = self._install(lock, root, "reconstruction,importers", "--kill-at", moment, more=more)
                had = {name for name, count in registry.got.items() if count and name.endswith(".whl")}
                asked = dict(registry.asked)
                in_use = (root / "engine.json").exists()
                registry.release()
                resumed = self._install(lock, root, "reconstruction,importers", more=more)
                again = sorted(name for name in had if registry.asked[name] > asked[name])
                found[moment] = {
                    "killed_by_signal": -killed.returncode,
                    "half_an_engine_in_use": in_use,
                    "there_when_killed": sorted(had),
                    "resumed": resumed.returncode == 0 and self._loads(root, "nothing_one, nothing_two"),
                    "downloaded_again": again,
                    "left_behind": self._left(root),
                }
        good = all(
            each["killed_by_signal"] == 9 and each["resumed"] and not each["half_an_engine_in_use"]
            and not each["downloaded_again"] and not each["left_behind"]
            for each in found.values()
        )  # fmt: skip
        return {"as_it_should_be": good} | found

    def offline_from_a_folder(self) -> Facts:
        """In a folder with blanks and other alphabets, in a network namespace without a network, watched by strace."""
        root = self.place / ODD_NAME
        command = self._command(self.lock, root, "reconstruction,importers", "--wheels", str(self.packages))
        traced, sockets = self._traced([_tool("unshare"), "--net", *command], "offline")
        with self._registry() as (_, lock, more):  # a watch that sees nothing would prove nothing
            seen = self._traced(self._command(lock, self.place / "online", "importers"), "online", more=more)[1]
        return {
            "as_it_should_be": traced.returncode == 0
            and self._loads(root, "nothing_two")
            and not sockets
            and bool(seen),
            "internet_sockets_of_the_same_from_a_registry": len(seen),
            "installed": traced.returncode == 0,
            "network_namespace": "empty",
            "internet_sockets": sockets,
            "said": traced.stdout.splitlines()[-1:],
        }

    def without_permission(self) -> Facts:
        """Blender may not use the network and there is no folder: refused, and no socket of any kind is made."""
        root = self.place / "refused"
        traced, sockets = self._traced(
            self._command(self.lock, root, "reconstruction", "--offline"), "refused", every=True
        )
        refused = traced.returncode == 1 and "error offline" in traced.stdout
        return {
            "as_it_should_be": refused and not sockets and not root.exists(),
            "sockets_in_the_process_and_its_children": sockets,
            "said": traced.stdout.strip(),
        }

    def too_little_disk(self) -> Facts:
        """A disk that is too small from the beginning, and one that fills up while packages come."""
        with self._disk("small", 64) as disk:
            small = self._install(self.lock, disk / "engine", "reconstruction", "--wheels", str(self.packages))
            left = sorted(path.name for path in disk.iterdir())
        with self._disk("filling", 300) as disk, self._registry(held=(SECOND,)) as (registry, lock, more):
            root = disk / "engine"
            first = self._install(lock, root, "reconstruction", more=more)
            record = (root / "engine.json").read_bytes()
            command = self._command(lock, root, "reconstruction,importers")
            with subprocess.Popen(command, cwd=ROOT, env=_environment(more), stdout=subprocess.PIPE, text=True) as job:
                while not registry.asked[SECOND]:
                    time.sleep(0.02)
                _fill(disk / "ballast")
                registry.release()
                said = (job.communicate()[0] or "").splitlines()
            untouched = (root / "engine.json").read_bytes() == record and self._loads(root, "nothing_one")
            behind = self._left(root)
            (disk / "ballast").unlink()
            again = self._install(lock, root, "reconstruction,importers", more=more)
        return {
            "as_it_should_be": "error disk" in small.stdout and not left and first.returncode == 0 and untouched
            and not behind and job.returncode == 1 and "is full" in said[-1] and again.returncode == 0,
            "too_small_said": small.stdout.strip(), "too_small_left": left,
            "filled_up_said": said[-1], "old_engine_untouched": untouched, "left_behind": behind,
            "with_room_again": again.returncode == 0,
        }  # fmt: skip

    def python_without_venv(self) -> Facts:
        """A Python that has neither venv nor ensurepip nor pip."""
        root, python = self.place / "no-venv", self.tools.python_without_venv(self.place / "python")
        made = self._install(
            self.lock, root, "reconstruction", "--wheels", str(self.packages), "--python", str(python)
        )  # fmt: skip
        return {"as_it_should_be": made.returncode == 0 and self._loads(root, "nothing_one"), "said": _last(made)}

    def python_fetched(self) -> Facts:
        """Blender has a Python that the lock has no packages for: uv fetches another, here from a file of this disk."""
        record, version = json.loads(self.lock.read_text("utf-8")), f"3.{sys.version_info[1]}"
        record["pythons"] = {kind: {part: [version] for part in table} for kind, table in record["pythons"].items()}
        lock, root = self.place / "fetching.json", self.place / "fetched"
        more = {"UV_PYTHON_DOWNLOADS_JSON_URL": _python_archive(self.place / "mirror").as_uri()}
        with self._registry() as (_, registry, index):
            record["uv"] = json.loads(registry.read_text("utf-8"))["uv"]
            lock.write_text(json.dumps(record), "utf-8")
            made = self._install(lock, root, "reconstruction", "--blenders-python", "3.99.0", more=more | index)
        fetched = sorted(path.name for path in (root / "pythons").glob("cpython-*"))
        good = made.returncode == 0 and self._loads(root, "nothing_one") and bool(fetched)
        return {"as_it_should_be": good, "fetched": fetched, "plan": made.stdout.splitlines()[:1], "said": _last(made)}

    def for_real(self) -> Facts:
        """Reconstruction from PyPI: killed, gone on with, tested; Importers added; a folder made and used."""
        root = self.place / "real"
        found: Facts = {}
        for moment in (MOMENTS[0], "Downloaded scipy", MOMENTS[2]):
            killed = self._install(REAL, root, "reconstruction", "--kill-at", moment)
            had = _downloads(killed.stdout)
            time.sleep(2.0)  # what uv had in hand when its parent was killed
            resumed = self._measured(root, "reconstruction", tested=moment == MOMENTS[2])
            found[f"killed at {moment}"] = resumed | {
                "there_when_killed": had,
                "downloaded_again": sorted(set(had) & set(resumed["downloaded"])),
                "left_behind": self._left(root),
            }
            shutil.rmtree(root)
        found["reconstruction"] = self._measured(root, "reconstruction")
        found["importers_added"] = self._measured(root, "reconstruction,importers")
        found["folder_of_importers"] = self._folder("importers")
        found["folder_of_reconstruction"] = self._folder("reconstruction")
        found["offline"] = self._offline(self.place / "reconstruction" / "packages")
        killed_ones = [each for name, each in found.items() if name.startswith("killed")]
        good = not any(each["downloaded_again"] or each["left_behind"] for each in killed_ones)
        good = good and not found["offline"]["internet_sockets"]
        good = good and all(each.get("installed", True) and each.get("made", True) for each in found.values())
        tests = [each["self_test"]["passed"] for each in found.values() if "self_test" in each]
        return {"as_it_should_be": good and all(tests)} | found

    def _measured(self, root: Path, names: str, *, tested: bool = True) -> Facts:
        """What installing these parts takes, and whether they work."""
        from pantheon360_blender.core.engine import installed

        started = time.monotonic()
        made = self._install(REAL, root, names)
        seconds = round(time.monotonic() - started, 1)
        engine = installed.current(root)
        if engine is None:
            return {"installed": False, "said": made.stdout, "downloaded": [], "self_test": {"passed": False}}
        return {
            "installed": made.returncode == 0,
            "seconds": seconds,
            "downloaded": _downloads(made.stdout),
            "megabytes_on_disk": round(installed.size(root) / 1e6),
            "megabytes_of_engine": round(installed.size(root / engine.folder) / 1e6),
            "python": engine.python,
        } | ({"self_test": self._self_test(root, *engine.parts)} if tested else {})

    def _folder(self, name: str) -> Facts:
        """What `engine download` of a part takes."""
        started = time.monotonic()
        made = self._install(REAL, self.place / name, name, "--download")
        sizes = {path.name: path.stat().st_size / 1e6 for path in (self.place / name / "packages").glob("*.whl")}
        return {
            "made": made.returncode == 0,
            "seconds": round(time.monotonic() - started, 1),
            "megabytes_of_packages": round(sum(size for each, size in sizes.items() if not each.startswith("uv-")), 1),
            "megabytes_of_uv": round(sum(size for each, size in sizes.items() if each.startswith("uv-")), 1),
            "files": len(sizes),
            "said": _last(made),
        }

    def _offline(self, wheels: Path) -> Facts:
        """Reconstruction from a folder, without a network."""
        root, started = self.place / ODD_NAME / "real", time.monotonic()
        command = self._command(REAL, root, "reconstruction", "--wheels", str(wheels))
        made, sockets = self._traced([_tool("unshare"), "--net", *command], "real")
        return {
            "installed": made.returncode == 0,
            "seconds_under_strace": round(time.monotonic() - started, 1),
            "internet_sockets": sockets,
            "said": _last(made),
            "self_test": self._self_test(root, "reconstruction"),
        }

    # What they share

    def _command(self, lock: Path, root: Path, parts: str, *options: str) -> list[str]:
        return [sys.executable, "-m", MODULE, str(lock), str(root), parts, *options]

    def _install(
        self, lock: Path, root: Path, parts: str, *options: str, more: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(lock, root, parts, *options), cwd=ROOT, env=_environment(more or {}), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=PATIENCE,
        )  # fmt: skip

    def _traced(
        self, command: list[str], name: str, *, every: bool = False, more: dict[str, str] | None = None
    ) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        """A command under strace, and the lines of all its processes that make or connect a socket of the internet.

        every: sockets of all kinds.
        """
        trace = self.place / f"{name}.strace"
        watched = [_tool("strace"), "-f", "--seccomp-bpf", "-qq", "-e", "trace=socket,connect", "-o", str(trace)]
        done = subprocess.run(
            [*watched, *command],
            cwd=ROOT,
            env=_environment(more or {}),
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )
        lines = [
            line for line in trace.read_text(errors="replace").splitlines() if "socket(" in line or "connect(" in line
        ]
        return done, [line for line in lines if every or any(word in line for word in NETWORK)]

    @contextmanager
    def _registry(self, held: tuple[str, ...] = ()) -> Iterator[tuple[Any, Path, dict[str, str]]]:
        """A registry, a lock whose uv is there, and the variables that name it."""
        with closing(self.tools.Registry(self.packages, held)) as registry:
            lock = self.place / f"lock-{hashlib.sha256(registry.url.encode()).hexdigest()[:8]}.json"
            self.tools.write_lock(lock, f"{registry.url}/{self.tools.uv_wheel().name}")
            yield registry, lock, {"UV_DEFAULT_INDEX": f"{registry.url}/simple"}

    @contextmanager
    def _disk(self, name: str, megabytes: int) -> Iterator[Path]:
        """A disk of this size."""
        if sys.platform != "linux" or os.geteuid() != 0:
            raise Missing("a small disk can be mounted by root on Linux alone")
        folder = self.place / name
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            raise Missing("this root may not mount")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)

    def _loads(self, root: Path, modules: str) -> bool:
        """Whether the engine in use loads these modules."""
        from pantheon360_blender.core.engine import installed

        engine = installed.current(root)
        if engine is None:
            return False
        return subprocess.run([str(engine.interpreter(root)), "-c", f"import {modules}"]).returncode == 0

    def _left(self, root: Path) -> list[str]:
        """What lies in a root of engines besides the engine in use and the cache, or half in the cache."""
        from pantheon360_blender.core.engine import installed

        engine = installed.current(root)
        known = {engine.folder if engine else "", "engine.json", "engine.log", "run.lock", *installed.KEPT}
        halves = [path.name for path in (root / "cache").rglob(".tmp*")]
        return sorted(path.name for path in root.iterdir() if path.name not in known) + halves

    def _self_test(self, root: Path, *names: str) -> Facts:
        from pantheon360_blender.core.engine import installed

        engine = installed.current(root)
        if engine is None:
            return {"passed": False}
        command = [str(engine.interpreter(root)), "-B", "-X", "utf8", "-m", "backend", "self-test", *names]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
        lines = told.stdout.strip().splitlines() or ["null"]
        return {"passed": told.returncode == 0, "said": json.loads(lines[-1]) if told.returncode == 0 else told.stderr}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--real", action="store_true", help="install Reconstruction and Importers from PyPI, too")
    chosen = parser.parse_args(arguments)
    sys.path.insert(0, str(ROOT))
    from tests import stand_in_engine as tools

    record: Facts = {"computer": platform.platform(), "python": platform.python_version()}
    if OUT.is_file():
        record["for_real"] = json.loads(OUT.read_text("utf-8")).get("for_real")
    with tempfile.TemporaryDirectory(prefix="pantheon360-installer-") as place:
        proofs = Proofs(Path(place))
        wanted: list[Callable[[], Facts]] = [
            proofs.killed_and_resumed, proofs.offline_from_a_folder, proofs.without_permission, proofs.too_little_disk,
            proofs.python_without_venv, proofs.python_fetched,
        ]  # fmt: skip
        for proof in [*wanted, *([proofs.for_real] if chosen.real else [])]:
            started = time.monotonic()
            try:
                facts = proof()
            except (Missing, tools.Unavailable) as reason:
                facts = {"left_out": str(reason)}
            record[proof.__name__] = facts | {"seconds": round(time.monotonic() - started, 1)}
            print(
                f"[prove_installer] {proof.__name__}: {facts.get('as_it_should_be', facts.get('left_out'))}", flush=True
            )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"[prove_installer] {OUT.relative_to(ROOT)}")
    return (
        1 if any(isinstance(facts, dict) and facts.get("as_it_should_be") is False for facts in record.values()) else 0
    )


def _environment(more: dict[str, str]) -> dict[str, str]:
    return os.environ | more


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None or sys.platform != "linux" or os.geteuid() != 0:
        raise Missing(f"{name} is needed, and root")
    return found


def _last(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stdout.strip().splitlines() or [""])[-1]


def _downloads(said: str) -> list[str]:
    """The packages that uv says it has downloaded."""
    return sorted(line.split("Downloaded ", 1)[1] for line in said.splitlines() if "Downloaded " in line)


def _fill(ballast: Path) -> None:
    """Write until the disk is full."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


def _python_archive(folder: Path) -> Path:
    """This Python as uv fetches one: an archive, and the list that names it."""
    folder.mkdir()
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve().parents[1]
    archive = folder / "python.tar.gz"
    unwanted = {"test", "tests", "site-packages", "__pycache__", "include", "share", "idlelib", "tkinter"}
    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        packed.add(base, "python", filter=lambda member: None if unwanted & set(Path(member.name).parts) else member)
    full = platform.python_version()
    major, minor, patch = (int(number) for number in full.split("."))
    entry = {
        "name": "cpython", "arch": {"family": platform.machine(), "variant": None}, "os": "linux", "libc": "gnu",
        "major": major, "minor": minor, "patch": patch, "prerelease": "", "url": archive.as_uri(),
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(), "variant": None, "build": None,
    }  # fmt: skip
    listed = folder / "downloads.json"
    listed.write_text(json.dumps({f"cpython-{full}-linux-{platform.machine()}-gnu": entry}), "utf-8")
    return listed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
