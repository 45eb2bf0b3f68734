"""Momentum, with the learning rate inside or outside its buffer."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optax_cycles import _checks
from optax_cycles._precision import in_float32
from optax_cycles._typing import Params, PyTree
from optax_cycles.optimizers._leaves import map_state, map_updates
from optax_cycles.optimizers._scheduled import (
    BETA,
    Hyperparam,
    Number,
    check_numbers,
    scheduled,
)


class MomentumState(NamedTuple):
    """State of `scale_by_momentum`.

    Attributes:
      buffer: the decaying sum of what came in, in the structure of the parameters.
    """

    buffer: PyTree


def scale_by_momentum(
    momentum: Hyperparam = 0.9, *, nesterov: bool = False, dtype: Any = None
) -> optax.GradientTransformationExtraArgs:
    """Sums of updates that decay by a factor, which may move.

    b_t = mu_t b_{t-1} + u_t from b_0 = 0, and b_t comes out; with `nesterov` it is
    u_t + mu_t b_t. Put before the learning rate it is PyTorch's and Optax's momentum,
    put after it that of Algorithm 1 of the paper on decoupled weight decay: a jump of
    the rate then reaches the updates gradually.

    Args:
      momentum: factor mu, in [0, 1), or a schedule.
      nesterov: whether to look ahead by one update.
      dtype: dtype of the buffer; that of the parameters if None, float32 for those of
        lower precision.

    Returns:
      A transformation with a `MomentumState`.

    Raises:
      ValueError: if `momentum` is not in [0, 1).

    Agrees with `torch.optim.SGD` and `optax.trace`.

    Examples:
      >>> import jax.numpy as jnp, optax_cycles as oc
      >>> transformation = oc.scale_by_momentum(0.5)
      >>> state = transformation.init(jnp.zeros(()))
      >>> for _ in range(3):
      ...     update, state = transformation.update(jnp.ones(()), state)
      >>> float(update)
      1.75
    """
    arguments = {"momentum": momentum, "nesterov": nesterov, "dtype": dtype}
    check_numbers("scale_by_momentum", arguments, momentum=BETA)
    _checks.flag("scale_by_momentum", "nesterov", nesterov)
    named = arguments | {"function": "scale_by_momentum"}
    return scheduled(by_momentum, ["momentum"], named)


def by_momentum(
    *, function: str, momentum: Number, nesterov: bool, dtype: Any
) -> optax.GradientTransformationExtraArgs:
    """`scale_by_momentum` for a number that has been checked."""

    def init(params: Params) -> MomentumState:
        return MomentumState(
            jax.tree.map(lambda p: jnp.zeros_like(p, dtype=dtype), params)
        )

    def update(
        updates: PyTree, state: MomentumState, params: Params = None
    ) -> tuple[PyTree, MomentumState]:
        del params
        if not isinstance(state, MomentumState):
            expected = "a MomentumState of the same momentum_form"
            got = type(state).__name__
            raise ValueError(f"{function}: state must be {expected}, got {got}")
        buffer = map_state(lambda u, b: momentum * b + u, updates, state.buffer)
        if nesterov:
            out = map_updates(lambda u, b: u + momentum * b, updates, buffer)
        else:
            out = map_updates(lambda _, b: b, updates, buffer)
        return out, MomentumState(buffer)

    return in_float32(optax.GradientTransformation(init, update))
