"""Plain words about what is wrong with a `Trainable`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Batch, Hparams, PyTree
from optax_cycles.sweep.origin import users_line
from optax_cycles.sweep.trainable import Trainable, initial_state

_BRANCHES = (
    jax.errors.TracerBoolConversionError,
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


def check_trainable(
    trainable: Trainable,
    hparams: Hparams,
    batch: Batch,
    validation: Batch | None = None,
) -> None:
    """Trace a trainable once, without running it, and say what is wrong.

    Messages name the line of the user's code; an exception of that code itself is
    raised as it is, with its line in a note.

    Args:
      trainable: what is to be trained.
      hparams: dict of scalars, one member's hyperparameters.
      batch: one training batch (arrays or `jax.ShapeDtypeStruct`s).
      validation: one batch for `evaluate`, where it is to be used.

    Raises:
      TypeError: if a function needs the value of a traced hyperparameter (which is
        named), metrics are not a dict, the loss is not a floating-point scalar, or
        the state changes its structure, a shape or a dtype across a step.
      ValueError: if a hyperparameter is read that there is not, metrics have no
        `"loss"`, or `validation` is given to a trainable without `evaluate`.

    Examples:
      >>> import jax, jax.numpy as jnp, optax, optax_cycles as oc
      >>> problem = oc.problem_from_loss(
      ...     lambda key: jnp.ones(2), lambda params, batch, key: batch @ params
      ... )
      >>> train = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
      >>> try:
      ...     oc.sweep.check_trainable(train, {"learning_rate": 0.1}, jnp.ones((4, 2)))
      ... except TypeError as error:
      ...     print(error)
      trainable: the loss must be a floating-point scalar, got float32[4]
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = _trace("init", lambda hp, k: initial_state(trainable, k, hp), hparams, key)
    made = _trace(
        "step",
        lambda hp, *rest: trainable.step(rest[0], hp, *rest[1:]),
        hparams,
        state,
        batch,
        key,
    )
    if not isinstance(made, tuple) or len(made) != 2:
        raise TypeError(f"step: must return (state, metrics), got {made!r}")
    new_state, metrics = made
    _check_metrics("step", metrics)
    _check_same_state(state, new_state)
    if validation is None:
        return
    if trainable.evaluate is None:
        raise ValueError(
            "evaluate: validation data was given, but the trainable has no evaluate"
        )
    measured = _trace(
        "evaluate", lambda _, *rest: trainable.evaluate(*rest), {}, state, validation
    )
    _check_metrics("evaluate", measured)


def check_metric(
    function: str,
    metric: str,
    trainable: Trainable,
    hparams: Hparams,
    validation: Batch,
) -> None:
    """Check that a metric is evaluated, before anything is compiled.

    Args:
      function: who asks.
      metric: the metric.
      trainable: what is to be trained.
      hparams: one member's hyperparameters.
      validation: one batch for `evaluate`.

    Raises:
      ValueError: if it is not, or there is no `evaluate`.
    """
    if trainable.evaluate is None:
        raise ValueError(f"{function}: the trainable has no evaluate to compare by")
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = _trace("init", lambda hp, k: initial_state(trainable, k, hp), hparams, key)
    found = _trace(
        "evaluate", lambda _, *rest: trainable.evaluate(*rest), {}, state, validation
    )
    _check_metrics("evaluate", found)
    _checks.choice(function, "metric", metric, found)


def _trace(name: str, function: Any, hparams: Hparams, *rest: PyTree) -> Any:
    """`eval_shape` of `function(hparams, *rest)`; names what can't be traced."""
    shapes = {
        hparam: jax.ShapeDtypeStruct((), jnp.asarray(value).dtype)
        for hparam, value in hparams.items()
    }
    try:
        return jax.eval_shape(function, shapes, *rest)
    except Exception as error:
        line = users_line(error)
        at = f" ({line})" if line else ""
        if isinstance(error, KeyError) and hparams:
            _explain_missing(name, error, at, shapes)
        branches = isinstance(error, _BRANCHES)
        only = _branched_on(function, hparams, shapes, rest) if branches else None
        if only:
            raise TypeError(
                f"{name}: hyperparameter {only!r} is traced, so Python can't "
                f"branch on its value or make a number of it{at}; use jnp.where or "
                "jax.lax.cond instead"
            ) from error
        if line:
            error.add_note(f"{name}: raised while it was traced, at {line}")
        raise


def _explain_missing(name: str, error: KeyError, at: str, shapes: Hparams) -> None:
    """Raise if what is missing may be a hyperparameter."""
    asked = error.args[0] if error.args else None
    if isinstance(asked, str) and asked not in shapes:
        raise ValueError(
            f"{name}: {asked!r} is read, which is no hyperparameter given{at}; "
            f"it must be {_checks.near(asked, shapes)}"
        ) from error


def _branched_on(
    function: Any, hparams: Hparams, shapes: Hparams, rest: tuple[PyTree, ...]
) -> str | None:
    """The hyperparameter whose value Python needs, if it is one alone."""
    # NumPy's numbers stay numbers while JAX traces, JAX's own would not.
    numbers = {h: np.asarray(hparams[h], shapes[h].dtype)[()] for h in shapes}
    if not _traces(function, numbers, {}, rest):
        return None
    alone = (h for h in shapes if not _traces(function, numbers, {h: shapes[h]}, rest))
    return next(alone, None)


def _traces(
    function: Any, fixed: Hparams, shapes: Hparams, rest: tuple[PyTree, ...]
) -> bool:
    """Whether `function` can be traced when only `shapes` of its hparams are."""
    try:
        jax.eval_shape(
            lambda traced, *args: function({**fixed, **traced}, *args), shapes, *rest
        )
    except Exception:
        return False
    return True


def _check_metrics(name: str, metrics: Any) -> None:
    if not isinstance(metrics, dict):
        raise TypeError(f"{name}: metrics must be a dict of scalars, got {metrics!r}")
    if "loss" not in metrics:
        raise ValueError(f"{name}: metrics must hold 'loss', got {sorted(metrics)}")
    for metric, value in metrics.items():
        shape = getattr(value, "shape", None)
        if shape != ():
            got = repr(value) if shape is None else f"shape {shape}"
            raise TypeError(f"{name}: metric {metric!r} must be a scalar, got {got}")
    if not jnp.issubdtype(metrics["loss"].dtype, jnp.floating):
        raise TypeError(
            f"{name}: the loss must be a floating-point scalar, got dtype "
            f"{metrics['loss'].dtype}"
        )


def _check_same_state(before: PyTree, after: PyTree) -> None:
    structures: list[Any] = [jax.tree.structure(before), jax.tree.structure(after)]
    if structures[0] != structures[1]:
        raise TypeError(
            "step: the state must keep its structure across a step, got "
            f"{structures[1]} from {structures[0]}"
        )
    pairs = zip(jax.tree.leaves_with_path(before), jax.tree.leaves(after), strict=True)
    for (path, old), new in pairs:
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise TypeError(
                f"step: state{jax.tree_util.keystr(path)} must stay "
                f"{old.dtype}{list(old.shape)} across a step, got "
                f"{new.dtype}{list(new.shape)}"
            )
