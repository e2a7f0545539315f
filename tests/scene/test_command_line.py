"""The command line does the whole work with no interface, and says what happened to people and to programs."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import plyfile
import pytest


@pytest.fixture
def command(house: Any, blend: Any, capfd: Any) -> Any:
    """Run a command; returns exit code, stdout and stderr."""
    main = house("cli.command_line").main

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        told = capfd.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def photographs(house: Any, tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "Ünïcode 空 dir" / name for name in ("a.png", "b.png")]
    for index, path in enumerate(paths):
        colours = np.random.default_rng(index).integers(0, 256, (64, 128, 3), dtype=np.uint8)
        house("core.formats.png").write(path, colours)
    return paths


@pytest.fixture
def shot_file(shot_scene: Any, tmp_path: Path) -> Path:
    """The small shot of conftest as a saved file."""
    import bpy

    path = tmp_path / "Ünïcode 空 dir" / "shot.blend"
    path.parent.mkdir(exist_ok=True)
    shot_scene.pantheon360.jobs_folder = ""
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    return path


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_path_is_laid_and_written(command: Any, shot_file: Path, tmp_path: Path) -> None:
    table, out = tmp_path / "a.csv", tmp_path / "b.json"
    table.write_text("frame,x,y,z,heading,pitch,roll\n5,0,0,1.6,0,0,0\n8,0,4,1.6,90,0,0\n")
    code, told, err = command("path", shot_file, table, "--json")
    assert code == 0 and lines(told)[-1]["frames"] == [5, 8], err
    code, told, _ = command("path", shot_file, out, "--export", "json")
    assert code == 0 and [row["frame"] for row in json.loads(out.read_text())["frames"]] == [5, 6, 7, 8]
    code, _, err = command("path", shot_file, tmp_path / "none.csv")
    assert code == 1 and "none.csv" in err


def test_the_ways_to_points_are_listed_and_nothing_else_is_done(
    command: Any, photographs: list[Path], tmp_path: Path
) -> None:
    """The best one first, each with the options that ask for it and with what its model takes."""
    file = tmp_path / "street.blend"
    assert command("import", file, *photographs)[0] == 0
    before = file.read_bytes()
    code, out, _ = command("reconstruct", file, "--ways", "--memory", 3, "--json")
    assert code == 0 and file.read_bytes() == before
    assert lines(out)[-1] == {"kind": "done", "best": "--dense sweep --guess-by planes"}
    _, _, told = command("reconstruct", file, "--ways", "--memory", 3)
    assert "--guess-by da360: Sweep, DA360 guesses [MIT" in told and "GB of memory]" in told
    assert told.index("--dense sweep --guess-by planes") < told.index("da360") and "vggt" not in told, "it does not fit"


def test_from_photographs_to_a_strip(command: Any, house: Any, photographs: list[Path], tmp_path: Path) -> None:
    import bpy

    file = tmp_path / "Ünïcode 空 dir" / "street.blend"
    code, out, err = command("import", file, *photographs)
    assert (code, file.exists()) == (0, True), err
    assert "a" in out
    code, out, err = command("project", file, "--proxy", "--width", 64)
    assert code == 0, err
    bpy.ops.wm.open_mainfile(filepath=str(file))
    assert house("scene.cache.cache_objects").find(bpy.context.scene) is not None
    bpy.ops.pantheon360.set_path_ends()
    bpy.context.scene.frame_end = 3
    bpy.context.scene.pantheon360.width = 64
    bpy.ops.wm.save_mainfile()
    code, out, err = command("generate", file, "--seed", 2**64 - 1, "--strip", "VIDEO")
    assert code == 0, err
    bpy.ops.wm.open_mainfile(filepath=str(file))
    strip = bpy.data.scenes["Pantheon360 Results"].sequence_editor.strips[0]
    assert (strip.type, strip["pantheon360_seed"]) == ("MOVIE", str(2**64 - 1))
    assert Path(bpy.path.abspath(strip.filepath)).exists()


def test_walls_are_made_of_the_points_and_projected_onto(command: Any, photographs: list[Path], tmp_path: Path) -> None:
    """Of a cache that was projected onto the proxy's four walls: they are found again."""
    import bpy

    file = tmp_path / "walls.blend"
    assert command("import", file, photographs[0])[0] == 0
    assert command("project", file, "--walls")[0] != 0, "there are no points yet"
    assert command("project", file, "--proxy", "--width", 512)[0] == 0
    code, out, err = command("project", file, "--walls", "--width", 64, "--json")
    assert code == 0, err
    facts = lines(out)[-1]
    assert facts["walls"] == 4 and facts["meshes"] == ["Plan Floor", "Plan Walls"]
    bpy.ops.wm.open_mainfile(filepath=str(file))
    made, given = (bpy.data.objects[name] for name in ("Plan Walls", "Proxy Wall"))
    assert len(made.data.polygons) == 4
    far = max(abs(float((made.matrix_world @ vertex.co).x)) for vertex in made.data.vertices)
    assert far == pytest.approx(max(abs(float((given.matrix_world @ v.co).x)) for v in given.data.vertices), rel=0.03)


