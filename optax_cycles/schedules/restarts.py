"""Warm restarts: cycles whose period and peak may change from one to the next."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction as Ratio
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Array, Scalar, Schedule, Step
from optax_cycles.schedules._phase import (
    MAX_STEP,
    Place,
    between,
    decimal_of,
    fraction,
    growth,
    in_cycles,
    lengths,
    lookup,
    reals,
    whole_step,
)
from optax_cycles.schedules._shapes import ShapeLike, shape_of

_ROUNDING: dict[str, Callable[[Ratio], int]] = {
    "ceil": math.ceil,
    "floor": math.floor,
    "nearest": lambda period: math.floor(period + Ratio(1, 2)),
}
_MOST_ROWS, _TRACED_ROWS = 4096, 32


def warm_restarts(
    first_period: Scalar,
    peak_value: Scalar,
    *,
    period_mult: Scalar = 1.0,
    peak_mult: Scalar = 1.0,
    min_value: Scalar = 0.0,
    shape: ShapeLike = "cosine",
    rounding: str = "ceil",
    max_periods: int | None = None,
) -> Schedule:
    """Stochastic gradient descent with warm restarts (SGDR).

    Cycle i starts at step s_i and lasts T_i steps, with s_0 = 0,
    s_{i+1} = s_i + T_i, T_0 = `first_period` and T_{i+1} = ceil(`period_mult` T_i).
    The value is `min + (peak peak_mult**i - min) shape((t - s_i) / T_i)`.

    At t = 0 and (times `peak_mult**i`) at each s_i the value is `peak_value`; at the
    last step of a cycle it is one step short of `min_value`, which is never used
    itself; the restarts go on for ever.

    Args:
      first_period: steps of the first cycle, >= 1.
      peak_value: value at the first step.
      period_mult: factor of the period from a cycle to the next, > 0.
      peak_mult: factor of the peak from a cycle to the next, >= 0.
      min_value: value that each cycle descends to.
      shape: shape of a cycle: a name ("cosine", "linear", "arccosine", ...) or a
        function of q that falls from 1 to 0.
      rounding: `"ceil"`, `"floor"` or `"nearest"`, of each period to whole steps.
      max_periods: number of different periods, static; the last one repeats for
        ever. If None, as many as there are below step 2**31 (at most 4096), and
        32 when the first period or its factor is traced.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced
      except `max_periods`.

    Raises:
      TypeError: if a length is not an integer or a value not a number.
      ValueError: if a number is out of range, or `shape` or `rounding` is unknown.

    Agrees for a whole `period_mult` with
    `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`, with timm's cosine, tanh
    and polynomial schedulers, and with keras `CosineDecayRestarts` (for `peak_mult` 1;
    keras multiplies the peak above `min_value`). timm and keras don't round periods
    to whole steps. I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent
    with Warm Restarts" (2017), eq. 5.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> schedule = oc.warm_restarts(1, 0.5, period_mult=2)
      >>> [round(float(value), 4) for value in schedule(jnp.arange(8))]
      [0.5, 0.5, 0.25, 0.5, 0.4268, 0.25, 0.0732, 0.5]
    """
    dtype, (peak, low, factor) = reals(
        "warm_restarts",
        peak_value=peak_value,
        min_value=min_value,
        peak_mult=peak_mult,
    )
    _checks.real("warm_restarts", "peak_mult", peak_mult, minimum=0)
    place_of = restarts(
        "warm_restarts", first_period, period_mult, rounding, max_periods
    )
    fall = shape_of("warm_restarts", "shape", shape)

    def schedule(step: Step) -> Array:
        place = place_of(whole_step(step))
        weights = fall.weights(fraction(place.position, place.period, dtype))
        if not _checks.is_traced(factor) and factor == 1.0:
            return between(peak, low, weights)
        return between(peak * growth(factor, place.cycle, dtype), low, weights)

    return in_cycles(schedule, place_of)


def restarts(
    function: str,
    first_period: Scalar,
    period_mult: Scalar,
    rounding: str,
    max_periods: int | None,
) -> Callable[[Array], Place]:
    """The function from a step to its place in the table of restarts."""
    (first,) = lengths(function, first_period=first_period)
    _checks.real(function, "period_mult", period_mult, above=0)
    _, (mult,) = reals(function, period_mult=period_mult)
    _checks.choice(function, "rounding", rounding, _ROUNDING)
    if max_periods is not None:
        _checks.integer(function, "max_periods", max_periods, minimum=1)
    traced = _checks.is_traced(first) or _checks.is_traced(mult)
    starts: Any
    periods: Any
    if traced:
        starts, periods = _traced_table(first, mult, rounding, max_periods)
    else:
        # In binary 1.1 times 10 exceeds 11.
        mult = decimal_of(period_mult)
        starts, periods = _table(first, mult, rounding, max_periods)
    return lambda step: lookup(step, starts, periods)


def normalized(decay: Any, place_of: Callable[[Array], Place], dtype: Any) -> Schedule:
    """The weight decay `decay / sqrt(T_i)` in a period of T_i steps."""

    def schedule(step: Step) -> Array:
        steps = whole_step(step)
        period = jnp.asarray(place_of(steps).period, dtype)
        return jnp.broadcast_to(decay / jnp.sqrt(period), steps.shape)

    return in_cycles(schedule, place_of)


def _table(
    first: int, mult: Ratio, rounding: str, rows: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Starts and periods of all cycles, until the period no longer changes."""
    periods, end = [first], first
    while len(periods) < (rows or _MOST_ROWS) and end <= MAX_STEP:
        following = max(_ROUNDING[rounding](periods[-1] * mult), 1)
        if following == periods[-1]:
            break
        periods.append(min(following, MAX_STEP))
        end += periods[-1]
    starts = np.cumsum([0, *periods[:-1]], dtype=np.int64)
    return starts.astype(np.uint32), np.asarray(periods, np.int32)


