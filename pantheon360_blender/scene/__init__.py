"""Everything that touches Blender's data and is neither button nor panel. Folders follow the way of the data."""

from __future__ import annotations

from . import properties
from .app import backend_process, job_notes, jobs, preferences
from .app.registration import registration_of_modules
from .cache import cache_objects, content
from .captures import preview_sphere
from .render import render_engine
from .shot import result_view

MODULES = (
    preferences,
    properties,
    jobs,
    job_notes,
    preview_sphere,
    cache_objects,
    content,
    render_engine,
    backend_process,
    result_view,
)
"""Registered in this order, unregistered in reverse."""

register, unregister = registration_of_modules(MODULES)
