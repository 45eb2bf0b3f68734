"""A `Problem` from a Flax Linen module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._extras import require
from optax_cycles._typing import Batch, Key, Metrics, ModelState, Params
from optax_cycles.adapters._common import loss_and_metrics, model_input
from optax_cycles.sweep.problem import Problem

_NAME = "problem_from_linen"
# What Flax's own modules and examples call the argument that says training.
_USUAL_NAMES = {
    "train": True,
    "training": True,
    "is_training": True,
    "deterministic": False,
    "use_running_average": False,
}


def problem_from_linen(
    module: Any,
    loss_fn: Callable[[Any, Batch], Any],
    example: Batch,
    *,
    inputs: Callable[[Batch], Any] | None = None,
    training: Mapping[str, bool] | None = None,
    rngs: Sequence[str] = ("dropout",),
) -> Problem:
    """A `Problem` from a Flax Linen module.

    The collection `params` is what the optimizer changes. All other collections
    (BatchNorm's `batch_stats`, ...) are the model state: the loss updates them,
    evaluation leaves them as they are. What a module sows into `intermediates`
    is dropped.

    Args:
      module: a `flax.linen.Module`.
      loss_fn: `loss_fn(outputs, batch) -> loss`, a scalar, or `-> (loss,
        metrics)` with a dict of further scalars.
      example: a batch to initialise with: arrays or `jax.ShapeDtypeStruct`s,
        for which zeros are taken. Its batch size need not be that of training.
      inputs: `inputs(batch) -> model input`, the one positional argument of the
        module. By default the first element of a batch that is a tuple or list.
      training: the boolean keyword arguments of the module's `__call__` that say
        whether it trains, with their values in training: `{"train": True}`,
        `{"deterministic": False}`. Evaluation passes the opposite. An empty dict
        where the module trains and evaluates alike.
      rngs: the names of the random streams that training needs. The i-th has the
        key `fold_in(key, i)` of a step's key, so that a step's randomness
        depends on its key alone. Evaluation has none.

    Returns:
      A `Problem`, evaluated by `loss_fn` with the module in evaluation mode. It
      works unchanged under `jit`, `grad`, `vmap` (also over the keys of `init`)
      and in `scan`.

    Raises:
      MissingExtraError: if Flax is not installed.
      TypeError: if `module` is not a Linen module, if `loss_fn` or `inputs` can't
        be called, or if `inputs` is needed for this kind of batch and missing.
      ValueError: if `training` is not given while the module's `__call__` has an
        argument that by its name says whether it trains, or if it names an
        argument that the module does not have.

    Examples:
      >>> import flax.linen as nn, jax, jax.numpy as jnp, optax, optax_cycles as oc
      >>> def loss_fn(logits, batch):
      ...     losses = optax.softmax_cross_entropy_with_integer_labels
      ...     return jnp.mean(losses(logits, batch[1]))
      >>> batch = (jnp.ones((8, 3)), jnp.zeros(8, "int32"))
      >>> problem = oc.problem_from_linen(nn.Dense(4), loss_fn, batch)
      >>> params, model_state = problem.init(jax.random.key(0))
      >>> jax.tree.map(jnp.shape, params)
      {'bias': (4,), 'kernel': (3, 4)}
      >>> sorted(problem.evaluate(params, model_state, batch))
      ['loss']
    """
    linen = require("flax.linen", "flax", _NAME)
    if not isinstance(module, linen.Module):
        _checks.fail_type(_NAME, "module", "an instance of flax.linen.Module", module)
    _checks.function_of(_NAME, "loss_fn", loss_fn)
    first = model_input(_NAME, inputs)
    modes = _modes(module, training)
    streams = _stream_names(rngs)
    start = _example_input(first, example)

    def init(key: Key) -> tuple[Params, ModelState]:
        params_key, step_key = jax.random.split(key)
        keys = {"params": params_key, **_streams(streams, step_key)}
        variables = dict(module.init(keys, start, **modes))
        return variables.pop("params", {}), variables

    def loss(
        params: Params, model_state: ModelState, batch: Batch, key: Key
    ) -> tuple[Any, tuple[ModelState, Metrics]]:
        outputs, changed = module.apply(
            {"params": params, **model_state},
            first(batch),
            rngs=_streams(streams, key),
            mutable=list(model_state),
            **modes,
        )
        value, metrics = loss_and_metrics(_NAME, loss_fn(outputs, batch))
        _check_structure(model_state, changed)
        return value, ({**model_state, **changed}, metrics)

    def evaluate(params: Params, model_state: ModelState, batch: Batch) -> Metrics:
        opposite = {name: not value for name, value in modes.items()}
        variables = {"params": params, **model_state}
        outputs = module.apply(variables, first(batch), **opposite)
        value, metrics = loss_and_metrics(_NAME, loss_fn(outputs, batch))
        return {**metrics, "loss": value}

    return Problem(init, loss, evaluate)


def _check_structure(before: ModelState, after: ModelState) -> None:
    for collection in after:
        known: Any = jax.tree.structure(before[collection])
        if jax.tree.structure(after[collection]) != known:
            raise TypeError(
                f"{_NAME}: the collection {collection!r} must keep its structure, but "
                "grows with each step; sow into 'intermediates', which are dropped"
            )


def _modes(module: Any, training: Mapping[str, bool] | None) -> dict[str, bool]:
    """The keyword arguments of training, checked against the module's call."""
    parameters = inspect.signature(module.__call__).parameters
    usual = {name: on for name, on in _USUAL_NAMES.items() if name in parameters}
    if training is None:
        # Its default would be taken silently, in training and in evaluation.
        if usual:
            _checks.fail(
                _NAME,
                "training",
                f"the values in training of what {type(module).__name__} takes to "
                f"tell training from evaluation, such as {usual}, or {{}}",
                training,
            )
        return {}
    if not isinstance(training, Mapping) or not all(
        isinstance(value, bool) for value in training.values()
    ):
        _checks.fail_type(_NAME, "training", "a dict of name: boolean", training)
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for name in training:
            _checks.choice(_NAME, "training's names", name, parameters)
    return dict(training)


def _stream_names(rngs: Sequence[str]) -> tuple[str, ...]:
    """`rngs` as a tuple; a lone string would be read letter by letter."""
    if isinstance(rngs, str) or not all(isinstance(name, str) for name in rngs):
        _checks.fail_type(_NAME, "rngs", "a sequence of names", rngs)
    return tuple(rngs)


def _streams(names: tuple[str, ...], key: Key) -> dict[str, Key]:
    return {name: jax.random.fold_in(key, i) for i, name in enumerate(names)}


def _example_input(first: Callable[[Batch], Any], example: Batch) -> Any:
    """The model's input to initialise with, zeros where only a shape is known."""

    def concrete(leaf: Any) -> Any:
        if isinstance(leaf, jax.ShapeDtypeStruct):
            return jnp.zeros(leaf.shape, leaf.dtype)
        return leaf

    start = first(example)
    for leaf in jax.tree.leaves(start):
        if not hasattr(leaf, "shape") or not hasattr(leaf, "dtype"):
            _checks.fail_type(
                _NAME, "example", "a batch of arrays or ShapeDtypeStructs", example
            )
    return jax.tree.map(concrete, start)
