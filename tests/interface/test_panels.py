"""The panels draw in every state of the work, name only what exists, and leave no setting without a place."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core.jobs import model_card
from pantheon360_blender.core.jobs import paint_settings as settings
from pantheon360_blender.core.jobs.model_card import ModelCard
from tests.interface.conftest import Layout

House = Callable[[str], ModuleType]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def capture(house: House, blend: Any) -> Any:
    import bpy

    image = house("scene.captures.images").from_array("here", np.full((16, 32, 3), 90, np.uint8))
    obj = house("scene.captures.capture_objects").create(blend, "here", image, (0, 0, 2))
    bpy.context.view_layer.update()
    bpy.context.view_layer.objects.active = obj
    return obj


def test_a_new_file_says_where_to_begin(draw: Callable[..., Layout]) -> None:
    layout = draw()
    assert "Import 360° photographs of" in layout.labels
    assert layout.shown.index("pantheon360.import_captures") < layout.shown.index("pantheon360.make_proxy")
    steps = [name for name in layout.shown if name.startswith("pantheon360.")]
    assert [step for index, step in enumerate(steps) if step not in steps[:index]] == [
        f"pantheon360.{verb}"
        for verb in (
            "import_captures",
            "build_cache",
            "make_proxy",
            "make_walls",
            "project_captures",
            "set_path_ends",
            "render_geometry",
            "set_up_rendering",
            "generate",
            "tag_360",
            "check_360",
        )
    ]


def test_every_setting_has_its_place(draw: Callable[..., Layout], blend: Any, capture: Any) -> None:
    shown = {*draw().shown, *draw(room="ui.cache_panel").shown}
    parts = {"rna_type", "name", "cache", "diffusion", "live"}  # the last one stands in the header of its panel
    settings = {each.identifier for each in blend.pantheon360.bl_rna.properties} - parts
    assert settings <= shown
    assert {"image", "mask", "nadir", "yaw", "pitch", "roll", "show_preview"} <= shown


def test_every_setting_of_the_diffusion_painter_has_its_place_once_it_is_chosen(
    draw: Callable[..., Layout], blend: Any
) -> None:
    import bpy

    chosen = blend.pantheon360.diffusion
    settings = {each.identifier for each in chosen.bl_rna.properties} - {"rna_type", "name", "loras"}
    assert settings.isdisjoint(draw().shown + draw(room="ui.painter_panel").shown)
    blend.pantheon360.painter = "DIFFUSION"
    bpy.ops.pantheon360.add_lora()
    basic, advanced = draw().shown, draw(room="ui.painter_panel").shown
    assert {"model", "steps", "guidance", "anchors"} <= set(basic)
    assert basic.index("painter") < basic.index("model") < basic.index("pantheon360.generate")
    assert settings | {"file", "strength", "pantheon360.remove_lora"} <= set(basic + advanced)
    assert settings.isdisjoint(set(basic) & set(advanced)), "a setting stands in one place"


@pytest.mark.parametrize(
    ("model", "width", "told", "not_told"),
    [
        ("", 1024, ["There are no models yet; add one:"], []),
        ("nobody", 1024, ["There is no model nobody; add it:"], []),
        ("owner/model", 1024, ["from the Hugging Face hub before"], []),
        (
            "tiny", 1024,
            ["Tiny (untrained)", "256 x 128, 8 frames", "License: CC0-1.0", "Paints 256 x 128; frames are",
             "enlarged to 1024 x 512"],
            [],
        ),
        ("tiny", 64, ["reduced to 64 x 32"], []),
        ("tiny", 256, ["Tiny (untrained)"], ["Paints 256 x 128; frames are"]),
        ("plain", 256, ["It has no model card: its size and"], ["python -m backend models add ..."]),
    ],
)  # fmt: skip
def test_the_panel_says_what_the_model_is_or_how_to_get_one(
    draw: Callable[..., Layout],
    blend: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    width: int,
    told: list[str],
    not_told: list[str],
) -> None:
    monkeypatch.setenv("PANTHEON360_MODELS", str(tmp_path))
    if model in ("tiny", "plain"):
        (tmp_path / model).mkdir()
    if model == "tiny":
        card = ModelCard("Tiny", "untrained", 256, 128, 8, licence="CC0-1.0", trained=False)
        model_card.write(tmp_path / model, card)
    settings = blend.pantheon360
    settings.painter, settings.width, settings.diffusion.model = "DIFFUSION", width, model
    layout = draw()
    assert set(told) <= set(layout.labels) and set(layout.labels).isdisjoint(not_told)
    assert ("pantheon360.add_model" in layout.shown[: layout.shown.index("steps")]) == (model in ("", "nobody"))


def test_photographs_can_be_shown_in_solid_shading(draw: Callable[..., Layout], blend: Any, capture: Any) -> None:
    assert "TEXTURE" in draw().shown
    blend.display.shading.color_type = "TEXTURE"
    assert "TEXTURE" not in draw().shown


def test_the_work_done_so_far_is_told(draw: Callable[..., Layout], blend: Any, capture: Any) -> None:
    import bpy

    bpy.ops.pantheon360.make_proxy()
    assert {"5 meshes to project onto", "Fit the meshes to the place,"} <= set(draw().labels)
    blend.pantheon360.projection_width = 32
    bpy.ops.pantheon360.project_captures()
    assert any(text.endswith("points in 3D Cache") for text in draw().labels)


def test_the_best_way_to_points_is_told_with_what_it_takes(
    draw: Callable[..., Layout], blend: Any, capture: Any
) -> None:
    said = " ".join(draw().labels)
    assert "Best here:" in said and "GB of memory" in said and ("Apache" in said or "MIT" in said)
    settings = blend.pantheon360
    settings.reconstruction_guesses = "DA360"
    shown = draw().shown
    assert shown.index("reconstruction_complete") < shown.index("reconstruction_guesses")
    assert shown.index("reconstruction_guesses") < shown.index("reconstruction_weights")


def test_sub_panels_offer_the_edits_and_tell_what_the_check_found(
    draw: Callable[..., Layout], blend: Any, capture: Any
) -> None:
    import bpy

    assert "pantheon360.remove_floaters" not in draw(room="ui.cache_panel").shown, "there is no cache yet"
    bpy.ops.pantheon360.make_proxy()
    blend.pantheon360.projection_width = 32
    bpy.ops.pantheon360.project_captures()
    bpy.ops.pantheon360.set_path_ends()
    blend.frame_end = 3
    shown = draw(room="ui.cache_panel").shown
    assert {"pantheon360.remove_floaters", "pantheon360.set_floor", "pantheon360.check_coverage"} <= set(shown)
    before = draw(room="ui.cache_panel").labels
    assert bpy.ops.pantheon360.check_coverage() == {"FINISHED"}
    assert draw(room="ui.cache_panel").labels != before


def test_points_from_elsewhere_are_offered_where_artists_look(
    draw: Callable[..., Layout], house: House, blend: Any
) -> None:
    import bpy

    wanted = ["pantheon360.import_cache", "pantheon360.import_depth", "pantheon360.sample_mesh"]
    assert [name for name in draw(room="ui.cache_panel").shown if name in wanted] == wanted
    layout = Layout()
    house("ui.file_menu").draw(SimpleNamespace(layout=layout), bpy.context)
    names = ["import_captures", "import_cache", "import_camera_path"]
    assert layout.shown == [f"pantheon360.{name}" for name in names]
    layout = Layout()
    house("ui.file_menu").draw_export(SimpleNamespace(layout=layout), bpy.context)
    assert layout.shown == ["pantheon360.export_cache", "pantheon360.export_camera_path"]
    handlers = {handler.bl_idname: handler for handler in bpy.types.FileHandler.__subclasses__()}
    assert {".ply", ".las", ".laz", ".e57"} <= set(handlers["PANTHEON360_FH_cache"].bl_file_extensions.split(";"))
    assert handlers["PANTHEON360_FH_cache"].bl_import_operator == "pantheon360.import_cache"


def test_the_import_menu_has_our_entries_and_loses_them(house: House, blend: Any) -> None:
    import bpy

    menu = house("ui.file_menu")
    drawn = bpy.types.TOPBAR_MT_file_import._dyn_ui_initialize
    assert menu.draw in drawn()
    menu.unregister()
    assert menu.draw not in drawn()
    menu.register()


def test_a_tilted_camera_is_told(draw: Callable[..., Layout], blend: Any, capture: Any) -> None:
    import bpy

    bpy.ops.pantheon360.set_path_ends()
    assert not any("tilted" in text for text in draw().labels), "the camera it makes is level"
    blend.camera.rotation_euler.x -= np.radians(27)
    bpy.context.view_layer.update()
    assert "The camera is tilted by 27°:" in draw().labels


def test_a_running_job_shows_its_progress_where_its_button_was(
    draw: Callable[..., Layout], house: House, capture: Any
) -> None:
    import bpy

    jobs, progress = house("scene.app.jobs"), house("core.progress")
    if bpy.context.window is None:
        pytest.skip("this Blender has no window, not even a hidden one")
    running = iter([progress.Progress("Projecting captures", 1, 4, waiting=True)])
    session = jobs.Session(bpy.context, (step for step in running), "Project Captures onto Geometry")
    session.tick()
    layout = draw()
    session.end("the test is over")
    assert "pantheon360.cancel" in layout.shown and "Projecting captures" in layout.labels
    assert "pantheon360.project_captures" not in layout.shown and "pantheon360.generate" in layout.shown
    assert "pantheon360.project_captures" in draw().shown


def session(house: House, steps: list[Any], label: str) -> Any:
    """A job of these steps, running in the interface."""
    import bpy

    if bpy.context.window is None:
        pytest.skip("this Blender has no window, not even a hidden one")
    return house("scene.app.jobs").Session(bpy.context, (step for step in steps), label)


def test_a_running_job_shows_its_newest_picture_and_its_warnings(
    draw: Callable[..., Layout], house: House, capture: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bpy

    progress, png = house("core.progress"), house("core.formats.png")
    png.write(tmp_path / "preview.png", np.full((8, 16, 3), 90, np.uint8))
    told = ["This model is untrained.", "This model is untrained.", "Memory ran out: it goes on with less."]
    steps = [progress.Progress("Painting", index, 9, warning=text) for index, text in enumerate(told)]
    steps.append(progress.Progress("Painting", 4, 9, preview=str(tmp_path / "preview.png")))
    steps.append(progress.Progress("Painting", 4, 9, waiting=True))
    running = session(house, steps, "Generate 360° Video")
    running.tick()
    pictures = house("scene.app.pictures")
    monkeypatch.setattr(pictures, "newest_icon", lambda: 7)  # there are no icons without an interface
    layout = draw()
    assert "preview" in layout.shown
    assert tuple(pictures.collection["newest"].image_size) == (16, 8)
    assert not bpy.data.images.get("preview.png"), "nothing of it enters the .blend"
    assert layout.labels.count("This model is untrained.") == 1
    assert "Memory ran out: it goes on with" in layout.labels, "wrapped"
    assert running.notices.warnings == [told[0], told[2]]
    running.end("the test is over")
    assert "newest" not in pictures.collection
    assert "This model is untrained." not in draw().labels


def test_a_preview_that_cannot_be_read_stops_nothing(
    draw: Callable[..., Layout], house: House, capture: Any, tmp_path: Path
) -> None:
    progress = house("core.progress")
    gone = progress.Progress("Painting", 1, 9, waiting=True, preview=str(tmp_path / "gone.png"))
    running = session(house, [gone, gone], "Generate 360° Video")
    running.tick()
    draw()
    running.tick()
    running.end("the test is over")


def fail(house: House, scene: Any, stage: str, label: str, text: str, repair: str | None = None, **more: Any) -> None:
    house("scene.background.outcomes").fail(
        scene, stage, label, house("core.errors").PantheonError(text, repair=repair), **more
    )


@pytest.mark.parametrize("stage", ["captures", "cache", "path", "geometry", "video", "takes", "jobs"])
def test_each_stage_tells_its_last_failure_with_what_helps(
    draw: Callable[..., Layout], house: House, blend: Any, stage: str, tmp_path: Path
) -> None:
    import bpy

    (tmp_path / "log.txt").write_text("more")
    fail(house, blend, stage, "Do It", "It has no camera.", "pantheon360.set_path_ends",
         warnings=["It was dark."], log=tmp_path / "log.txt")  # fmt: skip
    room = {"takes": "ui.takes_panel", "jobs": "ui.jobs_panel"}.get(stage, "ui.panel")
    layout = draw(room=room)
    assert {"Do It failed", "It has no camera.", "It was dark."} <= set(layout.labels)
    at = layout.shown.index("pantheon360.dismiss_error")
    helps = ["dismiss_error", "set_path_ends", "copy_text", "open_log"]
    assert layout.shown[at : at + 4] == [f"pantheon360.{verb}" for verb in helps]
    assert layout.shown.count("pantheon360.dismiss_error") == 1, "it is told in one place"
    other = bpy.data.scenes.new("Other")
    assert house("scene.background.outcomes").of(other, stage) is None
    assert bpy.ops.pantheon360.dismiss_error(stage=stage) == {"FINISHED"}
    assert "pantheon360.dismiss_error" not in draw(room=room).shown


def test_what_was_done_with_a_warning_is_told_as_done(draw: Callable[..., Layout], house: House, blend: Any) -> None:
    outcomes, many = house("scene.background.outcomes"), [f"Number {index}." for index in range(9)]
    outcomes.succeed(blend, "cache", "Build 3D Cache", many, whole=True)
    labels = draw().labels
    assert "Build 3D Cache" in labels and "Build 3D Cache failed" not in labels
    assert {"Number 8.", "and 3 more before"} <= set(labels) and "Number 2." not in labels
    outcomes.succeed(blend, "cache", "Build 3D Cache", whole=True)
    assert "Number 8." not in draw().labels


def test_stages_fail_independently_of_one_another(draw: Callable[..., Layout], house: House, blend: Any) -> None:
    fail(house, blend, "cache", "Build 3D Cache", "Too few captures.")
    fail(house, blend, "video", "Generate 360° Video", "It broke.", "pantheon360.no_such_operator")
    layout = draw()
    assert {"Too few captures.", "It broke."} <= set(layout.labels)
    assert layout.shown.count("pantheon360.dismiss_error") == 2 and "pantheon360.open_log" not in layout.shown


def test_what_fails_is_not_told_while_it_is_done_again(
    draw: Callable[..., Layout], house: House, capture: Any, blend: Any
) -> None:
    fail(house, blend, "cache", "Build 3D Cache", "It broke.")
    running = session(house, [house("core.progress").Progress("Building", waiting=True)], "Build 3D Cache")
    assert "It broke." not in draw().labels
    running.end("the test is over")
    assert "It broke." in draw().labels, "it was not done"


def test_another_file_takes_the_failures_away(house: Any, blend: Any) -> None:
    import bpy

    outcomes = house("scene.background.outcomes")
    fail(house, blend, "cache", "Build 3D Cache", "It failed.")
    fail(house, None, "engine", "Install Engine", "It failed.")
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert outcomes.of(bpy.context.scene, "cache") is None
    assert outcomes.of(bpy.context.scene, "engine").error == "It failed.", "that is of no file"
    outcomes.forget(None, "engine")


def test_the_next_success_of_its_stage_takes_a_failure_away(
    draw: Callable[..., Layout], house: House, capture: Any, blend: Any
) -> None:
    import bpy

    outcomes = house("scene.background.outcomes")
    fail(house, blend, "cache", "Build 3D Cache", "It broke.")
    fail(house, blend, "path", "Check Coverage", "It broke, too.")
    bpy.ops.pantheon360.make_proxy()
    assert outcomes.of(blend, "cache").label == "Build 3D Cache", "that did not make the cache"
    bpy.context.scene.pantheon360.projection_width = 32
    bpy.ops.pantheon360.project_captures()
    assert outcomes.of(blend, "cache") is None and outcomes.of(blend, "path") is not None
    fail(house, blend, "path", "Set Path Ends to Captures", "It broke.")
    bpy.ops.pantheon360.set_path_ends()
    assert outcomes.of(blend, "path") is None, "it is done now"


def test_undo_leaves_a_failure_told(house: House, capture: Any, blend: Any) -> None:
    import bpy

    bpy.ops.ed.undo_push(message="before")
    bpy.ops.pantheon360.make_proxy()
    bpy.ops.ed.undo_push(message="after")
    fail(house, blend, "cache", "Build 3D Cache", "It broke.")
    bpy.ops.ed.undo()
    assert house("scene.background.outcomes").of(bpy.context.scene, "cache").error == "It broke."


def test_every_operator_that_works_long_has_a_stage_that_a_panel_shows(house: House) -> None:
    stages, base = house("scene.background.outcomes").STAGES, house("operators.base")
    made = [
        each for each in subclasses(base.PolledOperator) if getattr(each, "bl_idname", "").startswith("pantheon360")
    ]
    assert {each.stage for each in made} <= {*stages, ""}
    assert [each.__name__ for each in made if issubclass(each, base.JobOperator) and not each.stage] == []


def subclasses(kind: type) -> list[Any]:
    return [each for child in kind.__subclasses__() for each in (child, *subclasses(child))]


def test_a_gray_button_is_explained_beside_what_helps(
    draw: Callable[..., Layout], house: House, blend: Any, capture: Any
) -> None:
    import bpy

    def helps() -> str:
        shown = draw().shown
        return str(shown[shown.index("pantheon360.generate") + 1])

    assert "Build or project a 3D cache first" in draw().labels and helps() == "pantheon360.build_cache"
    bpy.ops.pantheon360.make_proxy()
    assert helps() == "pantheon360.project_captures"
    blend.pantheon360.projection_width = 32
    bpy.ops.pantheon360.project_captures()
    assert "Add a camera, or set the path's" in draw().labels and helps() == "pantheon360.set_path_ends"
    bpy.ops.pantheon360.set_path_ends()
    assert helps() == "pantheon360.tag_360", "nothing is missing"
    blend.pantheon360.painter, blend.pantheon360.diffusion.model = "DIFFUSION", "owner/model"
    assert helps() == "pantheon360.install_engine"


def test_an_errors_popup_has_its_text_its_advice_and_the_button(house: House, blend: Any) -> None:
    error = house("core.errors").RenderError(
        "Scene Street has no camera.", advice="Let Set Path Ends make one.", repair="pantheon360.set_path_ends"
    )
    menu = SimpleNamespace(layout=Layout())
    house("operators.errors").popup(error)(menu, None)
    assert menu.layout.labels == ["Scene Street has no camera.", "Let Set Path Ends make one."]
    assert menu.layout.shown == ["pantheon360.dismiss_error", "pantheon360.set_path_ends"]
    assert menu.layout.operator_context == "INVOKE_DEFAULT"


def test_every_repair_is_an_operator_with_a_label(house: House, blend: Any) -> None:
    repairs, label = house("core.repairs"), house("scene.app.disabled_reason").repair_label
    assert all(label(repair) for repair in repairs.ALL)
    assert set(repairs.BY_CODE.values()) <= set(repairs.ALL)
    assert label("pantheon360.no_such_operator") == label(None) == ""
    assert set(house("cli.console").VERBS) <= set(repairs.ALL)


def test_rendering_is_set_up_once(blend: Any) -> None:
    import bpy

    blend.pantheon360.width = 640
    assert bpy.ops.pantheon360.set_up_rendering() == {"FINISHED"}
    render = blend.render
    assert (render.engine, render.resolution_x, render.resolution_y) == ("PANTHEON360", 640, 320)
    with pytest.raises(RuntimeError, match="already"):
        bpy.ops.pantheon360.set_up_rendering()
    blend.pantheon360.width = 320
    assert bpy.ops.pantheon360.set_up_rendering() == {"FINISHED"} and render.resolution_x == 320


def test_the_sequencer_tells_what_made_a_strip_and_tags_its_file(
    draw: Callable[..., Layout], house: House, blend: Any
) -> None:
    class Strip(dict):
        type, filepath = "MOVIE", "//video.mp4"

    strip = Strip(pantheon360_painter="draft", pantheon360_seed="7", pantheon360_folder="//jobs/x")
    layout = draw("SEQUENCE_EDITOR", **{"active_strip": strip, "active_sequence_strip": strip})
    assert layout.labels == ["Painter: draft", "Seed: 7", "Job: //jobs/x"]
    strip |= {"pantheon360_painter": "diffusion: Tiny (untrained)", "pantheon360_licence": "CC0-1.0"}
    layout = draw("SEQUENCE_EDITOR", **{"active_strip": strip, "active_sequence_strip": strip})
    strip["pantheon360_origins"] = "71% photographed, 29% filled"
    strip["pantheon360_warnings"] = "This model is untrained.\nFrame 3 was painted again."
    layout = draw("SEQUENCE_EDITOR", **{"active_strip": strip, "active_sequence_strip": strip})
    assert {"This model is untrained.", "Frame 3 was painted again."} <= set(layout.labels)
    assert {"Painter: diffusion: Tiny (untrained)", "Model License: CC0-1.0"} <= set(layout.labels)
    assert "Pixels: 71% photographed, 29% filled" in layout.labels
    assert layout.shown == ["pantheon360.tag_360", "pantheon360.check_360"]
    assert "Select a strip to see" in draw("SEQUENCE_EDITOR").labels


def test_a_strip_s_take_can_be_added_to_the_cache_of_the_scene_that_it_was_made_for(
    draw: Callable[..., Layout], house: House, blend: Any
) -> None:
    """In the scene of the results, which has no cache of its own, the button is not gray."""

    class Strip(dict):
        type, filepath = "IMAGE", ""

    import bpy

    strip = Strip(pantheon360_folder="//jobs/x", pantheon360_job='{"id": "0123abcd", "name": "shot"}')
    layout = draw("SEQUENCE_EDITOR", **{"active_strip": strip, "active_sequence_strip": strip})
    assert layout.shown[0] == "pantheon360.add_take"
    assert not bpy.ops.pantheon360.add_take.poll()
    blend["pantheon360_results"] = True
    assert bpy.ops.pantheon360.add_take.poll()


BRITISH = re.compile(
    r"colour|grey|centre|neighbour|licence|metre|cancelled|levell|labell|modell|behaviour|favour|artefact|analyse"
    r"|(optim|normal|initial|recogn|organ|synchron|minim|maxim)is(e|ing|ation)",
    re.IGNORECASE,
)
FOR_FILES = {
    "core/points/point_cloud.py": "Pantheon360 for Blender: metres",  # in the header of a PLY file
    "core/jobs/painting_summary.py": "has a model whose licence",  # the name of a field
    "core/jobs/model_card.py": "1 / (1 + range in metres)",  # for whoever writes a model card
    "ui/cache_overlay.py": "void main()",
}
"""Part of a file's path -> beginning of a text of it that is not for artists."""


