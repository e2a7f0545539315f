"""The device that models compute on: which one, at what precision, how much memory is free, what went wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pantheon360_blender.core.errors import PantheonError, reason

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Device:
    """kind: "cuda", "mps" or "cpu". dtype: of the arithmetic within; weights stay float32, as upstream has them."""

    kind: str
    dtype: str

    @property
    def half(self) -> bool:
        """True where arithmetic is at half precision."""
        return self.dtype != "float32"

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        """The array on the device, its type kept."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self.kind)

    def pictures(self, images: np.ndarray) -> torch.Tensor:
        """(N, s, s, 3) uint8 as (N, 3, s, s) float32 in 0 to 1 on the device."""
        return self.tensor(images).permute(0, 3, 1, 2).float() / 255

    def autocast(self) -> AbstractContextManager[Any]:
        """Half precision where the device is asked for it."""
        import torch

        return torch.autocast(self.kind, dtype=getattr(torch, self.dtype)) if self.half else nullcontext()

    @contextmanager
    def inference(self) -> Iterator[None]:
        """No gradients, and the same random numbers each time."""
        import torch

        with ExitStack() as stack:
            devices = list(range(torch.cuda.device_count())) if self.kind == "cuda" else []
            stack.enter_context(torch.random.fork_rng(devices=devices))
            torch.manual_seed(0)
            stack.enter_context(torch.no_grad())
            yield

    @contextmanager
    def explained(self, title: str) -> Iterator[None]:
        """Turn what a model raises into a PantheonError that says what to do."""
        import torch

        try:
            yield
        except PantheonError:
            raise
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise PantheonError(
                f"{title} needs more memory than this device has free.",
                advice="Choose a layout with fewer crops, smaller crops, or fewer captures; or lower memory_gb.",
                code="out-of-memory",
            ) from error
        except Exception as error:
            raise PantheonError(
                f"{title} failed: {reason(error)}",
                advice="Check that its package and its weights are of matching versions.",
                code="reconstructor-failed",
            ) from error

    def free_gb(self) -> float:
        """Memory that may be taken, GB (10^9 bytes)."""
        import torch

        if self.kind == "cuda":
            return float(torch.cuda.mem_get_info()[0]) / 1e9
        try:
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
        except (ValueError, OSError, AttributeError):
            return 8.0

    def free(self) -> None:
        """Give memory of past computations back to the device."""
        import torch

        if self.kind == "cuda":
            torch.cuda.empty_cache()


def choose(options: dict[str, Any]) -> Device:
    """The device and precision that the options ask for, or the best there is.

    Raises PantheonError where it is not there.
    """
    import torch

    kind = str(options.get("device") or "auto")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind == "auto":
        kind = next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there.get(kind):
        raise PantheonError(f"There is no device {kind!r} here.", advice="Choose auto, or install torch for it.")
    dtype = str(options.get("dtype") or "auto")
    if dtype == "auto":
        dtype = "float32"  # half precision is slower than single on a processor, and incomplete on Apple's
        if kind == "cuda":
            dtype = "bfloat16" if torch.cuda.get_device_capability()[0] >= 8 else "float16"
    if dtype not in ("float32", "bfloat16", "float16"):
        raise PantheonError(f"{dtype!r} is no precision.", advice="Choose auto, float32, bfloat16 or float16.")
    return Device(kind, dtype)


def array(tensor: Any, dtype: Any = np.float32) -> np.ndarray:
    """A tensor or array of any device and precision as a numpy array of `dtype`."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.float()
        tensor = tensor.numpy()
    return np.asarray(tensor, dtype=dtype)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), float32."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * np.asarray(logits, dtype=np.float32))), dtype=np.float32)


def from_one_up(confidence: np.ndarray) -> np.ndarray:
    """Confidence of heads that answer 1 + exp(x) as 0 to 1: 1 - 1 / c, which is the sigmoid of x. float32."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.clip(1 - 1 / np.maximum(confidence, 1.0), 0, 1), dtype=np.float32)
