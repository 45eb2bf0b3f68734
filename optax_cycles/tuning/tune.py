"""`tune`: the checklist of a disciplined approach, in one call."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import optax

from optax_cycles import _checks
from optax_cycles._typing import Batch, Key, PyTree
from optax_cycles.range_test import RangeSuggestion
from optax_cycles.search.common import check_reported
from optax_cycles.sweep.loop import Interrupted, SweepError
from optax_cycles.sweep.problem import Problem
from optax_cycles.sweep.result import mode_of
from optax_cycles.sweep.space import Space
from optax_cycles.sweep.trainable import Trainable, trainable
from optax_cycles.tuning import steps as parts
from optax_cycles.tuning.arguments import (
    batch_sizes,
    check_decays,
    check_ends,
    check_momenta,
    check_options,
    check_validated,
    check_whole,
)
from optax_cycles.tuning.budget import Budget, OutOfTime, group_of
from optax_cycles.tuning.candidate import columns, program
from optax_cycles.tuning.family import Family, family_of
from optax_cycles.tuning.points import figures
from optax_cycles.tuning.recipe import Recipe
from optax_cycles.tuning.shares import Shares
from optax_cycles.tuning.work import TuneProgress, Work

# How much a whole training forgets of where it started, by decay alone.
FORGOTTEN = (0.01, 0.1, 1.0, 10.0)
DEFAULT_TRAININGS = 120


def tune(
    problem: Problem,
    data: PyTree,
    *,
    validation: Batch,
    key: Key,
    optimizer: str | Callable[..., optax.GradientTransformation] = "sgdw",
    steps: int = 300,
    budget: int | str | None = None,
    batch_size: int | Sequence[int] | None = None,
    rates: tuple[float, float] = (1e-5, 10.0),
    momenta: Sequence[float | tuple[float, float]] | None = None,
    weight_decays: Sequence[float] | None = None,
    metric: str = "loss",
    mode: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[TuneProgress], None] | None = None,
    **options: Any,
) -> Recipe:
    """From a model and its data to settings that work.

    Walks the checklist of Smith's disciplined approach: the batch size, where it may
    change; the learning rate, by a parallel range test; rate, momentum and weight decay
    together, because they regularise together; 1cycle against other schedules; and a
    final training of the best few with fresh seeds, which decide. All of it is one
    compiled program: schedules, their lengths and all numbers are data.

    Args:
      problem: the model and its loss.
      data: as for `oc.sweep.run`.
      validation: one batch to compare on.
      key: the key of all randomness.
      optimizer: `"sgdw"`, `"adamw"`, `"sgd"`, `"adam"`, `"rmsprop"` or `"lion"`; or a
        factory that takes `learning_rate` and, to have them tuned, `momentum` or `b1`,
        `weight_decay`, and `multiplier` for the schedule.
      steps: updates of the training that the recipe is for.
      budget: what may be spent on tuning: updates of all members together, or a time
        such as `"90s"` or `"5min"`; by default 120 trainings of `steps`. It is kept to
        within a tenth, but no step trains more than 4,032 members. Where a machine
        slows down so much that a time would be passed, training stops: candidates that
        are not trained by then are left out.
      batch_size: examples in each update, 32 by default; several to choose from, at
        equal numbers of examples, where `steps` counts updates of the first.
      rates: the least and the largest learning rate that are tried.
      momenta: constants, and pairs (low, high) that move against the rate; by default
        0.7, 0.8, 0.9, 0.95, 0.97, 0.99 and (0.85, 0.95).
      weight_decays: by default 0, and one significant figure for each of four powers of
        ten.
      metric: the validation metric to compare.
      mode: whether its `"min"` or its `"max"` is best; needed but for `"loss"`.
      checkpoint: a folder from which the same call goes on after a kill.
      progress: called with a `TuneProgress` after each segment.
      **options: further arguments of `oc.sweep.run` (`placement`, `mesh`, ...).

    Returns:
      A `Recipe`; the best so far, `complete=False`, if a time ran out before the last
      step was reached.

    Raises:
      TypeError, ValueError: for arguments that make no sense, a budget that is too
        small (the message says what is needed), and a hyperparameter to be tuned that
        the optimizer does not take.
      NoSuggestionError: if no rate trains; its attribute `rows` is what was tried.
      Interrupted, SweepError: as `oc.sweep.run`; `result` is the best recipe so far,
        `complete=False`, or None before there was one.

    L. Smith, "A disciplined approach to neural network hyper-parameters: part 1"
    (2018), section 5.

    Examples:
      >>> import jax, jax.numpy as jnp, numpy as np, optax_cycles as oc
      >>> problem = oc.problem_from_loss(
      ...     lambda key: jnp.ones(2),
      ...     lambda p, batch, key: jnp.mean((batch @ (p - 2.0)) ** 2),
      ... )
      >>> data = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
      >>> recipe = oc.tune(
      ...     problem, data, validation=data[:16], key=jax.random.key(0), steps=40
      ... )
      >>> optimizer = recipe.optimizer()
      >>> recipe.complete, len(recipe.evidence)
      (True, 4)
    """
    name = "tune"
    mode = mode_of(name, metric, mode)
    family = family_of(name, optimizer)
    ends = check_ends(name, rates)
    tried_momenta = check_momenta(name, family, momenta)
    tried_decays = check_decays(name, family, weight_decays)
    sizes = batch_sizes(name, batch_size, data)
    steps = check_whole(name, "steps", steps)
    work = Work(
        family=family,
        trainable=_trainable_of(problem, family),
        data=data,
        validation=check_validated(name, validation),
        steps=steps,
        metric=metric,
        mode=mode,
        key=key,
        budget=Budget(name, DEFAULT_TRAININGS * steps if budget is None else budget),
        options={
            **check_options(name, options, tune),
            **({"batch_size": sizes[0]} if sizes else {}),
        },
        group=group_of(DEFAULT_TRAININGS),
        checkpoint=None if checkpoint is None else Path(checkpoint),
        progress=progress,
    )
    first = Space((columns([parts.constant(work, ends[0])], work.steps),))
    check_reported(
        name,
        metric,
        trainable=work.trainable,
        space=first,
        data=data,
        validation=validation,
        options=options,
    )
    try:
        _walk(work, sizes, ends, tried_momenta, tried_decays)
    except OutOfTime:
        if work.best is None:
            expected = "time enough to find a learning rate"
            _checks.fail(name, "budget", expected, work.budget.asked)
        return work.recipe(complete=False)
    except (Interrupted, SweepError) as stop:
        stop.result = work.so_far()
        raise
    except KeyboardInterrupt:  # between two sweeps
        raise Interrupted(work.so_far()) from None
    return work.recipe(complete=True)


def _walk(
    work: Work,
    sizes: Sequence[int],
    ends: tuple[float, float],
    momenta: Sequence[tuple[float, float] | None],
    decays: Sequence[float | None] | None,
) -> None:
    """All steps, one after another."""
    left = Shares(work, batch_sizes=len(sizes))
    if len(sizes) > 1:
        parts.batch_size(work, left.of("batch size"), sizes, *ends)
    found = parts.learning_rate(work, left.of("learning rate"), *ends)
    decays = _usual_decays(work, found) if decays is None else decays
    updates = left.of("momentum and decay")
    ranked = parts.momentum_and_decay(work, updates, found, momenta, decays)
    pool = parts.schedules(work, left.of("schedule"), ranked)
    parts.final(work, left.of("final"), pool)


def _trainable_of(problem: Problem, family: Family) -> Trainable:
    """Kept where the factory can be told from others, which mutable objects can't."""
    kept = isinstance(family.factory, Hashable)
    return (_trainable if kept else _trainable.__wrapped__)(problem, family)


@lru_cache(maxsize=4)
def _trainable(problem: Problem, family: Family) -> Trainable:
    """The same again for the same, so that a second tuning compiles nothing."""
    return trainable(problem, partial(program, family))


def _usual_decays(work: Work, rates: RangeSuggestion) -> Sequence[float | None]:
    """0, and what forgets little to much of the parameters in a training.

    Decay takes the share `weight_decay` of the parameters at each update, times the
    multiplier of the schedule; or times the learning rate where there is none.
    """
    times = 1.0 if work.family.has_multiplier else rates.best
    return [0.0, *(figures(f / (times * work.steps), 1) for f in FORGOTTEN)]
