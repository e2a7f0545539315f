"""Textures as they are loaded, and as the script splits and licenses them."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from backend.training.worlds.textures import SIDE, TextureSet, TexturesMissing, decoded
from pantheon360_blender.core.errors import FileError
from pantheon360_blender.core.srgb import LINEAR_OF_BYTE
from tests.training import small_textures

SCRIPTS = Path(__file__).resolve().parent.parent.parent / "scripts"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_textures.make(tmp_path_factory.mktemp("textures"))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    spec = importlib.util.spec_from_file_location("training_textures", SCRIPTS / "training_textures.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "training_textures", module)
    spec.loader.exec_module(module)
    return module


def test_missing_textures_name_the_script(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(TexturesMissing) as error:
        TextureSet.load(tmp_path, "train")
    assert "training_textures.py" in error.value.advice and str(tmp_path) in str(error.value)
    with pytest.raises(TexturesMissing, match="'other'"):
        TextureSet.load(folder, "other")


def test_textures_of_another_version_are_refused(tmp_path: Path, folder: Path) -> None:
    copied = shutil.copytree(folder, tmp_path / "copied")
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps(manifest | {"version": 0}))
    with pytest.raises(TexturesMissing, match="another version"):
        TextureSet.load(copied, "train")


@pytest.mark.parametrize("name", ["train-wall.png", "train.npy"])
@pytest.mark.parametrize("content", [None, b"", b"\x89PNG nothing"])
def test_damaged_files_are_named(name: str, content: bytes | None, tmp_path: Path, folder: Path) -> None:
    copied = shutil.copytree(folder, tmp_path / "copied")
    (copied / name).unlink()
    if content is not None:
        (copied / name).write_bytes(content)
    with pytest.raises(FileError, match=name):
        TextureSet.load(copied, "train")


def test_splits_share_nothing(folder: Path) -> None:
    train, held_out = (TextureSet.load(folder, split) for split in ("train", "held-out"))
    assert set(train.files).isdisjoint(held_out.files)
    assert len(train.panoramas) == len(held_out.panoramas) == 1
    assert not torch.equal(train.panoramas[0], held_out.panoramas[0])


def test_every_kind_has_something_instead(folder: Path) -> None:
    held_out = TextureSet.load(folder, "held-out")
    assert [held_out.kinds[index] for index in held_out.of_kind("ceiling")] == ["wall"]
    assert all(held_out.of_kind(kind) for kind in small_textures.KINDS)


def test_texels_are_those_of_the_picture_and_repeat(folder: Path) -> None:
    textures = TextureSet.load(folder, "train")
    random = np.random.default_rng(2)
    texture = torch.from_numpy(random.integers(0, len(textures.files), 500))
    pixel = torch.from_numpy(random.integers(0, SIDE, (2, 500)))
    u, v = (pixel + 0.5) / SIDE
    texel = textures.texels[texture * SIDE * SIDE + pixel[1] * SIDE + pixel[0]].numpy()
    for turns in (0, -3, 5):
        found = textures.sample(texture, u + turns, v - turns, torch.zeros(500))
        np.testing.assert_allclose(found.numpy(), LINEAR_OF_BYTE[texel], atol=0.01)


def test_coarse_levels_have_the_same_mean(folder: Path) -> None:
    """But for what is lost between texels, which are mixed as they are stored."""
    textures = TextureSet.load(folder, "train")
    u, v = (axis.flatten() for axis in torch.meshgrid(*[(torch.arange(64) + 0.5) / 64] * 2, indexing="xy"))
    for level in range(9):
        found = textures.sample(torch.zeros(64 * 64, dtype=torch.long), u, v, torch.full((64 * 64,), float(level)))
        np.testing.assert_allclose(found.mean(0).numpy(), textures.means[0], atol=0.03)


def test_decoding_is_the_curve() -> None:
    np.testing.assert_allclose(decoded(torch.arange(256).float()).numpy(), LINEAR_OF_BYTE, atol=0.004)


def test_packages_belong_to_one_split_as_a_whole(script: ModuleType) -> None:
    names = [package.requirement for package in script._PHOTOGRAPHS]
    assert len(names) == len(set(names))
    assert {package.split for package in script._PHOTOGRAPHS} == {"train", "held-out"}
    assert set(script._PANORAMAS["train"]).isdisjoint(script._PANORAMAS["held-out"])
    assert all(package.licence for package in script._PHOTOGRAPHS)
    evaluated = ("pmndrs", "geovisio")
    assert not any(word in name for name in names for word in evaluated), "those are for evaluation alone"


def test_pictures_are_taken_by_kind_licence_and_content(script: ModuleType, tmp_path: Path, monkeypatch: Any) -> None:
    """A Debian package whose copyright file has several licences: only what is wanted, allowed and opaque is left."""
    from PIL import Image

    def picture(noise: int, mode: str = "RGB", side: int = 128) -> bytes:
        random = np.random.default_rng(noise)
        pixels = random.integers(100, 101 + noise, (side, side, len(mode)), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels, mode).save(stream, "PNG")
        return stream.getvalue()

    package = script.Package(
        "things", "debian", "train", "as said", "textures/", ((r"wall.*", "wall", 2.0),), ("GPL-2+", "public-domain")
    )
    members = {
        "textures/wall_free.png": picture(90),
        "textures/wall_public.png": picture(80),
        "textures/wall_closed.png": picture(70),
        "textures/wall_free_nm.png": picture(60),
        "textures/wall_flat.png": picture(0),
        "textures/wall_glass.png": picture(50, "RGBA"),
        "textures/wall_tiny.png": picture(50, side=32),
        "textures/other.png": picture(50),
    }
    free = [name for name in members if "closed" not in name and "public" not in name]
    copyright_text = (
        f"Files: {' '.join(free)}\nLicense: GPL-2+\n\nFiles: textures/wall_public.png\nLicense: public-domain\n"
    )
    copyright_text += "\nFiles: textures/wall_closed.png\nLicense: CC-BY-NC-3.0\n"

    def fetched(_package: object, scratch: Path) -> Path:
        documents = scratch / "usr/share/doc/things"
        documents.mkdir(parents=True)
        (documents / "copyright").write_text(copyright_text)
        with zipfile.ZipFile(scratch / "all.pk3", "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return scratch / "all.pk3"

    monkeypatch.setattr(script, "_debian", fetched)
    entries = list(script._prepared(package, tmp_path))
    assert [(entry["file"], entry["licence"], entry["split"]) for entry in entries] == [
        ("things-wall_free.png", "GPL-2+", "train"),
        ("things-wall_public.png", "public-domain", "train"),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["things-wall_free.png", "things-wall_public.png"]
