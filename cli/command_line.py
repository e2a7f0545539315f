"""The work without the interface: `blender --command pantheon360 VERB ...`.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. Output is described in `console`.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import bpy

from ..pantheon360_blender.core import importers, inputs
from ..pantheon360_blender.core.errors import CaptureError, FileError, JobError, PantheonError, RenderError
from ..pantheon360_blender.core.formats import spherical_video
from ..pantheon360_blender.core.importers.imported import UP_AXES
from ..pantheon360_blender.core.jobs import paint_settings, reconstruct_settings
from ..pantheon360_blender.core.jobs.child import own_python
from ..pantheon360_blender.core.jobs.job_folder import JobFolder, PaintFolder
from ..pantheon360_blender.core.panorama.depth_image import MEASURES
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.core.unexpected import boundary
from ..pantheon360_blender.core.version import EXTENSION_ROOT
from ..pantheon360_blender.scene.app import access, plugin_items, preferences
from ..pantheon360_blender.scene.app.access import SceneReference
from ..pantheon360_blender.scene.cache import cache_merge, cache_objects
from ..pantheon360_blender.scene.camera import path_files
from ..pantheon360_blender.scene.captures import capture_objects
from ..pantheon360_blender.scene.shot import shot
from ..pantheon360_blender.scene.sources import depth_points, file_types, painted_frames, plan_proxy, projection, proxy
from ..pantheon360_blender.scene.sources import import_files as importer
from ..pantheon360_blender.scene.sources import reconstruct as reconstruction
from ..pantheon360_blender.scene.sources.depth_points import DepthPoints
from ..pantheon360_blender.scene.sources.import_files import ImportResult
from . import console, engine_verbs
from .console import Output

OK, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
RESUME = "the verb `run` goes on from there."

Facts = dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Run one verb and return the exit code; the entry point of scripts and of Blender's --command alike."""
    try:
        options = _parser().parse_args(list(arguments))
    except SystemExit as end:
        return int(end.code or OK)
    with console.opened(options.json) as output, console.interruptible():
        try:
            with boundary(f"{console.PROGRAM} {arguments[0]}"):
                code, facts = _done(options, output)
        except KeyboardInterrupt:
            output.cancelled()
            return INTERRUPTED
        except PantheonError as error:
            output.failed(error)
            return FAILED
        output.done(facts)
        return int(code)


