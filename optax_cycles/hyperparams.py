"""Putting a policy into an optimizer, so that its values can be read and changed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax.schedules import StatefulSchedule

from optax_cycles import _checks
from optax_cycles._typing import Params, PyTree


def inject(
    factory: Callable[..., optax.GradientTransformation],
    policy: Mapping[str, Any],
    *,
    static_args: Iterable[str] = (),
    **constants: Any,
) -> optax.GradientTransformationExtraArgs:
    """An optimizer whose hyperparameters follow a policy and can be read.

    `optax.inject_hyperparams(factory)(**policy, **constants)`, made safe: optax
    takes every callable for a schedule, so that a `mask` given as a function
    silently switches weight decay off; and it casts hyperparameters to the dtype
    of the parameters, so that in bfloat16 a b2 of 0.999 becomes 1. Here functions
    among the constants and the factory's defaults stay functions, flags (booleans,
    strings, None) stay flags, and hyperparameters are float32, and so are the
    moments of low-precision parameters. Updates keep the dtype of the gradients.

    The value of update t is `policy[name](t)`; it is kept in the state's
    `hyperparams` after that update.

    Args:
      factory: a function that makes an optimizer, like `optax.sgd`.
      policy: schedules (or stateful schedules, or numbers) by argument name.
      static_args: names of more arguments that must not become arrays, such as an
        integer that the factory counts a Python loop with.
      **constants: the factory's other arguments.

    Returns:
      A `GradientTransformationExtraArgs` with `InjectStatefulHyperparamsState`.

    Raises:
      TypeError: if `factory` is not a function.
      ValueError: if a name is not an argument of `factory`, or is given twice.

    Example:
      >>> import jax.numpy as jnp, optax, optax_cycles as oc
      >>> policy = oc.one_cycle_policy(100, 0.1)
      >>> optimizer = oc.inject(optax.sgd, policy, nesterov=True)
      >>> params = jnp.zeros(2)
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update(jnp.ones(2), state, params)
      >>> round(float(state.hyperparams["momentum"]), 4)
      0.95
    """
    _checks.function_of("inject", "factory", factory)
    parameters = inspect.signature(factory).parameters
    for argument, names in (("policy", policy), ("constants", constants)):
        for name in names:
            _checks.choice("inject", f"a name in {argument}", name, parameters)
    for name in constants:
        if name in policy:
            _checks.fail("inject", name, "given only once", "policy and constants")
    values = {name: p.default for name, p in parameters.items()} | constants
    static = {name for name, value in values.items() if _is_static(value)}
    static = (static - set(policy)) | set(static_args)
    wrapped = optax.inject_hyperparams(
        factory, static_args=static, hyperparam_dtype=jnp.float32
    )
    return _with_stable_dtypes(wrapped(**policy, **constants))


def _with_stable_dtypes(
    optimizer: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
    """The same optimizer with a state whose dtypes do not change in an update.

    float32 hyperparameters make float32 moments out of low-precision ones, which
    `lax.scan` refuses; so the moments are float32 from the start.
    """

    def init(params: Params) -> optax.OptState:
        return optimizer.init(jax.tree.map(_at_least_float32, params))

    def update(
        updates: PyTree, state: PyTree, params: Params = None, **extra_args: Any
    ) -> tuple[PyTree, PyTree]:
        changed, after = optimizer.update(updates, state, params, **extra_args)
        return _cast_like(changed, updates), _cast_like(after, state)

    return optax.GradientTransformationExtraArgs(init, update)


def _at_least_float32(leaf: Any) -> Any:
    dtype = jnp.result_type(leaf)
    low = jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4
    return jnp.asarray(leaf, jnp.float32) if low else leaf


def _cast_like(tree: PyTree, model: PyTree) -> PyTree:
    def cast(leaf: Any, like: Any) -> Any:
        wanted = getattr(like, "dtype", None)
        floats = wanted is not None and jnp.issubdtype(wanted, jnp.floating)
        return leaf.astype(wanted) if floats else leaf

    return jax.tree.map(cast, tree, model)


def _is_static(value: Any) -> bool:
    """Whether a constant must reach the factory as it is, and not as an array."""
    if value is inspect.Parameter.empty or isinstance(value, StatefulSchedule):
        return False
    return value is None or isinstance(value, bool | str) or callable(value)
