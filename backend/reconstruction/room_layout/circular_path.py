"""The best path round a circle of columns: one state for each, neighbours alike (Viterbi)."""

from __future__ import annotations

import numpy as np


def best_path(gain: np.ndarray, jump: np.ndarray) -> tuple[np.ndarray, float]:
    """The states whose gains, less the costs of going from each to the next, are the most.

    gain: (K, W) of each state in each column. jump: (K, K), cost of going from one state to another.
    Returns (W,) int states, and what they gain. The circle is walked three times, of which the second counts: a path
    that closes exactly would take K walks.
    """
    states, columns = gain.shape
    value = np.zeros(states)
    came_from = np.empty((3 * columns, states), np.int32)
    every = np.arange(states)
    for step in range(3 * columns):
        reached = value[None] - jump.T
        came_from[step] = reached.argmax(axis=1)
        value = reached[every, came_from[step]] + gain[:, step % columns]
        value -= value.max()
    path = np.empty(3 * columns, np.int32)
    state = int(value.argmax())
    for step in range(3 * columns - 1, -1, -1):
        path[step] = state
        state = came_from[step, state]
    chosen = path[columns : 2 * columns]
    gained = gain[chosen, np.arange(columns)].sum() - jump[chosen, np.roll(chosen, -1)].sum()
    return chosen, float(gained)
