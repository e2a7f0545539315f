"""What numba compiles is kept in the artist's cache folder, never in the extension's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend import numba_cache

ROOT = Path(__file__).resolve().parents[2]
HOME = Path("/home/ada")


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "/home/ada/.cache/pantheon360/numba"),
        ("linux", {"XDG_CACHE_HOME": "/fast/cache"}, "/fast/cache/pantheon360/numba"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/ada/.cache/pantheon360/numba"),
        ("linux", {"XDG_CACHE_HOME": "", "LOCALAPPDATA": "/local"}, "/home/ada/.cache/pantheon360/numba"),
        ("darwin", {"XDG_CACHE_HOME": "/fast/cache"}, "/home/ada/Library/Caches/pantheon360/numba"),
        ("win32", {"LOCALAPPDATA": "/users/ada/local"}, "/users/ada/local/pantheon360/numba"),
        ("win32", {}, "/home/ada/AppData/Local/pantheon360/numba"),
    ],
)
def test_the_folder_follows_the_platform(platform: str, environment: dict[str, str], expected: str) -> None:
    assert numba_cache.folder(platform, environment, HOME) == Path(expected)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package beside the real one, with one function that numba compiles and keeps."""
    (tmp_path / "backend" / "reconstruction").mkdir(parents=True)
    for name in ("__init__.py", "numba_cache.py", "reconstruction/__init__.py"):
        (tmp_path / "backend" / name).write_bytes((ROOT / "backend" / name).read_bytes())
    (tmp_path / "backend" / "reconstruction" / "sum.py").write_text(
        "from numba import njit\n@njit(cache=True)\ndef add(a, b):\n    return a + b\n"
    )
    return tmp_path


@pytest.mark.parametrize("before", ["", "import numba; "], ids=["first", "numba is there already"])
@pytest.mark.parametrize("stated", [False, True], ids=["by custom", "stated"])
def test_compiled_code_lies_in_the_cache_folder_alone(package: Path, before: str, stated: bool) -> None:
    pytest.importorskip("numba", reason="needs the backend's environment")
    custom, own = package / "custom", package / "own"
    environment = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "PYTHONPATH")}
    environment |= {"XDG_CACHE_HOME": str(custom), "LOCALAPPDATA": str(custom), "HOME": str(package)}
    if stated:
        environment["NUMBA_CACHE_DIR"] = str(own)
    program = f"{before}from backend.reconstruction.sum import add; assert add(1, 2) == 3"
    subprocess.run([sys.executable, "-B", "-c", program], cwd=package, env=environment, check=True, timeout=300)
    kept = {path.relative_to(package).parts[0] for path in package.rglob("*.nbi")}
    if sys.platform == "darwin" and not stated:
        assert kept == {"Library"}
    else:
        assert kept == {"own" if stated else "custom"}
    assert not list((package / "backend").rglob("__pycache__"))


def test_importing_the_rooms_of_the_backend_does_not_import_numba() -> None:
    program = "import sys, backend.reconstruction; sys.exit('numba' in sys.modules)"
    subprocess.run([sys.executable, "-B", "-c", program], cwd=ROOT, check=True, timeout=300)


def test_what_a_kernel_inlined_from_another_file_is_not_kept(package: Path) -> None:
    """numba looks for changes in a kernel's own file: an update of the file it calls into must count, too."""
    pytest.importorskip("numba", reason="needs the backend's environment")
    room = package / "backend" / "reconstruction"
    room.joinpath("part.py").write_text("from numba import njit\n@njit\ndef part(a):\n    return a + 1\n")
    room.joinpath("sum.py").write_text(
        "from numba import njit\nfrom .part import part\n@njit(cache=True)\ndef add(a):\n    return part(a)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "PYTHONPATH")}
    environment |= {"XDG_CACHE_HOME": str(package), "LOCALAPPDATA": str(package), "HOME": str(package)}
    program = "from backend.reconstruction.sum import add; print(add(1))"
    for change, expected in (("", "2\n"), ("return a + 5", "6\n")):
        if change:
            text = room.joinpath("part.py").read_text().replace("return a + 1", change)
            room.joinpath("part.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "-B", "-c", program],
            cwd=package, env=environment, check=True, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.stdout == expected
