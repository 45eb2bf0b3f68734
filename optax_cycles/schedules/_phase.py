"""From a step to a value, in the parts that all schedules share.

    step -> (cycle, position, period) -> fraction -> shape -> value

Steps, cycles and positions are 32-bit integers and exact; the first float is the
fraction of a phase. Each fraction keeps what is done *and* what is left, both
divided from integers, because `1 - done` in floats has no digits left near the
end of a phase.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction as Ratio
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Array, Scalar, Schedule, Step

MAX_STEP = 2**31 - 1
SHORT_TABLE = 128
UNROLLED_TABLE = 32
# The largest float32 below 2**31: a larger one overflows when cast to int32.
_MAX_FLOAT_STEP = 2.0**31 - 128
# Exponents between which `exp` is finite in float32, and where it is 0 in float64.
_MAX_LOG, _MIN_LOG = 85.0, -800.0
# Where a schedule keeps the function that finds the cycle of a step.
_PLACE_OF = "place_of"


class Place(NamedTuple):
    """Where a step is: the cycle, the position in it, its period (all int32)."""

    cycle: Array
    position: Array
    period: Any


class Fraction(NamedTuple):
    """How much of a phase is done and how much is left; they add up to 1."""

    done: Array
    left: Array


class Weights(NamedTuple):
    """How much of the start value and of the end value a value is made of."""

    start: Array
    end: Array


class Point(NamedTuple):
    """A position between two steps: `whole + part`, so that no digit is lost."""

    whole: Any
    part: Any


def whole_step(step: Step) -> Array:
    """`step` as int32: saturated at 0 and 2**31 - 1, a float rounded down."""
    if isinstance(step, jax.Array):
        return _saturated(step, 0)
    if isinstance(step, int):
        return jnp.asarray(min(max(step, 0), MAX_STEP), jnp.int32)
    steps = np.asarray(step)
    if steps.dtype.kind not in "biuf":
        _checks.fail_type("schedule", "step", "an integer or an array of them", step)
    wide = {"b": np.int64, "i": np.int64, "u": np.uint64, "f": np.float64}
    steps = np.nan_to_num(steps.astype(wide[steps.dtype.kind]))
    return jnp.asarray(np.clip(steps, 0, MAX_STEP).astype(np.int32))


def _saturated(value: Array, minimum: int) -> Array:
    """`value` as int32, a float rounded down; at least `minimum`, at most 2**31 - 1."""
    if jnp.issubdtype(value.dtype, jnp.floating):
        double = value.dtype == jnp.float64
        value = value if double else value.astype(jnp.float32)
        largest = MAX_STEP if double else _MAX_FLOAT_STEP
        value = jnp.floor(jnp.clip(value, minimum, largest))
    elif not np.can_cast(value.dtype, np.int32):
        if jnp.issubdtype(value.dtype, jnp.signedinteger):
            value = jnp.maximum(value, minimum)
        value = jnp.minimum(value, MAX_STEP)
    return jnp.maximum(value.astype(jnp.int32), minimum)


def lengths(function: str, *, minimum: int = 1, **values: Scalar) -> list[Any]:
    """Check lengths in steps; give Python ints, or int32 where they are traced.

    A traced length is rounded to the nearest integer and saturates at `minimum`.
    """
    for name, value in values.items():
        _checks.length(function, name, value, minimum=minimum)
    return [_length(value, minimum) for value in values.values()]


def _length(value: Any, minimum: int) -> Any:
    if not _checks.is_traced(value):
        return int(value)
    if jnp.issubdtype(value.dtype, jnp.floating):
        value = jnp.round(value)
    return _saturated(value, minimum)


def reals(function: str, **values: Scalar) -> tuple[Any, list[Any]]:
    """Check values; give their dtype and Python floats, or arrays where traced.

    The dtype is float32, or float64 where x64 is on and some value is float64.
    """
    for name, value in values.items():
        _checks.real(function, name, value)
    double = any(
        getattr(value, "dtype", None) == "float64" for value in values.values()
    )
    x64 = jnp.result_type(float) == jnp.float64
    dtype = jnp.float64 if double and x64 else jnp.float32
    return dtype, [_real(value, dtype) for value in values.values()]


def _real(value: Any, dtype: Any) -> Any:
    return value.astype(dtype) if _checks.is_traced(value) else float(value)


def decimal_of(value: Scalar) -> Ratio:
    """The decimal number that was written: 1.1 exactly, also where it is a float32."""
    number = np.asarray(value)[()] if hasattr(value, "dtype") else float(value)
    known = isinstance(number, np.floating)
    return Ratio(str(number) if known else repr(float(number)))


def evaluate(schedule: Schedule, step: Array) -> Array:
    """The value of any schedule in the shape of `step`, strongly typed."""
    value = jnp.asarray(schedule(step))
    dtype = jnp.float64 if value.dtype == jnp.float64 and not value.weak_type else None
    return jnp.broadcast_to(value.astype(dtype or jnp.float32), step.shape)


def modulo(step: Array, period: Any) -> Place:
    """The place of a step in cycles that all have the same period.

    A period in uint32 may be longer than there are steps.
    """
    period = jnp.maximum(period, 1)
    step = step.astype(period.dtype)
    cycle = step // period
    position = step - cycle * period
    if period.dtype == jnp.int32:
        return Place(cycle, position, period)
    longest = jnp.minimum(period, MAX_STEP)
    return Place(*(x.astype(jnp.int32) for x in (cycle, position, longest)))


def total_length(first: Any, second: Any) -> Any:
    """The sum of two lengths, in uint32 where they are traced: it may exceed int32."""
    if not _checks.is_traced(first) and not _checks.is_traced(second):
        return first + second
    return jnp.asarray(first).astype(jnp.uint32) + jnp.asarray(second, jnp.uint32)


def lookup(step: Array, starts: Any, periods: Any) -> Place:
    """The place of a step in a table of cycles; the last period repeats for ever.

    `starts` is uint32, so that a cycle may end after the last step there is. A table
    of NumPy arrays is known, one of JAX arrays is traced.
    """
    row, start, period = _row_of(step, starts, periods)
    since = step - start
    known = isinstance(starts, np.ndarray)
    if known and int(starts[-1]) + int(periods[-1]) > MAX_STEP:
        return Place(row, since, period)
    # Only the last period is divided by: a constant divisor costs far less than one
    # for each step.
    again = modulo(since, periods[-1])
    repeats = row == periods.size - 1
    return Place(
        row + jnp.where(repeats, again.cycle, 0),
        jnp.where(repeats, again.position, since),
        period,
    )


def _row_of(step: Array, starts: Any, periods: Any) -> tuple[Array, Array, Array]:
    """The row that a step is in, where it starts and its period, all int32."""
    if isinstance(starts, np.ndarray) and starts.size <= UNROLLED_TABLE:
        return _unrolled_row_of(step, starts, periods)
    starts, periods = jnp.asarray(starts), jnp.asarray(periods)
    step = step.astype(jnp.uint32)
    if starts.size > SHORT_TABLE:
        row = jnp.searchsorted(starts, step, side="right", method="scan_unrolled")
        row = row.astype(jnp.int32) - 1
        return row, starts[row].astype(jnp.int32), periods[row]
    # Sums of the differences over the rows that have begun: for the short tables there
    # are, a fused comparison costs less than a search and gathers.
    wide = (1,) * step.ndim + (-1,)
    begun = step[..., jnp.newaxis] >= starts.reshape(wide)

    def total(table: Array) -> Array:
        first = jnp.concatenate([table[:1], jnp.diff(table)]).reshape(wide)
        return jnp.sum(jnp.where(begun, first, 0), axis=-1, dtype=jnp.int32)

    row = jnp.sum(begun, axis=-1, dtype=jnp.int32) - 1
    return row, total(starts.astype(jnp.int32)), total(periods)


def _unrolled_row_of(
    step: Array, starts: np.ndarray, periods: np.ndarray
) -> tuple[Array, Array, Array]:
    """The same for a table of few rows: comparisons with constants, all in one pass."""
    rows = np.flatnonzero(starts <= MAX_STEP).astype(np.int32)
    table = (rows, starts[rows].astype(np.int32), periods[rows])
    found = [jnp.full(step.shape, column[0]) for column in table]
    for following in zip(*(column[1:] for column in table), strict=True):
        begun = step >= following[1]
        found = [jnp.where(begun, *pair) for pair in zip(following, found, strict=True)]
    row, start, period = found
    return row, start, period


def in_cycles(
    schedule: Schedule, place_of: Callable[[Array], Place] | None
) -> Schedule:
    """The same schedule, which remembers its cycles; None if it has none."""
    if place_of is not None:
        setattr(schedule, _PLACE_OF, place_of)
    return schedule


def place_in(schedule: Schedule) -> Callable[[Array], Place] | None:
    """The function from a step to its place in the cycles of a schedule, or None."""
    found: Callable[[Array], Place] | None = getattr(schedule, _PLACE_OF, None)
    return found


def fraction(position: Array, period: Any, dtype: Any) -> Fraction:
    """`position / period`, from 0 to 1; a phase of length 0 is done as it begins."""
    whole = jnp.maximum(period, 1)
    skipped = (jnp.asarray(period) <= 0) & (position >= 0)
    position = jnp.where(skipped, whole, jnp.clip(position, 0, whole))
    scale = whole.astype(dtype)
    return Fraction(
        position.astype(dtype) / scale, (whole - position).astype(dtype) / scale
    )


def times(share: Any, total: Any, offset: int) -> Point:
    """`share * total - offset` for a share from 0 to 1, to a small part of a step."""
    if not _checks.is_traced(share) and not _checks.is_traced(total):
        position = share * total - offset
        return Point(math.floor(position), position - math.floor(position))
    # In float32 the product is wrong by whole steps for long runs, so the leading
    # 12 bits of the share are multiplied as integers, in two pieces that fit.
    if _checks.is_traced(share):
        coarse = jnp.round(share * 4096).astype(jnp.int32)
        fine = share - coarse.astype(share.dtype) / 4096
    else:
        coarse, fine = round(share * 4096), share - round(share * 4096) / 4096
    high, low = jnp.asarray(total) // 4096, jnp.asarray(total) % 4096
    whole = coarse * high + coarse * low // 4096 - offset
    part = (coarse * low % 4096).astype(jnp.float32) / 4096
    part = part + fine * jnp.asarray(total).astype(jnp.float32)
    shift = jnp.floor(part)
    return Point(whole + shift.astype(jnp.int32), part - shift)


def distance(start: Point, end: Point, dtype: Any) -> Array:
    """The steps from one position to another, exact when they are close."""
    whole = jnp.asarray(end.whole - start.whole, jnp.int32).astype(dtype)
    steps: Array = whole + (end.part - start.part)
    return steps


def fraction_between(start: Point, now: Point, end: Point, dtype: Any) -> Fraction:
    """The fraction of a phase between two positions that are not whole steps."""
    length = distance(start, end, dtype)
    lasts = length > 0
    length = jnp.where(lasts, length, 1.0)
    done = distance(start, now, dtype) / length
    left = distance(now, end, dtype) / length
    return Fraction(
        jnp.where(lasts, jnp.clip(done, 0.0, 1.0), 1.0),
        jnp.where(lasts, jnp.clip(left, 0.0, 1.0), 0.0),
    )


def attenuate(weights: Weights, scale: Array) -> Weights:
    """Weights whose distance from the start value is `scale` times as large."""
    return Weights((1.0 - scale) + scale * weights.start, scale * weights.end)


def between(start: Any, end: Any, weights: Weights) -> Array:
    """The value with these weights.

    It is counted from the nearer of the two ends: both ends are exact, the value
    never leaves them by rounding, and small values next to large ones keep all
    their digits.
    """
    rise = end - start
    near_start = weights.start > weights.end
    return jnp.where(near_start, start + rise * weights.end, end - rise * weights.start)


def geometric(log_rate: Any, count: Array, dtype: Any) -> Array:
    """`exp(log_rate * count)`, to a few units in the last place if not traced.

    The product of two floats has an error in proportion to itself, which the
    exponential turns into a relative error. A concrete rate is split in a head of
    few bits, exact times a rounded count, and a remainder of less than one.
    Growth stops near the largest float32, so that no gradient meets an infinity.
    """
    if _checks.is_traced(log_rate) or log_rate == 0.0:
        return jnp.exp(jnp.minimum(log_rate * count.astype(dtype), _MAX_LOG))
    # A faster change ends after one count as well, and its products could overflow.
    log_rate = min(max(log_rate, _MIN_LOG), _MAX_LOG)
    lasts = (_MAX_LOG if log_rate > 0 else _MIN_LOG) / log_rate
    most = math.floor(min(lasts, MAX_STEP))
    stops = (count > most) & (log_rate > 0)
    count = jnp.minimum(count, most)
    bits = min(max(math.floor(-math.log2(2.0 * abs(log_rate))), 0), 30)
    block = count & -(1 << bits)
    mantissa, exponent = math.frexp(log_rate)
    head = math.ldexp(round(math.ldexp(mantissa, 12)), exponent - 12)
    rest = head * (count - block).astype(dtype)
    rest = rest + (log_rate - head) * count.astype(dtype)
    power = jnp.exp(head * block.astype(dtype))
    return jnp.where(stops, math.exp(_MAX_LOG), power + power * jnp.expm1(rest))


def growth(base: Any, count: Array, dtype: Any) -> Array:
    """`base**count`, which stops near the largest float32 like `geometric`."""
    base, number = jnp.asarray(base, dtype), count.astype(dtype)
    log_base = jnp.log(jnp.maximum(jax.lax.stop_gradient(base), 1.0))
    grows = log_base > 0
    most = jnp.floor(_MAX_LOG / jnp.where(grows, log_base, 1.0))
    stops = grows & (number > most)
    # At count 0 the power is 1 for a base of 0 too, whose derivative would be NaN.
    plain = stops | (count == 0)
    power = jnp.power(jnp.where(plain, 1.0, base), number)
    return jnp.where(stops, math.exp(_MAX_LOG), power)
