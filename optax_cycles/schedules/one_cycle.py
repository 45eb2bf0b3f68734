"""The 1cycle policy as it is used today: up, down and far below the start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Array, Scalar, Schedule, Step
from optax_cycles.schedules._phase import (
    MAX_STEP,
    Point,
    between,
    distance,
    fraction_between,
    lengths,
    reals,
    times,
    whole_step,
)
from optax_cycles.schedules._shapes import SHAPES, Shape, ShapeLike, shape_of


def one_cycle(
    total_steps: Scalar,
    peak_value: Scalar,
    *,
    pct_start: Scalar = 0.3,
    div_factor: Scalar = 25.0,
    final_div_factor: Scalar = 1e4,
    anneal: ShapeLike = "cosine",
    three_phase: bool = False,
    end: str = "inclusive",
) -> Schedule:
    """One cycle: a rise to the peak, then a descent far below the start.

    With N = `total_steps`, init = peak / `div_factor` and final = init /
    `final_div_factor`, the value moves from init to peak and on to final; with
    three phases from init to peak, back to init and on to final. The phases end at
    the positions `pct N - 1` and `N - 1` (three phases: `pct N - 1`,
    `2 pct N - 2`, `N - 1`), which need not be whole steps. A phase from a to b has
    the value `b + (a - b) anneal(q)` at its fraction q.

    At t = 0 the value is init (with `pct_start` 0 the descent has begun already),
    at t = N - 1 it is final, and it stays there.

    Args:
      total_steps: number of updates N, >= 1.
      peak_value: largest value.
      pct_start: share of the steps spent rising, from 0 to 1. With three phases,
        above 0.5 nothing is left for the last one.
      div_factor: `peak_value` over the first value, > 0.
      final_div_factor: the first value over the last one, > 0.
      anneal: shape of the phases: a name ("linear", "cosine", ...) or a function
        of q that falls from 1 to 0.
      three_phase: return to the first value symmetrically before the final descent,
        as in the paper; otherwise descend in one phase, as fastai does.
      end: `"inclusive"`: the last value is reached at update N - 1 (PyTorch);
        `"exclusive"`: one step later, the phases end at `pct N` and `N` (fastai,
        optax).

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if `total_steps` is not an integer or a value not a number.
      ValueError: if a number is out of range, or `anneal` or `end` is unknown.

    Agrees with `torch.optim.lr_scheduler.OneCycleLR`; with `end="exclusive"` and
    whole `pct N` with `optax.cosine_onecycle_schedule` and fastai. L. Smith,
    "A disciplined approach to neural network hyper-parameters" (2018), section 4.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> schedule = oc.one_cycle(
      ...     10, 25.0, div_factor=25.0, final_div_factor=2.0, anneal="linear"
      ... )
      >>> [round(float(value), 3) for value in schedule(jnp.arange(10))]
      [1.0, 13.0, 25.0, 21.5, 18.0, 14.5, 11.0, 7.5, 4.0, 0.5]
    """
    _checks.flag("one_cycle", "three_phase", three_phase)
    _checks.real("one_cycle", "div_factor", div_factor, above=0)
    _checks.real("one_cycle", "final_div_factor", final_div_factor, above=0)
    dtype, (peak, div, final_div) = reals(
        "one_cycle",
        peak_value=peak_value,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
    )
    start = peak / div
    levels = [start, peak, *([start] if three_phase else []), start / final_div]
    return phases(
        "one_cycle",
        levels,
        dtype,
        total_steps,
        pct_start=pct_start,
        anneal=anneal,
        end=end,
    )


def one_cycle_annihilated(
    total_steps: Scalar,
    peak_value: Scalar,
    *,
    div_factor: Scalar = 10.0,
    annihilation_pct: Scalar = 0.1,
    annihilation_div: Scalar = 100.0,
) -> Schedule:
    """One cycle in straight lines, with a last phase that annihilates the value.

    With N = `total_steps`, base = peak / `div_factor` and mid = floor(N (1 -
    `annihilation_pct`) / 2): from base to peak over mid steps, back to base over mid
    steps, and on to base / `annihilation_div` over the other N - 2 mid steps.

    At t = 0 the value is base, at t = N - 1 one step above the end of the last line,
    and from t = N on base / `annihilation_div`.

    Args:
      total_steps: number of updates N, >= 1.
      peak_value: largest value.
      div_factor: `peak_value` over the first value, > 0.
      annihilation_pct: share of the steps in the last phase, from 0 to 1.
      annihilation_div: the first value over the last one, > 0.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if `total_steps` is not an integer or a value not a number.
      ValueError: if a number is out of range.

    Agrees with the Keras `OneCycleLR` callback of titu1994 at its defaults, and with
    nachiket273's PyTorch `OneCycle` for `annihilation_div` equal to `div_factor`.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> schedule = oc.one_cycle_annihilated(100, 1.0)
      >>> values = schedule(jnp.asarray([0, 45, 90, 100]))
      >>> [round(float(value), 4) for value in values]
      [0.1, 1.0, 0.1, 0.001]
    """
    name = "one_cycle_annihilated"
    _checks.real(name, "div_factor", div_factor, above=0)
    _checks.real(name, "annihilation_div", annihilation_div, above=0)
    dtype, (peak, div, last_div) = reals(
        name,
        peak_value=peak_value,
        div_factor=div_factor,
        annihilation_div=annihilation_div,
    )
    ends = annihilated_ends(name, total_steps, annihilation_pct)
    base = peak / div
    return through(ends, [base, peak, base, base / last_div], SHAPES["linear"], dtype)


def one_cycle_smith(
    base_value: Scalar, peak_value: Scalar, step_size: Scalar
) -> Schedule:
    """One cycle as in the runs of the paper: up, down towards 0, and a flat tail.

    With s = `step_size`: `base + (peak - base) t / s` for the first s steps, then
    `max(peak (1 - (t - s) / s), base / 1000)`.

    At t = 0 the value is `base_value`, at t = s it is `peak_value`, and shortly
    before t = 2 s it reaches `base_value / 1000` and stays there.

    Args:
      base_value: value at the start, and 1000 times the value at the end.
      peak_value: largest value.
      step_size: steps of the rise and of the descent, >= 1.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if `step_size` is not an integer or a value not a number.
      ValueError: if `step_size` is out of range or a value not finite.

    Agrees with the learning rates in the training logs that L. Smith published with
    "A disciplined approach to neural network hyper-parameters" (2018).

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> schedule = oc.one_cycle_smith(0.125, 1.0, 4)
      >>> schedule(jnp.asarray([0, 2, 4, 6, 7, 8])).tolist()[:5]
      [0.125, 0.5625, 1.0, 0.5, 0.25]
    """
    name = "one_cycle_smith"
    dtype, (base, peak) = reals(name, base_value=base_value, peak_value=peak_value)
    (size,) = lengths(name, step_size=step_size)
    _checks.length(name, "2 * step_size", 2 * size)
    ends = [Point(size, 0.0), _twice(size)]
    cycle = through(ends, [base, peak, 0.0], SHAPES["linear"], dtype)

    def schedule(step: Step) -> Array:
        step = whole_step(step)
        value = cycle(step)
        return jnp.where(step < size, value, jnp.maximum(value, base / 1000))

    return schedule


def _twice(size: Any) -> Point:
    """Two phases of `size` steps, which may end after the last step there is."""
    if not _checks.is_traced(size):
        return Point(2 * size, 0.0)
    half = MAX_STEP // 2
    whole = jnp.where(size <= half, 2 * size, MAX_STEP)
    beyond = jnp.where(size <= half, 0, 2 * (size - half) - 1)
    return Point(whole, beyond.astype(jnp.float32))


def annihilated_ends(
    function: str, total_steps: Scalar, annihilation_pct: Scalar
) -> list[Point]:
    """The ends of the rise, of the descent and of the annihilation."""
    (total,) = lengths(function, total_steps=total_steps)
    _checks.real(function, "annihilation_pct", annihilation_pct, minimum=0, maximum=1)
    _, (pct,) = reals(function, annihilation_pct=annihilation_pct)
    whole, part = times((1.0 - pct) / 2, total, 0)
    if _checks.is_traced(whole):
        # One rounding of a traced share must not cost a whole step.
        room = 1e-6 + 1e-7 * jnp.asarray(total).astype(jnp.float32)
        whole = whole + (part > 1.0 - room).astype(jnp.int32)
    return [Point(whole, 0.0), Point(2 * whole, 0.0), Point(total, 0.0)]


def phases(
    function: str,
    levels: Sequence[Any],
    dtype: Any,
    total_steps: Scalar,
    *,
    pct_start: Scalar,
    anneal: ShapeLike,
    end: str,
) -> Schedule:
    """The phases of one cycle between any levels: two phases have three levels."""
    (total,) = lengths(function, total_steps=total_steps)
    _checks.real(function, "pct_start", pct_start, minimum=0, maximum=1)
    _, (pct,) = reals(function, pct_start=pct_start)
    shape = shape_of(function, "anneal", anneal)
    _checks.choice(function, "end", end, ["inclusive", "exclusive"])
    offset = 1 if end == "inclusive" else 0
    first = times(pct, total, offset)
    second = [Point(2 * first.whole, 2 * first.part)] if len(levels) == 4 else []
    ends = [first, *second, Point(total - offset, 0.0)]

    return through(ends, levels, shape, dtype)


def through(
    ends: Sequence[Point], levels: Sequence[Any], shape: Shape, dtype: Any
) -> Schedule:
    """From each level to the next by the end of its phase; then the last one holds."""

    def schedule(step: Step) -> Array:
        now = Point(jnp.minimum(whole_step(step), ends[-1].whole), 0.0)
        start, stop, low, high = Point(0, 0.0), ends[0], levels[0], levels[1]
        later = jnp.asarray(True)
        for index in range(1, len(ends)):
            later = later & (distance(ends[index - 1], now, dtype) > 0)
            start = _where(later, ends[index - 1], start)
            stop = _where(later, ends[index], stop)
            low = jnp.where(later, levels[index], low)
            high = jnp.where(later, levels[index + 1], high)
        return between(
            low, high, shape.weights(fraction_between(start, now, stop, dtype))
        )

    return schedule


def _where(condition: Array, chosen: Point, other: Point) -> Point:
    return Point(
        *(jnp.where(condition, a, b) for a, b in zip(chosen, other, strict=True))
    )
