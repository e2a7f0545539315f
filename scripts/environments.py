"""The project's own Python environments: a small one for quick checks, one for each Blender, and more for other work.

Each lives in `.environments/<name>` and is made on first use with nothing but Python and the package
registry, then re-used until its requirements change. `python scripts/environments.py NAME...` makes
them and prints the interpreter of each.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".environments"

ORACLES = (
    "pytest==9.2.0",
    "hypothesis==6.155.2",
    "pillow==13.0.0",
    "py360convert==1.0.4",
    "plyfile==1.1.3",
    "av==18.1.0",
)
"""What the tests compare with: none of it is needed by the extension itself."""


RUFF = "ruff==0.17.6"
"""Style is checked by one version of ruff, wherever it is asked for."""


class EnvironmentUnavailable(RuntimeError):
    """An environment cannot be made on this machine; the text says why and what would help."""


RECONSTRUCTION = (
    "numpy==1.26.4",
    "scipy==1.17.1",
    "numba==0.68.1",
    "opencv-python-headless==4.11.0.86",
    "pycolmap==4.2.1",
)
"""What the backend needs to build a 3D cache from captures without a model."""

BACKEND = (
    *RECONSTRUCTION,
    "laspy[lazrs]==2.7.0",
    "pyproj==3.7.2",
    "pye57==0.4.19",
    "openimageio==3.0.21.0",  # later ones ask for numpy 2
    "torch==2.13.0",
    "transformers==5.23.0",
    "diffusers==0.42.1",
    "accelerate==1.15.0",
    "imageio==2.38.1",
    "imageio-ffmpeg==0.8.1",
    "safetensors==0.8.0",
    "huggingface-hub==2.4.0",
    "einops==0.8.2",
    "omegaconf==2.4.0",
    "addict==2.4.0",
)
"""What the backend's learned painters and reconstructors need; the draft painter needs none of it but numpy."""


