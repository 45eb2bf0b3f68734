"""A window that slides down from the end until the slope is the same at both ends."""

from __future__ import annotations

from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.curve import check_curve
from optax_cycles.range_test.suggest import NEVER_FALLS, NoSuggestionError, Suggestion


def slide(
    values: Any,
    losses: Any,
    *,
    distance: int = 15,
    threshold: float = 0.005,
    skip_start: int | None = 0,
    skip_end: int = 0,
) -> Suggestion:
    """The left end of a window that slides down until the slope evens out.

    With g the gradient of the losses against the **index** (central differences,
    one-sided at the ends), a window of two points, `distance` apart, starts at the
    end of the curve and moves to smaller values while `|g[right] - g[left]|` is above
    `threshold`. The suggestion is the last left point at which it was, or the first
    left point if it never was.

    The threshold is absolute: multiplying the losses changes the answer.

    Args:
      values: `[points]`, increasing values of the hyperparameter.
      losses: `[points]`, the loss at each; what follows a NaN is left out.
      distance: points between the two ends of the window.
      threshold: difference of the slopes, in units of loss per point.
      skip_start: how many points to leave out at the start; None for a tenth.
      skip_end: how many points to leave out at the end.

    Returns:
      A `Suggestion`.

    Raises:
      NoSuggestionError: if the loss never falls, the slope never evens out, or fewer
        than `distance + 1` points are left.
      ValueError: if values are not positive and increasing, or a number is out of its
        range.

    Agrees with fastai's `slide`, which answers with the first value where the slope
    never evens out; its `lr_find` leaves out a tenth at the start and 5 points at the
    end.

    Examples:
      >>> import numpy as np, optax_cycles as oc
      >>> values = np.geomspace(1e-4, 1.0, 9)
      >>> losses = [2.3, 2.3, 2.3, 2.3, 2.2, 1.4, 1.0, 2.0, 8.0]
      >>> oc.slide(values, losses, distance=2).index
      1
    """
    _checks.integer("slide", "distance", distance, minimum=1)
    _checks.real("slide", "threshold", threshold, minimum=0)
    curve = check_curve(
        "slide",
        values,
        losses,
        minimum=distance + 1,
        skip_start=skip_start,
        skip_end=skip_end,
    )
    if np.all(np.diff(curve.losses) >= 0):
        raise NoSuggestionError(f"slide: {NEVER_FALLS}")
    slopes = np.gradient(curve.losses)
    # From the largest value down, one for each place of the window.
    apart = np.abs(slopes[distance:] - slopes[:-distance])[::-1] > threshold
    if apart.all():
        raise NoSuggestionError(
            "slide: the slope of the loss never evens out; lower the start of the range"
        )
    index = len(apart) - max(int(np.argmin(apart)), 1)
    reason = f"the slope evens out {distance} points further on, seen from the end"
    return Suggestion(float(curve.values[index]), curve.start + index, reason)
