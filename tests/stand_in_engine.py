"""An engine of tiny packages: its lock, a registry of its own that counts, and a process that installs it.

    python -m tests.stand_in_engine LOCK ROOT PART,... [--wheels FOLDER] [--python PYTHON] [--kill-at MOMENT] ...

installs from what stands in LOCK, which may be the real one, and prints each step. MOMENT is a phase, the end of a
text, `rename` or `use`: there it kills itself. --download: into ROOT/packages, as `engine download` does.
"""

from __future__ import annotations

import argparse
import hashlib
import http.server
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from pantheon360_blender.core.engine import install, installed, parts, preflight, uv
from pantheon360_blender.core.errors import PantheonError
from pantheon360_blender.core.progress import Job

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "reconstruction": ["nothing_one"],
    "importers": ["nothing_one", "nothing_two"],
    "diffusion": [],
    "learned": ["nothing_one"],
}
"""Part -> its packages, each a module of the same name."""
BARE = {"learned": ["nothing_bare"]}
"""Part -> its packages that ask for what cannot be had."""
SIZE = 3 << 20
"""Bytes of a package: uv tells of those that have more than one mebibyte."""


class Unavailable(RuntimeError):
    """What this computer lacks."""


def uv_wheel() -> Path:
    """The wheel of uv that the real lock names, downloaded once. Raises Unavailable."""
    tool = parts.uv()
    kept = ROOT / ".cache" / "uv" / tool.url.rpartition("/")[2]
    if not kept.is_file():
        arguments = [str(kept), tool.sha256, tool.member, str(kept.parent / "uv"), tool.url]
        command = [sys.executable, "-c", uv.FETCH, *arguments]
        fetched = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if fetched.returncode != 0:
            raise Unavailable(f"uv cannot be had: {fetched.stdout}{fetched.stderr}")
    return kept


def write_wheel(folder: Path, name: str, size: int = SIZE, asks_for: str = "") -> None:
    """A package of one module and bytes that cannot be packed. asks_for: a package that it needs, as it says."""
    info, asks = f"{name}-1.0.dist-info", f"Requires-Dist: {asks_for}\n" if asks_for else ""
    members = {
        f"{name}.py": b"VALUE = 1\n",
        f"{name}.bin": random.Random(name).randbytes(size),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{asks}".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{member},,\n" for member in [*members, f"{info}/RECORD"]).encode()
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for member, data in (members | {f"{info}/RECORD": record}).items():
            archive.writestr(member, data)


def make_folder(folder: Path) -> Path:
    """A folder as `engine download` makes one: the packages and uv."""
    folder.mkdir(parents=True)
    for name in PACKAGES["importers"]:
        write_wheel(folder, name)
    for name in BARE["learned"]:
        write_wheel(folder, name, 1000, asks_for="a-viewer-that-nobody-needs")
    wheel = uv_wheel()
    shutil.copy(wheel, folder / wheel.name)
    return folder


def python_without_venv(folder: Path) -> Path:
    """A Python that has no venv, ensurepip, pip or other packages, as Debian's: links to this one's library.

    Raises Unavailable if Python does not find its library beside itself.
    """
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    library, python = folder / "lib" / version, folder / "bin" / version
    (library / "site-packages").mkdir(parents=True)
    python.parent.mkdir()
    shutil.copy(base, python)
    for entry in Path(os.__file__).parent.iterdir():
        if entry.name not in ("venv", "ensurepip", "site-packages"):
            (library / entry.name).symlink_to(entry)
    probe = "import importlib.util as u, sys; print([u.find_spec(m) for m in ('venv', 'ensurepip', 'pip')], sys.prefix)"
    told = subprocess.run([python, "-I", "-c", probe], capture_output=True, text=True)
    if told.stdout.split("] ")[-1].strip() != str(folder) or "[None, None, None]" not in told.stdout:
        raise Unavailable(f"no Python without venv can be made: {told.stdout}{told.stderr}")
    return python


