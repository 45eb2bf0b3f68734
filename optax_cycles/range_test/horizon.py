"""Where the best value goes when training is longer than the range test."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.best import RangeSuggestion, parallel_best, usable
from optax_cycles.range_test.failures import failed, untrained_losses
from optax_cycles.range_test.neighbours import Average, resampled_best
from optax_cycles.range_test.suggest import NoSuggestionError, Suggestion

FEW = 2


@dataclasses.dataclass(frozen=True)
class HorizonSuggestion(Suggestion):
    """The best value for a training of a given length.

    `index` is that of the tested value nearest to `value`.

    Attributes:
      factor: `value` over the best value at the longest horizon.
      drift: the slope of log best value against log horizon, as fitted.
      drift_error: its standard error over seeds.
      weight: the share of the drift that was used, in [0, 1].
      longest: the suggestion at the longest horizon.
    """

    factor: float
    drift: float
    drift_error: float
    weight: float
    longest: RangeSuggestion


def horizon_best(
    values: Any,
    losses: Any,
    horizons: Sequence[int],
    *,
    updates: int,
    untrained: Any = None,
    diverged: Any = None,
    max_diverged: float = 0.2,
    upwards: bool = False,
) -> HorizonSuggestion:
    r"""The best value for a longer training, from the drift over horizons.

    The longer the training, the smaller the best constant rate often is. A line is
    fitted to the logarithms of the best values v_h over those of the horizons h:

    .. math:: \log \hat v = \log v_H + w b \log(T / H), \qquad
       w = \max(0, 1 - s^2 / b^2)

    where H is the longest horizon, T the updates to come, b the mean slope over
    resampled sets of seeds and s its standard error: their standard deviation, with
    that of values a grid step apart added (a twelfth of its square to each variance).
    The weight w is that of the positive-part James-Stein estimator: a drift within
    noise changes nothing, and the answer is that of the longest horizon.

    By default the answer is at most the best value at the longest horizon (w b counts
    as 0 where it is positive): above that, the next value may fail, however well those
    below it drift upwards.

    Horizons at which `parallel_best` refuses, because the best value is at an edge of
    the range or nothing is learned yet, are left out.

    Args:
      values: `[values]`, increasing and positive.
      losses: `[horizons, values, seeds]`; what is not finite counts as infinitely bad.
      horizons: `[horizons]`, the numbers of updates after which losses were taken.
      updates: T, the length of the training to come.
      untrained: `[values, seeds]` or a number: the loss before training.
      diverged: bool `[horizons, values, seeds]`, failed members; by default as in
        `parallel_best`.
      max_diverged: the largest share of failed seeds that a value may have.
      upwards: whether the answer may also be larger than at the longest horizon.

    Returns:
      A `HorizonSuggestion`.

    Raises:
      NoSuggestionError: if `parallel_best` has no answer at the longest horizon, or the
        answer for `updates` is outside the tested values, or not below a value at
        which training failed at the longest horizon.
      ValueError: if shapes don't match, values are not positive, horizons don't
        increase, or `updates` is below the longest horizon.

    Examples:
      >>> import numpy as np, optax_cycles as oc
      >>> values, horizons = np.geomspace(1e-3, 1.0, 31), [50, 100, 200, 400]
      >>> best = 10.0 / np.array(horizons)  # halves as the horizon doubles
      >>> distance = np.log(values / best[:, None])
      >>> losses = (distance**2)[..., None] + np.array([0.0, 0.1, 0.2])
      >>> found = oc.horizon_best(values, losses, horizons, updates=1600)
      >>> round(found.longest.best, 4), round(found.value, 4)
      (0.0251, 0.0063)
    """
    _checks.flag("horizon_best", "upwards", upwards)
    values, losses, horizons = _check(values, losses, horizons, updates)
    known = {"value": values}
    start = untrained_losses("horizon_best", untrained, losses.shape[1:])
    broken = np.stack([failed(known, at, start) for at in losses])
    if diverged is not None:
        if np.shape(diverged) != losses.shape:
            expected = f"of the shape of losses, {losses.shape}"
            _checks.fail("horizon_best", "diverged", expected, np.shape(diverged))
        broken = ~np.isfinite(losses) | np.asarray(diverged, bool)
    losses = np.where(broken, np.inf, losses)
    # One order of the seeds at all horizons, and it must not matter.
    order = np.lexsort(losses.reshape(-1, losses.shape[2]))
    losses, start = losses[..., order], start[:, order]

    def suggest(at: np.ndarray) -> RangeSuggestion:
        before = None if untrained is None else start
        return parallel_best(values, at, untrained=before, max_diverged=max_diverged)

    longest = suggest(losses[-1])
    logs, used = [], []
    for horizon, at in zip(horizons, losses, strict=True):
        try:
            suggest(at)
        except NoSuggestionError:
            continue
        kept = usable(at, None, max_diverged)
        best = resampled_best(kept, Average([values], np.median(kept, axis=1), start))
        logs.append(np.where(best >= 0, np.log(values)[best], np.nan))
        used.append(float(horizon))
    drift, error = 0.0, math.inf
    if len(used) >= FEW and losses.shape[2] > 1:
        drift, error = _drift(np.log(used), np.array(logs), _step(values))
    usable_drift = drift < 0 or (upwards and drift > 0)
    weight = max(0.0, 1 - (error / drift) ** 2) if usable_drift else 0.0
    factor = math.exp(weight * drift * math.log(updates / horizons[-1]))
    value = longest.best * factor
    _refuse_outside(values, value, updates)
    _refuse_failing(values, usable(losses[-1], None, max_diverged), value, longest.best)
    return HorizonSuggestion(
        value=value,
        index=int(np.argmin(np.abs(np.log(values / value)))),
        reason=(
            f"{factor:.3g} times the best value at {horizons[-1]} updates: it "
            f"goes with the power {drift:.2g} of the horizon (standard error "
            f"{error:.2g}, {len(used)} horizon(s)), of which {weight:.0%} is used"
        ),
        factor=factor,
        drift=drift,
        drift_error=error,
        weight=weight,
        longest=longest,
    )


def _check(
    values: Any, losses: Any, horizons: Any, updates: int
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    losses = np.asarray(losses, np.float64)
    _checks.sequence("horizon_best", "horizons", horizons)
    if losses.ndim != 3 or len(losses) != len(horizons) or not len(horizons):
        shapes = (losses.shape, len(horizons))
        expected = "[horizons, values, seeds] and [horizons]"
        _checks.fail("horizon_best", "losses and horizons", expected, shapes)
    for horizon in horizons:
        _checks.integer("horizon_best", "horizons", horizon, minimum=1)
    if np.any(np.diff(horizons) <= 0):
        _checks.fail("horizon_best", "horizons", "increasing", horizons)
    _checks.integer("horizon_best", "updates", updates, minimum=int(horizons[-1]))
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not np.all(values > 0):
        _checks.fail("horizon_best", "values", "a vector of positive numbers", values)
    return values, losses, [int(horizon) for horizon in horizons]


def _step(values: np.ndarray) -> float:
    """The median step of the grid, in the logarithm of the value."""
    return float(np.median(np.diff(np.log(values))))


def _drift(places: np.ndarray, logs: np.ndarray, step: float) -> tuple[float, float]:
    """Mean and standard error of the slope of `logs [horizons, draws]`."""
    logs = logs[:, np.isfinite(logs).all(axis=0)]
    centred = places - places.mean()
    slopes = centred @ logs / (centred @ centred)
    # A best value is known to a grid step: variance step^2 / 12 each.
    variance = slopes.var() + step**2 / 12 / (centred @ centred)
    return float(slopes.mean()), float(variance**0.5)


def _refuse_outside(values: np.ndarray, value: float, updates: int) -> None:
    if not values[0] <= value <= values[-1]:
        side = "lower the start" if value < values[0] else "raise the end"
        raise NoSuggestionError(
            f"horizon_best: the best value for {updates} updates, about {value:.3g}, "
            f"is outside the range; {side} of the range or test for more updates"
        )


def _refuse_failing(
    values: np.ndarray, losses: np.ndarray, value: float, best: float
) -> None:
    """Refuse what lies above a value at which training failed, above the best."""
    failing = values[(values > best) & ~np.isfinite(np.median(losses, axis=1))]
    if len(failing) and value >= failing[0]:
        raise NoSuggestionError(
            f"horizon_best: the best values drift up to about {value:.3g}, but "
            f"training fails at {failing[0]:.3g} at the longest horizon; test for more "
            "updates, or take upwards=False"
        )


def moved(found: RangeSuggestion, by: HorizonSuggestion) -> RangeSuggestion:
    """The range for a longer training: all its values times the drift's factor."""
    low, high = found.interval
    return found._replace(
        base=found.base * by.factor,
        best=found.best * by.factor,
        peak=found.peak * by.factor,
        interval=(low * by.factor, high * by.factor),
        within_noise=tuple(value * by.factor for value in found.within_noise),
        reason=f"{found.reason}; {by.reason}",
    )
