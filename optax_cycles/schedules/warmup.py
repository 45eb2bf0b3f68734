"""Schedules that begin with a warm-up."""

from __future__ import annotations

import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Array, Scalar, Schedule, Step
from optax_cycles.schedules._phase import (
    MAX_STEP,
    between,
    evaluate,
    fraction,
    lengths,
    reals,
    whole_step,
)
from optax_cycles.schedules._shapes import SHAPES, ShapeLike, shape_of


def noam(
    model_size: Scalar,
    warmup_steps: Scalar,
    *,
    factor: Scalar = 1.0,
    offset: Scalar = 1,
) -> Schedule:
    """The Transformer schedule: a linear warm-up, then the inverse square root.

    `factor d**-0.5 min(s**-0.5, s W**-1.5)` with s = t + `offset`,
    d = `model_size` and W = `warmup_steps`.

    At t = 0 the value is one step into the warm-up (with offset 0 it is 0), at
    s = W it is largest, `factor (d W)**-0.5`; there is no last step.

    Args:
      model_size: width d of the model, > 0.
      warmup_steps: steps W of the warm-up, >= 0.
      factor: multiplies the whole.
      offset: number of the first update, >= 0: 1 in Tensor2Tensor and in the
        paper's formula, 0 for a first update that changes nothing.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or a value not a number.
      ValueError: if a number is out of range.

    Agrees with Tensor2Tensor's "noam" (whose constants are a `factor` of 10 times its
    learning rate with Adam) and with the `NoamOpt` class of "The Annotated
    Transformer". A. Vaswani et al., "Attention Is All You Need" (2017),
    eq. 3.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> oc.noam(64, 4)(jnp.asarray([0, 1, 3, 15])).tolist()
      [0.015625, 0.03125, 0.0625, 0.03125]
    """
    _checks.real("noam", "model_size", model_size, above=0)
    dtype, (size, scale) = reals("noam", model_size=model_size, factor=factor)
    warm, first = lengths("noam", minimum=0, warmup_steps=warmup_steps, offset=offset)

    def schedule(step: Step) -> Array:
        number = jnp.minimum(whole_step(step), MAX_STEP - first) + first
        rise = fraction(jnp.minimum(number, warm), warm, dtype).done
        since = jnp.maximum(jnp.maximum(number, warm), 1)
        value: Array = scale * size**-0.5 * rise / jnp.sqrt(since.astype(dtype))
        return value

    return schedule


