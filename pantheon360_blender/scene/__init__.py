"""Everything that touches Blender's data and is neither button nor panel. Folders follow the way of the data."""

from __future__ import annotations

from . import properties
from .app import backend_process, identity, job_notes, jobs, preferences, thumbnails
from .app.registration import registration_of_modules
from .background import queue, quitting, recovery
from .cache import cache_objects, content
from .captures import decoding, preview_sphere
from .render import geometry_pass, render_engine
from .shot import result_view
from .worker import process

MODULES = (
    preferences,
    properties,
    jobs,
    job_notes,
    identity,
    thumbnails,
    preview_sphere,
    decoding,
    cache_objects,
    content,
    geometry_pass,
    render_engine,
    backend_process,
    process,
    result_view,
    queue,
    quitting,
    recovery,
)
"""Registered in this order, unregistered in reverse."""

register, unregister = registration_of_modules(MODULES)
