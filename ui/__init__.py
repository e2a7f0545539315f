"""Panels, overlays, drag and drop. They read the scene and call operators by their ids."""

from __future__ import annotations

from ..pantheon360_blender.scene.app.registration import registration_of_modules
from . import (
    cache_overlay,
    cache_panel,
    capture_overlay,
    coverage_plot,
    drag_and_drop,
    file_menu,
    jobs_panel,
    live_overlay,
    look_around_header,
    model_list,
    offers,
    painter_panel,
    panel,
    path_menu,
    status_bar,
    takes_panel,
    translations,
)

MODULES = (
    translations,
    path_menu,
    panel,
    takes_panel,
    jobs_panel,
    cache_panel,
    painter_panel,
    drag_and_drop,
    file_menu,
    cache_overlay,
    capture_overlay,
    coverage_plot,
    live_overlay,
    status_bar,
    offers,
    model_list,
    look_around_header,
)

register, unregister = registration_of_modules(MODULES)
