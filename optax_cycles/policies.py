"""Policies: several hyperparameters that share one position in the cycle.

A policy is a plain `dict` from the names of an optimizer's arguments to schedules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optax_cycles import _checks
from optax_cycles._policy import Against, Policy, assemble
from optax_cycles._typing import Array, Scalar, Schedule, Step
from optax_cycles.schedules._phase import in_cycles, reals
from optax_cycles.schedules._shapes import SHAPES, ShapeLike
from optax_cycles.schedules.cyclical import Scale, decaying, halving, wave
from optax_cycles.schedules.one_cycle import (
    annihilated_ends,
    one_cycle,
    one_cycle_annihilated,
    one_cycle_smith,
    phases,
    through,
)
from optax_cycles.schedules.restarts import normalized, restarts, warm_restarts


def one_cycle_policy(
    total_steps: Scalar,
    peak_value: Scalar,
    *,
    momentum: Against = (0.85, 0.95),
    momentum_name: str = "momentum",
    learning_rate_name: str = "learning_rate",
    weight_decay: Against = None,
    pct_start: Scalar = 0.3,
    div_factor: Scalar = 25.0,
    final_div_factor: Scalar = 1e4,
    anneal: ShapeLike = "cosine",
    three_phase: bool = False,
    end: str = "inclusive",
) -> Policy:
    """The 1cycle policy: the momentum falls while the learning rate rises.

    The learning rate is `one_cycle(...)`. A pair (low, high) goes from high to low
    while the rate rises and back to high while it descends, in the same phases and
    the same shape, and stays high in a third phase.

    At t = 0 and from the last step on, the rate is as in `one_cycle` and each pair
    is at its high value.

    Args:
      total_steps: number of updates N, >= 1.
      peak_value: largest learning rate.
      momentum: (low, high), a number to hold constant, or None to leave out.
      momentum_name: the optimizer's name for it: "momentum" for `optax.sgd`, "b1"
        for the Adam family.
      learning_rate_name: the optimizer's name for the learning rate; "multiplier" for
        one that multiplies a fixed rate, with a peak of 1.
      weight_decay: like `momentum`.
      pct_start: as in `one_cycle`, like the options below.
      div_factor: `peak_value` over the first learning rate.
      final_div_factor: the first learning rate over the last one.
      anneal: shape of the phases.
      three_phase: whether to return to the first value before the final descent.
      end: "inclusive" or "exclusive".

    Returns:
      A dict with the keys `learning_rate_name`, `momentum_name` and `"weight_decay"`,
      without those that are None.

    Raises:
      TypeError: if an argument is of the wrong type.
      ValueError: if a number is out of range or a name unknown.

    Agrees with `torch.optim.lr_scheduler.OneCycleLR(cycle_momentum=True)`. L. Smith,
    "A disciplined approach to neural network hyper-parameters" (2018), section 4.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> policy = oc.one_cycle_policy(10, 25.0, momentum=(1.0, 22.0), anneal="linear")
      >>> [round(float(value), 3) for value in policy["momentum"](jnp.arange(10))]
      [22.0, 11.5, 1.0, 4.0, 7.0, 10.0, 13.0, 16.0, 19.0, 22.0]
    """
    shared: dict[str, Any] = {"pct_start": pct_start, "anneal": anneal, "end": end}

    def against(low: Scalar, high: Scalar) -> Schedule:
        dtype, (low, high) = reals("one_cycle_policy", low=low, high=high)
        levels = [high, low, high, *([high] if three_phase else [])]
        return phases("one_cycle_policy", levels, dtype, total_steps, **shared)

    rate = one_cycle(
        total_steps,
        peak_value,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        three_phase=three_phase,
        **shared,
    )
    return assemble(
        "one_cycle_policy",
        rate,
        against,
        learning_rate_name=learning_rate_name,
        momentum_name=momentum_name,
        momentum=momentum,
        weight_decay=weight_decay,
    )


def cyclical_policy(
    base_value: Scalar,
    peak_value: Scalar,
    step_size: Scalar,
    *,
    step_size_down: Scalar | None = None,
    mode: str = "triangular",
    gamma: Scalar = 1.0,
    momentum: Against = (0.8, 0.9),
    momentum_name: str = "momentum",
    learning_rate_name: str = "learning_rate",
    weight_decay: Against = None,
) -> Policy:
    """Cyclical learning rates with a momentum that moves against them.

    The learning rate is `triangular`, `triangular2` or `exp_range`. A pair
    (low, high) is `high - (high - low) tri scale`, with the same triangle tri and
    the same scale of its amplitude.

    At t = 0 and at the start of each cycle the rate is `base_value` and each pair
    is at its high value; the wave goes on for ever.

    Args:
      base_value: learning rate at the start of each cycle.
      peak_value: learning rate after `step_size` steps.
      step_size: steps of the rise, >= 1.
      step_size_down: steps of the descent, >= 0; `step_size` if None.
      mode: `"triangular"`, `"triangular2"` (the amplitude halves after each cycle)
        or `"exp_range"` (it is multiplied by `gamma` at each step).
      gamma: factor of the amplitude per step, > 0, for `"exp_range"` only.
      momentum: (low, high), a number to hold constant, or None to leave out.
      momentum_name: the optimizer's name for it: "momentum" for `optax.sgd`, "b1"
        for the Adam family.
      learning_rate_name: the optimizer's name for the learning rate; "multiplier" for
        one that multiplies a fixed rate, with a peak of 1.
      weight_decay: like `momentum`.

    Returns:
      A dict with the keys `learning_rate_name`, `momentum_name` and `"weight_decay"`,
      without those that are None.

    Raises:
      TypeError: if an argument is of the wrong type.
      ValueError: if a number is out of range or `mode` is unknown.

    Agrees with `torch.optim.lr_scheduler.CyclicLR(cycle_momentum=True)`.

    Examples:
      >>> import jax.numpy as jnp
      >>> import optax_cycles as oc
      >>> policy = oc.cyclical_policy(1.0, 5.0, 4, momentum=(1.0, 5.0))
      >>> policy["momentum"](jnp.arange(9)).tolist()
      [5.0, 4.0, 3.0, 2.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """
    name = "cyclical_policy"
    scales: dict[str, Callable[[], Scale | None]] = {
        "triangular": lambda: None,
        "triangular2": lambda: halving,
        "exp_range": lambda: decaying(name, gamma),
    }
    _checks.choice(name, "mode", mode, scales)
    scale = scales[mode]()

    def cycled(start: Scalar, turn: Scalar) -> Schedule:
        return wave(name, (start, turn), step_size, step_size_down, scale)

    rate = cycled(base_value, peak_value)
    return assemble(
        name,
        rate,
        lambda low, high: cycled(high, low),
        learning_rate_name=learning_rate_name,
        momentum_name=momentum_name,
        momentum=momentum,
        weight_decay=weight_decay,
    )


def one_cycle_smith_policy(
    base_value: Scalar,
    peak_value: Scalar,
    step_size: Scalar,
    *,
    momentum: Against = (0.85, 0.95),
    momentum_name: str = "momentum",
    learning_rate_name: str = "learning_rate",
    weight_decay: Against = None,
) -> Policy:
    """The 1cycle policy of the paper's own runs.

    The learning rate is `one_cycle_smith(...)`. A pair (low, high) is
    `high - (high - low) tri 2**-k`, the wave of `triangular2` with the same step
    size, so that it dips again by half in the flat tail.

    At t = 0 the rate is `base_value` and each pair is at its high value; from about
    t = 2 `step_size` on the rate is `base_value / 1000`.

    Args:
      base_value: learning rate at the start.
      peak_value: largest learning rate.
      step_size: steps of the rise and of the descent, >= 1.
      momentum: (low, high), a number to hold constant, or None to leave out.
      momentum_name: the optimizer's name for it: "momentum" for `optax.sgd`, "b1"
        for the Adam family.
      learning_rate_name: the optimizer's name for the learning rate; "multiplier" for
        one that multiplies a fixed rate, with a peak of 1.
      weight_decay: like `momentum`.

    Returns:
      A dict with the keys `learning_rate_name`, `momentum_name` and `"weight_decay"`,
      without those that are None.

    Raises:
      TypeError: if an argument is of the wrong type.
      ValueError: if a number is out of range.

    Agrees with the training logs that L. Smith published with "A disciplined approach
    to neural network hyper-parameters" (2018).

    Examples:
      >>> import optax_cycles as oc
      >>> policy = oc.one_cycle_smith_policy(0.1, 1.0, 2246)
      >>> rate, momentum = policy["learning_rate"](2400), policy["momentum"](2400)
      >>> f"{float(rate):.5f} {float(momentum):.5f}"
      '0.93143 0.85686'
    """
    name = "one_cycle_smith_policy"
    rate = one_cycle_smith(base_value, peak_value, step_size)
    return assemble(
        name,
        rate,
        lambda low, high: wave(name, (high, low), step_size, None, halving),
        learning_rate_name=learning_rate_name,
        momentum_name=momentum_name,
        momentum=momentum,
        weight_decay=weight_decay,
    )


def one_cycle_annihilated_policy(
    total_steps: Scalar,
    peak_value: Scalar,
    *,
    momentum: Against = (0.85, 0.95),
    momentum_name: str = "momentum",
    learning_rate_name: str = "learning_rate",
    weight_decay: Against = None,
    div_factor: Scalar = 10.0,
    annihilation_pct: Scalar = 0.1,
    annihilation_div: Scalar = 100.0,
) -> Policy:
    """One cycle in straight lines with an annihilation, and a momentum against it.

    The learning rate is `one_cycle_annihilated(...)`. A pair (low, high) goes from
    high to low and back in the same straight lines, and stays high in the last phase.

    At t = 0 and from the annihilation on each pair is at its high value; the rate is
    as in `one_cycle_annihilated`.

    Args:
      total_steps: number of updates N, >= 1.
      peak_value: largest learning rate.
      momentum: (low, high), a number to hold constant, or None to leave out.
      momentum_name: the optimizer's name for it: "momentum" for `optax.sgd`, "b1"
        for the Adam family.
      learning_rate_name: the optimizer's name for the learning rate; "multiplier" for
        one that multiplies a fixed rate, with a peak of 1.
      weight_decay: like `momentum`.
      div_factor: as in `one_cycle_annihilated`, like the options below.
      annihilation_pct: share of the steps in the last phase.
      annihilation_div: the first learning rate over the last one.

    Returns:
      A dict with the keys `learning_rate_name`, `momentum_name` and `"weight_decay"`,
      without those that are None.

    Raises:
      TypeError: if an argument is of the wrong type.
      ValueError: if a number is out of range.

    Agrees with the Keras `OneCycleLR` callback of titu1994.

    Examples:
      >>> import optax_cycles as oc
      >>> policy = oc.one_cycle_annihilated_policy(100, 1.0)
      >>> [round(float(policy["momentum"](t)), 2) for t in (0, 45, 90, 99)]
      [0.95, 0.85, 0.95, 0.95]
    """
    name = "one_cycle_annihilated_policy"
    rate = one_cycle_annihilated(
        total_steps,
        peak_value,
        div_factor=div_factor,
        annihilation_pct=annihilation_pct,
        annihilation_div=annihilation_div,
    )

    def against(low: Scalar, high: Scalar) -> Schedule:
        dtype, (bottom, top) = reals(name, low=low, high=high)
        ends = annihilated_ends(name, total_steps, annihilation_pct)
        return through(ends, [top, bottom, top, top], SHAPES["linear"], dtype)

    return assemble(
        name,
        rate,
        against,
        learning_rate_name=learning_rate_name,
        momentum_name=momentum_name,
        momentum=momentum,
        weight_decay=weight_decay,
    )


def warm_restarts_policy(
    first_period: Scalar,
    peak_value: Scalar,
    *,
    momentum: Against = None,
    momentum_name: str = "momentum",
    learning_rate_name: str = "learning_rate",
    weight_decay: Against = None,
    normalized_decay: Scalar | None = None,
    period_mult: Scalar = 1.0,
    peak_mult: Scalar = 1.0,
    min_value: Scalar = 0.0,
    shape: ShapeLike = "cosine",
    rounding: str = "ceil",
    max_periods: int | None = None,
) -> Policy:
    """Warm restarts of the learning rate, the momentum and the weight decay.

    The learning rate is `warm_restarts(...)`. A pair (low, high) is low at each
    restart and rises to high in the same shape. With `normalized_decay` the weight
    decay is `normalized_decay / sqrt(T_i)` in a period of T_i updates, times the
    learning rate over `peak_value` (unless that is the multiplier, which multiplies the
    decay already).

    At t = 0 and at each restart the rate is at its peak and each pair at its low
    value; the restarts go on for ever.

    Args:
      first_period: updates of the first cycle, >= 1.
      peak_value: learning rate at the first step.
      momentum: (low, high), a number to hold constant, or None to leave out.
      momentum_name: the optimizer's name for it: "momentum" for `optax.sgd`, "b1"
        for the Adam family.
      learning_rate_name: the optimizer's name for the learning rate; "multiplier" for
        one that multiplies a fixed rate, with a peak of 1.
      weight_decay: like `momentum`.
      normalized_decay: weight decay in a period of one update, instead of
        `weight_decay`; for an optimizer whose learning rate does not multiply it.
      period_mult: as in `warm_restarts`, like the options below.
      peak_mult: factor of the peak from a cycle to the next.
      min_value: learning rate that each cycle descends to.
      shape: shape of a cycle.
      rounding: rounding of each period to whole steps.
      max_periods: number of different periods.

    Returns:
      A dict with the keys `learning_rate_name`, `momentum_name` and `"weight_decay"`,
      without those that are None.

    Raises:
      TypeError: if an argument is of the wrong type.
      ValueError: if a number is out of range, or two weight decays are given.

    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization" (2019),
    appendix B.1, for the normalized decay.

    Examples:
      >>> import optax_cycles as oc
      >>> policy = oc.warm_restarts_policy(8, 0.1, period_mult=2, normalized_decay=1.0)
      >>> [round(float(policy["weight_decay"](t)), 4) for t in (0, 1, 7, 8)]
      [0.3536, 0.3401, 0.0135, 0.25]
    """
    name = "warm_restarts_policy"
    options: dict[str, Any] = {
        "period_mult": period_mult,
        "shape": shape,
        "rounding": rounding,
        "max_periods": max_periods,
    }

    def cycled(peak: Scalar, low: Scalar, mult: Scalar) -> Schedule:
        return warm_restarts(
            first_period, peak, peak_mult=mult, min_value=low, **options
        )

    rate = cycled(peak_value, min_value, peak_mult)
    policy = assemble(
        name,
        rate,
        lambda low, high: cycled(low, high, 1.0),
        learning_rate_name=learning_rate_name,
        momentum_name=momentum_name,
        momentum=momentum,
        weight_decay=weight_decay,
    )
    if normalized_decay is not None:
        if weight_decay is not None:
            expected = "None where normalized_decay is given"
            _checks.fail(name, "weight_decay", expected, weight_decay)
        _checks.real(name, "peak_value", peak_value, above=0)
        dtype, (decay, peak) = reals(
            name, normalized_decay=normalized_decay, peak_value=peak_value
        )
        place_of = restarts(name, first_period, period_mult, rounding, max_periods)

        per_period = normalized(decay, place_of, dtype)
        policy["weight_decay"] = per_period
        if learning_rate_name == "multiplier":
            return policy

        def scaled(step: Step) -> Array:
            value: Array = rate(step) / peak * per_period(step)
            return value

        policy["weight_decay"] = in_cycles(scaled, place_of)
    return policy
