"""Optimizers as `tune` sees them: what they take, and how they are written."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import optax

from optax_cycles import _checks
from optax_cycles.optimizers import adamw, sgdw

RATE, MULTIPLIER, DECAY = "learning_rate", "multiplier", "weight_decay"
MOMENTA = ("momentum", "b1")
NAMED: dict[str, tuple[str, Callable[..., optax.GradientTransformation]]] = {
    "sgdw": ("oc.sgdw", sgdw),
    "adamw": ("oc.adamw", adamw),
    "sgd": ("optax.sgd", optax.sgd),
    "adam": ("optax.adam", optax.adam),
    "rmsprop": ("optax.rmsprop", optax.rmsprop),
    "lion": ("optax.lion", optax.lion),
}


class Family(NamedTuple):
    """An optimizer whose numbers can be tuned.

    Attributes:
      name: one of `NAMED`, or `module:attribute` of a function of the user's.
      factory: makes the optimizer.
      momentum_name: its argument that a policy moves against the rate, or None.
      has_multiplier: whether schedules are its `multiplier`, beside a fixed rate, so
        that they shrink weight decay with it.
      has_decay: whether it takes a `weight_decay`.
    """

    name: str
    factory: Callable[..., optax.GradientTransformation]
    momentum_name: str | None
    has_multiplier: bool
    has_decay: bool

    @property
    def scheduled(self) -> str:
        """The argument that the schedule goes to."""
        return MULTIPLIER if self.has_multiplier else RATE

    @property
    def scales_with_momentum(self) -> bool:
        """Whether 1 / (1 - momentum) gradients add up to a step."""
        return self.momentum_name == "momentum"

    @property
    def written(self) -> str:
        """The factory in Python."""
        if self.name in NAMED:
            return NAMED[self.name][0]
        return self.name.replace(":", ".")

    @property
    def imported(self) -> str | None:
        """What has to be imported for that, besides `optax_cycles`."""
        module = self.name.split(":")[0] if ":" in self.name else None
        return "optax" if self.written.startswith("optax.") else module


def family_of(function: str, optimizer: Any, name: str | None = None) -> Family:
    """The family of a named optimizer, or of a factory like those of optax.

    Args:
      function: who asks, for errors.
      optimizer: a name, or a factory that takes `learning_rate`.
      name: what a factory is called, by default its module and name.

    Raises:
      ValueError: if the name is unknown, or the factory takes no learning rate.
      TypeError: if it is neither.
    """
    if isinstance(optimizer, str):
        _checks.choice(function, "optimizer", optimizer, NAMED)
        name, factory = optimizer, NAMED[optimizer][1]
    elif callable(optimizer):
        factory = optimizer
        module = getattr(factory, "__module__", "__main__")
        qualified = getattr(factory, "__qualname__", type(factory).__qualname__)
        name = name or f"{module}:{qualified}"
    else:
        expected = f"one of {', '.join(NAMED)} or a factory of optimizers"
        _checks.fail_type(function, "optimizer", expected, optimizer)
    takes = inspect.signature(factory).parameters
    if RATE not in takes:
        expected = f"a factory that takes {RATE}"
        _checks.fail(function, "optimizer", expected, f"{name}({', '.join(takes)})")
    return Family(
        name,
        factory,
        next((one for one in MOMENTA if one in takes), None),
        MULTIPLIER in takes,
        DECAY in takes,
    )
