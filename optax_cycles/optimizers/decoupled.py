"""Weight decay that is decoupled from the gradient and from the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_cycles import _checks
from optax_cycles._precision import in_float32
from optax_cycles._typing import Array, Params, PyTree, Scalar
from optax_cycles.optimizers._leaves import map_updates
from optax_cycles.optimizers._scheduled import (
    ANY,
    NOT_NEGATIVE,
    Hyperparam,
    Number,
    check_numbers,
    scheduled,
)
from optax_cycles.schedules._phase import decimal_of

# A tree of booleans, a prefix of that of the parameters, or a function that gives one.
Mask: TypeAlias = PyTree | Callable[[Params], PyTree] | None


def decouple(
    base: optax.GradientTransformation,
    weight_decay: Hyperparam,
    *,
    multiplier: Hyperparam = 1.0,
    mask: Mask = None,
) -> optax.GradientTransformationExtraArgs:
    """Any optimizer with decoupled weight decay, both times a scheduled multiplier.

    theta_t = theta_{t-1} + eta_t (u_t - lambda_t theta_{t-1}), where u_t is the update
    of `base` with its own learning rate, eta_t the multiplier and lambda_t the weight
    decay, which no learning rate multiplies.

    What `base` freezes (`optax.set_to_zero`) decays all the same, but for the `mask`.

    Args:
      base: an optimizer without weight decay of its own: `optax.lion(1e-4,
        weight_decay=0.0)`, `optax.rmsprop(1e-3)`, ...
      weight_decay: lambda, share of the parameters that is taken off in an update where
        eta is 1, >= 0, or a schedule.
      multiplier: eta, or its schedule.
      mask: which parameters decay: a tree of booleans in the structure of the
        parameters, a prefix of it, or a function from parameters to one; all if None.

    Returns:
      An optimizer whose `update` needs `params`.

    Raises:
      TypeError: if `base` is no transformation.
      ValueError: if a number is out of range; in an update, if `params` is missing or
        the mask does not match it.

    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization" (2019),
    Algorithms 1 and 2.

    Examples:
      >>> import jax.numpy as jnp, optax, optax_cycles as oc
      >>> eta = oc.warm_restarts(10, 1.0)
      >>> base = optax.lion(0.25, weight_decay=0.0)
      >>> optimizer = oc.decouple(base, 0.5, multiplier=eta)
      >>> params = jnp.ones(())
      >>> state = optimizer.init(params)
      >>> float(optimizer.update(jnp.full((), 8.0), state, params)[0])
      -0.75
    """
    if not isinstance(base, optax.GradientTransformation):
        _checks.fail_type("decouple", "base", "a GradientTransformation", base)
    arguments = {
        "base": base,
        "weight_decay": weight_decay,
        "multiplier": multiplier,
        "mask": mask,
    }
    check_numbers("decouple", arguments, weight_decay=NOT_NEGATIVE, multiplier=ANY)
    return scheduled(_decouple, ["weight_decay", "multiplier"], arguments)


def _decouple(
    base: optax.GradientTransformation,
    weight_decay: Number,
    multiplier: Number,
    mask: Mask,
) -> optax.GradientTransformationExtraArgs:
    parts = [
        base,
        optax.scale(multiplier),
        decay_by(weight_decay * multiplier, mask, "decouple"),
    ]
    return in_float32(optax.chain(*parts))


def add_decoupled_decay(
    weight_decay: Hyperparam, *, mask: Mask = None
) -> optax.GradientTransformationExtraArgs:
    """Takes a share of the parameters off; the last part of a decoupled optimizer.

    u_t - lambda_t theta_{t-1}. Whatever multiplies the decay is to be part of lambda.

    Args:
      weight_decay: lambda, >= 0, or a schedule.
      mask: which parameters decay, as in `decouple`.

    Returns:
      A transformation whose `update` needs `params`.

    Raises:
      ValueError: if `weight_decay` is negative; in an update, if `params` is missing or
        the mask does not match it.

    Examples:
      >>> import jax.numpy as jnp, optax, optax_cycles as oc
      >>> optimizer = optax.chain(optax.sgd(0.5), oc.add_decoupled_decay(0.25))
      >>> params = jnp.ones(())
      >>> state = optimizer.init(params)
      >>> float(optimizer.update(jnp.ones(()), state, params)[0])
      -0.75
    """
    name = "add_decoupled_decay"
    arguments = {"weight_decay": weight_decay, "mask": mask, "function": name}
    check_numbers(name, arguments, weight_decay=NOT_NEGATIVE)
    return scheduled(decay_by, ["weight_decay"], arguments)


def decay_by(
    weight_decay: Number, mask: Mask, function: str
) -> optax.GradientTransformationExtraArgs:
    """`add_decoupled_decay` for a number that has been checked."""

    def update(
        updates: PyTree, state: optax.OptState, params: Params = None
    ) -> tuple[PyTree, optax.OptState]:
        if params is None:
            expected = "given to update: weight decay needs them"
            _checks.fail(function, "params", expected, None)

        def decayed(update: Array, decays: bool, param: Array) -> Array:
            return update - weight_decay * param if decays else update

        chosen = _decaying(function, mask, params)
        return map_updates(decayed, updates, chosen, params), state

    stateless = optax.GradientTransformation(lambda _: optax.EmptyState(), update)
    return in_float32(stateless)


def _decaying(function: str, mask: Mask, params: Params) -> PyTree:
    """For each parameter, whether it decays."""
    chosen = True if mask is None else of_params(mask, params)
    # A function that forgets to return its mask is not a mask without leaves.
    for leaf in [None] if chosen is None else jax.tree.leaves(chosen):
        if not isinstance(leaf, bool | np.bool_):
            expected = "a tree of booleans"
            _checks.fail_type(function, "mask", expected, leaf)
    return spread(function, "mask", chosen, params)


def of_params(given: Any, params: Params) -> PyTree:
    """A tree, or what a function of the parameters gives.

    A module of Equinox is a tree that can be called.
    """
    is_function = callable(given) and jax.tree_util.all_leaves([given])
    return given(params) if is_function else given


def spread(function: str, argument: str, prefix: PyTree, params: Params) -> PyTree:
    """The leaves of a prefix of `params`, at each of the parameters below them."""
    try:
        return jax.tree.map(
            lambda leaf, part: jax.tree.map(lambda _: leaf, part), prefix, params
        )
    except (ValueError, TypeError):
        structure = jax.tree.structure(params)
        expected = f"a tree like the parameters, {structure}, or a prefix of it"
        _checks.fail(function, argument, expected, jax.tree.structure(prefix))


def normalized_weight_decay(normalized_decay: Scalar, updates: Scalar) -> Array:
    """The weight decay of a run of so many updates, lambda_norm / sqrt(updates).

    The paper writes lambda_norm sqrt(b / (B T)) for batches of b, B examples and T
    epochs: B T / b is the number of updates, for which there is `updates_in_epochs`.

    Args:
      normalized_decay: lambda_norm, the weight decay of a run of one update, >= 0.
      updates: updates in the run or between two restarts, >= 1.

    Returns:
      The weight decay lambda, a float32 scalar.

    Raises:
      ValueError: if a number is out of range.

    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization" (2019),
    appendix B.1.

    Examples:
      >>> import optax_cycles as oc
      >>> [round(float(oc.normalized_weight_decay(1.0, n)), 4) for n in (8, 16)]
      [0.3536, 0.25]
    """
    name = "normalized_weight_decay"
    _checks.real(name, "normalized_decay", normalized_decay, minimum=0)
    _checks.length(name, "updates", updates)
    return jnp.asarray(normalized_decay, jnp.float32) / jnp.sqrt(
        jnp.asarray(updates, jnp.float32)
    )


def updates_in_epochs(
    epochs: float, num_examples: int, batch_size: int, *, drop_remainder: bool = False
) -> int:
    """How many updates there are in so many epochs.

    Args:
      epochs: how often the data are read, >= 0; it need not be whole.
      num_examples: examples in the data, >= 1.
      batch_size: examples in a batch, from 1 to `num_examples`.
      drop_remainder: whether the last, smaller batch of an epoch is left out.

    Returns:
      `epochs` times the batches of an epoch, rounded up.

    Raises:
      TypeError: if a number is of the wrong type.
      ValueError: if it is out of range.

    Examples:
      >>> import optax_cycles as oc
      >>> oc.updates_in_epochs(2, 50_000, 128)
      782
    """
    name = "updates_in_epochs"
    _checks.real(name, "epochs", epochs, minimum=0)
    _checks.integer(name, "num_examples", num_examples, minimum=1)
    _checks.integer(name, "batch_size", batch_size, minimum=1)
    if batch_size > num_examples:
        expected = f"at most the number of examples, {num_examples}"
        _checks.fail(name, "batch_size", expected, batch_size)
    _checks.flag(name, "drop_remainder", drop_remainder)
    whole, rest = divmod(num_examples, batch_size)
    batches = whole + (rest > 0 and not drop_remainder)
    return math.ceil(decimal_of(epochs) * batches)
