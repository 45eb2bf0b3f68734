"""Wall time of one use of a finder in the sweep engine, compile apart."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from _curves import RAMPS, Members, Size, constant, ramps, setting_of, trainable_of
from _tasks import BATCH, PROBLEMS, Task

import optax_cycles as oc
from optax_cycles.range_test.parallel import evaluation_steps

OPTIMIZER = "momentum"
ROUNDS = 5


class Shape(NamedTuple):
    """What one use trains.

    Attributes:
      values: constant rates, or 0 for a ramp.
      seeds: seeds of each.
      updates: updates of each.
    """

    values: int
    seeds: int
    updates: int

    @property
    def total(self) -> int:
        """Updates of all members."""
        return max(self.values, 1) * self.seeds * self.updates

    def __str__(self) -> str:
        """In words."""
        many = f"{self.values} values" if self.values else "ramp"
        return f"{many}, {self.seeds} seed(s), {self.updates} updates"


def _members(shape: Shape) -> Members:
    seeds = np.arange(shape.seeds)
    if shape.values:
        # Small rates: none fails, which would take less time.
        return constant(np.geomspace(1e-5, 1e-4, shape.values), seeds)
    return ramps([RAMPS["ours"]._replace(high=1e-4)], seeds)


def seconds(trainable: oc.Trainable, task: Task, shape: Shape, rounds: int) -> float:
    """Median time of one use; a parallel test evaluates, a ramp does not."""
    members = _members(shape)
    horizons = evaluation_steps([shape.updates]) if shape.values else None

    def run(steps: int, evaluated: Any) -> float:
        result = oc.sweep.run(
            trainable,
            members,
            task.train,
            steps,
            key=jax.random.key(0),
            batch_size=BATCH,
            validation=task.validation if shape.values else None,
            horizons=evaluated,
            segment=max(shape.updates // 10, 1),
        )
        return sum(result.seconds[part] for part in ("init", "train", "evaluate"))

    run(1, None if horizons is None else [0, 1])
    return statistics.median(run(shape.updates, horizons) for _ in range(rounds))


def measure(problem: str, shapes: Sequence[Shape]) -> dict[str, float]:
    """Seconds for each shape."""
    task = PROBLEMS[problem]()
    trainable = trainable_of(task, OPTIMIZER)
    most = max(shape.total for shape in shapes)
    return {
        str(shape): seconds(
            trainable, task, shape, 1 if shape.total == most else ROUNDS
        )
        for shape in shapes
    }


def walls_of(
    tasks: Sequence[str], shapes: Sequence[Shape], folder: Path, size: Size
) -> dict[str, dict[str, float]]:
    """Seconds by problem and shape, measured where the folder does not hold them."""
    found = {}
    setting = setting_of(size) + json.dumps(shapes)
    for problem in dict.fromkeys(task.split("/")[0] for task in tasks):
        path = folder / f"wall-{problem}.json"
        saved = json.loads(path.read_text()) if path.exists() else {}
        if saved.get("setting") != setting:
            saved = {"setting": setting, "seconds": measure(problem, shapes)}
            path.write_text(json.dumps(saved))
        found[problem] = saved["seconds"]
        print(f"{problem}: wall times {found[problem]}", flush=True)
    return found
