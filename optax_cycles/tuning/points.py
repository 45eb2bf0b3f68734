"""Which settings to try: all over the place, and around the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from optax_cycles.search.distributions import choice, log_uniform
from optax_cycles.search.sampling import sobol
from optax_cycles.tuning.candidate import Candidate
from optax_cycles.tuning.family import Family

MOMENTUM = 0.9
# Around what the range test found, before they are tried in earnest.
SPREAD = 6.0
# Standard deviation of the logarithm of rates around the best; draws for each; and of
# the best so many at least, and a share of all.
NEAR, TRIES = 0.5, 10
FEW, SHARE = 3, 0.25


def figures(value: float, digits: int = 3) -> float:
    """A number of few figures, as one would write it."""
    return float(f"{value:.{digits - 1}e}")


def net(
    family: Family,
    many: int,
    best: float,
    momenta: Sequence[tuple[float, float] | None],
    decays: Sequence[float | None],
) -> list[Candidate]:
    """Points around the best rate; with more momentum at lower rates."""
    drawn = sobol(
        {
            "factor": log_uniform(1 / SPREAD, SPREAD),
            "momentum": choice(range(len(momenta))),
            "decay": choice(range(len(decays))),
        },
        many,
    ).members()
    points = []
    for factor, m, d in zip(
        drawn["factor"], drawn["momentum"], drawn["decay"], strict=True
    ):
        momentum, rate = momenta[int(m)], best * factor
        if momentum is not None and family.scales_with_momentum:
            rate *= (1 - np.mean(momentum)) / (1 - MOMENTUM)
        points.append(
            Candidate("one_cycle", figures(float(rate)), momentum, decays[int(d)])
        )
    return points


def neighbours(
    ranked: Sequence[Candidate],
    many: int,
    momenta: Sequence[tuple[float, float] | None],
    decays: Sequence[float | None],
) -> list[Candidate]:
    """New points around the best: rates a little off, the next momentum and decay."""
    rng = np.random.default_rng(len(ranked))
    known, best = set(ranked), ranked[: max(FEW, int(SHARE * len(ranked)))]
    found: list[Candidate] = []
    for draw in range(many * TRIES):
        at, moved = best[draw % len(best)], int(rng.integers(-1, 2))
        rate = figures(at.learning_rate * math.exp(rng.normal(0, NEAR)))
        decay, momentum = at.weight_decay, at.momentum
        if rng.random() < 0.5:
            decay = _next(decays, decay, moved)
        else:
            momentum = _next(momenta, momentum, moved)
        one = Candidate(at.schedule, rate, momentum, decay)
        # Rates of three figures may run out.
        if one not in known or draw >= many * (TRIES - 1):
            known.add(one)
            found.append(one)
        if len(found) == many:
            break
    return found


def _next(values: Sequence[Any], value: Any, move: int) -> Any:
    place = min(max(list(values).index(value) + move, 0), len(values) - 1)
    return values[place]


def factors(count: int) -> list[float]:
    """Peaks to try, as multiples of the one that was best for 1cycle."""
    usual = {1: [1.0], 2: [0.5, 1.0], 3: [0.3, 0.6, 1.0], 4: [0.2, 0.45, 1.0, 2.0]}
    return usual.get(count) or np.geomspace(0.1, 3.0, count).tolist()
