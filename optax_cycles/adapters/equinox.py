"""A `Problem` from an Equinox module."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from optax_cycles import _checks
from optax_cycles._extras import require
from optax_cycles._typing import Batch, Key, Metrics, ModelState, Params
from optax_cycles.adapters._common import loss_and_metrics, model_input
from optax_cycles.sweep.batches import examples
from optax_cycles.sweep.problem import Problem

_NAME = "problem_from_equinox"


class EquinoxState(NamedTuple):
    """The model state of an Equinox module, as `problem_from_equinox` makes it.

    Attributes:
      state: its `equinox.nn.State`.
      constants: the module with no leaves but the arrays that are not trained.
    """

    state: Any
    constants: Any


def problem_from_equinox(
    make: Callable[[Key], Any],
    loss_fn: Callable[[Any, Batch], Any],
    *,
    inputs: Callable[[Batch], Any] | None = None,
    axis_name: str = "batch",
) -> Problem:
    """A `Problem` from a function that makes an Equinox module.

    The module's arrays of floating-point or complex numbers are what the optimizer
    changes, `eqx.filter(model, eqx.is_inexact_array)`. Its `eqx.nn.State`
    (BatchNorm's statistics, ...) and its other arrays (integers, booleans, random
    keys) are the model state, a pair with the names `state` and `constants`. The
    loss updates `state`, evaluation leaves it as it is. Everything else (functions,
    numbers, ...) is static.

    As is usual in Equinox, the module takes one example, here under `jax.vmap`:
    `model(x) -> output`, or `model(x, state) -> (output, state)` where it has state,
    with `key=` where its `__call__` has an argument of that name. In training the
    module is as `make` returns it, and the i-th of n examples has the key
    `jax.random.split(key, n)[i]` of a step's key. In evaluation it is
    `eqx.nn.inference_mode(model)`, and the key is None.

    Args:
      make: `make(key) -> model`, a callable `eqx.Module`. It is called abstractly
        once here, and once in each `init`, both times in `eqx.nn.make_with_state`.
      loss_fn: `loss_fn(outputs, batch) -> loss`, a scalar, or `-> (loss,
        metrics)` with a dict of further scalars. Each array in `outputs` has the
        examples along its first axis.
      inputs: `inputs(batch) -> model input`, arrays with the examples along their
        first axis. By default the first element of a batch that is a tuple or list.
      axis_name: what BatchNorm and other modules call the axis of the examples.

    Returns:
      A `Problem`, evaluated by `loss_fn` with the module in inference mode. It
      works unchanged under `jit`, `grad`, `vmap` (also over the keys of `init`)
      and in `scan`. Parameters are a module, static parts left out:
      `eqx.combine(params, model_state.constants, other)` is the model, where
      `other, _ = eqx.nn.make_with_state(make)(key)` for any key.

    Raises:
      MissingExtraError: if Equinox is not installed.
      TypeError: if `make` does not return a callable `eqx.Module`, if `make`,
        `loss_fn` or `inputs` can't be called, if `axis_name` is not a string, or
        (where it is traced) if a module with state does not return `(output,
        state)`.
      ValueError: (where it is traced) if the model input is not arrays with equally
        many examples, or if a layer averages over an axis of another name.

    Examples:
      >>> import equinox as eqx, jax, jax.numpy as jnp, optax, optax_cycles as oc
      >>> def loss_fn(logits, batch):
      ...     losses = optax.softmax_cross_entropy_with_integer_labels
      ...     return jnp.mean(losses(logits, batch[1]))
      >>> def make(key):
      ...     return eqx.nn.Linear(3, 4, key=key)
      >>> problem = oc.problem_from_equinox(make, loss_fn)
      >>> params, model_state = problem.init(jax.random.key(0))
      >>> params.weight.shape, params.bias.shape
      ((4, 3), (4,))
      >>> batch = (jnp.ones((8, 3)), jnp.zeros(8, "int32"))
      >>> sorted(problem.evaluate(params, model_state, batch))
      ['loss']
    """
    eqx = require("equinox", "equinox", _NAME)
    if jax.tree.leaves(eqx.filter(make, eqx.is_array)):
        expected = "a function of a key that makes the model, not a model"
        _checks.fail_type(_NAME, "make", expected, type(make).__name__)
    _checks.function_of(_NAME, "make", make)
    _checks.function_of(_NAME, "loss_fn", loss_fn)
    if not isinstance(axis_name, str):
        _checks.fail_type(_NAME, "axis_name", "a string", axis_name)
    first = model_input(_NAME, inputs)

    def checked(key: Key) -> Any:
        model = make(key)
        _check_model(eqx, model)
        return model

    made = eqx.nn.make_with_state(checked)
    template, start = eqx.filter_eval_shape(lambda: made(jax.random.key(0)))
    structure = jax.tree.structure(template)
    static = eqx.filter(template, _is_shape, inverse=True)
    stateful = bool(jax.tree.leaves(start))
    takes_key = "key" in inspect.signature(template).parameters

    def init(key: Key) -> tuple[Params, ModelState]:
        model, state = made(key)
        # Static fields that each call makes anew, such as a lambda, would not compare
        # equal, and nor would the structures.
        model = jax.tree.unflatten(structure, jax.tree.leaves(model))
        params, rest = eqx.partition(model, eqx.is_inexact_array)
        return params, EquinoxState(state, eqx.filter(rest, eqx.is_array))

    def outputs(
        model: Any, state: Any, batch: Batch, key: Key | None
    ) -> tuple[Any, Any]:
        """What the model says of a batch, and its new state."""
        x = first(batch)
        count = examples(_NAME, "the model input", x)

        def one(x: Any, state: Any, key: Key | None) -> tuple[Any, Any]:
            options = {"key": key} if takes_key else {}
            if not stateful:
                return model(x, **options), state
            return _check_result(eqx, model(x, state, **options))

        keys = None if key is None else jax.random.split(key, count)
        over = jax.vmap(one, (0, None, 0), (0, None), axis_name=axis_name)
        try:
            both: tuple[Any, Any] = over(x, state, keys)
        except NameError as error:
            if "axis name" not in str(error):
                raise
            expected = "what the model's layers call the axis of the examples"
            message = f"{_NAME}: axis_name must be {expected}, got {axis_name!r}"
            raise ValueError(f"{message} ({error})") from error
        return both

    def loss(
        params: Params, model_state: ModelState, batch: Batch, key: Key
    ) -> tuple[Any, tuple[ModelState, Metrics]]:
        model = eqx.combine(params, model_state.constants, static)
        output, state = outputs(model, model_state.state, batch, key)
        value, metrics = loss_and_metrics(_NAME, loss_fn(output, batch))
        return value, (model_state._replace(state=state), metrics)

    def evaluate(params: Params, model_state: ModelState, batch: Batch) -> Metrics:
        model = eqx.combine(params, model_state.constants, static)
        model = eqx.nn.inference_mode(model)
        output, _ = outputs(model, model_state.state, batch, None)
        value, metrics = loss_and_metrics(_NAME, loss_fn(output, batch))
        return {**metrics, "loss": value}

    return Problem(init, loss, evaluate)


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _check_model(eqx: Any, model: Any) -> None:
    if not isinstance(model, eqx.Module) or not callable(model):
        expected = "a function that returns a callable equinox.Module, its state inside"
        _checks.fail_type(_NAME, "make", expected, type(model).__name__)


def _check_result(eqx: Any, result: Any) -> tuple[Any, Any]:
    """What a model with state returned, if it is a pair of output and state."""
    if (
        not isinstance(result, tuple)
        or len(result) != 2
        or not isinstance(result[1], eqx.nn.State)
    ):
        raise TypeError(
            f"{_NAME}: a model with state must return (output, state), got a "
            f"{type(result).__name__}"
        )
    return result
