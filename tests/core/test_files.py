"""Files are replaced whole or not at all, and what stands in the way is explained."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pantheon360_blender.core import files
from pantheon360_blender.core.errors import FileError


def test_what_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_bytes(path, b"old")
    with pytest.raises(ZeroDivisionError), files.writing(path) as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_are_kept_and_new_files_have_the_usual_ones(tmp_path: Path) -> None:
    path, plain = tmp_path / "a.txt", tmp_path / "plain.txt"
    plain.touch()
    files.write_bytes(path, b"old")
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    files.write_bytes(path, b"new")
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_that_another_program_holds_for_a_moment_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Windows answers while a viewer or virus scanner has the old file open."""
    refusals = iter(range(3))
    replace = os.replace

    def refusing(*paths: Any, **folders: Any) -> None:
        if next(refusals, None) is not None:
            error = PermissionError(13, "Access is denied")
            error.winerror = 5  # type: ignore[attr-defined, unused-ignore]
            raise error
        replace(*paths, **folders)

    monkeypatch.setattr(os, "replace", refusing)
    files.write_bytes(tmp_path / "a.txt", b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"new" and next(refusals, None) is None


def test_a_file_that_cannot_be_replaced_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refusing)
    with pytest.raises(FileError, match=r"a\.txt cannot be written: it is not writable"):
        files.write_bytes(tmp_path / "a.txt", b"new")
    assert not list(tmp_path.iterdir())
