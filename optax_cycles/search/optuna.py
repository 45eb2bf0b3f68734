"""Optuna's samplers and storage, driving whole populations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._extras import require
from optax_cycles._typing import Batch, Key, PyTree
from optax_cycles.search.common import Parts, scores_of, searched
from optax_cycles.search.distributions import (
    Choice,
    Distribution,
    Uniform,
    check_distributions,
)
from optax_cycles.search.joined import joined
from optax_cycles.search.result import SIGNS, SearchResult
from optax_cycles.sweep.judge import Standing, Verdict
from optax_cycles.sweep.loop import Interrupted, SweepError
from optax_cycles.sweep.members import Status
from optax_cycles.sweep.space import Axis, Space
from optax_cycles.sweep.trainable import Trainable

if TYPE_CHECKING:
    import optuna as library

SPACE = "optax_cycles.space"


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
    mode: str = "min",
    horizons: Sequence[int] | None = None,
    **options: Any,
) -> SearchResult:
    """Train batches of points that a sampler of Optuna asks for.

    Each batch is one population of the one compiled program; what it reached is told to
    the study before the next batch is asked for. At the horizons before the last update
    members are reported, and stopped where the study's pruner says so. Members that
    diverge are failed trials. A study that is kept in a storage goes on where it was
    stopped: trials that were running then are marked as failed, and as many more are
    trained as are missing. Needs the extra `optuna`.

    Args:
      trainable: what to train; see `oc.trainable`.
      space: dict from hyperparameter to distribution.
      data: as for `oc.sweep.run`.
      steps: updates of each trial.
      key: the key of all randomness in training; all trials share it.
      validation: one batch to compare on.
      trials: how many the study is to have in the end.
      batch: how many are asked for, and trained, at a time.
      study: any study of one objective, with its sampler, pruner and storage
        (`optuna.create_study(storage="sqlite:///study.db", load_if_exists=True, ...)`);
        by default a new one in memory, with a seeded TPE sampler that prunes nothing.
      metric: the validation metric to compare.
      mode: whether its `"min"` or its `"max"` is best: the study's direction.
      horizons: numbers of updates after which to report; by default only the last.
      **options: further arguments of `oc.sweep.run`; no `checkpoint`, which the storage
        is.

    Returns:
      A `SearchResult` of the trials of this call.

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
    _checks.choice(name, "mode", mode, SIGNS)
    if "checkpoint" in options:
        raise TypeError(
            f"{name}: checkpoint can't be given, the study's storage is one"
        )
    if study is None:
        study = _new_study(module, mode)
    _check_study(module, study, known, mode)
    verdicts = sorted({int(step) for step in horizons or ()} - {steps})
    found: list[Any] = []

    def result() -> SearchResult:
        return SearchResult(name, joined(found), metric, mode)

    left = max(trials - len(study.get_trials(deepcopy=False)), 0)
    parts = Parts(options.pop("progress", None), -(-left // batch))
    while (missing := trials - len(study.get_trials(deepcopy=False))) > 0:
        asked = [study.ask(_asked(module, known)) for _ in range(min(batch, missing))]
        judge = Pruning(asked, verdicts, metric, mode) if verdicts else None
        try:
            one = searched(
                name,
                trainable,
                _points(known, asked),
                data,
                steps,
                judge=judge,
                key=key,
                validation=validation,
                metric=metric,
                mode=mode,
                horizons=verdicts,
                options={**options, "progress": parts.next()},
            )
        except (Interrupted, SweepError) as stop:
            _tell(module, study, asked, stop.result)
            found.append(stop.result.sweep)
            stop.result = result()
            raise
        except BaseException:
            _fail(module, study, asked)
            raise
        _tell(module, study, asked, one)
        found.append(one.sweep)
    if not found:
        expected = f"more than the {trials} that the study has"
        _checks.fail(name, "trials", expected, trials)
    return result()


def _new_study(module: Any, mode: str) -> library.Study:
    sampler = module.samplers.TPESampler(seed=0, constant_liar=True)
    direction = {"min": "minimize", "max": "maximize"}[mode]
    study: library.Study = module.create_study(
        sampler=sampler, pruner=module.pruners.NopPruner(), direction=direction
    )
    return study


def _check_study(
    module: Any, study: library.Study, space: Mapping[str, Distribution], mode: str
) -> None:
    """Raise where a study is of something else; fail what was running when it stopped.

    Raises:
      TypeError: if it is no study.
      ValueError: if its space or its direction is another.
    """
    if not isinstance(study, module.Study):
        _checks.fail_type("optuna", "study", "an optuna.Study", study)
    wanted = [{"min": "MINIMIZE", "max": "MAXIMIZE"}[mode]]
    directions = [direction.name for direction in study.directions]
    if directions != wanted:
        _checks.fail("optuna", "study", f"of the directions {wanted}", directions)
    now = str(dict(sorted(space.items())))
    before = study.user_attrs.get(SPACE, now)
    if before != now:
        _checks.fail("optuna", "study", f"of the space {now}", before)
    study.set_user_attr(SPACE, now)
    running = (module.trial.TrialState.RUNNING,)
    for trial in study.get_trials(deepcopy=False, states=running):
        study.tell(trial.number, state=module.trial.TrialState.FAIL)


def _asked(module: Any, space: Mapping[str, Distribution]) -> dict[str, Any]:
    """The space in Optuna's distributions."""
    kinds = module.distributions

    def of(one: Distribution) -> Any:
        if isinstance(one, Choice):
            return kinds.CategoricalDistribution(one.values)
        kind = (
            kinds.FloatDistribution
            if isinstance(one, Uniform)
            else kinds.IntDistribution
        )
        return kind(one.low, one.high, log=one.log)

    return {name: of(one) for name, one in space.items()}


def _points(space: Mapping[str, Distribution], asked: Sequence[library.Trial]) -> Space:
    """The trials' points."""
    values = {name: np.array([trial.params[name] for trial in asked]) for name in space}
    return Space((Axis("point", values),))


def _tell(
    module: Any,
    study: library.Study,
    asked: Sequence[library.Trial],
    found: SearchResult,
) -> None:
    """Tell a study what became of its trials."""
    states = module.trial.TrialState
    sweep = found.sweep
    for trial, score, status in zip(
        asked, found.scores, sweep.status.reshape(-1), strict=True
    ):
        if np.isfinite(score):
            study.tell(trial, SIGNS[found.mode] * float(score))
        elif status == Status.DROPPED:
            study.tell(trial, state=states.PRUNED)
        else:
            study.tell(trial, state=states.FAIL)


def _fail(module: Any, study: library.Study, asked: Sequence[library.Trial]) -> None:
    for trial in asked:
        study.tell(trial, state=module.trial.TrialState.FAIL)
