"""Training with a suggestion: 1cycle against the best constant rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from optax_cycles.cli.optimizers import MOMENTUM, NamedOptimizer
from optax_cycles.problems import Task
from optax_cycles.range_test import RangeSuggestion
from optax_cycles.sweep.loop import run
from optax_cycles.sweep.result import SweepResult
from optax_cycles.sweep.snapshot import started_from
from optax_cycles.sweep.space import Axis, Space, with_seeds
from optax_cycles.sweep.trainable import TrainState, trainable

NAMES = ("1cycle", "constant")
LOW_MOMENTUM, HIGH_MOMENTUM = 0.85, 0.95
FINAL_DIV_FACTOR = 1e4
EVALUATIONS = 15


def compare(
    task: Task,
    optimizer: NamedOptimizer,
    suggestion: RangeSuggestion,
    *,
    fixed: Mapping[str, float],
    start: TrainState | None,
    steps: int,
    seeds: range,
    key: jax.Array,
    **options: Any,
) -> SweepResult:
    """Train with 1cycle at the suggestion and with the best constant rate.

    Both are one population of one program: the numbers of the policy are
    hyperparameters, and a constant rate is a cycle that does not move.

    Args:
      task: what is trained.
      optimizer: with what.
      suggestion: of its learning rate.
      fixed: its other hyperparameters; the momentum is that of the constant rate.
      start: a snapshot to start from; the optimizer's slots are not taken.
      steps: updates to make.
      seeds: the seeds of the trainings.
      key: the key of all randomness.
      **options: of `oc.sweep.run`.

    Returns:
      A `SweepResult` with the axes `[training, seed]`, trainings in the order of
      `NAMES`, and with all final states.
    """
    columns = {
        "peak": (suggestion.peak, suggestion.best),
        "div_factor": (suggestion.peak / suggestion.base, 1.0),
        "final_div_factor": (FINAL_DIV_FACTOR, 1.0),
    }
    if optimizer.momentum_name is not None:
        constant = fixed.get(optimizer.momentum_name, MOMENTUM)
        columns["low_momentum"] = (LOW_MOMENTUM, constant)
        columns["high_momentum"] = (HIGH_MOMENTUM, constant)
    axis = Axis("training", {name: np.array(pair) for name, pair in columns.items()})
    train = trainable(task.problem, optimizer.one_cycle(steps, fixed))
    if start is not None:
        train = started_from(train, start._replace(opt_state=None))
    return run(
        train,
        with_seeds("compare", Space((axis,)), np.asarray(seeds)),
        task.train,
        steps,
        key=key,
        validation=task.validation,
        horizons=sorted(
            {steps * part // EVALUATIONS for part in range(EVALUATIONS + 1)}
        ),
        keep_state=True,
        **options,
    )
