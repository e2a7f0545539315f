"""What a run tells of itself: a table of numbers, a plot of them, and TensorBoard's files where that is installed."""

from __future__ import annotations

import csv
import importlib.util
import io
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from pantheon360_blender.core import files, inputs
from pantheon360_blender.core.output_folder import OutputFolder

TABLE, PLOT = "log.csv", "loss.png"
_LARGEST = 1 << 28
_SMOOTHED = 0.9

Row = dict[str, float]


class TrainingLog:
    """The log in a run's folder. step: the rows after it, of a run that was stopped later, are forgotten."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        self._folder = OutputFolder.made(folder)
        self.rows = [row for row in read(folder / TABLE) if row["step"] <= step]
        self._board = _board(folder)

    def add(self, row: Row) -> None:
        """Add a row, which has a "step"."""
        self.rows.append(row)
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(name, value, int(row["step"]))

    def write(self) -> None:
        """Write table and plot. Raises FileError."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, names, lineterminator="\n")
        table.writeheader()
        table.writerows({name: f"{value:.9g}" for name, value in row.items()} for row in self.rows)
        self._folder.write_bytes(TABLE, text.getvalue().encode())
        _plot(self._folder.path / PLOT, self.rows)
        if self._board is not None:
            self._board.flush()


def read(path: Path) -> list[Row]:
    """The rows of a table; none if there is no such table."""
    try:
        text = inputs.read_bytes(path, _LARGEST).decode()
    except (OSError, ValueError):
        return []
    rows = []
    for entries in csv.DictReader(io.StringIO(text)):
        with suppress(ValueError, TypeError):
            row = {name: float(value) for name, value in entries.items() if value}
            if "step" in row:
                rows.append(row)
    return rows


def _board(folder: Path) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"))


def _plot(path: Path, rows: list[Row]) -> None:
    """Every column over the steps, smoothed and as it is. Needs matplotlib."""
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in ("step", "seconds")]
    if importlib.util.find_spec("matplotlib") is None or not names:
        return
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(names), figsize=(4 * len(names), 3.2), dpi=90, squeeze=False)
    for panel, name in zip(panels[0], names, strict=True):
        steps, values = zip(*((row["step"], row[name]) for row in rows if name in row), strict=True)
        panel.plot(steps, values, alpha=0.35)
        panel.plot(steps, _smooth(values))
        if min(values) > 0 and max(values) / min(values) > 30:
            panel.set_yscale("log")
        panel.set_title(name, fontsize=9)
        panel.grid(alpha=0.3)
    figure.tight_layout()
    with files.writing(path) as file:
        figure.savefig(file, format="png")
    plt.close(figure)


def _smooth(values: tuple[float, ...]) -> list[float]:
    smoothed, mean = [], values[0]
    for index, value in enumerate(values):
        kept = min(_SMOOTHED, (1 + index) / (10 + index))
        mean = kept * mean + (1 - kept) * value if math.isfinite(value) else mean
        smoothed.append(mean)
    return smoothed
