"""The optimizers that the commands know by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import optax

    from optax_cycles._typing import Hparams


class NamedOptimizer(NamedTuple):
    """An optax optimizer and the momentum that 1cycle moves.

    Attributes:
      name: the optimizer's function in optax.
      momentum_name: its argument for the momentum, None where there is none.
      momentum: the momentum at a constant learning rate.
    """

    name: str
    momentum_name: str | None
    momentum: float = 0.9

    @property
    def factory(self) -> Callable[..., optax.GradientTransformation]:
        """The optimizer's function."""
        import optax

        factory: Callable[..., Any] = getattr(optax, self.name)
        return factory

    def constant(self, hparams: Hparams) -> optax.GradientTransformation:
        """The optimizer at the constant rate `hparams["learning_rate"]`."""
        fixed = {self.momentum_name: self.momentum} if self.momentum_name else {}
        return self.factory(hparams["learning_rate"], **fixed)

    def one_cycle(self, steps: int, hparams: Hparams) -> optax.GradientTransformation:
        """The optimizer under a 1cycle policy whose numbers are hyperparameters."""
        from optax_cycles.hyperparams import inject
        from optax_cycles.policies import one_cycle_policy

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
    "momentum": NamedOptimizer("sgd", "momentum"),
    "sgd": NamedOptimizer("sgd", None),
    "adam": NamedOptimizer("adam", "b1"),
    "adamw": NamedOptimizer("adamw", "b1"),
}
