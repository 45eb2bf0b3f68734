"""The middle of the longest fall of the loss."""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np

from optax_cycles.range_test.curve import check_curve
from optax_cycles.range_test.suggest import NEVER_FALLS, NoSuggestionError, Suggestion


def valley(
    values: Any, losses: Any, *, skip_start: int | None = 0, skip_end: int = 0
) -> Suggestion:
    """A point in the middle of the longest fall of the loss.

    The rule finds the longest strictly decreasing subsequence of the losses, of
    length L and ending at index e (the first such one), and takes the point
    `int(L/3) + int(L/6)` after `e - L`, about half way down.

    Args:
      values: `[points]`, increasing values of the hyperparameter.
      losses: `[points]`, the loss at each; what follows a NaN is left out.
      skip_start: how many points to leave out at the start; None for a tenth.
      skip_end: how many points to leave out at the end.

    Returns:
      A `Suggestion`.

    Raises:
      NoSuggestionError: if the loss never falls, or fewer than 3 points are left.
      ValueError: if values are not positive and increasing.

    Agrees with fastai's `valley`; its `lr_find` leaves out a tenth at the start and 5
    points at the end.

    Examples:
      >>> import numpy as np, optax_cycles as oc
      >>> values = np.geomspace(1e-4, 1.0, 9)
      >>> oc.valley(values, [2.3, 2.3, 2.2, 1.9, 1.4, 1.0, 0.9, 2.0, 8.0]).index
      3
    """
    curve = check_curve(
        "valley", values, losses, minimum=3, skip_start=skip_start, skip_end=skip_end
    )
    lengths = _falls(curve.losses)
    end = int(np.argmax(lengths))
    length = int(lengths[end])
    if length == 1:
        raise NoSuggestionError(f"valley: {NEVER_FALLS}")
    sections = length / 3
    # The fall's length stands for its width, so a start before the curve is possible.
    index = max(end - length + int(sections) + int(sections / 2), 0)
    reason = f"half way down the longest fall of the loss ({length} points)"
    return Suggestion(float(curve.values[index]), curve.start + index, reason)


def _falls(losses: np.ndarray) -> np.ndarray:
    """The length of the longest strictly decreasing subsequence ending at each."""
    # tails[k]: the largest last loss, negated, of a fall of length k + 1 so far.
    tails: list[float] = []
    lengths = np.empty(len(losses), np.int64)
    for index, rise in enumerate((-losses).tolist()):
        length = bisect.bisect_left(tails, rise)
        tails[length : length + 1] = [rise]
        lengths[index] = length + 1
    return lengths
