"""Datasets, rows and tables, through the door that people use."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("scipy")
pytest.importorskip("torch")
pytest.importorskip("safetensors")

from backend.evaluation import caches, clips, evaluate, methods, rows, tables
from backend.evaluation.evaluate import Request
from backend.evaluation.judge import MEASURES, ClipJudge, Judges
from backend.evaluation.methods import Situation
from pantheon360_blender.core.errors import FileError
from pantheon360_blender.core.panorama import cameras
from pantheon360_blender.core.render.coverage import covered_share

Dataset = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def evaluated(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Request, list[tables.Result]]:
    request = Request(dataset(), tmp_path_factory.mktemp("out"), workers=1)
    return request, evaluate.run(request)


def test_every_row_of_every_clip_stands_in_the_csv(evaluated: tuple[Request, list[tables.Result]]) -> None:
    request, results = evaluated
    written = list(csv.DictReader(io.StringIO((request.out / "results.csv").read_text("utf-8"))))
    assert len(written) == len(results)
    assert list(written[0]) == ["method", "regime", "clip", *MEASURES, "captures"]
    keys = [(row["method"], row["regime"], row["clip"], row["captures"]) for row in written]
    assert len(set(keys)) == len(keys)
    assert {row["clip"] for row in written} == {"room-1", "room-2"}


def test_rows_are_in_the_order_that_must_be(evaluated: tuple[Request, list[tables.Result]]) -> None:
    _, results = evaluated

    def mean(table: str, method: str, regime: str, name: str = "psnr") -> float:
        return tables.mean([each for each in results if each.key == (table, method, regime)], name)

    assert mean(rows.TWO, "the truth itself", caches.NONE) == 100.0
    draft = mean(rows.TWO, "draft", caches.DENSE)
    assert draft > mean(rows.TWO, "draft", caches.SPARSE) > mean(rows.TWO, "geometry only", caches.SPARSE)
    assert draft > mean(rows.TWO, "hold the nearest anchor still", caches.NONE) + 3
    assert draft > mean(rows.TWO, "cross-fade of the anchors", caches.NONE)
    assert draft > mean(rows.TWO, "draft, 10% of the cache", caches.DENSE)
    assert mean(rows.ONE, "geometry only", caches.SPARSE, "coverage") <= 20.5
    assert mean(rows.TWO, "geometry only", caches.DENSE, "known_correlation") > 0.999
    truth = mean(rows.TWO, "the truth itself", caches.NONE, "stwe_exact")
    assert truth < mean(rows.TWO, "hold the nearest anchor still", caches.NONE, "stwe_exact")


def test_tables_keep_one_capture_and_two_apart(evaluated: tuple[Request, list[tables.Result]]) -> None:
    request, _ = evaluated
    text = (request.out / "results.md").read_text("utf-8")
    one, two = text.split("## Two captures")
    assert "## One capture" in one and "cross-fade" not in one and caches.RECONSTRUCTED not in one
    assert "cross-fade" in two
    assert (request.out / "sheets" / "room-1-two-captures.png").exists()


def test_an_evaluation_goes_on_where_it_stopped(
    evaluated: tuple[Request, list[tables.Result]], monkeypatch: pytest.MonkeyPatch
) -> None:
    request, results = evaluated
    (request.out / "clips" / "room-2.json").unlink()
    lost = [each for each in results if each.clip == "room-2"]
    done: list[str] = []
    monkeypatch.setattr(evaluate, "evaluated", lambda clip, _: done.append(clip.name) or lost)
    again = evaluate.run(replace(request, resume=True))
    assert done == ["room-2"]
    assert [each.key for each in again] == [each.key for each in results]
    assert [each.values["psnr"] for each in again] == [each.values["psnr"] for each in results]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="children are counted as Linux tells them")
@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_no_worker_outlives_an_evaluation(ending: str, dataset: Dataset, tmp_path: Path) -> None:
    """Whoever holds the pipe's other end is alive: the evaluation, and the workers that it started."""
    command = [sys.executable, "-B", "-m", "backend", "evaluate", str(dataset()), "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as process:
        deadline = time.monotonic() + 300
        while (started := _children(process.pid)) < 2 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.2)
        process.send_signal(getattr(signal, ending))
        process.communicate(timeout=300)
    assert started >= 2, "it started no workers"
    assert process.returncode != 0


def _children(pid: int) -> int:
    """How many processes a process has started that have not ended."""
    return sum(len(file.read_text().split()) for file in Path(f"/proc/{pid}/task").glob("*/children"))


def test_frames_that_are_anchors_never_count(dataset: Dataset) -> None:
    clip = clips.find(dataset(("one",), 5))[0].read()
    situation = Situation(clip, clip.known, None)
    assert situation.scored == [1, 2, 3]
    wrong_ends = clip.images.copy()
    wrong_ends[[0, -1]] = 0
    values = ClipJudge(clip, Judges()).measure(wrong_ends, situation)
    assert values["psnr"] == 100.0 and values["ssim"] == pytest.approx(1.0)
    assert Situation(clip, clip.known[:1], None).scored == [1, 2, 3, 4]


