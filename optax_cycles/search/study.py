"""A study of Optuna: what it may be of, what it is asked, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._extras import require
from optax_cycles.search.distributions import Choice, Distribution, Uniform
from optax_cycles.search.result import SIGNS, SearchResult
from optax_cycles.sweep.members import Status
from optax_cycles.sweep.space import Axis, Space

if TYPE_CHECKING:
    import optuna as library

SPACE, UPDATES = "optax_cycles.space", "updates"


def new_study(module: Any, mode: str) -> library.Study:
    """One in memory, with a seeded TPE sampler that prunes nothing."""
    sampler = module.samplers.TPESampler(seed=0, constant_liar=True)
    direction = {"min": "minimize", "max": "maximize"}[mode]
    study: library.Study = module.create_study(
        sampler=sampler, pruner=module.pruners.NopPruner(), direction=direction
    )
    return study


def check_study(
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
        cut_off(module, study, trial.number)


def trained_trials(study: library.Study) -> int:
    """How many trials have come to an end of their own."""
    states = require("optuna", "optuna", "optuna").trial.TrialState
    ended = (states.COMPLETE, states.PRUNED, states.FAIL)
    return sum(
        trial.state != states.FAIL or UPDATES in trial.user_attrs
        for trial in study.get_trials(deepcopy=False, states=ended)
    )


def distributions_of(module: Any, space: Mapping[str, Distribution]) -> dict[str, Any]:
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


def points_of(
    space: Mapping[str, Distribution], asked: Sequence[library.Trial]
) -> Space:
    """The trials' points."""
    values = {name: np.array([trial.params[name] for trial in asked]) for name in space}
    return Space((Axis("point", values),))


def tell(
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
            cut_off(module, study, trial.number)
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


def cut_off(module: Any, study: library.Study, number: int) -> None:
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
