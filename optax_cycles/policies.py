"""Policies: several hyperparameters that share one position in the cycle.

A policy is a plain `dict` from the names of an optimizer's arguments to schedules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Array, Scalar, Schedule, Step
from optax_cycles.schedules._phase import reals, whole_step
from optax_cycles.schedules._shapes import ShapeLike
from optax_cycles.schedules.cyclical import Scale, decaying, halving, wave
from optax_cycles.schedules.one_cycle import one_cycle, phases

Policy: TypeAlias = dict[str, Schedule]
# A number is held constant; (low, high) moves against the learning rate.
Against: TypeAlias = Scalar | tuple[Scalar, Scalar] | None


def one_cycle_policy(
    total_steps: Scalar,
    peak_value: Scalar,
    *,
    momentum: Against = (0.85, 0.95),
    momentum_name: str = "momentum",
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
      weight_decay: like `momentum`.
      pct_start: as in `one_cycle`, like the options below.
      div_factor: `peak_value` over the first learning rate.
      final_div_factor: the first learning rate over the last one.
      anneal: shape of the phases.
      three_phase: whether to return to the first value before the final descent.
      end: "inclusive" or "exclusive".

    Returns:
      A dict with the keys `"learning_rate"`, `momentum_name` and `"weight_decay"`,
      without those that are None.

    Raises:
      TypeError: if an argument is of the wrong type.
      ValueError: if a number is out of range or a name unknown.

    Agrees with `torch.optim.lr_scheduler.OneCycleLR(cycle_momentum=True)`. L. Smith,
    "A disciplined approach to neural network hyper-parameters" (2018), section 4.

    Example:
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
    moving = {momentum_name: momentum, "weight_decay": weight_decay}
    return _policy("one_cycle_policy", rate, moving, against)


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
      weight_decay: like `momentum`.

    Returns:
      A dict with the keys `"learning_rate"`, `momentum_name` and `"weight_decay"`,
      without those that are None.

    Raises:
      TypeError: if an argument is of the wrong type.
      ValueError: if a number is out of range or `mode` is unknown.

    Agrees with `torch.optim.lr_scheduler.CyclicLR(cycle_momentum=True)`.

    Example:
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

    moving = {momentum_name: momentum, "weight_decay": weight_decay}
    rate = cycled(base_value, peak_value)
    return _policy(name, rate, moving, lambda low, high: cycled(high, low))


def _policy(
    function: str,
    rate: Schedule,
    moving: Mapping[str, Against],
    against: Callable[[Scalar, Scalar], Schedule],
) -> Policy:
    """The policy with this rate, whose pairs move as `against(low, high)` does."""
    policy = {"learning_rate": rate}
    for name, value in moving.items():
        if isinstance(value, tuple | list):
            low, high = _pair(function, name, value)
            policy[name] = against(low, high)
        elif value is not None:
            policy[name] = _constant(function, name, value)
    return policy


def _pair(function: str, name: str, value: Any) -> tuple[Scalar, Scalar]:
    if len(value) != 2:
        _checks.fail(function, name, "a number or a pair (low, high)", value)
    low, high = value
    _checks.real(function, name, low)
    _checks.real(function, name, high)
    if not _checks.is_traced(low) and not _checks.is_traced(high) and low > high:
        _checks.fail(function, name, "a pair (low, high) with low <= high", value)
    return low, high


def _constant(function: str, name: str, value: Scalar) -> Schedule:
    dtype, (number,) = reals(function, **{name: value})

    def schedule(step: Step) -> Array:
        return jnp.full(whole_step(step).shape, number, dtype)

    return schedule
