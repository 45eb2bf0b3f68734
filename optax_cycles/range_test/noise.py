"""What the seeds can tell apart."""

from __future__ import annotations

import math

import numpy as np

ROBUST = 4
OUTLIER = 10.0
CHANCE = 0.05


def within_noise(losses: np.ndarray, best: int) -> list[int]:
    """The unbroken run of indices around `best` that the seeds can't tell from it."""
    trained = np.isfinite(losses[best])

    def close(index: int) -> bool:
        if not np.all(np.isfinite(losses[index, trained])):
            return False
        difference = losses[index, trained] - losses[best, trained]
        if len(difference) == 1:
            return bool(difference[0] == 0)
        mean, error = mean_and_error(difference)
        return mean <= 2 * error

    low = high = best
    while low > 0 and close(low - 1):
        low -= 1
    while high < len(losses) - 1 and close(high + 1):
        high += 1
    return list(range(low, high + 1))


def mean_and_error(differences: np.ndarray) -> tuple[float, float]:
    """Mean and standard error over seeds, of 4 or more without outliers.

    One seed that explodes would raise both alike, so that anything is within noise.
    """
    if len(differences) >= ROBUST:
        away = np.abs(differences - np.median(differences))
        differences = differences[away <= OUTLIER * np.median(away)]
    error = differences.std(ddof=1) / len(differences) ** 0.5
    return float(differences.mean()), float(error)


def error_of_luckiest(gains: np.ndarray, index: int) -> float:
    """How far noise alone lifts the mean gain of the luckiest of many values.

    The best of m values has the largest of m errors, which is below
    sqrt(2 log(m / p)) standard errors with a probability of about 1 - p. The standard
    error is that of the value or that of the median value, whichever is larger:
    over few seeds the former is often small by chance.

    Args:
      gains: `[values, seeds]`, seeds >= 2; what is not finite has failed.
      index: the best value.
    """
    complete = gains[np.isfinite(gains).all(axis=1)]
    own = gains[index][np.isfinite(gains[index])]
    error = mean_and_error(own)[1] if len(own) > 1 else 0.0
    if len(complete):
        free = complete.shape[1] - 1
        # The median of a variance of few numbers is below its mean.
        variance = np.median(complete.var(axis=1, ddof=1)) / (1 - 2 / (9 * free)) ** 3
        error = max(error, float(variance / complete.shape[1]) ** 0.5)
    return error * math.sqrt(2 * math.log(len(gains) / CHANCE))
