"""What all searches share: what they compare, and how they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Batch, Key, PyTree
from optax_cycles.search.result import ROW, SIGNS, SearchResult
from optax_cycles.sweep.arguments import validation_batch
from optax_cycles.sweep.check import check_metric
from optax_cycles.sweep.fingerprint import one_of
from optax_cycles.sweep.judge import Judge, Standing
from optax_cycles.sweep.loop import Interrupted, SweepError, check_options, run
from optax_cycles.sweep.members import Status
from optax_cycles.sweep.placement import resolve_placement
from optax_cycles.sweep.space import Space
from optax_cycles.sweep.trainable import Trainable
from optax_cycles.sweep.training import Progress


class Parts:
    """The progress of several sweeps, one after another, as that of one.

    Until the last of them runs, the total is what it would be if all to come were as
    large as the present one.
    """

    def __init__(self, progress: Callable[[Progress], None] | None, count: int) -> None:
        """Tell `progress`, if there is one, of `count` sweeps."""
        self.progress, self.left, self.before = progress, count, 0
        self.now = Progress(0, 0)

    def next(self) -> Callable[[Progress], None] | None:
        """What the next sweep is to tell of its progress."""
        self.before += self.now.total
        self.now, here, self.left = Progress(0, 0), self.left, self.left - 1

        def moved(now: Progress) -> None:
            self.now = now
            if self.progress is not None:
                total = self.before + now.total * here
                self.progress(Progress(self.before + now.done, total))

        return None if self.progress is None else moved


def scores_of(function: str, standing: Standing, metric: str, mode: str) -> np.ndarray:
    """`[members]`: a metric, the lower the better; +inf for who does not run.

    Raises:
      ValueError: if the metric is not reported.
    """
    _checks.choice(function, "metric", metric, standing.validation)
    values = SIGNS[mode] * standing.validation[metric]
    running = standing.status == Status.RUNNING
    return np.where(running & np.isfinite(values), values, np.inf)


def check_reported(
    function: str,
    metric: str,
    *,
    trainable: Trainable,
    space: Space,
    data: PyTree,
    validation: Batch,
    options: Mapping[str, Any],
) -> None:
    """Check that a metric is evaluated, before anything is compiled or trained.

    Raises:
      ValueError: if it is not.
    """
    batch = validation_batch(data, validation)
    with resolve_placement("auto", mesh=options.get("mesh")).tracing():
        check_metric(function, metric, trainable, one_of(space), batch)


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
    if metric in ROW:
        _checks.fail(method, "metric", f"none of {', '.join(ROW)}", metric)
    if both := sorted({metric, *ROW} & space.members().keys()):
        expected = f"without {both[0]!r}, which leaderboards say of every point besides"
        _checks.fail(method, "space", expected, list(space.members()))
    if validation is None:
        raise ValueError(f"{method}: validation data are needed, got None")
    if isinstance(trainable, Trainable):
        check_reported(
            method,
            metric,
            trainable=trainable,
            space=space,
            data=data,
            validation=validation,
            options=options,
        )
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
    return finish(sweep)
