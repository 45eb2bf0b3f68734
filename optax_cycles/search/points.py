"""Points of a space: members that differ in nothing but their seed."""

from __future__ import annotations

import math

import numpy as np

from optax_cycles.sweep.space import Space


def points_of(space: Space) -> np.ndarray:
    """int `[members]`: the point that each member is a seed of.

    Without an axis `seed` every member is a point of its own.
    """
    others = [axis.size if axis.name != "seed" else 1 for axis in space.axes]
    numbers = np.arange(math.prod(others)).reshape(others)
    return np.broadcast_to(numbers, space.shape).reshape(-1)


def medians(scores: np.ndarray, points: np.ndarray) -> np.ndarray:
    """`[points]`: the median score of each point over its seeds.

    +inf where the middle seeds have +inf: seeds that failed count as the worst.
    """
    found = [np.median(scores[points == point]) for point in range(points.max() + 1)]
    return np.array(found)
