"""What most users write: a model, its loss, and how it is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from optax_cycles import _checks
from optax_cycles._typing import Batch, Key, Metrics, ModelState, Params
from optax_cycles.sweep.given import named


class Problem(NamedTuple):
    """A model and its loss, apart from any optimizer.

    Attributes:
      init: `init(key) -> (params, model_state)`. `params` is what the optimizer
        changes; `model_state` is everything else that a step may change (batch
        statistics, caches) and is an empty tuple where there is nothing.
      loss: `loss(params, model_state, batch, key) -> (loss, (model_state,
        metrics))`, the training loss as a scalar, with a dict of further scalars.
      evaluate: `evaluate(params, model_state, batch) -> metrics`, a dict of
        scalars with at least `"loss"`, the model in evaluation mode. None where
        the problem has no evaluation.
    """

    init: Callable[[Key], tuple[Params, ModelState]]
    loss: Callable[
        [Params, ModelState, Batch, Key], tuple[Any, tuple[ModelState, Metrics]]
    ]
    evaluate: Callable[[Params, ModelState, Batch], Metrics] | None = None


def problem_from_loss(
    init: Callable[[Key], Params],
    loss: Callable[[Params, Batch, Key], Any],
    *,
    evaluate: Callable[[Params, Batch], Metrics] | None = None,
    has_aux: bool = False,
) -> Problem:
    """A `Problem` from a plain loss function without model state.

    Args:
      init: `init(key) -> params`.
      loss: `loss(params, batch, key) -> loss`, or `-> (loss, metrics)` with
        `has_aux=True`, where `metrics` is a dict of scalars.
      evaluate: `evaluate(params, batch) -> metrics`, a dict of scalars with at
        least `"loss"`. When None, the training loss without a key's randomness
        can't be known, so `loss` itself is evaluated with one fixed key.
      has_aux: whether `loss` returns `(loss, metrics)`.

    Returns:
      A `Problem` whose model state is the empty tuple.

    Raises:
      TypeError: if `init`, `loss` or `evaluate` can't be called, or (where it is
        traced) `loss` returns a pair without `has_aux`, or no pair with it.

    Examples:
      >>> import jax, jax.numpy as jnp, optax_cycles as oc
      >>> problem = oc.problem_from_loss(
      ...     init=lambda key: jnp.ones(3),
      ...     loss=lambda params, batch, key: jnp.mean((batch @ params) ** 2),
      ... )
      >>> metrics = problem.evaluate(jnp.ones(3), (), jnp.eye(3))
      >>> float(metrics["loss"])
      1.0
    """
    _checks.function_of("problem_from_loss", "init", init)
    _checks.function_of("problem_from_loss", "loss", loss)
    if evaluate is not None:
        _checks.function_of("problem_from_loss", "evaluate", evaluate)

    def full_loss(
        params: Params, model_state: ModelState, batch: Batch, key: Key
    ) -> tuple[Any, tuple[ModelState, Metrics]]:
        made = loss(params, batch, key)
        pair = isinstance(made, tuple) and len(made) == 2
        if pair != has_aux:
            wanted = "the pair (loss, metrics)" if has_aux else "the loss alone"
            got = "a pair: give has_aux=True" if pair else named(made)
            raise TypeError(f"problem_from_loss: loss must return {wanted}, got {got}")
        value, metrics = made if has_aux else (made, {})
        return value, (model_state, metrics)

    def full_evaluate(params: Params, model_state: ModelState, batch: Batch) -> Metrics:
        if evaluate is not None:
            return evaluate(params, batch)
        value, (_, metrics) = full_loss(params, model_state, batch, jax.random.key(0))
        return {**metrics, "loss": value}

    return Problem(lambda key: (init(key), ()), full_loss, full_evaluate)
