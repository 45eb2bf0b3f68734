"""Optimizers any of whose numbers may be a schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import optax

from optax_cycles import _checks
from optax_cycles._typing import Scalar, Schedule
from optax_cycles.hyperparams import inject

# A number, or a schedule (stateful or not) that gives it for each update.
Hyperparam: TypeAlias = Scalar | Schedule
# What is left of one when an update computes with it: a number, often traced.
Number: TypeAlias = Any


def scheduled(
    make: Callable[..., optax.GradientTransformation],
    numbers: Iterable[str],
    arguments: dict[str, Any],
) -> optax.GradientTransformationExtraArgs:
    """`make(**arguments)`, in which each of `numbers` may be a schedule.

    Schedules are injected, so that `current_hyperparams` finds their values; the
    other arguments, traced ones too, stay what they are. Without schedules there is
    nothing to inject and no state for it.
    """
    policy = {name: arguments[name] for name in numbers if callable(arguments[name])}
    if not policy:
        return optax.with_extra_args_support(make(**arguments))
    constants = {k: v for k, v in arguments.items() if k not in policy}
    return inject(make, policy, static_args=constants, **constants)


def check_numbers(
    function: str, arguments: dict[str, Any], **bounds: Mapping[str, float]
) -> None:
    """Check the numbers named in `bounds` that are neither traced nor scheduled."""
    for name, limits in bounds.items():
        if not callable(arguments[name]):
            _checks.real(function, name, arguments[name], **limits)


ANY: Mapping[str, float] = {}
BETA: Mapping[str, float] = {"minimum": 0.0, "below": 1.0}
NOT_NEGATIVE: Mapping[str, float] = {"minimum": 0.0}