def write_lock(path: Path, uv_url: str | None = None) -> Path:
    """A lock of the tiny packages for this kind of computer and every Python. uv_url: where uv is, None as it is."""
    tool = parts.uv()
    versions = [f"3.{minor}" for minor in range(11, 16)]
    record = {
        "uv": {parts.computer(): vars(tool) | ({"url": uv_url} if uv_url else {})},
        "pip": parts.pip(),
        "pythons": {parts.computer(): dict.fromkeys(PACKAGES, versions)},
        "parts": {name: _pinned(packages) for name, packages in PACKAGES.items()},
        "bare": {name: _pinned(packages) for name, packages in BARE.items()},
    }
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def _pinned(packages: list[str]) -> list[str]:
    return [f"{package.replace('_', '-')}==1.0" for package in packages]


def small_parts() -> dict[str, parts.Part]:
    """The parts with the tiny packages' modules."""
    return {
        name: replace(part, download=6, modules=(*PACKAGES[name], *BARE.get(name, ())))
        for name, part in parts.PARTS.items()
    }


class Registry:
    """A package registry on this computer. `got` counts complete downloads, `asked` requests, by file name.

    held: names of files of which only half is sent until `release` is called.
    """

    def __init__(self, folder: Path, held: tuple[str, ...] = ()) -> None:
        self.got: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self._folder, self._held, self._released = folder, held, threading.Event()
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry._answer(self)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def release(self) -> None:
        """Send all from now on."""
        self._released.set()

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        place, _, name = handler.path.strip("/").rpartition("/")
        self.asked[name] += 1
        if place == "simple":
            self._send(handler, self._page(name).encode(), "text/html")
        elif name.endswith(".metadata"):
            with zipfile.ZipFile(self._folder / name.removesuffix(".metadata")) as archive:
                member = next(member for member in archive.namelist() if member.endswith("/METADATA"))
                self._send(handler, archive.read(member))
        elif (self._folder / name).is_file():
            self._send(handler, (self._folder / name).read_bytes(), name=name)
        else:
            handler.send_error(404)

    def _page(self, name: str) -> str:
        wheels = self._folder.glob(f"{name.replace('-', '_')}-*.whl")
        return "".join(
            f'<a href="/files/{wheel.name}#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}" '
            f'data-core-metadata="true">{wheel.name}</a>'
            for wheel in wheels
        )

    def _send(
        self, handler: http.server.BaseHTTPRequestHandler, data: bytes, kind: str = "binary/data", name: str = ""
    ) -> None:
        begin = int(handler.headers.get("Range", "bytes=0-").partition("=")[2].partition("-")[0])
        handler.send_response(206 if begin else 200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(data) - begin))
        handler.end_headers()
        half = (begin + len(data)) // 2
        handler.wfile.write(data[begin:half])
        handler.wfile.flush()
        if name in self._held:
            self._released.wait(300)
        handler.wfile.write(data[half:])
        self.got[name] += 1


def main(arguments: list[str]) -> int:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("lock", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("parts")
    parser.add_argument("--wheels", type=Path)
    parser.add_argument("--python", type=Path)
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--kill-at", default="")
    parser.add_argument("--download", action="store_true")
    parser.add_argument("--blenders-python", metavar="VERSION", help="what the Python that runs this is taken for")
    chosen = parser.parse_args(arguments)
    if chosen.lock != parts.LOCK:
        parts.LOCK, parts.PARTS = chosen.lock, small_parts()

    if chosen.blenders_python:
        preflight._VERSION = f"print('{chosen.blenders_python}')"

    def kill(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if chosen.kill_at == "rename":
        setattr(install, "rename", kill)  # noqa: B010 - it is not run before; vars() would not run it
    if chosen.kill_at == "use":
        setattr(installed, "use", kill)  # noqa: B010
    try:
        flight = preflight.check(
            chosen.root, chosen.parts.split(","), chosen.python, online=not chosen.offline, wheels=chosen.wheels
        )
        print(f"pre-flight: {flight.text}", flush=True)
        work: Job[Any] = install.install(chosen.root, flight)
        if chosen.download:
            work = install.download(chosen.root, chosen.root / "packages", flight)
        for step in work:
            if not step.waiting:
                print(f"{step.phase}: {step.text}", flush=True)
            if chosen.kill_at and (step.phase == chosen.kill_at or step.text.endswith(chosen.kill_at)):
                kill()
    except PantheonError as error:
        print(f"error {error.code}: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
