"""Running the networks within the memory there is: where each one lies, how much it works on at a time.

If memory runs out all the same, the step at work is done again one level more frugally. Earlier steps are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

import accelerate
import numpy as np
import torch
from accelerate.hooks import remove_hook_from_module

from pantheon360_blender.core.errors import PantheonError, reason
from pantheon360_blender.core.jobs.paint_settings import SeamOptions
from pantheon360_blender.core.progress import Job, Progress, run_to_end

from ... import device as devices
from ..networks import autoencoder, conditioning, feed_forward
from .memory_plan import CONTEXT, Plan

Result = TypeVar("Result")
PARTS = ("unet", "vae", "image_encoder")


class Execution:
    """A model's networks on a device.

    model: loading.Components, on any device; `release` moves them to the CPU.
    plan: how to work; by default everything at once. It grows more frugal if memory runs out.
    lowered: called with the new plan and the stage that ran out of memory. warn: called with other warnings.
    """

    def __init__(
        self,
        model: Any,
        plan: Plan | None = None,
        *,
        device: torch.device | str = "cpu",
        lowered: Callable[[Plan, str], None] = lambda plan, stage: None,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.model = model
        self.plan = plan or Plan(device=torch.device(device).type)
        self.device = torch.device(device)
        self._lowered = lowered
        self._warn = warn
        self._streamed = False
        self._compiled = False

    def compile(self) -> None:
        """Compile the U-Net at its first call. If that fails, it runs uncompiled."""
        self.model.unet.compile()
        self._compiled = True

    # What a clip needs of the networks

    def predict(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        added_time_ids: torch.Tensor,
    ) -> torch.Tensor:
        """The U-Net over N clips (see Predict), in its own precision and in as many batches as the plan says."""

        def asked() -> torch.Tensor:
            unet, level = self._on_device("unet"), self.plan.level
            with feed_forward.chunked(unet, level.chunked):
                return predictor(unet, level.evaluations)(sample, timestep, encoder_hidden_states, added_time_ids)

        compiled = self._compiled
        try:
            return self._retry_on_oom("denoising", asked)
        except Exception as error:
            if not compiled or isinstance(error, PantheonError):
                raise
            self._warn(f"The U-Net cannot be compiled here, and goes on uncompiled: {reason(error)}")
        self._uncompile()
        return self._retry_on_oom("denoising", asked)

    def _uncompile(self) -> None:
        if self._compiled:
            self.model.unet._compiled_call_impl = None
            self._compiled = False

    def encode(self, video: torch.Tensor, seam: SeamOptions) -> Job[torch.Tensor]:
        """Condition latents of a video, see autoencoder.encode; on the device."""
        return self._retry_on_oom_job(
            "encoding", lambda: autoencoder.encode(self._on_device("vae"), video, seam, device=self.device)
        )

    def image_embeddings(self, panorama: np.ndarray) -> torch.Tensor:
        """CLIP embeddings of the views round the horizon, see conditioning.horizon_embeddings; on the device."""
        return self._retry_on_oom(
            "encoding anchors",
            lambda: conditioning.horizon_embeddings(self._on_device("image_encoder"), panorama, device=self.device),
        )

    def decode(self, latents: torch.Tensor, seam: SeamOptions) -> Job[torch.Tensor]:
        """The video of latents, see autoencoder.decode; in the computer's memory."""
        return self._retry_on_oom_job(
            "decoding",
            lambda: autoencoder.decode(
                self._on_device("vae"),
                latents,
                seam,
                device=self.device,
                decode_chunk_size=self.plan.decoding.frames,
                context=CONTEXT if self.plan.decoding.frames else 0,
                banded=self.plan.decoding.banded,
            ),
            frames=len(latents),
        )

    def release(self) -> None:
        """Take the networks off the device."""
        self._stop_streaming()
        for part in PARTS:
            getattr(self.model, part).to("cpu")
        devices.give_back(self.device.type)

    # Where the networks are

    def _on_device(self, part: str) -> Any:
        """The network of a part, ready to run on the device. The others leave it if the level says so."""
        network = getattr(self.model, part)
        level = self.plan.level
        if level.residence != "resident":
            for other in PARTS:
                if other != part and not (other == "unet" and self._streamed):
                    getattr(self.model, other).to("cpu")
        if part == "unet":
            if level.residence == "sequential":
                self._stream()
                return network
            self._stop_streaming()
        network.to(self.device)
        return network

    def _stream(self) -> None:
        """Have the U-Net's weights come to the device layer by layer."""
        if not self._streamed:
            self._uncompile()
            self.model.unet.to("cpu")
            accelerate.cpu_offload(self.model.unet, execution_device=self.device)
            self._streamed = True

    def _stop_streaming(self) -> None:
        if self._streamed:
            remove_hook_from_module(self.model.unet, recurse=True)
            self._streamed = False

    # If memory runs out

    def _retry_on_oom(self, stage: str, work: Callable[[], Result]) -> Result:
        def job() -> Generator[Progress, None, Result]:
            return work()
            yield  # a job that is done at its first step

        return run_to_end(self._retry_on_oom_job(stage, job))

    def _retry_on_oom_job(self, stage: str, work: Callable[[], Job[Result]], frames: int = 1) -> Job[Result]:
        while True:
            try:
                return (yield from work())
            except Exception as error:
                if not out_of_memory(error):
                    raise
            # Outside the handler: its traceback holds what was computed.
            self._lower(stage, frames)

    def _lower(self, stage: str, frames: int) -> None:
        plan = self.plan.lower(stage, frames)
        if plan is None:
            raise PantheonError(
                f"The device ran out of memory in {stage}, at the most frugal level there is ({self.plan.level.name}).",
                advice="Close other programs, paint fewer frames at a time (clip), or a smaller panorama.",
                code="out-of-memory",
            )
        self.plan = plan
        devices.give_back(self.device.type)
        self._lowered(plan, stage)


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out: torch says so in several ways."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


Predict = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""A U-Net over N clips, its arguments named as in diffusers.

sample (N, F, C, h, w), timestep (), encoder_hidden_states (N, K, D), added_time_ids (N, 3) -> (N, F, 4, h, w).
"""


def predictor(unet: Any, batch_size: int | None = None) -> Predict:
    """Ask a U-Net, `batch_size` clips at a time (None: all), in its own precision."""

    def predict(
        sample: torch.Tensor, timestep: torch.Tensor, encoder_hidden_states: torch.Tensor, added_time_ids: torch.Tensor
    ) -> torch.Tensor:
        size = batch_size or len(sample)
        parts = zip(sample.split(size), encoder_hidden_states.split(size), added_time_ids.split(size), strict=True)
        predicted = [
            unet(
                noisy.to(unet.dtype),
                timestep,
                encoder_hidden_states=hidden_states.to(unet.dtype),
                added_time_ids=time_ids,
                return_dict=False,
            )[0]
            for noisy, hidden_states, time_ids in parts
        ]
        return torch.cat(predicted).float()

    return predict
