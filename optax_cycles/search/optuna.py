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
from optax_cycles.sweep.interrupts import held_back
from optax_cycles.sweep.judge import Standing, Verdict
from optax_cycles.sweep.loop import Interrupted, SweepError
from optax_cycles.sweep.members import Status
from optax_cycles.sweep.space import Axis, Space
from optax_cycles.sweep.trainable import Trainable

if TYPE_CHECKING:
    import optuna as library

SPACE, UPDATES = "optax_cycles.space", "updates"


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
      mode: whether its `"min"` or its `"max"` is best: the study's direction.
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

    left = max(trials - trained_trials(study), 0)
    parts = Parts(options.pop("progress", None), -(-left // batch))
    exhausted = False
    try:
        while not exhausted and (missing := trials - trained_trials(study)) > 0:
            asked = [
                study.ask(_asked(module, known)) for _ in range(min(batch, missing))
            ]
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
                with held_back():
                    _tell(module, study, asked, stop.result)
                found.append(stop.result.sweep)
                stop.result = result()
                raise
            except BaseException:
                for trial in asked:
                    _cut_off(module, study, trial.number)
                raise
            # Held back: a study that is told of half a batch would ask for another one.
            with held_back():
                exhausted = _tell(module, study, asked, one)
                found.append(one.sweep)
    except Interrupted:
        raise
    except KeyboardInterrupt:
        if not found:
            raise
        # All batches so far are complete, the search is not.
        so_far = dataclasses.replace(joined(found), complete=False)
        raise Interrupted(SearchResult(name, so_far, metric, mode)) from None
    if not found:
        expected = f"more than the {trained_trials(study)} that the study has"
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
        _cut_off(module, study, trial.number)


def trained_trials(study: library.Study) -> int:
    """How many trials have come to an end of their own."""
    states = require("optuna", "optuna", "optuna").trial.TrialState
    ended = (states.COMPLETE, states.PRUNED, states.FAIL)
    return sum(
        trial.state != states.FAIL or UPDATES in trial.user_attrs
        for trial in study.get_trials(deepcopy=False, states=ended)
    )


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
) -> bool:
    """Tell a study what became of its trials; whether its sampler has nothing left."""
    states, sweep = module.trial.TrialState, found.sweep
    status, updates = sweep.status.reshape(-1), sweep.updates.reshape(-1)
    exhausted = False
    for member, trial in enumerate(asked):
        score, made = found.scores[member], int(updates[member])
        begun = status[member] == Status.RUNNING and not np.isfinite(score)
        if begun and not sweep.complete:
            _cut_off(module, study, trial.number)
            continue
        trial.set_user_attr(UPDATES, made)
        if np.isfinite(score):
            value = SIGNS[found.mode] * float(score)
            trial.report(value, made)
            for name, values in sweep.validation.items():
                if name != found.metric:
                    trial.set_user_attr(name, float(values[member, -1]))
            exhausted |= _told(study, trial.number, values=value)
        elif status[member] == Status.DROPPED:
            exhausted |= _told(study, trial.number, state=states.PRUNED)
        else:
            exhausted |= _told(study, trial.number, state=states.FAIL)
    return exhausted


def _told(study: library.Study, number: int, **outcome: Any) -> bool:
    """Tell the outcome of one trial; whether its sampler has nothing left."""
    try:
        study.tell(number, **outcome)
    except RuntimeError as error:
        # The trial is told; but only `Study.optimize` can be stopped.
        if "Study.stop" not in str(error):
            raise
        return True
    return False


def _cut_off(module: Any, study: library.Study, number: int) -> None:
    """Fail a trial that was stopped from outside; its point is asked for again."""
    states = module.trial.TrialState
    _told(study, number, state=states.FAIL)
    trial = study.get_trials(deepcopy=False)[number]
    study.add_trial(
        module.create_trial(
            state=states.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            # As Optuna's own retries have it, so that it names the trial of a retry.
            system_attrs={**trial.system_attrs, "failed_trial": number},
        )
    )
