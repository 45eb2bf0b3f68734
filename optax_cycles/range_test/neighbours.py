"""The best of many points, each averaged with its neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

RESAMPLES = 1000
NEAR = 2.0
WIDE = 10.0


class Average:
    """Averages medians over neighbouring points.

    A neighbour that failed is left out, and so is the one as many values away on the
    other side, so that the average is not that of values on one side.
    """

    def __init__(
        self, axes: Sequence[np.ndarray], medians: np.ndarray, untrained: np.ndarray
    ) -> None:
        self.weights = [_weights(values) for values in axes]
        # Beyond the untrained loss, how bad a neighbour is says nothing more.
        at_start = np.median(untrained[np.isfinite(medians)])
        largest = medians[np.isfinite(medians)].max()
        self.worst = float(at_start if np.isfinite(at_start) else largest)

    def __call__(self, medians: np.ndarray) -> np.ndarray:
        """The averages of `[*axes]` or `[*axes, draws]`; +inf stays +inf."""
        capped = np.minimum(medians, max(self.worst, medians.min()))
        averages = np.where(np.isfinite(medians), capped, np.inf)
        for axis, weights in enumerate(self.weights):
            moved = _averaged(np.moveaxis(averages, axis, 0), weights)
            averages = np.moveaxis(moved, 0, axis)
        return averages


def _weights(values: np.ndarray) -> np.ndarray:
    """`[values, values]`: how much each counts at each, 1 at itself."""
    weights = np.eye(len(values))
    positive = np.flatnonzero(values > 0)
    if values[0] >= 0 and len(positive) and values[-1] >= WIDE * values[positive[0]]:
        logs = np.log(values[positive])
        near = np.maximum(1 - np.abs(np.subtract.outer(logs, logs)) / math.log(NEAR), 0)
        weights[np.ix_(positive, positive)] = near
    return weights


def _averaged(medians: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The averages along the first axis."""
    trained, count = np.isfinite(medians), len(medians)
    known = np.where(trained, medians, 0.0)
    total, mass = known.copy(), np.ones(medians.shape)
    for index, other in np.argwhere(weights):
        mirror = 2 * index - other
        if index == other:
            continue
        paired = trained[mirror] if 0 <= mirror < count else True
        weight = weights[index, other] * (trained[other] & paired)
        mass[index] += weight
        total[index] += weight * known[other]
    return np.where(trained, total / mass, np.inf)


def resampled_best(losses: np.ndarray, average: Average) -> np.ndarray:
    """`[draws]`: the best index when seeds are drawn again with replacement.

    It is -1 for a draw in which training failed at every value. The draws are the
    same for any losses of as many seeds.
    """
    seeds = losses.shape[1]
    draws = np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))
    medians = np.median(losses[:, draws], axis=-1)
    some = np.isfinite(medians).any(axis=0)
    best = np.full(RESAMPLES, -1)
    best[some] = average(medians[:, some]).argmin(axis=0)
    return best
