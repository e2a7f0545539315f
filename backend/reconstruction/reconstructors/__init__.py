"""Reconstructors turn captures into geometry with a learned model. Each is one file here, a plug-in (core/plugins.py).

A reconstructor's file assigns PLUGIN and RECONSTRUCTOR. It imports numpy alone; torch and the model's package are
imported when it reconstructs. A new one derives from Reconstructor: `load` reads its model, `predict` asks it.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from pantheon360_blender.core import plugins
from pantheon360_blender.core.errors import BackendError, PantheonError
from pantheon360_blender.core.plugins import Plugin
from pantheon360_blender.core.progress import Job, Progress

from ..rig import Rig
from . import _weights

if TYPE_CHECKING:
    from ..crops.from_crops import CropGeometry, CropViews
    from ..reconstruction import Reconstruction
    from ._torch import Device


class Runnable(Protocol):
    """What the rest of the backend needs of a reconstructor."""

    plugin: Plugin
    confidence: float

    def missing(self, options: dict[str, Any] | None = None) -> str:
        """Empty if it can run, else what is missing and how to get it. Imports nothing heavy."""

    def reconstruct(self, rigs: Sequence[Rig], options: dict[str, Any]) -> Job[Reconstruction]:
        """Poses and range maps of the rigs' captures. Raises PantheonError."""


class Reconstructor:
    """A model that is shown crops.

    plugin: what its file says of it.
    size: pixels a side of its crops, a multiple of `patch`, at most `most_pixels` in all.
    confidence: of the points to keep, at least. several_views: False if it sees one picture at a time.
    accepts_poses: whether it can be given the captures' poses.
    gb_fixed, gb_per_view: memory it takes, at half precision.

    Options: weights (hub id or folder), download (False: only what is on this computer), device ("auto", "cuda",
    "mps", "cpu"), dtype ("auto", "float32", "bfloat16", "float16"), size, memory_gb (None asks the device),
    give_poses (True: if it accepts them), and those of from_crops.reconstruction.
    """

    size: ClassVar[int] = 518
    patch: ClassVar[int] = 14
    most_pixels: ClassVar[int] = 518 * 518
    confidence: ClassVar[float] = 0.25
    several_views: ClassVar[bool] = True
    accepts_poses: ClassVar[bool] = False
    gb_fixed: ClassVar[float] = 4.0
    gb_per_view: ClassVar[float] = 0.25

    def __init__(self, module: str, entries: dict[str, Any]) -> None:
        """module, entries: `__name__` and PLUGIN of its file."""
        self.plugin = Plugin.from_literal(module.rpartition(".")[2], entries)

    def load(self, folder: str, device: Device) -> Any:
        """The model from a folder of weights, on the device, ready to answer."""
        raise NotImplementedError

    def predict(self, model: Any, views: CropViews, device: Device) -> CropGeometry:
        """Ask the model about the views."""
        raise NotImplementedError

    def missing(self, options: dict[str, Any] | None = None) -> str:
        """Empty if it can run, else what is missing and how to get it. Imports nothing heavy."""
        options = options or {}
        for need in self.plugin.needs:
            if not _installed(need.module):
                package = need.module.split(".")[0]
                return f"{self.plugin.title} needs the Python package {package}: python -m pip install {need.package}"
        return _weights.missing(self._source(options), bool(options.get("download")), self.plugin)

    def reconstruct(self, rigs: Sequence[Rig], options: dict[str, Any]) -> Job[Reconstruction]:
        """Poses and range maps of the rigs' captures.

        rigs: of N captures, all with one layout. options: see the class.
        Raises PantheonError, code "reconstructor-missing" if a package or the weights are not there, "out-of-memory" if
        even the fewest crops at a time do not fit.
        """
        from ..crops import from_crops

        layout = from_crops.shared_layout(rigs).resized(self._size(options))
        device, model = yield from self.loaded(options)
        known = self.accepts_poses and options.get("poses", "given") == "given" and options.get("give_poses", True)
        runs = from_crops.together(len(rigs), self._batch_size(len(layout), device, options))
        answers = []
        try:
            for index, which in enumerate(runs):
                text = ", ".join(rigs[capture].capture.name for capture in which)
                yield Progress(f"Reconstructing with {self.plugin.title}", index, len(runs), text=text)
                views = from_crops.views_of([rigs[capture] for capture in which], layout.size, poses_known=bool(known))
                with device.translate_errors(self.plugin.title), device.inference():
                    answers.append((which, self.predict(model, views, device)))
        finally:
            del model
            device.free()
        return (yield from from_crops.reconstruction(rigs, layout, answers, options))

    def loaded(self, options: dict[str, Any]) -> Job[tuple[Device, Any]]:
        """The device and the model on it. Raises PantheonError, code "reconstructor-missing"."""
        from . import _torch

        lacking = self.missing(options)
        if lacking:
            raise PantheonError(f"{self.plugin.title} cannot run here.", advice=lacking, code="reconstructor-missing")
        yield Progress(f"Loading {self.plugin.title}")
        device = _torch.choose(options)
        with _weights.offline(not options.get("download")):
            folder = _weights.folder(self._source(options), bool(options.get("download")), self.plugin)
            with device.translate_errors(self.plugin.title):
                return device, self.load(folder, device)

    def _source(self, options: dict[str, Any]) -> str:
        return str(options.get("weights") or self.plugin.models[0].hub)

    def _size(self, options: dict[str, Any]) -> int:
        wanted = int(options.get("size") or self.size)
        most = int(self.most_pixels**0.5)
        size = min(wanted, most) // self.patch * self.patch
        if size < 4 * self.patch:
            raise PantheonError(
                f"{self.plugin.title} cannot see crops of {wanted} pixels.",
                advice=f"Give at least {4 * self.patch} pixels.",
            )
        return size

    def _batch_size(self, views: int, device: Device, options: dict[str, Any]) -> int:
        """Panoramas shown together: as many as the memory holds; two at the least, for what they share."""
        if not self.several_views:
            return 1
        memory = float(options.get("memory_gb") or device.free_gb())
        share = (self._size(options) / self.size) ** 2 * (1 if device.half else 2)
        return max(2, int((memory - self.gb_fixed) / (self.gb_per_view * share * views)))


def described() -> dict[str, Plugin]:
    """Every reconstructor there is, by name. None is imported."""
    return plugins.find(plugins.RECONSTRUCTORS)


def named(name: str) -> Runnable:
    """The reconstructor of this name. Raises BackendError if there is none."""
    known = described()
    if name not in known:
        raise BackendError(
            f"This backend has no reconstructor called {name!r}.",
            advice=f"Choose one of: {', '.join(known)}; or update the Pantheon360 extension.",
            code="unknown-reconstructor",
        )
    return cast(Runnable, importlib.import_module(f"{__name__}.{name}").RECONSTRUCTOR)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
