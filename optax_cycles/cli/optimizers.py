"""The optimizers that the commands know by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import optax

    from optax_cycles._typing import Hparams

MOMENTUM = 0.9
RATE = "learning_rate"


class NamedOptimizer(NamedTuple):
    """An optimizer and its hyperparameters.

    Attributes:
      module: where its function is.
      name: the function.
      takes: the hyperparameters that can be tested or fixed.
      momentum_name: the one that 1cycle moves besides the rate, None where there is
        none. It is 0.9 unless it is given.
    """

    module: str
    name: str
    takes: tuple[str, ...]
    momentum_name: str | None

    @property
    def factory(self) -> Callable[..., optax.GradientTransformation]:
        """The optimizer's function."""
        import importlib

        factory: Callable[..., Any] = getattr(
            importlib.import_module(self.module), self.name
        )
        return factory

    def constant(
        self, fixed: Mapping[str, float]
    ) -> Callable[[Hparams], optax.GradientTransformation]:
        """The optimizer at constant hyperparameters, some of them already known."""
        usual = {self.momentum_name: MOMENTUM} if self.momentum_name else {}

        def make(hparams: Hparams) -> optax.GradientTransformation:
            given = {name: hparams[name] for name in self.takes if name in hparams}
            return self.factory(**{**usual, **fixed, **given})

        return make

    def one_cycle(
        self, steps: int, fixed: Mapping[str, float]
    ) -> Callable[[Hparams], optax.GradientTransformation]:
        """The optimizer under a 1cycle policy whose numbers are hyperparameters."""
        from optax_cycles.hyperparams import inject
        from optax_cycles.policies import one_cycle_policy

        moved = (RATE, self.momentum_name)
        others: dict[str, Any] = {
            name: value for name, value in fixed.items() if name not in moved
        }

        def make(hparams: Hparams) -> optax.GradientTransformation:
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
            return inject(self.factory, policy, **others)

        return make


_ADAM = (RATE, "b1", "b2", "eps")
OPTIMIZERS = {
    "momentum": NamedOptimizer("optax", "sgd", (RATE, "momentum"), "momentum"),
    "sgd": NamedOptimizer("optax", "sgd", (RATE,), None),
    "sgdw": NamedOptimizer(
        "optax_cycles", "sgdw", (RATE, "momentum", "weight_decay"), "momentum"
    ),
    "adam": NamedOptimizer("optax", "adam", _ADAM, "b1"),
    "adamw": NamedOptimizer("optax", "adamw", (*_ADAM, "weight_decay"), "b1"),
}


def check_taken(
    option: str, name: str, optimizer: str, *, besides: tuple[str, ...] = ()
) -> None:
    """Raise unless an optimizer takes a hyperparameter.

    Args:
      option: where it was given.
      name: the hyperparameter.
      optimizer: the optimizer.
      besides: what else is known there.
    """
    known = (*OPTIMIZERS[optimizer].takes, *besides)
    if name in known:
        return
    from optax_cycles import _checks

    others = [other for other, one in OPTIMIZERS.items() if name in one.takes]
    hint = f"; {' and '.join(others)} {'take' if len(others) > 1 else 'takes'} it"
    raise ValueError(
        f"{option}: a hyperparameter of --optimizer {optimizer} must be "
        f"{_checks.near(name, known)}, got {name!r}{hint if others else ''}"
    )
