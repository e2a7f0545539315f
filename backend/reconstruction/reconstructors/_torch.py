"""The device that models compute on: which one, at what precision, how much memory is free, what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pantheon360_blender.core.errors import PantheonError, reason

from ... import device

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Device:
    """kind: "cuda", "mps" or "cpu". dtype: of the arithmetic; weights stay float32, as upstream has them."""

    kind: str
    dtype: str

    @property
    def half(self) -> bool:
        """Whether arithmetic is at half precision."""
        return self.dtype != "float32"

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        """The array on the device, its type kept."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self.kind)

    def pictures(self, images: np.ndarray) -> torch.Tensor:
        """(N, s, s, 3) uint8 as (N, 3, s, s) float32 in 0 to 1 on the device."""
        return self.tensor(images).permute(0, 3, 1, 2).float() / 255

    def autocast(self) -> AbstractContextManager[Any]:
        """Half precision within the block if the device has it."""
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
    def translate_errors(self, title: str) -> Iterator[None]:
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
        return device.free_memory(self.kind) / 1e9

    def free(self) -> None:
        """Give memory of past computations back to the device."""
        device.give_back(self.kind)


def choose(options: dict[str, Any]) -> Device:
    """The device and precision that the options ask for, or the best there is.

    Raises PantheonError if it is not there.
    """
    kind, dtype = device.choose(str(options.get("device") or "auto"), str(options.get("dtype") or "auto"))
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