def owners(house: House) -> list[tuple[str, Any]]:
    """(name, RNA type) of every class of ours that Blender knows."""
    import bpy

    properties = house("scene.properties")
    groups = [*(group for _, group in properties.GROUPS), *properties.NESTED]
    groups.append(house("scene.app.preferences").PANTHEON360_AP_preferences)
    parts = [each for each in bpy.types.FileHandler.__subclasses__() if each.__name__.startswith("PANTHEON360")]
    names = [name for name in dir(bpy.types) if name.upper().startswith("PANTHEON360_") and "_OT_" not in name]
    parts += [getattr(bpy.types, name) for name in names]
    verbs = [(f"pantheon360.{verb}", getattr(bpy.ops.pantheon360, verb)) for verb in dir(bpy.ops.pantheon360)]
    found = {each.__name__: each.bl_rna for each in (*groups, *parts)}
    return [*found.items(), *((name, verb.get_rna_type()) for name, verb in verbs)]


def read_by_artists(house: House) -> list[tuple[str, str, str]]:
    """(where, label, description) of every class, setting and choice that is not hidden."""
    import bpy
    from bpy_extras.io_utils import ImportHelper

    theirs = {"name", "rna_type", *ImportHelper.__annotations__, "files", "directory", "filter_glob"}
    theirs |= {each.identifier for each in bpy.types.AddonPreferences.bl_rna.properties}
    found = []
    for owner, rna in owners(house):
        kind = getattr(bpy.types, owner, None)
        button = owner.startswith("pantheon360.")
        label = rna.name if button else getattr(kind, "bl_label", "")
        found.append((owner, label, rna.description if button else ""))
        if not button and "_PG_" not in owner and "_AP_" not in owner:
            continue  # a panel's own properties are Blender's
        for each in rna.properties:
            if each.identifier in theirs or each.is_hidden:
                continue
            found.append((f"{owner}:{each.identifier}", each.name, each.description))
            items = each.enum_items_static if each.type == "ENUM" else ()
            found += [(f"{owner}:{each.identifier}={item.identifier}", item.name, item.description) for item in items]
    items = house("scene.app.plugin_items")
    return found + [(f"={item[0]}", item[1], item[2]) for item in (*items.painters(), *items.reconstructors())]


