"""The engine: installed aside and renamed, gone on with, offline, refused before anything is done, and removed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pantheon360_blender.core.engine import install, installed, parts, preflight
from pantheon360_blender.core.errors import BackendError
from pantheon360_blender.core.progress import run_to_end

PYTHON = Path(sys.executable)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two packages of nothing, and a lock that asks for them alone."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("nothing_one", "nothing_two"):
        write_wheel(folder, name)
    lock = tmp_path / "lock.json"
    locked = {"reconstruction": ["nothing-one==1.0"], "importers": ["nothing-one==1.0", "nothing-two==1.0"]}
    lock.write_text(json.dumps({"parts": locked | {"diffusion": ["torch-of-tests==9 ; sys_platform == 'vms'"]}}))
    monkeypatch.setattr(parts, "LOCK", lock)
    small = {name: replace(part, download=1) for name, part in parts.PARTS.items()}
    small["reconstruction"] = replace(small["reconstruction"], modules=("nothing_one",))
    small["importers"] = replace(small["importers"], modules=("nothing_two",))
    small["diffusion"] = replace(small["diffusion"], modules=())
    monkeypatch.setattr(parts, "PARTS", small)
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return folder


def write_wheel(folder: Path, name: str) -> None:
    info = f"{name}-1.0.dist-info"
    members = {
        f"{name}.py": "VALUE = 1\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{member},,\n" for member in [*members, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for member, text in (members | {f"{info}/RECORD": record}).items():
            archive.writestr(member, text)


@pytest.fixture
def made(tmp_path: Path, wheels: Path) -> Callable[..., installed.Engine]:
    """made(*parts): installs these parts from the folder of packages, in a place with blanks and other alphabets."""

    def make(*names: str, root: Path | None = None) -> installed.Engine:
        place = root or tmp_path / "Ünïcode 空 dir"
        return run_to_end(install.install(place, flight(place, wheels, *names), wheels=wheels))

    return make


def flight(root: Path, wheels: Path | None, *names: str, **more: Any) -> preflight.Preflight:
    return preflight.check(root, names or ("reconstruction",), PYTHON, wheels=wheels, online=False, **more)


def test_an_engine_is_installed_gone_on_with_exchanged_and_removed(
    made: Callable[..., Any], wheels: Path, tmp_path: Path
) -> None:
    root = tmp_path / "Ünïcode 空 dir"
    old = made("reconstruction")
    assert installed.current(root) == old and old.parts == ["reconstruction"]
    code = "import nothing_one, sys; print(nothing_one.VALUE, sys.prefix)"
    told = subprocess.run([str(old.interpreter(root)), "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split(" ", 1) == ["1", f"{root / old.folder}\n"], "it knows its new name"
    assert "nothing-one" in (root / installed.LOG).read_text("utf-8").lower()
    assert {path.name for path in root.iterdir()} <= {old.folder, "engine.json", "engine.log", "wheels"}
    before = old.interpreter(root).lstat().st_mtime_ns
    assert made("reconstruction") == old and old.interpreter(root).lstat().st_mtime_ns == before, "there already"

    # Cancelled, then broken: the old one stays in use
    job = install.install(root, flight(root, wheels, "reconstruction", "importers"), wheels=wheels)
    for step in job:
        if step.phase == "Installing packages":
            break
    job.close()
    (building,) = root.glob("building-*")
    wheel = wheels / "nothing_two-1.0-py3-none-any.whl"
    wheel.rename(tmp_path / "away.whl")
    with pytest.raises(BackendError, match=r"Installing packages failed.*nothing-two") as failed:
        made("reconstruction", "importers")
    assert "engine.log" in failed.value.advice and installed.current(root) == old and building.exists()

    # Gone on with: the new one takes its place
    (tmp_path / "away.whl").rename(wheel)
    new = made("reconstruction", "importers")
    assert new.parts == ["reconstruction", "importers"] and installed.current(root) == new
    assert not list(root.glob("building-*")) and not (root / old.folder).exists()
    assert installed.remove(root) > 1000 and not root.exists() and installed.remove(root) == 0


def test_a_package_that_does_not_load_is_no_engine(
    made: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    absent = replace(parts.PARTS["reconstruction"], modules=("nothing_one", "nothing_three"))
    monkeypatch.setitem(parts.PARTS, "reconstruction", absent)
    with pytest.raises(BackendError, match="not whole: it lacks nothing_three"):
        made("reconstruction")
    assert installed.current(tmp_path / "Ünïcode 空 dir") is None


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_a_python_whose_environments_have_no_pip(wheels: Path, tmp_path: Path) -> None:
    """Debian's: `venv` fails for want of ensurepip. The Python that the engine is made with lends its pip."""
    stand_in = tmp_path / "python3"
    refuses = '*venv*--without-pip*) ;; *"-m venv"*) echo "ensurepip is not available"; exit 1;;'
    stand_in.write_text(f'#!/bin/sh\ncase "$*" in {refuses} esac\nexec "{PYTHON}" "$@"\n')
    stand_in.chmod(0o755)
    root = tmp_path / "engine"
    before = replace(flight(root, wheels), python=stand_in)
    engine = run_to_end(install.install(root, before, wheels=wheels))
    assert installed.current(root) == engine
    assert "ensurepip is not available" in (root / installed.LOG).read_text("utf-8")


