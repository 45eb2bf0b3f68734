"""A factor that falls at the end, to multiply any schedule with."""

from __future__ import annotations

from optax_cycles._typing import Array, Scalar, Schedule, Step
from optax_cycles.schedules._phase import (
    between,
    fraction,
    lengths,
    reals,
    whole_step,
)
from optax_cycles.schedules._shapes import ShapeLike, shape_of


def cooldown(
    start: Scalar,
    steps: Scalar,
    shape: ShapeLike = "linear",
    *,
    end_ratio: Scalar = 0.0,
) -> Schedule:
    """A factor that stays at 1 and then falls, for `product`.

    `end_ratio + (1 - end_ratio) shape(q)` with q = (t - `start`) / `steps`, from 0
    to 1.

    Up to t = `start` the factor is 1, from t = start + `steps` on `end_ratio`.

    Args:
      start: step at which the descent begins, >= 0.
      steps: steps of the descent, >= 0.
      shape: a name ("linear", "1-sqrt", ...) or a function of q that falls from 1
        to 0.
      end_ratio: factor at the end.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or `end_ratio` not a number.
      ValueError: if a length is out of range or `shape` is unknown.

    Agrees with the cooldown of big_vision's schedules.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> oc.cooldown(2, 2)(jnp.arange(6)).tolist()
      [1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    """
    dtype, (end,) = reals("cooldown", end_ratio=end_ratio)
    begin, total = lengths("cooldown", minimum=0, start=start, steps=steps)
    fall = shape_of("cooldown", "shape", shape)

    def schedule(step: Step) -> Array:
        q = fraction(whole_step(step) - begin, total, dtype)
        return between(1.0, end, fall.weights(q))

    return schedule
