"""Which hyperparameters a trainable reads: one that nobody reads is a typing error."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax

from optax_cycles import _checks
from optax_cycles._typing import Batch, Hparams, Key, Metrics, State
from optax_cycles.sweep.trainable import Trainable


@jax.tree_util.register_pytree_node_class
class _Read(dict[str, Any]):
    """Hyperparameters that note which of them are asked for, and which were missed."""

    def __init__(self, hparams: Hparams, asked: set[str]) -> None:
        super().__init__(hparams)
        self.asked = asked

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return super().__contains__(name)

    # `**hparams` reads an overridden dict through its iterator.
    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def keys(self) -> Any:
        return self._all().keys()

    def items(self) -> Any:
        return self._all().items()

    def values(self) -> Any:
        return self._all().values()

    def _all(self) -> dict[str, Any]:
        plain = dict(zip(dict.keys(self), dict.values(self), strict=True))
        self.asked.update(plain)
        return plain

    def tree_flatten(self) -> tuple[list[Any], list[str]]:
        """As JAX does it for a dict: what it is passed to may read all of it."""
        names = sorted(self._all())
        return [dict.__getitem__(self, name) for name in names], names

    @classmethod
    def tree_unflatten(cls, names: list[str], values: Any) -> dict[str, Any]:
        """An ordinary dict again."""
        return dict(zip(names, values, strict=True))


def unnoted(hparams: Hparams) -> Hparams:
    """The same as an ordinary dict, without anything being read."""
    if isinstance(hparams, _Read):
        return dict(dict.items(hparams))  # past the methods that note
    return dict(hparams)


def refusing_unread(function: str, trainable: Trainable) -> Trainable:
    """The same trainable, which refuses a hyperparameter that nothing reads.

    It raises a `ValueError` where its step is traced, before anything is trained.
    The same object is returned each time, so that programs are kept from one sweep to
    the next.
    """
    try:
        return _kept(function, trainable)
    except TypeError:  # something that has no hash
        return refusing_unread_once(function, trainable)


@functools.lru_cache(maxsize=8)
def _kept(function: str, trainable: Trainable) -> Trainable:
    return refusing_unread_once(function, trainable)


def refusing_unread_once(function: str, trainable: Trainable) -> Trainable:
    """As `refusing_unread`, a new object each time, to be traced and forgotten."""
    asked: set[str] = set()

    def init(key: Key, hparams: Hparams) -> State:
        return trainable.init(key, _Read(hparams, asked))

    def step(
        state: State, hparams: Hparams, batch: Batch, key: Key
    ) -> tuple[State, Metrics]:
        made = trainable.step(state, _Read(hparams, asked), batch, key)
        for name in hparams:
            if name not in asked:
                expected = _checks.near(name, asked) if asked else "none at all"
                raise ValueError(
                    f"{function}: hyperparameter {name!r} is never read; what is "
                    f"trained reads {expected}"
                )
        return made

    if trainable.begin is None:
        return trainable._replace(init=init, step=step)
    begin = trainable.begin
    return trainable._replace(
        init=init,
        step=step,
        begin=lambda params, model_state, hparams: begin(
            params, model_state, _Read(hparams, asked)
        ),
    )
