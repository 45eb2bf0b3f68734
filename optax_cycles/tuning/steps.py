"""The steps of tuning, each of which leaves its evidence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from optax_cycles.range_test import (
    NoSuggestionError,
    RangeSuggestion,
    diagnose,
    parallel_best,
)
from optax_cycles.sweep.loop import SweepError
from optax_cycles.sweep.result import SweepResult
from optax_cycles.sweep.space import log_space
from optax_cycles.sweep.training import FEWEST_ORDERS
from optax_cycles.tuning.budget import MOST_MEMBERS, population
from optax_cycles.tuning.candidate import SCHEDULES, Candidate
from optax_cycles.tuning.points import MOMENTUM, factors, figures, neighbours, net
from optax_cycles.tuning.surface import CONSIDERED, Surface
from optax_cycles.tuning.work import SIGNS, TIMING, Scored, Work

# The whole trainings of the steps so far, those of one sweep together.
Sweeps = Sequence[Sequence[Scored]]

FEWEST_RATES, MANY_RATES = 8, 24
EVALUATIONS = 20
# A share of the time that is long enough to go by; tries to get there, each four times
# as long as that before.
TIMED, PROBES = 0.02, 7
# Of what is for momentum and decay: short trainings, and whole ones of their best. The
# rest is for their neighbours, several times; so many are chosen from for one of them.
SHORT, WHOLE = 0.22, 0.25
ROUNDS, DRAWN = 2, 20


def probe(work: Work) -> None:
    """Find out how long an update takes, for a budget that is a time.

    More and more of them, until they take long enough to be timed.
    """
    members, length = work.group, min(work.steps, 20)
    for attempt in range(PROBES):  # the first is slower, which no other will be
        points = [constant(work, rate) for rate in log_space(1e-5, 1e-4, members)]
        began = work.budget.seconds
        work.train(TIMING, points, 1, length=length)
        work.sweeps = 0  # how many there are of these is not the same twice
        took = work.budget.share_of_time(work.budget.seconds - began)
        if attempt and took > TIMED:
            break
        if attempt and length < work.short:
            length = min(4 * length, work.short)
        elif attempt:
            members *= 4


def batch_size(
    work: Work, updates: int, sizes: Sequence[int], low: float, high: float
) -> None:
    """Which batch size learns most from equally many examples; sets `work` to it.

    A size that does not fit into the memory is out.
    """
    step, whole, first = "batch size", work.steps, sizes[0]
    with work.learning(step) as found:
        each = work.short
        trainings = max(updates / each / len(sizes), FEWEST_RATES)
        points, _ = population(trainings, work.group, most=1)
        tried: list[tuple[int, int, Scored | None]] = []
        for size in sizes:
            work.batch_size(size, first, whole)
            length = max(round(each * first / size), 1)
            spaced = log_space(low, high, points).tolist()
            candidates = [constant(work, rate) for rate in _shuffled(spaced)]
            try:
                ranked, _ = work.train(
                    step, candidates, 1, length=length, fewest=FEWEST_RATES
                )
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
            said = f"tune: at no batch size any rate trained, {rates}"
            refusal = NoSuggestionError(said)
            refusal.rows = rows
            raise refusal
        best = int(rows[0]["batch_size"])
        work.batch_size(best, first, whole)
        found["rows"] = rows
        found["learned"] = (
            f"batches of {best} learn most from equally many examples: {work.steps} "
            f"updates of them instead of {whole} of {first}"
        )


def constant(work: Work, rate: float) -> Candidate:
    """A constant rate, the usual momentum, and no decay."""
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
      NoSuggestionError: if none does; its `rows` are what was tried.
    """
    step, short = "learning rate", work.short
    with work.learning(step) as found:
        points, seeds = population(
            max(updates / short, FEWEST_RATES),
            work.group,
            most=MANY_RATES,
            seeds=(1, 2, 3, 4, 6),
        )
        # Many rates in a narrow range may be the same in three figures.
        rates = list(dict.fromkeys(map(figures, log_space(low, high, points))))
        # In no order: where there is no time for all, what there is covers the range.
        candidates = [constant(work, float(r)) for r in _shuffled(rates)]
        scored, sweep = work.train(
            step,
            candidates,
            seeds,
            length=short,
            horizons=[0, short],
            fewest=FEWEST_RATES,
        )
        found["rows"] = [work.row(one, short) for one in scored]
        known = sorted(scored, key=lambda one: one.candidate.learning_rate)
        rates = [one.candidate.learning_rate for one in known]
        untrained = SIGNS[work.mode] * sweep.validation[work.metric][..., 0]
        # Without a loss to begin with, every finite one is a gain. What it is varies
        # from seed to seed more than what training leaves of it.
        untrained = np.median(np.where(np.isnan(untrained), np.inf, untrained))
        try:
            suggestion = parallel_best(
                rates, [one.scores for one in known], untrained=untrained
            )
        except NoSuggestionError as refusal:
            raise _refused(work, refusal, known, (low, high)) from None
        many = "1 seed" if seeds == 1 else f"{seeds} seeds"
        found["learned"] = (
            f"constant rates train best at {suggestion.best:.3g} and are as good up to "
            f"{suggestion.peak:.3g} ({len(rates)} rates, {many}, {short} updates)"
        )
    work.best = constant(work, suggestion.best)
    return suggestion


