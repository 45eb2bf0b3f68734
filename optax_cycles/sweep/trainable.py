"""What the engine sees: how a member starts, makes one update, is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optax_cycles import _checks
from optax_cycles._typing import (
    Batch,
    Hparams,
    Key,
    Metrics,
    ModelState,
    Params,
    PyTree,
    State,
)
from optax_cycles.sweep.convolution import with_matmul_convolutions
from optax_cycles.sweep.given import named
from optax_cycles.sweep.problem import Problem


class Trainable(NamedTuple):
    """One member's training as three pure functions.

    Attributes:
      init: `init(key, hparams) -> state`.
      step: `step(state, hparams, batch, key) -> (state, metrics)`, one update;
        `metrics` is a dict of scalars with at least `"loss"`.
      evaluate: `evaluate(state, batch) -> metrics`, or None.
      begin: `begin(params, model_state, hparams) -> state`, what `init` returns where
        the parameters are given; or None.
    """

    init: Callable[[Key, Hparams], State]
    step: Callable[[State, Hparams, Batch, Key], tuple[State, Metrics]]
    evaluate: Callable[[State, Batch], Metrics] | None = None
    begin: Callable[[Params, ModelState, Hparams], State] | None = None


def initial_state(trainable: Trainable, key: Key, hparams: Hparams) -> State:
    """What `trainable.init` returns, its numbers as arrays of a fixed dtype.

    A Python number is weakly typed, the array that a step makes of it is not, and
    a program compiled for the one does not fit the other.
    """
    state = trainable.init(key, hparams)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), state)


class TrainState(NamedTuple):
    """A member's state as `trainable` builds it."""

    params: Params
    model_state: ModelState
    opt_state: optax.OptState


def _keep_dtypes(new: PyTree, old: PyTree) -> PyTree:
    """`new` in the dtypes of `old`, where both have one structure.

    A traced hyperparameter has a dtype of its own, float32, to which it would promote
    the moments of bfloat16 parameters; a Python number would not.
    """
    structures: list[Any] = [jax.tree.structure(new), jax.tree.structure(old)]
    if structures[0] != structures[1]:
        return new

    def kept(leaf: Any, before: Any) -> Any:
        floats = all(jnp.issubdtype(a.dtype, jnp.floating) for a in (leaf, before))
        return leaf.astype(before.dtype) if floats else leaf

    return jax.tree.map(kept, new, old)


def _fast_in_a_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; on a CPU its convolutions are matrix products.

    There they are many times faster inside the engine's loop.
    """
    fast = with_matmul_convolutions(function)

    def chosen(*args: Any) -> Any:
        return (fast if jax.default_backend() == "cpu" else function)(*args)

    return chosen


def _with_extra_args(optimizer: Any) -> optax.GradientTransformationExtraArgs:
    """The same optimizer, which takes `value=`; `MultiSteps` passes it on."""
    if isinstance(optimizer, optax.MultiSteps):
        return optax.GradientTransformationExtraArgs(optimizer.init, optimizer.update)
    return optax.with_extra_args_support(optimizer)


def trainable(
    problem: Problem,
    optimizer: Callable[[Hparams], optax.GradientTransformation],
) -> Trainable:
    """Join a problem and an optimizer into what the engine trains.

    The optimizer is rebuilt from the (traced) hyperparameters inside every step,
    which costs nothing in the compiled program: one compile serves every value. On a
    CPU, convolutions of the loss are computed as matrix products.

    Args:
      problem: the model and its loss.
      optimizer: `optimizer(hparams) -> optax.GradientTransformation`, where
        `hparams` is a dict of scalars. It must not branch in Python on a value.

    Returns:
      A `Trainable` whose state is a `TrainState(params, model_state, opt_state)`.

    Raises:
      TypeError: if `problem` is not a `Problem`, `optimizer` can't be called, or
        (where they are traced) returns no optimizer, or the loss is not a
        floating-point scalar.

    Examples:
      >>> import jax, jax.numpy as jnp, optax, optax_cycles as oc
      >>> problem = oc.problem_from_loss(
      ...     lambda key: jnp.ones(2), lambda params, batch, key: jnp.sum(params**2)
      ... )
      >>> train = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
      >>> hparams = {"learning_rate": 0.25}
      >>> state = train.init(jax.random.key(0), hparams)
      >>> state, metrics = train.step(state, hparams, None, jax.random.key(1))
      >>> state.params.tolist(), float(metrics["loss"])
      ([0.5, 0.5], 2.0)
    """
    if not isinstance(problem, Problem):
        _checks.fail_type("trainable", "problem", "a Problem", problem)
    _checks.function_of("trainable", "optimizer", optimizer)

    def made(hparams: Hparams) -> Any:
        built = optimizer(hparams)
        if not (hasattr(built, "init") and hasattr(built, "update")):
            raise TypeError(
                "trainable: optimizer must return an optax.GradientTransformation, got "
                f"{named(built)}"
            )
        return built

    def begin(params: Params, model_state: ModelState, hparams: Hparams) -> TrainState:
        return TrainState(params, model_state, made(hparams).init(params))

    def init(key: Key, hparams: Hparams) -> TrainState:
        return begin(*problem.init(key), hparams)

    def scalar_loss(*args: Any) -> tuple[Any, tuple[ModelState, Metrics]]:
        loss, aux = problem.loss(*args)
        loss = jnp.asarray(loss)
        if loss.shape != () or not jnp.issubdtype(loss.dtype, jnp.floating):
            raise TypeError(
                "trainable: the loss must be a floating-point scalar, got "
                f"{loss.dtype}{list(loss.shape)}"
            )
        return loss, aux

    def step(
        state: TrainState, hparams: Hparams, batch: Batch, key: Key
    ) -> tuple[TrainState, Metrics]:
        value_and_grad = jax.value_and_grad(_fast_in_a_loop(scalar_loss), has_aux=True)
        (loss, (model_state, metrics)), grads = value_and_grad(
            state.params, state.model_state, batch, key
        )
        transform = _with_extra_args(made(hparams))
        updates, opt_state = transform.update(
            grads, state.opt_state, state.params, value=loss
        )
        params = optax.apply_updates(state.params, updates)
        opt_state = _keep_dtypes(opt_state, state.opt_state)
        return TrainState(params, model_state, opt_state), {**metrics, "loss": loss}

    if problem.evaluate is None:
        return Trainable(init, step, begin=begin)
    evaluate = _fast_in_a_loop(problem.evaluate)
    return Trainable(
        init,
        step,
        lambda state, batch: evaluate(state.params, state.model_state, batch),
        begin,
    )
