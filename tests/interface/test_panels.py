"""The panels draw in every state of the work, name only what exists, and leave no setting without a place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pantheon360_blender.core.jobs import model_card
from pantheon360_blender.core.jobs.model_card import ModelCard

House = Callable[[str], ModuleType]


class Layout:
    """Stands for Blender's layout, which exists only while a window draws: notes what is shown, refuses what is not."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.labels: list[str] = []

    def _part(self, **_: Any) -> Layout:
        return self

    row = column = _part

    def separator(self) -> None:
        pass

    def label(self, *, text: str, icon: str = "NONE") -> None:
        self.labels.append(text)

    def prop(self, data: Any, name: str, **_: Any) -> None:
        assert name in data.bl_rna.properties, f"{data} has no {name}"
        self.shown.append(name)

    template_ID = prop  # noqa: N815

    def prop_enum(self, data: Any, name: str, value: str, **_: Any) -> None:
        assert value in data.bl_rna.properties[name].enum_items
        self.shown.append(value)

    def operator(self, name: str, **_: Any) -> Any:
        import bpy

        group, _, verb = name.partition(".")
        getattr(getattr(bpy.ops, group), verb).get_rna_type()
        self.shown.append(name)
        return SimpleNamespace()

    def progress(self, *, factor: float, text: str) -> None:
        assert 0 <= factor <= 1
        self.labels.append(text)


@pytest.fixture
def draw(house: House, blend: Any) -> Callable[..., Layout]:
    """Draw every panel of the sidebar, or of the sequencer, into one layout."""
    import bpy

    def run(space_type: str = "VIEW_3D", room: str = "ui.panel", **also: Any) -> Layout:
        layout = Layout()
        context = SimpleNamespace(
            scene=blend,
            object=bpy.context.view_layer.objects.active,
            window_manager=bpy.context.window_manager,
            space_data=SimpleNamespace(shading=blend.display.shading),  # solid, as in a new file
            **also,
        )
        for panel in house(room).CLASSES:
            poll = getattr(panel, "poll", None)
            if panel.bl_space_type == space_type and (poll is None or "poll" not in vars(panel) or poll(context)):
                panel.draw(SimpleNamespace(layout=layout), context)
        return layout

    return run


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
    assert steps == [
        f"pantheon360.{verb}"
        for verb in (
            "import_captures",
            "build_cache",
            "make_proxy",
            "project_captures",
            "set_path_ends",
            "render_geometry",
            "set_up_rendering",
            "generate",
            "tag_360",
        )
    ]


def test_every_setting_has_its_place(draw: Callable[..., Layout], blend: Any, capture: Any) -> None:
    shown = set(draw().shown)
    parts = {"rna_type", "name", "cache", "diffusion"}
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
        ("", 1024, ["There are no models yet; add one:", "python -m backend models add ..."], []),
        ("nobody", 1024, ["There is no model nobody; add it:", "python -m backend models add ..."], []),
        ("owner/model", 1024, ["from the Hugging Face hub before"], ["python -m backend models add ..."]),
        (
            "tiny", 1024,
            ["Tiny (untrained)", "256 x 128, 8 frames", "Licence: CC0-1.0", "Paints 256 x 128; frames are",
             "enlarged to 1024 x 512"],
            ["python -m backend models add ..."],
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
    labels = set(draw().labels)
    assert set(told) <= labels and labels.isdisjoint(not_told)


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
    house("ui.file_menu")._draw(SimpleNamespace(layout=layout), bpy.context)
    assert layout.shown == ["pantheon360.import_captures", "pantheon360.import_cache"]
    handlers = {handler.bl_idname: handler for handler in bpy.types.FileHandler.__subclasses__()}
    assert {".ply", ".las", ".laz", ".e57"} <= set(handlers["PANTHEON360_FH_cache"].bl_file_extensions.split(";"))
    assert handlers["PANTHEON360_FH_cache"].bl_import_operator == "pantheon360.import_cache"


def test_the_import_menu_has_our_entries_and_loses_them(house: House, blend: Any) -> None:
    import bpy

    menu = house("ui.file_menu")
    drawn = bpy.types.TOPBAR_MT_file_import._dyn_ui_initialize
    assert menu._draw in drawn()
    menu.unregister()
    assert menu._draw not in drawn()
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
    assert "Press Esc to cancel" in layout.labels and "Projecting captures" in layout.labels
    assert "pantheon360.project_captures" not in layout.shown and "pantheon360.generate" in layout.shown
    assert "pantheon360.project_captures" in draw().shown


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
    assert {"Painter: diffusion: Tiny (untrained)", "Model licence: CC0-1.0"} <= set(layout.labels)
    assert layout.shown == ["pantheon360.tag_360"]
    assert "Select a strip to see" in draw("SEQUENCE_EDITOR").labels


def test_what_artists_read_follows_blenders_conventions(house: House) -> None:
    """Labels in Title Case, tooltips and descriptions without a final full stop."""
    import bpy

    operators = [getattr(bpy.types, name) for name in dir(bpy.types) if name.startswith("PANTHEON360_OT_")]
    assert len(operators) >= 9
    properties = house("scene.properties")
    groups = [*(group for _, group in properties.GROUPS), *properties.NESTED]
    for owner in (*operators, *groups, house("scene.app.preferences").PANTHEON360_AP_preferences):
        texts = [owner.bl_rna.description] if owner in operators else []
        labels = [owner.bl_label] if owner in operators else []
        for each in owner.bl_rna.properties:
            if each.identifier in owner.__annotations__:
                labels.append(each.name)
                texts.append(each.description)
        assert not [text for text in texts if text.endswith(".")]
        small = {"a", "as", "by", "from", "in", "onto", "to", "of", "the", "3d", "360°"}
        assert not [label for label in labels for word in label.split() if word not in small and word[0].islower()]