def test_json_is_all_that_stdout_gets(command: Any, house: Any, shot_file: Path, tmp_path: Path) -> None:
    code, out, _ = command(
        "generate", shot_file, "--json", "--no-save", "--frames", "1-5x2", "--output", tmp_path / "o"
    )
    told = lines(out)
    assert code == 0
    assert {line["kind"] for line in told} == {"progress", "preview", "done"}
    assert {"Camera path", "Geometry pass"} <= {line["phase"] for line in told if line["kind"] == "progress"}
    previews = [Path(line["path"]) for line in told if line["kind"] == "preview"]
    assert set(previews) == {Path(told[-1]["folder"]) / "preview.png"}
    assert house("core.formats.png").read(previews[-1]).shape == (32, 64, 3)
    assert told[-1]["frames"] == 3
    assert Path(told[-1]["folder"]).parent == tmp_path / "o"
    assert "blend" not in told[-1]


def test_the_diffusion_painters_settings_go_into_the_job(
    command: Any, house: Any, shot_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the scene's, which stay; a folder is found from the working folder. Painting itself is the backend's."""
    import bpy

    monkeypatch.setenv("PANTHEON360_MODELS", str(tmp_path / "store"))
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    bpy.context.scene.pantheon360.diffusion.guidance = 2.5
    bpy.context.scene.pantheon360.diffusion.clip = 9
    bpy.ops.wm.save_mainfile()
    painted: list[Any] = []

    def paint(folder: Any) -> Any:
        painted.append(folder.job)
        for frame in folder.job.frames:
            folder.write_frame(frame, np.zeros((32, 64, 3), np.uint8))
        return
        yield

    monkeypatch.setattr(house("scene.app.backend_process"), "run", paint)
    chosen = ["--painter", "diffusion", "--model", "./mine", "--set", "steps=10", "--set", "scheduler=euler-aligned"]
    lora = '--set=loras=[{"file": "rain.safetensors", "strength": 0.5}]'
    code, _, err = command("generate", shot_file, *chosen, "--set", "steps=12", "--set", "clip=null", lora)
    assert code == 0, err
    found = painted[0].settings["diffusion"]
    assert (painted[0].painter, found["model"], found["guidance"]) == ("diffusion", str(tmp_path / "mine"), 2.5)
    assert (found["steps"], found["scheduler"], "clip" in found) == (12, "euler-aligned", False)
    assert found["loras"] == [{"file": str(tmp_path / "rain.safetensors"), "strength": 0.5}]
    bpy.ops.wm.open_mainfile(filepath=str(shot_file))
    assert bpy.context.scene.pantheon360.painter == "DRAFT" and bpy.context.scene.pantheon360.diffusion.steps == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "stepz=3"], "there is no setting 'stepz'; there are: model, steps"),
        (["--set", "steps=0"], "steps is not a whole number from 1 to 1000"),
        (["--set", "roll=half"], "roll is not one of: none, quarter, random"),
        (["--set", "steps"], "'steps' is not KEY=VALUE"),
        (["--set", "circular=yes"], "circular is neither true nor false"),
    ],
)
def test_wrong_settings_are_wrong_usage(command: Any, shot_file: Path, arguments: list[str], told: str) -> None:
    code, out, err = command("generate", shot_file, "--painter", "diffusion", *arguments)
    assert (code, out) == (2, "")
    assert told in err


def test_geometry_then_run_elsewhere(command: Any, house: Any, shot_file: Path, tmp_path: Path) -> None:
    code, out, err = command("geometry", shot_file, "--output", tmp_path / "out", "--frames", "2-3", "--json")
    assert code == 0, err
    moved = tmp_path / "another machine" / "空"
    moved.parent.mkdir()
    Path(lines(out)[-1]["folder"]).rename(moved)
    code, out, err = command("run", moved)
    assert code == 0, err
    assert house("core.jobs.job_folder").JobFolder.open(moved).finished_frames() == [2, 3]
    before = {path: path.stat().st_mtime_ns for path in (moved / "frames").iterdir()}
    assert command("run", moved)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in (moved / "frames").iterdir()} == before


def test_saving_elsewhere_leaves_the_file(
    command: Any, shot_file: Path, photographs: list[Path], tmp_path: Path
) -> None:
    import bpy

    before = shot_file.read_bytes()
    code, _, err = command("import", shot_file, *photographs, "--save-as", tmp_path / "new" / "other.blend")
    assert code == 0, err
    assert shot_file.read_bytes() == before
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "new" / "other.blend"))
    assert len([obj for obj in bpy.context.scene.objects if obj.pantheon360.is_capture]) == 4


def test_points_of_other_programs_come_into_a_new_file(command: Any, house: Any, tmp_path: Path) -> None:
    """A PLY by plyfile replaces nothing; a COLMAP model as text is merged with it."""
    import bpy

    vertices = np.zeros(7, [("x", "f4"), ("y", "f4"), ("z", "f4")])
    vertices["x"] = np.arange(7)
    plyfile.PlyData([plyfile.PlyElement.describe(vertices, "vertex")], text=True).write(str(tmp_path / "a.ply"))
    code, out, err = command("import", tmp_path / "new.blend", tmp_path / "a.ply", "--scale", 2, "--json")
    assert code == 0, err
    assert (lines(out)[-1]["points"], lines(out)[-1]["captures"]) == (7, [])
    model = tmp_path / "model"
    model.mkdir()
    (model / "cameras.txt").write_text("1 EQUIRECTANGULAR 64 32 64 32\n")
    (model / "images.txt").write_text("1 1 0 0 0 0 0 -3 1 here.png\n\n")
    (model / "points3D.txt").write_text("1 0 0 5 10 20 30 0.1 1 0\n")
    house("core.formats.png").write(model / "images" / "here.png", np.zeros((32, 64, 3), np.uint8))
    code, out, err = command("import", tmp_path / "new.blend", model, "--merge")
    assert code == 0, err
    assert "points: 1" in out and "captures: here" in out
    assert "two points you know" in err
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "new.blend"))
    cloud = house("scene.cache.cache_objects").evaluated_points(house("scene.app.access").evaluated(bpy.context.scene))
    np.testing.assert_allclose(cloud.points[:7, 0], 2 * np.arange(7))
    np.testing.assert_allclose(cloud.points[7:], [[0, 5, 0]], atol=1e-6)
    assert house("scene.captures.capture_objects").pose(bpy.data.objects["here"])[1, 3] == pytest.approx(3)


def test_photographs_with_their_depth(command: Any, house: Any, photographs: list[Path], tmp_path: Path) -> None:
    """A wall 2 m round the first capture and 4 m round the second one; afterwards the second one's is corrected."""
    import bpy

    file, depths = tmp_path / "new.blend", [tmp_path / "a.depth.png", tmp_path / "b.depth.png"]
    for index, path in enumerate(depths):
        house("core.formats.png").write(path, np.full((32, 64), 2000 * (index + 1), np.uint16))
    code, out, err = command("import", file, *photographs, "--depth", *depths, "--json")
    assert code == 0, err
    told = lines(out)[-1]
    assert (told["captures"], told["points"]) == (["a", "b"], 2 * 32 * 64)
    code, _, err = command("import", file, "--depth", depths[1], "--capture", "b", "--merge", "--scale", "0.0005")
    assert code == 0, err
    bpy.ops.wm.open_mainfile(filepath=str(file))
    cloud = house("scene.cache.cache_objects").evaluated_points(house("scene.app.access").evaluated(bpy.context.scene))
    for index, name in enumerate("ab"):
        centre = np.array(bpy.data.objects[name].matrix_world.translation)
        ranges = np.linalg.norm(cloud.points[cloud.source == index] - centre, axis=1)
        np.testing.assert_allclose(ranges, 2.0, atol=1e-4)
        assert len(ranges) == 32 * 64
    code, _, err = command("import", file, "--depth", depths[0])
    assert code == 1 and "--capture" in err
    code, _, err = command("import", file, "--depth", depths[0], "--capture", "c")
    assert code == 1 and "no capture c" in err


def test_a_laser_scan_takes_the_backend(
    command: Any, house: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = Path(__file__).resolve().parents[2] / ".environments" / "backend" / "bin" / "python"
    if not python.is_file():
        pytest.skip("needs the backend's environment")
    written = "import sys, laspy, numpy as np; las = laspy.LasData(laspy.LasHeader(point_format=3, version='1.2')); "
    written += "las.x, las.y, las.z = np.random.default_rng(0).uniform(0, 4, (3, 5000)); las.write(sys.argv[1])"
    assert subprocess.run([str(python), "-c", written, str(tmp_path / "scan.las")]).returncode == 0
    monkeypatch.setenv("PANTHEON360_BACKEND_PYTHON", str(python))
    code, out, err = command("import", tmp_path / "new.blend", tmp_path / "scan.las", "--voxel", 1, "--json")
    assert code == 0, err
    assert 60 <= lines(out)[-1]["points"] <= 125
    assert any("thinned" in line.get("text", "") for line in lines(out) if line["kind"] == "warning")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["import", "{tmp}/new.blend", "{tmp}/none.ply"], "none.ply does not exist"),
        (["import", "{tmp}/new.blend", "{tmp}"], "no known kind"),
        (["project", "{tmp}/none.blend"], "none.blend does not exist"),
        (["project", "{tmp}/broken.blend"], "broken.blend cannot be opened"),
        (["run", "{tmp}"], "job.json"),
        (["tag", "{tmp}/none.mp4"], "none.mp4"),
        (["geometry", "{shot}", "--scene", "Nowhere"], "no scene Nowhere"),
        (["generate", "{shot}", "--seed", "x"], "seed"),
        (["generate", "{shot}", "--painter", "diffusion"], "no model"),
        (["generate", "{shot}", "--set", "steps=3"], "the painter is draft"),
        (["import", "{tmp}/new.blend", "{tmp}/none.jpg"], "none.jpg"),
    ],
)
def test_failures_are_explained_and_exit_with_1(
    command: Any, shot_file: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    (tmp_path / "broken.blend").write_bytes(b"BLENDER but not really")
    filled = [argument.format(tmp=tmp_path, shot=shot_file) for argument in arguments]
    code, out, err = command(*filled)
    assert (code, out) == (1, "")
    assert told in err
    code, out, _ = command(*filled, "--json")
    error = lines(out)[-1]
    assert (code, error["kind"]) == (1, "error")
    assert told in error["text"]
    assert error["code"]


@pytest.mark.parametrize(
    ("code", "repair", "verb"),
    [
        ("capture", "pantheon360.import_captures", "import FILE.blend PHOTO..."),
        ("cache", "pantheon360.make_proxy", "project FILE.blend --proxy"),
        ("missing-package", None, "engine install"),
        ("no-camera", "pantheon360.set_path_ends", ""),
        ("other", None, ""),
    ],
)
def test_what_repairs_an_error_is_told_as_a_verb(
    command: Any, house: Any, shot_file: Path, monkeypatch: pytest.MonkeyPatch, code: str, repair: str, verb: str
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise house("core.errors").PantheonError("It cannot.", advice="Do this.", code=code, repair=repair)

    monkeypatch.setattr(house("scene.sources.projection"), "project", failing)
    exit_code, out, err = command("project", shot_file)
    assert (exit_code, out) == (1, "")
    assert "Error: It cannot. Do this.\n" in err
    assert (f"Run first: blender --command pantheon360 {verb}\n" in err) == bool(verb) == ("Run first" in err)
    _, out, _ = command("project", shot_file, "--json")
    told = lines(out)[-1]
    named = repair or ("pantheon360.install_engine" if verb else "")
    assert (told["code"], told["repair"], told["verb"]) == (code, named, verb)
    assert (told["text"], told["advice"], told["job"]) == ("It cannot.", "Do this.", "")


def test_every_verb_that_repairs_is_one(command: Any, house: Any, tmp_path: Path) -> None:
    for line in house("cli.console").VERBS.values():
        verb, *options = line.split()
        _, out, _ = command(verb, "--help")
        assert all(option in out for option in options if option.startswith("--")), line


def test_warnings_of_the_painter_are_told_and_kept_on_the_strip(
    command: Any, house: Any, shot_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bpy

    progress = house("core.progress").Progress

    def painting(folder: Any) -> Any:
        for index, frame in enumerate(folder.job.frames):
            yield progress("Painting", index, 2, warning="This model is untrained.")
            folder.write_frame(frame, np.zeros((32, 64, 3), np.uint8))

    monkeypatch.setattr(house("scene.app.backend_process"), "run", painting)
    code, _, err = command("generate", shot_file, "--frames", "1-2")
    assert code == 0 and err.count("Warning: This model is untrained.\n") == 1
    bpy.ops.wm.open_mainfile(filepath=str(shot_file))
    strip = bpy.data.scenes["Pantheon360 Results"].sequence_editor.strips[0]
    assert strip["pantheon360_warnings"] == "This model is untrained."
    code, out, _ = command("generate", shot_file, "--frames", "1-2", "--json")
    told = [line["text"] for line in lines(out) if line["kind"] == "warning"]
    assert code == 0 and told == ["This model is untrained."]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["import"],
        ["import", "a.blend", "a.ply", "--voxel", "-1"],
        ["geometry", "a.blend", "--frames", "9-1"],
        ["geometry", "a.blend", "--frames", "x"],
    ],
)
def test_wrong_usage_exits_with_2(command: Any, arguments: list[str]) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert "usage: blender --command pantheon360" in err


def test_importing_nothing_is_wrong_usage(command: Any, tmp_path: Path) -> None:
    code, out, err = command("import", tmp_path / "new.blend")
    assert (code, out) == (2, "")
    assert "Nothing to import" in err and not (tmp_path / "new.blend").exists()


@pytest.mark.parametrize("verb", [None, "import", "project", "geometry", "generate", "run", "tag", "doctor"])
def test_help(command: Any, verb: str | None) -> None:
    code, out, _ = command(*([verb] if verb else []), "--help")
    assert code == 0
    assert (verb or "import") in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_is_130_and_nothing_half_is_left(
    command: Any, house: Any, shot_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    folder = house("core.jobs.job_folder").PaintFolder
    write = folder.write_geometry

    def interrupted(self: Any, kind: str, frame: int, geometry: Any) -> None:
        if (frame, kind) == (3, "geometry"):  # once: it is written in a thread, which goes on to the footprint
            signal.raise_signal(number)
        write(self, kind, frame, geometry)

    monkeypatch.setattr(folder, "write_geometry", interrupted)
    code, out, err = command("geometry", shot_file, "--output", tmp_path / "out", "--json")
    assert code == 130, err
    assert lines(out)[-1]["kind"] == "cancelled"
    assert not list((tmp_path / "out").iterdir())
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_doctor_speaks_for_the_backend(command: Any) -> None:
    code, out, err = command("doctor")
    assert code in (0, 1), err
    assert "numpy" in out
    _, out, _ = command("doctor", "--json")
    assert json.loads(out)


def test_frame_lists(house: Any) -> None:
    frames = house("cli.command_line").frame_list
    assert frames("1-4") == frames("1..4") == frames("3,1-2,4,1") == [1, 2, 3, 4]
    assert frames("0-9x4") == [0, 4, 8]
    assert frames("-3--1") == [-3, -2, -1]
    for wrong in ("", "1-", "a", "4-1", "1-4x0", "1;2"):
        with pytest.raises(argparse.ArgumentTypeError):
            frames(wrong)


def test_a_video_is_checked_and_left_alone(command: Any, tmp_path: Path) -> None:
    from tests.fuzz.videos import video

    path = tmp_path / "a.mp4"
    path.write_bytes(video())
    assert command("tag", path, "--check", "--json")[0] == 1 and path.read_bytes() == video()
    assert command("tag", path)[0] == 0
    code, out, _ = command("tag", path, "--check", "--json")
    assert code == 0 and lines(out)[-1]["tags"] == "tagged as 360° (equirectangular, mono, versions 1 and 2)"


@pytest.mark.parametrize("json_lines", [False, True])
def test_a_fault_of_ours_is_an_error_that_names_its_log(
    command: Any, house: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, json_lines: bool
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("the innermost reason")

    monkeypatch.setattr(house("cli.command_line").spherical_video, "tag", broken)
    monkeypatch.setattr(house("core.person_folder"), "path", lambda: tmp_path)
    arguments = ("tag", tmp_path / "a.mp4", *(["--json"] if json_lines else []))
    with pytest.raises(ZeroDivisionError):
        command(*arguments)
    monkeypatch.delenv(house("core.unexpected").VARIABLE)
    code, out, err = command(*arguments)
    told = lines(out)[-1]["text"] + lines(out)[-1]["advice"] if json_lines else err
    assert code == 1 and "ZeroDivisionError: the innermost reason" in told and "errors.log" in told
    assert "Traceback" not in out + err and "Traceback" in (tmp_path / "errors.log").read_text()
