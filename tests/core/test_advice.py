"""The way to points that is called the best: for one capture, for close and for distant ones, and by what they take."""

from __future__ import annotations

import itertools

import pytest

from pantheon360_blender.core import plugins
from pantheon360_blender.core.engine import advice
from pantheon360_blender.core.jobs.reconstruct_settings import PLANES, SWEEP, ReconstructionSettings
from pantheon360_blender.core.plugins import Plugin, Weights
from pantheon360_blender.core.version import EXTENSION_ROOT

REAL = plugins.find(plugins.RECONSTRUCTORS)


def plugin(name: str, sees: str, studio: bool, size: float, *memory: float) -> Plugin:
    models = tuple(Weights(f"{name}/{each:g}", "L", studio, size, each) for each in memory)
    return Plugin(name, name.title(), "s", models=models, sees=sees)


KNOWN = [
    plugin("bound", "panorama", False, 0.1, 1.0),
    plugin("large", "panorama", True, 5.0, 12.0),
    plugin("small", "panorama", True, 0.1, 2.0),
    plugin("crop", "crop", True, 0.1, 1.0),
    plugin("many", "crops", True, 3.0, 8.0, 4.0),
    Plugin("plain", "Plain", "s"),
]


def test_close_captures_need_no_model_and_distant_ones_gain_by_one() -> None:
    close = advice.ways(KNOWN, 3, apart=2.0)
    assert (close[0].dense, close[0].guess_by, close[0].takes) == (SWEEP, PLANES, "")
    assert advice.ways(KNOWN, 3)[0] == close[0], "nothing is known of how far apart they stand"
    far = advice.ways(KNOWN, 3, apart=9.0)
    assert (far[0].dense, far[0].guess_by) == (SWEEP, "small") and far[1] == close[0]
    assert sorted(map(str, far)) == sorted(map(str, close))


def test_one_capture_is_seen_by_a_network_or_laid_out_without() -> None:
    alone = advice.ways(KNOWN, 1)
    assert [way.dense for way in alone] == ["small", "large", "crop", "many", advice.ONE_CAPTURE, "bound"]
    assert [way.dense for way in advice.ways([], 1)] == [advice.ONE_CAPTURE]


def test_what_a_studio_may_not_use_comes_last() -> None:
    for captures, apart in itertools.product((1, 2, 9), (None, 1.0, 20.0)):
        studio = [way.weights is None or way.weights.studio for way in advice.ways(KNOWN, captures, apart=apart)]
        assert studio == sorted(studio, reverse=True)


def test_what_does_not_fit_is_left_out_and_smaller_weights_are_taken() -> None:
    fitting = advice.ways(KNOWN, 2, apart=20.0, memory_gb=5.0)
    assert all(way.weights is None or way.weights.memory_gb <= 5 for way in fitting)
    assert "large" not in {way.guess_by for way in fitting}
    (many,) = (way for way in fitting if way.dense == "many")
    assert many.weights is not None and many.weights.hub == "many/4"
    assert [way.dense for way in advice.ways(KNOWN, 2, memory_gb=0.5)] == [SWEEP]


@pytest.mark.parametrize(("captures", "apart"), [(1, None), (2, 1.0), (5, 9.6)])
def test_every_way_can_be_asked_for_and_says_what_it_takes(captures: int, apart: float | None) -> None:
    found = advice.ways(REAL.values(), captures, apart=apart)
    assert found[0].weights is None or found[0].weights.studio
    for way in found:
        asked = ReconstructionSettings(poses="given", dense=way.dense, guess_by=way.guess_by)
        assert ReconstructionSettings.from_json(asked.to_json()) == asked
        assert asked.learned in {"", *REAL} and way.why.endswith(".")
        assert (way.weights is None) == (not REAL[asked.learned].models if asked.learned else True)
        if way.weights is not None:
            assert way.weights.license in way.takes and f"{way.weights.size_gb:g} GB" in way.takes


def test_the_documented_table_is_what_the_plug_ins_say() -> None:
    lines = (EXTENSION_ROOT / "docs" / "reconstructors.md").read_text(encoding="utf-8").splitlines()
    told = {line for line in lines if line.startswith("| `") and "` | `" in line}
    sees = {"panorama": "panoramas", "crop": "crops, one by one", "crops": "crops of all captures"}
    rows = {
        f"| `{name}` | `{each.hub}` | {each.license} | {'yes' if each.studio else 'no'} | {each.size_gb:g} | "
        f"{each.memory_gb:g} | {sees[plugin.sees]} |"
        for name, plugin in REAL.items()
        for each in plugin.models
    }
    assert told == rows, "\n".join(sorted(rows))
