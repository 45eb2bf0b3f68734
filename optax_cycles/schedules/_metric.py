"""What the schedules that follow a metric share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Array, Scalar


@dataclasses.dataclass(frozen=True)
class MetricSchedule:
    """An optax stateful schedule: `init()`, `update(state, ...)`, `(state, ...)`."""

    init: Callable[[], Any]
    update: Callable[..., Any]

    def __call__(self, state: Any, **extra_args: Any) -> Array:
        """The value for the update that is given this metric."""
        value: Array = self.update(state, **extra_args).value
        return value


def direction(
    function: str, mode: str, threshold_mode: str, threshold: Scalar
) -> float:
    """1 where smaller metrics are better and -1 where larger ones are; checked."""
    _checks.choice(function, "mode", mode, ["min", "max"])
    _checks.choice(function, "threshold_mode", threshold_mode, ["rel", "abs"])
    _checks.real(function, "threshold", threshold, minimum=0)
    return 1.0 if mode == "min" else -1.0


def is_better(
    metric: Array, best: Array, sign: float, threshold: Any, threshold_mode: str
) -> Array:
    """Whether a metric is better than the best so far by more than the threshold."""
    margin = threshold * jnp.ones_like(best)
    if threshold_mode == "rel":
        # The first best is infinite, and infinite margins would make it NaN.
        margin = margin * jnp.where(jnp.isfinite(best), jnp.abs(best), 0.0)
    better: Array = sign * metric < sign * best - margin
    return better
