"""Parsers of job folders, messages and models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pantheon360_blender.core.jobs import messages, model_card, paint_settings, painting_summary
from pantheon360_blender.core.jobs import reconstruct_settings as results
from pantheon360_blender.core.jobs.job import ExtendJob, PaintJob, ReconstructJob
from pantheon360_blender.core.jobs.job_folder import ExtendFolder, JobFolder, PaintFolder, ReconstructFolder
from pantheon360_blender.core.jobs.reconstruct_settings import PosedCapture, ReconstructionSettings
from pantheon360_blender.core.output_folder import OutputFolder
from pantheon360_blender.core.panorama.capture import Capture
from pantheon360_blender.core.points.point_cloud import PointCloud
from pantheon360_blender.core.render.splatting import GeometryFrame

from . import mutations
from .mutations import JSON
from .parser import SIZE, WIDTH, Parser, cloud, each, photograph, ranges
from .sources import by_kind


def make_shot(folder: Path) -> list[Path]:
    (folder / "new").mkdir()
    shot = PaintFolder(folder / "new", "Shot", "0123abcd")
    entry = shot.write_capture(Capture("A", photograph(), np.eye(4), np.ones(SIZE, np.bool_)))
    depth = ranges()
    shot.write_geometry("geometry", 1, GeometryFrame(photograph(), depth, depth > 2, np.zeros(SIZE, np.int32)))
    job = PaintJob(
        name="Shot", width=WIDTH, fps=24, frames=[1], cameras=np.eye(4)[None], captures=[entry],
        anchors=[{"frame": 1, "capture": "A"}], settings={"near": 0.1, "diffusion": {"steps": 3}}, software={"a": "1"},
    )  # fmt: skip
    shot.seal(job)
    shot.write_frame(1, photograph())
    shot.write_state("failed", [1], {"code": "a", "text": "b", "advice": "c"})
    record = {
        "model": {"label": "A", "trained": False, "licence": "B"}, "memory": {"level": "all"}, "warnings": ["c"],
        "segments": {"1": {"seconds": 2.5}}, "seconds": 2.5,
    }  # fmt: skip
    (shot.path / "painting.json").write_text(json.dumps(record))
    pictures = [
        shot.path / "captures/A.png",
        shot.path / "captures/A.mask.png",
        shot.geometry_file(1),
        shot.frame_file(1),
    ]
    lists = [
        shot.path / name for name in ("job.json", "job.json", "job.json", "job.json", "state.json", "painting.json")
    ]
    return [*lists, *pictures, shot.geometry_depth_file(1)]


def read_shot(folder: Path) -> None:
    shot = PaintFolder.open(folder / "Shot-0123abcd")
    # Sealed again, or every file that was changed would be refused for its hash alone.
    shot.seal(shot.job)
    shot = PaintFolder.open(shot.path)
    each(
        shot.state,
        shot.captures,
        shot.verify,
        shot.finished_frames,
        lambda: shot.write_state("running"),
        lambda: [shot.read_geometry("geometry", frame) for frame in shot.job.frames[:2]],
        lambda: paint_settings.PaintOptions.from_json(shot.job.settings.get("diffusion", {})),
        lambda: _told(shot),
    )


def _told(shot: PaintFolder) -> None:
    record = painting_summary.read(shot)
    if record is not None:
        json.dumps(record)
        painting_summary.label(record), painting_summary.licence(record), painting_summary.warnings(record)


def make_reconstruction(folder: Path) -> list[Path]:
    (folder / "new").mkdir()
    job = ReconstructFolder(folder / "new", "Cache", "0123abcd")
    entries = [job.write_capture(Capture(name, photograph(), np.eye(4))) for name in "AB"]
    priors = {"A": {"position": [1.0, 2.0, 3.0], "heading": 12.0}, "B": {"position": None, "heading": None}}
    settings = ReconstructionSettings(camera_height=1.6, distance=["A", "B", 2.0], priors=priors)
    job.seal(ReconstructJob(name="Cache", captures=entries, settings=settings.to_json()))
    folder = job.path
    posed = [PosedCapture("A", np.eye(4), True), PosedCapture("B", np.eye(4), False, "It is dark.")]
    results.write_poses(job.output, posed, {"method": "solve", "notes": ["a"]})
    (folder / results.REPORT_FILE).write_text(json.dumps({"text": "Two captures.", "seconds": 1}))
    cloud().save(folder / results.CACHE_FILE)
    maps = {"range": ranges(), "confidence": ranges() / 9, "sky": ranges() > 8}
    (folder / "depth").mkdir()
    np.savez(folder / "depth/A.npz", **maps)
    names = ("job.json", "job.json", "poses.json", "poses.json", "report.json", "cache.npz", "depth/A.npz")
    return [folder / name for name in names]


def read_reconstruction(folder: Path) -> None:
    from backend.reconstruction import depth_map

    folder = folder / "Cache-0123abcd"
    each(
        lambda: ReconstructionSettings.from_json(JobFolder.open(folder).job.settings),
        lambda: results.read_poses(folder),
        lambda: results.read_report(folder),
        lambda: PointCloud.load(folder / results.CACHE_FILE),
        lambda: depth_map.read(folder / "depth/A.npz"),
    )


def make_extension(folder: Path) -> list[Path]:
    (folder / "new").mkdir()
    job = ExtendFolder(folder / "new", "Take", "0123abcd")
    entry = job.write_capture(Capture("A", photograph(), np.eye(4)))
    job.write_painted(1, photograph(), ranges() > 2)
    job.write_known(cloud())
    job.seal(
        ExtendJob(
            name="Take", width=WIDTH, frames=[1], cameras=np.eye(4)[None], captures=[entry], settings={"near": 0.1}
        )
    )
    job.begin()
    cloud().save(job.invented_file)
    names = ("job.json", "job.json", "made_of.json", "painted/000001.png", "known/cache.npz", "invented.npz")
    return [job.path / name for name in names]


def read_extension(folder: Path) -> None:
    job = ExtendFolder.open(folder / "Take-0123abcd")
    # Sealed again, or every file that was changed would be refused for its hash alone.
    job.seal(job.job)
    job = ExtendFolder.open(job.path)
    each(
        job.verify,
        job.captures,
        job.has_results_of_another_job,
        lambda: [job.read_painted(frame) for frame in job.job.frames[:2]],
        job.read_known,
        lambda: PointCloud.load(job.invented_file),
    )


MESSAGES = (
    messages.Hello(1, "0.1.0", 12, "CPU"), messages.Run("7", "/jobs/a"), messages.Cancel("7"), messages.Quit(),
    messages.ProgressMessage("7", "Painting", 1, 2, 3.5, "frame 1"), messages.Error("a", "b", "c", "7"),
    messages.Done("7", "/jobs/a", 3), messages.Warning_("a", "7"), messages.Preview("/jobs/a/preview.png", "7"),
)  # fmt: skip


def make_messages(folder: Path) -> list[Path]:
    for index, message in enumerate(MESSAGES):
        (folder / f"{index}.line").write_bytes(messages.encode(message))
    return sorted(folder.glob("*.line"))


def read_messages(folder: Path) -> None:
    each(*(lambda file=file: messages.encode(messages.decode(file.read_bytes())) for file in folder.glob("*.line")))


def make_card(folder: Path) -> list[Path]:
    card = model_card.ModelCard("A", "argus", 1024, 512, 25, ("noise:4", "geometry:4", "depth:1"))
    model_card.write(folder, card)
    return [folder / model_card.FILE]


def read_card(folder: Path) -> None:
    found = model_card.read(folder)
    if found is not None:
        assert found.label and found.in_channels and isinstance(found.extras, dict)


def make_settings(folder: Path) -> list[Path]:
    options = paint_settings.PaintOptions(steps=5, loras=[{"file": "/a.safetensors", "strength": 0.5}])
    (folder / "settings.json").write_text(json.dumps(options.to_json()))
    return [folder / "settings.json"]


def read_settings(folder: Path) -> None:
    try:
        value = json.loads((folder / "settings.json").read_bytes())
    except (ValueError, RecursionError):
        return
    card = model_card.ModelCard("A", "argus", 1024, 512, 25)
    paint_settings.PaintOptions.from_json(value).recipe(card, 0).to_json()


def make_tensors(folder: Path) -> list[Path]:
    import torch
    from safetensors.torch import save_file

    from backend.diffusion.shot.segment_store import PaintedSegment, SegmentStore

    generator = torch.Generator().manual_seed(0)
    down, up = torch.randn(4, 8, generator=generator), torch.randn(8, 4, generator=generator)
    name = "unet.down_blocks.0.attn1.to_q"
    metadata = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 8, "unet.alpha_pattern": {}})}
    tensors = {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up, f"{name}.alpha": torch.tensor(4.0)}
    save_file(tensors, folder / "lora.safetensors", metadata)
    store = SegmentStore(OutputFolder(folder))
    store.write(0, "key", PaintedSegment(torch.ones(2, 4, 2, 4), photograph()))
    return [folder / "lora.safetensors", store.file(0)]


def read_tensors(folder: Path) -> None:
    from backend.diffusion.models import lora
    from backend.diffusion.shot.segment_store import SegmentStore

    each(lambda: lora.read(folder / "lora.safetensors"), lambda: SegmentStore(OutputFolder(folder)).read(0, "key"))


CONFIGS = ("unet/config.json", "vae/config.json", "image_encoder/config.json", "scheduler/scheduler_config.json")


def make_model(folder: Path) -> list[Path]:
    from backend.diffusion.models import tiny_model

    card = tiny_model.card()
    for name, config in zip(CONFIGS, tiny_model.configs(card).values(), strict=True):
        (folder / name).parent.mkdir()
        (folder / name).write_text(json.dumps(config))
    model_card.write(folder, card)
    shards = {"metadata": {"total_size": 8}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "index.json").write_text(json.dumps(shards))
    for number in (1, 2):
        (folder / f"model-{number}.safetensors").write_bytes(b"")
    (folder / "parts.json").write_text(json.dumps({"unet": "unet", "vae": str(folder / "vae")}))
    names = (*CONFIGS, "pantheon360.json", "index.json", "parts.json")
    return [folder / name for name in names]


def read_model(folder: Path) -> None:
    """All but the networks, which take a second each to make."""
    from backend.diffusion.models import architecture, model_folder

    def checked() -> None:
        parts = model_folder.places(folder)
        configs = {part: model_folder.read_config(part, parts[part]) for part in model_folder.PARTS}
        card = model_card.read(folder) or model_folder.inferred(folder, configs["unet"], "a")
        model_folder.inferred(folder, configs["unet"], "a")
        architecture.check(configs, card, folder)

    each(checked, lambda: model_folder.shards(folder / "index.json"))


PARSERS = (
    Parser("shot", make_shot, read_shot, (by_kind, by_kind, by_kind)),
    Parser("extension", make_extension, read_extension, (by_kind, by_kind, by_kind)),
    Parser("reconstruction", make_reconstruction, read_reconstruction, (by_kind, by_kind, by_kind)),
    Parser("messages", make_messages, read_messages, JSON),
    Parser("model-card", make_card, read_card, JSON),
    Parser("paint-settings", make_settings, read_settings, JSON),
    Parser("safetensors", make_tensors, read_tensors, (mutations.behind_length(JSON),) * 3, ("safetensors", "torch")),
    Parser("model", make_model, read_model, JSON, ("torch", "diffusers", "transformers")),
)
