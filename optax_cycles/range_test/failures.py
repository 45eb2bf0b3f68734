"""Which members of a parallel range test failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.noise import luck, pooled_variance
from optax_cycles.range_test.over import BATCH_SIZE

NO_GAIN = 0.2
HALF_GAIN = 0.5


def failed(
    axes: Mapping[str, np.ndarray], losses: np.ndarray, untrained: np.ndarray
) -> np.ndarray:
    """bool `[*axes, seeds]`: the members that failed.

    Those whose loss is not finite; and, along each axis but the batch size, at or above
    the value with the least mean loss (in which a loss counts as no worse than the
    untrained one):

    - above it, those that have come less than a fifth of the way from the untrained
      loss to the best median on the line, if they are above that by more than noise;
    - those that have come less than half of the way, if they are above the median of
      their own point by more than noise.

    Noise is the luckiest of all members' deviations: `luck` times the standard
    deviation over seeds of the points that came a fifth of the way. Lines whose best
    loss has not come a fifth of the way to the best of all say nothing.
    """
    finite = np.isfinite(losses)
    medians = np.median(np.where(finite, losses, np.inf), axis=-1)
    if not np.isfinite(medians).any():
        return ~finite
    with np.errstate(invalid="ignore"):  # Infinite before and after.
        gain = untrained - np.where(finite, losses, np.inf)
    most = np.maximum(untrained - medians.min(), 0.0)
    noise = _noise(losses, np.median(gain, axis=-1) >= np.median(NO_GAIN * most, -1))
    capped = np.minimum(np.where(finite, losses, np.inf), untrained).mean(-1)
    split = losses > medians[..., None] + noise
    found = ~finite
    for axis, (name, values) in enumerate(axes.items()):
        if name == BATCH_SIZE:
            continue
        # A line of which nothing trained says nothing of what failed on it.
        least = medians.min(axis, keepdims=True)[..., None]
        on_line = np.maximum(untrained - least, 0.0)
        trained = np.isfinite(least) & (on_line >= NO_GAIN * most)
        index = np.arange(len(values)).reshape([-1] + [1] * (medians.ndim - axis))
        best = np.expand_dims(capped.argmin(axis), axis)[..., None]
        exploded = (gain < NO_GAIN * on_line) & (losses > least + noise)
        alone = (gain < HALF_GAIN * on_line) & split
        found |= trained & ((index > best) & exploded | (index >= best) & alone)
    return found


def untrained_losses(
    function: str, untrained: Any, shape: tuple[int, ...]
) -> np.ndarray:
    """The losses before training in the shape of the losses; NaN where not given.

    Raises:
      ValueError: unless they are a number or of that shape, without NaN.
    """
    if untrained is None:
        return np.full(shape, np.nan)
    start = np.asarray(untrained, np.float64)
    if start.shape not in ((), shape):
        expected = f"a number, or of the shape of losses, {shape}"
        _checks.fail(function, "untrained", expected, start.shape)
    if np.isnan(start).any():
        _checks.fail(function, "untrained", "without NaN", untrained)
    return np.broadcast_to(start, shape)


def _noise(losses: np.ndarray, trained: np.ndarray) -> float:
    """How far the worst of all members may lie from the middle of its point."""
    complete = losses[trained & np.isfinite(losses).all(axis=-1)]
    if losses.shape[-1] < 2 or not len(complete):
        return 0.0
    return float(pooled_variance(complete) ** 0.5) * luck(losses.size)
