"""A curve of losses over the values of a hyperparameter, raw and smoothed."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.suggest import NoSuggestionError


class Curve(NamedTuple):
    """Losses over increasing values of one hyperparameter, over which rules decide.

    Attributes:
      values: float `[points]`, positive and increasing.
      losses: float `[points]`, all finite.
      start: how many points of the whole curve come before the first.
      worsens: whether a loss that was left out after the last point is higher than
        it, or not finite.
    """

    values: np.ndarray
    losses: np.ndarray
    start: int
    worsens: bool


def check_curve(
    function: str,
    values: Any,
    losses: Any,
    *,
    minimum: int,
    skip_start: int | None = 0,
    skip_end: int = 0,
) -> Curve:
    """The curve up to its first loss that is not finite, trimmed at both ends.

    Args:
      function: who asks, for messages.
      values: `[points]`.
      losses: `[points]`.
      minimum: how many points must be left.
      skip_start: how many points to leave out at the start; None for a tenth.
      skip_end: how many of the finite losses to leave out at the end.

    Raises:
      ValueError: unless both are of one length, and the values are positive, finite
        and increasing.
      NoSuggestionError: if fewer than `minimum` points are left.
    """
    values, losses = check_shapes(function, values, losses)
    if losses.ndim != 1:
        _fail_shapes(function, values, losses, "two equally long vectors")
    skip_start = len(values) // 10 if skip_start is None else skip_start
    _checks.integer(function, "skip_start", skip_start, minimum=0)
    _checks.integer(function, "skip_end", skip_end, minimum=0)
    broken = np.flatnonzero(~np.isfinite(losses))
    count = int(broken[0]) if len(broken) else len(losses)
    end = max(count - skip_end, skip_start)
    if end - skip_start < minimum:
        skipped = f" after {skip_start} and before {skip_end} that are left out"
        raise NoSuggestionError(
            f"{function}: losses must be at least {minimum} losses before the first "
            f"that is not finite{skipped if skip_start or skip_end else ''}, got "
            f"{count} of {len(losses)}; take more steps or lower the range"
        )
    later = losses[end:]
    worsens = bool(len(broken)) or bool(np.any(later > losses[end - 1]))
    return Curve(values[skip_start:end], losses[skip_start:end], skip_start, worsens)


def check_shapes(
    function: str, values: Any, losses: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Float64 `values [points]`, positive and increasing, and `losses [..., points]`.

    Raises:
      ValueError: if they are not.
    """
    values = np.asarray(values, np.float64)
    losses = np.asarray(losses, np.float64)
    if values.ndim != 1 or losses.ndim == 0 or losses.shape[-1] != len(values):
        expected = "two equally long vectors (or losses [seeds, points])"
        _fail_shapes(function, values, losses, expected)
    if not np.all(np.isfinite(values)) or np.any(values <= 0):
        expected = "positive finite numbers, because they lie on a logarithmic axis"
        _checks.fail(function, "values", expected, values)
    if np.any(np.diff(values) <= 0):
        _checks.fail(function, "values", "increasing", values)
    return values, losses


def _fail_shapes(
    function: str, values: np.ndarray, losses: np.ndarray, expected: str
) -> NoReturn:
    shapes = (values.shape, losses.shape)
    _checks.fail(function, "values and losses", expected, shapes)


def smooth(losses: Any, beta: float = 0.98) -> np.ndarray:
    r"""The debiased exponential moving average of losses.

    .. math:: s_i = \frac{1 - \beta}{1 - \beta^{i+1}} \sum_{j \le i} \beta^{i-j} l_j

    The first point is the first loss, and a constant stays exactly constant.

    Args:
      losses: array `[..., steps]`, the average runs along the last axis. From the
        first loss on that is not finite, the average is not finite either.
      beta: the decay, in [0, 1).

    Returns:
      Float64 array of the shape of `losses`.

    Raises:
      ValueError: if `beta` is not in [0, 1), or `losses` has no axis.

    Examples:
      >>> import optax_cycles as oc
      >>> oc.smooth([2.0, 2.0, 5.0], beta=0.5).tolist()
      [2.0, 2.0, 3.7142857142857144]
    """
    _checks.real("smooth", "beta", beta, minimum=0.0, below=1.0)
    losses = np.asarray(losses, np.float64)
    if losses.ndim == 0:
        _checks.fail("smooth", "losses", "an array with an axis of steps", losses)
    average = np.empty_like(losses)
    for step in range(losses.shape[-1]):
        loss = losses[..., step]
        if step == 0:
            average[..., 0] = loss
            continue
        weight = (1 - beta) / -np.expm1((step + 1) * np.log(beta)) if beta else 1.0
        last = average[..., step - 1]
        with np.errstate(invalid="ignore"):
            average[..., step] = last + weight * (loss - last)
    return average
