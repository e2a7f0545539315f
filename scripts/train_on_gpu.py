"""The small painter trained on a GPU that is at hand for minutes: one folder goes there, one run, few files come back.

    pack BUNDLE                what the run needs, beside the repository: textures, VAE, where it starts, LPIPS
    run BUNDLE --out FOLDER    train until the seconds are over; weights in FOLDER every two minutes
    overfit BUNDLE             learn one clip by heart, which proves that all of it works: exit code 0 from 30 dB on
    unpack FOLDER CHECKPOINT   what came back as a checkpoint, for the recipe's `start`

There, torch, transformers and accelerate are needed, and diffusers, of which `pack --wheel` takes a wheel along.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

LIMIT = 64 << 20
"""Bytes that travel, the repository's own included."""
VAE = ROOT / "backend" / "models" / "pantheon360-small" / "vae"
"""Of the model that comes with the extension: it is there already."""
BLOCKS = 4
"""Of VGG16's five, for LPIPS: the last one is half of its weights."""
SHARD = 15_000_000
"""Bytes of a file that comes back, at most."""
DELIVERED_EVERY = 120.0
"""Seconds between two deliveries of weights."""
GATE = 30.0
"""dB to which one clip has to be learned."""
_QUALITY = 80


def main() -> int:
    chosen = arguments().parse_args()
    return {"pack": pack, "run": run, "overfit": overfit, "unpack": unpack}[chosen.action](chosen)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    packing = actions.add_parser("pack")
    packing.add_argument("bundle", type=Path)
    packing.add_argument("--vae", type=Path, help="a diffusers folder of the VAE; by default that of the shipped model")
    packing.add_argument("--start", type=Path, help="a checkpoint; by default random weights")
    packing.add_argument("--textures", type=Path, default=ROOT / ".cache" / "training" / "textures")
    packing.add_argument("--metrics", type=Path, help="the folder of scripts/metric_weights.py, for LPIPS")
    packing.add_argument("--wheel", type=Path, action="append", default=[], help="a package to take along")
    for name in ("run", "overfit"):
        training = actions.add_parser(name)
        training.add_argument("bundle", type=Path)
        training.add_argument("--out", type=Path, required=name == "run", help="a folder for what comes back")
        training.add_argument("--seconds", type=float, default=480, help="of the whole script")
        training.add_argument("--device", default="cuda")
        training.add_argument("--set", action="append", default=[], metavar="TABLE.ENTRY=VALUE")
    unpacking = actions.add_parser("unpack")
    unpacking.add_argument("folder", type=Path)
    unpacking.add_argument("checkpoints", type=Path)
    return parser


def pack(chosen: argparse.Namespace) -> int:
    """Gather what the run needs; refuses what would not travel."""
    from safetensors.torch import load_file, save_file

    from backend.training.trainer import checkpoints

    bundle: Path = chosen.bundle
    shutil.rmtree(bundle, ignore_errors=True)
    _pack_textures(chosen.textures, bundle / "textures")
    if chosen.vae:
        shutil.copytree(chosen.vae, bundle / "vae")
    if chosen.start:
        average = checkpoints.read(chosen.start).tensors["average"]
        (bundle / "start").mkdir()
        save_file(
            {name: tensor.half().contiguous() for name, tensor in average.items()}, bundle / "start" / "1.safetensors"
        )
    if chosen.metrics:
        (bundle / "metrics").mkdir()
        for name in ("vgg16", "lpips-vgg"):
            found = load_file(chosen.metrics / f"{name}.safetensors")
            of_network = {key: each.half() for key, each in found.items() if _is_seen(key)}
            save_file(of_network, bundle / "metrics" / f"{name}.safetensors")
    for wheel in chosen.wheel:
        (bundle / "wheels").mkdir(exist_ok=True)
        shutil.copy2(wheel, bundle / "wheels")
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    for part in sorted(bundle.iterdir()):
        print(f"{part.name}: {sum(each.stat().st_size for each in part.rglob('*') if each.is_file()) / 1e6:.1f} MB")
    size += _repository()
    print(f"{size / 1e6:.1f} MB with the repository, of {LIMIT / 1e6:.1f} MB that may travel")
    return 0 if size < LIMIT else 1


def _is_seen(name: str) -> bool:
    """Whether a weight of LPIPS is of the first BLOCKS of VGG16."""
    from backend.training.trainer import perceptual

    kind, number = name.split(".")[:2]
    return int(number) < BLOCKS if kind == "head" else int(number) <= perceptual.BLOCKS[BLOCKS - 1][-1]


