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

from .. import inputs, repairs
from ..errors import BackendError
from ..jobs.child import clean_environment, own_python
from ..plain_text import filled
from . import installed, parts, uv

OLDEST_MACOS = 14
_UNPACKED = 4.0  # bytes on the disk, while it is built, for each that is downloaded
_TOOLS = 150.0  # megabytes on the disk of uv, and of a Python if one is fetched
_ASKING = 30.0

_VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3])"


@dataclass(frozen=True)
class Preflight:
    """What is known before an engine is installed.

    python: what uv makes it with: an interpreter's path, or a version ("3.13") that is fetched. version: of it.
    whose: "Blender's own" or where it is, for people. device: a key of parts.DEVICES; because: why that one.
    download: megabytes; needed, free: bytes on the disk; names: the parts. wheels: a folder of packages that is used
    instead of the network, or None.
    """

    python: str
    version: str
    whose: str
    device: str
    because: str
    download: int
    needed: int
    free: int
    names: tuple[str, ...]
    wheels: Path | None

    @property
    def minor(self) -> str:
        """The version of Python that packages are built for, "3.11"."""
        return _minor(self.version)

    @property
    def python_options(self) -> list[str]:
        """What uv is told of the Python: the interpreter, or that it fetches one of its own."""
        return ["--python", self.python, *(["--managed-python"] if self.python == self.minor else [])]

    @property
    def text(self) -> str:
        """All of it in a few sentences: parts, network, Python, disk, driver and device."""
        titles = ", ".join(parts.PARTS[name].title for name in self.names)
        if self.wheels is None:
            size = self.download
            source = filled(
                "{parts}: about {size} MB to download; Blender may use the network", parts=titles, size=size
            )
        else:
            source = filled("{parts}: from {folder}, without the network", parts=titles, folder=self.wheels)
        computes = filled("Networks compute on {device}.", device=self.because)
        if not parts.computes(self.names):
            computes = filled("Networks would compute on {device}.", device=self.because)
        return filled(
            "{source}. Python {version}, {whose}. {needed:.1f} GB are needed on the disk, {free:.0f} GB are free. "
            "{computes}",
            source=source, version=self.version, whose=self.whose, needed=self.needed / 1e9,
            free=self.free / 1e9, computes=computes,
        )  # fmt: skip


def check(
    root: Path, names: Sequence[str], python: Path | None = None, *, device: str | None = None, online: bool = True,
    wheels: Path | None = None,
) -> Preflight:  # fmt: skip
    """Look at everything that an installation needs, before it begins.

    root: where engines lie; it may not exist yet. python: an interpreter that a person chose; None is Blender's own,
    or one that is fetched if that does not fit. device: a key of parts.DEVICES, None finds one. online: whether the
    network may be used. wheels: a folder of packages that is used instead. No network is touched.
    Raises BackendError that says what is wrong and what to do.
    """
    unknown = sorted(set(names) - parts.PARTS.keys())
    if unknown or not names:
        raise _Refused(
            f"There is no part {unknown[0]!r}." if unknown else "No part was chosen.",
            advice=f"Choose among: {', '.join(parts.PARTS)}.",
        )
    _check_source(online, wheels)
    request, version, whose = _python(names, python, fetches=wheels is None)
    found, because = (device, device) if device is not None else best_device()
    if found not in parts.DEVICES:
        raise _Refused(f"There is no device {found!r}.", advice=f"Choose among: {', '.join(parts.DEVICES)}.")
    download = parts.download_size(names, found)
    needed, free = int((download * _UNPACKED + _TOOLS) * 1e6), _free(root)
    # What an interrupted installation has got already is not needed once more.
    if free < needed and free + installed.size(root / uv.CACHE) < needed:
        raise _Refused(
            f"The disk of {root} has {free / 1e9:.1f} GB free, and {needed / 1e9:.1f} GB are needed while installing.",
            advice="Free some, or choose fewer parts.",
            code="disk",
        )
    return Preflight(request, version, whose, found, because, download, needed, free, tuple(names), wheels)


