"""The diffusion painter's settings reach the backend as the artist chose them, and the backend accepts them all."""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

import pytest

from pantheon360_blender.core.jobs import paint_settings
from pantheon360_blender.core.jobs.paint_settings import SETTINGS, PaintOptions


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PANTHEON360_MODELS", str(tmp_path / "store"))
    (tmp_path / "store" / "street").mkdir(parents=True)
    return tmp_path / "store"


@pytest.fixture
def group(blend: Any) -> Any:
    return blend.pantheon360.diffusion


def read(house: Any, group: Any, **changes: Any) -> PaintOptions:
    """What the backend reads of the settings, once they have been a job's text."""
    return PaintOptions.from_json(
        json.loads(json.dumps(house("scene.shot.diffusion_settings").to_json(group, changes)))
    )


def test_every_setting_has_a_property_with_its_words(house: Any, group: Any) -> None:
    described = {each.identifier: each for each in group.bl_rna.properties}
    for name, setting in SETTINGS.items():
        assert (described[name].name, described[name].description) == (setting.label, setting.description)


def test_a_new_scene_has_the_backends_defaults(house: Any, group: Any) -> None:
    assert read(house, group) == PaintOptions()


def test_what_is_left_to_the_model_is_not_in_the_job(house: Any, group: Any) -> None:
    own = {field.name for field in dataclasses.fields(PaintOptions) if field.default is None}
    assert own.isdisjoint(house("scene.shot.diffusion_settings").to_json(group))
    chosen = {name: 1 if name == "draft_share" else 3 for name in own}  # the most that it may be
    for name, value in chosen.items():
        setattr(group, name, value)
    assert {name: getattr(read(house, group), name) for name in own} == chosen


@pytest.mark.parametrize("name", ["motion_bucket", "noise_aug"])
def test_nought_is_a_value_where_it_means_something(house: Any, group: Any, name: str) -> None:
    setattr(group, name, 0)
    assert getattr(read(house, group), name) == 0


def test_numbers_are_those_that_were_typed(house: Any, group: Any) -> None:
    group.noise_aug, group.guidance, group.fps = 0.02, 2.7, 23.976
    found = house("scene.shot.diffusion_settings").to_json(group)
    assert (found["noise_aug"], found["guidance"], found["fps"]) == (0.02, 2.7, 23.976)


def test_every_item_is_the_choice_it_stands_for(house: Any, group: Any) -> None:
    enums = {each.identifier: each for each in group.bl_rna.properties if each.type == "ENUM"}
    assert enums.keys() == {name for name, setting in SETTINGS.items() if setting.kind == "choice"}
    for name, described in enums.items():
        found = {}
        for item in described.enum_items:
            setattr(group, name, item.identifier)
            found[getattr(read(house, group), name)] = item.name
        assert found == {choice.value: choice.label for choice in SETTINGS[name].choices}


def test_every_choice_can_be_painted_with() -> None:
    """What the table offers is what the backend knows."""
    offered = {name: {choice.value for choice in setting.choices} for name, setting in SETTINGS.items()}
    auto = paint_settings.AUTO
    assert offered["scheduler"] == set(paint_settings.USUAL_STEPS)
    assert offered["anchors"] == {auto, *typing.get_args(paint_settings.Configuration)}
    assert offered["weighting"] == set(typing.get_args(paint_settings.Weighting))
    assert offered["roll"] == set(typing.get_args(paint_settings.Roll))
    assert offered["memory"] == {auto, *paint_settings.MEMORY_LEVELS}
    assert offered["device"] == {auto, *paint_settings.DEVICES}
    assert offered["precision"] == {auto, *paint_settings.PRECISIONS}