def _traced_table(
    first: Any, mult: Any, rounding: str, rows: int | None
) -> tuple[Array, Array]:
    """The same with traced numbers, whose table has a fixed number of rows."""
    always_same = not _checks.is_traced(mult) and mult == 1.0
    rows = rows or (1 if always_same else _TRACED_ROWS)
    if not _checks.is_traced(mult) and float(mult).is_integer():
        return _whole_table(first, int(mult), rows)
    start, period = jnp.zeros((), jnp.uint32), jnp.asarray(first).astype(jnp.int32)
    starts, periods, factor = [start], [period], _factor(mult)
    for _ in range(rows - 1):
        end = start + period.astype(jnp.uint32)
        start = jnp.minimum(end, jnp.uint32(MAX_STEP + 1))
        period = _grow(period, factor, rounding)
        starts.append(start)
        periods.append(period)
    return jnp.stack(starts), jnp.stack(periods)


def _whole_table(first: Any, mult: int, rows: int) -> tuple[Array, Array]:
    """The same for a whole factor, all rows at once: the loop takes long to compile."""
    first = jnp.asarray(first).astype(jnp.int32)
    powers = [mult**row for row in range(rows)]
    sums = [sum(powers[:row]) for row in range(rows)]

    def times(factors: list[int], most: int) -> Array:
        """`first` times each factor, `most` where it would be more."""
        room = np.array([most // max(factor, 1) for factor in factors], np.uint32)
        small = np.array([min(factor, most) for factor in factors], np.uint32)
        whole = first.astype(jnp.uint32)
        return jnp.where(whole <= room, whole * small, np.uint32(most))

    periods = times(powers, MAX_STEP).astype(jnp.int32)
    return times(sums, MAX_STEP + 1), periods


class _Factor(NamedTuple):
    """The factor `whole + above / below + rest`, which is off by less than `error`."""

    whole: Array
    above: Array
    below: Array
    rest: Array
    error: Array


def _factor(mult: Any) -> _Factor:
    """A traced factor in integers.

    One like 1.2 is off by a rounding, which must not add a step: if it is four
    decimals to its last digit, then it is that decimal number.
    """
    mult = jnp.asarray(mult, getattr(mult, "dtype", jnp.float32))
    if not jnp.issubdtype(mult.dtype, jnp.floating):
        mult = mult.astype(jnp.float32)
    error = mult * (0.75 * jnp.finfo(mult.dtype).eps)
    whole = jnp.floor(mult)
    part = mult - whole
    decimals, binary = jnp.round(part * 10_000), jnp.floor(part * 4096)
    decimal = jnp.abs(decimals / 10_000 - part) <= error
    return _Factor(
        whole.astype(jnp.int32),
        jnp.where(decimal, decimals, binary).astype(jnp.int32),
        jnp.where(decimal, 10_000, 4096),
        jnp.where(decimal, 0.0, part - binary / 4096),
        jnp.where(decimal, 0.0, error),
    )


def _grow(period: Array, factor: _Factor, rounding: str) -> Array:
    """A period times its factor, rounded; saturates at the largest step."""
    high, low = period // factor.below, period % factor.below
    # No product is above 2**31, and only less than a step is left to floats.
    extra = high * factor.above + low * factor.above // factor.below
    size = period.astype(factor.rest.dtype)
    part = (low * factor.above % factor.below).astype(size.dtype)
    part = part / factor.below.astype(size.dtype) + factor.rest * size
    nearest = jnp.round(part)
    is_whole = jnp.abs(part - nearest) <= jnp.minimum(factor.error * size, 1 / 64)
    rounded = {"ceil": jnp.ceil, "floor": jnp.floor, "nearest": _half_up}[rounding]
    extra = extra + jnp.where(is_whole, nearest, rounded(part)).astype(jnp.int32)
    fits = period <= (MAX_STEP - extra) // jnp.maximum(factor.whole, 1)
    return jnp.where(fits, jnp.maximum(period * factor.whole + extra, 1), MAX_STEP)


def _half_up(x: Array) -> Array:
    return jnp.floor(x + 0.5)
