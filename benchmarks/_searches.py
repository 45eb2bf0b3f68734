"""What `searches.py` compares: one task, seven ways to spend one number of updates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import optax_cycles as oc
from optax_cycles import problems

BATCH = 32
METRIC = "loss"
SPACE = {
    "learning_rate": oc.search.log_uniform(1e-4, 10.0),
    "momentum": oc.search.uniform(0.0, 0.99),
    "weight_decay": oc.search.log_uniform(1e-6, 1e-1),
}
# The loss of who knows nothing about ten classes: what a failed training is worth.
UNTRAINED = float(np.log(10))


class Size(NamedTuple):
    """How much is run; every search gets `points * steps` updates.

    Attributes:
      models: of the digits.
      points: members that random search trains to the end.
      steps: updates of each of them.
      first: updates of the first rung of halving and Hyperband.
      batch: how many trials Optuna's sampler is asked for at a time.
      seeds: searches of each method, each with its own points, parameters and order.
      fresh: seeds that the winners are scored on.
      reference: points of the search for the best known constants.
      finalists: those of them that are trained with more seeds.
    """

    models: tuple[str, ...] = ("mlp", "cnn")
    points: int = 27
    steps: int = 270
    first: int = 10
    batch: int = 9
    seeds: int = 16
    fresh: int = 10
    reference: int = 1024
    finalists: int = 32


QUICK = Size(("mlp",), 3, 18, 2, 3, 2, 2, 8, 2)


class Found(NamedTuple):
    """What one search found.

    Attributes:
      pieces: float `[pieces]` for each hyperparameter: its values, one after another.
      seconds: wall time.
      updates: updates made by all members together.
      loss: the winner's, on the half of the validation data that the search sees.
      held_out: the winner's on the other half.
    """

    pieces: Mapping[str, np.ndarray]
    seconds: float
    updates: int
    loss: float
    held_out: float


class Task(NamedTuple):
    """A model with its data.

    Attributes:
      problem: evaluates `loss` on one half of the validation data, and `held_out` on
        the other.
      train: images and labels.
      validation: images and labels, the half that searches see first.
    """

    problem: oc.Problem
    train: Any
    validation: Any


def task_of(model: str) -> Task:
    """The digits, every other one of the validation data held out of the search."""
    base, data = problems.digits_problem(model), problems.digits()
    seen = len(data.validation[1]) // 2 + len(data.validation[1]) % 2

    def evaluate(params: Any, state: Any, batch: Any) -> Any:
        ours = jax.tree.map(lambda part: part[:seen], batch)
        others = jax.tree.map(lambda part: part[seen:], batch)
        held_out = base.evaluate(params, state, others)["loss"]
        return {**base.evaluate(params, state, ours), "held_out": held_out}

    halves = [np.concatenate([part[::2], part[1::2]]) for part in data.validation]
    problem = oc.Problem(base.init, base.loss, evaluate)
    return Task(problem, data.train, tuple(halves))


def constants(hp: Any) -> Any:
    """The optimizer that searches look for numbers of."""
    return oc.sgdw(hp["learning_rate"], hp["momentum"], weight_decay=hp["weight_decay"])


def interval_of(size: Size) -> int:
    """Updates from one copying of a population to the next."""
    return max(size.steps // 20, 1)


def edges_of(size: Size) -> np.ndarray:
    """After how many updates a population's numbers change."""
    return np.arange(interval_of(size), size.steps, interval_of(size))


Search = Callable[[oc.Trainable, Task, Size, int], list[oc.search.SearchResult]]


def _options(task: Task, seed: int) -> dict[str, Any]:
    return {
        "key": jax.random.key(seed),
        "batch_size": BATCH,
        "validation": task.validation,
    }


def _swept(sample: Any) -> Search:
    def search(train: Any, task: Task, size: Size, seed: int) -> Any:
        points = sample(SPACE, size.points, seed=seed)
        swept = oc.sweep.run(
            train, points, task.train, size.steps, **_options(task, seed)
        )
        return [oc.search.SearchResult(sample.__name__, swept, METRIC, "min")]

    return search


def _halving(train: Any, task: Task, size: Size, seed: int) -> Any:
    """As many points as cost no more than the budget: 9 times as many, in 4 rungs."""
    points = oc.search.random(SPACE, 9 * size.points, seed=seed)
    return [
        oc.search.successive_halving(
            train, points, task.train, size.steps, first=size.first,
            **_options(task, seed),
        )
    ]  # fmt: skip


