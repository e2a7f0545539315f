"""How much memory painting takes, known beforehand: the networks run on the meta device, on tensors without numbers.

Estimates count tensors alone. Drivers and libraries take several hundred MB more with CUDA, and the allocator wastes
some: keep a tenth of the card free. Attention counts as fused; without fused kernels it takes far more.
"""

from __future__ import annotations

import json
import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pantheon360_blender.core.jobs.paint_settings import SeamOptions
from pantheon360_blender.core.progress import run_to_end

from .. import libraries
from ..models import architecture
from ..networks import autoencoder, banded_decoder, conditioning, feed_forward, panorama
from . import execution

_HANDLING = SeamOptions()
_Estimate = TypeVar("_Estimate", bound=Callable[..., int])


def peak(work: Callable[[], Any]) -> int:
    """The most bytes of tensors that `work` holds at a time, beyond those that are alive before.

    It counts whole storages, on every device. Convolutions also count, as oneDNN's need them, copies of image and
    weights, or of the result. Other operators' workspaces do not count. On the meta device nothing is computed.
    """
    with _Allocations() as allocations, _FusedAttention():
        work()
    return int(allocations.most)


def weights(part: str, config: dict[str, Any], dtype: torch.dtype) -> int:
    """Bytes of the weights of a network. part: its key in architecture.CLASSES."""
    shapes = architecture.shapes(part, config, Path(part))
    return sum(math.prod(shape) for shape in shapes.values()) * int(dtype.itemsize)


def _remembered(estimate: _Estimate) -> _Estimate:
    """Answer the same question about the same configuration at once."""

    @lru_cache(maxsize=256)
    def known(config: str, **shape: Any) -> int:
        return estimate(json.loads(config), **shape)

    @wraps(estimate)
    def remembered(config: dict[str, Any], **shape: Any) -> int:
        return known(json.dumps(config, sort_keys=True), **shape)

    return cast(_Estimate, remembered)


@_remembered
def unet_peak(
    config: dict[str, Any],
    *,
    clips: int,
    frames: int,
    height: int,
    width: int,
    dtype: torch.dtype,
    seam: SeamOptions = _HANDLING,
    chunked: bool = False,
) -> int:
    """The most bytes a prediction takes besides the weights, with inputs and outputs in float32.

    config: of the U-Net. clips: evaluations at a time (memory_plan.Plan). height, width: of the latents.
    chunked: see feed_forward.
    """
    unet = _network("unet", config, dtype)

    def work() -> None:
        inputs = _blank(clips, frames, unet.config.in_channels, height, width)
        hidden_states = _blank(clips, conditioning.CROPS, _first(unet.config.cross_attention_dim))
        execution.predictor(unet)(inputs, _blank(), hidden_states, _blank(clips, 3))

    with _seamless(unet, seam), feed_forward.chunked(unet, chunked), torch.no_grad():
        return peak(work)


@_remembered
def encode_peak(
    config: dict[str, Any], *, frames: int, height: int, width: int, dtype: torch.dtype, seam: SeamOptions = _HANDLING
) -> int:
    """The most bytes encoding takes besides the weights.

    config: of the VAE. frames: at a time (memory_plan.Plan). height, width: of the panorama, pixels.
    dtype: of the weights. In float16, with the VAE's `force_upcast` on, the float32 copies of the weights count too.
    """
    vae = _network("vae", config, dtype)
    video = torch.zeros(()).expand(frames, 3, height, width)
    return peak(lambda: run_to_end(autoencoder.encode(vae, video, seam, device="meta", encode_chunk_size=frames)))


