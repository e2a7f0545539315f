"""What has to be right before an engine is installed: a Python, room on the disk, a device, and leave to download."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import repairs
from ..errors import BackendError
from ..jobs.child import clean_environment
from . import parts

OLDEST = (3, 11)
_NEWEST_TRIED = (3, 13)
_UNPACKED = 4.0  # bytes on the disk, while it is built, for each that is downloaded
_ASKING = 30.0

_VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3])"


@dataclass(frozen=True)
class Preflight:
    """What is known before an engine is installed. All of it is for people but `python` and `device`.

    python: the interpreter it is made with, and its version. device: a key of parts.DEVICES; because: why that one.
    download: megabytes; free: bytes on the disk; names: the parts.
    """

    python: Path
    version: str
    device: str
    because: str
    download: int
    free: int
    names: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it in a few sentences."""
        titles = ", ".join(parts.PARTS[name].title for name in self.names)
        device = f" Diffusion computes on {self.because}." if "diffusion" in self.names else ""
        return (
            f"{titles}: about {self.download} MB to download, with Python {self.version}; "
            f"{self.free / 1e9:.0f} GB are free on the disk.{device}"
        )


def check(
    root: Path, names: Sequence[str], python: Path, *, device: str | None = None, online: bool = True,
    wheels: Path | None = None,
) -> Preflight:  # fmt: skip
    """Look at everything that an installation needs, before it begins.

    root: where engines lie; made if it is missing. device: a key of parts.DEVICES, None finds one. online: whether the
    network may be used. wheels: a folder of packages that is used instead. No network is touched.
    Raises BackendError that says what is wrong and what to do.
    """
    unknown = sorted(set(names) - parts.PARTS.keys())
    if unknown or not names:
        raise BackendError(
            f"There is no part {unknown[0]!r}." if unknown else "No part was chosen.",
            advice=f"Choose among: {', '.join(parts.PARTS)}.",
            code="engine",
        )
    if wheels is not None and not wheels.is_dir():
        raise BackendError(f"There is no folder of packages {wheels}.", advice="Choose another one.", code="engine")
    if wheels is None and not online:
        raise BackendError(
            "Blender may not use the network, so that nothing can be downloaded.",
            advice="Allow Online Access in Preferences > System, or install from a folder of packages, which "
            "`engine download FOLDER` makes on another computer.",
            code="offline",
            repair=repairs.OPEN_PREFERENCES,
        )
    version = python_version(python)
    found, because = (device, device) if device is not None else best_device()
    if found not in parts.DEVICES:
        raise BackendError(f"There is no device {found!r}.", advice=f"Choose among: {', '.join(parts.DEVICES)}.")
    download = parts.download_size(names, found)
    free = _free(root)
    needed = download * _UNPACKED * 1e6
    if free < needed:
        raise BackendError(
            f"The disk of {root} has {free / 1e9:.1f} GB free, and {needed / 1e9:.1f} GB are needed while installing.",
            advice="Free some, or choose fewer parts.",
            code="disk",
        )
    return Preflight(python, version, found, because, download, free, tuple(names))


def python_version(python: Path) -> str:
    """The version of an interpreter, "3.11.7". Raises BackendError if it does not run or is too old."""
    try:
        asked = subprocess.run(
            [str(python), "-c", _VERSION], capture_output=True, text=True, timeout=_ASKING, env=clean_environment()
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(
            f"{python} cannot be run: {error}.", advice="Choose another Python.", code="engine"
        ) from error
    version = asked.stdout.strip()
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise BackendError(f"{python} is no Python: {asked.stderr.strip()[-300:]}", advice="Choose another one.")
    numbers = tuple(int(number) for number in version.split(".")[:2])
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise BackendError(
            f"{python} is Python {version}; {oldest} or newer is needed.",
            advice="Choose another Python.",
            code="engine",
        )
    return version


def best_device() -> tuple[str, str]:
    """What diffusion can compute on here, a key of parts.DEVICES, and that in words."""
    if sys.platform == "darwin":
        apple = platform.machine() == "arm64"
        return ("mps", "Apple's graphics processor") if apple else ("cpu", "the processor")
    told = _nvidia()
    if told is None:
        return "cpu", "the processor: there is no NVIDIA driver"
    name, driver = told
    major = int(driver.split(".")[0]) if driver.split(".")[0].isdigit() else 0
    for device, least in (("cuda-13.0", 580), ("cuda-12.6", 560)):
        if major >= least:
            return device, f"{name} (driver {driver}, CUDA {device.split('-')[1]})"
    return "cpu", f"the processor: the driver {driver} of {name} is too old, 560 or newer is needed"


def _nvidia() -> tuple[str, str] | None:
    """Name of the first NVIDIA graphics card and version of its driver, or None."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_ASKING)
    except (OSError, subprocess.TimeoutExpired):
        return None
    name, _, driver = asked.stdout.strip().splitlines()[0].rpartition(",") if asked.stdout.strip() else ("", "", "")
    return (name.strip(), driver.strip()) if asked.returncode == 0 and name else None


def _free(root: Path) -> int:
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    return shutil.disk_usage(place).free
