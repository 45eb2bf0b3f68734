"""What the range test is worth: does its suggestion hold on seeds it never saw?

For each model and optimizer on the digits:

1. `oc.parallel_range_test` with its defaults, and its suggestion;
2. every rate of the grid within a factor 10 of the suggested one, trained with
   fresh seeds: the median validation loss at the suggestion over that of the best
   rate. The best of many rates is partly luck, so this ratio is too large on
   average; `cross-fitted` picks the best on half of the seeds and compares on the
   other half, which is fair;
3. 1cycle with the suggested peak against the suggested constant rate, with fresh
   seeds: validation accuracy after the last update, in pairs of one seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import _measure
import jax
import numpy as np
import optax
from _measure import Row, Spread

import optax_cycles as oc
from optax_cycles import problems

BATCH = 32
NEAR = 10.0
RESAMPLES = 2000
MOMENTUM = 0.9
CYCLE = (0.85, 0.95)
DIV_FACTOR, FINAL_DIV_FACTOR = 25.0, 1e4


class Size(NamedTuple):
    """How much is run."""

    models: tuple[str, ...] = ("mlp", "cnn")
    optimizers: tuple[str, ...] = ("sgd", "momentum", "adam")
    values: int = 64
    seeds: int = 5
    fresh: int = 20
    steps: int = 300


QUICK = Size(("mlp",), ("momentum",), values=13, seeds=2, fresh=4, steps=40)

OPTIMIZERS: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "sgd": lambda hp: optax.sgd(hp["learning_rate"]),
    "momentum": lambda hp: optax.sgd(hp["learning_rate"], momentum=MOMENTUM),
    "adam": lambda hp: optax.adam(hp["learning_rate"], b1=MOMENTUM),
}


def cycled(optimizer: str, steps: int) -> Callable[[Any], Any]:
    """The optimizer under a 1cycle policy whose numbers are hyperparameters."""
    factory = optax.adam if optimizer == "adam" else optax.sgd

    def of(hp: Any) -> Any:
        policy = oc.one_cycle_policy(
            steps,
            hp["peak"],
            momentum=None if optimizer == "sgd" else (hp["low"], hp["high"]),
            momentum_name="b1" if optimizer == "adam" else "momentum",
            div_factor=hp["div_factor"],
            final_div_factor=hp["final_div_factor"],
        )
        return oc.inject(factory, policy)

    return of


def fresh_seeds(size: Size) -> np.ndarray:
    """Seeds that the range test never used."""
    return np.arange(1000, 1000 + size.fresh)


def range_test(problem: Any, optimizer: str, size: Size) -> oc.ParallelTest:
    """The range test with its defaults (but for `--quick`)."""
    return oc.parallel_range_test(
        oc.trainable(problem, OPTIMIZERS[optimizer]),
        *problems.digits(),
        over={"learning_rate": oc.sweep.log_space(1e-5, 10.0, size.values)},
        seeds=size.seeds,
        steps=size.steps,
        batch_size=BATCH,
    )


def retest(problem: Any, optimizer: str, values: Any, size: Size) -> oc.ParallelTest:
    """The same test of fewer values with fresh seeds."""
    seeds: Any = fresh_seeds(size)
    return oc.parallel_range_test(
        oc.trainable(problem, OPTIMIZERS[optimizer]),
        *problems.digits(),
        over={"learning_rate": values},
        seeds=seeds,
        steps=size.steps,
        horizons=[size.steps],
        batch_size=BATCH,
    )


def losses_of(test: oc.ParallelTest) -> np.ndarray:
    """`[values, seeds]`: validation losses, infinite where training failed."""
    losses = test.validation()
    return np.where(np.isfinite(losses), losses, np.inf)


def ratio(losses: np.ndarray, chosen: int) -> Any:
    """Median loss at the chosen value over the best median, along the last axis."""
    medians = np.median(losses, axis=-1)
    return medians[chosen] / medians.min(axis=0)


def ratio_interval(losses: np.ndarray, chosen: int) -> Spread:
    """The ratio with its 90 % bootstrap interval over seeds."""
    seeds = losses.shape[1]
    draws = np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))
    low, high = np.quantile(ratio(losses[:, draws], chosen), [0.05, 0.95])
    return Spread(float(ratio(losses, chosen)), float(low), float(high))


def cross_fitted(losses: np.ndarray, chosen: int) -> Spread:
    """The ratio to a value picked on other seeds; median and spread over splits."""
    rng = np.random.default_rng(0)
    seeds = losses.shape[1]
    found = []
    for _ in range(RESAMPLES):
        order = rng.permutation(seeds)
        pick, compare = order[: seeds // 2], order[seeds // 2 :]
        best = np.median(losses[:, pick], axis=1).argmin()
        medians = np.median(losses[:, compare], axis=1)
        found.append(medians[chosen] / medians[best])
    low, high = np.quantile(found, [0.05, 0.95])
    return Spread(float(np.median(found)), float(low), float(high))


def holds(problem: Any, optimizer: str, test: oc.ParallelTest, size: Size) -> Any:
    """How near to the best rate the suggestion is, in sample and on fresh seeds."""
    best = test.suggest().best
    near = (test.values >= best / NEAR) & (test.values <= best * NEAR)
    values = test.values[near]
    chosen = int(np.flatnonzero(np.isclose(values, best))[0])
    fresh = losses_of(retest(problem, optimizer, values, size))
    return {
        "grid": values.tolist(),
        "in_sample": ratio_interval(losses_of(test)[near], chosen)._asdict(),
        "fresh": ratio_interval(fresh, chosen)._asdict(),
        "cross_fitted": cross_fitted(fresh, chosen)._asdict(),
        "best_on_fresh": float(values[np.median(fresh, axis=1).argmin()]),
        "fresh_medians": np.median(fresh, axis=1).tolist(),
    }


def compare_cycle(
    problem: Any, optimizer: str, suggestion: oc.RangeSuggestion, size: Size
) -> Any:
    """Accuracy of 1cycle and of the constant rate, one population for both."""
    both = oc.sweep.zip(
        peak=[suggestion.peak, suggestion.best],
        div_factor=[DIV_FACTOR, 1.0],
        final_div_factor=[FINAL_DIV_FACTOR, 1.0],
        low=[CYCLE[0], MOMENTUM],
        high=[CYCLE[1], MOMENTUM],
    )
    digits = problems.digits()
    sweep = oc.sweep.run(
        oc.trainable(problem, cycled(optimizer, size.steps)),
        oc.sweep.grid(both, seed=fresh_seeds(size)),
        digits.train,
        size.steps,
        key=jax.random.key(0),
        batch_size=BATCH,
        validation=digits.validation,
    )
    # A failed run hits nothing.
    accuracy = np.nan_to_num(sweep.validation["accuracy"][..., -1])
    cycle, constant = accuracy
    parts = {"one_cycle": cycle, "constant": constant, "difference": cycle - constant}
    return {name: mean_and_error(part) for name, part in parts.items()}


def mean_and_error(values: np.ndarray) -> dict[str, float]:
    """Mean and its standard error."""
    error = values.std(ddof=1) / len(values) ** 0.5
    return {"mean": float(values.mean()), "error": float(error)}


def case(model: str, optimizer: str, size: Size) -> dict[str, Any]:
    """All three parts for one model and one optimizer."""
    name = {"model": model, "optimizer": optimizer}
    problem = problems.digits_problem(model)
    test = range_test(problem, optimizer, size)
    try:
        suggestion = test.suggest()
    except oc.NoSuggestionError as error:
        return {**name, "refused": str(error)}
    return {
        **name,
        "suggestion": suggestion._asdict(),
        "holds": holds(problem, optimizer, test, size),
        "accuracy": compare_cycle(problem, optimizer, suggestion, size),
    }


def rows_of(found: dict[str, Any]) -> list[Row]:
    """The rows of the table for one case."""
    work = f"digits, {found['model']}, {found['optimizer']}"
    peers = ("best rate of the grid, fresh seeds", "the same, cross-fitted")
    names = ("fresh", "cross_fitted")
    cycle = "1cycle minus constant, accuracy"
    if "refused" in found:
        note = f"no suggestion: {found['refused']}"
        rows = [Row(work, peer, None, "x its loss", 1.05, True, note) for peer in peers]
        return [*rows, Row(work, cycle, None, "points", 0, note=note)]
    at = f"at {found['suggestion']['best']:.3g}"
    note = f"{at}; best on fresh seeds {found['holds']['best_on_fresh']:.3g}"
    rows = [
        Row(work, peer, Spread(**found["holds"][name]), "x its loss", 1.05, True, note)
        for peer, name in zip(peers, names, strict=True)
    ]
    return [*rows, cycle_row(work, cycle, found)]


def cycle_row(work: str, against: str, found: dict[str, Any]) -> Row:
    """Accuracy of 1cycle against the constant rate, in percentage points."""
    percent = {
        name: (100 * part["mean"], 100 * part["error"])
        for name, part in found["accuracy"].items()
    }
    mean, error = percent["difference"]
    value = Spread(mean, mean - error, mean + error)
    note = (
        f"peak {found['suggestion']['peak']:.3g}; "
        "1cycle {:.2f} +- {:.2f} %, ".format(*percent["one_cycle"])
        + "constant {:.2f} +- {:.2f} %".format(*percent["constant"])
    )
    return Row(work, against, value, "points", 0, note=note)


def main() -> None:
    given = _measure.arguments(str(__doc__).splitlines()[0], ()).parse_args()
    size = QUICK if given.quick else Size()
    oc.sweep.use_cpu_devices()
    environment = _measure.environment()
    cases: list[Mapping[str, Any]] = []
    rows: list[Row] = []
    for model, optimizer in itertools.product(size.models, size.optimizers):
        cases.append(found := case(model, optimizer, size))
        rows += (new := rows_of(found))
        lines = _measure.table_rows(row.as_json() for row in new)
        print(_measure.plain_table(_measure.HEADER, lines), flush=True)
    settings = {**size._asdict(), "batch": BATCH, "near": NEAR}
    record = {"environment": environment, "settings": settings, "cases": cases}
    _measure.finish("worth", given.results, record, rows)


if __name__ == "__main__":
    main()
