"""A tenth of where the loss is lowest."""

from __future__ import annotations

from typing import Any

import numpy as np

from optax_cycles.range_test.curve import check_curve
from optax_cycles.range_test.suggest import NEVER_FALLS, NoSuggestionError, Suggestion

TENTH = 10


def minimum(
    values: Any, losses: Any, *, skip_start: int | None = 0, skip_end: int = 0
) -> Suggestion:
    """A tenth of the value at which the loss is lowest.

    Where a ramp's loss is lowest, its value is about to be too large already.

    Args:
      values: `[points]`, increasing values of the hyperparameter.
      losses: `[points]`, the loss at each; what follows a NaN is left out.
      skip_start: how many points to leave out at the start; None for a tenth.
      skip_end: how many points to leave out at the end.

    Returns:
      A `Suggestion`; its index is that of the lowest loss.

    Raises:
      NoSuggestionError: if the loss never falls, still falls where the range ends, or
        a tenth of the value is below the range; if fewer than 2 points are left.
      ValueError: if values are not positive and increasing.

    Agrees with fastai's `minimum`, which goes below the range; its `lr_find` leaves
    out a tenth at the start and 5 points at the end.

    Examples:
      >>> import optax_cycles as oc
      >>> oc.minimum([1e-3, 1e-2, 1e-1, 1.0], [2.3, 2.0, 0.7, 0.9]).value
      0.01
    """
    curve = check_curve(
        "minimum", values, losses, minimum=2, skip_start=skip_start, skip_end=skip_end
    )
    if np.all(np.diff(curve.losses) >= 0):
        raise NoSuggestionError(f"minimum: {NEVER_FALLS}")
    index = int(np.argmin(curve.losses))
    last = float(curve.values[index])
    if index == len(curve.losses) - 1 and not curve.worsens:
        raise NoSuggestionError(
            f"minimum: the loss still falls at the last value ({last:.3g}); raise the "
            "end of the range"
        )
    value = last / TENTH
    first = float(np.asarray(values, np.float64)[0])
    if value < first:
        raise NoSuggestionError(
            f"minimum: a tenth of the value with the lowest loss, {value:.3g}, is below"
            f" the first value ({first:.3g}); lower the start of the range"
        )
    reason = f"a tenth of the value with the lowest loss ({last:.3g})"
    return Suggestion(value, curve.start + index, reason)
