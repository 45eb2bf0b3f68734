"""The rule of the parallel range test: the best value, and the range around it."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.failures import failed, untrained_losses
from optax_cycles.range_test.neighbours import Average, resampled_best
from optax_cycles.range_test.noise import error_of_luckiest, within_noise
from optax_cycles.range_test.suggest import NoSuggestionError

HALF = 0.5
STRENGTHS = {"cautious": 0.0, "balanced": 0.5, "bold": 1.0}


class RangeSuggestion(NamedTuple):
    """The range to train in.

    Attributes:
      base: where a cycle starts: the least value from which on half of the fall of
        the loss, from untrained to best, is reached.
      best: the best constant value.
      peak: where a cycle peaks: the largest value up to which the loss stays within
        noise of the best.
      interval: where `best` lies in 90 % of bootstrap samples of the seeds; of fewer
        than 5 seeds it holds the true best less often than that. It always holds
        `best`.
      within_noise: the values from `best` on both sides that the seeds can't tell
        from the best.
      loss: the median loss at `best`.
      reason: why, in words, and what to change where the range cuts something off.
    """

    base: float
    best: float
    peak: float
    interval: tuple[float, float]
    within_noise: tuple[float, ...]
    loss: float
    reason: str

    def at(self, strength: float | str) -> float:
        """A constant value among those that the seeds can't tell from the best.

        Strength 0 is the least value within noise, 1/2 the best and 1 the largest,
        `peak`; in between, it moves evenly in the logarithm of the value, or in the
        value itself where some are not positive, and the nearest tested value within
        noise is taken, the smaller of two as near. A larger rate regularises more and
        trains faster, a smaller one is farther from where training fails.

        Args:
          strength: from 0 to 1, or `"cautious"` (0), `"balanced"` (1/2) or `"bold"`
            (1).

        Raises:
          ValueError, TypeError: if it is neither.

        Examples:
          >>> import numpy as np, optax_cycles as oc
          >>> losses = np.array([[2.0, 2.0], [1.0, 1.2], [1.1, 1.0], [9.0, 9.0]])
          >>> found = oc.parallel_best([0.01, 0.1, 1.0, 10.0], losses)
          >>> [found.at(name) for name in ("cautious", "balanced", "bold")]
          [0.1, 1.0, 1.0]
        """
        if isinstance(strength, str):
            _checks.choice("at", "strength", strength, STRENGTHS)
            strength = STRENGTHS[strength]
        _checks.real("at", "strength", strength, minimum=0.0, maximum=1.0)
        ends = [self.within_noise[0], self.best, self.peak]
        places, tested = np.array(ends), np.array(self.within_noise)
        if ends[0] > 0:
            places, tested = np.log(places), np.log(tested)
        wanted = np.interp(float(strength), [0.0, HALF, 1.0], places)
        return self.within_noise[int(np.argmin(np.abs(tested - wanted)))]


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
    every value stands for itself. A neighbour that failed is left out, and so is the
    one as many values away on the other side. The best value has the least average.

    A value counts as within noise of the best one when its averages, seed by seed, are
    higher by no more than two standard errors of the mean difference, of 4 seeds or
    more without those ten times as far from the median as half of the seeds are; or by
    no more than `sqrt(2 log(m / .05))` standard errors pooled over the better half of
    the m values, because the run of values breaks off at the unluckiest.

    Where a loss explodes it may stay finite, so a seed has failed too when, above the
    value with the least mean loss, it has come less than a fifth of the way from the
    untrained loss to the best; or when, from that value on, it has come less than half
    of the way while others of its value have come further. Either counts only beyond
    noise, `sqrt(2 log(n / .05))` standard deviations over seeds for n losses.

    The gain on the untrained loss counts where it is larger than the gain of the
    luckiest of m values without any, with a probability of about .95: larger than
    `sqrt(2 log(m / .05))` standard errors. One seed shows no noise: any gain counts.

    Args:
      values: `[values]`, increasing.
      losses: `[values, seeds]`; what is not finite counts as infinitely bad.
      untrained: `[values, seeds]` or a number: the loss before training.
        Without it a curve that never leaves it can't be told, and `base` is a
        tenth of `peak`, or the first value.
      diverged: bool `[values, seeds]`, failed members; by default those whose loss
        is not finite, and with `untrained` those that exploded as said above.
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
    return range_best(
        values,
        losses,
        untrained=untrained,
        diverged=diverged,
        max_diverged=max_diverged,
    )


def range_best(
    values: Any,
    losses: Any,
    *,
    untrained: Any,
    diverged: Any,
    max_diverged: float,
    ends: str = "refuse",
) -> RangeSuggestion:
    """What `parallel_best` says, and what it says of an axis of a grid.

    Where the best value is at an end of the range, `ends` is `"refuse"`, `"inner"` to
    take the best inner one within noise of it, or `"allow"`.
    """
    values, losses = _check_losses(values, losses)
    _checks.real("parallel_best", "max_diverged", max_diverged, minimum=0.0, below=1.0)
    start = untrained_losses("parallel_best", untrained, losses.shape)
    if diverged is None:
        diverged = failed({"value": values}, losses, start)
    losses = usable(losses, diverged, max_diverged)
    order = np.lexsort(losses)  # The order of the seeds must not matter.
    losses, start = losses[:, order], start[:, order]
    medians = np.median(losses, axis=1)
    if not np.isfinite(medians).any():
        raise NoSuggestionError(
            "parallel_best: training failed for half of the seeds or more at every "
            "value; lower the range"
        )
    average = Average([values], medians, start)
    averages, by_seed = average(medians), average(losses)
    least = int(np.argmin(averages))
    # All losses improve on an infinite one.
    known = bool(np.all(np.isfinite(start[least])))
    if known:
        with np.errstate(invalid="ignore"):  # Infinite before and after.
            gains = start - losses
        _refuse_flat(gains, least)
    inner = within_noise(by_seed, least) if ends == "inner" else [least]
    inner = [index for index in inner if ends == "allow" or _is_inner(values, index)]
    if not inner:
        _refuse_edge(values, least)
    best = min(inner, key=lambda index: float(averages[index]))
    within = within_noise(by_seed, best)
    draws = resampled_best(losses, average)
    draws = draws[draws >= 0]
    low, high = np.quantile(draws, [0.05, 0.95], method="nearest")
    peak = values[within[-1]]
    base = (
        values[_half_way(medians, start[best], best)]
        if known
        else max(peak / 10, values[0])
    )
    return RangeSuggestion(
        base=float(min(base, values[best])),
        best=float(values[best]),
        peak=float(peak),
        interval=(float(values[min(low, best)]), float(values[max(high, best)])),
        within_noise=tuple(float(values[index]) for index in within),
        loss=float(medians[best]),
        reason=(
            f"lowest loss around it (median {medians[best]:.4g}, "
            f"{losses.shape[1]} seed(s)); "
            f"{len(within)} value(s) are within noise of it"
            f"{_cut_off(values, within)}"
            f"{'; noise hides an end of the range' if best != least else ''}"
        ),
    )


def usable(losses: np.ndarray, diverged: Any, max_diverged: float) -> np.ndarray:
    """The losses, infinite where training failed or too many seeds of a value did."""
    failed = ~np.isfinite(losses)
    if diverged is not None:
        if np.shape(diverged) != losses.shape:
            expected = f"of the shape of losses, {losses.shape}"
            _checks.fail("parallel_best", "diverged", expected, np.shape(diverged))
        failed |= np.asarray(diverged, bool)
    allowed = failed.mean(axis=1) <= max_diverged
    if not allowed.any():
        raise NoSuggestionError(
            "parallel_best: training failed at every value; lower the range"
        )
    return np.where(allowed[:, None] & ~failed, losses, np.inf)


def _cut_off(values: np.ndarray, within: list[int]) -> str:
    """Where the range ends before what is within noise does."""
    first, last = within[0] == 0, within[-1] == len(values) - 1
    sides = ["the first value: lower the start"] * first
    sides += ["the last value: raise the end"] * last
    return f", up to {' and '.join(sides)} of the range to see more" if sides else ""


def _check_losses(values: Any, losses: Any) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(values, np.float64)
    losses = np.asarray(losses, np.float64)
    matching = values.ndim == 1 and losses.ndim == 2 and len(values) == len(losses)
    if not matching or losses.shape[1] == 0:
        shapes = (values.shape, losses.shape)
        expected = "shaped [values] and [values, seeds], with one seed or more"
        _checks.fail("parallel_best", "values and losses", expected, shapes)
    finite = np.all(np.isfinite(values))
    if len(values) < 3 or not finite or not np.all(np.diff(values) > 0):
        expected = "at least 3 increasing numbers, all finite"
        _checks.fail("parallel_best", "values", expected, values)
    return values, losses


def _half_way(medians: np.ndarray, untrained: np.ndarray, best: int) -> int:
    """The least index from which on, up to `best`, half of the fall is reached."""
    start = np.median(untrained)
    reached = start - medians >= HALF * (start - medians[best])
    index = best
    while index > 0 and reached[index - 1]:
        index -= 1
    return index


def _refuse_flat(gains: np.ndarray, best: int) -> None:
    several = gains.shape[1] > 1
    noise = error_of_luckiest(gains, best) if several else 0.0
    gain = float(np.median(gains[best][np.isfinite(gains[best])]))
    if not gain > noise:
        raise NoSuggestionError(
            "parallel_best: no value improves on the untrained loss by more than "
            f"noise (gain {gain:.3g}, the best of {len(gains)} values may gain "
            f"{noise:.3g} by chance); train for more steps or with more seeds, or look "
            "at the data and the loss"
        )


def _is_inner(values: np.ndarray, index: int) -> bool:
    return 0 < index < len(values) - 1


def _refuse_edge(values: np.ndarray, best: int) -> NoReturn:
    if best == 0:
        raise NoSuggestionError(
            f"parallel_best: the loss is lowest at the first value ({values[0]:.3g}); "
            "lower the start of the range"
        )
    raise NoSuggestionError(
        f"parallel_best: the loss still falls at the last value ({values[-1]:.3g});"
        " raise the end of the range"
    )
