"""Joining schedules that share one position in the cycle to a policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Array, Scalar, Schedule, Step
from optax_cycles.schedules._phase import reals, whole_step

Policy: TypeAlias = dict[str, Schedule]
# A number is held constant; (low, high) moves against the learning rate.
Against: TypeAlias = Scalar | tuple[Scalar, Scalar] | None


def assemble(
    function: str,
    rate: Schedule,
    against: Callable[[Scalar, Scalar], Schedule],
    *,
    learning_rate_name: str,
    momentum_name: str,
    momentum: Against,
    weight_decay: Against,
) -> Policy:
    """The policy with this rate, whose pairs move as `against(low, high)` does."""
    _check_names(function, learning_rate_name, momentum_name)
    policy = {learning_rate_name: rate}
    for name, value in ((momentum_name, momentum), ("weight_decay", weight_decay)):
        if isinstance(value, tuple | list):
            low, high = _pair(function, name, value)
            policy[name] = against(low, high)
        elif value is not None:
            policy[name] = _constant(function, name, value)
    return policy


def _check_names(function: str, learning_rate_name: str, momentum_name: str) -> None:
    names = {"learning_rate_name": learning_rate_name, "momentum_name": momentum_name}
    taken = ["weight_decay"]
    for argument, name in names.items():
        if not isinstance(name, str):
            _checks.fail_type(function, argument, "the name of an argument", name)
        if name in taken or not name:
            expected = f"a name other than {' and '.join(taken)}"
            _checks.fail(function, argument, expected, name)
        taken.append(name)


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