def _shuffled(rates: Sequence[float]) -> list[float]:
    """Rates in an order that is always the same."""
    return [rates[i] for i in np.random.default_rng(0).permutation(len(rates))]


def _refused(
    work: Work,
    refusal: NoSuggestionError,
    known: Sequence[Scored],
    ends: tuple[float, float],
) -> NoSuggestionError:
    """A refusal in the words of `tune`, with all that was tried."""
    tried = f"of {len(known)} learning rates from {ends[0]:g} to {ends[1]:g}"
    if not any(np.isfinite(one.scores).any() for one in known):
        why = (
            f"the {work.metric} is finite at none: look at the data and the loss, or "
            "lower the first of rates="
        )
    else:
        why = f"{str(refusal).split(': ', 1)[-1]} (rates=)"
    said = NoSuggestionError(f"tune: {tried} none can be suggested: {why}")
    scored = sorted(known, key=lambda one: one.score)
    said.rows = [work.row(one, work.short) for one in scored]
    return said


def momentum_and_decay(
    work: Work,
    updates: int,
    rates: RangeSuggestion,
    momenta: Sequence[tuple[float, float] | None],
    decays: Sequence[float | None],
) -> Sweeps:
    """Rate, momentum and decay together, because they regularise together.

    Points of a Sobol net over all three are trained with short 1cycle schedules, the
    best of them with whole ones, and then those around the best that a surface through
    their scores expects most of.
    """
    step = "momentum and decay"
    with work.learning(step) as found:
        trainings = updates / work.steps
        many, _ = population(SHORT * updates / work.short, work.group, most=1)
        each, _ = population(WHOLE * trainings, work.group, most=1)
        left = (1 - SHORT - WHOLE) * trainings / ROUNDS
        others, _ = population(left, work.group, most=1)
        points = net(work.family, max(many, each), rates.best, momenta, decays)
        tried, _ = work.train(step, points, 1, length=work.short, fewest=2)
        surface = Surface(work.family, [tried])
        promising = surface.worth_trying([one.candidate for one in tried], each)
        sweeps = [work.train(step, promising, 1, fewest=2)[0]]
        best, surface = _surveyed(work, found, sweeps, tried)
        for _ in range(ROUNDS):
            drawn = neighbours(
                best, max(others, min(DRAWN * others, CONSIDERED)), momenta, decays
            )
            chosen = surface.worth_trying(drawn, others)
            sweeps.append(work.train(step, chosen, 1)[0])
            best, surface = _surveyed(work, found, sweeps, tried)
    return sweeps


def _surveyed(
    work: Work, found: dict[str, Any], sweeps: Sweeps, tried: Sequence[Scored]
) -> tuple[list[Candidate], Surface]:
    """Put what is known by now into the evidence; the settings, the best first."""
    surface = Surface(work.family, sweeps)
    ranked = _ranked(surface, sweeps)
    work.best = ranked[0].candidate
    whole = sorted(itertools.chain(*sweeps), key=lambda one: one.score)
    found["rows"] = [
        *(work.row(one, work.steps) for one in whole),
        *(work.row(one, work.short) for one in tried),
    ]
    found["learned"] = (
        f"of {len(tried)} settings for a short and {len(whole)} for the whole length "
        f"{_written(work, whole[0])} came out best; a surface through all scores "
        f"expects most of {_written(work, ranked[0])}"
    )
    return [one.candidate for one in ranked], surface


def _ranked(surface: Surface, sweeps: Sweeps) -> list[Scored]:
    """All settings, each with all its scores, by the surface's mean; failures last."""
    pooled = {one.candidate: one for one in _pooled(itertools.chain(*sweeps))}
    order = surface.sorted(list(pooled))
    ranked = [pooled[candidate] for candidate in order]
    return sorted(ranked, key=lambda one: not np.isfinite(one.score))


