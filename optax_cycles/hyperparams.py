"""Putting a policy into an optimizer, so that its values can be read and changed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax.schedules import InjectStatefulHyperparamsState, StatefulSchedule

from optax_cycles import _checks
from optax_cycles._precision import stable_dtypes
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
      **constants: the factory's other arguments. Numbers become float32 arrays,
        integers too.

    Returns:
      A `GradientTransformationExtraArgs` with `InjectStatefulHyperparamsState`.

    Raises:
      TypeError: if `factory` is not a function.
      ValueError: if a name is not an argument of `factory`, or is given twice.

    Examples:
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
    if not isinstance(policy, Mapping):
        expected = "a dict from names of the factory's arguments to schedules"
        _checks.fail_type("inject", "policy", expected, policy)
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
    given = {**policy, **constants}
    numbers = {k: v if k in static else _as_float32(v) for k, v in given.items()}
    optimizer = stable_dtypes(wrapped(**numbers))

    def init(params: Params) -> optax.OptState:
        # Numbers of each state's own: it may be donated.
        state = optimizer.init(params)
        return state._replace(hyperparams=jax.tree.map(jnp.array, state.hyperparams))

    return optax.GradientTransformationExtraArgs(init, optimizer.update)


def current_hyperparams(opt_state: PyTree) -> dict[str, Any]:
    """The hyperparameters that the last update used.

    Finds the states of `inject` and `optax.inject_hyperparams` wherever they are:
    in `chain`, `partition`, `masked`, `MultiSteps`, one in another, a linen
    `TrainState` or an `nnx.Optimizer`.

    Args:
      opt_state: a state, or what holds one as its attribute `opt_state`.

    Returns:
      A dict from names to arrays. A name that occurs more than once gets the keys on
      the way to it in front, as in `"inner_states/head/inner_state/learning_rate"`.

    Raises:
      ValueError: if there are no injected hyperparameters in the state.

    Examples:
      >>> import jax.numpy as jnp, optax, optax_cycles as oc
      >>> rate = oc.linear_decay(1.0, 4)
      >>> optimizer = optax.chain(
      ...     optax.clip(1.0), oc.inject(optax.sgd, {"learning_rate": rate})
      ... )
      >>> state = optimizer.init(jnp.zeros(2))
      >>> for _ in range(2):
      ...     _, state = optimizer.update(jnp.ones(2), state)
      >>> float(oc.current_hyperparams(state)["learning_rate"])
      0.75
    """
    found = _named("current_hyperparams", opt_state)
    return {
        name: _content(state.hyperparams[key]) for name, (state, key) in found.items()
    }


def set_hyperparams(opt_state: PyTree, **values: Any) -> PyTree:
    """A state with other values of hyperparameters that follow no schedule.

    The next update uses them, without compiling anew: dtypes and shapes stay (a
    number given for an array of them fills it).

    Args:
      opt_state: a state, or what holds one, as for `current_hyperparams`.
      **values: new values by name; a name that occurs more than once is set
        everywhere. Longer names go in as `**{"0/learning_rate": 0.1}`.

    Returns:
      The state with the new values. An `nnx.Optimizer` is changed in place.

    Raises:
      ValueError: if a name is unknown, or follows a schedule, which would overwrite
        the value in the next update.

    Examples:
      >>> import jax.numpy as jnp, optax, optax_cycles as oc
      >>> optimizer = oc.inject(optax.sgd, {}, learning_rate=0.5)
      >>> state = oc.set_hyperparams(optimizer.init(jnp.zeros(2)), learning_rate=0.25)
      >>> updates, state = optimizer.update(jnp.ones(2), state)
      >>> updates.tolist()
      [-0.25, -0.25]
    """
    found = _named("set_hyperparams", opt_state)
    changes: dict[int, dict[str, Any]] = {}
    for name, value in values.items():
        places = [n for n in found if name in (n, n.rpartition("/")[2])]
        if not places:
            _checks.choice("set_hyperparams", "a name", name, found)
        for place in places:
            state, key = found[place]
            if _is_scheduled(state, key):
                expected = f"left alone: {place} follows a schedule"
                free = [n for n in places if not _is_scheduled(*found[n])]
                expected += f" (but not {', '.join(free)})" if free else ""
                _checks.fail("set_hyperparams", name, expected, value)
            changes.setdefault(id(state.hyperparams), {})[key] = value
    return _replaced(opt_state, changes)


def _is_injected(node: Any) -> bool:
    return isinstance(
        node, InjectStatefulHyperparamsState | optax.schedules.InjectHyperparamsState
    )


def _is_scheduled(state: Any, key: str) -> bool:
    return key in getattr(state, "hyperparams_states", {})


def _named(function: str, opt_state: PyTree) -> dict[str, tuple[Any, str]]:
    """Each injected hyperparameter's name, with its state and its key there."""
    places = list(_injected(getattr(opt_state, "opt_state", opt_state), ""))
    if not places:
        expected = (
            "the state of an optimizer made by inject, or of one of this package with "
            "a schedule"
        )
        _checks.fail(function, "opt_state", expected, type(opt_state).__name__)
    keys = [key for _, state in places for key in state.hyperparams]
    return {
        key if keys.count(key) == 1 else path + key: (state, key)
        for path, state in places
        for key in state.hyperparams
    }


