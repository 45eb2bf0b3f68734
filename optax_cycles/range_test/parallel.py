"""The parallel range test: many constant values, each a short training of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from optax_cycles import _checks
from optax_cycles._typing import Batch, Key, PyTree
from optax_cycles.range_test.over import (
    Over,
    check_batches,
    check_horizons,
    check_some_long,
    evaluation_steps,
    members_space,
    over_space,
)
from optax_cycles.range_test.parallel_result import ParallelTest
from optax_cycles.range_test.runs import check_budget, run_over
from optax_cycles.sweep.loop import check_options
from optax_cycles.sweep.reads import refusing_unread
from optax_cycles.sweep.snapshot import started_from
from optax_cycles.sweep.space import log_space
from optax_cycles.sweep.trainable import Trainable


def parallel_range_test(
    trainable: Trainable,
    data: PyTree,
    validation: Batch,
    *,
    over: Over | None = None,
    seeds: int | Sequence[int] = 5,
    steps: int = 300,
    horizons: Sequence[int] | None = None,
    constants: Mapping[str, float] | None = None,
    budget: str = "updates",
    start: PyTree = None,
    key: Key | None = None,
    **options: Any,
) -> ParallelTest:
    """Train with many constant values of hyperparameters at once, and compare.

    Every point of the grid is an independent short training; the points share initial
    parameters and data order seed by seed, so that they are compared in pairs. All
    of them are one population of one compiled program. The caller's model, optimizer,
    data and random states are not touched.

    Args:
      trainable: what to train; see `oc.trainable`. Its optimizer reads the
        hyperparameters by name.
      data: pytree of training arrays, examples along the first axis, or an iterable of
        batches; see `oc.sweep.run`.
      validation: one validation batch of the same structure.
      over: dict from hyperparameter to its values, increasing, at least 2, and 3 along
        one axis; several make a grid. Or a `Space`, in which `oc.sweep.zip` moves
        some together. By default 64 learning rates from 1e-5 to 10 in equal ratios.
        `"batch_size"` is an axis too: each size is a program of its own.
      seeds: how many trainings of each value, or the seeds themselves; they differ
        in initial parameters, data order and random numbers.
      steps: updates of each training.
      horizons: numbers of updates at which to compare; by default an eighth, a
        quarter, a half and all of `steps`.
      constants: further hyperparameters, the same for all members.
      budget: what all batch sizes get alike: `"updates"`; or `"examples"`, where
        `steps` and `horizons` count updates of the smallest batch size, and a
        larger one is compared at the first update by which it has seen as many.
      start: a snapshot from which all members start, instead of fresh parameters: a
        `TrainState`, `(params, model_state)`, or a whole member state; see
        `oc.sweep.started_from`.
      key: the key of all randomness; `jax.random.key(0)` by default.
      **options: further arguments of `oc.sweep.run` (`batch_size`, `placement`,
        `devices`, `chunk`, `progress`, ...).

    Returns:
      A `ParallelTest`.

    Raises:
      ValueError, TypeError: for arguments that make no sense, a hyperparameter that
        nothing reads, and a snapshot of another model.
      Interrupted: on Ctrl-C, with an incomplete `ParallelTest` as its `result`.
      SweepError: see `oc.sweep.run`; its `result` is an incomplete `ParallelTest`.

    L. Smith, "A disciplined approach to neural network hyper-parameters" (2018),
    compares batch sizes at equal computing budgets in its section 4.2.

    Examples:
      >>> import jax.numpy as jnp, optax, optax_cycles as oc
      >>> problem = oc.problem_from_loss(
      ...     lambda key: jnp.ones(2), lambda p, batch, key: jnp.mean((batch @ p) ** 2)
      ... )
      >>> train = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
      >>> test = oc.parallel_range_test(
      ...     train, jnp.eye(2), jnp.eye(2), batch_size=2, steps=20,
      ...     over={"learning_rate": oc.sweep.log_space(1e-3, 10.0, 9)},
      ... )
      >>> round(test.suggest().best, 3)
      1.0
    """
    name = "parallel_range_test"
    if not isinstance(trainable, Trainable):
        _checks.fail_type(name, "trainable", "a Trainable", trainable)
    check_options(name, options)
    given = {"learning_rate": log_space(1e-5, 10.0, 64)} if over is None else over
    axes = over_space(name, given)
    check_some_long(name, axes)
    _checks.integer(name, "steps", steps, minimum=1)
    horizons = check_horizons(name, steps, horizons)
    check_budget(name, budget, steps, axes)
    check_batches(name, axes, data, options)
    space = members_space(name, axes, constants, seeds)
    trainable = refusing_unread(name, trainable)
    if start is not None:
        trainable = started_from(trainable, start)
    test: ParallelTest = run_over(
        trainable,
        space,
        data,
        steps,
        finish=lambda sweep: ParallelTest(axes.names, horizons, sweep, budget),
        budget=budget,
        horizons=evaluation_steps(horizons),
        key=jax.random.key(0) if key is None else key,
        validation=validation,
        **options,
    )
    return test