def _done(options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    try:
        return options.verb(options, output)  # type: ignore[no-any-return]
    except OSError as error:
        raise FileError(f"{error.filename or 'A file'}: {error.strerror or error}.") from error


# Verbs. Each returns its exit code and what it made.


def import_files(options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    """Import 360° photographs, points of other programs and depth images, and save the .blend."""
    blend = options.blend
    paths = [path.absolute() for path in options.paths]
    photographs = [path for path in paths if _is_photograph(path)]
    sources = [path for path in paths if path not in photographs]
    depths = [path.absolute() for path in options.depth]
    if not paths and not depths:
        output.failed(FileError("Nothing to import was named.", advice="Name photographs, points or --depth images."))
        return WRONG_USAGE, {}
    scene = _open(blend, options.scene) if blend.exists() else _new_file()
    reference, facts = SceneReference(scene), dict[str, Any]()
    made = output.run(capture_objects.import_files(scene, photographs, warn=output.warn)) if photographs else []
    facts["captures"] = [capture.name for capture in made]
    result = cache_merge.MERGE if options.merge else cache_merge.REPLACE
    if sources:
        choices = {key: getattr(options, key) for key in ("voxel", "up", "limit", "every")}
        choices["scale"] = None if depths else options.scale
        imported = output.run(importer.import_files(reference.scene, sources, result=result, **choices))
        _tell(output, facts, imported)
        facts["captures"] += imported.captures
        result = cache_merge.MERGE
    for capture, path in _with_captures(reference.scene, facts["captures"], depths, options.capture):
        choices = {"depth_scale": options.scale, "depth_inverse": options.inverse, "depth_measure": options.measure}
        job = depth_points.import_depth(
            reference.scene, capture, path, result=result, voxel=options.voxel, limit=options.limit, **choices
        )
        _tell(output, facts, output.run(job))
        result = cache_merge.MERGE
    if options.proxy:
        proxy.create(reference.scene, capture_objects.in_scene(reference.scene))
    return OK, {**facts, "blend": str(_save(options.save_as or blend))}


def project(options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    """Project the captures onto the scene's geometry and save the .blend with its 3D cache."""
    scene = _open(options.blend, options.scene)
    if options.width:
        access.of_scene(scene).projection_width = options.width
    facts: Facts = {}
    if options.proxy:
        proxy.create(scene, capture_objects.in_scene(scene))
    if options.walls:
        built = output.run(plan_proxy.create(scene, capture_objects.some_in_scene(scene)[0]))
        facts |= {"meshes": built.meshes, "walls": built.walls}
    cloud = output.run(projection.project(scene, access.evaluated(scene)))
    made = cache_objects.replace(scene, cloud)
    facts |= {"points": len(cloud.points), "cache": made.name}
    return OK, {**facts, "blend": str(_save(options.save_as or options.blend))}


def path(options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    """Lay the camera's path as a file has it and save the .blend, or write the path that it has."""
    scene = _open(options.blend, options.scene)
    file = options.file.absolute()
    if options.export:
        output.say(output.run(path_files.export_path(scene, file, options.export)))
        return OK, {"path": str(file)}
    laid = output.run(path_files.import_path(scene, file, options.scale))
    for note in laid.notes:
        output.warn(note)
    output.say(laid.text)
    facts: Facts = {"frames": [scene.frame_start, scene.frame_end]}
    return OK, {**facts, "blend": str(_save(options.save_as or options.blend))}


def reconstruct(options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    """Build the 3D cache: find the captures' poses and the points they see, and save the .blend."""
    scene = _open(options.blend, options.scene)
    if options.ways:
        return _ways(scene, options.memory, output)
    names = ("poses", "dense", "width", "confidence", "complete", "guess_by", "camera_height")
    choices = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.weights or options.download:
        choices["options"] = {"weights": options.weights or "", "download": options.download}
    if options.distance:
        choices["distance"] = [*options.distance[:2], _metres(options.distance[2])]
    if options.merge:
        access.of_scene(scene).reconstruction_cache = "MERGE"
    root = options.output.absolute() if options.output else None
    built = output.run(reconstruction.build(scene, root=root, **choices))
    for name, reason in built.left.items():
        output.warn(f"{name} was not posed: {reason}")
    for note in built.notes:
        output.warn(note)
    output.say(built.text)
    facts = {"points": built.points, "cache": built.cache, "captures": built.posed}
    return OK, {**facts, "blend": str(_save(options.save_as or options.blend))}


def extend(options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    """Add what a painted video shows and the 3D cache lacks to the cache, and save the .blend."""
    scene = _open(options.blend, options.scene)
    take = PaintFolder.open(options.take)
    root = options.output.absolute() if options.output else None
    added = output.run(painted_frames.add(scene, take, root=root))
    output.say(added.text)
    facts = {"points": added.points, "cache": added.cache}
    return OK, {**facts, "blend": str(_save(options.save_as or options.blend))}


def _ways(scene: Any, memory_gb: float | None, output: Output) -> tuple[int, Facts]:
    """Say which ways to points there are for the scene's captures, the best first."""
    found = reconstruction.ways(scene, memory_gb)
    for way in found:
        takes = f" [{way.takes}]" if way.takes else ""
        output.say(f"--dense {way.dense} --guess-by {way.guess_by}: {way.title}{takes}. {way.why}")
    return OK, {"best": f"--dense {found[0].dense} --guess-by {found[0].guess_by}"}


def geometry(options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    """Write the geometry pass into a new job folder."""
    scene = _open(options.blend, options.scene)
    folder = output.run(_prepared(scene, options))
    return OK, {"folder": str(folder.path), "frames": len(folder.job.frames)}


def generate(options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    """Prepare, paint and deliver the shot, and save the .blend with its strip."""
    scene = _open(options.blend, options.scene)
    reference = SceneReference(scene)
    folder = output.run(_prepared(scene, options))
    output.say(f"Job folder: {folder.path}")
    strip = output.run(shot.finish(reference.scene, folder, options.strip, resume=RESUME))
    facts = {"folder": str(folder.path), "frames": len(folder.job.frames), "strip": strip.name}
    return OK, facts if options.no_save else {**facts, "blend": str(_save(options.save_as or options.blend))}


def run(options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    """Do the job in a folder, going on where it stopped."""
    folder: JobFolder = JobFolder.open(options.folder)
    output.run(shot.paint(folder, resume=RESUME))
    return OK, {"folder": str(folder.path), "frames": len(folder.job.frames) if isinstance(folder, PaintFolder) else 0}


def tag(options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    """Tag a video as a 360° one: MP4, MOV, MKV or WebM; or say how it is tagged."""
    if options.check:
        found = spherical_video.check(options.video.absolute())
        output.say(f"{options.video} is {found.text}")
        return OK if found.is_sound else FAILED, {"sound": found.is_sound, "tags": found.text}
    tagged = spherical_video.tag(options.video.absolute(), options.output, stereo=options.stereo)
    return OK, {"video": str(tagged)}


def doctor(options: argparse.Namespace, output: Output) -> tuple[int, Facts]:
    """Say which devices and packages the backend has, what is missing and how to get it."""
    interpreter = preferences.backend_python() or own_python()
    command = [str(interpreter), "-B", "-X", "utf8", "-m", "backend", "doctor", *(["--json"] if options.json else [])]
    try:
        told = subprocess.run(command, cwd=EXTENSION_ROOT, capture_output=True, text=True, encoding="utf-8")
    except OSError as error:
        raise FileError(
            f"The backend's Python {interpreter} cannot be started: {error.strerror}.",
            advice="Choose another one in the add-on's preferences.",
        ) from error
    output.raw(told.stdout)
    sys.stderr.write(told.stderr)
    return told.returncode, {}


# What verbs share


def _is_photograph(path: Path) -> bool:
    """Whether a path is meant as a capture: what is neither a folder nor a file of points."""
    return not path.is_dir() and path.suffix.lower() not in file_types.POINTS_AND_POSES


def _with_captures(
    scene: bpy.types.Scene, new: list[str], depths: list[Path], named: list[str]
) -> list[tuple[bpy.types.Object, Path]]:
    """Depth images and their captures: those named, else those that came with them, else the scene's by name.

    Raises CaptureError if there are not as many captures as depth images, or one is not there.
    """
    there = capture_objects.labelled(scene)
    wanted = named or new or list(there)
    if missing := [name for name in wanted if name not in there]:
        raise CaptureError(f"There is no capture {missing[0]}.", advice=f"There are: {', '.join(there) or 'none'}.")
    if depths and len(wanted) != len(depths):
        raise CaptureError(
            f"{len(depths)} depth images cannot belong to {len(wanted)} captures.",
            advice="Give one for each capture, in the captures' order, or name the captures with --capture.",
        )
    return [(there[name], path) for name, path in zip(wanted, depths, strict=False)]


def _tell(output: Output, facts: Facts, imported: ImportResult | DepthPoints) -> None:
    """Say what came into the cache, and add it to what is said of the whole."""
    for note in imported.notes:
        output.warn(note)
    output.say(imported.text)
    facts["points"] = facts.get("points", 0) + imported.points
    if imported.cache is not None:
        facts["cache"] = imported.cache


def _prepared(scene: bpy.types.Scene, options: argparse.Namespace) -> Job[PaintFolder]:
    choices = {name: getattr(options, name, None) for name in ("painter", "seed", "settings")}
    root = options.output.absolute() if options.output else None
    if options.width:
        access.of_scene(scene).width = options.width
    return shot.prepare(scene, options.frames, root=root, **choices)


def _positive(text: str) -> float:
    value = float(text)  # argparse tells a ValueError in its own words
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return value


def _model(text: str) -> tuple[str, Any]:
    return parse_setting(f"model={json.dumps(text)}")


def parse_setting(text: str) -> tuple[str, Any]:
    """A setting of the diffusion painter written as KEY=VALUE; a value that is no JSON is a text."""
    name, equals, written = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE, as in steps=10")
    try:
        value = inputs.parsed(written.encode("utf-8", "surrogatepass"))
    except ValueError:
        value = written
    if problem := paint_settings.setting_error(name.strip(), value):
        raise argparse.ArgumentTypeError(problem)
    return name.strip(), value


class _Settings(argparse.Action):
    """Collects what sets one setting each; the last one of a name counts."""

    def __call__(self, _parser: Any, options: argparse.Namespace, values: Any, _option: str | None = None) -> None:
        setattr(options, self.dest, {**(getattr(options, self.dest) or {}), values[0]: values[1]})


def _settings_help() -> str:
    """Every setting of the diffusion painter: what may be chosen, and what it does."""
    width = max(map(len, paint_settings.SETTINGS))
    lines = ["settings of the diffusion painter:"]
    for name, setting in paint_settings.SETTINGS.items():
        lines.append(f"  {name:{width}}  {setting.values}")
        lines += textwrap.wrap(
            setting.description, 100, initial_indent=" " * (width + 4), subsequent_indent=" " * (width + 4)
        )
    return "\n".join(lines)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def _metres(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise JobError(f"{text!r} is no distance in meters.", advice="Write it like --distance A B 3.2.") from error


def _open(blend: Path, scene_name: str | None) -> bpy.types.Scene:
    """Load a .blend and return its scene of that name, or the one it was saved with. Raises FileError, RenderError."""
    path = blend.absolute()
    if not path.is_file():
        raise FileError(f"{path} does not exist.", advice="Check the path; `import` makes a new file.")
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False)
    except RuntimeError as error:
        raise FileError(f"{path} cannot be opened: {str(error).strip()}") from error
    if scene_name is None:
        return _current_scene()
    if scene_name not in bpy.data.scenes:
        known = ", ".join(scene.name for scene in bpy.data.scenes)
        raise RenderError(f"{path.name} has no scene {scene_name}.", advice=f"It has: {known}.")
    return bpy.data.scenes[scene_name]


def _new_file() -> bpy.types.Scene:
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    return _current_scene()


def _current_scene() -> bpy.types.Scene:
    context: Any = bpy.context
    return context.scene  # type: ignore[no-any-return]


def _save(blend: Path) -> Path:
    """Save the file there; Blender itself writes a temporary file and renames it. Raises FileError."""
    path = blend.absolute()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(path), check_existing=False)
    except RuntimeError as error:
        raise FileError(
            f"{path} cannot be saved: {str(error).strip()}", advice="Choose another place with --save-as."
        ) from error
    return path


def frame_list(text: str) -> list[int]:
    """Frames written as 1-49, 1-49x2, 5, -10--1 or several of these with commas, in ascending order.

    Raises argparse.ArgumentTypeError if it is anything else.
    """
    frames: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(-?\d{1,7})(?:(?:-|\.\.)(-?\d{1,7})(?:x(\d{1,6}))?)?\s*", part)
        first, last, step = (int(group) if group else None for group in match.groups()) if match else (None,) * 3
        if first is None or step == 0 or (last is not None and last < first):
            raise argparse.ArgumentTypeError(f"{part.strip()!r} is not a range of frames like 1-49, 1-49x2 or 5")
        frames.update(range(first, (first if last is None else last) + 1, step or 1))
    return sorted(frames)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="JSON lines on stdout instead of text")
    of_blend = argparse.ArgumentParser(add_help=False)
    of_blend.add_argument("blend", type=Path, metavar="FILE.blend")
    of_blend.add_argument("--scene", help="name of the scene; by default the one the file was saved with")
    saving = argparse.ArgumentParser(add_help=False)
    saving.add_argument("--save-as", type=Path, metavar="OTHER.blend", help="leave FILE.blend as it is")
    shooting = argparse.ArgumentParser(add_help=False)
    shooting.add_argument("--output", type=Path, metavar="DIR", help="folder in which the job folder is made")
    shooting.add_argument("--frames", type=frame_list, metavar="1-49", help="by default the scene's range and step")
    shooting.add_argument("--width", type=int, metavar="PIXELS", help="of the panoramas; by default the scene's")

    parser = argparse.ArgumentParser(
        prog=console.PROGRAM,
        description="360° captures to camera-controlled 360° video, without the interface.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def add(name: str, verb: Callable[..., Any], *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        text = (verb.__doc__ or "").strip()
        added = verbs.add_parser(name, parents=[*parents, common], help=text, description=text)
        added.set_defaults(verb=verb)
        return added

    importing = add("import", import_files, of_blend, saving)
    importing.add_argument(
        "paths",
        type=Path,
        nargs="*",
        metavar="PATH",
        help="360° photographs; points: PLY, LAS, LAZ, COPC, E57, npz; folders of COLMAP, nerfstudio and ViPE",
    )
    importing.add_argument("--merge", action="store_true", help="add to the 3D cache instead of replacing it")
    importing.add_argument(
        "--scale", type=_positive, metavar="METERS", help="of a unit of the file; with --depth, of a step of its values"
    )
    importing.add_argument(
        "--voxel", type=_positive, default=0.0, metavar="METERS", help="keep one point for each cube of this edge"
    )
    importing.add_argument(
        "--limit",
        type=_count,
        default=importers.Options.limit,
        metavar="POINTS",
        help="thin what has more (%(default)s)",
    )
    importing.add_argument(
        "--up", choices=list(UP_AXES), help="the file's axis that points up, as --up=-y; by default as it says"
    )
    importing.add_argument(
        "--every", type=_count, default=1, metavar="N", help="of a video with depth, each n-th frame"
    )
    depth = importing.add_argument_group("depth images", "equirectangular, one for each capture, in their order")
    depth.add_argument("--depth", type=Path, nargs="+", default=[], metavar="DEPTH", help="16-bit PNG or OpenEXR")
    depth.add_argument("--capture", nargs="+", default=[], metavar="NAME", help="the captures that they belong to")
    depth.add_argument("--inverse", action="store_true", help="values are 1 / depth; --scale is then 1 / meters")
    depth.add_argument("--measure", choices=MEASURES, default="range", help="of a pixel's depth (%(default)s)")
    importing.add_argument("--proxy", action="store_true", help="add ground plane and distant walls to project onto")
    projecting = add("project", project, of_blend, saving)
    projecting.add_argument("--width", type=int, metavar="RAYS", help="around the horizon of each capture")
    projecting.add_argument("--proxy", action="store_true", help="first add ground plane and distant walls")
    projecting.add_argument("--walls", action="store_true", help="first add the walls that the first capture sees")
    reconstructing = add("reconstruct", reconstruct, of_blend, saving)
    reconstructing.add_argument("--output", type=Path, metavar="DIR", help="folder in which the job folder is made")
    reconstructing.add_argument("--poses", choices=reconstruct_settings.POSES, help="by default the scene's")
    reconstructing.add_argument("--dense", metavar="METHOD", help="sweep, none, or the name of a reconstructor")
    reconstructing.add_argument("--width", type=int, metavar="PIXELS", help="working width, a multiple of 64")
    reconstructing.add_argument("--confidence", type=float, metavar="0-1", help="leave out points below it, or guess")
    reconstructing.add_argument(
        "--complete",
        action=argparse.BooleanOptionalAction,
        help="guess surfaces where the sweep is not sure; by default as the scene",
    )
    reconstructing.add_argument("--guess-by", metavar="METHOD", help="planes, or the name of a reconstructor")
    reconstructing.add_argument("--camera-height", type=float, metavar="METERS", help="of the lens above the ground")
    reconstructing.add_argument("--distance", nargs=3, metavar=("CAPTURE", "CAPTURE", "METERS"), help="sets the scale")
    reconstructing.add_argument("--weights", metavar="FOLDER_OR_ID", help="of the reconstructor; by default its own")
    reconstructing.add_argument("--download", action="store_true", help="fetch weights that are not there yet")
    reconstructing.add_argument("--ways", action="store_true", help="only list the ways to points, the best one first")
    reconstructing.add_argument("--memory", type=float, metavar="GB", help="of the device: leave out what needs more")
    reconstructing.add_argument("--merge", action="store_true", help="add to the 3D cache instead of replacing it")
    extending = add("extend", extend, of_blend, saving)
    extending.add_argument("take", type=Path, metavar="FOLDER", help="the job folder of a painted video")
    extending.add_argument("--output", type=Path, metavar="DIR", help="folder in which the job folder is made")
    laying = add("path", path, of_blend, saving)
    laying.add_argument(
        "file", type=Path, metavar="FILE", help="JSON, CSV, nerfstudio's camera path, or COLMAP's model"
    )
    laying.add_argument("--export", choices=path_files.KINDS, help="write FILE instead: the camera at every frame")
    laying.add_argument("--scale", type=float, default=1.0, metavar="METERS", help="that a unit of the file stands for")
    add("geometry", geometry, of_blend, shooting)
    generating = add("generate", generate, of_blend, saving, shooting)
    generating.add_argument("--seed", help="64-bit number; by default the scene's")
    painters = list(plugin_items.painter_plugins())
    generating.add_argument("--painter", type=str.lower, choices=painters, help="by default the scene's")
    painting = generating.add_argument_group("diffusion painter", "its settings; by default the scene's")
    generating.formatter_class = argparse.RawDescriptionHelpFormatter
    generating.epilog = _settings_help()
    painting.add_argument(
        "--model", dest="settings", action=_Settings, type=_model, metavar="NAME", help="name, folder or hub id"
    )
    painting.add_argument(
        "--set",
        dest="settings",
        action=_Settings,
        type=parse_setting,
        metavar="KEY=VALUE",
        help="any setting below; null is the model's own; may be repeated",
    )
    generating.add_argument("--strip", choices=["FRAMES", "VIDEO"], help="by default the scene's")
    generating.add_argument("--no-save", action="store_true", help="leave the .blend as it is")
    running = add("run", run)
    running.add_argument("folder", type=Path, metavar="FOLDER")
    tagging = add("tag", tag)
    tagging.add_argument("video", type=Path, metavar="VIDEO.mp4")
    tagging.add_argument("--check", action="store_true", help="change nothing; the exit code is 1 unless it is well")
    tagging.add_argument("--output", type=Path, metavar="OTHER.mp4", help="leave VIDEO.mp4 as it is")
    tagging.add_argument("--stereo", choices=["mono", "top-bottom", "left-right"], default="mono")
    add("doctor", doctor)
    _add_engine(verbs, common)
    return parser


def _add_engine(verbs: Any, common: argparse.ArgumentParser) -> None:
    """The verb `engine` and its actions."""
    actions = verbs.add_parser("engine", help=engine_verbs.HELP, description=engine_verbs.HELP).add_subparsers(
        required=True, metavar="install | status | remove | test | download"
    )

    def add(name: str, verb: Callable[..., Any]) -> argparse.ArgumentParser:
        text = (verb.__doc__ or "").strip()
        added: argparse.ArgumentParser = actions.add_parser(name, parents=[common], help=text, description=text)
        added.set_defaults(verb=verb)
        return added

    for action in (add("install", engine_verbs.install), add("download", engine_verbs.download)):
        action.add_argument(
            "--parts",
            type=engine_verbs.parts_list,
            default=("reconstruction", "importers"),
            metavar="PART,...",
            help="reconstruction, importers, diffusion, learned, or all (reconstruction,importers)",
        )
        action.add_argument("--python", type=Path, metavar="PYTHON", help="made with it; by default Blender's own")
        action.add_argument("--device", choices=engine_verbs.DEVICES, help="of networks; by default the best there is")
        if action.prog.endswith("install"):
            action.add_argument("--wheels", type=Path, metavar="FOLDER", help="packages, used instead of the network")
        else:
            action.add_argument("folder", type=Path, metavar="FOLDER")
    add("status", engine_verbs.status)
    add("remove", engine_verbs.remove)
    add("test", engine_verbs.test)
