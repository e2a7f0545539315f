"""`make benchmark-painter`: seconds and memory of the diffusion painter, beside stock diffusers.

With a CUDA GPU it paints clips of 25 frames, 1024 x 512, in 25 guided steps with a random model of Stable Video
Diffusion's full size, with one and with two anchors and at each level of memory; without one, the tiny model's.
Writes out/benchmark-painter.json and a table. Starts itself again in the backend's environment.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import environments
import numpy as np

OUT = environments.ROOT / "out"
STEPS = 25
TINY_STEPS = 4


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--here", action="store_true", help="measure in this Python, which has torch and diffusers")
    parser.add_argument("--levels", nargs="*", help="levels of memory to measure; by default all that the device has")
    parser.add_argument("--anchors", nargs="*", type=int, choices=(1, 2), default=[1, 2])
    parser.add_argument("--steps", type=int, help="of a clip; by default as many as its size is painted in")
    parser.add_argument("--compile", action="store_true", help="measure a compiled U-Net, too")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the figures")
    chosen = parser.parse_args(arguments)
    if not chosen.here:
        command = [str(environments.needed("benchmark-painter", "backend")), "-B", __file__, "--here", *arguments]
        return subprocess.run(command, cwd=environments.ROOT).returncode
    sys.path.insert(0, str(environments.ROOT))
    record = figures(chosen.levels, chosen.anchors, chosen.steps, chosen.compile)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "benchmark-painter.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    table = markdown(record)
    (chosen.out / "benchmark-painter.md").write_text(table, encoding="utf-8")
    print(table)
    return 0


def has_cuda(python: Path) -> bool:
    """Whether the torch of a Python sees a CUDA GPU."""
    probe = "import torch; print(torch.cuda.is_available())"
    answer = subprocess.run([str(python), "-c", probe], capture_output=True, text=True)
    return answer.stdout.strip() == "True"


def measure(python: Path) -> Any:
    """The figures, measured in another Python."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [str(python), "-B", __file__, "--here", "--out", scratch]
        subprocess.run(command, cwd=environments.ROOT, check=True)
        return json.loads((Path(scratch) / "benchmark-painter.json").read_text("utf-8"))


