"""When a member counts as diverged."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Array


class Watch(NamedTuple):
    """What the rule remembers of one member's losses.

    Attributes:
      seen: how many losses there were.
      first: the first loss.
      last: the last finite loss.
      smooth: the debiased exponential moving average of the losses.
      best: the least value of `smooth` so far.
      noise: the mean change from one loss to the next, up to the best.
      change: the mean change from one loss to the next, up to now.
    """

    seen: Array
    first: Array
    last: Array
    smooth: Array
    best: Array
    noise: Array
    change: Array


class Divergence(NamedTuple):
    r"""The rule by which a member is stopped.

    A loss that is NaN or infinite always stops a member. With a `factor` k, a
    member also stops where its smoothed loss s leaves its best value b by more
    than the member had gained, or than its losses scatter:

    .. math:: s - b > k \max(\ell_0 - b, \bar{d})

    where l_0 is the first loss and d the mean absolute change from one loss to the
    next up to the best (or, where that is larger, the rounding error of b). The rule
    does not change when a constant is added to the loss or the loss is multiplied by
    a positive number, so it holds for negative losses, where "k times the best" stops
    at once.

    Attributes:
      factor: k, or None for non-finite losses only.
      smoothing: the decay of the moving average, in [0, 1).
      patience: losses to see before `factor` is applied.
    """

    factor: float | None = None
    smoothing: float = 0.98
    patience: int = 10


NON_FINITE = Divergence()
ROUNDING = 2.0**-20  # 8 units in the last place of float32


def check_divergence(function: str, rule: Divergence) -> None:
    """Raise where a rule's numbers make no sense."""
    if not isinstance(rule, Divergence):
        _checks.fail_type(function, "divergence", "a Divergence", rule)
    if rule.factor is not None:
        _checks.real(function, "divergence.factor", rule.factor, above=0)
    _checks.real(
        function, "divergence.smoothing", rule.smoothing, minimum=0.0, below=1.0
    )
    _checks.integer(function, "divergence.patience", rule.patience, minimum=0)


def start_watch() -> Watch:
    """The watch of a member that has not trained yet."""
    nan = jnp.float32(jnp.nan)
    zero = jnp.float32(0)
    return Watch(jnp.int32(0), nan, nan, zero, nan, zero, zero)


def observe(rule: Divergence, watch: Watch, loss: Array) -> tuple[Watch, Array]:
    """Take in one loss; returns the new watch and whether the member diverged."""
    finite = jnp.isfinite(loss)
    loss = loss.astype(jnp.float32)
    seen = watch.seen + 1
    known = jnp.where(finite, loss, watch.last)
    if rule.factor is None:
        first = jnp.where(watch.seen == 0, loss, watch.first)
        return watch._replace(seen=seen, first=first, last=known), ~finite

    is_first = watch.seen == 0
    number = seen.astype(jnp.float32)
    # The debiased average written as a step towards the loss: a constant stays exact.
    decay = rule.smoothing
    weight = (1 - decay) / -jnp.expm1(number * math.log(decay)) if decay else 1.0
    smooth = jnp.where(is_first, loss, watch.smooth + weight * (loss - watch.smooth))
    first = jnp.where(is_first, loss, watch.first)
    changed = jnp.where(is_first, 0.0, jnp.abs(loss - watch.last))
    change = watch.change + (changed - watch.change) / jnp.maximum(number - 1, 1)
    improved = is_first | (smooth < watch.best)
    best = jnp.where(improved, smooth, watch.best)
    early = seen <= rule.patience
    noise = jnp.where(improved | early, change, watch.noise)
    margin = jnp.maximum(jnp.maximum(first - best, noise), ROUNDING * jnp.abs(best))
    left = (smooth - best) > rule.factor * margin
    watch = Watch(seen, first, known, smooth, best, noise, change)
    return watch, ~finite | (left & ~early)
