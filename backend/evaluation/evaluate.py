"""`python -m backend evaluate DATASET`: every row on every clip, measured, and written down."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pantheon360_blender.core import files
from pantheon360_blender.core.errors import PantheonError

from . import caches, clips, pictures, rows, tables
from .clips import ClipFile, EvaluationClip
from .judge import ClipJudge, Judges
from .rows import EvaluatedModel, Row
from .tables import Result

_SHOWN = (
    "the truth itself", "geometry only", "hold the nearest anchor still", "cross-fade of the anchors", "draft",
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What to evaluate.

    dataset: a folder of clips. out: where everything is written. weights: of the networks that judge, or None.
    model: that paints, or None. model_every: it paints one clip in so many. label: what tables call it.
    trained, steps, draft_share: as its card says.
    width: of the panoramas in pixels; None as they are. frames: at most, of a clip.
    sampled: frames of a clip that networks look at. all_crops: whether all of them look at crops, too.
    workers: processes. met3r: with the user's own MEt3R. resume: keep the clips that `out` has results of.
    only: clips whose names begin so. every: one of them in so many. note: on the dataset, in tables.
    """

    dataset: Path
    out: Path
    weights: Path | None = None
    model: str | None = None
    model_every: int = 1
    trained: bool = True
    steps: int | None = None
    draft_share: float = 0.0
    label: str = "model"
    width: int | None = None
    frames: int = clips.FRAMES
    sampled: int = 2
    all_crops: bool = False
    workers: int = 2
    met3r: bool = False
    resume: bool = False
    only: str = ""
    every: int = 1
    note: str = ""


def main(request: Request) -> int:
    """Evaluate, and print what is done. Returns the exit code: 0, or 1 with an error said."""
    try:
        run(request)
    except PantheonError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def run(request: Request) -> list[Result]:
    """Every row of every clip; writes results.csv, results.md, sheets, videos and a plot to `out`.

    Raises PantheonError before anything is painted: no clips, no weights where a folder is named, no such model.
    """
    found = [clip for clip in clips.find(request.dataset) if clip.name.startswith(request.only)][:: request.every]
    Judges.load(request.weights, request.sampled, met3r=request.met3r)
    if request.weights is None:
        print("Without --weights there are no LPIPS, ST-LPIPS, DISTS and FVD: make them with scripts/metric_weights.py")
    if request.model is not None:
        from ..diffusion.models import model_store

        card = model_store.find(request.model).card
        request = replace(request, trained=card.trained, steps=card.steps, draft_share=card.draft_share)
    results, computed, started = [], 0.0, time.monotonic()
    for number, (clip, measured, seconds) in enumerate(_all(found, request), 1):
        results += measured
        computed += seconds
        spent = f"{seconds:.0f} s; {computed:.0f} s of processors in {time.monotonic() - started:.0f} s"
        print(f"{number} of {len(found)}: {clip.name}, {len(measured)} rows, {spent}", flush=True)
    results = _in_order(results, request)
    tables.write_csv(request.out / "results.csv", results)
    text = tables.markdown(results, _preface(found, results, request))
    files.write_bytes(request.out / "results.md", text.encode("utf-8"))
    pictures.plot(request.out / "psnr-lpips.png", results)
    print(f"{request.out / 'results.md'}, {request.out / 'results.csv'}: {time.monotonic() - started:.0f} s")
    return results


def _all(found: list[ClipFile], request: Request) -> Iterator[tuple[ClipFile, list[Result], float]]:
    """Each clip's results when they are there. Clips are shared among processes of one thread each."""
    without = replace(request, model=None)
    wanted = [(clip, without if at % request.model_every else request) for at, clip in enumerate(found)]
    if request.workers <= 1:
        for clip, what in wanted:
            yield clip, *_timed(clip, what)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(request.workers, mp_context=context, initializer=_begin_worker) as pool:
        try:
            for clip, future in [(clip, pool.submit(_timed, clip, what)) for clip, what in wanted]:
                yield clip, *future.result()
        except BaseException:  # of any kind, Ctrl-C before all: nobody waits for clips that nobody wants any more
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise


