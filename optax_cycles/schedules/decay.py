"""Schedules that decay from the first step on."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Array, Scalar, Schedule, Step
from optax_cycles.schedules._phase import (
    Fraction,
    between,
    fraction,
    lengths,
    reals,
    whole_step,
)
from optax_cycles.schedules._shapes import SHAPES, polynomial_shape


def linear_decay(
    init_value: Scalar,
    decay_steps: Scalar,
    *,
    end_value: Scalar = 0.0,
    begin: Scalar = 0,
) -> Schedule:
    """A straight line from one value to another.

    `init + (end - init) q` with q = (t - begin) / `decay_steps`, from 0 to 1.

    Up to t = `begin` the value is `init_value`, from t = begin + `decay_steps` on
    `end_value`.

    Args:
      init_value: value at the start.
      decay_steps: steps from one value to the other, >= 0.
      end_value: value at the end; it may be above `init_value`.
      begin: step at which the change begins, >= 0.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or a value not a number.
      ValueError: if a length is out of range or a value not finite.

    Agrees with `optax.linear_schedule` and `torch.optim.lr_scheduler.LinearLR`.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> oc.linear_decay(1.0, 4)(jnp.arange(6)).tolist()
      [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    dtype, (init, end) = reals(
        "linear_decay", init_value=init_value, end_value=end_value
    )
    steps, first = lengths(
        "linear_decay", minimum=0, decay_steps=decay_steps, begin=begin
    )

    def schedule(step: Step) -> Array:
        q = _since(step, first, steps, dtype)
        return between(init, end, SHAPES["linear"].weights(q))

    return schedule


def cosine_decay(
    init_value: Scalar,
    decay_steps: Scalar,
    *,
    end_ratio: Scalar = 0.0,
    exponent: Scalar = 1.0,
    begin: Scalar = 0,
) -> Schedule:
    """Half a cosine from a value to a fraction of it.

    `init ((1 - end_ratio) ((1 + cos(pi q)) / 2)**exponent + end_ratio)` with
    q = (t - begin) / `decay_steps`, from 0 to 1.

    Up to t = `begin` the value is `init_value`, from t = begin + `decay_steps` on
    `init_value * end_ratio`; it never rises again.

    Args:
      init_value: value at the start.
      decay_steps: steps of the decay, >= 0.
      end_ratio: last value over the first one.
      exponent: power of the cosine, >= 0.
      begin: step at which the decay begins, >= 0.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or a value not a number.
      ValueError: if a number is out of range or not finite.

    Agrees with `optax.cosine_decay_schedule` (whose `alpha` is `end_ratio`), keras
    `CosineDecay`, and `torch.optim.lr_scheduler.CosineAnnealingLR` up to its
    `T_max`, after which that rises.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> oc.cosine_decay(2.0, 2, end_ratio=0.5)(jnp.arange(4)).tolist()
      [2.0, 1.5, 1.0, 1.0]
    """
    _checks.real("cosine_decay", "exponent", exponent, minimum=0)
    dtype, (init, ratio, power) = reals(
        "cosine_decay", init_value=init_value, end_ratio=end_ratio, exponent=exponent
    )
    steps, first = lengths(
        "cosine_decay", minimum=0, decay_steps=decay_steps, begin=begin
    )

    def schedule(step: Step) -> Array:
        weights = SHAPES["cosine"].weights(_since(step, first, steps, dtype))
        if _checks.is_traced(power) or power != 1.0:
            # The weight of the start value is itself a fraction that is left.
            left, done = weights
            weights = polynomial_shape(power).weights(Fraction(done, left))
        return between(init, init * ratio, weights)

    return schedule


def polynomial_decay(
    init_value: Scalar,
    decay_steps: Scalar,
    *,
    end_value: Scalar = 0.0,
    power: Scalar = 1.0,
    cycle: bool = False,
    begin: Scalar = 0,
) -> Schedule:
    """A power of what is left of the decay.

    `end + (init - end) (1 - q)**power` with q = (t - begin) / T from 0 to 1 and
    T = `decay_steps`; in a cycle q = (t - begin) / (T ceil((t - begin) / T)).

    Up to t = `begin` the value is `init_value`, from t = begin + `decay_steps` on
    `end_value`; in a cycle it rises again after each multiple of T, less each time.

    Args:
      init_value: value at the start.
      decay_steps: steps T of the decay, >= 0.
      end_value: value at the end.
      power: exponent, >= 0.
      cycle: stretch the decay by whole multiples of T instead of stopping.
      begin: step at which the decay begins, >= 0.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or a value not a number.
      ValueError: if a number is out of range or not finite.

    Agrees with `optax.polynomial_schedule`, torch's `PolynomialLR`, and keras
    `PolynomialDecay` with and without its `cycle`.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> oc.polynomial_decay(4.0, 2, power=2)(jnp.arange(4)).tolist()
      [4.0, 1.0, 0.0, 0.0]
    """
    name = "polynomial_decay"
    dtype, (init, end) = reals(name, init_value=init_value, end_value=end_value)
    _checks.flag(name, "cycle", cycle)
    _checks.real(name, "power", power, minimum=0)
    steps, first = lengths(name, minimum=0, decay_steps=decay_steps, begin=begin)
    shape = polynomial_shape(power)

    def schedule(step: Step) -> Array:
        since = whole_step(step) - first
        q = fraction(since, steps, dtype)
        return between(
            init, end, shape.weights(_stretched(since, steps, q) if cycle else q)
        )

    return schedule


def linear_cosine_decay(
    init_value: Scalar,
    decay_steps: Scalar,
    *,
    num_periods: Scalar = 0.5,
    alpha: Scalar = 0.0,
    beta: Scalar = 0.001,
    begin: Scalar = 0,
) -> Schedule:
    """A cosine wave under a straight line that falls.

    `init ((alpha + 1 - q) (1 + cos(2 pi num_periods q)) / 2 + beta)` with
    q = (t - begin) / `decay_steps`, from 0 to 1.

    Up to t = `begin` the value is `init (1 + alpha + beta)`, from
    t = begin + `decay_steps` on `init (alpha (1 + cos(2 pi num_periods)) / 2 + beta)`.

    Args:
      init_value: value that all is multiplied by.
      decay_steps: steps of the decay, >= 0.
      num_periods: periods of the cosine over the decay.
      alpha: added to the line.
      beta: added to the wave.
      begin: step at which the decay begins, >= 0.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or a value not a number.
      ValueError: if a length is out of range or a value not finite.

    Agrees with `linear_cosine_decay` of TensorFlow 1. I. Bello et al., "Neural
    Optimizer Search with Reinforcement Learning" (2017).

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> values = oc.linear_cosine_decay(1.0, 2, beta=0.0)(jnp.arange(3))
      >>> [round(float(value), 4) for value in values]
      [1.0, 0.25, 0.0]
    """
    name = "linear_cosine_decay"
    dtype, (init, periods, line, rest) = reals(
        name, init_value=init_value, num_periods=num_periods, alpha=alpha, beta=beta
    )
    steps, first = lengths(name, minimum=0, decay_steps=decay_steps, begin=begin)

    def schedule(step: Step) -> Array:
        q = _since(step, first, steps, dtype)
        wave = jnp.cos(math.pi * periods * q.done) ** 2
        value: Array = init * ((line + q.left) * wave + rest)
        return value

    return schedule


def _since(step: Step, begin: Any, steps: Any, dtype: Any) -> Fraction:
    """The fraction of a decay that begins at `begin`."""
    return fraction(whole_step(step) - begin, steps, dtype)


def _stretched(since: Array, steps: Any, q: Fraction) -> Fraction:
    """The fraction of a decay of as many times `steps` as have begun."""
    begun = jnp.maximum(-(-since // jnp.maximum(steps, 1)), 1)
    left = jnp.maximum(begun * steps - since, 0).astype(q.done.dtype)
    share = jnp.asarray(steps).astype(q.done.dtype) * begun.astype(q.done.dtype)
    after = (begun > 1) & (jnp.asarray(steps) > 0)
    return Fraction(
        jnp.where(after, since.astype(q.done.dtype) / jnp.maximum(share, 1.0), q.done),
        jnp.where(after, left / jnp.maximum(share, 1.0), q.left),
    )
