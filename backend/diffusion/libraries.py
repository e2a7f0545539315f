"""The libraries we compute with, as guests: what they print is not ours to show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import diffusers.utils.logging
import transformers.utils.logging


@contextmanager
def quiet() -> Iterator[None]:
    """Keep their progress bars and warnings from the terminal; whoever else uses them in this process keeps theirs."""
    both = (diffusers.utils.logging, transformers.utils.logging)
    before = [(module, module.is_progress_bar_enabled(), module.get_verbosity()) for module in both]
    for module in both:
        module.disable_progress_bar()
        module.set_verbosity_error()
    try:
        yield
    finally:
        for module, bars, verbosity in before:
            if bars:
                module.enable_progress_bar()
            module.set_verbosity(verbosity)