def _hyperband(train: Any, task: Task, size: Size, seed: int) -> Any:
    """Twice with different points: once is half of the budget."""
    return [
        oc.search.hyperband(
            train, SPACE, task.train, size.steps, first=size.first,
            seed=2 * seed + again, **_options(task, seed),
        )
        for again in range(2)
    ]  # fmt: skip


def _population(train: Any, task: Task, size: Size, seed: int) -> Any:
    return [
        oc.search.population(
            train, SPACE, task.train, size.steps, members=max(size.points, 4),
            interval=interval_of(size), share=0.25, seed=seed, **_options(task, seed),
        )
    ]  # fmt: skip


def _tpe(*, batched: bool) -> Search:
    def search(train: Any, task: Task, size: Size, seed: int) -> Any:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        study = optuna.create_study(sampler=sampler)
        found = oc.search.optuna(
            train, SPACE, task.train, size.steps, trials=size.points,
            batch=size.batch if batched else 1, study=study, **_options(task, seed),
        )  # fmt: skip
        return [found]

    return search


METHODS: dict[str, Search] = {
    "random": _swept(oc.search.random),
    "sobol": _swept(oc.search.sobol),
    "successive_halving": _halving,
    "hyperband": _hyperband,
    "population": _population,
    "optuna, TPE, batches": _tpe(batched=True),
    "optuna, TPE, one by one": _tpe(batched=False),
}


def searched(method: str, task: Task, size: Size) -> list[Found]:
    """One method with every seed; the first search compiles."""
    train = oc.trainable(task.problem, constants)
    return [one_search(method, train, task, size, s) for s in range(size.seeds)]


def one_search(method: str, train: Any, task: Task, size: Size, seed: int) -> Found:
    """One search, whose winner is the best on the half that it sees."""
    start = time.perf_counter()
    results = METHODS[method](train, task, size, seed)
    seconds = time.perf_counter() - start
    best = min(results, key=lambda result: result.scores.min())
    last = best.sweep.validation["held_out"].reshape(best.sweep.space.size, -1)[:, -1]
    stretches = len(edges_of(size)) + 1
    pieces = {
        name: np.array(np.broadcast_to(values, stretches), float)
        for name, values in numbers_of(best).items()
    }
    return Found(
        pieces,
        seconds,
        sum(result.updates for result in results),
        best.best_score,
        float(last[best.best_member]),
    )


def numbers_of(found: oc.search.SearchResult) -> dict[str, np.ndarray]:
    """The winner's numbers: one, or one for each stretch of a population."""
    if found.method == "population":
        return found.history()
    return {name: np.array([value]) for name, value in found.best().items()}


def losses_of(
    task: Task, candidates: Sequence[Mapping[str, np.ndarray]], seeds: Any, size: Size
) -> dict[str, np.ndarray]:
    """`[candidates, seeds]`: both losses after training anew with fresh seeds."""
    edges = edges_of(size)

    def pieced(hp: Any) -> Any:
        def of(name: str) -> Any:
            values = jnp.stack([hp[f"{name}_{i}"] for i in range(len(edges) + 1)])
            return lambda step: values[jnp.searchsorted(edges, step, side="right")]

        return constants({name: of(name) for name in SPACE})

    columns = {
        f"{name}_{i}": np.array([candidate[name][i] for candidate in candidates])
        for name in SPACE
        for i in range(len(edges) + 1)
    }
    swept = oc.sweep.run(
        oc.trainable(task.problem, pieced),
        oc.sweep.grid(oc.sweep.zip(**columns), seed=seeds),
        task.train,
        size.steps,
        key=jax.random.key(10_000),
        batch_size=BATCH,
        validation=task.validation,
    )
    last = {name: swept.validation[name][..., -1] for name in (METRIC, "held_out")}
    return {n: np.where(v < UNTRAINED, v, UNTRAINED) for n, v in last.items()}


def reference_of(task: Task, size: Size) -> list[dict[str, np.ndarray]]:
    """The best points, on the held-out half, of a search 38 times as long."""
    points = oc.search.sobol(SPACE, size.reference, seed=99_999)
    swept = oc.sweep.run(
        oc.trainable(task.problem, constants), points, task.train, size.steps,
        **_options(task, 99_999),
    )  # fmt: skip
    order = np.argsort(swept.score("held_out", mode="min"))[: size.finalists]
    pieces = len(edges_of(size)) + 1
    members = points.members()
    return [
        {name: np.full(pieces, members[name][place]) for name in SPACE}
        for place in order
    ]