def test_what_artists_read_follows_blenders_conventions(house: House, blend: Any) -> None:
    """Labels in Title Case; tooltips of one sentence without a final period; American English."""
    found = read_by_artists(house)
    assert len(found) > 200 and sum(where.startswith("pantheon360.") and ":" not in where for where, *_ in found) >= 29
    small = {"a", "as", "by", "from", "in", "onto", "to", "of", "the", "and", "3d", "360°", *settings.PRECISIONS}
    for where, label, description in found:
        assert not description.endswith("."), where
        assert not re.search(r"[a-z)]\. [A-Z0-9]", description), f"{where}: more than one sentence: {description}"
        assert not BRITISH.search(f"{label} {description}"), f"{where}: {label}: {description}"
        words = label.replace(",", "").split()
        assert not [word for word in words if word not in small and word[0].islower()], label


def test_every_button_and_every_setting_has_a_tooltip(house: House, blend: Any) -> None:
    for where, label, description in read_by_artists(house):
        named = ":" in where or where.startswith("pantheon360.")
        assert description or not named or "PG_window_manager" in where, f"{where} ({label}) does not say what it does"


def test_reports_and_errors_are_in_american_english() -> None:
    """Texts in the code of what Blender runs: those with a space, docstrings and names aside."""
    wrong = []
    for room in ("operators", "ui", "cli", "pantheon360_blender"):
        for path in sorted((ROOT / room).rglob("*.py")):
            allowed = next((text for part, text in FOR_FILES.items() if path.as_posix().endswith(part)), None)
            tree = ast.parse(path.read_text(encoding="utf-8"))
            alone = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
            for each in ast.walk(tree):
                if not isinstance(each, ast.Constant) or not isinstance(each.value, str) or id(each) in alone:
                    continue
                text = each.value.strip()
                if BRITISH.search(text) and " " in each.value and not (allowed and text.startswith(allowed)):
                    wrong.append(f"{path.relative_to(ROOT)}:{each.lineno}: {text}")
    assert wrong == []
