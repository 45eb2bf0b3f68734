"""What the evidence of a recipe says in numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from optax_cycles.tuning.family import RATE
from optax_cycles.tuning.work import SIGNS

if TYPE_CHECKING:
    from optax_cycles.tuning.recipe import Evidence, Recipe

Row = Mapping[str, Any]
NOT_SETTINGS = ("length", "score", "scores", "note")
# Beyond this many standard errors a difference is more than luck.
ERRORS = 2.0


class Gap(NamedTuple):
    """By how much a setting is worse than another.

    Attributes:
      mean: how much worse, positive whether the metric is minimised or maximised.
      error: the standard error over the seeds that both have; None where there are
        fewer than two, or the two were trained with other seeds.
      seeds: how many they are.
    """

    mean: float
    error: float | None
    seeds: int

    @property
    def within_noise(self) -> bool:
        """Whether luck explains it."""
        return self.error is not None and abs(self.mean) <= ERRORS * self.error

    @property
    def verdict(self) -> str:
        """What it means, in words."""
        if self.error is None:
            return "one seed: nobody can say whether that is luck"
        if self.within_noise:
            return "within noise, either will do"
        # Ranks are of medians, which a seed that went wrong does not move.
        return "more than noise" if self.mean > 0 else "ahead by mean, not by median"


class Alternative(NamedTuple):
    """What was not chosen, or was.

    Attributes:
      name: what it is.
      row: the best that was tried of it.
      gap: how much that is worse than the best of all; None where it failed.
    """

    name: str
    row: Row
    gap: Gap | None


def finite_scores(row: Row) -> list[float]:
    """The scores of the seeds that did not fail."""
    return [float(s) for s in row.get("scores") or () if s is not None]


def gap(worse: Row, best: Row, mode: str, *, same_seeds: bool = True) -> Gap | None:
    """By how much a row is worse; the mean over the seeds that both have.

    Where the rows have other seeds, the difference of their medians. None where there
    is nothing to compare.
    """
    if worse.get("score") is None or best.get("score") is None:
        return None
    both = list(zip(worse.get("scores", ()), best.get("scores", ()), strict=False))
    pairs = [(a, b) for a, b in both if a is not None and b is not None]
    if not pairs or not same_seeds:
        return Gap(SIGNS[mode] * (worse["score"] - best["score"]), None, 1)
    differences = SIGNS[mode] * np.array([a - b for a, b in pairs])
    count = len(differences)
    error = None if count < 2 else float(differences.std(ddof=1) / math.sqrt(count))
    return Gap(float(differences.mean()), error, count)


def settings_of(row: Row) -> dict[str, Any]:
    """A row without what came of it."""
    return {name: v for name, v in row.items() if name not in NOT_SETTINGS}


def evidence_of(recipe: Recipe, name: str) -> Evidence | None:
    """The evidence of a step; None where it has none."""
    return next((one for one in recipe.evidence if one.name == name), None)


def by_length(rows: Sequence[Row]) -> dict[int, list[Row]]:
    """Rows of trainings of one length, which can be compared; the longest first."""
    lengths = sorted({int(row.get("length", 0)) for row in rows}, reverse=True)
    return {
        length: [row for row in rows if int(row.get("length", 0)) == length]
        for length in lengths
    }


def ranked(rows: Sequence[Row], mode: str) -> list[Row]:
    """The best first, failures last."""

    def order(row: Row) -> float:
        score = row.get("score")
        return math.inf if score is None else SIGNS[mode] * score

    return sorted(rows, key=order)


def survey(rows: Sequence[Row]) -> list[Row]:
    """The rows of the length of which there are the most."""
    return max(by_length(rows).values(), key=len, default=[])


def alternatives(rows: Sequence[Row], name: str, mode: str) -> list[Alternative]:
    """The best row of each value of a hyperparameter, the best value first."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        if name in row:
            groups.setdefault(hashable(row[name]), []).append(row)
    best_rows = {value: ranked(group, mode)[0] for value, group in groups.items()}
    if not best_rows:
        return []
    best = ranked(list(best_rows.values()), mode)[0]
    found = [
        Alternative(text(value), row, gap(row, best, mode))
        for value, row in best_rows.items()
    ]
    return sorted(found, key=lambda one: math.inf if one.gap is None else one.gap.mean)


def other_rates(
    rows: Sequence[Row], mode: str, factors: Sequence[float]
) -> list[Alternative]:
    """What rates far from the best would have scored: the nearest that were tried."""
    best = ranked(rows, mode)[0]
    found: dict[float, Alternative] = {}
    for factor in factors:
        wanted = math.log(best[RATE] * factor)
        near = min(rows, key=lambda row: abs(math.log(row[RATE]) - wanted))
        off = abs(math.log(near[RATE]) - wanted)
        if near is not best and off < 0.5 * abs(math.log(factor)):
            name = text(near[RATE])
            found[near[RATE]] = Alternative(name, near, gap(near, best, mode))
    return [found[rate] for rate in sorted(found)]


def hashable(value: Any) -> Any:
    """A value of a row as the key of a dict."""
    return tuple(value) if isinstance(value, list) else value


def seeds_of(rows: Sequence[Row]) -> int:
    """How many seeds a setting was trained with."""
    return max((len(row.get("scores") or ()) for row in rows), default=0)


def seed_noise(rows: Sequence[Row], mode: str) -> float | None:
    """The usual standard deviation over seeds of one setting, of the better quarter."""
    best = ranked(rows, mode)
    better = [finite_scores(row) for row in best[: (len(best) + 3) // 4]]
    deviations = [np.std(scores, ddof=1) for scores in better if len(scores) > 1]
    return float(np.median(deviations)) if deviations else None


def text(value: Any) -> str:
    """A value of a row as one would write it."""
    if value is None:
        return "failed"
    if isinstance(value, list | tuple):
        return " to ".join(map(text, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def duration(seconds: float) -> str:
    """A time in the unit that one would name it in."""
    if seconds < 90:
        return f"{seconds:.3g} s"
    if seconds < 5400:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"


def comparison_rows(recipe: Recipe, step: Evidence) -> list[Row]:
    """Rows of a step, with the best of equally long trainings from the step before.

    The alternatives to a schedule were tried at the setting that was the best until
    then, which is no row of their own step.
    """
    before = recipe.evidence[: recipe.evidence.index(step)]
    own = {row.get("schedule") for row in step.rows}
    lengths = {row.get("length") for row in step.rows}
    earlier = [
        row
        for one in before
        for row in one.rows
        if row.get("length") in lengths and row.get("schedule") not in own
    ]
    return [*step.rows, *ranked(earlier, recipe.mode)[:1]]
