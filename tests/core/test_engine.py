"""The engine: installed aside and renamed, gone on with, offline, refused before anything is done, and removed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pantheon360_blender.core import files, plugins
from pantheon360_blender.core.engine import command, fetch, install, installed, parts, preflight, requirements, uv
from pantheon360_blender.core.errors import BackendError
from pantheon360_blender.core.progress import Progress, run_to_end
from tests import stand_in_engine
from tests.stand_in_engine import Registry

PYTHON = Path(sys.executable)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `engine download` makes one, of two packages of nothing; no test changes it."""
    try:
        return stand_in_engine.make_folder(tmp_path_factory.mktemp("engine") / "packages")
    except stand_in_engine.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def wheels(packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, and a lock that asks for those packages alone."""
    folder = tmp_path / "wheels"
    shutil.copytree(packages, folder, copy_function=os.link)
    monkeypatch.setattr(parts, "LOCK", stand_in_engine.write_lock(tmp_path / "lock.json"))
    monkeypatch.setattr(parts, "PARTS", stand_in_engine.small_parts())
    return folder


@pytest.fixture
def made(tmp_path: Path, wheels: Path) -> Callable[..., installed.Engine]:
    """made(*parts): installs these parts from the folder of packages, in a place with blanks and other alphabets."""

    def make(*names: str, root: Path | None = None) -> installed.Engine:
        place = root or tmp_path / "Ünïcode 空 dir"
        return run_to_end(install.install(place, flight(place, wheels, *names)))

    return make


@pytest.fixture
def registry(packages: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry with those packages and uv, which sends half of the second package until it is told to go on."""
    server = Registry(packages, held=("nothing_two-1.0-py3-none-any.whl",))
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{server.url}/simple")
    yield server
    server.close()


def flight(root: Path, wheels: Path | None, *names: str, **more: Any) -> preflight.Preflight:
    return preflight.check(root, names or ("reconstruction",), PYTHON, wheels=wheels, online=False, **more)


def test_an_engine_is_installed_gone_on_with_exchanged_and_removed(
    made: Callable[..., Any], wheels: Path, tmp_path: Path, registry: Registry
) -> None:
    root = tmp_path / "Ünïcode 空 dir"
    old = made("reconstruction")
    assert installed.current(root) == old and old.parts == ["reconstruction"]
    code = "import nothing_one, sys; print(nothing_one.VALUE, sys.prefix)"
    told = subprocess.run([str(old.interpreter(root)), "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split(" ", 1) == ["1", f"{root / old.folder}\n"], "it knows its new name"
    assert "nothing-one" in (root / installed.LOG).read_text("utf-8").lower()
    kept = {old.folder, "engine.json", "engine.log", "run.lock", "cache"}
    assert {path.name for path in root.iterdir()} == kept
    before = old.interpreter(root).lstat().st_mtime_ns
    assert made("reconstruction").made == old.made, "there already"
    assert old.interpreter(root).lstat().st_mtime_ns == before

    # Cancelled, then impossible: the old one stays in use, and nothing is left
    job = install.install(root, flight(root, wheels, "reconstruction", "importers"))
    next(step for step in job if step.phase == "Installing packages")
    job.close()
    assert {path.name for path in root.iterdir()} == kept
    assert not list((root / "cache").rglob(".tmp*"))
    wheel = wheels / "nothing_two-1.0-py3-none-any.whl"
    wheel.rename(tmp_path / "away.whl")
    with pytest.raises(BackendError, match=r"Installing packages failed.*nothing-two") as failed:
        made("reconstruction", "importers")
    assert "engine.log" in failed.value.advice and installed.current(root) == old
    assert {path.name for path in root.iterdir()} == kept

    # Gone on with: the new one takes its place
    (tmp_path / "away.whl").rename(wheel)
    new = made("reconstruction", "importers")
    assert new.parts == ["reconstruction", "importers"] and installed.current(root) == new
    assert not (root / old.folder).exists()
    assert not registry.asked, "a folder of packages is used alone"
    assert installed.remove(root) > 1000 and not root.exists() and installed.remove(root) == 0


def test_packages_that_ask_for_too_much_are_installed_by_themselves(made: Callable[..., Any], tmp_path: Path) -> None:
    root = tmp_path / "Ünïcode 空 dir"
    engine = made("learned")
    code = "import nothing_one, nothing_bare; print(nothing_bare.VALUE)"
    told = subprocess.run([str(engine.interpreter(root)), "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "1\n" and "viewer" not in (root / installed.LOG).read_text("utf-8")


def test_a_package_that_does_not_load_is_no_engine(
    made: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    absent = replace(parts.PARTS["reconstruction"], modules=("nothing_one", "nothing_three"))
    monkeypatch.setitem(parts.PARTS, "reconstruction", absent)
    with pytest.raises(BackendError, match=r"Loading.*failed: .*No module named 'nothing_three'"):
        made("reconstruction")
    assert installed.current(tmp_path / "Ünïcode 空 dir") is None


def test_installing_again_mends_an_engine_that_is_broken(made: Callable[..., Any], tmp_path: Path) -> None:
    root = tmp_path / "Ünïcode 空 dir"
    old = made("reconstruction")
    (module,) = (root / old.folder).rglob("nothing_one.py")
    module.unlink()  # and not written into: the cache has the same file
    assert made("reconstruction").folder == old.folder and module.exists()


@pytest.mark.skipif(os.name == "nt", reason="made of links")
def test_a_python_without_venv_ensurepip_and_pip(wheels: Path, tmp_path: Path) -> None:
    """As Debian's."""
    try:
        python, root = stand_in_engine.python_without_venv(tmp_path / "python"), tmp_path / "engine"
    except stand_in_engine.Unavailable as reason:
        pytest.skip(str(reason))
    before = preflight.check(root, ("reconstruction",), python, online=False, wheels=wheels)
    engine = run_to_end(install.install(root, before))
    assert installed.current(root) == engine
    code = "import sys; print(sys.base_prefix)"
    told = subprocess.run([str(engine.interpreter(root)), "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == f"{tmp_path / 'python'}\n"


# Killed


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.parametrize("moment", ["Making an environment", "Downloaded nothing-one", "rename", "use"])
def test_a_killed_installation_goes_on(
    moment: str, packages: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = stand_in_engine.uv_wheel().name
    lock, root = stand_in_engine.write_lock(tmp_path / "lock.json", f"{registry.url}/{wheel}"), tmp_path / "root"
    if moment in ("rename", "use"):
        registry.release()
    command = [sys.executable, "-m", "tests.stand_in_engine", str(lock), str(root), "reconstruction,importers"]
    killed = subprocess.run([*command, "--kill-at", moment], cwd=stand_in_engine.ROOT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    assert installed.current(root) is None and bool([*root.glob(".building.*")]) == (moment != "use")
    had = dict(registry.got)
    registry.release()
    ended = subprocess.run(command, cwd=stand_in_engine.ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    engine = installed.current(root)
    assert engine is not None
    subprocess.run([str(engine.interpreter(root)), "-c", "import nothing_one, nothing_two"], check=True)
    assert had[wheel] == registry.got[wheel] == 1
    assert not [name for name, count in had.items() if name.endswith(".whl") and registry.asked[name] != count]
    assert {path.name for path in root.iterdir()} == {engine.folder, "engine.json", "engine.log", "run.lock", "cache"}


def test_one_installs_at_a_time(wheels: Path, tmp_path: Path) -> None:
    first = install.install(tmp_path / "root", flight(tmp_path / "root", wheels))
    next(first)
    with pytest.raises(BackendError, match="the engine is being installed by another process"):
        next(install.install(tmp_path / "root", flight(tmp_path / "root", wheels)))
    first.close()


def test_a_disk_that_fills_up_is_told(tmp_path: Path) -> None:
    said = "error: Failed to install: a.whl\n  Caused by: No space left on device (os error 28)"
    with pytest.raises(BackendError, match=r"Installing failed: the disk of .* is full") as told:
        run_to_end(
            command.run(
                [PYTHON, "-c", f"print({said!r}); raise SystemExit(2)"], tmp_path / "log", Progress("Installing")
            )
        )
    assert told.value.code == "disk"


def test_a_network_that_does_not_answer_is_told(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    monkeypatch.setattr(
        parts, "LOCK", stand_in_engine.write_lock(tmp_path / "lock.json", f"{registry.url}/{uv.wheel()}")
    )
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(BackendError, match=r"Installing packages failed: .*127\.0\.0\.1:9") as told:
        run_to_end(install.install(tmp_path / "root", preflight.check(tmp_path / "root", ("reconstruction",), PYTHON)))
    assert told.value.advice.startswith("Look whether the network works. Install again")


# The program that installs


def test_the_installer_is_downloaded_from_where_it_stopped_and_verified(
    packages: Path, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = "nothing_one-1.0-py3-none-any.whl"
    data, kept, program = (packages / wheel).read_bytes(), tmp_path / "a" / wheel, tmp_path / "b" / "program"
    arguments = [str(kept), "", "nothing_one.py", str(program), f"{registry.url}/{wheel}"]
    kept.parent.mkdir()
    part = kept.with_name(f"{wheel}.part")
    part.write_bytes(data[:1_000_000])
    assert fetch.main(arguments) == 1
    assert "is not the file that was expected" in capsys.readouterr().out and not part.exists() and not kept.exists()

    arguments[1] = files.sha256(packages / wheel)
    part.write_bytes(data[:1_000_000])
    assert fetch.main(arguments) == 0
    assert program.read_bytes() == b"VALUE = 1\n" and kept.read_bytes() == data
    asked = registry.asked[wheel]
    assert fetch.main(arguments) == 0 and registry.asked[wheel] == asked, "it is there"
    arguments[0] = str(tmp_path / "other.whl")
    arguments[4] = f"{registry.url}/missing.whl"
    assert fetch.main(arguments) == 1 and "missing.whl cannot be downloaded" in capsys.readouterr().out


def test_progress_counts_what_the_installer_says() -> None:
    downloads = uv.Downloads()
    said = ["Resolved 2 packages in 3ms", "Downloading scipy (35.5MiB)", "Downloading a (512.0KiB)", " Downloaded a"]
    assert [downloads.counted(line) for line in [*said, " Downloaded scipy"]] == [0, 0, 0, 0.5, 35.5]


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
        ({"wheels": Path(__file__).parent}, r"uv-.*\.whl is not in it.*engine download"),
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


def test_the_plan_names_what_it_depends_on(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts, size, network, Python, disk, driver and device."""
    monkeypatch.setattr(preflight, "_nvidia", lambda: ("NVIDIA H100", "580.65"))
    monkeypatch.setattr(preflight, "_free", lambda root: 43_000_000_000)
    monkeypatch.setattr(sys, "platform", "linux")
    version = preflight.python_version(PYTHON)
    plan = preflight.check(tmp_path, ("reconstruction",), online=True).text
    assert plan == (
        f"Reconstruction: about 6 MB to download; Blender may use the network. Python {version}, Blender's own. 0.2 GB "
        "are needed on the disk, 43 GB are free. Networks would compute on NVIDIA H100 (driver 580.65, CUDA 13.0)."
    )
    plan = preflight.check(tmp_path, ("importers", "diffusion"), PYTHON, wheels=wheels, device="cpu").text
    assert plan.startswith(f"Importers, Diffusion: from {wheels}, without the network. Python {version}, in {PYTHON}.")
    assert plan.endswith("Networks compute on cpu.")


def test_too_little_room_is_said_beforehand(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_free", lambda root: 1_000_000)
    with pytest.raises(BackendError, match=r"0\.0 GB free, and 0\.2 GB are needed") as told:
        flight(tmp_path, wheels)
    assert told.value.code == "disk"
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "half").write_bytes(b"")
    os.truncate(tmp_path / "cache" / "half", 200_000_000)
    flight(tmp_path, wheels)  # most of it is there already


@pytest.mark.parametrize("version", ["3.9.2", "3.99.0"])
def test_a_python_that_does_not_fit_is_refused_or_another_one_fetched(
    version: str, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "_VERSION", f"print('{version}')")
    needed = rf"is Python {version}; Python 3\.11 to 3\.15 is needed"
    for python, folder in ((PYTHON, wheels), (PYTHON, None), (None, wheels)):
        with pytest.raises(BackendError, match=needed):
            preflight.check(tmp_path, ("reconstruction",), python, wheels=folder)
    fetched = preflight.check(tmp_path, ("reconstruction",))
    assert fetched.python == "3.15" and "--managed-python" in fetched.python_options and "fetched" in fetched.text


def test_a_computer_without_packages_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(parts, "computer", lambda: "linux-arm64")
    with pytest.raises(BackendError, match=r"Reconstruction cannot be installed on this kind of computer"):
        preflight.check(tmp_path, ("diffusion", "reconstruction"))
    monkeypatch.setattr(parts, "computer", lambda: "beos-ppc")
    with pytest.raises(BackendError, match=r"cannot be installed on this kind of computer \(beos-ppc\)"):
        uv.wheel()


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


def test_every_blender_of_every_computer_finds_its_installer_in_the_lock() -> None:
    """Blender 4.5 has Python 3.11, 5.1 3.13, Debian's 5.2 3.14; parts that a computer has no packages of have none."""
    record = json.loads(parts.LOCK.read_text("utf-8"))
    assert record["uv"].keys() == record["pythons"].keys()
    for tool in record["uv"].values():
        assert tool["url"].startswith("https://files.pythonhosted.org/") and len(tool["sha256"]) == 64
        assert tool["member"].endswith(("/uv", "/uv.exe"))
    for computer in ("linux-x86_64", "macos-arm64", "windows-x86_64"):
        for name in parts.PARTS:
            # What Learned Depth is made of asks for numpy 1: it has a Python fetched where Blender's is newer.
            wanted = {"3.11", "3.12"} if name == "learned" else {"3.11", "3.13", "3.14"}
            assert wanted <= set(record["pythons"][computer][name])


def test_the_parts_bring_what_reconstructors_say_that_they_need() -> None:
    """In the version that they name; and a panel says which part, or that there is none."""
    pinned = dict(line.partition(" ;")[0].split("==") for line in parts.bare(list(parts.PARTS)))
    brought = {}
    for plugin in plugins.find(plugins.RECONSTRUCTORS).values():
        wanted = [requirements.called(need.package) for need in plugin.needs]
        brought[plugin.name], left = parts.bringing(wanted)
        for need in plugin.needs:
            name, _, version = need.package.removeprefix(requirements.ALONE).strip().partition("==")
            if not left and version:
                assert pinned.get(name, version) == version
    assert brought["panodac"] == brought["depth_anything_3"] == ["learned"]
    assert brought["da360"] and brought["monocular"]
    assert parts.bringing(["numba", "panodac"]) == (["reconstruction", "learned"], [])
    assert parts.bringing(["numba", "MoGe"]) == (["reconstruction"], ["MoGe"])
    assert "the engine's parts Reconstruction and Learned Depth" in requirements.how_to_get(["numba", "panodac==0.1.1"])
    assert "engine" not in requirements.how_to_get(["numba", "--no-deps git+https://github.com/a/MoGe@1"])


OUTSIDE = {"folder": "../x", "parts": [], "device": "", "python": "", "made": ""}


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"folder": 3}', json.dumps(OUTSIDE)])
def test_a_damaged_record_is_no_engine(tmp_path: Path, record: str) -> None:
    (tmp_path / installed.RECORD).write_text(record)
    assert installed.current(tmp_path) is None