# Before anything is done


def test_without_leave_no_socket_is_opened(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(subprocess, "Popen", refused)
    with pytest.raises(BackendError, match="may not use the network") as told:
        flight(tmp_path, None)
    assert told.value.code == "offline" and "engine download" in told.value.advice and told.value.repair
    assert installed.current(tmp_path) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"names": ("reconstruction", "gravity")}, "no part 'gravity'"),
        ({"names": ()}, "No part was chosen"),
        ({"wheels": Path("/nowhere/at/all")}, "no folder of packages"),
        ({"python": Path("/nowhere/python")}, "cannot be run"),
        ({"python": Path("/bin/true") if os.name != "nt" else Path("python")}, "is no Python"),
        ({"device": "abacus"}, "no device 'abacus'"),
    ],
)
def test_what_cannot_work_is_said_beforehand(wheels: Path, tmp_path: Path, change: dict[str, Any], told: str) -> None:
    arguments = {"names": ("reconstruction",), "python": PYTHON, "wheels": wheels} | change
    with pytest.raises(BackendError, match=told):
        preflight.check(tmp_path / "root", arguments.pop("names"), arguments.pop("python"), **arguments)
    assert not (tmp_path / "root").exists()


def test_too_little_room_is_said_beforehand(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_free", lambda root: 1_000_000)
    with pytest.raises(BackendError, match=r"0\.0 GB free, and 0\.0 GB are needed") as told:
        flight(tmp_path, wheels)
    assert told.value.code == "disk"


def test_an_old_python_is_refused(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_VERSION", "print('3.9.2')")
    with pytest.raises(BackendError, match=r"is Python 3\.9\.2; 3\.11 or newer is needed"):
        flight(tmp_path, wheels)


@pytest.mark.parametrize(
    ("said", "device", "why"),
    [
        ("NVIDIA H100 PCIe, 580.65.06", "cuda-13.0", "NVIDIA H100 PCIe"),
        ("NVIDIA RTX 3060, 565.90", "cuda-12.6", "CUDA 12.6"),
        ("Quadro, 470.1", "cpu", "too old"),
        ("", "cpu", "no NVIDIA driver"),
    ],
)
def test_the_device_follows_the_driver(said: str, device: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tuple(part.strip() for part in said.rsplit(",", 1)) if said else None
    monkeypatch.setattr(preflight, "_nvidia", lambda: told)
    monkeypatch.setattr(sys, "platform", "linux")
    found, because = preflight.best_device()
    assert found == device and why in because
    assert parts.download_size(["diffusion"], found) >= parts.download_size(["diffusion"], "cpu")


# The lock, and what lies there


def test_the_lock_names_every_package_for_every_part() -> None:
    for name, part in parts.PARTS.items():
        lines = parts.locked([name])
        assert all("==" in line for line in lines) and part.modules
        assert any(line.startswith("numpy==") for line in lines), "all parts have numpy"
    assert not any(line.startswith(("nvidia", "triton")) for line in parts.locked(list(parts.PARTS)))
    names = {parts.digest(names, device, python) for names, device, python in (
        (["reconstruction"], "cpu", "3.11"), (["reconstruction"], "cpu", "3.13"), (["diffusion"], "cpu", "3.11"),
        (["diffusion"], "cuda-13.0", "3.11"),
    )}  # fmt: skip
    assert len(names) == 4
    assert parts.digest(["reconstruction"], "cpu", "3.11") == parts.digest(["reconstruction"], "mps", "3.11")


OUTSIDE = {"folder": "../x", "parts": [], "device": "", "python": "", "made": ""}


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"folder": 3}', json.dumps(OUTSIDE)])
def test_a_damaged_record_is_no_engine(tmp_path: Path, record: str) -> None:
    (tmp_path / installed.RECORD).write_text(record)
    assert installed.current(tmp_path) is None
