"""Training with a suggestion: 1cycle against the best constant rate."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from optax_cycles.cli.optimizers import NamedOptimizer
from optax_cycles.problems import Task
from optax_cycles.range_test import RangeSuggestion
from optax_cycles.sweep.loop import run
from optax_cycles.sweep.result import SweepResult
from optax_cycles.sweep.space import Axis, Space, with_seeds
from optax_cycles.sweep.trainable import trainable

NAMES = ("1cycle", "constant")
LOW_MOMENTUM, HIGH_MOMENTUM = 0.85, 0.95
FINAL_DIV_FACTOR = 1e4
EVALUATIONS = 15


def compare(
    task: Task,
    optimizer: NamedOptimizer,
    suggestion: RangeSuggestion,
    *,
    steps: int,
    seeds: range,
    key: jax.Array,
    **options: Any,
) -> SweepResult:
    """Train with 1cycle at the suggestion and with the best constant rate.

    Both are one population of one program: the numbers of the policy are
    hyperparameters, and a constant rate is a cycle that does not move.

    Returns:
      A `SweepResult` with the axes `[training, seed]`, trainings in the order of
      `NAMES`.
    """
    constant = optimizer.momentum
    columns = {
        "peak": (suggestion.peak, suggestion.best),
        "div_factor": (suggestion.peak / suggestion.base, 1.0),
        "final_div_factor": (FINAL_DIV_FACTOR, 1.0),
        "low_momentum": (LOW_MOMENTUM, constant),
        "high_momentum": (HIGH_MOMENTUM, constant),
    }
    axis = Axis("training", {name: np.array(pair) for name, pair in columns.items()})
    return run(
        trainable(task.problem, lambda hparams: optimizer.one_cycle(steps, hparams)),
        with_seeds("compare", Space((axis,)), np.asarray(seeds)),
        task.train,
        steps,
        key=key,
        validation=task.validation,
        horizons=sorted(
            {steps * part // EVALUATIONS for part in range(EVALUATIONS + 1)}
        ),
        **options,
    )
