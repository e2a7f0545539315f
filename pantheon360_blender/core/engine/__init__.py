"""The engine: a Python of its own for the backend, with the packages that Blender's does not have.

It is an environment in a folder of the person's, named by the hash of what is locked for it, built aside and renamed;
nothing is installed into Blender's own Python.
"""

from __future__ import annotations

from ...late_files import run_when_used

run_when_used(__name__)
