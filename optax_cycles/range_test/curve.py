"""A curve of losses over the values of a hyperparameter, raw and smoothed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from optax_cycles import _checks


class Curve(NamedTuple):
    """Losses over increasing values of one hyperparameter, over which rules decide.

    Attributes:
      values: float `[points]`, positive and increasing.
      losses: float `[points]`, all finite.
    """

    values: np.ndarray
    losses: np.ndarray


def check_curve(function: str, values: Any, losses: Any, *, minimum: int) -> Curve:
    """The curve up to its first loss that is not finite.

    Raises:
      ValueError: unless both are of one length, the values are positive, finite and
        increasing, and at least `minimum` finite losses come first.
    """
    values = np.asarray(values, np.float64)
    losses = np.asarray(losses, np.float64)
    if values.ndim != 1 or values.shape != losses.shape:
        shapes = (values.shape, losses.shape)
        _checks.fail(function, "values and losses", "two equally long vectors", shapes)
    if not np.all(np.isfinite(values)) or np.any(values <= 0):
        _checks.fail(function, "values", "positive finite numbers", values)
    if np.any(np.diff(values) <= 0):
        _checks.fail(function, "values", "increasing", values)
    broken = np.flatnonzero(~np.isfinite(losses))
    count = int(broken[0]) if len(broken) else len(losses)
    if count < minimum:
        expected = f"at least {minimum} losses before the first that is not finite"
        _checks.fail(function, "losses", expected, count)
    return Curve(values[:count], losses[:count])


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
