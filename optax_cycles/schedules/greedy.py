"""Raising a value while a metric improves, and reducing it when it stops."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Array, Scalar
from optax_cycles.schedules._metric import MetricSchedule, direction, is_better
from optax_cycles.schedules._phase import lengths, reals


class GreedyState(NamedTuple):
    """What `greedy` remembers; all leaves but `recent` are scalars.

    Attributes:
      value: current value of the hyperparameter.
      best: best metric so far, averaged over the window.
      good: metrics in a row that were better (int32).
      bad: metrics in a row that were not (int32).
      wait: metrics that will still be ignored (int32).
      low: reductions in a row that left the value at its minimum, to `eps` (int32).
      recent: the last metrics, as many as the window holds.
      count: metrics since the start or the last one from anew (int32).
    """

    value: Array
    best: Array
    good: Array
    bad: Array
    wait: Array
    low: Array
    recent: Array
    count: Array  # type: ignore[assignment]


def greedy(
    init_value: Scalar,
    *,
    mode: str = "min",
    factor: Scalar = 0.95,
    patience: Scalar = 10,
    threshold: Scalar = 1e-6,
    threshold_mode: str = "abs",
    cooldown: Scalar = 0,
    warmup: Scalar = 0,
    min_value: Scalar = 1e-3,
    max_value: Scalar = 1.0,
    eps: Scalar = 1e-8,
    window: int = 1,
    restart_after: Scalar = 500,
) -> MetricSchedule:
    """A stateful schedule that rises while a metric improves and falls when it stops.

    A metric is better as in `reduce_on_plateau`. After more than `patience` better ones
    in a row the value becomes min(value / factor, max_value), and the next `warmup`
    metrics are ignored; after more than `patience` that were not better, it becomes
    max(value * factor, min_value), and the next `cooldown` are. After `restart_after`
    reductions in a row that left it at `min_value` (or below) all starts anew.

    The value at first is `init_value`. The metric given to an update counts for that
    same update; an update that is given none leaves the state as it is.

    Args:
      init_value: value at the start.
      mode: `"min"` or `"max"`: what is better.
      factor: factor of each reduction, above 0 and below 1.
      patience: metrics in a row that change nothing, >= 0.
      threshold: smallest improvement that counts, >= 0.
      threshold_mode: `"rel"` or `"abs"`.
      cooldown: metrics ignored after a reduction, >= 0.
      warmup: metrics ignored after a rise, >= 0.
      min_value: smallest value that a reduction leads to.
      max_value: largest value that a rise leads to.
      eps: smallest change of the value, >= 0.
      window: how many of the last metrics are averaged, >= 1; static.
      restart_after: reductions at the minimum until all starts anew, >= 1.

    Returns:
      An optax stateful schedule, for `optax.inject_hyperparams` or `inject`: call the
      optimizer's `update(..., value=metric)`. Every number but `window` may be traced.

    Raises:
      TypeError: if a number is of the wrong type.
      ValueError: if a number is out of range, or a mode is unknown.

    Agrees with `transformers.GreedyLR` for metrics that are not negative or an absolute
    threshold. "GreedyLR: A Novel Adaptive Learning Rate Scheduler" (arXiv 2512.14527).

    Examples:
      >>> import optax_cycles as oc
      >>> schedule = oc.greedy(0.25, patience=1, factor=0.5)
      >>> state, values = schedule.init(), []
      >>> for metric in (3.0, 2.0, 1.0, 1.0, 1.0):
      ...     state = schedule.update(state, value=metric)
      ...     values.append(float(state.value))
      >>> values
      [0.25, 0.5, 0.5, 0.5, 0.25]
    """
    sign = direction("greedy", mode, threshold_mode, threshold)
    _checks.real("greedy", "factor", factor, above=0, below=1)
    _checks.real("greedy", "eps", eps, minimum=0)
    _checks.integer("greedy", "window", window, minimum=1)
    needed, after_fall, after_rise = lengths(
        "greedy", minimum=0, patience=patience, cooldown=cooldown, warmup=warmup
    )
    (most_low,) = lengths("greedy", restart_after=restart_after)
    dtype, (first, shrink, margin, lowest, highest, least) = reals(
        "greedy",
        init_value=init_value,
        factor=factor,
        threshold=threshold,
        min_value=min_value,
        max_value=max_value,
        eps=eps,
    )

    def init() -> GreedyState:
        zero = jnp.zeros((), jnp.int32)
        value, best = jnp.asarray(first, dtype), jnp.asarray(sign * jnp.inf, dtype)
        recent = jnp.zeros(window, dtype)
        return GreedyState(value, best, zero, zero, zero, zero, recent, zero)

    def update(
        state: GreedyState, *, value: Scalar | None = None, **extra_args: Any
    ) -> GreedyState:
        del extra_args
        if value is None:
            return state
        recent, metric = _averaged(state, jnp.asarray(value).astype(dtype))
        counts = state.wait == 0
        better = is_better(metric, state.best, sign, margin, threshold_mode)
        good = jnp.where(counts & better, state.good + 1, 0)
        bad = jnp.where(counts & ~better, state.bad + 1, 0)
        rises, falls = good > needed, bad > needed
        higher = jnp.minimum(state.value / shrink, highest)
        lower = jnp.maximum(state.value * shrink, lowest)
        now = jnp.where(rises & (higher - state.value > least), higher, state.value)
        now = jnp.where(falls & (state.value - lower > least), lower, now)
        # A rise and a reduction may leave it a rounding above the minimum.
        low = jnp.where(rises, 0, state.low + (falls & (now - lowest <= least)))
        pause = jnp.where(rises, after_rise, jnp.where(falls, after_fall, 0))
        wait = jnp.where(counts, pause, state.wait - 1)
        after = GreedyState(
            value=now,
            best=jnp.where(counts & better, metric, state.best),
            good=jnp.where(rises, 0, good),
            bad=jnp.where(falls, 0, bad),
            wait=wait,
            low=low,
            recent=recent,
            count=state.count + 1,
        )
        anew, ends = init()._replace(wait=wait), low >= most_low
        return jax.tree.map(lambda a, b: jnp.where(ends, a, b), anew, after)

    return MetricSchedule(init, update)


def _averaged(state: GreedyState, metric: Array) -> tuple[Array, Array]:
    """The last metrics with this one, and their mean."""
    window = state.recent.size
    recent = state.recent.at[state.count % window].set(metric)
    filled = jnp.minimum(state.count + 1, window)
    held = jnp.where(jnp.arange(window) < filled, recent, 0.0)
    return recent, jnp.sum(held) / filled.astype(metric.dtype)