def _repository() -> int:
    """Bytes of the files that the repository tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return sum((ROOT / name).stat().st_size for name in listed.split("\0") if name and (ROOT / name).is_file())


def _pack_textures(source: Path, target: Path) -> None:
    """The textures as JPEG, the panoramas at half their size, without what is held out: a sixth of the bytes."""
    import numpy as np
    from PIL import Image

    manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    target.mkdir(parents=True)
    for kind in ("textures", "panoramas"):
        manifest[kind] = [entry for entry in manifest[kind] if entry["split"] == "train"]
    for entry in manifest["textures"]:
        stem = Path(entry["file"]).stem
        with Image.open(source / entry["file"]) as picture:
            picture.convert("RGB").save(target / f"{stem}.jpg", quality=_QUALITY)
        entry["file"] = f"{stem}.jpg"
    for entry in manifest["panoramas"]:
        whole = np.load(source / entry["file"], allow_pickle=False).astype(np.float32)
        halved = whole.reshape(len(whole) // 2, 2, whole.shape[1] // 2, 2, 3).mean(axis=(1, 3))
        np.save(target / entry["file"], halved.astype(np.float16))
    (target / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def _settings(chosen: argparse.Namespace, *changes: str) -> Any:
    """The recipe of the small painter, with what the bundle holds. Sets what is told last."""
    from backend.training.trainer import settings as recipes
    from backend.training.trainer import sources

    bundle: Path = chosen.bundle.absolute()
    metrics = bundle / "metrics"
    vae = bundle / "vae" if (bundle / "vae").is_dir() else VAE
    told = [
        f'clips.folder="{bundle / "textures"}"', f'painter.vae="{vae}"', f"run.device={chosen.device}",
        f'perceptual.weights="{metrics}"', *([] if metrics.is_dir() else ["perceptual.weight=0.0"]),
        "clips.held_out=0",  # what comes back is judged at home
        *(["clips.reconstructed=0.0"] if sources.reconstruction_lacks() else []),
        "run.steps=1000000", "run.threads=0", "run.checkpoint_every=1000000", "clips.accumulate=1",
    ]  # fmt: skip
    on_gpu = [
        "run.precision=bfloat16", "clips.batch=32", "clips.kept=128", "clips.uses=24", "clips.ahead=4",
        f"clips.workers={max(1, _processors() - 1)}", "optimizer.average=0.998",
    ]  # fmt: skip
    return recipes.read(
        recipes.find(Path("small")), [*told, *(on_gpu if chosen.device == "cuda" else []), *changes, *chosen.set]
    )


def _processors() -> int:
    """How many this process may use: a machine can have more."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(chosen: argparse.Namespace) -> int:
    """Train until the seconds are over, and deliver weights every two minutes and at the end."""
    begun = time.monotonic()
    reserve = max(10.0, 0.04 * chosen.seconds)  # for the last delivery
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        changes = ["run.by_clock=true", f"run.checkpoint_seconds={DELIVERED_EVERY}", "run.keep=1"]
        settings = _settings(chosen, *changes, f"run.seconds={chosen.seconds}")
        work = Path(scratch)
        start = _start(chosen.bundle, work, settings)
        left = max(1.0, chosen.seconds - reserve - (time.monotonic() - begun))
        settings = _settings(chosen, *changes, *start, f"run.seconds={left}")
        _train(settings, work / "run", lambda: _deliver(work / "run", chosen.out))
        _deliver(work / "run", chosen.out)
    print(f"{time.monotonic() - begun:.0f} s in all; what comes back:")
    for path in sorted(chosen.out.iterdir()):
        print(f"  {path.name}: {path.stat().st_size / 1e6:.2f} MB")
    return 0


def _start(bundle: Path, work: Path, settings: Any) -> list[str]:
    """The packed weights as a checkpoint to start from: the optimizer is a fresh one and warms up."""
    if not (bundle / "start").is_dir():
        return []
    folder = _checkpoint(bundle / "start", work / "start", settings)
    return [f'start="{folder}"']


def _train(settings: Any, folder: Path, delivered: Any) -> Any:
    """Run a recipe and print its progress; `delivered` is called after each checkpoint but the last."""
    from backend.training.trainer import loop, painter_trainer, sources

    machine = loop.accelerator(settings)
    print(f"on {machine.device}", flush=True)
    trainee = painter_trainer.PainterTrainee(settings, machine)
    print(f"{sum(each.numel() for each in trainee.module.parameters()) / 1e6:.1f} M weights", flush=True)
    before = ""
    for step in loop.train(trainee, settings, folder, machine, sources.source):
        if step.text:
            print(f"{step.phase} {step.step}: {step.text}", flush=True)
        if before == "Checkpoint":
            delivered()
        before = step.phase
    return trainee


