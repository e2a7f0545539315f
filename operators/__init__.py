"""The verbs of the interface, one a file."""

from __future__ import annotations

from ..pantheon360_blender.scene.app.registration import registration_of_modules
from . import (
    background,
    build_cache,
    camera,
    check_coverage,
    edit_cache,
    edit_loras,
    errors,
    export_cache,
    generate,
    import_cache,
    import_captures,
    import_depth,
    install_engine,
    models,
    orient_captures,
    project_captures,
    render_geometry,
    sample_mesh,
    tag_360,
)

MODULES = (
    errors,
    install_engine,
    models,
    import_captures,
    project_captures,
    build_cache,
    import_cache,
    import_depth,
    export_cache,
    sample_mesh,
    edit_cache,
    orient_captures,
    camera,
    check_coverage,
    render_geometry,
    edit_loras,
    generate,
    background,
    tag_360,
)

register, unregister = registration_of_modules(MODULES)