def _begin_worker() -> None:
    """A worker ends with the process that wants its clips, however that ended, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _one_thread()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _one_thread() -> None:
    """Processes side by side must not also share out each matrix."""
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _timed(clip: ClipFile, request: Request) -> tuple[list[Result], float]:
    """A clip's results, kept in `clips/`, and the seconds of a processor they took."""
    started = time.process_time()
    kept = request.out / "clips" / f"{clip.name}.json"
    if request.resume and kept.exists():
        return tables.read_results(kept), 0.0
    results = evaluated(clip, request)
    tables.write_results(kept, results)
    return results, time.process_time() - started


def evaluated(file: ClipFile, request: Request) -> list[Result]:
    """Every row of one clip; its contact sheets and video are written."""
    clip = file.read(request.width, request.frames)
    judges = Judges.load(request.weights, request.sampled, met3r=request.met3r, all_crops=request.all_crops)
    judge = ClipJudge(clip, judges)
    situations = rows.Situations(clip)
    results, shown = [], dict[tuple[str, str], np.ndarray]()
    for row in _rows(request):
        if not row.suits(clip):
            continue
        try:
            situation = situations.of(row)
        except PantheonError as error:
            print(f"{clip.name}: no {row.method} of the {row.regime}: {error}", flush=True)
            continue
        images = row.paint(situation)
        values = judge.measure(images, situation, brief=row.brief)
        features = judge.video_features(images, situation.scored) if row.videos else {}
        true_features = judge.video_features(clip.images, situation.scored) if features else {}
        results.append(Result(row.table, row.method, row.regime, clip.name, values, features, true_features))
        if _is_shown(row, request):
            shown[row.table, f"{row.method} ({row.regime}), {values['psnr']:.1f} dB"] = images
    _show(clip, shown, request)
    return results


def _rows(request: Request) -> list[Row]:
    return rows.rows(_model(request))


def _model(request: Request) -> EvaluatedModel | None:
    if request.model is None:
        return None
    return EvaluatedModel(request.model, request.label, request.trained, request.steps, request.draft_share)


def _is_shown(row: Row, request: Request) -> bool:
    if row.share < 1.0:
        return False
    model = _model(request)
    painted = model is not None and f"{model.label}, " in row.method and f" {model.usual_steps} step" in row.method
    return row.method in _SHOWN or (painted and row.regime in (caches.SPARSE, caches.RECONSTRUCTED))


def _show(clip: EvaluationClip, shown: dict[tuple[str, str], np.ndarray], request: Request) -> None:
    for table in (rows.ONE, rows.TWO):
        painted = {label: images for (of, label), images in shown.items() if of == table}
        name = f"{clip.name}-{table.replace(' ', '-')}"
        pictures.contact_sheet(request.out / "sheets" / f"{name}.png", painted)
        pictures.video(request.out / "videos" / f"{name}.mp4", painted, clip.fps)


def _in_order(results: list[Result], request: Request) -> list[Result]:
    """As the tables have them: by row, then by clip."""
    order = {(row.table, row.method, row.regime): at for at, row in enumerate(_rows(request))}
    return sorted(results, key=lambda each: (order[each.key], each.clip))


def _preface(found: list[ClipFile], results: list[Result], request: Request) -> str:
    crops = ", and 8 times as many of crops" if request.all_crops else ""
    names = sorted({clip.name.rsplit("-", 1)[0] for clip in found})
    return f"""# Results

Written by `python -m backend evaluate`; how, and what each measure is: [evaluation.md](evaluation.md).

{request.note or f"{len(found)} clips of {request.dataset.name}: {', '.join(names)}."}
Frames that are anchors never count. Networks (LPIPS, ST-LPIPS, DISTS) and crops see {request.sampled} frames of a
clip, evenly spaced; small crops are enlarged to 224 pixels for networks. FVD is of {len(found)} videos a side, whole
panoramas resized to 224 x 224{crops}: with so few it compares rows of this table and nothing else.
Higher is better: PSNR, SSIM, correlation. Lower is better: LPIPS, ST-LPIPS, DISTS, FVD, STWE, MEt3R. Nearest to
`the truth itself` is best: IE, which is 0 for what stands still, seam ratio, pole error.
"""
