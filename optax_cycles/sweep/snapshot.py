"""Members that start from a snapshot of a training instead of fresh parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr

from optax_cycles import _checks
from optax_cycles._typing import Hparams, Key, ModelState, Params, PyTree, State
from optax_cycles.sweep.given import unwrapped
from optax_cycles.sweep.reads import unnoted
from optax_cycles.sweep.trainable import Trainable, TrainState


def started_from(trainable: Trainable, state: PyTree) -> Trainable:
    """The same trainable, all of whose members start from one snapshot.

    Their seeds then vary the data order and the random numbers of training only. The
    snapshot is copied; it need not be of JAX arrays. Its leaves are found by their
    names, so that a checkpoint that was read back as plain dicts will do.

    The optimizer's slots (momentum, moments, counts) are taken from the snapshot where
    it has them. What the tested optimizer does not have, such as the count of a
    schedule, is left out. Where a slot holds a hyperparameter, as those of
    `optax.inject_hyperparams` do, each member has its own. With `opt_state=None`
    the optimizer starts anew from the snapshot's parameters.

    Args:
      trainable: what to train; see `oc.trainable`.
      state: a `TrainState(params, model_state, opt_state)`, where `opt_state` may be
        None; the pair `(params, model_state)`; or a whole member state of a trainable
        that is written by hand. One member of `run(..., keep_state=True)` is
        `jax.tree.map(lambda leaf: leaf[i], result.state)`.

    Returns:
      A `Trainable`. Where it is traced, which is before any training, it raises a
      `ValueError` that names the leaf which is missing, unknown, or has another shape
      or dtype.

    Raises:
      TypeError: if `trainable` is not a `Trainable`, or the state holds what is not
        an array.

    Examples:
      >>> import jax, jax.numpy as jnp, optax, optax_cycles as oc
      >>> problem = oc.problem_from_loss(
      ...     lambda key: jnp.ones(2), lambda params, batch, key: jnp.sum(params**2)
      ... )
      >>> train = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
      >>> later = oc.sweep.started_from(train, oc.TrainState(jnp.zeros(2), (), None))
      >>> later.init(jax.random.key(0), {"learning_rate": 0.1}).params.tolist()
      [0.0, 0.0]
    """
    if not isinstance(trainable, Trainable):
        _checks.fail_type("started_from", "trainable", "a Trainable", trainable)
    begin = trainable.begin
    if begin is not None and type(state) is tuple and len(state) == 2:
        state = TrainState(*state, None)
    state = unwrapped(state)
    _check_arrays(state)
    # A copy of its own: the caller's arrays may be changed or donated later.
    state = jax.tree.map(jnp.array, state)
    if begin is not None and isinstance(state, TrainState):
        return trainable._replace(init=_train_state(trainable, begin, state))

    def init(key: Key, hparams: Hparams) -> State:
        fresh = trainable.init(key, hparams)
        own = _holding_hparams(lambda hp: trainable.init(key, hp), hparams)
        return _placed("state", fresh, state, own=own)

    return trainable._replace(init=init)


def _train_state(
    trainable: Trainable,
    begin: Callable[[Params, ModelState, Hparams], State],
    given: TrainState,
) -> Callable[[Key, Hparams], State]:
    def init(key: Key, hparams: Hparams) -> State:
        shapes = jax.eval_shape(trainable.init, key, unnoted(hparams))
        params = _placed("params", shapes.params, given.params)
        model_state = _placed("model_state", shapes.model_state, given.model_state)
        fresh = begin(params, model_state, hparams)
        if given.opt_state is None:
            return fresh
        own = _holding_hparams(
            lambda hp: begin(params, model_state, hp).opt_state, hparams
        )
        slots = _placed(
            "opt_state", fresh.opt_state, given.opt_state, own=own, others=True
        )
        return fresh._replace(opt_state=slots)

    return init


def _check_arrays(state: PyTree) -> None:
    for path, leaf in jax.tree.leaves_with_path(state):
        numeric = isinstance(leaf, jax.Array | np.ndarray | np.generic | int | float)
        if not numeric:
            _checks.fail_type("started_from", _name("state", path), "an array", leaf)


def _name(part: str, path: Any) -> str:
    return "/".join([part, *[jax.tree_util.keystr((k,), simple=True) for k in path]])


def _placed(
    part: str,
    fresh: PyTree,
    given: PyTree,
    *,
    own: list[bool] | None = None,
    others: bool = False,
) -> PyTree:
    """The leaves of `given` in the structure of `fresh`, found by their names.

    Args:
      part: what the leaves belong to, for errors.
      fresh: the structure, shapes and dtypes that are needed.
      given: the leaves to take.
      own: the leaves of `fresh` that stay as they are; by default none.
      others: whether `given` may have leaves that `fresh` has not.
    """
    paths, structure = jax.tree.flatten_with_path(fresh)
    found = {_name(part, path): leaf for path, leaf in jax.tree.leaves_with_path(given)}
    leaves = []
    for index, (path, leaf) in enumerate(paths):
        name = _name(part, path)
        if own is not None and own[index]:
            found.pop(name, None)
            leaves.append(leaf)
        else:
            leaves.append(_checked(part, name, leaf, found))
    if found and not others:
        extra = next(iter(found))
        raise ValueError(
            f"started_from: the snapshot is of another model: it has {extra!r}, which "
            "is not in what is trained"
        )
    return jax.tree.unflatten(structure, leaves)


def _checked(part: str, name: str, leaf: Any, found: dict[str, Any]) -> Any:
    other = "another optimizer" if part == "opt_state" else "another model"
    hint = "; opt_state=None starts the optimizer anew" if part == "opt_state" else ""
    if name not in found:
        raise ValueError(
            f"started_from: the snapshot is of {other}: it has no {name!r}{hint}"
        )
    given = found.pop(name)
    dtype = jnp.result_type(leaf)
    if given.shape != np.shape(leaf) or given.dtype != dtype:
        raise ValueError(
            f"started_from: the snapshot is of {other}: {name!r} must be "
            f"{dtype}{list(np.shape(leaf))}, got {given.dtype}{list(given.shape)}{hint}"
        )
    return given


def _holding_hparams(make: Callable[[Hparams], PyTree], hparams: Hparams) -> list[bool]:
    """Which leaves of what is made depend on the hyperparameters."""
    jaxpr = jax.make_jaxpr(make)(unnoted(hparams)).jaxpr
    places = range(len(jaxpr.outvars))
    # What is left when all other leaves are not needed, inside of calls too.
    needed = [dce_jaxpr(jaxpr, [at == place for at in places])[1] for place in places]
    return [any(inputs) for inputs in needed]
