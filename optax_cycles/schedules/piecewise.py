"""Values that jump at given steps."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Array, Scalar, Schedule, Step
from optax_cycles.schedules._phase import reals, whole_step
from optax_cycles.schedules.combine import ascending


def piecewise_constant(
    boundaries: Sequence[Scalar],
    values: Sequence[Scalar],
    *,
    side: str = "right",
) -> Schedule:
    """A constant between each boundary and the next.

    `values[i]`, where i is the number of boundaries b <= t (with side "left": b < t).

    At t = 0 the value is the first one (unless a boundary is 0), after the last
    boundary it is the last one.

    Args:
      boundaries: steps at which the value jumps, in ascending order.
      values: one more than there are boundaries.
      side: `"right"`: the new value holds from the boundary on (optax, torch);
        `"left"`: the step of the boundary still has the old one (keras).

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a boundary is not an integer or a value not a number.
      ValueError: if the numbers of boundaries and values don't match, the boundaries
        do not ascend, or `side` is unknown.

    Agrees with `optax.piecewise_constant_schedule` (which takes factors) and torch's
    `MultiStepLR`; with side "left", with keras `PiecewiseConstantDecay`.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> oc.piecewise_constant([2, 3], [1.0, 0.5, 0.25])(jnp.arange(5)).tolist()
      [1.0, 1.0, 0.5, 0.25, 0.25]
    """
    name = "piecewise_constant"
    _checks.sequence(name, "boundaries", boundaries)
    _checks.sequence(name, "values", values)
    edges = ascending(name, "boundaries", boundaries)
    if len(values) != len(edges) + 1:
        expected = f"one value more than there are boundaries ({len(edges)})"
        _checks.fail(name, "values", expected, values)
    _checks.choice(name, "side", side, ["right", "left"])
    named = {f"values[{i}]": value for i, value in enumerate(values)}
    dtype, levels = reals(name, **named)

    def schedule(step: Step) -> Array:
        step = whole_step(step)
        value = jnp.broadcast_to(jnp.asarray(levels[0], dtype), step.shape)
        for edge, level in zip(edges, levels[1:], strict=True):
            value = jnp.where(
                step >= edge if side == "right" else step > edge, level, value
            )
        return value

    return schedule