def schedules(work: Work, updates: int, sweeps: Sweeps) -> Sweeps:
    """All schedules, each at several peaks, as one population."""
    step = "schedule"
    with work.learning(step) as found:
        at = _ranked(Surface(work.family, sweeps), sweeps)[0].candidate
        unit = work.group // math.gcd(work.group, len(SCHEDULES))
        peaks = updates / work.steps / len(SCHEDULES)
        most = MOST_MEMBERS // len(SCHEDULES) // unit
        multiples = factors(unit * min(max(round(peaks / unit), 1), most))
        points = [
            at._replace(schedule=name, learning_rate=figures(at.learning_rate * factor))
            for factor in multiples
            for name in SCHEDULES
        ]
        tried, _ = work.train(step, points, 1, fewest=len(SCHEDULES))
        sweeps = [*sweeps, tried]
        work.best = _ranked(Surface(work.family, sweeps), sweeps)[0].candidate
        found["rows"] = [work.row(one, work.steps) for one in tried]
        found["learned"] = _learned(work, tried, f"of {len(SCHEDULES)} schedules")
    return sweeps


def _pooled(scored: Iterable[Scored]) -> list[Scored]:
    """The candidates, each with all the scores that it has had, best first."""
    scores: dict[Candidate, list[np.ndarray]] = {}
    for one in scored:
        scores.setdefault(one.candidate, []).append(one.scores)
    pooled = [Scored(one, np.concatenate(each)) for one, each in scores.items()]
    return sorted(pooled, key=lambda one: one.score)


def final(work: Work, updates: int, sweeps: Sweeps) -> None:
    """The best few again with fresh seeds, which decide; and their diagnosis."""
    step = "final"
    members, _ = population(updates / work.steps, work.group, most=1)
    surface = Surface(work.family, sweeps)
    ranked = _ranked(surface, sweeps)
    alive = [one for one in ranked if np.isfinite(one.score)]
    pool = [one.candidate for one in alive or ranked]
    count = _finalists(members, len(pool))
    seeds = members // count
    if work.budget.in_seconds:
        # More would need another program, and no clock stops a compiler.
        seeds = min(seeds, FEWEST_ORDERS)
    finalists = surface.worth_trying(pool, count)
    with work.learning(step) as found:
        horizons = {work.steps * part // EVALUATIONS for part in range(EVALUATIONS + 1)}
        ranked, sweep = work.train(
            step,
            finalists,
            seeds,
            horizons=sorted(horizons),
        )
        best = ranked[0]
        work.best = best.candidate
        told = [work.told(score) for score in best.scores]
        work.scores = tuple(score for score in told if score is not None)
        work.diagnosis = _diagnosis(work, sweep, finalists.index(best.candidate))
        found["rows"] = [work.row(one, work.steps) for one in ranked]
        found["learned"] = _learned(work, ranked, f"of {len(ranked)} finalists")
        if len(ranked) < count:
            found["learned"] += f"; there was no time for {count - len(ranked)} more"
        trained = [finalists.index(one.candidate) for one in ranked]
        found["curves"] = _curves(sweep, finalists, sorted(trained))


def _finalists(members: int, known: int) -> int:
    """How many of the best share out the last trainings: 2 to 6, for 5 seeds each.

    Their number divides that of the trainings; few trainings leave fewer seeds.
    """
    most = min(6, known, members)
    counts = [n for n in range(2, most + 1) if members % n == 0]
    enough = [count for count in counts if members // count >= 5]
    return max(enough, default=min(counts, default=1))


def _learned(work: Work, ranked: Sequence[Scored], among: str) -> str:
    return f"the best {among}: {_written(work, ranked[0])}"


def _written(work: Work, one: Scored) -> str:
    """A setting and its score."""
    said = ", ".join(f"{n} {v}" for n, v in one.candidate.described().items())
    score = work.told(one.score)
    shown = "no finite one" if score is None else f"{score:.4g}"
    return f"{said} ({work.metric} {shown})"


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


def _curves(
    sweep: SweepResult, candidates: Sequence[Candidate], places: Sequence[int]
) -> dict[str, Any]:
    """The validation curves of some finalists, `[finalists][seeds][evaluations]`."""

    def plain(values: np.ndarray) -> list[Any]:
        return [
            [[float(v) if np.isfinite(v) else None for v in row] for row in rows]
            for rows in values
        ]

    return {
        "updates": sweep.horizons.tolist(),
        "settings": [candidates[place].described() for place in places],
        "validation": {
            name: plain(values[list(places)])
            for name, values in sweep.validation.items()
        },
    }