class _Refused(BackendError):
    """What keeps an engine from being installed."""

    code = "engine"


def _check_source(online: bool, wheels: Path | None) -> None:
    """Raise BackendError unless packages may be downloaded, or are in a folder with what installs them."""
    if wheels is None and not online:
        raise _Refused(
            "Blender may not use the network, so that nothing can be downloaded.",
            advice="Allow Online Access in Preferences > System (on the command line `--online-mode`), or install from "
            "a folder of packages, which `engine download FOLDER` makes on another computer.",
            code="offline",
            repair=repairs.OPEN_PREFERENCES,
        )
    if wheels is None:
        return
    if not inputs.is_folder(wheels):
        raise _Refused(f"There is no folder of packages {wheels}.", advice="Choose another one.")
    if not inputs.is_file(wheels / uv.wheel()):
        raise _Refused(
            f"{wheels} is no folder of packages for this computer: {uv.wheel()} is not in it.",
            advice="Make it with `engine download FOLDER` of this version, on a computer of the same kind.",
        )


def _python(names: Sequence[str], chosen: Path | None, *, fetches: bool) -> tuple[str, str, str]:
    """What uv makes the engine with (see Preflight.python), its version, and whose it is in words.

    fetches: whether one may be fetched if Blender's own does not fit. Raises BackendError if none fits.
    """
    fitting = _fitting(names)
    try:
        python = chosen or own_python()
        version = python_version(python)
        if _minor(version) in fitting:
            return str(python), version, "Blender's own" if chosen is None else f"in {python}"
        reason = f"{python} is Python {version}"
    except BackendError as error:
        if chosen is not None:
            raise
        reason = error.text.rstrip(".")
    if chosen is None and fetches:
        return fitting[-1], fitting[-1], "which is fetched, since Blender's own does not fit"
    raise _Refused(f"{reason}; {_listed(fitting)} is needed.", advice="Choose another Python.")


def _fitting(names: Sequence[str]) -> list[str]:
    """The Pythons that all these parts can be installed for here. Raises BackendError if there is none."""
    for name in names:
        if not parts.pythons(name):
            raise _Refused(
                f"{parts.PARTS[name].title} cannot be installed on this kind of computer ({parts.computer()}): not all "
                "of its packages are built for it.",
                advice="Leave it out, or name a Python that has them as Use This Python Instead in the preferences.",
            )
    if sys.platform == "darwin" and int(platform.mac_ver()[0].partition(".")[0] or 0) < OLDEST_MACOS:
        raise _Refused(
            f"This is macOS {platform.mac_ver()[0]}, and the packages need macOS {OLDEST_MACOS}.",
            advice="Update macOS, or use another computer.",
        )
    shared = set.intersection(*(set(parts.pythons(name)) for name in names))
    fitting = [version for version in parts.pythons(names[0]) if version in shared]
    if not fitting:
        raise _Refused("These parts have no Python in common.", advice="Choose fewer parts.")
    return fitting


def _listed(versions: Sequence[str]) -> str:
    """ "Python 3.11 to 3.14" """
    return f"Python {versions[0]} to {versions[-1]}" if len(versions) > 1 else f"Python {versions[0]}"


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def python_version(python: Path) -> str:
    """The version of an interpreter, "3.11.7". Raises BackendError if it is none."""
    try:
        asked = subprocess.run(
            [str(python), "-c", _VERSION], capture_output=True, text=True, timeout=_ASKING, env=clean_environment()
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _Refused(f"{python} cannot be run: {error}.", advice="Choose another Python.") from error
    version = asked.stdout.strip()
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise _Refused(f"{python} is no Python: {asked.stderr.strip()[-300:]}", advice="Choose another one.")
    return version


def best_device() -> tuple[str, str]:
    """What networks can compute on here, a key of parts.DEVICES, and that in words."""
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
