"""The real panoramas of the demo, fetched as the package they ship in.

GeoVisio's source distribution (PyPI `geovisio` 2.15.1, MIT licence, https://gitlab.com/panoramax/server/api) carries
five GoPro MAX panoramas taken along one street, with GPS. They are downloaded on first use to `.cache/photographs/`,
never committed.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import environments

CACHE = environments.ROOT / ".cache" / "photographs"
PACKAGE = "geovisio==2.15.1"
MEMBERS = {f"geovisio-2.15.1/tests/data/{number}.jpg": f"street-{number}.jpg" for number in range(1, 6)}
LICENCE = "GeoVisio's test photographs, MIT licence"


class PhotographsUnavailable(RuntimeError):
    """The photographs cannot be fetched; the text says why."""


def fetch() -> list[Path]:
    """Paths of the five street panoramas, 5760x2880 JPEG with GPano and GPS, in walking order.

    Raises PhotographsUnavailable where the package registry cannot be reached or the package has changed.
    """
    paths = [CACHE / name for name in MEMBERS.values()]
    if all(path.exists() for path in paths):
        return paths
    print(f"[photographs] fetching {PACKAGE} ({LICENCE})")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        _extract(_download(Path(scratch)))
    return paths


def _download(folder: Path) -> Path:
    """The source distribution as a file; PyPI's JSON interface is not needed, pip finds and checks it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", ":all:", "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True)
    archives = list(folder.glob("*.tar.gz"))
    if not archives:
        raise PhotographsUnavailable(f"pip could not download {PACKAGE}: {done.stderr.strip()[-500:]}")
    return archives[0]


def _extract(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        for member, name in MEMBERS.items():
            try:
                stream = tar.extractfile(member)
            except KeyError:
                stream = None
            if stream is None:
                raise PhotographsUnavailable(f"{archive.name} holds no {member}")
            part = CACHE / f".{name}.part"
            part.write_bytes(stream.read())
            part.replace(CACHE / name)


if __name__ == "__main__":
    for photograph in fetch():
        print(photograph)
