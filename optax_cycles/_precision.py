"""Optimizers whose arithmetic is at least float32, and whose dtypes never change."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_cycles._typing import Params, PyTree


def stable_dtypes(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """The same optimizer with a state whose dtypes do not change in an update.

    float32 hyperparameters make float32 moments out of low-precision ones, which
    `lax.scan` refuses; so the moments are float32 from the start. Updates keep the
    dtype of the gradients.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def init(params: Params) -> optax.OptState:
        return optimizer.init(_at_least_float32(params))

    def update(
        updates: PyTree, state: PyTree, params: Params = None, **extra_args: Any
    ) -> tuple[PyTree, PyTree]:
        changed, after = optimizer.update(updates, state, params, **extra_args)
        return _cast_like(changed, updates), _cast_like(after, state)

    return optax.GradientTransformationExtraArgs(init, update)


def in_float32(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """The same optimizer, which sees gradients and parameters as float32 at least.

    A chain of parts then rounds low-precision updates once, at its end.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def update(
        updates: PyTree, state: PyTree, params: Params = None, **extra_args: Any
    ) -> tuple[PyTree, PyTree]:
        wide, model = _at_least_float32(updates), _at_least_float32(params)
        return optimizer.update(wide, state, model, **extra_args)

    wide = optax.GradientTransformationExtraArgs(optimizer.init, update)
    return stable_dtypes(wide)


def _at_least_float32(tree: PyTree) -> PyTree:
    def cast(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray):
            leaf = jnp.asarray(leaf)
        dtype = jnp.result_type(leaf)
        low = jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4
        return jnp.asarray(leaf, jnp.float32) if low else leaf

    return jax.tree.map(cast, tree)


def _cast_like(tree: PyTree, model: PyTree) -> PyTree:
    def cast(leaf: Any, like: Any) -> Any:
        wanted = getattr(like, "dtype", None)
        floats = wanted is not None and jnp.issubdtype(wanted, jnp.inexact)
        return leaf.astype(wanted) if floats else leaf

    return jax.tree.map(cast, tree, model)
