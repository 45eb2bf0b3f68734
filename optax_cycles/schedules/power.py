"""Decays by a power of the time, after a linear warm-up."""

from __future__ import annotations

import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Array, Scalar, Schedule, Step
from optax_cycles.schedules._phase import fraction, lengths, reals, whole_step


def inverse_sqrt(
    init_value: Scalar,
    warmup_steps: Scalar,
    *,
    timescale: Scalar | None = None,
    shift: Scalar = 0,
) -> Schedule:
    """A linear warm-up, then the inverse square root of the time.

    `init min(t / W, 1) ((ts + shift + max(t - W, 0)) / ts)**-0.5` with
    W = `warmup_steps` and ts = `timescale`.

    At t = 0 the value is 0 (without a warm-up, the largest one), at t = W it is
    largest, `init_value` if the shift is 0; there is no last step.

    Args:
      init_value: value at the end of the warm-up, if the shift is 0.
      warmup_steps: steps W of the warm-up, >= 0.
      timescale: steps ts in which the decay sets in, >= 1; `warmup_steps` if None,
        or 10000 without a warm-up.
      shift: steps of the decay that are done when it begins, >= 0.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or `init_value` not a number.
      ValueError: if a number is out of range or not finite.

    Agrees with `get_inverse_sqrt_schedule` of transformers and with "rsqrt" of
    big_vision (whose timescale is 10000 unless it is given).

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> oc.inverse_sqrt(1.0, 4)(jnp.asarray([0, 2, 4, 16])).tolist()
      [0.0, 0.5, 1.0, 0.5]
    """
    lengths_ = (warmup_steps, timescale, shift)
    return _power_decay("inverse_sqrt", init_value, 0.5, lengths_)


def power_decay(
    init_value: Scalar,
    warmup_steps: Scalar,
    *,
    power: Scalar,
    timescale: Scalar | None = None,
    shift: Scalar = 0,
) -> Schedule:
    """A linear warm-up, then a negative power of the time.

    `init min(t / W, 1) ((ts + shift + max(t - W, 0)) / ts)**-power` with
    W = `warmup_steps` and ts = `timescale`.

    At t = 0 the value is 0 (without a warm-up, the largest one), at t = W it is
    largest, `init_value` if the shift is 0; there is no last step.

    Args:
      init_value: value at the end of the warm-up, if the shift is 0.
      warmup_steps: steps W of the warm-up, >= 0.
      power: exponent, >= 0; 0.5 is `inverse_sqrt`.
      timescale: steps ts in which the decay sets in, >= 1; `warmup_steps` if None,
        or 10000 without a warm-up.
      shift: steps of the decay that are done when it begins, >= 0.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or a value not a number.
      ValueError: if a number is out of range or not finite.

    Agrees with `inverse_sqrt` for a power of 0.5.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> oc.power_decay(1.0, 4, power=1)(jnp.asarray([0, 2, 4, 16])).tolist()
      [0.0, 0.5, 1.0, 0.25]
    """
    _checks.real("power_decay", "power", power, minimum=0)
    lengths_ = (warmup_steps, timescale, shift)
    return _power_decay("power_decay", init_value, power, lengths_)


def _power_decay(
    function: str,
    init_value: Scalar,
    power: Scalar,
    steps: tuple[Scalar, Scalar | None, Scalar],
) -> Schedule:
    """A warm-up, then a negative power; `steps` are warm-up, timescale and shift."""
    dtype, (init, exponent) = reals(function, init_value=init_value, power=power)
    warm, ahead = lengths(function, minimum=0, warmup_steps=steps[0], shift=steps[2])
    if steps[1] is None:
        scale = jnp.where(jnp.asarray(warm) > 0, warm, 10_000)
    else:
        (scale,) = lengths(function, timescale=steps[1])

    def schedule(step: Step) -> Array:
        step = whole_step(step)
        unit = jnp.asarray(scale).astype(dtype)
        since = unit + jnp.maximum(step - warm, 0).astype(dtype)
        time = since + jnp.asarray(ahead).astype(dtype)
        rise = fraction(step, warm, dtype).done
        value: Array = init * rise * (unit / time) ** exponent
        return value

    return schedule
