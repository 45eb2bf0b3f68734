"""Mapping over updates, in which None stands for a parameter without a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from optax_cycles._typing import PyTree


def map_updates(change: Callable[..., Any], updates: PyTree, *rest: PyTree) -> PyTree:
    """`change(update, *others)` for each update; None where the update is None."""

    def at(update: Any, *others: Any) -> Any:
        return None if update is None else change(update, *others)

    return jax.tree.map(at, updates, *rest, is_leaf=_is_none)


def map_state(change: Callable[..., Any], updates: PyTree, held: PyTree) -> PyTree:
    """`change(update, held)` for each; what is held stays where the update is None."""

    def at(update: Any, old: Any) -> Any:
        return old if update is None else change(update, old)

    return jax.tree.map(at, updates, held, is_leaf=_is_none)


def _is_none(leaf: Any) -> bool:
    return leaf is None
