"""The backend's plug-ins as menus of the interface offer them; a new one appears without a change here."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable

from ...core import plugins
from ...core.errors import BackendError
from ...core.jobs import reconstruct_settings
from ...core.plugins import Plugin

Item = tuple[str, str, str, int]
"""Of an enum property: identifier, name, description, and the number that a .blend stores."""

log = logging.getLogger(__name__)

_WITHOUT_MODEL = (
    Plugin(
        reconstruct_settings.SWEEP, "Sweep", "Dense, without a model: the captures are compared at all depths", number=0
    ),
    Plugin(
        reconstruct_settings.NONE, "Sparse", "Only the points that posing the captures finds; a quick look", number=1
    ),
)

_PLANES = Plugin(
    reconstruct_settings.PLANES, "Planes", "Surfaces go on as planes to where the color changes; no model", number=0
)


@functools.cache
def painter_plugins() -> dict[str, Plugin]:
    """Every painter by its name in a job."""
    return plugins.find(plugins.PAINTERS, _tell)


@functools.cache
def painters() -> list[Item]:
    """Every painter. In lower case, an identifier is the painter's name in a job."""
    return _items(painter_plugins().values())


@functools.cache
def reconstructor_plugins() -> dict[str, Plugin]:
    """Every reconstructor by its name in a job."""
    return plugins.find(plugins.RECONSTRUCTORS, _tell)


@functools.cache
def reconstructors() -> list[Item]:
    """Every way to dense points."""
    return _items([*_WITHOUT_MODEL, *reconstructor_plugins().values()])


@functools.cache
def guessers() -> list[Item]:
    """Everything that guesses surfaces which a sweep leaves open."""
    return _items([_PLANES, *(plugin for plugin in reconstructor_plugins().values() if plugin.models)])


def _tell(error: BackendError) -> None:
    log.warning("%s", error)


def _items(found: Iterable[Plugin]) -> list[Item]:
    ordered = sorted(found, key=lambda plugin: plugin.number)
    return [(plugin.name.upper(), plugin.title, _description(plugin), plugin.number) for plugin in ordered]


def _description(plugin: Plugin) -> str:
    if not plugin.models:
        return plugin.summary
    return f"{plugin.summary}; license of the weights: {plugin.models[0].license}"
