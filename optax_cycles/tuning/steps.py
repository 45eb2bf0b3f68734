"""The steps of tuning, each of which leaves its evidence."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from optax_cycles.range_test import NoSuggestionError, RangeSuggestion, diagnose
from optax_cycles.range_test.parallel import parallel_range_test
from optax_cycles.range_test.parallel_result import ParallelTest
from optax_cycles.search.distributions import choice, log_uniform
from optax_cycles.search.sampling import sobol
from optax_cycles.sweep.loop import SweepError
from optax_cycles.sweep.result import SweepResult
from optax_cycles.sweep.space import log_space
from optax_cycles.tuning.budget import split
from optax_cycles.tuning.candidate import SCHEDULES, Candidate
from optax_cycles.tuning.family import DECAY, RATE
from optax_cycles.tuning.work import SIGNS, Scored, Work

MOMENTUM = 0.9
# Around what the range test found, before they are tried in earnest.
SPREAD = 6.0
FEWEST_RATES, MOST_RATES = 8, 64
EVALUATIONS = 20


def figures(value: float, digits: int = 3) -> float:
    """A number of few figures, as one would write it."""
    return float(f"{value:.{digits - 1}e}")


def probe(work: Work) -> None:
    """Find out how long an update takes, for a budget that is a time."""
    points = [_constant(work, rate) for rate in log_space(1e-5, 1e-4, 4)]
    for _ in range(2):  # the first is slower, which no other step will be
        work.train("timing", points, 1, length=min(work.steps, 20))


def batch_size(
    work: Work, updates: int, sizes: Sequence[int], low: float, high: float
) -> None:
    """Which batch size learns most from equally many examples; sets `work` to it.

    A size that does not fit into the memory is out.
    """
    step, whole, first = "batch size", work.steps, sizes[0]
    with work.learning(step) as found:
        each = work.short
        points = max(min(updates // (each * len(sizes)), MOST_RATES), FEWEST_RATES)
        tried: list[tuple[int, int, Scored | None]] = []
        for size in sizes:
            work.batch_size(size, first, whole)
            length = max(round(each * first / size), 1)
            candidates = [
                _constant(work, rate) for rate in log_space(low, high, points)
            ]
            try:
                ranked, _ = work.train(step, candidates, 1, length=length)
            except SweepError as error:
                if not isinstance(error.__cause__, MemoryError):
                    raise
                tried.append((size, length, None))
            else:
                tried.append((size, length, ranked[0]))
        rows = [_batch_row(work, *one) for one in tried]
        rows.sort(key=lambda row: _sortable(work, row["score"]))
        if rows[0]["score"] is None:
            rates = f"of {points} rates from {low:g} to {high:g}"
            raise NoSuggestionError(f"tune: at no batch size any rate trained, {rates}")
        best = int(rows[0]["batch_size"])
        work.batch_size(best, first, whole)
        found["rows"] = rows
        found["learned"] = (
            f"batches of {best} learn most from equally many examples: {work.steps} "
            f"updates of them instead of {whole} of {first}"
        )


def _constant(work: Work, rate: float) -> Candidate:
    momentum = None if work.family.momentum_name is None else (MOMENTUM, MOMENTUM)
    decay = 0.0 if work.family.has_decay else None
    return Candidate("constant", figures(rate), momentum, decay)


def _batch_row(
    work: Work, size: int, length: int, best: Scored | None
) -> dict[str, Any]:
    if best is None:
        return {
            "batch_size": size,
            "length": length,
            "score": None,
            "scores": [],
            "note": "does not fit into the memory",
        }
    return {"batch_size": size, **work.row(best, length)}


def _sortable(work: Work, score: float | None) -> float:
    return np.inf if score is None else SIGNS[work.mode] * score


def learning_rate(work: Work, updates: int, low: float, high: float) -> RangeSuggestion:
    """Which constant rates train at all, and which is best: a parallel range test.

    Raises:
      NoSuggestionError: if none does, with the test as its attribute `test`.
    """
    short = work.short
    points, seeds = split(updates, short, most=24, seeds=(1, 2, 3, 5))
    points = max(min(points, MOST_RATES), FEWEST_RATES)
    constants: dict[str, float] = {
        "schedule": SCHEDULES.index("constant"),
        "length": short,
    }
    if work.family.momentum_name is not None:
        constants |= {"low_momentum": MOMENTUM, "high_momentum": MOMENTUM}
    if work.family.has_decay:
        constants[DECAY] = 0.0
    step = "learning rate"
    with work.learning(step) as found, work.sweeping(step) as given:
        first = given.pop("first_seed")
        test = parallel_range_test(
            work.trainable,
            work.data,
            work.validation,
            over={RATE: [figures(rate) for rate in log_space(low, high, points)]},
            seeds=list(range(first, first + seeds)),
            steps=short,
            constants=constants,
            **given,
        )
        work.count(test.sweep)
        try:
            suggestion = test.suggest(metric=work.metric, mode=work.mode)
        except NoSuggestionError as refusal:
            refusal.add_note(f"tune: of {points} rates from {low:g} to {high:g}")
            refusal.test = test  # type: ignore[attr-defined]
            raise
        found["rows"] = _rate_rows(work, test)
        found["learned"] = (
            f"constant rates train best at {suggestion.best:.3g} and are as good up to "
            f"{suggestion.peak:.3g} ({points} rates, {seeds} seeds, {short} updates)"
        )
    return suggestion


def _rate_rows(work: Work, test: ParallelTest) -> list[dict[str, Any]]:
    losses = SIGNS[work.mode] * test.validation(work.metric)
    losses = np.where(test.diverged(), np.inf, losses)
    scored = [
        Scored(_constant(work, float(rate)), row)
        for rate, row in zip(test.values, losses, strict=True)
    ]
    scored.sort(key=lambda one: one.score)
    return [work.row(one, work.short) for one in scored]


def momentum_and_decay(
    work: Work,
    updates: int,
    rates: RangeSuggestion,
    momenta: Sequence[tuple[float, float] | None],
    decays: Sequence[float | None],
) -> list[Scored]:
    """Rate, momentum and decay together, because they regularise together.

    Points of a Sobol net over all three are trained with short 1cycle schedules, the
    best of them with whole ones, and others around the best of those.
    """
    step = "momentum and decay"
    with work.learning(step) as found:
        many = max(updates // 2 // work.short, 4)
        points = _net(work, many, rates, momenta, decays)
        tried, _ = work.train(step, points, 1, length=work.short)
        each = max(updates // 4 // work.steps, 2)
        whole, _ = work.train(step, [one.candidate for one in tried[:each]], 1)
        around = _neighbours(whole, each, momenta, decays)
        near, _ = work.train(step, around, 1)
        ranked = sorted([*whole, *near], key=lambda one: one.score)
        work.best = ranked[0].candidate
        found["rows"] = [
            *(work.row(one, work.steps) for one in ranked),
            *(work.row(one, work.short) for one in tried),
        ]
        found["learned"] = _learned(work, ranked, f"of {len(points)} settings")
    return ranked


def _net(
    work: Work,
    many: int,
    rates: RangeSuggestion,
    momenta: Sequence[tuple[float, float] | None],
    decays: Sequence[float | None],
) -> list[Candidate]:
    """Points around the suggested rate; with more momentum at lower rates."""
    net = sobol(
        {
            "factor": log_uniform(1 / SPREAD, SPREAD),
            "momentum": choice(range(len(momenta))),
            "decay": choice(range(len(decays))),
        },
        many,
    ).members()
    points = []
    for factor, m, d in zip(net["factor"], net["momentum"], net["decay"], strict=True):
        momentum, rate = momenta[int(m)], rates.best * factor
        if momentum is not None and work.family.scales_with_momentum:
            rate *= (1 - np.mean(momentum)) / (1 - MOMENTUM)
        points.append(
            Candidate("one_cycle", figures(float(rate)), momentum, decays[int(d)])
        )
    return list(dict.fromkeys(points))


def _neighbours(
    whole: Sequence[Scored],
    many: int,
    momenta: Sequence[tuple[float, float] | None],
    decays: Sequence[float | None],
) -> list[Candidate]:
    """New points around the best: rates a little off, the next momentum and decay."""
    known = {one.candidate for one in whole}
    found: list[Candidate] = []
    for factor, moved in itertools.product((1.0, 1.5, 0.67, 2.2, 0.45), (0, 1, -1)):
        for one in whole[:3]:
            at = one.candidate
            at = at._replace(learning_rate=figures(at.learning_rate * factor))
            for candidate in (
                at._replace(weight_decay=_next(decays, at.weight_decay, moved)),
                at._replace(momentum=_next(momenta, at.momentum, moved)),
            ):
                if candidate not in known:
                    known.add(candidate)
                    found.append(candidate)
    return found[:many]


def _next(values: Sequence[Any], value: Any, move: int) -> Any:
    place = min(max(list(values).index(value) + move, 0), len(values) - 1)
    return values[place]


def schedules(work: Work, updates: int, ranked: Sequence[Scored]) -> list[Scored]:
    """1cycle against the alternatives, each at several peaks, as one population."""
    step = "schedule"
    with work.learning(step) as found:
        at = ranked[0].candidate
        others = [name for name in SCHEDULES if name != at.schedule]
        count = max(updates // work.steps // len(others), 1)
        factors = {1: [1.0], 2: [0.5, 1.0], 3: [0.3, 0.6, 1.0]}.get(
            count, [0.2, 0.45, 1.0, 2.0]
        )
        points = [
            at._replace(schedule=name, learning_rate=figures(at.learning_rate * factor))
            for name in others
            for factor in factors
        ]
        tried, _ = work.train(step, points, max(count // len(factors), 1))
        pool = sorted([*ranked, *tried], key=lambda one: one.score)
        work.best = pool[0].candidate
        found["rows"] = [work.row(one, work.steps) for one in tried]
        found["learned"] = _learned(work, tried, f"of {len(others)} other schedules")
    return pool


def final(work: Work, pool: Sequence[Scored]) -> None:
    """The best few again with fresh seeds, which decide; and their diagnosis."""
    step = "final"
    trainings = max(work.budget.left // work.steps, 2)
    count = min(max(trainings // 5, 2), 6, len(pool))
    with work.learning(step) as found:
        horizons = {work.steps * part // EVALUATIONS for part in range(EVALUATIONS + 1)}
        ranked, sweep = work.train(
            step,
            [one.candidate for one in pool[:count]],
            max(trainings // count, 1),
            horizons=sorted(horizons),
        )
        best = ranked[0]
        work.best = best.candidate
        told = [work.told(score) for score in best.scores]
        work.scores = tuple(score for score in told if score is not None)
        place = [one.candidate for one in pool[:count]].index(best.candidate)
        work.diagnosis = _diagnosis(work, sweep, place)
        found["rows"] = [work.row(one, work.steps) for one in ranked]
        found["learned"] = _learned(work, ranked, f"of {count} finalists")
        found["curves"] = _curves(sweep, [one.candidate for one in pool[:count]])


def _learned(work: Work, ranked: Sequence[Scored], among: str) -> str:
    best = ranked[0]
    said = ", ".join(f"{n} {v}" for n, v in best.candidate.described().items())
    score = work.told(best.score)
    shown = "no finite" if score is None else f"{score:.4g}"
    return f"the best {among}: {said}; {work.metric} {shown}"


def _diagnosis(work: Work, sweep: SweepResult, place: int) -> dict[str, Any] | None:
    """What the winner's curves say; None where they say nothing."""
    if "loss" not in sweep.validation or len(sweep.horizons) < 2:
        return None
    keep = sweep.updates[place] == work.steps
    validation = sweep.validation["loss"][place][keep]
    if not len(validation) or not np.isfinite(validation).all():
        return None
    try:
        found = diagnose(sweep.horizons, validation)
    except (NoSuggestionError, ValueError) as refusal:
        return {"verdict": None, "reason": str(refusal), "advice": ""}
    return {
        "verdict": found.verdict,
        "reason": found.reason,
        "advice": found.advice,
    }


def _curves(sweep: SweepResult, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """The finalists' validation curves, `[finalists][seeds][evaluations]`."""

    def plain(values: np.ndarray) -> list[Any]:
        return [
            [[float(v) if np.isfinite(v) else None for v in row] for row in rows]
            for rows in values
        ]

    return {
        "updates": sweep.horizons.tolist(),
        "settings": [one.described() for one in candidates],
        "validation": {n: plain(values) for n, values in sweep.validation.items()},
    }
