"""What the seeds can tell apart."""

from __future__ import annotations

import math

import numpy as np

ROBUST = 4
OUTLIER = 10.0
CHANCE = 0.05
ERRORS = 2.0


def within_noise(losses: np.ndarray, best: int) -> list[int]:
    """The unbroken run of indices around `best` that the seeds can't tell from it."""
    close = close_to(losses, best)
    low = high = best
    while low > 0 and close[low - 1]:
        low -= 1
    while high < len(losses) - 1 and close[high + 1]:
        high += 1
    return list(range(low, high + 1))


def close_to(losses: np.ndarray, best: int) -> np.ndarray:
    """bool `[points]`: those that the seeds can't tell from the best.

    Args:
      losses: `[points, seeds]`; what is not finite has failed.
      best: the index of the best point.
    """
    trained = np.isfinite(losses[best])
    differences = losses[:, trained] - losses[best, trained]
    complete = np.isfinite(differences).all(axis=1)
    if differences.shape[1] == 1:
        return complete & (differences[:, 0] == 0)
    known = differences[complete]
    better = known[known.mean(axis=1) <= np.median(known.mean(axis=1))]
    pooled = (pooled_variance(better) / better.shape[1]) ** 0.5
    close = np.zeros(len(losses), bool)
    for index in np.flatnonzero(complete):
        mean, error = mean_and_error(differences[index])
        close[index] = mean <= max(ERRORS * error, luck(len(losses)) * pooled)
    return close


def mean_and_error(differences: np.ndarray) -> tuple[float, float]:
    """Mean and standard error over seeds, of 4 or more without outliers.

    One seed that explodes would raise both alike, so that anything is within noise.
    """
    if len(differences) >= ROBUST:
        away = np.abs(differences - np.median(differences))
        differences = differences[away <= OUTLIER * np.median(away)]
    error = differences.std(ddof=1) / len(differences) ** 0.5
    return float(differences.mean()), float(error)


def pooled_variance(numbers: np.ndarray) -> float:
    """The variance over the columns, alike in all rows but for a few.

    The median of a variance of few numbers is below its mean.
    """
    free = numbers.shape[1] - 1
    variance = np.quantile(numbers.var(axis=1, ddof=1), 0.5, method="lower")
    return float(variance / (1 - 2 / (9 * free)) ** 3)


def luck(count: int) -> float:
    """How many standard errors the largest of so many errors reaches at most.

    With a probability of about 1 - `CHANCE`.
    """
    return math.sqrt(2 * math.log(count / CHANCE))


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
        error = max(error, (pooled_variance(complete) / complete.shape[1]) ** 0.5)
    return error * luck(len(gains))
