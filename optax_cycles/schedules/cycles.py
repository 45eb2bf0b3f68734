"""Where the cycles of a schedule begin."""

from __future__ import annotations

import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Schedule
from optax_cycles.schedules._phase import place_in, whole_step


def cycle_starts(schedule: Schedule, steps: int) -> np.ndarray:
    """The steps at which a schedule begins a new cycle, to mark them or to act there.

    Args:
      schedule: one of `triangular`, `triangular2`, `exp_range`, `cyclical`,
        `warm_restarts`, `repeat`, a member of their policies, or what `scale` and
        `clip` make of them. Any other schedule has no cycles.
      steps: how many steps to look at, >= 1.

    Returns:
      An ascending array of the steps above 0 and below `steps` that are the first of
      a cycle; empty where there are none.

    Raises:
      TypeError: if `schedule` is not a function, or `steps` not an integer.
      ValueError: if `steps` is below 1.

    Examples:
      >>> import optax_cycles as oc
      >>> oc.cycle_starts(oc.warm_restarts(10, 0.1, period_mult=2), 100).tolist()
      [10, 30, 70]
      >>> oc.cycle_starts(oc.linear_decay(1.0, 10), 100).tolist()
      []
    """
    _checks.function_of("cycle_starts", "schedule", schedule)
    _checks.integer("cycle_starts", "steps", steps, minimum=1)
    place_of = place_in(schedule)
    if place_of is None:
        return np.zeros(0, np.int64)
    cycles = np.asarray(place_of(whole_step(np.arange(steps))).cycle)
    return np.flatnonzero(np.diff(cycles)) + 1
