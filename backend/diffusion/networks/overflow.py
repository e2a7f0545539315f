"""Numbers that a network could not hold: explained instead of painted."""

from __future__ import annotations

import torch

from pantheon360_blender.core.errors import ModelError


def check(numbers: torch.Tensor, stage: str) -> None:
    """Refuse infinities and NaN. stage: where they came up, as in "step 3" or "decoding". Raises ModelError."""
    if not torch.isfinite(numbers).all():
        raise ModelError(
            f"The model's numbers overflowed in {stage}: they are not finite.",
            advice="Paint in full precision (float32), with less guidance, and without LoRA files.",
            code="not-finite",
        )
