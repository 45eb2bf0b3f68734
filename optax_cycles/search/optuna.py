"""Optuna's samplers and storage, driving whole populations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._extras import require
from optax_cycles._typing import Batch, Key, PyTree
from optax_cycles.search.common import Parts, scores_of, searched
from optax_cycles.search.distributions import Distribution, check_distributions
from optax_cycles.search.joined import joined
from optax_cycles.search.result import SIGNS, SearchResult
from optax_cycles.search.study import (
    check_study,
    cut_off,
    distributions_of,
    new_study,
    points_of,
    tell,
    trained_trials,
)
from optax_cycles.sweep.interrupts import held_back
from optax_cycles.sweep.judge import Standing, Verdict
from optax_cycles.sweep.loop import Interrupted, SweepError
from optax_cycles.sweep.members import Status
from optax_cycles.sweep.result import SweepResult, mode_of
from optax_cycles.sweep.trainable import Trainable

if TYPE_CHECKING:
    import optuna as library


@dataclasses.dataclass(frozen=True, eq=False)
class Pruning:
    """Asks the study's pruner who goes on.

    Attributes:
      trials: Optuna's trials, one a member.
      steps: after how many updates.
      metric: the validation metric that is reported.
      mode: whether its `"min"` or its `"max"` is best.
    """

    trials: Sequence[library.Trial]
    steps: Sequence[int]
    metric: str
    mode: str

    @property
    def setting(self) -> str:
        """Which trials, by what."""
        numbers = [trial.number for trial in self.trials]
        return f"trials {numbers} by {self.mode} {self.metric}"

    def __call__(self, standing: Standing) -> Verdict:
        """Report to the study, and drop whom its pruner drops."""
        scores = scores_of("optuna", standing, self.metric, self.mode)
        parents = np.arange(len(scores))
        for member in np.flatnonzero(np.isfinite(scores)):
            trial = self.trials[int(member)]
            trial.report(SIGNS[self.mode] * float(scores[member]), standing.step)
            if trial.should_prune():
                parents[member] = -1
        parents[standing.status == Status.DROPPED] = -1
        return Verdict(parents)


def optuna(
    trainable: Trainable,
    space: Mapping[str, Distribution],
    data: PyTree,
    steps: int,
    *,
    key: Key,
    validation: Batch,
    trials: int = 64,
    batch: int = 16,
    study: library.Study | None = None,
    metric: str = "loss",
    mode: str | None = None,
    horizons: Sequence[int] | None = None,
    **options: Any,
) -> SearchResult:
    """Train batches of points that a sampler of Optuna asks for.

    Each batch is one population of the one compiled program; what it reached is told to
    the study before the next batch is asked for. At the horizons before the last update
    members are reported, and stopped where the study's pruner says so. Members that
    diverge are failed trials. Each trial's user attributes have its `updates` and its
    other validation metrics. A study that is kept in a storage goes on where it was
    stopped: trials that were running then are marked as failed, their points come
    again, and as many trials are trained as are missing. A sampler that has nothing
    left, such as an exhausted grid, ends the search. Needs the extra `optuna`.

    Args:
      trainable: what to train; see `oc.trainable`.
      space: dict from hyperparameter to distribution.
      data: as for `oc.sweep.run`.
      steps: updates of each trial.
      key: the key of all randomness in training; all trials share it.
      validation: one batch to compare on.
      trials: how many trained ones the study is to have in the end: those that are
        waiting, or were stopped from outside, don't count.
      batch: how many are asked for, and trained, at a time.
      study: any study of one objective, with its sampler, pruner and storage
        (`optuna.create_study(storage="sqlite:///study.db", load_if_exists=True, ...)`);
        by default a new one in memory, with a seeded TPE sampler that prunes nothing.
      metric: the validation metric to compare.
      mode: whether its `"min"` or its `"max"` is best: the study's direction; needed
        but for `"loss"`.
      horizons: numbers of updates after which to report; by default only the last.
      **options: further arguments of `oc.sweep.run`; no `checkpoint`, which the storage
        is.

    Returns:
      A `SearchResult` of the trials of this call, one after another.

    Raises:
      TypeError, ValueError: for arguments that make no sense, a study of another space
        or direction, or a metric that is not reported.
      Interrupted, SweepError: as `oc.sweep.run`; the study keeps what it was told.

    T. Akiba et al., "Optuna: a next-generation hyperparameter optimization framework"
    (2019).
    """
    name = "optuna"
    module = require("optuna", "optuna", name)
    known = check_distributions(name, space)
    _checks.integer(name, "trials", trials, minimum=1)
    _checks.integer(name, "batch", batch, minimum=1)
    mode = mode_of(name, metric, mode)
    if "checkpoint" in options:
        raise TypeError(
            f"{name}: checkpoint can't be given, the study's storage is one"
        )
    if study is None:
        study = new_study(module, mode)
    check_study(module, study, known, mode)
    verdicts = sorted({int(step) for step in horizons or ()} - {steps})
    found: list[SweepResult] = []
    left = max(trials - trained_trials(study), 0)
    parts = Parts(options.pop("progress", None), -(-left // batch))

    def search(asked: Sequence[library.Trial]) -> SearchResult:
        return searched(
            name,
            trainable,
            points_of(known, asked),
            data,
            steps,
            judge=Pruning(asked, verdicts, metric, mode) if verdicts else None,
            key=key,
            validation=validation,
            metric=metric,
            mode=mode,
            horizons=verdicts,
            options={**options, "progress": parts.next()},
        )

    def result(**changes: Any) -> SearchResult:
        sweep = dataclasses.replace(joined(found), **changes)
        return SearchResult(name, sweep, metric, mode)

    try:
        exhausted = False
        while not exhausted and (missing := trials - trained_trials(study)) > 0:
            wanted = distributions_of(module, known)
            asked = [study.ask(wanted) for _ in range(min(batch, missing))]
            exhausted = _train(module, study, asked, search, found)
    except (Interrupted, SweepError) as stop:
        stop.result = result()
        raise
    except KeyboardInterrupt:
        if not found:
            raise
        # All batches so far are complete, the search is not.
        raise Interrupted(result(complete=False)) from None
    if not found:
        expected = f"more than the {trained_trials(study)} that the study has"
        _checks.fail(name, "trials", expected, trials)
    return result()


def _train(
    module: Any,
    study: library.Study,
    asked: Sequence[library.Trial],
    search: Callable[[Sequence[library.Trial]], SearchResult],
    found: list[SweepResult],
) -> bool:
    """Train a batch, into `found`, and tell the study; whether nothing is left to ask.

    What it is told is held back from Ctrl-C: a study that is told of half a batch would
    ask for another one.
    """
    try:
        trained = search(asked)
    except (Interrupted, SweepError) as stop:
        with held_back():
            tell(module, study, asked, stop.result)
            found.append(stop.result.sweep)
        raise
    except BaseException:
        for trial in asked:
            cut_off(module, study, trial.number)
        raise
    with held_back():
        exhausted = tell(module, study, asked, trained)
        found.append(trained.sweep)
    return exhausted
