"""The exponential moving average of a network's weights, which paints better than the weights of any one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Average:
    """decay: the share of the average that a step keeps, once there were enough of them; 0 is no average."""

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = [each for each in model.parameters() if each.requires_grad]
        self._mean = [each.detach().clone() for each in self._live] if decay else []

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after so many steps; the first ones count more, as nothing is behind them."""
        if self._decay:
            kept = min(self._decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self._mean, self._live, 1 - kept)

    @contextmanager
    @torch.no_grad()
    def in_place(self) -> Iterator[None]:
        """Within the block the model has the average for weights, and what is written into them is kept as such."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        with torch.no_grad():
            for live, mean in zip(self._live, self._mean, strict=bool(self._decay)):
                aside = live.detach().clone()
                live.copy_(mean)
                mean.copy_(aside)
