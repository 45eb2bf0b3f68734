"""Where the loss falls most steeply, on four axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.curve import Curve, check_curve
from optax_cycles.range_test.suggest import NEVER_FALLS, NoSuggestionError, Suggestion


def steep(
    values: Any, losses: Any, *, skip_start: int | None = 0, skip_end: int = 0
) -> Suggestion:
    """The point where the loss falls most steeply against the log of the value.

    The slope at point i is `(l[i+1] - l[i]) / (log v[i+1] - log v[i])`.

    Args:
      values: `[points]`, increasing values of the hyperparameter.
      losses: `[points]`, the loss at each; what follows a NaN is left out.
      skip_start: how many points to leave out at the start; None for a tenth.
      skip_end: how many points to leave out at the end.

    Returns:
      A `Suggestion`.

    Raises:
      NoSuggestionError: if the loss never falls, or fewer than 2 points are left.
      ValueError: if values are not positive and increasing.

    Agrees with fastai's `steep`; its `lr_find` leaves out a tenth at the start and 5
    points at the end.

    Examples:
      >>> import numpy as np, optax_cycles as oc
      >>> oc.steep(np.geomspace(1e-3, 1.0, 4), [2.3, 2.2, 1.0, 0.9]).value
      0.01
    """
    curve = check_curve(
        "steep", values, losses, minimum=2, skip_start=skip_start, skip_end=skip_end
    )
    slopes = np.diff(curve.losses) / np.diff(np.log(curve.values))
    return _steepest("steep", curve, slopes, "e-fold")


def steep_by_index(
    values: Any, losses: Any, *, skip_start: int | None = 10, skip_end: int = 5
) -> Suggestion:
    """The point where the loss falls most steeply from one point to the next.

    The slope at point i is `(l[i+1] - l[i-1]) / 2`, at the ends the difference of two
    points. On values in equal ratios the axis is the logarithm of the value, as in
    `steep`, with twice the width.

    Args:
      values: `[points]`, increasing values of the hyperparameter.
      losses: `[points]`, the loss at each; what follows a NaN is left out.
      skip_start: how many points to leave out at the start; None for a tenth.
      skip_end: how many points to leave out at the end.

    Returns:
      A `Suggestion`.

    Raises:
      NoSuggestionError: if the loss never falls, or fewer than 2 points are left.
      ValueError: if values are not positive and increasing.

    Agrees with torch-lr-finder's suggestion, of which the numbers of points to leave
    out are.

    Examples:
      >>> import numpy as np, optax_cycles as oc
      >>> losses = 2 - np.tanh((np.arange(40) - 22) / 4)
      >>> oc.steep_by_index(np.geomspace(1e-4, 1.0, 40), losses).index
      22
    """
    curve = check_curve(
        "steep_by_index",
        values,
        losses,
        minimum=2,
        skip_start=skip_start,
        skip_end=skip_end,
    )
    return _steepest("steep_by_index", curve, np.gradient(curve.losses), "point")


def steep_by_value(
    values: Any, losses: Any, *, skip_start: int | None = 10, skip_end: int = 1
) -> Suggestion:
    """The point where the loss falls most steeply against the value itself.

    The slope at a point is that of the parabola through it and both its neighbours, at
    the ends that of the line through two points. On values in equal ratios this
    favours the small ones: the same fall of the loss is ten times as steep at a tenth
    of the value, so that noise at the start of a ramp can win. `steep` does not.

    Args:
      values: `[points]`, increasing values of the hyperparameter.
      losses: `[points]`, the loss at each; what follows a NaN is left out.
      skip_start: how many points to leave out at the start; None for a tenth.
      skip_end: how many points to leave out at the end.

    Returns:
      A `Suggestion`.

    Raises:
      NoSuggestionError: if the loss never falls, or fewer than 2 points are left.
      ValueError: if values are not positive and increasing.

    Agrees with the suggestion of Lightning (2.5.1 and later) on finite losses, of
    which the numbers of points to leave out are; Lightning leaves out a NaN and goes
    on after it.

    Examples:
      >>> import numpy as np, optax_cycles as oc
      >>> losses = 2 - np.tanh((np.arange(40) - 22) / 4)
      >>> oc.steep_by_value(np.geomspace(1e-4, 1.0, 40), losses).index
      20
    """
    curve = check_curve(
        "steep_by_value",
        values,
        losses,
        minimum=2,
        skip_start=skip_start,
        skip_end=skip_end,
    )
    widths = np.diff(curve.values)
    sides = np.diff(curve.losses) / widths
    # Of differences, so that a level loss has no slope, not one of rounding errors.
    inner = sides[:-1] * widths[1:] + sides[1:] * widths[:-1]
    slopes = np.concatenate([sides[:1], inner / (widths[:-1] + widths[1:]), sides[-1:]])
    return _steepest("steep_by_value", curve, slopes, "unit")


def steep_by_window(
    values: Any,
    losses: Any,
    *,
    window: int = 1,
    skip_start: int | None = 10,
    skip_end: int = 5,
) -> Suggestion:
    """The point before which the loss has fallen most over a window of points.

    The slope at point i is `(l[i] - l[i-window]) / window`; the first `window` points
    of the whole curve have none and count as level.

    Args:
      values: `[points]`, increasing values of the hyperparameter.
      losses: `[points]`, the loss at each; what follows a NaN is left out.
      window: points to look back; a wide one evens out the noise of a raw curve.
      skip_start: how many points to leave out at the start, after the slopes have
        been taken; None for a tenth.
      skip_end: how many points to leave out at the end.

    Returns:
      A `Suggestion`.

    Raises:
      NoSuggestionError: if the loss never falls, or no point is left.
      ValueError: if values are not positive and increasing, or `window` is not a
        positive integer.

    Agrees with `get_best_lr` of Surmenok's keras_lr_finder, of which the numbers of
    points to leave out are.

    Examples:
      >>> import numpy as np, optax_cycles as oc
      >>> losses = 2 - np.tanh((np.arange(40) - 22) / 4)
      >>> oc.steep_by_window(np.geomspace(1e-4, 1.0, 40), losses, window=4).index
      24
    """
    _checks.integer("steep_by_window", "window", window, minimum=1)
    kept = check_curve(
        "steep_by_window",
        values,
        losses,
        minimum=1,
        skip_start=skip_start,
        skip_end=skip_end,
    )
    before = np.asarray(losses, np.float64)[: kept.start + len(kept.losses)]
    slopes = np.zeros(len(before))
    slopes[window:] = (before[window:] - before[:-window]) / window
    return _steepest("steep_by_window", kept, slopes[kept.start :], "point")


def _steepest(name: str, curve: Curve, slopes: np.ndarray, unit: str) -> Suggestion:
    index = int(np.argmin(slopes))
    if slopes[index] >= 0:
        raise NoSuggestionError(f"{name}: {NEVER_FALLS}")
    reason = f"steepest fall of the loss ({slopes[index]:.3g} per {unit})"
    return Suggestion(float(curve.values[index]), curve.start + index, reason)