def warmup_stable_decay(
    peak_value: Scalar,
    warmup_steps: Scalar,
    stable_steps: Scalar,
    decay_steps: Scalar,
    *,
    decay_shape: ShapeLike = "1-sqrt",
    end_ratio: Scalar = 0.0,
    init_ratio: Scalar = 0.0,
) -> Schedule:
    """A linear warm-up, a plateau and a decay (WSD, the trapezoid).

    From `init_ratio * peak` to peak over the warm-up, peak over the stable steps,
    then `end_ratio peak + (1 - end_ratio) peak decay_shape(q)`, where q goes from 0
    to 1 over the decay.

    At t = 0 the value is `init_ratio * peak_value`; from the end of the three
    phases on it is `end_ratio * peak_value`.

    Args:
      peak_value: value on the plateau.
      warmup_steps: steps of the warm-up, >= 0.
      stable_steps: steps of the plateau, >= 0.
      decay_steps: steps of the decay, >= 0.
      decay_shape: a name ("1-sqrt", "linear", "cosine", ...) or a function of q
        that falls from 1 to 0.
      end_ratio: last value over the peak.
      init_ratio: first value over the peak.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or a value not a number.
      ValueError: if a number is out of range or `decay_shape` is unknown.

    Agrees with `get_wsd_schedule` of transformers (whose warm-up starts at its
    `min_lr_ratio`: give that as both ratios). S. Hu et al., "MiniCPM" (2024); A.
    Haegele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training
    Durations" (2024), for the shape 1 - sqrt(q).

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> schedule = oc.warmup_stable_decay(1.0, 2, 2, 4)
      >>> schedule(jnp.asarray([0, 1, 2, 4, 5, 8])).tolist()
      [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    name = "warmup_stable_decay"
    dtype, (peak, end, begin) = reals(
        name, peak_value=peak_value, end_ratio=end_ratio, init_ratio=init_ratio
    )
    warm, stable, decay = lengths(
        name,
        minimum=0,
        warmup_steps=warmup_steps,
        stable_steps=stable_steps,
        decay_steps=decay_steps,
    )
    fall = shape_of(name, "decay_shape", decay_shape)

    def schedule(step: Step) -> Array:
        step = whole_step(step)
        rise = SHAPES["linear"].weights(fraction(step, warm, dtype))
        # Subtracted one by one: the sum of the two lengths could overflow.
        since = jnp.maximum(step - warm, 0) - stable
        down = fall.weights(fraction(since, decay, dtype))
        return jnp.where(
            step < warm,
            between(begin * peak, peak, rise),
            between(peak, end * peak, down),
        )

    return schedule


def gradual_warmup(
    after: Schedule, warmup_steps: Scalar, *, multiplier: Scalar = 1.0
) -> Schedule:
    """A linear warm-up to a multiple of another schedule, which then follows.

    With m = `multiplier`, W = `warmup_steps` and base = after(0):
    `base ((m - 1) t / W + 1)` for m > 1 or `base t / W` for m = 1, up to W; from W
    on `m after(t - W)`.

    At t = 0 the value is base, or 0 for m = 1; the last steps are those of `after`.

    Args:
      after: schedule that follows, with its own count of steps.
      warmup_steps: steps W of the warm-up, >= 0.
      multiplier: factor m, >= 1.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if `after` is not a function or a number of the wrong type.
      ValueError: if a number is out of range.

    Agrees with ildoonet's `GradualWarmupScheduler` up to W (which takes its first
    value after the warm-up without m). P. Goyal et al., "Accurate, Large Minibatch
    SGD" (2017), section 2.2.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> after = oc.linear_decay(1.0, 4)
      >>> oc.gradual_warmup(after, 2, multiplier=8.0)(jnp.arange(5)).tolist()
      [1.0, 4.5, 8.0, 6.0, 4.0]
    """
    _checks.function_of("gradual_warmup", "after", after)
    _checks.real("gradual_warmup", "multiplier", multiplier, minimum=1)
    dtype, (factor,) = reals("gradual_warmup", multiplier=multiplier)
    (warm,) = lengths("gradual_warmup", minimum=0, warmup_steps=warmup_steps)

    def schedule(step: Step) -> Array:
        step = whole_step(step)
        base = evaluate(after, jnp.zeros((), jnp.int32))
        start = jnp.where(jnp.asarray(factor) > 1.0, base, 0.0)
        rise = SHAPES["linear"].weights(fraction(step, warm, dtype))
        follows = factor * evaluate(after, jnp.maximum(step - warm, 0))
        return jnp.where(step < warm, between(start, factor * base, rise), follows)

    return schedule


def warmup(
    steps: Scalar,
    kind: ShapeLike = "linear",
    *,
    start: Scalar = 0.0,
    offset: Scalar = 0,
) -> Schedule:
    """A factor that rises to 1, for `product`.

    `1 + (start - 1) kind(q)` with q = (t + `offset`) / `steps`, from 0 to 1.

    At t = 0 the factor is `start` (with an offset it is already under way), from
    t = `steps` - `offset` on it is 1.

    Args:
      steps: steps of the rise, >= 0.
      kind: shape: a name ("linear", "cosine", ...) or a function of q that falls
        from 1 to 0.
      start: factor at q = 0.
      offset: steps that are done before the first update, >= 0: with 1, a warm-up
        from 0 has no first update that changes nothing.

    Returns:
      A function of the step, for any shape of steps. Every number may be traced.

    Raises:
      TypeError: if a length is not an integer or `start` not a number.
      ValueError: if a length is out of range or `kind` is unknown.

    With offset 1 agrees with the linear warm-up of `pytorch_warmup`.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> oc.warmup(4)(jnp.arange(6)).tolist()
      [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """
    dtype, (begin,) = reals("warmup", start=start)
    total, done = lengths("warmup", minimum=0, steps=steps, offset=offset)
    shape = shape_of("warmup", "kind", kind)

    def schedule(step: Step) -> Array:
        # Added below the largest step, so that the sum does not overflow.
        now = jnp.minimum(whole_step(step), MAX_STEP - done) + done
        return between(begin, 1.0, shape.weights(fraction(now, total, dtype)))

    return schedule
