"""A `Problem` from a Flax NNX module."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._extras import require
from optax_cycles._typing import Batch, Key, Metrics, ModelState, Params, PyTree
from optax_cycles.adapters._common import loss_and_metrics, model_input
from optax_cycles.sweep.problem import Problem

_NAME = "problem_from_nnx"


class _Split(NamedTuple):
    """An NNX module apart: its graph, and its arrays as nested dicts."""

    graph: Any
    params: Params
    rngs: PyTree
    rest: ModelState


def problem_from_nnx(
    build: Callable[[Any], Any],
    loss_fn: Callable[[Any, Batch], Any],
    *,
    inputs: Callable[[Batch], Any] | None = None,
) -> Problem:
    """A `Problem` from a function that builds a Flax NNX module.

    Variables of type `nnx.Param` are what the optimizer changes. The others
    (BatchNorm's statistics, ...) are the model state: the loss, after
    `module.train()`, updates them; evaluation, after `module.eval()`, leaves them
    as they are. Parameters and state are nested dicts of arrays. Random streams
    (dropout) are no state: each step seeds them from its key, the i-th stream
    with `fold_in(key, i)`, so that a step's randomness depends on its key alone.
    What a module sows as `nnx.Intermediate` is dropped.

    Args:
      build: `build(rngs) -> module`, an `nnx.Module` made with the `nnx.Rngs`
        given. It is called abstractly once here, and once in each `init`.
      loss_fn: `loss_fn(outputs, batch) -> loss`, a scalar, or `-> (loss,
        metrics)` with a dict of further scalars.
      inputs: `inputs(batch) -> model input`, the one argument of the module. By
        default the first element of a batch that is a tuple or list.

    Returns:
      A `Problem`, evaluated by `loss_fn` with the module in evaluation mode. It
      works unchanged under `jit`, `grad`, `vmap` (also over the keys of `init`)
      and in `scan`.

    Raises:
      MissingExtraError: if Flax is not installed.
      TypeError: if `build` does not return an `nnx.Module`, or if `build`,
        `loss_fn` or `inputs` can't be called.

    Examples:
      >>> import jax, jax.numpy as jnp, optax, optax_cycles as oc
      >>> from flax import nnx
      >>> def loss_fn(logits, batch):
      ...     losses = optax.softmax_cross_entropy_with_integer_labels
      ...     return jnp.mean(losses(logits, batch[1]))
      >>> def build(rngs):
      ...     return nnx.Linear(3, 4, rngs=rngs)
      >>> problem = oc.problem_from_nnx(build, loss_fn)
      >>> params, model_state = problem.init(jax.random.key(0))
      >>> jax.tree.map(jnp.shape, params)
      {'bias': (4,), 'kernel': (3, 4)}
      >>> batch = (jnp.ones((8, 3)), jnp.zeros(8, "int32"))
      >>> sorted(problem.evaluate(params, model_state, batch))
      ['loss']
    """
    nnx = require("flax.nnx", "flax", _NAME)
    if isinstance(build, nnx.Module):
        expected = "a function of nnx.Rngs that makes the module, not a module"
        _checks.fail_type(_NAME, "build", expected, type(build).__name__)
    _checks.function_of(_NAME, "build", build)
    _checks.function_of(_NAME, "loss_fn", loss_fn)
    first = model_input(_NAME, inputs)

    module = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    if not isinstance(module, nnx.Module):
        _checks.fail_type(
            _NAME, "build", "a function that returns an nnx.Module", module
        )
    _refuse_bare_arrays(nnx, module)
    module.train()
    training = _split(nnx, module)
    module.eval()
    evaluation = _split(nnx, module)

    def init(key: Key) -> tuple[Params, ModelState]:
        start = _split(nnx, build(nnx.Rngs(key)))
        return start.params, start.rest

    def loss(
        params: Params, model_state: ModelState, batch: Batch, key: Key
    ) -> tuple[Any, tuple[ModelState, Metrics]]:
        streams = _seeded(training.rngs, key)
        model = nnx.merge(training.graph, params, streams, model_state)
        outputs = model(first(batch))
        value, metrics = loss_and_metrics(_NAME, loss_fn(outputs, batch))
        return value, (_split(nnx, model).rest, metrics)

    def evaluate(params: Params, model_state: ModelState, batch: Batch) -> Metrics:
        # The graph has a place for the streams, though evaluation draws nothing.
        streams = _seeded(evaluation.rngs, jax.random.key(0))
        model = nnx.merge(evaluation.graph, params, streams, model_state)
        outputs = model(first(batch))
        value, metrics = loss_and_metrics(_NAME, loss_fn(outputs, batch))
        return {**metrics, "loss": value}

    return Problem(init, loss, evaluate)


def _refuse_bare_arrays(nnx: Any, module: Any) -> None:
    """Raise where an array is an attribute as it is: NNX then takes it as static."""
    for _, node in nnx.iter_graph(module):
        for name, value in getattr(node, "__dict__", {}).items():
            if isinstance(value, jax.core.Tracer) and not isinstance(
                node, nnx.Variable
            ):
                raise TypeError(
                    f"{_NAME}: {type(node).__name__}.{name} must not be a bare array; "
                    "wrap it in nnx.Variable or nnx.data"
                )


def _split(nnx: Any, module: Any) -> _Split:
    nnx.pop(module, nnx.Intermediate)
    graph, *states = nnx.split(module, nnx.Param, nnx.RngState, ...)
    return _Split(graph, *map(nnx.to_pure_dict, states))


def _seeded(streams: PyTree, key: Key) -> PyTree:
    """The arrays of all random streams, fresh from `key`: keys, and counts of 0."""

    number = itertools.count()

    def fresh(leaf: Any) -> Any:
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jnp.zeros(leaf.shape, leaf.dtype)
        own = jax.random.fold_in(key, next(number))
        return jax.random.split(own, leaf.shape) if leaf.shape else own

    return jax.tree.map(fresh, streams)
