"""Connected components of a graph given as arrays of edges."""

from __future__ import annotations

import numpy as np


def components(count: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Label the nodes of a graph by the smallest node each is connected with.

    count: nodes. one, other: (E,) indices, the ends of the edges.
    Returns (count,) intp labels; equal if a path joins two nodes. A few passes over the edges, whatever the graph:
    every component's root is hooked onto the smallest neighbouring root, then paths to the roots are halved.

    >>> components(5, np.array([4, 1]), np.array([1, 2]))  # 4-1 and 1-2; 0 and 3 stand alone
    array([0, 1, 1, 3, 1])
    """
    label = np.arange(count)
    while True:
        first, second = label[one], label[other]
        apart = first != second
        if not apart.any():
            return label
        one, other, first, second = one[apart], other[apart], first[apart], second[apart]
        low = np.minimum(first, second)
        np.minimum.at(label, first, low)
        np.minimum.at(label, second, low)
        while not np.array_equal(shorter := label[label], label):
            label = shorter
