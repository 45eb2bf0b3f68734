"""The best of many values, each averaged with its neighbours."""

from __future__ import annotations

import numpy as np

RESAMPLES = 1000
NEAR = 2.0
WIDE = 10.0


class Average:
    """Averages medians over neighbouring values."""

    def __init__(
        self, values: np.ndarray, medians: np.ndarray, untrained: np.ndarray
    ) -> None:
        weights = np.eye(len(values))
        if values[0] > 0 and values[-1] >= WIDE * values[0]:
            apart = np.abs(np.subtract.outer(np.log(values), np.log(values)))
            weights = np.maximum(1 - apart / np.log(NEAR), 0.0)
        self.weights = weights / weights.sum(axis=1, keepdims=True)
        # Beyond the untrained loss, how bad a neighbour is says nothing more.
        at_start = np.median(untrained[np.isfinite(medians)])
        self.worst = at_start if np.isfinite(at_start) else _largest(medians)

    def __call__(self, medians: np.ndarray) -> np.ndarray:
        """The averages of `[values]` or `[values, draws]`; +inf stays +inf."""
        capped = np.minimum(medians, max(self.worst, medians.min()))
        return np.where(np.isfinite(medians), self.weights @ capped, np.inf)


def _largest(medians: np.ndarray) -> float:
    return float(medians[np.isfinite(medians)].max())


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
