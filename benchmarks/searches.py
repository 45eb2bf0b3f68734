"""Which search finds the best hyperparameters with one number of updates?

Rate, momentum and weight decay of `oc.sgdw` on the digits, with an MLP and a CNN. Every
search gets the updates of 27 trainings of 270, and compares its members on one half of
the validation data. What it found, constants or a population's schedule, is trained
anew with ten seeds that no search has seen, and scored by the median loss on the other
half: nobody profits from a lucky seed, nor from having looked at many losses. The best
known constants are the best on that other half, with yet other seeds, of a Sobol search
38 times as long and of everything that any search found; the regret of a search is its
score over that of these constants, less 1. A schedule may be better than any constants.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import _measure
import numpy as np
from _measure import Row, Spread
from _searches import (
    BATCH,
    METHODS,
    QUICK,
    SPACE,
    Found,
    Size,
    Task,
    losses_of,
    reference_of,
    searched,
    task_of,
)
from _searches_page import tables
from scipy import stats
from table import rewrite

import optax_cycles as oc

PAGE = Path(__file__).parent.parent / "docs" / "search.md"
RESAMPLES = 2000
BASELINE = "random"


def scored(task: Task, found: dict[str, list[Found]], size: Size) -> dict[str, Any]:
    """The scores of all that was found, and of the best known constants."""
    everything = [one.pieces for of in found.values() for one in of]
    constant = [
        place
        for place, pieces in enumerate(everything)
        if all(np.ptp(values) == 0 for values in pieces.values())
    ]
    finalists = reference_of(task, size)
    known = [everything[place] for place in constant] + finalists
    picking = losses_of(task, known, np.arange(2000, 2000 + size.fresh), size)
    best = int(np.median(picking["held_out"], axis=1).argmin())
    fresh = np.arange(1000, 1000 + size.fresh)
    losses = losses_of(task, [*everything, known[best]], fresh, size)["held_out"]
    scores = np.median(losses, axis=1)
    return {
        "best": {name: float(values[0]) for name, values in known[best].items()},
        "best_score": float(scores[-1]),
        "scores": {
            method: scores[at * size.seeds : (at + 1) * size.seeds].tolist()
            for at, method in enumerate(found)
        },
    }


def ranks_of(scores: dict[str, list[float]]) -> dict[str, float]:
    """Mean over searches of the place among the methods, 1 for the best."""
    places = stats.rankdata(np.array(list(scores.values())), axis=0)
    return dict(zip(scores, places.mean(axis=1).tolist(), strict=True))


def summary(found: list[Found], regrets: np.ndarray) -> dict[str, Any]:
    """One method on one model."""
    seconds = [one.seconds for one in found]
    return {
        "updates": round(statistics.fmean(one.updates for one in found)),
        "median": float(np.median(regrets)),
        "mean": float(regrets.mean()),
        "error": float(regrets.std(ddof=1) / len(regrets) ** 0.5),
        "worst": float(regrets.max()),
        "regrets": regrets.tolist(),
        "seen": statistics.median(one.loss for one in found),
        "in_hand": statistics.median(one.held_out for one in found),
        "first_seconds": seconds[0],
        "seconds": statistics.median(seconds[1:]),
    }


def case(model: str, size: Size) -> dict[str, Any]:
    """All methods on one model."""
    task, found = task_of(model), {}
    for method in METHODS:
        found[method] = searched(method, task, size)
        took = sum(one.seconds for one in found[method])
        print(f"{model}, {method}: {size.seeds} searches, {took:.1f} s", flush=True)
    known = scored(task, found, size)
    best, scores = known["best_score"], known.pop("scores")
    ranks = ranks_of(scores)
    methods = {
        method: summary(of, np.array(scores[method]) / best - 1)
        | {"rank": ranks[method]}
        for method, of in found.items()
    }
    return {"model": model, **known, "methods": methods}


def row_of(found: dict[str, Any], method: str) -> Row:
    """Mean score over that of random search, the searches of one seed in pairs."""
    own, random = (
        1 + np.array(found["methods"][m]["regrets"]) for m in (method, BASELINE)
    )
    draws = np.random.default_rng(0).integers(len(own), size=(RESAMPLES, len(own)))
    ratios = own[draws].mean(axis=1) / random[draws].mean(axis=1)
    low, high = np.quantile(ratios, [0.05, 0.95])
    value = Spread(float(own.mean() / random.mean()), float(low), float(high))
    of = found["methods"][method]
    note = (
        f"regret: median {100 * of['median']:.3g} %, mean {100 * of['mean']:.3g} %; "
        f"rank {of['rank']:.2g} of {len(METHODS)}; {of['updates']} updates"
    )
    work = f"digits, {found['model']}, {method}"
    return Row(work, "random search", value, "x its mean loss", 1, True, note)


def main() -> None:
    parser = _measure.arguments(str(__doc__).splitlines()[0], ())
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    size = QUICK if given.quick else Size()
    oc.sweep.use_cpu_devices()
    environment = _measure.environment()
    cases = [case(model, size) for model in size.models]
    rows = [row_of(found, m) for found in cases for m in METHODS if m != BASELINE]
    settings = {**size._asdict(), "batch_size": BATCH, "space": str(SPACE)}
    record = {"environment": environment, "settings": settings, "cases": cases}
    _measure.finish("searches", given.results, record, rows)
    rewrite(given.page, tables(record))
    print(f"rewrote the tables of {given.page}")


if __name__ == "__main__":
    main()
