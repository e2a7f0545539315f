"""Errors of the diffusion painter."""

from __future__ import annotations

from pantheon360_blender.core.errors import PantheonError


class ModelError(PantheonError):
    """A model's folder is missing, incomplete, damaged, unsafe or of a kind that cannot paint."""

    code = "model"
