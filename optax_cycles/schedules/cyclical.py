"""Cyclical learning rates: a triangular wave whose amplitude may change."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Array, Scalar, Schedule, Step
from optax_cycles.schedules._phase import (
    Place,
    Weights,
    attenuate,
    between,
    fraction,
    geometric,
    in_cycles,
    lengths,
    modulo,
    reals,
    total_length,
    whole_step,
)


def triangular(
    base_value: Scalar,
    peak_value: Scalar,
    step_size: Scalar,
    *,
    step_size_down: Scalar | None = None,
) -> Schedule:
    """A triangular wave between two values.

    With up = `step_size`, down = `step_size_down`, S = up + down and
    r = t mod S: `base + (peak - base) tri(r)`, where tri rises linearly from 0 to
    1 over the first up steps and falls back to 0 over the next down steps.

    At t = 0 the value is `base_value`, at the last step of a cycle it is one step
    of the descent above it, and the wave goes on for ever.

    Args:
      base_value: value at the start of each cycle.
      peak_value: value after `step_size` steps.
      step_size: steps of the rise, >= 1.
      step_size_down: steps of the descent, >= 0; `step_size` if None.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or a value not a number.
      ValueError: if a length is out of range or a value not finite.

    Agrees with `torch.optim.lr_scheduler.CyclicLR(mode="triangular")`; L. Smith,
    "Cyclical Learning Rates for Training Neural Networks" (2015), section 3.1.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> schedule = oc.triangular(1.0, 5.0, 4)
      >>> schedule(jnp.arange(11)).tolist()
      [1.0, 2.0, 3.0, 4.0, 5.0, 4.0, 3.0, 2.0, 1.0, 2.0, 3.0]
    """
    return wave("triangular", (base_value, peak_value), step_size, step_size_down)


def triangular2(
    base_value: Scalar,
    peak_value: Scalar,
    step_size: Scalar,
    *,
    step_size_down: Scalar | None = None,
) -> Schedule:
    """A triangular wave whose amplitude halves after each cycle.

    `base + (peak - base) tri(r) 2**-k` in cycle k = t // S, with tri and r as in
    `triangular`. At t = 0 the value is `base_value`, at the last step of a cycle
    it is one step of the descent above it, and the wave dies away for ever.

    Args:
      base_value: value at the start of each cycle.
      peak_value: value after `step_size` steps, in the first cycle.
      step_size: steps of the rise, >= 1.
      step_size_down: steps of the descent, >= 0; `step_size` if None.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or a value not a number.
      ValueError: if a length is out of range or a value not finite.

    Agrees with `torch.optim.lr_scheduler.CyclicLR(mode="triangular2")`; L. Smith,
    "Cyclical Learning Rates for Training Neural Networks" (2015), section 3.1.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> oc.triangular2(1.0, 5.0, 2)(jnp.arange(9)).tolist()
      [1.0, 3.0, 5.0, 3.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    """
    return wave(
        "triangular2", (base_value, peak_value), step_size, step_size_down, halving
    )


def exp_range(
    base_value: Scalar,
    peak_value: Scalar,
    step_size: Scalar,
    *,
    gamma: Scalar,
    step_size_down: Scalar | None = None,
) -> Schedule:
    """A triangular wave whose amplitude decays exponentially with the step.

    `base + (peak - base) tri(r) gamma**t` with the step t since the start of
    training, and tri and r as in `triangular`. At t = 0 the value is `base_value`,
    at the last step of a cycle it is just above it, and the wave goes on for ever.

    Args:
      base_value: value at the start of each cycle.
      peak_value: value that the envelope starts from.
      step_size: steps of the rise, >= 1.
      gamma: factor of the amplitude per step, > 0.
      step_size_down: steps of the descent, >= 0; `step_size` if None.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or a value not a number.
      ValueError: if a number is out of range or not finite.

    Agrees with `torch.optim.lr_scheduler.CyclicLR(mode="exp_range")`; L. Smith,
    "Cyclical Learning Rates for Training Neural Networks" (2015), section 3.1.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> oc.exp_range(0.0, 8.0, 1, gamma=0.5)(jnp.arange(4)).tolist()
      [0.0, 4.0, 0.0, 1.0]
    """
    decay = decaying("exp_range", gamma)
    return wave("exp_range", (base_value, peak_value), step_size, step_size_down, decay)


def cyclical(
    base_value: Scalar,
    peak_value: Scalar,
    step_size: Scalar,
    *,
    scale_fn: Callable[[Any], Any],
    scale_mode: str = "cycle",
    step_size_down: Scalar | None = None,
) -> Schedule:
    """A triangular wave whose amplitude is scaled by a function of your own.

    `base + (peak - base) tri(r) scale_fn(x)`, where x is the number of the cycle
    counted from 1 or the step counted from 0, and tri and r as in `triangular`.
    At t = 0 the value is `base_value`, at the last step of a cycle it is one step
    of the descent from it, and the wave goes on for ever.

    Args:
      base_value: value at the start of each cycle.
      peak_value: value after `step_size` steps where the scale is 1.
      step_size: steps of the rise, >= 1.
      scale_fn: JAX-traceable function of an int32 array.
      scale_mode: `"cycle"` (scale_fn of the cycle) or `"iterations"` (of the step).
      step_size_down: steps of the descent, >= 0; `step_size` if None.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer, a value not a number or `scale_fn`
        not a function.
      ValueError: if a number is out of range, or `scale_mode` is unknown.

    Agrees with `torch.optim.lr_scheduler.CyclicLR(scale_fn=..., scale_mode=...)`.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> schedule = oc.cyclical(0.0, 6.0, 1, scale_fn=lambda cycle: 1 / cycle)
      >>> schedule(jnp.arange(6)).tolist()
      [0.0, 6.0, 0.0, 3.0, 0.0, 2.0]
    """
    _checks.function_of("cyclical", "scale_fn", scale_fn)
    _checks.choice("cyclical", "scale_mode", scale_mode, ["cycle", "iterations"])

    def scale(step: Array, cycle: Array, dtype: Any) -> Array:
        by_cycle = scale_mode == "cycle"
        return jnp.asarray(scale_fn(cycle + 1 if by_cycle else step)).astype(dtype)

    return wave("cyclical", (base_value, peak_value), step_size, step_size_down, scale)


# The scale of the amplitude, from the step, the cycle and the dtype of the result.
Scale = Callable[[Array, Array, Any], Array]


def halving(_: Array, cycle: Array, dtype: Any) -> Array:
    """The scale `2**-cycle`; a power is exact here, `exp2` is not."""
    return jnp.power(jnp.asarray(0.5, dtype), cycle.astype(dtype))


def decaying(function: str, gamma: Scalar) -> Scale:
    """The scale `gamma**step`."""
    _checks.real(function, "gamma", gamma, above=0)
    _, (rate,) = reals(function, gamma=gamma)
    log_gamma = jnp.log(rate) if _checks.is_traced(rate) else math.log(rate)
    return lambda step, _, dtype: geometric(log_gamma, step, dtype)


def wave(
    function: str,
    levels: tuple[Scalar, Scalar],
    step_size: Scalar,
    step_size_down: Scalar | None,
    scale: Scale | None = None,
) -> Schedule:
    """The triangular wave behind all cyclical schedules."""
    dtype, (base, peak) = reals(function, base_value=levels[0], peak_value=levels[1])
    (up,) = lengths(function, step_size=step_size)
    down = step_size if step_size_down is None else step_size_down
    (down,) = lengths(function, minimum=0, step_size_down=down)
    period = total_length(up, down)
    _checks.length(function, "step_size + step_size_down", period)

    def schedule(step: Step) -> Array:
        step = whole_step(step)
        place = modulo(step, period)
        weights = _triangle(place, up, down, dtype)
        if scale is not None:
            weights = attenuate(weights, scale(step, place.cycle, dtype))
        return between(base, peak, weights)

    return in_cycles(schedule, lambda step: modulo(step, period))


def _triangle(place: Place, up: Any, down: Any, dtype: Any) -> Weights:
    """Weights of the base (start) and of the peak (end) in a rise and a descent."""
    rises = place.position < up
    height = jnp.where(rises, place.position, down - (place.position - up))
    high = fraction(height, jnp.where(rises, up, down), dtype)
    return Weights(high.left, high.done)
