"""Errors of the diffusion painter."""

from __future__ import annotations