class Mean:
    """A judge that knows the mean of a picture or a video, and counts what it sees."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def features(self, images: Any) -> Any:
        self.seen.append(tuple(images.shape))
        means = np.asarray(images, np.float64).reshape(len(images), -1).mean(axis=1)
        return np.repeat(means[:, None], 400, axis=1) if images.ndim == 5 else list(means)

    def distance(self, one: Any, other: Any) -> np.ndarray:
        return np.abs(np.asarray(one) - np.asarray(other))


@pytest.mark.parametrize("all_crops", [False, True])
def test_every_network_looks_at_crops_if_it_is_asked_to(dataset: Dataset, all_crops: bool) -> None:
    clip = clips.find(dataset(("one",), 14))[0].read()
    situation, networks = Situation(clip, clip.known[:1], None), [Mean() for _ in range(4)]
    judge = ClipJudge(clip, Judges(*networks, sampled=1, all_crops=all_crops))  # type: ignore[arg-type]
    darker = clip.images // 2
    of_truth, found = (judge.measure(images, situation) for images in (clip.images, darker))
    crops = {"st_lpips_crops", "dists_crops"}
    assert "lpips_crops" in found and (crops <= set(found)) == all_crops and bool(crops & set(found)) == all_crops
    names = {"lpips", "lpips_crops", "st_lpips", "dists"} | (crops if all_crops else set())
    assert all(of_truth[name] == 0 and found[name] > 5 for name in names)
    features = judge.video_features(darker, situation.scored)
    assert {name: values.shape for name, values in features.items()} == (
        {"fvd": (1, 400), "fvd_crops": (8, 400)} if all_crops else {"fvd": (1, 400)}
    )
    results = [
        tables.Result(
            rows.ONE, "draft", caches.DENSE, name, found, features, judge.video_features(clip.images, [1, 2, 3] * 4)
        )
        for name in ("one", "two")
    ]
    text = tables.markdown(results, "")
    assert ("FVD of 8 crops" in text, "DISTS of 8 crops" in text) == (all_crops, all_crops)
    assert np.isfinite(tables.fvd_of(results)) and np.isfinite(tables.fvd_of(results, "fvd_crops")) == all_crops


def test_painters_are_compared_with_the_draft_of_the_same_clips_and_the_same_cache() -> None:
    def result(method: str, regime: str, clip: str, psnr: float, lpips: float) -> tables.Result:
        return tables.Result(rows.ONE, method, regime, clip, {"psnr": psnr, "lpips": lpips})

    results = [
        result("draft", caches.SPARSE, "a", 20, 0.3),
        result("draft", caches.SPARSE, "b", 30, 0.1),  # which the model did not paint
        result("mine, single, 1 step", caches.SPARSE, "a", 21.5, 0.35),
        result("draft, 50% of the cache", caches.DENSE, "a", 18, 0.4),
        result("mine, single, 1 step, 50% of the cache", caches.DENSE, "a", 17, 0.2),
        result("hold the nearest anchor still", caches.NONE, "a", 15, 0.5),
    ]
    lines = [line for line in tables.markdown(results, "").splitlines() if line.startswith("| mine")]
    assert f"| mine, single, 1 step | {caches.SPARSE} | 1 | +1.50 | 1 | +0.050 | 0 |" in lines
    assert f"| mine, single, 1 step, 50% of the cache | {caches.DENSE} | 1 | -1.00 | 0 | -0.200 | 1 |" in lines
    assert "Against the draft" not in tables.markdown(results[:2] + results[-1:], "")


def test_baselines_show_what_their_names_say(dataset: Dataset) -> None:
    clip = clips.find(dataset(("still", "turning"), 5))[1].read()
    situation = Situation(clip, clip.known, None)
    held, turned, faded = (method(situation) for method in (methods.hold, methods.turned, methods.cross_fade))
    assert np.array_equal(held[1], clip.images[0]) and np.array_equal(held[3], clip.images[-1])
    assert np.array_equal(turned[0], clip.images[0]) and not np.array_equal(turned[1], held[1])
    assert np.array_equal(faded[[0, -1]], turned[[0, -1]])
    middle = (turned[0].astype(float).mean() + turned[-1].astype(float).mean()) / 2
    assert faded[2].mean() == pytest.approx(middle, abs=3)


def test_the_thinned_truth_covers_a_fifth_at_most(dataset: Dataset) -> None:
    clip = clips.find(dataset(("one",), 5))[0].read()
    assert clip.cameras is not None
    cloud = caches.sparse(caches.dense(clip.known), clip.cameras[1:-1], clip.width)
    seen = Situation(clip, clip.known, cloud).geometry[1:-1]
    assert 0.15 < np.mean([covered_share(frame.coverage) for frame in seen]) <= caches.SPARSE_COVERAGE
    dense = caches.dense(clip.known)
    assert len(caches.thinned(dense, 0.25)) == round(len(dense) / 4)


def test_a_model_paints_every_configuration(dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    from backend.diffusion.models import tiny_model

    tiny_model.make(tmp_path / "model", width=128, height=64, frames=4)
    clip = clips.find(dataset(("one",), 4, 128))[0].read()
    found = rows.rows(rows.EvaluatedModel(str(tmp_path / "model"), "tiny", trained=True))
    labels = [(row.table, row.method, row.regime) for row in found if "tiny" in row.method]
    assert len(labels) == len(set(labels)) == (1 + 2 + 1 + 4) + (1 + 8 + 2 + 4)
    chosen = {row.method: row for row in found if row.table == rows.TWO and row.regime in (caches.SPARSE, caches.NONE)}
    situations = rows.Situations(clip)
    painted = {
        name: chosen[name].paint(situations.of(chosen[name]))
        for name in ("tiny, single, 1 step", "tiny, dual+fusion, 1 step")
    }
    assert all(images.shape == clip.images.shape for images in painted.values())
    assert not np.array_equal(*painted.values())


def test_rows_that_are_no_ablation_take_the_steps_that_a_model_usually_takes() -> None:
    for usual, label in ((None, "10 steps"), (1, "1 step")):
        found = rows.rows(rows.EvaluatedModel("somewhere", "mine", trained=True, steps=usual))
        regimes = {row.regime for row in found if row.method == f"mine, dual+fusion, {label}"}
        assert regimes == {caches.SPARSE, caches.RECONSTRUCTED, caches.DENSE}
        thinner = [row for row in found if row.share < 1 and row.method.startswith(f"mine, dual+fusion, {label}")]
        assert [row.share for row in thinner] == list(rows.SHARES)
    untrained = rows.rows(rows.EvaluatedModel("somewhere", "noise", trained=False, steps=1))
    assert {row.regime for row in untrained if "noise" in row.method} == {caches.SPARSE, caches.NONE}


def test_a_clip_of_vipe_is_read_upright(tmp_path: Path, dataset: Dataset) -> None:
    pytest.importorskip("imageio_ffmpeg")
    oiio = pytest.importorskip("OpenImageIO")
    own = clips.find(dataset(("one",), 3))[0].read()
    assert own.cameras is not None and own.ranges is not None
    to_vipe = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    (tmp_path / "pose").mkdir()
    np.savez(tmp_path / "pose" / "walk.npz", data=cameras.blender_to_opencv(to_vipe @ own.cameras), inds=np.arange(3))
    (tmp_path / "depth").mkdir()
    with zipfile.ZipFile(tmp_path / "depth" / "walk.zip", "w") as archive:
        for frame, distance in enumerate(own.ranges):
            part = tmp_path / "part.exr"
            spec = oiio.ImageSpec(64, 32, 1, "half")
            spec.channelnames = ("Z",)
            output = oiio.ImageOutput.create(str(part))
            assert output.open(str(part), spec) and output.write_image(distance[..., None]) and output.close()
            archive.write(part, f"{frame:05d}.exr")
    (tmp_path / "rgb").mkdir()
    video(tmp_path / "rgb" / "walk.mp4", own.images)
    found = clips.find(tmp_path)[0].read()
    assert found.cameras is not None and found.ranges is not None
    assert np.allclose(found.cameras, own.cameras, atol=1e-6)
    assert np.allclose(found.ranges, own.ranges, rtol=2e-3)
    grey = found.images.mean(axis=-1), own.images.mean(axis=-1)  # colours are stored at half the size
    assert np.corrcoef(grey[0].ravel(), grey[1].ravel())[0, 1] > 0.9
    assert [each.frame for each in found.known] == [0, 2]


def test_a_video_alone_is_judged_by_rows_that_need_no_geometry(tmp_path: Path, dataset: Dataset) -> None:
    pytest.importorskip("imageio_ffmpeg")
    own = clips.find(dataset(("one",), 4))[0].read()
    (tmp_path / "videos").mkdir()
    video(tmp_path / "videos" / "walk.mp4", own.images)
    results = evaluate.run(Request(tmp_path / "videos", tmp_path / "out", workers=1))
    assert {each.method for each in results} == {
        "the truth itself", "hold the nearest anchor still", "cross-fade of the anchors",
    }  # fmt: skip
    assert all("coverage" not in each.values for each in results)


def video(path: Path, images: np.ndarray) -> None:
    import imageio_ffmpeg

    size = images.shape[2], images.shape[1]
    writer = imageio_ffmpeg.write_frames(str(path), size, fps=7, codec="libx264", quality=10, macro_block_size=2)
    writer.send(None)
    for image in images:
        writer.send(np.ascontiguousarray(image))
    writer.close()


def test_what_is_no_dataset_is_named_before_anything_is_painted(tmp_path: Path, dataset: Dataset) -> None:
    with pytest.raises(FileError, match="holds no clips"):
        clips.find(tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "clip.json").write_text(json.dumps({"schema": 2}), encoding="utf-8")
    with pytest.raises(FileError, match=r"clip\.json is no clip"):
        clips.find(tmp_path)[0].read()
    request = Request(dataset(("one",), 3), tmp_path / "out", weights=tmp_path)
    assert evaluate.main(request) == 1
    assert not (tmp_path / "out").exists()
