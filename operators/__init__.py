"""The verbs of the interface, one a file."""

from __future__ import annotations

from . import (
    build_cache,
    generate,
    import_captures,
    make_proxy,
    project_captures,
    render_geometry,
    set_path_ends,
    set_up_rendering,
    tag_360,
)

MODULES = (
    import_captures,
    make_proxy,
    project_captures,
    build_cache,
    set_path_ends,
    render_geometry,
    set_up_rendering,
    generate,
    tag_360,
)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
