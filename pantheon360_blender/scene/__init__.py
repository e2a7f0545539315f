"""Everything that touches Blender's data and is neither button nor panel. Folders follow the way of the data."""

from __future__ import annotations

from . import properties
from .app import backend_process, identity, job_notes, pictures, preferences
from .app.registration import registration_of_modules
from .background import outcomes, queue, quitting, recovery
from .cache import cache_objects, content
from .captures import decoding, preview_sphere
from .render import geometry_pass, render_engine
from .shot import look_around, result_view
from .worker import process

MODULES = (
    preferences,
    properties,
    job_notes,
    identity,
    pictures,
    preview_sphere,
    decoding,
    cache_objects,
    content,
    geometry_pass,
    render_engine,
    backend_process,
    process,
    look_around,
    result_view,
    outcomes,
    queue,
    quitting,
    recovery,
)
"""Registered in this order, unregistered in reverse."""

register, unregister = registration_of_modules(MODULES)
