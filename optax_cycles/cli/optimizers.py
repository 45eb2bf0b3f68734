"""The optimizers that the commands know by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import optax

from optax_cycles._typing import Hparams
from optax_cycles.hyperparams import inject
from optax_cycles.policies import one_cycle_policy


class NamedOptimizer(NamedTuple):
    """An optax optimizer and the momentum that 1cycle moves.

    Attributes:
      factory: the optimizer's function.
      momentum_name: its argument for the momentum, None where there is none.
      momentum: the momentum at a constant learning rate.
    """

    factory: Callable[..., optax.GradientTransformation]
    momentum_name: str | None
    momentum: float = 0.9

    def constant(self, hparams: Hparams) -> optax.GradientTransformation:
        """The optimizer at the constant rate `hparams["learning_rate"]`."""
        fixed = {self.momentum_name: self.momentum} if self.momentum_name else {}
        return self.factory(hparams["learning_rate"], **fixed)

    def one_cycle(self, steps: int, hparams: Hparams) -> optax.GradientTransformation:
        """The optimizer under a 1cycle policy whose numbers are hyperparameters."""
        policy = one_cycle_policy(
            steps,
            hparams["peak"],
            div_factor=hparams["div_factor"],
            final_div_factor=hparams["final_div_factor"],
            momentum=(hparams["low_momentum"], hparams["high_momentum"])
            if self.momentum_name
            else None,
            momentum_name=self.momentum_name or "momentum",
        )
        return inject(self.factory, policy)


OPTIMIZERS = {
    "momentum": NamedOptimizer(optax.sgd, "momentum"),
    "sgd": NamedOptimizer(optax.sgd, None),
    "adam": NamedOptimizer(optax.adam, "b1"),
    "adamw": NamedOptimizer(optax.adamw, "b1"),
}
