"""What this computer and this Python can do for the painters, what is missing, and how to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pantheon360_blender.core import plain_text, plugins
from pantheon360_blender.core.errors import BackendError
from pantheon360_blender.core.plugins import Plugin
from pantheon360_blender.core.version import version

from .device import system_memory

PROBE_TIMEOUT = 180.0
"""Seconds torch may take to import from a cold disk."""
LITTLE_DISK = 2 << 30
LITTLE_MEMORY = 1 << 30

_PROBE = """
import json, torch
found = {"version": torch.__version__, "kind": "cpu", "name": "CPU", "memory": None}
if torch.cuda.is_available():
    device = torch.cuda.get_device_properties(0)
    found.update(kind="cuda", name=device.name, memory=device.total_memory)
elif getattr(torch.backends, "mps", None) is not None and torch.backends.mps.is_available():
    found.update(kind="mps", name="Apple GPU")
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Package:
    """A package a painter needs; version is None if it is missing, get is how to install it."""

    package: str
    purpose: str
    version: str | None
    get: str


@dataclass(frozen=True)
class PainterReport:
    """Whether a painter can work here."""

    name: str
    label: str
    summary: str
    ready: bool
    packages: list[Package]


@dataclass(frozen=True)
class StageReport:
    """Whether a stage of building a 3D cache, a learned reconstructor or an importer can work here; else how it can.

    weights: license, download and memory of each of a reconstructor's models.
    """

    name: str
    ready: bool
    missing: str = ""
    weights: str = ""


@dataclass(frozen=True)
class DeviceReport:
    """What computes. kind: "cuda", "mps" or "cpu"; memory: its own, bytes; note: why it is not more."""

    kind: str
    name: str
    memory: int | None = None
    torch: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Report:
    """Everything `doctor` finds. Sizes in bytes; ready: the draft painter can work."""

    ready: bool
    extension: str
    python: str
    executable: str
    system: str
    cores: int
    device: DeviceReport
    memory_total: int | None
    memory_free: int | None
    disk_folder: str
    disk_free: int | None
    painters: list[PainterReport]
    reconstruction: list[StageReport] = field(default_factory=list)
    importers: list[StageReport] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)


def main(*, as_json: bool) -> int:
    """Print the report. Returns 0 if the draft painter can work, else 1."""
    report = examine()
    print(json.dumps(asdict(report), indent=2) if as_json else plain_text.lines(as_text(report)))
    return 0 if report.ready else 1


def examine() -> Report:
    """Look at this computer and this Python."""

    broken: list[BackendError] = []
    painters = _painters(broken)
    device = _device()
    total, free = system_memory()
    folder, disk = _disk()
    ready = any(painter.name == "draft" and painter.ready for painter in painters)
    return Report(
        ready=ready,
        extension=version(),
        python=platform.python_version(),
        executable=sys.executable,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=os.cpu_count() or 1,
        device=device,
        memory_total=total,
        memory_free=free,
        disk_folder=folder,
        disk_free=disk,
        painters=painters,
        reconstruction=_reconstruction(),
        importers=_importers(),
        advice=[*map(str, broken), *_advice(painters, device, free, disk)],
    )


def as_text(report: Report) -> str:
    """The report for people."""
    yes = {True: "ready", False: "not ready"}
    lines = [
        f"Pantheon360 backend {report.extension}",
        f"  System   {report.system}, {report.cores} cores",
        f"  Python   {report.python} ({report.executable})",
        f"  Device   {_device_text(report.device)}",
        f"  Memory   {_size(report.memory_free)} free of {_size(report.memory_total)}",
        f"  Disk     {_size(report.disk_free)} free in {report.disk_folder}",
        "Painters",
    ]
    for painter in report.painters:
        lines.append(f"  {painter.label} ({painter.name}): {yes[painter.ready]}. {painter.summary}.")
        lines += [f"    needs {package.package}: {_package_text(package)}" for package in painter.packages]
        if [package.package for package in painter.packages] == ["numpy"]:
            lines.append("    needs nothing else: no model, no download, no GPU")
    if report.reconstruction:
        lines.append("3D cache from captures")
        for stage in report.reconstruction:
            lines.append(f"  {stage.name}: {stage.missing or 'ready'}")
            lines += [f"    {text}" for text in stage.weights.splitlines()]
    if report.importers:
        lines.append("Files of other programs (PLY, COLMAP, nerfstudio, ViPE, PNG and most OpenEXR need numpy only)")
        lines += [f"  {kind.name}: {kind.missing or 'ready'}" for kind in report.importers]
    if report.advice:
        lines += ["What to do", *(f"  - {advice}" for advice in report.advice)]
    return "\n".join(lines)