def test_no_number_that_blender_allows_is_refused(house: Any, group: Any) -> None:
    """The ends of each property's range, and the values round its least one."""
    for described in group.bl_rna.properties:
        if described.type in ("INT", "FLOAT"):
            least = SETTINGS[described.identifier].least if described.identifier in SETTINGS else described.hard_min
            for value in (described.hard_min, least - 1, least, least + 1, described.hard_max):
                setattr(group, described.identifier, type(getattr(group, described.identifier))(value))
                read(house, group)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0), ("steps", 1), ("steps", 1000), ("steps", 1001), ("steps", 2.5), ("steps", True), ("steps", None),
        ("guidance", 0.5), ("guidance", 1), ("guidance", 100.5), ("guidance", "3"), ("fps", 0), ("fps", 240),
        ("motion_bucket", -1), ("motion_bucket", 0), ("noise_aug", 10), ("noise_aug", 11), ("noise_aug", None),
        ("every", 0), ("every", None), ("clip", 1), ("clip", None), ("overlap", 0), ("padding", 0), ("padding", -1),
        ("scheduler", "dpm++2m"), ("scheduler", "DPM"), ("anchors", "single+fusion"), ("anchors", None),
        ("memory", "offload"), ("memory", "none"), ("circular", False), ("circular", 1), ("model", 3), ("model", "a"),
        ("compile", "yes"), ("loras", []), ("loras", ["a"]), ("loras", [{"file": "/a", "strength": 1}]),
        ("loras", [{"file": "", "strength": 1}]), ("loras", [{"file": "/a"}]), ("stepz", 3),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_at_every_door(house: Any, group: Any, name: str, value: Any) -> None:
    """The command line, a shot's preparation and the backend agree, and name the setting."""
    import argparse

    import bpy

    right = paint_settings.options_error({name: value}) is None
    bpy.context.scene.pantheon360.diffusion.model = "tiny"
    doors = (
        lambda: house("cli.command_line").parse_setting(f"{name}={json.dumps(value)}"),
        lambda: house("scene.shot.painters").settings(bpy.context.scene, "diffusion", {name: value}),
    )
    for door in doors:
        if right:
            door()
        else:
            with pytest.raises((argparse.ArgumentTypeError, house("core.errors").JobError), match=name):
                door()


def test_changes_go_before_the_scene(house: Any, group: Any) -> None:
    group.steps, group.guidance, group.every = 4, 2.0, 3
    assert read(house, group, steps=9, guidance=None) == PaintOptions(steps=9, every=3)
    assert (group.steps, group.every) == (4, 3)


def test_paths_are_found_from_anywhere(house: Any, group: Any, store: Path, tmp_path: Path) -> None:
    """Names of the store and ids of the hub stay; folders and files are absolute, those beside the .blend, too."""
    import bpy

    place = tmp_path / "Ünïcode 空 dir"
    (place / "mine").mkdir(parents=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(place / "shot.blend"))
    group = bpy.context.scene.pantheon360.diffusion
    wanted = {
        "street": "street",
        "OWNER/model": "OWNER/model",
        "//mine": str(place / "mine"),
        f" {place / 'mine'}/ ": str(place / "mine"),
        "": "",
    }
    for typed, named in wanted.items():
        group.model = typed
        assert read(house, group).model == named == house("scene.shot.diffusion_settings").model_of(group)
    for file, strength in (("//rain.safetensors", 0.3), ("", 1.0), (str(tmp_path / "b.safetensors"), -1.5)):
        lora = group.loras.add()
        lora.file, lora.strength = file, strength
    assert read(house, group).loras == [
        {"file": str(place / "rain.safetensors"), "strength": 0.3},
        {"file": str(tmp_path / "b.safetensors"), "strength": -1.5},
    ]


def test_loras_come_and_go(house: Any, blend: Any, group: Any) -> None:
    import bpy

    assert not bpy.ops.pantheon360.remove_lora.poll()
    for name in ("a", "b", "c"):
        assert bpy.ops.pantheon360.add_lora() == {"FINISHED"}
        group.loras[-1].file = name
    assert bpy.ops.pantheon360.remove_lora(index=1) == {"FINISHED"}
    assert [lora.file for lora in group.loras] == ["a", "c"]
    assert group.loras[0].strength == 1


def test_settings_survive_the_file(house: Any, group: Any, tmp_path: Path) -> None:
    import bpy

    group.model, group.steps, group.anchors = "street", 7, "SINGLE_FUSION"
    group.loras.add().file = "/rain.safetensors"
    before = house("scene.shot.diffusion_settings").to_json(group)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert house("scene.shot.diffusion_settings").to_json(bpy.context.scene.pantheon360.diffusion) == before
