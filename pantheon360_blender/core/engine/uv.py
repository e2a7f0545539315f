"""uv, the one program that makes environments and installs packages, whatever Blender's Python lacks.

It needs no `venv`, `ensurepip` or `pip` of any Python, installs from the registry or from a folder, keeps what it has
downloaded, and fetches a Python if there is none that fits. It is one file in a wheel of the registry, pinned by its
hash for every platform in the lock. Source: https://docs.astral.sh/uv/reference/cli/
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import temporary
from ..jobs.child import own_python
from ..jobs.lock import locked
from ..output_folder import OutputFolder
from ..progress import Job, Progress
from ..version import EXTENSION_ROOT
from . import command, parts

CACHE = "cache"
"""Folder below the root of engines: uv itself, and what it has downloaded. It may be removed at any time."""
PYTHONS = "pythons"
"""Folder below the root of engines with the Pythons that uv has fetched: engines need them."""

_SIZE = re.compile(r"^Downloading (\S+) \((\d+(?:\.\d+)?)(KiB|MiB|GiB)\)")
_MEBIBYTES = {"KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0}


FETCH = "import sys; from pantheon360_blender.core.engine import fetch; sys.exit(fetch.main(sys.argv[1:]))"
"""A process of its own fetches: Blender's own may be ended at any time, and has an interface to draw."""


def wheel() -> str:
    """Name of the wheel that uv is in on this computer. Raises BackendError if there is none for it."""
    return parts.uv().url.rpartition("/")[2]


_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Where Linux distributions keep the certificates that they trust."""


def _knows_certificates() -> bool:
    """Whether this computer says whom it trusts: studios add a certificate of their own there, uv brings Mozilla's."""
    return sys.platform != "linux" or "SSL_CERT_FILE" in os.environ or any(map(os.path.exists, _CERTIFICATES))


@dataclass(frozen=True)
class Uv:
    """The program, for one root of engines. All that it does stays below that. log: where its lines go.

    offline: whether it must open no connection at all.
    """

    program: Path
    root: Path
    log: Path
    offline: bool

    def run(
        self, arguments: Sequence[str | Path], step: Progress, counts: Callable[[str], float] = lambda line: 0.0
    ) -> Job[list[str]]:
        """Run it, as command.run does. Raises BackendError."""
        more = {
            "UV_CACHE_DIR": str(self.root / CACHE / "packages"),
            "UV_PYTHON_INSTALL_DIR": str(self.root / PYTHONS),
            "UV_PYTHON_INSTALL_BIN": "0",
            "UV_PYTHON_INSTALL_REGISTRY": "0",
            "NO_COLOR": "1",
        }
        more |= {"UV_OFFLINE": "1"} if self.offline else {}
        more |= {"UV_SYSTEM_CERTS": "1"} if _knows_certificates() else {}
        # In a folder of ours: elsewhere it would find the settings of somebody's project.
        return command.run([self.program, *arguments], self.log, step, more=more, cwd=self.root, counts=counts)


def ready(root: Path, log: Path, wheels: Path | None = None, into: Path | None = None) -> Job[Uv]:
    """The program, unpacked below the root of engines; downloaded if it is not there yet.

    wheels: a folder that holds its wheel, used instead of the network. into: the folder that its wheel is kept in
    otherwise, None for the cache. Raises BackendError.
    """
    tool = parts.uv()
    program = root / CACHE / f"uv-{tool.sha256[:12]}" / tool.member.rpartition("/")[2]
    kept = (wheels or into or root / CACHE) / wheel()
    if not program.is_file() or (into is not None and not kept.is_file()):
        fetch: list[str | Path] = [own_python(), "-B", "-X", "utf8", "-c", FETCH]
        fetch += [kept, tool.sha256, tool.member, program, *([tool.url] if wheels is None else [])]
        yield from command.run(fetch, log, Progress("Getting the installer", text="uv"), cwd=EXTENSION_ROOT)
        if into is None and wheels is None:
            kept.unlink(missing_ok=True)  # it is unpacked
    return Uv(program, root, log, offline=wheels is not None)


@contextmanager
def holding(root: Path) -> Iterator[None]:
    """Hold a root of engines for one process. What it leaves half downloaded, or a killed one has left, is removed.

    Raises BackendError if another process holds it, FileError.
    """
    with locked(OutputFolder.made(root), "the engine is being installed"):
        _remove_halves(root)
        try:
            yield
        finally:
            _remove_halves(root)


def _remove_halves(root: Path) -> None:
    for half in (root / CACHE / "packages").glob(".tmp*"):
        temporary.remove(half)


class Downloads:
    """Counts megabytes by the lines that uv says: one when it begins with a large package, one when it has it."""

    def __init__(self) -> None:
        self._sizes: dict[str, float] = {}

    def counted(self, line: str) -> float:
        """How many mebibytes have come according to this line."""
        begun = _SIZE.match(line)
        if begun is not None:
            self._sizes[begun[1]] = float(begun[2]) * _MEBIBYTES[begun[3]]
            return 0.0
        return self._sizes.pop(line.strip().removeprefix("Downloaded "), 0.0)
