"""Rules that read a value off a ramp's curve; each is a pure function."""

from __future__ import annotations

import bisect
import dataclasses
from typing import Any

import numpy as np

from optax_cycles.range_test.curve import check_curve


class NoSuggestionError(ValueError):
    """There is no trustworthy answer; the message says why and what to change."""


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A value that a rule suggests.

    Attributes:
      value: the value.
      index: its place in the curve.
      reason: why, in words.
    """

    value: float
    index: int
    reason: str


def valley(values: Any, losses: Any) -> Suggestion:
    """A point in the middle of the longest fall of the loss.

    The rule finds the longest strictly decreasing subsequence of the losses, of
    length L and ending at index e (the first such one), and takes the point
    `int(L/3) + int(L/6)` after `e - L`, about half way down.

    Args:
      values: `[points]`, increasing values of the hyperparameter.
      losses: `[points]`, the loss at each; what follows a NaN is left out.

    Returns:
      A `Suggestion`.

    Raises:
      NoSuggestionError: if the loss never falls.
      ValueError: if the curve has fewer than 3 points, or values don't increase.

    Agrees with fastai's `valley`, which first trims the curve.

    Examples:
      >>> import numpy as np, optax_cycles as oc
      >>> values = np.geomspace(1e-4, 1.0, 9)
      >>> oc.valley(values, [2.3, 2.3, 2.2, 1.9, 1.4, 1.0, 0.9, 2.0, 8.0]).index
      3
    """
    curve = check_curve("valley", values, losses, minimum=3)
    lengths = _falls(curve.losses)
    end = int(np.argmax(lengths))
    length = int(lengths[end])
    if length == 1:
        raise NoSuggestionError("valley: the loss never falls")
    sections = length / 3
    # The fall's length stands for its width, so a start before the curve is possible.
    index = max(end - length + int(sections) + int(sections / 2), 0)
    reason = f"half way down the longest fall of the loss ({length} points)"
    return Suggestion(float(curve.values[index]), index, reason)


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


def steep(values: Any, losses: Any) -> Suggestion:
    """The point where the loss falls most steeply against the log of the value.

    The slope at point i is `(l[i+1] - l[i]) / (log v[i+1] - log v[i])`.

    Args:
      values: `[points]`, increasing values of the hyperparameter.
      losses: `[points]`, the loss at each; what follows a NaN is left out.

    Returns:
      A `Suggestion`.

    Raises:
      NoSuggestionError: if the loss never falls.
      ValueError: if the curve has fewer than 2 points, or values don't increase.

    Agrees with fastai's `steep`, which first trims the curve.

    Examples:
      >>> import numpy as np, optax_cycles as oc
      >>> oc.steep(np.geomspace(1e-3, 1.0, 4), [2.3, 2.2, 1.0, 0.9]).value
      0.01
    """
    curve = check_curve("steep", values, losses, minimum=2)
    slopes = np.diff(curve.losses) / np.diff(np.log(curve.values))
    index = int(np.argmin(slopes))
    if slopes[index] >= 0:
        raise NoSuggestionError("steep: the loss never falls")
    reason = f"steepest fall of the loss ({slopes[index]:.3g} per e-fold)"
    return Suggestion(float(curve.values[index]), index, reason)