def _injected(tree: PyTree, path: str) -> Iterator[tuple[str, Any]]:
    """All injected states, outer ones first, with the path to each."""
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_injected)
    for keys, node in leaves:
        if _is_injected(node):
            here = "".join(f"{_key_name(key)}/" for key in keys)
            yield path + here, node
            yield from _injected(node.inner_state, path + here + "inner_state/")


def _key_name(key: Any) -> str:
    return str(jax.tree_util.keystr((key,), simple=True))


def _replaced(tree: PyTree, changes: Mapping[int, Mapping[str, Any]]) -> PyTree:
    """`tree` with the changed hyperparameters, by the identity of their dict."""
    if hasattr(tree, "opt_state"):
        inner = _replaced(tree.opt_state, changes)
        return tree.replace(opt_state=inner) if hasattr(tree, "replace") else tree

    def replace(node: Any) -> Any:
        if not _is_injected(node):
            return node
        new = changes.get(id(node.hyperparams), {})
        hyperparams = dict(node.hyperparams)
        for key, value in new.items():
            hyperparams[key] = _filled(key, hyperparams[key], value)
        inner = _replaced(node.inner_state, changes)
        return node._replace(hyperparams=hyperparams, inner_state=inner)

    return jax.tree.map(replace, tree, is_leaf=_is_injected)


def _filled(name: str, old: Any, value: Any) -> Any:
    """`value` with the dtype and the shape of `old`, in the variable if it is one."""
    held = jnp.asarray(_content(old))
    try:
        # A copy, which may be donated.
        new = jnp.broadcast_to(jnp.array(value, held.dtype), held.shape)
    except (TypeError, ValueError):
        expected = f"a number or an array of shape {list(held.shape)}"
        _checks.fail("set_hyperparams", name, expected, value)
    if hasattr(old, "set_value"):  # a variable of flax.nnx, changed in place
        old.set_value(new)
        return old
    return new


def _content(leaf: Any) -> Any:
    return leaf.get_value() if hasattr(leaf, "get_value") else leaf


def _as_float32(value: Any) -> Any:
    """A number as a float32 array of its own; anything else as it is.

    Optax would leave integers what they are, and not see NumPy's numbers.
    """
    number = isinstance(value, int | float | np.generic | np.ndarray | jax.Array)
    return jnp.array(value, jnp.float32) if number else value


def _is_static(value: Any) -> bool:
    """Whether a constant must reach the factory as it is, and not as an array."""
    if value is inspect.Parameter.empty or isinstance(value, StatefulSchedule):
        return False
    return value is None or isinstance(value, bool | np.bool_ | str) or callable(value)