@_remembered
def decode_peak(
    config: dict[str, Any],
    *,
    frames: int,
    height: int,
    width: int,
    dtype: torch.dtype,
    seam: SeamOptions = _HANDLING,
    banded: bool = False,
) -> int:
    """The most bytes decoding takes besides the weights, with latents and frames in `dtype`.

    config: of the VAE. frames: at a time, with the context's (memory_plan.Plan). height, width: of the latents.
    banded: see banded_decoder.
    """
    vae = _network("vae", config, dtype)
    shape = (frames, vae.config.latent_channels, height, width + 2 * seam.columns)
    with _seamless(vae, seam), banded_decoder.banded(vae) if banded else nullcontext(), torch.no_grad():
        return peak(lambda: autoencoder.frames_of(vae, _blank(*shape, dtype=dtype), frames))


@contextmanager
def _seamless(network: Any, seam: SeamOptions) -> Iterator[None]:
    with panorama.circular_convolutions(*[network] if seam.circular else []):
        yield


def _network(part: str, config: dict[str, Any], dtype: torch.dtype) -> Any:
    return _networks(part, json.dumps(config, sort_keys=True), dtype)


@lru_cache(maxsize=4)
def _networks(part: str, config: str, dtype: torch.dtype) -> Any:
    with libraries.quiet(), torch.device("meta"):
        network = architecture.empty(part, json.loads(config)).eval().requires_grad_(False)
        return network.to("meta", dtype)  # some weights are made on the CPU whatever they are told


def _blank(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, (list, tuple)) else value)


class _Allocations(TorchDispatchMode):
    """Follows the storages of tensors from birth to death. most: the most bytes that were alive together."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._bytes = 0
        self._alive: dict[int, weakref.ref] = {}
        self._results: dict[Any, tuple[torch.Size, tuple[int, ...], torch.dtype]] = {}

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = self._result(operator, args, kwargs or {})
        made_unseen = operator is torch.ops.aten.lift_fresh.default  # torch.tensor
        known = set() if made_unseen else {id(storage) for storage in _storages((args, kwargs))}
        for storage in _storages(result):
            if id(storage) not in known and id(storage) not in self._alive:
                self._follow(storage)
        self.most = max(self.most, self._bytes + _workspace(operator, args, result))
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()

        def died(_: Any) -> None:
            del self._alive[key]
            self._bytes -= size

        self._alive[key] = weakref.ref(storage, died)
        self._bytes += size

    def _result(self, operator: Any, args: Any, kwargs: Any) -> Any:
        """What the operator returns; on the meta device remembered, since working shapes out is slow."""
        schema = operator._schema
        if any(value.alias_info is not None for value in (*schema.arguments, *schema.returns)):
            return operator(*args, **kwargs)
        question = (operator, _described(args), _described(kwargs))
        if question in self._results:
            size, stride, dtype = self._results[question]
            return torch.empty_strided(size, stride, dtype=dtype, device="meta")
        result = operator(*args, **kwargs)
        if isinstance(result, torch.Tensor) and result.is_meta:
            self._results[question] = (result.shape, result.stride(), result.dtype)
        return result


class _FusedAttention(TorchFunctionMode):
    """On the meta device, attention as a fused kernel has it: its output, and a number for each query and head."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is functional.scaled_dot_product_attention:
            function = attention
        return function(*args, **(kwargs or {}))


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """scaled_dot_product_attention, on the meta device as a fused kernel has it."""
    if query.is_meta:
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)[0]
    return functional.scaled_dot_product_attention(query, key, value, *args, **kwargs)


def _workspace(operator: Any, args: Any, result: Any) -> int:
    if operator is not torch.ops.aten.convolution.default:
        return 0
    image, weight = args[:2]
    return int(max(image.nbytes + weight.nbytes, result.nbytes))


def _storages(values: Any) -> list[torch.UntypedStorage]:
    return [value.untyped_storage() for value in tree_leaves(values) if isinstance(value, torch.Tensor)]


def _described(value: Any) -> Any:
    """All of an argument that the shape of a result can depend on, hashable."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.stride(), value.dtype, value.device
    if isinstance(value, dict):
        return tuple((name, _described(entry)) for name, entry in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(map(_described, value))
    return type(value), value  # 1 and 1.0 give tensors of different types
