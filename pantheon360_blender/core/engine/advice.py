"""Which way to a 3D cache is best for the captures at hand: what it takes, and under which license.

The order follows what was measured without models (README, "The 3D cache from captures"): captures that stand close
tell nearly all of a place, those far apart a half of it, one alone nothing. What networks add was measured with
stand-ins for them only. Among them those that a studio may use come first, then those that see whole panoramas, then
the smaller.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..jobs import reconstruct_settings as settings
from ..plain_text import filled
from ..plugins import Plugin, Weights

FAR = 5.0
"""Meters between neighbors from which on a sweep tells too little of a street: 70 % at 4.8 m, 44 % at 9.6 m."""
ONE_CAPTURE = "room_layout"
"""The reconstructor of a capture that is alone, if there is no model."""
_SEES = {"panorama": 0, "crop": 1, "crops": 2}


@dataclass(frozen=True)
class Way:
    """A way to points.

    dense, guess_by: as in ReconstructionSettings. title: for people. why: a sentence. weights: None if it needs none.
    """

    dense: str
    guess_by: str
    title: str
    why: str
    weights: Weights | None = None

    @property
    def takes(self) -> str:
        """License, download and memory of its weights, for people; empty if it needs none."""
        if self.weights is None:
            return ""
        return filled(
            "{license}; {size:g} GB, about {memory:g} GB of memory",
            license=self.weights.license, size=self.weights.size_gb, memory=self.weights.memory_gb,
        )  # fmt: skip


def ways(
    plugins: Iterable[Plugin], captures: int, *, apart: float | None = None, memory_gb: float | None = None
) -> list[Way]:
    """The ways that there are, the best first.

    plugins: the reconstructors. captures: how many there are. apart: meters between neighbors, or None if they are not
    placed yet. memory_gb: of the device, or None if it is not known; what does not fit is left out.
    """
    known = sorted(_models(plugins, memory_gb), key=_order)
    if captures < 2:
        return _alone(known)
    planes = Way(
        settings.SWEEP, settings.PLANES, filled("Sweep, planes guess"), "Captures that stand close tell nearly all."
    )
    guessing = [
        Way(
            settings.SWEEP, plugin.name, filled("Sweep, {model} guesses", model=plugin.title),
            "Captures far apart leave much open, and networks know how places look.", weights,
        )
        for plugin, weights in known
        if plugin.sees in ("panorama", "crop")
    ]  # fmt: skip
    together = [
        Way(plugin.name, settings.PLANES, plugin.title, "It sees all captures together.", weights)
        for plugin, weights in known
        if plugin.sees == "crops"
    ]
    free, bound = _split(guessing)
    far = apart is not None and apart > FAR
    first = [*free[:1], planes, *free[1:]] if far else [planes, *free]
    return [*first, *_split(together)[0], *bound, *_split(together)[1]]


def _alone(known: list[tuple[Plugin, Weights]]) -> list[Way]:
    why = {
        "panorama": "It sees the whole panorama; the eye height tells lengths, if it does not.",
        "crop": "It sees the panorama in pieces that are made to agree.",
        "crops": "It is made for several captures.",
    }
    found = [Way(plugin.name, settings.PLANES, plugin.title, why[plugin.sees], weights) for plugin, weights in known]
    free, bound = _split(found)
    layout = Way(ONE_CAPTURE, settings.PLANES, "Room Layout", "It needs no model: ground, walls and ceiling by color.")
    return [*free, layout, *bound]


def _models(plugins: Iterable[Plugin], memory_gb: float | None) -> Iterable[tuple[Plugin, Weights]]:
    """Each plug-in that has a model, with the first of its weights that fit."""
    for plugin in plugins:
        fitting = [each for each in plugin.models if memory_gb is None or each.memory_gb <= memory_gb]
        if fitting and plugin.sees in _SEES:
            yield plugin, fitting[0]


def _order(model: tuple[Plugin, Weights]) -> tuple[int, float, str]:
    plugin, weights = model
    return _SEES[plugin.sees], weights.size_gb, plugin.name


def _split(found: list[Way]) -> tuple[list[Way], list[Way]]:
    """Those whose weights a studio may use, and the others."""
    free = [way for way in found if way.weights is None or way.weights.studio]
    return free, [way for way in found if way not in free]
