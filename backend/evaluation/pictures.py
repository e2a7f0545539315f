"""What an evaluation shows: contact sheets, videos of rows side by side, and a plot of PSNR against LPIPS."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from pantheon360_blender.core import files
from pantheon360_blender.core.formats import png
from pantheon360_blender.core.output_folder import OutputFolder

from ..diffusion.shot import seen_video
from .tables import Result, mean

COLUMNS = 4
"""Frames of a contact sheet."""
_LABEL = 16
_LEAST = 320
"""Pixels of width below which tiles are enlarged: labels must be read."""


def contact_sheet(path: Path, painted: Mapping[str, np.ndarray]) -> None:
    """Rows of a clip below one another, evenly spaced frames beside one another. painted: label -> (F, H, W, 3)."""
    rows = []
    for label, images in painted.items():
        chosen = np.linspace(0, len(images) - 1, COLUMNS + 2).round().astype(int)[1:-1]
        tiles = np.concatenate([_tile(images[frame]) for frame in chosen], axis=1)
        rows.append(_labelled(tiles, label))
    png.write(path, np.concatenate(rows))


def video(path: Path, painted: Mapping[str, np.ndarray], fps: float) -> None:
    """Rows of a clip in a grid of two columns, as MP4. Without a video writer none is written."""
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        return
    frames = []
    for number in range(len(next(iter(painted.values())))):
        tiles = [_labelled(_tile(images[number]), label) for label, images in painted.items()]
        tiles += [np.zeros_like(tiles[0])] * (len(tiles) % 2)
        frames.append(np.concatenate([np.concatenate(tiles[at : at + 2], axis=1) for at in range(0, len(tiles), 2)]))
    files.write_bytes(path, seen_video.encoded(OutputFolder.made(path.parent), np.stack(frames), fps))


def plot(path: Path, results: Sequence[Result], measure: str = "lpips") -> None:
    """PSNR against another measure, a dot a row, one panel for each number of captures. Needs matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        return
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tables = list(dict.fromkeys(each.table for each in results))
    figure, panels = plt.subplots(1, len(tables), figsize=(7 * len(tables), 5), dpi=110, squeeze=False)
    for panel, table in zip(panels[0], tables, strict=True):
        for key in dict.fromkeys(each.key for each in results if each.table == table):
            found = [each for each in results if each.key == key]
            if key[1] != "the truth itself":
                panel.plot(mean(found, "psnr"), mean(found, measure), "o")
                panel.annotate(f"{key[1]} ({key[2]})", (mean(found, "psnr"), mean(found, measure)), fontsize=6)
        panel.set_title(table)
        panel.set_xlabel("PSNR, dB (better to the right)")
        panel.set_ylabel(f"{measure} (better below)")
        panel.grid(alpha=0.3)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.writing(path) as file:
        figure.savefig(file, format="png")
    plt.close(figure)


def _tile(image: np.ndarray) -> np.ndarray:
    scale = max(1, -(-_LEAST // image.shape[1]))
    return np.asarray(image.repeat(scale, axis=0).repeat(scale, axis=1))


def _labelled(tile: np.ndarray, label: str) -> np.ndarray:
    strip = np.full((_LABEL, tile.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, label, (4, _LABEL - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([strip, tile])
