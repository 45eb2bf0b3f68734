"""Optimizers that need no learning rate, at their defaults: one training each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from _tune_methods import CHUNK, Size, options
from optax import contrib

import optax_cycles as oc
from optax_cycles.problems import Task

FREE: dict[str, Callable[[], optax.GradientTransformation]] = {
    "prodigy": contrib.prodigy,
    "dadapt_adamw": contrib.dadapt_adamw,
    "schedule_free_adamw": contrib.schedule_free_adamw,
    "mechanize(adamw)": lambda: contrib.mechanize(optax.adamw(1e-3)),
}


def losses_of(name: str, task: Task, seeds: np.ndarray, size: Size) -> np.ndarray:
    """`[seeds]`: held-out losses at the end of trainings, NaN where one diverged."""
    averaged = name.startswith("schedule_free")
    swept = oc.sweep.run(
        oc.trainable(task.problem, lambda _: FREE[name]()),
        {"seed": seeds},
        task.train,
        size.steps,
        key=jax.random.key(10_000),
        chunk=CHUNK,
        keep_state=averaged,
        **options(task),
    )
    losses = swept.validation["held_out"][:, -1]
    if not averaged:
        return losses

    def at_average(state: Any) -> Any:
        params = contrib.schedule_free_eval_params(state.opt_state, state.params)
        _, nothing = task.problem.init(jax.random.key(0))
        return task.problem.evaluate(params, nothing, task.validation)["held_out"]

    averages = np.asarray(jax.lax.map(at_average, swept.state))
    return np.where(np.isfinite(losses), averages, np.nan)