def figures(levels: list[str] | None, anchors: list[int], steps: int | None, compiled: bool) -> dict[str, Any]:
    """Everything that is measured, by name; sizes in bytes, times in seconds. steps: None is as many as usual."""
    torch, device = house("torch"), house("backend.device")
    plans = house("backend.diffusion.execution.memory_plan")
    kind, precision = device.choose(half="float16")
    size = "full" if kind == "cuda" else "tiny"
    bench = Bench(kind, getattr(torch, precision), size, steps or (STEPS if kind == "cuda" else TINY_STEPS))
    names = levels or list(plans.LEVELS if kind == "cuda" else ("all", "pairs", "single", "chunked"))
    record: dict[str, Any] = {
        "device": device.name(kind),
        "precision": precision,
        "torch": torch.__version__,
        "model": f"{size}, random weights",
        "clip": [bench.card.frames, bench.card.width, bench.card.width // 2, bench.steps],
        "clips": [],
    }
    record["stock"] = bench.stock()  # before the networks are changed for ours
    for count in anchors:
        for name in names:
            record["clips"].append(bench.ours(name, count))
            print(json.dumps(record["clips"][-1]), flush=True)
    if compiled:
        record["clips"].append(bench.ours("all", 1, compiled=True))
    return record


class Bench:
    """A random model and a clip to paint with it."""

    def __init__(self, kind: str, dtype: Any, size: str, steps: int) -> None:
        self.kind, self.dtype, self.size, self.steps = kind, dtype, size, steps
        tiny_model = house("backend.diffusion.models.tiny_model")
        self.card = tiny_model.card(size)
        parts = tiny_model.configs(self.card, size)
        torch = house("torch")
        self.networks = {}
        for offset, name in enumerate(("unet", "vae", "image_encoder")):
            with torch.device(kind):
                self.networks[name] = tiny_model.network(name, parts[name], offset).to(dtype).requires_grad_(False)
        self.scheduler = parts["scheduler"]
        if kind == "cpu":
            torch.set_num_threads(1)

    def ours(self, level: str, anchors: int, *, compiled: bool = False) -> dict[str, Any]:
        """A clip at a level of memory, painted twice: the second counts."""
        model = house("backend.diffusion.models.loading").Components(
            **self.networks,
            scheduler=house("backend.diffusion.networks.schedulers").scheduler("euler", self.scheduler),
            card=self.card,
        )
        options = house("pantheon360_blender.core.jobs.paint_settings")
        execution = house("backend.diffusion.execution.execution").Execution(model, self.plan(level), device=self.kind)
        if compiled:
            execution.compile()
        recipe = options.Recipe(num_inference_steps=self.steps)
        clip = self.clip(anchors)
        need = self.estimate(level, anchors)
        runs = [
            self._timed(lambda: house("backend.diffusion.clip.sampling").paint(execution, clip, recipe)) for _ in "12"
        ]
        execution.release()
        return {
            "level": level,
            "anchors": anchors,
            "compiled": compiled,
            **runs[-1],
            "estimated_bytes": need,
            "decoding": str(execution.plan.decoding),
        }

    def plan(self, level: str) -> Any:
        """A level of memory; below the first the decoder works in bands."""
        plans = house("backend.diffusion.execution.memory_plan")
        return plans.Plan(plans.LEVELS[level], plans.Decoding(banded=level != "all"), self.kind)

    def estimate(self, level: str, anchors: int) -> int:
        """Bytes that the plan of a level expects to need."""
        memory_need = house("backend.diffusion.execution.memory_need")
        seam = house("pantheon360_blender.core.jobs.paint_settings").SeamOptions()
        configs = house("backend.diffusion.models.tiny_model").configs(self.card, self.size)
        need = memory_need.need(configs, self.card, self.card.width, self.card.frames, self.dtype, seam)
        return int(need.bytes_needed(self.plan(level), evaluations=2 * anchors, frames=self.card.frames))

    def stock(self) -> dict[str, Any]:
        """The stock pipeline on the same networks: one anchor, no panoramic seam."""
        diffusers, transformers, torch = house("diffusers"), house("transformers"), house("torch")
        pictures = house("PIL.Image")
        processor = transformers.CLIPImageProcessor()
        pipeline = diffusers.StableVideoDiffusionPipeline(
            self.networks["vae"].to(self.kind),
            self.networks["image_encoder"].to(self.kind),
            self.networks["unet"].to(self.kind),
            house("backend.diffusion.networks.schedulers").scheduler("euler", self.scheduler),
            processor,
        )
        pipeline.set_progress_bar_config(disable=True)
        start = pictures.fromarray(self.clip(1).start)
        decoded = 8

        def paint() -> Any:
            steps: list[float] = []

            def note(*_: Any) -> dict[str, Any]:
                steps.append(time.monotonic())
                return {}

            pipeline(
                start,
                height=self.card.width // 2,
                width=self.card.width,
                num_frames=self.card.frames,
                num_inference_steps=self.steps,
                decode_chunk_size=decoded,
                callback_on_step_end=note,
                generator=torch.Generator().manual_seed(0),
            )
            yield from (Tick(moment) for moment in steps)

        return [self._timed(paint) for _ in "12"][-1] | {"decoded": decoded}

    def clip(self, anchors: int) -> Any:
        """Random pictures: a third of the pixels is covered, as by points."""
        random = np.random.default_rng(0)
        splatting = house("pantheon360_blender.core.render.splatting")
        shape = (self.card.width // 2, self.card.width)
        frames = []
        for _ in range(self.card.frames):
            coverage = random.random(shape) < 1 / 3
            colour = random.integers(0, 256, (*shape, 3), dtype=np.uint8) * coverage[..., None]
            depth = np.where(coverage, 3.0, np.inf).astype(np.float32)
            frames.append(splatting.GeometryFrame(colour, depth, coverage, np.full(shape, -1, np.int32)))
        ends = random.integers(0, 256, (2, *shape, 3), dtype=np.uint8)
        return house("backend.diffusion.clip.passes").Clip(frames, start=ends[0], end=ends[1] if anchors == 2 else None)

    def _timed(self, job: Callable[[], Any]) -> dict[str, Any]:
        torch = house("torch")
        gc.collect()
        if self.kind == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        started, moments = time.monotonic(), []
        for step in job():
            if isinstance(step, Tick):
                moments.append(step.moment)
            elif step.phase == "Denoising":
                self._wait()
                moments.append(time.monotonic())
        self._wait()
        seconds = time.monotonic() - started
        between = [later - earlier for earlier, later in pairwise(moments)]
        peak = torch.cuda.max_memory_allocated() if self.kind == "cuda" else None
        return {
            "seconds": round(seconds, 3),
            "seconds_per_step": round(statistics.median(between), 4) if between else None,
            "peak_bytes": peak,
        }

    def _wait(self) -> None:
        if self.kind == "cuda":
            house("torch").cuda.synchronize()


class Tick:
    """A step of another's that was finished at a moment, seconds."""

    def __init__(self, moment: float) -> None:
        self.moment = moment


def markdown(record: dict[str, Any]) -> str:
    """The figures as a table."""
    frames, width, height, steps = record["clip"]
    lines = [
        f"{record['device']}, {record['precision']}, torch {record['torch']}; {record['model']}; "
        f"{frames} frames of {width} x {height}, {steps} steps with guidance.",
        "",
        "| level | anchors | s a clip | s a step | peak GB | estimated GB |",
        "|---|---|---|---|---|---|",
    ]
    for entry in record["clips"]:
        name = f"{entry['level']}{', compiled' if entry['compiled'] else ''}"
        lines.append(f"| {name} | {entry['anchors']} | {_row(entry)} | {entry['estimated_bytes'] / 1e9:.2f} |")
    stock = record["stock"]
    lines.append(f"| stock diffusers, {stock['decoded']} frames decoded at a time | 1 | {_row(stock)} | |")
    return "\n".join(lines) + "\n"


def _row(entry: dict[str, Any]) -> str:
    peak = f"{entry['peak_bytes'] / 1e9:.2f}" if entry["peak_bytes"] else "-"
    step = f"{entry['seconds_per_step']:.3g}" if entry["seconds_per_step"] else "-"
    return f"{entry['seconds']:.3g} | {step} | {peak}"


def house(name: str) -> Any:
    return importlib.import_module(name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
