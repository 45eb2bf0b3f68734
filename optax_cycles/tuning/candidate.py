"""One setting of everything that is tuned, and the program that trains any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_cycles import _checks
from optax_cycles._typing import Hparams, Scalar, Schedule, Step
from optax_cycles.hyperparams import inject
from optax_cycles.policies import cyclical_policy, one_cycle_policy
from optax_cycles.schedules import shift, warm_restarts, warmup_stable_decay
from optax_cycles.sweep.space import Axis
from optax_cycles.tuning.family import DECAY, RATE, Family

BASE = 25.0
CYCLES = 4
PERIODS = 7
WARMUP, DECAYING = 0.05, 0.2
SCHEDULES = (
    "one_cycle",
    "cosine",
    "warm_restarts",
    "cyclical",
    "warmup_stable_decay",
    "constant",
)
# Those in which the momentum falls while the rate rises.
MOVES_MOMENTUM = ("one_cycle", "cyclical")


class Candidate(NamedTuple):
    """A setting.

    Attributes:
      schedule: one of `SCHEDULES`.
      learning_rate: the peak.
      momentum: (low, high), equal where it is constant; None if there is none.
      weight_decay: None if there is none.
    """

    schedule: str
    learning_rate: float
    momentum: tuple[float, float] | None
    weight_decay: float | None

    def described(self) -> dict[str, Any]:
        """What a table says of it."""
        row: dict[str, Any] = {"schedule": self.schedule, RATE: self.learning_rate}
        if self.momentum is not None:
            low, high = self.momentum
            moves = low < high and self.schedule in MOVES_MOMENTUM
            row["momentum"] = [low, high] if moves else high
        if self.weight_decay is not None:
            row[DECAY] = self.weight_decay
        return row


def columns(candidates: Sequence[Candidate], length: int) -> Axis:
    """The candidates as hyperparameters of one axis, for trainings of `length`."""
    first = candidates[0]
    values: dict[str, Any] = {
        "schedule": [SCHEDULES.index(one.schedule) for one in candidates],
        "length": [length] * len(candidates),
        RATE: [one.learning_rate for one in candidates],
    }
    if first.momentum is not None:
        pairs = [one.momentum or (0.0, 0.0) for one in candidates]
        values["low_momentum"] = [low for low, _ in pairs]
        values["high_momentum"] = [high for _, high in pairs]
    if first.weight_decay is not None:
        values[DECAY] = [one.weight_decay for one in candidates]
    return Axis("candidate", {name: np.array(v) for name, v in values.items()})


def policy_of(
    family: Family,
    schedule: str,
    length: Scalar,
    learning_rate: Scalar,
    momentum: tuple[Scalar, Scalar] | None,
) -> dict[str, Schedule]:
    """A schedule of `length` updates as a policy for `inject`; all may be traced."""
    peak: Any = 1.0 if family.has_multiplier else learning_rate
    names: dict[str, Any] = {
        "learning_rate_name": family.scheduled,
        "momentum_name": family.momentum_name or "momentum",
    }
    if schedule == "one_cycle":
        return one_cycle_policy(length, peak, momentum=momentum, **names)
    if schedule == "cyclical":
        # Each cycle half as high as the one before: triangular2.
        size, skipped = parts_of(length, 2 * CYCLES)
        cycles = cyclical_policy(
            peak / BASE, peak, size, mode="triangular2", momentum=momentum, **names
        )
        return {name: shift(one, -skipped) for name, one in cycles.items()}
    policy = {family.scheduled: _rate(schedule, length, peak)}
    if momentum is not None:
        policy[str(family.momentum_name)] = _constant(momentum[1])
    return policy


def _rate(schedule: str, length: Any, peak: Scalar) -> Schedule:
    if schedule == "cosine":
        return warm_restarts(length, peak)
    if schedule == "warm_restarts":
        # Periods of 1, 2 and 4 parts.
        first, skipped = parts_of(length, PERIODS)
        return shift(warm_restarts(first, peak, period_mult=2), -skipped)
    if schedule == "warmup_stable_decay":
        warmup, decay = share_of(length, WARMUP), share_of(length, DECAYING)
        return warmup_stable_decay(peak, warmup, length - warmup - decay, decay)
    return _constant(peak)


def _constant(value: Any) -> Schedule:
    return lambda step: jnp.full(jnp.shape(step), value, jnp.float32)


def share_of(length: Any, share: float) -> Any:
    """A share of a number of updates, rounded up, one at least."""
    if _checks.is_traced(length):
        return jnp.maximum(jnp.ceil(length * share - 1e-3), 1)
    return max(int(np.ceil(length * share - 1e-3)), 1)


def parts_of(length: Any, count: int) -> tuple[Any, Any]:
    """The updates of each of `count` equal parts, and how many there are too many.

    Those are skipped at the start, so that the last part ends with the training.
    """
    each = share_of(length, 1 / count)
    return each, count * each - length


def optimizer_of(
    family: Family,
    policy: Mapping[str, Any],
    learning_rate: Scalar,
    weight_decay: Scalar | None,
) -> optax.GradientTransformationExtraArgs:
    """The family's optimizer under a policy."""
    constants: dict[str, Any] = {RATE: learning_rate} if family.has_multiplier else {}
    if weight_decay is not None:
        constants[DECAY] = weight_decay
    return inject(family.factory, policy, **constants)


def program(family: Family, hparams: Hparams) -> optax.GradientTransformationExtraArgs:
    """The optimizer of any candidate: which one is data, so that one compile does."""
    momentum = None
    if family.momentum_name is not None:
        momentum = (hparams["low_momentum"], hparams["high_momentum"])
    length, rate = hparams["length"], hparams[RATE]
    policies = [policy_of(family, n, length, rate, momentum) for n in SCHEDULES]

    def chosen(name: str) -> Schedule:
        def schedule(step: Step) -> Any:
            # Members one after another compute the one that they follow, and no other.
            branches = [policy[name] for policy in policies]
            return jax.lax.switch(hparams["schedule"], branches, step)

        return schedule

    return optimizer_of(
        family,
        {name: chosen(name) for name in policies[0]},
        rate,
        hparams.get(DECAY) if family.has_decay else None,
    )
