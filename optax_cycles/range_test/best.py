"""The rule of the parallel range test: the best value, and the range around it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.suggest import NoSuggestionError

RESAMPLES = 1000
HALF = 0.5
NEAR = 2.0
ROBUST = 4
OUTLIER = 10.0
WIDE = 10.0


class RangeSuggestion(NamedTuple):
    """The range to train in.

    Attributes:
      base: where a cycle starts: the least value from which on half of the fall of
        the loss, from untrained to best, is reached.
      best: the best constant value.
      peak: where a cycle peaks: the largest value up to which the loss stays within
        noise of the best.
      interval: 90 % bootstrap interval of `best` over seeds.
      within_noise: the values from `best` on both sides that the seeds can't tell
        from the best.
      loss: the median loss at `best`.
      reason: why, in words.
    """

    base: float
    best: float
    peak: float
    interval: tuple[float, float]
    within_noise: tuple[float, ...]
    loss: float
    reason: str


def parallel_best(
    values: Any,
    losses: Any,
    *,
    untrained: Any = None,
    diverged: Any = None,
    max_diverged: float = 0.2,
) -> RangeSuggestion:
    """The value with the best median loss, and the range around it.

    Values of which more than `max_diverged` of the seeds failed are left out. The
    median losses are averaged over the neighbours within a factor of 2, with weights
    that fall linearly in the logarithm of the value, because the least of many noisy
    medians is often lucky; on a grid coarser than that, or over less than a decade,
    every value stands for itself. The best value has the least average.

    A value counts as within noise of the best one when its losses, seed by seed, are
    higher by no more than two standard errors of the mean difference, of 4 seeds or
    more without those ten times as far from the median as half of the seeds are.

    Args:
      values: `[values]`, increasing.
      losses: `[values, seeds]`; what is not finite counts as infinitely bad.
      untrained: `[values, seeds]` or a number: the loss before training.
        Without it a curve that never leaves it can't be told, and `base` is a
        tenth of `peak`, or the first value.
      diverged: bool `[values, seeds]`, failed members; by default those whose loss
        is not finite.
      max_diverged: share of seeds, in [0, 1).

    Returns:
      A `RangeSuggestion`.

    Raises:
      NoSuggestionError: if every value diverged, no value improves on the
        untrained loss by more than noise, or the best value is the first or last.
      ValueError: if shapes don't match, or values don't increase.

    Examples:
      >>> import numpy as np, optax_cycles as oc
      >>> losses = np.array([[2.0, 2.1], [1.0, 1.1], [0.5, 0.6], [np.inf, 2.0]])
      >>> oc.parallel_best([0.01, 0.1, 1.0, 10.0], losses).best
      1.0
    """
    values, losses = _check_losses(values, losses)
    _checks.real("parallel_best", "max_diverged", max_diverged, minimum=0.0, below=1.0)
    finite = np.isfinite(losses)
    if diverged is not None and np.shape(diverged) != losses.shape:
        expected = f"of the shape of losses, {losses.shape}"
        _checks.fail("parallel_best", "diverged", expected, np.shape(diverged))
    failed = ~finite if diverged is None else np.asarray(diverged, bool) | ~finite
    allowed = failed.mean(1) <= max_diverged
    if not allowed.any():
        raise NoSuggestionError(
            "parallel_best: training failed at every value; lower the range"
        )
    losses = np.where(allowed[:, None] & ~failed, losses, np.inf)
    order = np.lexsort(losses)  # The order of the seeds must not matter.
    losses = losses[:, order]
    medians = np.median(losses, axis=1)
    if not np.isfinite(medians).any():
        raise NoSuggestionError(
            "parallel_best: training failed for half of the seeds or more at every "
            "value; lower the range"
        )
    start = np.nan if untrained is None else untrained
    start = np.broadcast_to(start, losses.shape)[:, order]
    average = _Average(values, medians, start)
    best = int(np.argmin(average(medians)))
    start = start[best]
    known = bool(np.all(np.isfinite(start)))  # All losses improve on an infinite one.
    if known:
        _refuse_flat(start, losses[best])
    _refuse_edges(values, best)
    within = _within_noise(losses, best)
    draws = _resampled_best(losses, average)
    low, high = np.quantile(draws, [0.05, 0.95], method="nearest")
    peak = values[within[-1]]
    base = (
        values[_half_way(medians, start, best)] if known else max(peak / 10, values[0])
    )
    return RangeSuggestion(
        base=float(min(base, values[best])),
        best=float(values[best]),
        peak=float(peak),
        interval=(float(values[int(low)]), float(values[int(high)])),
        within_noise=tuple(float(values[index]) for index in within),
        loss=float(medians[best]),
        reason=(
            f"lowest loss around it (median {medians[best]:.4g}, "
            f"{losses.shape[1]} seed(s)); "
            f"{len(within)} value(s) are within noise of it"
        ),
    )


def _check_losses(values: Any, losses: Any) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(values, np.float64)
    losses = np.asarray(losses, np.float64)
    if values.ndim != 1 or losses.ndim != 2 or len(values) != len(losses):
        shapes = (values.shape, losses.shape)
        expected = "shaped [values] and [values, seeds]"
        _checks.fail("parallel_best", "values and losses", expected, shapes)
    if len(values) < 3 or not np.all(np.diff(values) > 0):
        expected = "at least 3 increasing numbers"
        _checks.fail("parallel_best", "values", expected, values)
    return values, losses


def _refuse_flat(untrained: np.ndarray, losses: np.ndarray) -> None:
    gain = (untrained - losses)[np.isfinite(losses)]
    noise = _mean_and_error(gain)[1] if len(gain) > 1 else 0.0
    if not np.median(gain) > 2 * noise:
        raise NoSuggestionError(
            "parallel_best: no value improves on the untrained loss by more than "
            f"noise (gain {np.median(gain):.3g}, standard error {noise:.3g}); train "
            "for more steps, or look at the data and the loss"
        )


def _refuse_edges(values: np.ndarray, best: int) -> None:
    if best == 0:
        raise NoSuggestionError(
            f"parallel_best: the loss is lowest at the first value ({values[0]:.3g}); "
            "lower the start of the range"
        )
    if best == len(values) - 1:
        raise NoSuggestionError(
            f"parallel_best: the loss still falls at the last value ({values[-1]:.3g});"
            " raise the end of the range"
        )


def _within_noise(losses: np.ndarray, best: int) -> list[int]:
    """The unbroken run of indices around `best` that the seeds can't tell from it."""
    trained = np.isfinite(losses[best])

    def close(index: int) -> bool:
        if not np.all(np.isfinite(losses[index, trained])):
            return False
        difference = losses[index, trained] - losses[best, trained]
        if len(difference) == 1:
            return bool(difference[0] == 0)
        mean, error = _mean_and_error(difference)
        return mean <= 2 * error

    low = high = best
    while low > 0 and close(low - 1):
        low -= 1
    while high < len(losses) - 1 and close(high + 1):
        high += 1
    return list(range(low, high + 1))


def _mean_and_error(differences: np.ndarray) -> tuple[float, float]:
    """Mean and standard error over seeds, of 4 or more without outliers.

    One seed that explodes would raise both alike, so that anything is within noise.
    """
    if len(differences) >= ROBUST:
        away = np.abs(differences - np.median(differences))
        differences = differences[away <= OUTLIER * np.median(away)]
    error = differences.std(ddof=1) / len(differences) ** 0.5
    return float(differences.mean()), float(error)


class _Average:
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


def _resampled_best(losses: np.ndarray, average: _Average) -> np.ndarray:
    """The best index of each draw of seeds with replacement."""
    seeds = losses.shape[1]
    draws = np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))
    medians = np.median(losses[:, draws], axis=-1)
    # A draw in which training failed at every value has no best one.
    some = np.isfinite(medians).any(axis=0)
    best: np.ndarray = average(medians[:, some]).argmin(axis=0)
    return best


def _half_way(medians: np.ndarray, untrained: np.ndarray, best: int) -> int:
    """The least index from which on, up to `best`, half of the fall is reached."""
    start = np.median(untrained)
    reached = start - medians >= HALF * (start - medians[best])
    index = best
    while index > 0 and reached[index - 1]:
        index -= 1
    return index
