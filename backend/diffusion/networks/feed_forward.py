"""The feed-forward layers of a U-Net, whose inner tensors are the largest there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def chunked(unet: Any, wanted: bool = True) -> Iterator[None]:
    """Within the block, let them take one frame at a time if `wanted`. Predictions are the same up to rounding."""
    if not wanted:
        yield
        return
    unet.enable_forward_chunking(chunk_size=1, dim=0)
    try:
        yield
    finally:
        for module in unet.modules():  # diffusers has no way to switch it off
            if hasattr(module, "set_chunk_feed_forward"):
                module.set_chunk_feed_forward(None, dim=0)
