"""Decays at a rate, which have no end of their own."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Array, Scalar, Schedule, Step
from optax_cycles.schedules._phase import geometric, lengths, reals, whole_step


def exponential_decay(
    init_value: Scalar,
    decay_steps: Scalar,
    decay_rate: Scalar,
    *,
    staircase: bool = False,
    end_value: Scalar | None = None,
    begin: Scalar = 0,
) -> Schedule:
    """A decay by the same factor every `decay_steps` steps.

    `init decay_rate**x` with x = (t - begin) / `decay_steps`, rounded down to an
    integer for a staircase.

    Up to t = `begin` the value is `init_value`. There is no last step: the value
    tends to 0 (or grows), or stops at `end_value`.

    Args:
      init_value: value at the start.
      decay_steps: steps in which the value changes by `decay_rate`, >= 1.
      decay_rate: factor, > 0; above 1 the value grows.
      staircase: change in jumps every `decay_steps` steps, not at every step.
      end_value: bound of the value: the smallest for a `decay_rate` below 1, the
        largest for one above.
      begin: step at which the decay begins, >= 0.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or a value not a number.
      ValueError: if a number is out of range or not finite.

    Growth ends at a factor of 8e36, so that neither it nor a gradient overflows.

    Agrees with `optax.exponential_decay`, keras `ExponentialDecay`, and torch's
    `ExponentialLR` (`decay_steps` 1) and `StepLR` (staircase).

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> oc.exponential_decay(8.0, 2, 0.5, staircase=True)(jnp.arange(5)).tolist()
      [8.0, 8.0, 4.0, 4.0, 2.0]
    """
    name = "exponential_decay"
    _checks.flag(name, "staircase", staircase)
    _checks.real(name, "decay_rate", decay_rate, above=0)
    dtype, (init, rate) = reals(name, init_value=init_value, decay_rate=decay_rate)
    end = None if end_value is None else reals(name, end_value=end_value)[1][0]
    (steps,) = lengths(name, decay_steps=decay_steps)
    (first,) = lengths(name, minimum=0, begin=begin)
    log_rate = jnp.log(rate) if _checks.is_traced(rate) else math.log(rate)

    def schedule(step: Step) -> Array:
        since = jnp.maximum(whole_step(step) - first, 0)
        value: Array = init * _decayed(log_rate, since, steps, staircase, dtype)
        if end is None:
            return value
        grows = jnp.asarray(rate >= 1.0)
        return jnp.where(grows, jnp.minimum(value, end), jnp.maximum(value, end))

    return schedule


def natural_exp_decay(
    init_value: Scalar,
    decay_steps: Scalar,
    decay_rate: Scalar,
    *,
    staircase: bool = False,
    begin: Scalar = 0,
) -> Schedule:
    """A decay by a power of e.

    `init exp(-decay_rate x)` with x = (t - begin) / `decay_steps`, rounded down to
    an integer for a staircase.

    Up to t = `begin` the value is `init_value`. There is no last step: the value
    tends to 0.

    Args:
      init_value: value at the start.
      decay_steps: steps in which the exponent changes by `decay_rate`, >= 1.
      decay_rate: rate; below 0 the value grows.
      staircase: change in jumps every `decay_steps` steps, not at every step.
      begin: step at which the decay begins, >= 0.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or a value not a number.
      ValueError: if a length is out of range or a value not finite.

    Agrees with `natural_exp_decay` of TensorFlow 1.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> values = oc.natural_exp_decay(1.0, 1, 1.0)(jnp.arange(3))
      >>> [round(float(value), 4) for value in values]
      [1.0, 0.3679, 0.1353]
    """
    name = "natural_exp_decay"
    _checks.flag(name, "staircase", staircase)
    dtype, (init, rate) = reals(name, init_value=init_value, decay_rate=decay_rate)
    (steps,) = lengths(name, decay_steps=decay_steps)
    (first,) = lengths(name, minimum=0, begin=begin)

    def schedule(step: Step) -> Array:
        since = jnp.maximum(whole_step(step) - first, 0)
        value: Array = init * _decayed(-rate, since, steps, staircase, dtype)
        return value

    return schedule


def inverse_time_decay(
    init_value: Scalar,
    decay_steps: Scalar,
    decay_rate: Scalar,
    *,
    staircase: bool = False,
    begin: Scalar = 0,
) -> Schedule:
    """A decay in proportion to one over the time.

    `init / (1 + decay_rate x)` with x = (t - begin) / `decay_steps`, rounded down to
    an integer for a staircase.

    Up to t = `begin` the value is `init_value`. There is no last step: the value
    tends to 0.

    Args:
      init_value: value at the start.
      decay_steps: steps in which the denominator grows by `decay_rate`, >= 1.
      decay_rate: rate, >= 0.
      staircase: change in jumps every `decay_steps` steps, not at every step.
      begin: step at which the decay begins, >= 0.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or a value not a number.
      ValueError: if a number is out of range or not finite.

    Agrees with keras `InverseTimeDecay` and `inverse_time_decay` of TensorFlow 1.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> oc.inverse_time_decay(1.0, 2, 1.0)(jnp.asarray([0, 2, 6])).tolist()
      [1.0, 0.5, 0.25]
    """
    name = "inverse_time_decay"
    _checks.flag(name, "staircase", staircase)
    _checks.real(name, "decay_rate", decay_rate, minimum=0)
    dtype, (init, rate) = reals(name, init_value=init_value, decay_rate=decay_rate)
    (steps,) = lengths(name, decay_steps=decay_steps)
    (first,) = lengths(name, minimum=0, begin=begin)

    def schedule(step: Step) -> Array:
        since = jnp.maximum(whole_step(step) - first, 0)
        if staircase:
            passed = (since // steps).astype(dtype)
        else:
            passed = since.astype(dtype) / jnp.asarray(steps).astype(dtype)
        value: Array = init / (1.0 + rate * passed)
        return value

    return schedule


def _decayed(
    log_rate: Any, since: Array, steps: Any, staircase: bool, dtype: Any
) -> Array:
    """`exp(log_rate since / steps)`, with the quotient rounded down for a staircase."""
    if staircase:
        return geometric(log_rate, since // steps, dtype)
    per_step = log_rate / (
        steps.astype(dtype) if _checks.is_traced(steps) else float(steps)
    )
    return geometric(per_step, since, dtype)
