"""The parts that every schedule of this package is made of, to make your own.

`whole_step` makes exact int32 steps, `modulo` finds the place of a step in its cycle,
`weights` says how much of the start and of the end value a shape takes there, and
`between` is the value. `lengths` and `reals` check a factory's arguments; tracers pass.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from optax_cycles.schedules._phase import (
    Place,
    Weights,
    between,
    fraction,
    lengths,
    modulo,
    reals,
    whole_step,
)
from optax_cycles.schedules._shapes import ShapeLike, shape_of

__all__ = [
    "Place",
    "Weights",
    "between",
    "lengths",
    "modulo",
    "reals",
    "weights",
    "whole_step",
]


def weights(shape: ShapeLike, place: Place, dtype: Any = jnp.float32) -> Weights:
    """How much of the start and of the end value a shape takes at a place.

    Args:
      shape: a name ("linear", "cosine", ...) or a function of q that falls from 1 to
        0 over the cycle.
      place: where the step is; a place of your own is `Place(cycle, position, period)`.
      dtype: of the weights.

    Returns:
      `Weights(start, end)`, which add up to 1.

    Raises:
      TypeError: if `shape` is neither a name nor a function.
      ValueError: if its name is unknown.

    Examples:
      >>> from optax_cycles.schedules import parts
      >>> place = parts.modulo(parts.whole_step(13), 8)
      >>> found = parts.weights("linear", place)
      >>> float(found.start), float(found.end), float(parts.between(0.0, 8.0, found))
      (0.375, 0.625, 5.0)
    """
    q = fraction(place.position, place.period, dtype)
    return shape_of("weights", "shape", shape).weights(q)
