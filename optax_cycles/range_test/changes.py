"""How a loss changes over the evaluations of a training, with standard errors."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

TAIL = 2 / 3
CHANCE = 0.05
ERRORS = 2.0


class Mean(NamedTuple):
    """A mean over seeds and its standard error."""

    value: float
    error: float

    def above(self, least: float) -> bool:
        """Whether it is above `least` and more than two standard errors above 0."""
        return self.value > max(least, ERRORS * self.error)


def in_tail(steps: np.ndarray) -> np.ndarray:
    """The evaluations in the last third of the updates."""
    last: np.ndarray = steps >= steps[0] + TAIL * (steps[-1] - steps[0])
    return last


def _width(losses: np.ndarray) -> int:
    return max(1, losses.shape[-1] // 10)


def _around(losses: np.ndarray, place: int) -> float:
    """The mean over a tenth of the evaluations, within the curve, around a place."""
    width = _width(losses)
    first = min(max(place - width // 2, 0), len(losses) - width)
    return float(losses[first : first + width].mean())


def argmin_smooth(losses: np.ndarray) -> int:
    """The place around which the losses are lowest."""
    return int(np.argmin([_around(losses, place) for place in range(len(losses))]))


def lowest_of_others(validation: np.ndarray) -> list[int]:
    """For each seed, where the median loss of the others is lowest."""
    if len(validation) == 1:
        return [argmin_smooth(validation[0])]
    others = [np.delete(validation, seed, axis=0) for seed in range(len(validation))]
    return [argmin_smooth(np.median(rest, axis=0)) for rest in others]


def change(losses: np.ndarray, places: list[int]) -> Mean:
    """The losses at the end minus those at one place of each seed."""
    last = losses.shape[1] - 1
    pairs = zip(losses, places, strict=True)
    return _difference(
        losses, [_around(row, last) - _around(row, place) for row, place in pairs]
    )


def gain_from_first(losses: np.ndarray, places: list[int]) -> Mean:
    """The first losses minus those at one place of each seed."""
    pairs = zip(losses, places, strict=True)
    gains = [row[0] - _around(row, place) for row, place in pairs]
    return _difference(losses, gains, evaluations=1)


def _difference(
    losses: np.ndarray, differences: list[float], evaluations: int | None = None
) -> Mean:
    """The mean of differences of two places of each seed, and its error.

    `evaluations` are averaged at a place, a tenth of all by default.
    """
    count = (evaluations or _width(losses)) * len(losses)
    explained = _scatter(losses) * math.sqrt(2 / count)
    if len(losses) == 1:
        # The lowest of n places is low by sqrt(2 log(n / p)) deviations at most.
        lucky = math.sqrt(2 * math.log(losses.shape[1] / CHANCE)) / ERRORS
        return Mean(differences[0], explained * lucky)
    return _mean(np.array(differences), explained)


def _mean(numbers: np.ndarray, least_error: float) -> Mean:
    """Mean and standard error over seeds, which one seed does not show."""
    several = len(numbers) > 1
    error = float(numbers.std(ddof=1)) / math.sqrt(len(numbers)) if several else 0.0
    return Mean(float(numbers.mean()), max(error, least_error))


def _scatter(losses: np.ndarray) -> float:
    """The standard deviation of one evaluation about its neighbours' mean."""
    bends = losses[:, 1:-1] - (losses[:, :-2] + losses[:, 2:]) / 2
    return float(np.median(np.abs(bends))) / 0.6745 / math.sqrt(1.5)


def trend_of_tail(steps: np.ndarray, validation: np.ndarray) -> Mean:
    """The change over the last third of the updates by a least-squares line."""
    tail = in_tail(steps)
    third = (1 - TAIL) * (steps[-1] - steps[0])
    places = (steps[tail] - steps[tail].mean()) / third
    spread = float(places @ places)
    slopes = validation[:, tail] @ places / spread
    explained = _scatter(validation) / math.sqrt(spread * len(slopes))
    return _mean(slopes, explained)


def gap_at_end(validation: np.ndarray, train: np.ndarray) -> Mean:
    """The validation losses minus the training losses at the end."""
    apart = validation - train
    last = apart.shape[1] - 1
    gaps = np.array([_around(row, last) for row in apart])
    return _mean(gaps, _scatter(apart) / math.sqrt(_width(apart) * len(apart)))