BARE = ("panodac==0.1.1", "depth-anything-3==0.1.1", "evo==1.38.1")
"""As in scripts/lock_engine.py: installed without what they ask for."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment: the Python it must be made with and the packages it holds.

    bare: packages that are installed without what they ask for.
    """

    name: str
    python: str
    requirements: tuple[str, ...]
    bare: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return ENVIRONMENTS / self.name

    @property
    def interpreter(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def stamp(self) -> str:
        return hashlib.sha256("\n".join((self.python, *self.requirements, *self.bare)).encode()).hexdigest()


ALL = {
    environment.name: environment
    for environment in (
        Environment("blender-4.5", "3.11", ("bpy==4.5.15", "numpy==1.26.4", *ORACLES)),
        Environment("blender-5.0", "3.11", ("bpy==5.0.1", "numpy==1.26.4", *ORACLES)),
        Environment("blender-5.2", "3.13", ("bpy==5.2.3", *ORACLES)),
        Environment("blender-5.3", "3.13", ("bpy==5.3.0", *ORACLES)),
        Environment("quick", "3.11", (RUFF, "numpy==1.26.4", "pytest-xdist==3.8.0", *ORACLES)),
        Environment("reconstruction", "3.11", RECONSTRUCTION),
        Environment("backend", "3.11", (*BACKEND, *ORACLES, "matplotlib==3.11.2"), bare=BARE),
        Environment(
            "tools",
            "3.11",
            (RUFF, "mypy==2.4.1", "fake-bpy-module-4.5==20260730", "numpy==1.26.4", "pillow==13.0.0"),
        ),
        Environment("docs", "3.11", ("mkdocs==1.6.1", "mkdocs-material==9.8.2")),
        Environment(
            "benchmark",
            "3.11",
            ("bpy==4.5.15", "numpy==1.26.4", "torch==2.13.0", "numba==0.68.1"),
        ),
    )
}

BLENDERS = ("blender-4.5", "blender-5.0", "blender-5.2", "blender-5.3")
"""Every supported Blender, the oldest first."""


_making: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""What two threads ask for is made by one of them: an environment, by its name, and any Python."""


def ready(name: str) -> Path:
    """Make the environment if it is not there yet and return its interpreter. Threads may ask for the same one.

    Raises EnvironmentUnavailable where its Python is not on this machine or an install fails.
    """
    with _making[name]:
        return _ready(ALL[name])


def _ready(environment: Environment) -> Path:
    name = environment.name
    if made(name):
        return environment.interpreter
    _refuse_shared(environment)
    with _making["Python"]:
        python = find_python(environment.python)
    print(f"[environments] making {name} with Python {environment.python}: {', '.join(environment.requirements)}")
    started = time.monotonic()
    shutil.rmtree(environment.folder, ignore_errors=True)
    _run([str(python), "-m", "venv", str(environment.folder)], name)
    _run([str(environment.interpreter), "-m", "pip", "install", "--quiet", *environment.requirements], name)
    if environment.bare:
        _run([str(environment.interpreter), "-m", "pip", "install", "--quiet", "--no-deps", *environment.bare], name)
    _marker(environment).write_text(environment.stamp)
    print(f"[environments] {name} is ready after {time.monotonic() - started:.0f} s")
    return environment.interpreter


def _refuse_shared(environment: Environment) -> None:
    """Raise EnvironmentUnavailable if the environment is there, behind a link: it would be deleted under others.

    Another checkout may want other requirements than this one, or may be making it right now.
    """
    place = environment.folder.resolve()
    if place.exists() and not place.is_relative_to(ROOT.resolve()):
        raise EnvironmentUnavailable(
            f"The environment {environment.name} lies behind a link, in {place}, and does not hold what is wanted "
            "here. It is not made anew: others use it. Remove the link, so that this checkout makes its own, or make "
            "it there."
        )


def made(name: str) -> bool:
    """Whether the environment is there, with the requirements of today."""
    environment = ALL[name]
    marker = _marker(environment)
    return marker.exists() and marker.read_text() == environment.stamp and environment.interpreter.exists()


def _marker(environment: Environment) -> Path:
    return environment.folder / "requirements.sha256"


def first_available(names: tuple[str, ...]) -> Path:
    """The interpreter of the first of these environments that is there, else of the first that can be made.

    Raises EnvironmentUnavailable with every reason where none can.
    """
    reasons = []
    for name in sorted(names, key=lambda name: not made(name)):
        try:
            return ready(name)
        except EnvironmentUnavailable as reason:
            reasons.append(str(reason))
    raise EnvironmentUnavailable("\n".join(reasons))


def needed(script: str, *names: str) -> Path:
    """As first_available, for a script that can do nothing without: it ends, with the reasons and exit code 2."""
    try:
        return first_available(names)
    except EnvironmentUnavailable as reason:
        print(f"[{script}] {reason}")
        sys.exit(2)


def find_python(version: str) -> Path:
    """An interpreter of exactly this minor version: ours, on the path, from pyenv, or fetched by uv.

    Raises EnvironmentUnavailable with the ways to get one.
    """
    for candidate in _candidates(version):
        if _version_of(candidate) == version:
            return candidate
    fetched = _fetch_with_uv(version)
    if fetched is not None:
        return fetched
    raise EnvironmentUnavailable(
        f"Python {version} is not on this machine and could not be fetched. Install it "
        f"(pyenv install {version}, your system's python{version} package, or python.org) and run this again."
    )


def _candidates(version: str) -> list[Path]:
    found = [Path(sys.executable)]
    on_path = shutil.which(f"python{version}")
    if on_path:
        found.append(Path(on_path))
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found.extend(sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True))
    found.extend(sorted((ENVIRONMENTS / "pythons").glob(f"*{version}*/bin/python{version}")))
    return found


def _version_of(python: Path) -> str | None:
    probe = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([str(python), "-c", probe], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _fetch_with_uv(version: str) -> Path | None:
    """Let uv, a package on PyPI, fetch a standalone Python; None where that is not possible."""
    helper = ENVIRONMENTS / "uv"
    uv = helper / ("Scripts/uv.exe" if os.name == "nt" else "bin/uv")
    print(f"[environments] Python {version} is not installed here; asking uv to fetch it")
    try:
        if not uv.exists():
            subprocess.run([sys.executable, "-m", "venv", str(helper)], check=True)
            python = helper / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", "uv"], check=True)
        pythons = ENVIRONMENTS / "pythons"
        subprocess.run([str(uv), "python", "install", "--install-dir", str(pythons), version], check=True, timeout=300)
    except (OSError, subprocess.SubprocessError):
        return None
    for candidate in _candidates(version):
        if _version_of(candidate) == version:
            return candidate
    return None


def _run(command: list[str], name: str) -> None:
    done = subprocess.run(command, text=True, capture_output=True)
    if done.returncode != 0:
        raise EnvironmentUnavailable(
            f"The environment {name} could not be made: {' '.join(command)} failed.\n{done.stderr.strip()[-2000:]}"
        )


if __name__ == "__main__":
    for chosen in sys.argv[1:] or [*BLENDERS, "tools"]:
        try:
            print(ready(chosen))
        except EnvironmentUnavailable as problem:
            sys.exit(str(problem))
