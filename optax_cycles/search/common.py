"""What all searches share: what they compare, and how they run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Batch, Key, PyTree
from optax_cycles.search.result import SIGNS, SearchResult
from optax_cycles.sweep.judge import Judge, Standing
from optax_cycles.sweep.loop import Interrupted, SweepError, check_options, run
from optax_cycles.sweep.members import Status
from optax_cycles.sweep.space import Space
from optax_cycles.sweep.trainable import Trainable


def scores_of(function: str, standing: Standing, metric: str, mode: str) -> np.ndarray:
    """`[members]`: a metric, the lower the better; +inf for who does not run.

    Raises:
      ValueError: if the metric is not reported.
    """
    _checks.choice(function, "metric", metric, standing.validation)
    values = SIGNS[mode] * standing.validation[metric]
    running = standing.status == Status.RUNNING
    return np.where(running & np.isfinite(values), values, np.inf)


def searched(
    method: str,
    trainable: Trainable,
    space: Space,
    data: PyTree,
    steps: int,
    *,
    judge: Judge | None,
    key: Key,
    validation: Batch,
    metric: str,
    mode: str,
    horizons: Sequence[int] | None,
    options: Mapping[str, Any],
) -> SearchResult:
    """Run a judged sweep; what stops it has an incomplete `SearchResult`."""
    check_options(method, options)
    _checks.choice(method, "mode", mode, SIGNS)
    if "judge" in options:
        raise TypeError(f"{method}: judge is its own, got {options['judge']!r}")
    if validation is None:
        raise ValueError(f"{method}: validation data are needed, got None")
    verdicts = [] if judge is None else list(judge.steps)

    def finish(sweep: Any) -> SearchResult:
        return SearchResult(method, sweep, metric, mode)

    try:
        sweep = run(
            trainable,
            space,
            data,
            steps,
            key=key,
            validation=validation,
            horizons=sorted({*verdicts, *(horizons or ()), steps}),
            judge=judge,
            **options,
        )
    except (Interrupted, SweepError) as stop:
        stop.result = finish(stop.result)
        raise
    _checks.choice(method, "metric", metric, sweep.validation)
    return finish(sweep)
