"""pantheon360-small: the classes and the code path of the large model, in a size that a processor trains and runs."""

from __future__ import annotations

from typing import Any

from pantheon360_blender.core.jobs.model_card import ModelCard

from ...diffusion.models import tiny_model

WIDTH, HEIGHT = 256, 128
FRAMES = 8


def card(**changes: Any) -> ModelCard:
    """What the small model is told and paints. changes: fields of the card."""
    given: dict[str, Any] = {
        "name": "Pantheon360 Small",
        "kind": "pantheon360",
        "width": WIDTH,
        "height": HEIGHT,
        "frames": FRAMES,
        "conditioning": ("noise:16", "geometry:16", "coverage:1"),
        "anchors": 2,
        "guidance": 1.0,
        "steps": 1,
        "noise_aug": 0.0,
        "travel": None,
        "licence": "GPL-3.0-or-later",
        "source": "trained with this project's own trainer (docs/training.md)",
        "trained": True,
    }
    return ModelCard(**{**given, **changes})


def configs(model: ModelCard) -> dict[str, dict[str, Any]]:
    """Configurations of every part, as diffusers and transformers write them."""
    return tiny_model.configs(model, "small")
