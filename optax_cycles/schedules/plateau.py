"""Reducing a value when a metric stops improving."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optax_cycles import _checks
from optax_cycles._typing import Array, PyTree, Scalar
from optax_cycles.schedules._metric import MetricSchedule, direction, is_better
from optax_cycles.schedules._phase import lengths, reals


class PlateauState(NamedTuple):
    """What a plateau schedule remembers; all leaves are scalars.

    Attributes:
      value: current value of the hyperparameter.
      best: best metric so far.
      bad: metrics since then that were not better (int32).
      cooldown: metrics that will still be ignored (int32).
    """

    value: Array
    best: Array
    bad: Array
    cooldown: Array


def reduce_on_plateau(
    init_value: Scalar = 1.0,
    *,
    mode: str = "min",
    factor: Scalar = 0.1,
    patience: Scalar = 10,
    threshold: Scalar = 1e-4,
    threshold_mode: str = "rel",
    cooldown: Scalar = 0,
    min_value: Scalar = 0.0,
    eps: Scalar = 1e-8,
) -> MetricSchedule:
    """A stateful schedule that reduces its value when a metric stops improving.

    A metric is better if it is below best - margin (mode "min") or above
    best + margin ("max"), with a margin of `threshold * abs(best)` ("rel") or
    `threshold` ("abs"); NaN is never better. When more than `patience` metrics in a
    row were not better, the value becomes max(value * factor, min_value), unless
    that is a change of at most `eps`, and the next `cooldown` metrics do not count
    as bad ones.

    The value at first is `init_value`. The metric given to an update counts for
    that same update; an update that is given none leaves the state as it is.

    Args:
      init_value: value at the start.
      mode: `"min"` or `"max"`: what is better.
      factor: factor of each reduction, from 0 to below 1.
      patience: metrics that may be bad without a reduction, >= 0.
      threshold: smallest improvement that counts, >= 0.
      threshold_mode: `"rel"` or `"abs"`.
      cooldown: metrics after a reduction that do not count as bad, >= 0.
      min_value: smallest value.
      eps: smallest change of the value, >= 0.

    Returns:
      An optax stateful schedule, for `optax.inject_hyperparams` or `inject`: call the
      optimizer's `update(..., value=metric)`. Every number may be traced, and the
      state survives `jit`, `scan`, `vmap` and checkpoints.

    Raises:
      TypeError: if a number is of the wrong type.
      ValueError: if a number is out of range, or a mode is unknown.

    linen's `TrainState.apply_gradients` passes no metric on; call `state.tx.update(
    grads, state.opt_state, state.params, value=metric)`. `nnx.Optimizer.update` does.

    Agrees with `torch.optim.lr_scheduler.ReduceLROnPlateau` for metrics that are not
    negative; for those, torch's relative margin asks for no improvement.

    Examples:
      >>> import optax_cycles as oc
      >>> schedule = oc.reduce_on_plateau(1.0, patience=1, factor=0.5)
      >>> state, values = schedule.init(), []
      >>> for metric in (3.0, 3.0, 3.0, 3.0, 3.0):
      ...     state = schedule.update(state, value=metric)
      ...     values.append(float(state.value))
      >>> values
      [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    return _plateau("reduce_on_plateau", **locals())


def scale_by_plateau(
    *,
    mode: str = "min",
    factor: Scalar = 0.1,
    patience: Scalar = 10,
    threshold: Scalar = 1e-4,
    threshold_mode: str = "rel",
    cooldown: Scalar = 0,
    min_value: Scalar = 0.0,
    eps: Scalar = 1e-8,
) -> optax.GradientTransformationExtraArgs:
    """Updates times a scale that is reduced when a metric stops improving.

    The scale is `reduce_on_plateau(1.0, ...)`; it starts at 1 and counts the metric
    of an update for that same update.

    Args:
      mode: `"min"` or `"max"`: what is better.
      factor: factor of each reduction, from 0 to below 1.
      patience: metrics that may be bad without a reduction, >= 0.
      threshold: smallest improvement that counts, >= 0.
      threshold_mode: `"rel"` or `"abs"`.
      cooldown: metrics after a reduction that do not count as bad, >= 0.
      min_value: smallest scale.
      eps: smallest change of the scale, >= 0.

    Returns:
      A transformation for `optax.chain`, whose `update` takes `value=metric`.

    Raises:
      TypeError: if a number is of the wrong type, or `value` is not given.
      ValueError: if a number is out of range, or a mode is unknown.

    Agrees with `torch.optim.lr_scheduler.ReduceLROnPlateau` (unlike
    `optax.contrib.reduce_on_plateau`, which fires one metric early, with a patience
    of 0 never, and never when the metric is negative).

    Examples:
      >>> import jax.numpy as jnp, optax, optax_cycles as oc
      >>> optimizer = optax.chain(optax.sgd(1.0), oc.scale_by_plateau(patience=0))
      >>> state = optimizer.init(jnp.zeros(()))
      >>> for metric in (3.0, 3.0):
      ...     updates, state = optimizer.update(jnp.ones(()), state, value=metric)
      >>> round(float(updates), 6)
      -0.1
    """
    schedule = _plateau("scale_by_plateau", init_value=1.0, **locals())

    def init(params: PyTree) -> PlateauState:
        del params
        return schedule.init()

    def update(
        updates: PyTree,
        state: PlateauState,
        params: PyTree = None,
        *,
        value: Scalar,
        **extra_args: Any,
    ) -> tuple[PyTree, PlateauState]:
        del params, extra_args
        state = schedule.update(state, value=value)
        scaled = jax.tree.map(lambda u: u * state.value.astype(u.dtype), updates)
        return scaled, state

    return optax.GradientTransformationExtraArgs(init, update)


def _plateau(
    function: str, mode: str, threshold_mode: str, **numbers: Any
) -> MetricSchedule:
    """The schedule behind both, whose arguments are those of `reduce_on_plateau`."""
    sign = direction(function, mode, threshold_mode, numbers["threshold"])
    _checks.real(function, "factor", numbers["factor"], minimum=0, below=1)
    _checks.real(function, "eps", numbers["eps"], minimum=0)
    names = ("patience", "cooldown")
    patience, pause = lengths(function, minimum=0, **{n: numbers.pop(n) for n in names})
    dtype, values = reals(function, **numbers)
    number = dict(zip(numbers, values, strict=True))

    def init() -> PlateauState:
        zero = jnp.zeros((), jnp.int32)
        value = jnp.asarray(number["init_value"], dtype)
        return PlateauState(value, jnp.asarray(sign * jnp.inf, dtype), zero, zero)

    def update(
        state: PlateauState, *, value: Scalar | None = None, **extra_args: Any
    ) -> PlateauState:
        del extra_args
        if value is None:
            return state
        metric = jnp.asarray(value).astype(dtype)
        better = is_better(
            metric, state.best, sign, number["threshold"], threshold_mode
        )
        waits = state.cooldown > 0
        bad = jnp.where(better | waits, 0, state.bad + 1)
        fires = bad > patience
        lower = jnp.maximum(state.value * number["factor"], number["min_value"])
        changes = fires & (state.value - lower > number["eps"])
        return PlateauState(
            value=jnp.where(changes, lower, state.value),
            best=jnp.where(better, metric, state.best),
            bad=jnp.where(fires, 0, bad),
            cooldown=jnp.where(fires, pause, state.cooldown - waits.astype(jnp.int32)),
        )

    return MetricSchedule(init, update)
