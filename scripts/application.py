"""A real Blender application with a window, on a virtual screen: Debian's build in a root folder of its own.

The wheels of bpy have no interface. Debian's unstable distribution brings a current Blender and all that its window
needs; mmdebstrap makes a folder of them, and a mount and process namespace runs in it, so that nothing of this machine
is touched and nothing is left running. It needs Linux, root, mmdebstrap and about 1.2 GB.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import environments
from environments import EnvironmentUnavailable

SCREEN = (1920, 1200)
"""Pixels of the virtual screen, which the window fills."""

_ROOT = environments.ENVIRONMENTS / "application"
_SUITE = "sid"
_PACKAGES = (
    "blender",
    "xvfb",
    "xauth",
    "imagemagick",
    "libgl1-mesa-dri",
    "libegl1",
    "libgl1",
    "python3-numpy",
    "python3-requests",
    "python3-zstandard",
    "python3-cattr",
    "ffmpeg",
)
"""What a window and Blender's own scripts need; Debian's Blender asks for some of it only as recommendations."""

_OPTIONS = (
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Languages "none"',
    '--aptopt=Acquire::Check-Valid-Until "false"',
    '--aptopt=Acquire::Check-Date "false"',
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-include=/usr/share/locale/languages",
    "--dpkgopt=path-include=/usr/share/locale/de/LC_MESSAGES/blender.mo",
)

# Process 1 of the namespace stays a shell: xvfb-run as process 1 waits for ever. Mounts end with it.
_INSIDE = """
set -eu
mount --make-rprivate /
mount -t proc proc "$ROOT/proc"
mount -t tmpfs tmpfs "$ROOT/tmp"
mount --rbind /dev "$ROOT/dev"
mount -t tmpfs tmpfs "$ROOT/dev/shm"
while [ "$1" != -- ]; do
    mkdir -p "$ROOT/$2"
    mount --bind "$1" "$ROOT/$2"
    shift 2
done
shift
code=0
chroot "$ROOT" "$@" || code=$?
exit $code
"""


def ready() -> Path:
    """The root folder, made on first use in about two minutes.

    Raises EnvironmentUnavailable where it cannot be made, with the reason.
    """
    stamp = _ROOT / "pantheon360-application"
    wanted = "\n".join((_SUITE, *_PACKAGES))
    if stamp.exists() and stamp.read_text() == wanted:
        return _ROOT
    if sys.platform != "linux" or os.geteuid() != 0:
        raise EnvironmentUnavailable("A Blender with a window is made in a root folder, which takes Linux and root.")
    _get_mmdebstrap()
    print(f"[application] making a root of Debian {_SUITE} with Blender in {_ROOT}", flush=True)
    started = time.monotonic()
    shutil.rmtree(_ROOT, ignore_errors=True)
    _ROOT.parent.mkdir(exist_ok=True)
    command = ["mmdebstrap", "--mode=root", "--variant=apt", f"--include={','.join(_PACKAGES)}", *_OPTIONS]
    command += [_SUITE, str(_ROOT), f"deb {_mirror()} {_SUITE} main"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        shutil.rmtree(_ROOT, ignore_errors=True)
        raise EnvironmentUnavailable(f"Debian {_SUITE} cannot be installed now:\n{done.stderr.strip()[-1500:]}")
    stamp.write_text(wanted)
    print(f"[application] ready after {time.monotonic() - started:.0f} s")
    return _ROOT


def run(
    root: Path, command: Sequence[str], binds: Mapping[Path, str], environment: Mapping[str, str], *, timeout: float
) -> int:
    """Run a command in the root on a virtual screen. binds: folders of this machine -> where they are seen there.

    Returns its exit code; 137 if it ran past the timeout and was killed with all its children.
    """
    width, height = SCREEN
    told = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "LIBGL_ALWAYS_SOFTWARE": "1",
        **environment,
    }
    mounts = [part for place, seen in binds.items() for part in (str(place), seen)]
    inside = ["env", "-i", *(f"{name}={value}" for name, value in told.items()), "xvfb-run", "-a"]
    inside += ["-s", f"-screen 0 {width}x{height}x24", *command]
    outside = ["timeout", "-s", "KILL", str(timeout), "unshare", "--mount", "--pid", "--fork", "--kill-child"]
    outside += ["bash", "-c", _INSIDE, "inside", *mounts, "--", *inside]
    return subprocess.run(outside, env={**os.environ, "ROOT": str(root)}).returncode


def _get_mmdebstrap() -> None:
    if shutil.which("mmdebstrap") is None and shutil.which("apt-get") is not None:
        subprocess.run(["apt-get", "update", "-qq"], capture_output=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "mmdebstrap"], capture_output=True)
    if shutil.which("mmdebstrap") is None:
        raise EnvironmentUnavailable(
            "mmdebstrap, which makes the root folder, is not here (apt-get install mmdebstrap)."
        )


def _mirror() -> str:
    """The Debian archive that this machine uses, else the public one."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Component: main"]
    if shutil.which("apt-get") is not None:
        found = subprocess.run(command, capture_output=True, text=True).stdout.split()
        if found:
            return found[0].rstrip("/")
    return "http://deb.debian.org/debian"


if __name__ == "__main__":
    try:
        print(ready())
    except EnvironmentUnavailable as problem:
        sys.exit(f"[application] {problem}")