def _deliver(folder: Path, out: Path) -> None:
    """The newest checkpoint's average in files that are small enough, each whole or not there."""
    from safetensors.torch import save_file

    from backend.training.trainer import checkpoints, loop

    newest = checkpoints.newest(folder / loop.CHECKPOINTS)
    if newest is None:
        return
    kept = checkpoints.read(newest)
    halved = {name: tensor.half().contiguous() for name, tensor in kept.tensors["average"].items()}
    for number, shard in enumerate(_shards(halved), 1):
        save_file(shard, out / ".part")
        (out / ".part").replace(out / f"{number}.safetensors")
    told = {"step": kept.step, "samples": kept.samples, "settings": dict(kept.settings)}
    (out / ".part").write_text(json.dumps(told, indent=1), encoding="utf-8")
    (out / ".part").replace(out / "run.json")
    for name in ("log.csv", "loss.png"):
        if (folder / name).exists():
            shutil.copy2(folder / name, out / name)
    print(f"delivered step {kept.step}", flush=True)


def _shards(tensors: dict[str, Any]) -> list[dict[str, Any]]:
    """Tensors in groups of at most SHARD bytes."""
    shards: list[dict[str, Any]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if size + tensor.nbytes > SHARD - 200_000 and shards[-1]:  # of the header
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    return shards


def unpack(chosen: argparse.Namespace) -> int:
    """What came back as a checkpoint. Prints where it is."""
    from backend.training.trainer import settings as recipes

    told = json.loads((chosen.folder / "run.json").read_text(encoding="utf-8"))
    settings = recipes.of(told["settings"], with_files=False)
    print(_checkpoint(chosen.folder, chosen.checkpoints, settings, told["step"], told["samples"]))
    return 0


def _checkpoint(folder: Path, target: Path, settings: Any, step: int = 0, samples: int = 0) -> Path:
    """A checkpoint without moments of the weights in a folder's files."""
    from safetensors.torch import load_file

    from backend.training.trainer import checkpoints

    weights: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        weights |= {name: tensor.float() for name, tensor in load_file(path).items()}
    tensors = {"weights": weights, "average": weights, "optimizer": {}}
    return checkpoints.write(target, checkpoints.Checkpoint(step, samples, settings.as_json(), tensors), keep=1000)


def overfit(chosen: argparse.Namespace) -> int:
    """Learn one clip by heart. Prints the PSNR of one step's painting beside the VAE's own; 0 if it is high enough."""
    from backend.diffusion.models import loading, model_folder
    from backend.diffusion.networks import autoencoder, panorama
    from backend.training.networks import conditions
    from backend.training.trainer import clip_pool, export, samples, sources
    from pantheon360_blender.core.jobs.paint_settings import SeamOptions
    from pantheon360_blender.core.progress import run_to_end

    changes = [
        "run.by_clock=true", f"run.seconds={chosen.seconds}", "run.checkpoint_seconds=0", "clips.kept=1",
        "clips.uses=1000000", "clips.batch=1", "clips.ahead=0", "clips.workers=0", "painter.high_noise=1.0",
        "painter.one_step=1.0", "painter.one_step_of=1.0", "painter.turn=false", "painter.end_shown=1.0",
        "painter.latitude=false", "perceptual.weight=0.0", "optimizer.warm_up=20", "optimizer.rate=2e-3",
        "optimizer.decay=0.0", "optimizer.average=0.95", "run.log_every=20",
    ]  # fmt: skip
    settings = _settings(chosen, *changes)
    with tempfile.TemporaryDirectory() as scratch:
        trainee = _train(settings, Path(scratch), lambda: None)
        source = sources.source(settings.clips, chosen.device)
        clip = clip_pool.ClipPool(source, settings.clips, settings.seed).sample(0).clip
        from backend.diffusion.models import loading, model_folder

        export.write(Path(scratch) / "model", trainee.networks)
        model = loading.load(model_folder.open(Path(scratch) / "model"), device=chosen.device)
        painted, truth = samples.painted(model, clip), samples.images(clip.frames)
        with panorama.circular_convolutions(model.vae):
            latents = conditions.targets([clip], model.vae)[0]
        decoded = run_to_end(autoencoder.decode(model.vae, latents, SeamOptions(), device=chosen.device))
        kept = autoencoder.images_of(decoded)
    reached = samples.psnr(painted, truth)
    print(f"one clip, painted in one step: {reached:.2f} dB, {GATE:g} are wanted")
    print(f"beside what the VAE keeps of it: {samples.psnr(painted, kept):.2f} dB; the VAE keeps ", end="")
    print(f"{samples.psnr(kept, truth):.2f} dB")
    return 0 if reached >= GATE else 1


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
