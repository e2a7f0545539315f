"""Pictures by the names that other programs' files give them.

Files are written on other machines, in other folders, and sometimes by strangers. What a name leads to is looked for
in the project alone, the file's folder and two above it: a file must not show others of this machine to whoever gets
the .blend, nor have a path of the network opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

_SUFFIXES = (".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG")
_LONGEST = 4096
_DEEPEST = 32
"""Parts at the end of a path of another machine that are looked for: each is asked for in three folders."""
_ABOVE = 2
"""Folders above a file's own that count as its project: pictures lie beside the folder of a reconstruction."""


def below(folder: Path, name: str) -> Path | None:
    """The picture that a file calls `name`, below `folder`; the suffix may be missing. None if there is none."""
    relative = Path(_slashed(name))
    if not _is_usable(name) or relative.is_absolute() or ".." in relative.parts:
        return None
    return _first([folder / relative])


def near(folder: Path, name: str) -> Path | None:
    """The picture that a file in `folder` calls `name`, in its project; None if there is none.

    name: relative or absolute, with slashes of either kind, a drive, or percent-encoded. A path of another machine is
    found by its end, as long a part of it as fits.
    """
    if not _is_usable(name):
        return None
    project = _project(folder)
    names = dict.fromkeys((_slashed(name), unquote(_slashed(name))))
    return _first(place for each in names if _is_usable(each) for place in _places(folder, project, each))


def leaves_project(folder: Path, name: str) -> bool:
    """Whether a name leads to a place that `near` does not look at."""
    if not _is_usable(name):
        return False
    place = _slashed(name)
    return PureWindowsPath(place).drive != "" or not _normal(folder.absolute() / place).is_relative_to(
        _project(folder)[-1]
    )


def _project(folder: Path) -> list[Path]:
    """The folder and those above it that belong to it, the nearest first."""
    folder = _normal(folder.absolute())
    return [folder, *folder.parents[:_ABOVE]]


def _places(folder: Path, project: list[Path], name: str) -> Iterator[Path]:
    place = _normal(folder.absolute() / name)
    if place.is_relative_to(project[-1]):
        yield place
    given = PureWindowsPath(name)
    parts = [part for part in given.parts if part not in (given.anchor, "..")]
    if len(parts) == len(given.parts):
        return  # it is below the folder, and not there
    for start in range(max(0, len(parts) - _DEEPEST), len(parts)):
        there = [root for root in project if start + 1 == len(parts) or _is(Path.is_dir, root / parts[start])]
        yield from (root.joinpath(*parts[start:]) for root in there)


def _first(places: Iterator[Path] | list[Path]) -> Path | None:
    for place in places:
        names = (place.name, *(f"{place.name}{suffix}" for suffix in _SUFFIXES)) if place.name else ()
        for name in names:
            if _is(Path.is_file, place.parent / name):
                return place.parent / name
    return None


def _is(kind: Callable[[Path], bool], place: Path) -> bool:
    """Whether something of a kind is there; False, too, for a name that the file system does not take."""
    try:
        return kind(place)
    except (OSError, ValueError):
        return False


def _is_usable(name: str) -> bool:
    return "\0" not in name and 0 < len(name) <= _LONGEST


def _slashed(name: str) -> str:
    return name.replace("\\", "/").removeprefix("file://")


def _normal(place: Path) -> Path:
    """Without "..", and with links as they are: a folder of pictures may well be a link to another disk."""
    return Path(os.path.normpath(place))
