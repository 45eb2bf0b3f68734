"""Schedules made of other schedules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Array, Scalar, Schedule, Step
from optax_cycles.schedules._phase import (
    MAX_STEP,
    evaluate,
    in_cycles,
    lengths,
    modulo,
    place_in,
    reals,
    whole_step,
)


def join(schedules: Sequence[Schedule], boundaries: Sequence[Scalar]) -> Schedule:
    """One schedule after another, each with its own count of steps.

    Schedule i runs from boundary i - 1 on (the first from step 0), and at step t
    it is given t minus that boundary. A boundary belongs to the schedule that it
    starts. No schedule is ever evaluated outside its own range.

    The value at t = 0 is the first schedule's own at 0; after the last boundary
    the last schedule runs on.

    Args:
      schedules: functions of the step.
      boundaries: steps at which the next schedule takes over, one fewer than
        there are schedules, in ascending order. With two equal boundaries the
        schedule between them is skipped.

    Returns:
      A function of the step, for any shape of steps. Every boundary may be traced.

    Raises:
      TypeError: if a schedule is not a function or a boundary not an integer.
      ValueError: if the numbers of schedules and boundaries don't match, or the
        boundaries do not ascend.

    Agrees with `optax.join_schedules` and `torch.optim.lr_scheduler.SequentialLR`.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> rise = oc.linear_decay(0.0, 2, end_value=1.0)
      >>> oc.join([rise, oc.linear_decay(1.0, 4)], [2])(jnp.arange(7)).tolist()
      [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    _checks.sequence("join", "schedules", schedules)
    _checks.sequence("join", "boundaries", boundaries)
    for index, schedule in enumerate(schedules):
        _checks.function_of("join", f"schedules[{index}]", schedule)
    if len(boundaries) != len(schedules) - 1:
        expected = f"one boundary fewer than there are schedules ({len(schedules)})"
        _checks.fail("join", "boundaries", expected, boundaries)
    edges = ascending("join", "boundaries", boundaries)

    def joined(step: Step) -> Array:
        step = whole_step(step)
        parts = []
        for schedule, begin, end in zip(
            schedules, [0, *edges], [*edges, None], strict=True
        ):
            local = jnp.maximum(step - begin, 0)
            if end is not None:
                local = jnp.minimum(local, jnp.maximum(end - begin - 1, 0))
            parts.append(evaluate(schedule, local))
        value = parts[0]
        for edge, part in zip(edges, parts[1:], strict=True):
            value = jnp.where(step < edge, value, part)
        return value

    return joined


def product(*schedules: Schedule) -> Schedule:
    """The product of several schedules, all at the same step.

    The values at t = 0, at the last step and after it are the products of theirs.

    Args:
      *schedules: functions of the step.

    Returns:
      A function of the step, for any shape of steps.

    Raises:
      TypeError: if one is not a function.
      ValueError: if there are none.

    Agrees with `torch.optim.lr_scheduler.ChainedScheduler` for schedulers that
    multiply.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> schedule = oc.product(oc.warmup(2), oc.linear_decay(8.0, 4))
      >>> schedule(jnp.arange(5)).tolist()
      [0.0, 3.0, 4.0, 2.0, 0.0]
    """
    if not schedules:
        _checks.fail("product", "schedules", "at least one schedule", schedules)
    for index, schedule in enumerate(schedules):
        _checks.function_of("product", f"schedules[{index}]", schedule)

    def multiplied(step: Step) -> Array:
        step = whole_step(step)
        return math.prod(
            (evaluate(schedule, step) for schedule in schedules[1:]),
            start=evaluate(schedules[0], step),
        )

    return multiplied


def scale(schedule: Schedule, factor: Scalar) -> Schedule:
    """A schedule times a number, at every step.

    Args:
      schedule: function of the step.
      factor: number, which may be traced.

    Returns:
      A function of the step, for any shape of steps.

    Raises:
      TypeError: if `schedule` is not a function or `factor` not a number.
      ValueError: if `factor` is not finite.

    Examples:
      >>> import optax_cycles as oc
      >>> float(oc.scale(oc.linear_decay(1.0, 4), 0.5)(1))
      0.375
    """
    _checks.function_of("scale", "schedule", schedule)
    _, (number,) = reals("scale", factor=factor)

    def scaled(step: Step) -> Array:
        value: Array = number * evaluate(schedule, whole_step(step))
        return value

    return in_cycles(scaled, place_in(schedule))


def shift(schedule: Schedule, steps: Scalar) -> Schedule:
    """A schedule that begins later, or is already under way.

    The value at t is that of `schedule` at t - `steps`; before t = `steps` it is
    its value at 0.

    Args:
      schedule: function of the step.
      steps: delay; below 0 the schedule starts in the middle. It may be traced.

    Returns:
      A function of the step, for any shape of steps.

    Raises:
      TypeError: if `schedule` is not a function or `steps` not an integer.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> schedule = oc.shift(oc.linear_decay(1.0, 2), 2)
      >>> schedule(jnp.arange(5)).tolist()
      [1.0, 1.0, 1.0, 0.5, 0.0]
    """
    _checks.function_of("shift", "schedule", schedule)
    (delay,) = lengths("shift", minimum=-MAX_STEP, steps=steps)

    def shifted(step: Step) -> Array:
        late = jnp.maximum(whole_step(step) - jnp.maximum(delay, 0), 0)
        ahead = jnp.maximum(-jnp.asarray(delay), 0)
        return evaluate(schedule, jnp.minimum(late, MAX_STEP - ahead) + ahead)

    return shifted


def clip(
    schedule: Schedule, minimum: Scalar | None = None, maximum: Scalar | None = None
) -> Schedule:
    """A schedule whose values are kept between two bounds, at every step.

    Args:
      schedule: function of the step.
      minimum: smallest value, or None.
      maximum: largest value, or None. Both may be traced.

    Returns:
      A function of the step, for any shape of steps.

    Raises:
      TypeError: if `schedule` is not a function or a bound not a number.
      ValueError: if a bound is not finite, or `minimum` is above `maximum`.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> oc.clip(oc.linear_decay(1.0, 4), minimum=0.5)(jnp.arange(4)).tolist()
      [1.0, 0.75, 0.5, 0.5]
    """
    _checks.function_of("clip", "schedule", schedule)
    low = None if minimum is None else reals("clip", minimum=minimum)[1][0]
    high = None if maximum is None else reals("clip", maximum=maximum)[1][0]
    if isinstance(low, float) and isinstance(high, float) and low > high:
        _checks.fail("clip", "minimum", f"at most maximum ({high:g})", minimum)

    def clipped(step: Step) -> Array:
        return jnp.clip(evaluate(schedule, whole_step(step)), low, high)

    return in_cycles(clipped, place_in(schedule))


def repeat(schedule: Schedule, period: Scalar) -> Schedule:
    """The first steps of a schedule, over and over.

    The value at t is that of `schedule` at t mod `period`, without end.

    Args:
      schedule: function of the step.
      period: steps of one repetition, >= 1. It may be traced.

    Returns:
      A function of the step, for any shape of steps.

    Raises:
      TypeError: if `schedule` is not a function or `period` not an integer.
      ValueError: if `period` is out of range.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> oc.repeat(oc.linear_decay(1.0, 4), 3)(jnp.arange(5)).tolist()
      [1.0, 0.75, 0.5, 1.0, 0.75]
    """
    _checks.function_of("repeat", "schedule", schedule)
    (length,) = lengths("repeat", period=period)

    def repeated(step: Step) -> Array:
        return evaluate(schedule, modulo(whole_step(step), length).position)

    return in_cycles(repeated, lambda step: modulo(step, length))


def ascending(function: str, argument: str, boundaries: Sequence[Scalar]) -> list[Any]:
    """Check that concrete boundaries ascend; give integers."""
    named = {f"{argument}[{i}]": b for i, b in enumerate(boundaries)}
    edges = lengths(function, minimum=0, **named)
    concrete = [edge for edge in edges if not _checks.is_traced(edge)]
    if concrete != sorted(concrete):
        _checks.fail(function, argument, "in ascending order", boundaries)
    return edges
