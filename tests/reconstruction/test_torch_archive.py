"""Arrays of torch files, read without unpickling, against torch itself."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the backend's environment")

import torch

from pantheon360_blender.core.formats import npz
from pantheon360_blender.core.importers import torch_archive

LARGEST = 1 << 20


def saved(path: Path, held: Any) -> Path:
    torch.save(held, path)
    return path


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"])
def test_every_kind_of_number_comes_back(tmp_path: Path, dtype: str) -> None:
    tensor = (torch.rand(7, 3) * 100).to(getattr(torch, dtype))
    path = saved(tmp_path / "a.pt", {"name": tensor, "others": [1, 2.5, None, (True, "text")], "deep": {"x": {}}})
    found = torch_archive.read(path, ("name",), LARGEST)["name"]
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, tensor.numpy())


def test_views_of_one_storage_come_back_as_they_are_seen(tmp_path: Path) -> None:
    whole = torch.arange(60.0).reshape(10, 6)
    views = {
        "part": whole[2:5, 1:4],
        "turned": whole.T,
        "every_other": whole[::2],
        "none": whole[:0],
        "one": whole[3, 2],
    }
    path = saved(tmp_path / "a.pt", views)
    for name, found in torch_archive.read(path, tuple(views), LARGEST).items():
        np.testing.assert_array_equal(found, views[name].numpy())
        assert found.flags.owndata or found.base is not None


class _Trap:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.place),)


def test_programs_in_a_file_are_refused_and_do_not_run(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"name": torch.zeros(2), "trap": _Trap(tmp_path / "sprung")})
    with pytest.raises(ValueError, match="mkdir"):
        torch_archive.read(path, ("name",), LARGEST)
    assert not (tmp_path / "sprung").exists()


def test_what_is_missing_too_large_or_damaged_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"name": torch.zeros(1000)})
    with pytest.raises(ValueError, match="no array 'other'"):
        torch_archive.read(path, ("other",), LARGEST)
    with pytest.raises(ValueError, match="larger than"):
        torch_archive.read(path, ("name",), 100)
    with pytest.raises(ValueError, match="no dictionary"):
        torch_archive.read(saved(tmp_path / "b.pt", torch.zeros(3)), ("name",), LARGEST)
    whole = path.read_bytes()
    for size in (0, 10, 300, len(whole) // 2, len(whole) - 30):
        (tmp_path / "cut.pt").write_bytes(whole[:size])
        with pytest.raises(npz.DAMAGED):
            torch_archive.read(tmp_path / "cut.pt", ("name",), LARGEST)


def test_damaged_programs_end_in_a_plain_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"name": torch.zeros(4, 3)})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    program = next(name for name in members if name.endswith("data.pkl"))
    random = np.random.default_rng(0)
    for _ in range(300):
        spoilt = bytearray(members[program])
        spoilt[int(random.integers(len(spoilt)))] = int(random.integers(256))
        with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
            for name, data in members.items():
                archive.writestr(name, bytes(spoilt) if name == program else data)
        try:
            found = torch_archive.read(tmp_path / "b.pt", ("name",), LARGEST)["name"]
        except npz.DAMAGED:
            continue
        assert found.nbytes <= LARGEST