def _painters(broken: list[BackendError]) -> list[PainterReport]:
    """broken: is given those that cannot be read."""
    reports = []
    for name, plugin in plugins.find(plugins.PAINTERS, broken.append).items():
        packages = [
            Package(need.package, need.purpose, _version_of(need.module, need.package), _how_to_get(need.package))
            for need in plugin.needs
        ]
        ready = all(package.version is not None for package in packages)
        reports.append(PainterReport(name, plugin.title, plugin.summary, ready, packages))
    return reports


def _reconstruction() -> list[StageReport]:
    if importlib.util.find_spec("numpy") is None:
        return []
    from pantheon360_blender.core.engine import requirements  # it needs numpy

    from .reconstruction import reconstructors

    stages = [_stage(name.capitalize(), packages) for name, packages in requirements.STAGES.items()]
    for name in reconstructors.described():
        learned = reconstructors.named(name)
        missing = learned.missing()
        stages.append(StageReport(f"{learned.plugin.title} ({name})", not missing, missing, _weights(learned.plugin)))
    return stages


def _weights(plugin: Plugin) -> str:
    return "\n".join(
        f"{each.hub}: {each.license}; {each.size_gb:g} GB, about {each.memory_gb:g} GB of memory"
        for each in plugin.models
    )


def _importers() -> list[StageReport]:
    if importlib.util.find_spec("numpy") is None:
        return []
    from .importers import missing

    return [_stage(kind, packages) for kind, packages in missing.PACKAGES.items()]


def _stage(name: str, packages: Mapping[str, str]) -> StageReport:
    """packages: module -> package to install."""
    lacks = sorted({package for module, package in packages.items() if importlib.util.find_spec(module) is None})
    how = _how_to_get(" ".join(f'"{package}"' if "[" in package else package for package in lacks))
    return StageReport(name, not lacks, f"lacks {', '.join(lacks)}: {how}" if lacks else "")


def _version_of(module: str, package: str) -> str | None:
    if importlib.util.find_spec(module) is None:
        return None
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def _how_to_get(package: str) -> str:
    return f'"{sys.executable}" -m pip install {package}'


def _device() -> DeviceReport:
    """Ask torch in a process of its own: a torch that is broken may crash the one that imports it."""
    if importlib.util.find_spec("torch") is None:
        return DeviceReport("cpu", "CPU", note="torch is not installed; only painters with a model would use it")
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT,
            stdin=subprocess.DEVNULL,
        )
        found: dict[str, Any] = json.loads(asked.stdout.strip().splitlines()[-1])
        return DeviceReport(found["kind"], found["name"], found["memory"], found["version"])
    except subprocess.TimeoutExpired:
        reason = f"it did not load within {PROBE_TIMEOUT:.0f} s"
    except (OSError, ValueError, IndexError, KeyError):
        said = [line for line in asked.stderr.splitlines() if line.strip()]
        reason = said[-1].strip() if said else f"exit code {asked.returncode}"
    return DeviceReport("cpu", "CPU", note=f"torch is installed but cannot be loaded: {reason}")


def _disk() -> tuple[str, int | None]:
    """Free space where jobs of unsaved files go by default: the person's own folder, else the temporary one."""
    for folder in (Path.home(), Path(tempfile.gettempdir())):
        try:
            return str(folder), shutil.disk_usage(folder).free
        except OSError:
            continue
    return "", None


def _advice(painters: list[PainterReport], device: DeviceReport, memory: int | None, disk: int | None) -> list[str]:
    advice = [
        f"{package.package} is missing, {painter.label} needs it: {package.get}"
        for painter in painters
        for package in painter.packages
        if package.version is None
    ]
    if device.note.startswith("torch is installed but"):
        advice.append(f"Install torch again for this computer (pytorch.org says which build): {_how_to_get('torch')}")
    if memory is not None and memory < LITTLE_MEMORY:
        advice.append("Little memory is free: close other programs or lower the resolution")
    if disk is not None and disk < LITTLE_DISK:
        advice.append("Little disk space is free: choose another jobs folder or make room")
    return advice


def _device_text(device: DeviceReport) -> str:
    memory = f", {_size(device.memory)}" if device.memory else ""
    torch = f", torch {device.torch}" if device.torch else ""
    note = f" ({device.note})" if device.note else ""
    return f"{device.kind.upper() if device.kind != 'cpu' else ''} {device.name}{memory}{torch}{note}".strip()


def _package_text(package: Package) -> str:
    if package.version is None:
        return f"missing. Get it with: {package.get}"
    return f"{package.version}, for {package.purpose}"


def _size(size: int | None) -> str:
    return "unknown" if size is None else f"{size / (1 << 30):.1f} GiB"
