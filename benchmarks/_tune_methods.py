"""What `tune_worth.py` compares: ways to spend one number of updates on a recipe.

All that is searched for is a `Candidate` of one optimizer, and all of it is trained by
one program, so that methods differ in nothing but what they try.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from _tasks import BATCH

import optax_cycles as oc
from optax_cycles.problems import Task
from optax_cycles.tuning.candidate import SCHEDULES, Candidate, program
from optax_cycles.tuning.family import family_of

# Four decades of rates, about the middle of which the best lie; what `tune` tries of
# momentum and decay, which forgets 0.3 % to all of the parameters in 200 updates.
RATES = {"sgdw": (3e-4, 3.0), "adamw": (1e-4, 1.0)}
MOMENTA, DECAYS = (0.7, 0.99), (1e-5, 3e-2)
# Rates, momentum and decay of who does not tune: the usual rates, our own defaults.
DEFAULTS = {"sgdw": (0.1, 0.9, 0.0), "adamw": (1e-3, 0.9, 1e-5)}
CHUNK = 12
REFUSED = Candidate("constant", 0.0, (0.9, 0.9), 0.0)


class Size(NamedTuple):
    """How much is run; every search gets `trainings * steps` updates.

    Attributes:
      tasks: of `_tune_tasks.py`.
      optimizers: that are tuned.
      free: of `_tune_free.py`.
      trainings: what is spent on a recipe.
      steps: updates of each.
      finalists: settings that searches with a last round train again.
      again: seeds of each of them.
      batch: trials that Optuna's sampler is asked for at a time.
      searches: searches of each method, each with its own seeds.
      fresh: seeds that what a search found is scored on, its own for each search.
    """

    tasks: tuple[str, ...]
    optimizers: tuple[str, ...] = ("sgdw", "adamw")
    free: tuple[str, ...] = (
        "prodigy",
        "dadapt_adamw",
        "schedule_free_adamw",
        "mechanize(adamw)",
    )
    trainings: int = 120
    steps: int = 200
    finalists: int = 4
    again: int = 6
    batch: int = 12
    searches: int = 4
    fresh: int = 8


class Found(NamedTuple):
    """What one search found.

    Attributes:
      setting: to train with.
      updates: made by all members together.
      seconds: wall time.
    """

    setting: Candidate
    updates: int
    seconds: float


class Bench(NamedTuple):
    """A task and an optimizer, with the program that trains any of its settings."""

    task: Task
    optimizer: str
    trainable: oc.Trainable
    size: Size


def bench_of(task: Task, optimizer: str, size: Size) -> Bench:
    """Make the program of a task and an optimizer."""
    family = family_of("bench_of", optimizer)

    def made(hp: Any) -> Any:
        low = hp["momentum"] - hp["fall"]
        pair = {"low_momentum": low, "high_momentum": hp["momentum"]}
        return program(family, {**hp, **pair, "length": size.steps})

    return Bench(task, optimizer, oc.trainable(task.problem, made), size)


def space_of(optimizer: str, schedule: str) -> dict[str, Any]:
    """What the searches draw from."""
    return {
        "learning_rate": oc.search.log_uniform(*RATES[optimizer]),
        "momentum": oc.search.uniform(*MOMENTA),
        "weight_decay": oc.search.log_uniform(*DECAYS),
        "fall": oc.search.choice([0.0]),
        "schedule": oc.search.choice([SCHEDULES.index(schedule)]),
    }


def columns_of(settings: Sequence[Candidate]) -> dict[str, np.ndarray]:
    """Settings as hyperparameters of the program."""
    pairs = [one.momentum or (0.0, 0.0) for one in settings]
    return {
        "learning_rate": np.array([one.learning_rate for one in settings]),
        "momentum": np.array([high for _, high in pairs]),
        "weight_decay": np.array([one.weight_decay for one in settings]),
        "fall": np.array([high - low for low, high in pairs]),
        "schedule": np.array([SCHEDULES.index(one.schedule) for one in settings]),
    }


def settings_of(members: Any) -> list[Candidate]:
    """Points of a space as settings."""
    names = ("schedule", "learning_rate", "momentum", "weight_decay")
    rows = zip(*(members[name] for name in names), strict=True)
    return [
        Candidate(SCHEDULES[int(s)], float(r), (float(m), float(m)), float(d))
        for s, r, m, d in rows
    ]


def options(task: Task) -> dict[str, Any]:
    """What all sweeps are given."""
    return {"batch_size": BATCH, "validation": task.validation}


def trained(
    bench: Bench, settings: Sequence[Candidate], seeds: np.ndarray, key: int
) -> oc.sweep.SweepResult:
    """Train settings, `[settings, seeds]`."""
    columns = columns_of(settings)
    space = oc.sweep.grid(oc.sweep.zip(**columns), seed=seeds)
    return oc.sweep.run(
        bench.trainable, space, bench.task.train, bench.size.steps,
        key=jax.random.key(key), chunk=CHUNK, **options(bench.task),
    )  # fmt: skip


# Trains so many more points.
More = Callable[[int], tuple[list[Candidate], oc.sweep.SweepResult]]


def _random(bench: Bench, seed: int) -> More:
    space, known = space_of(bench.optimizer, "one_cycle"), 0

    def more(count: int) -> Any:
        nonlocal known
        # The points of a shorter search are the first of a longer one.
        drawn = oc.search.random(space, known + count, seed=seed).members()
        settings, known = settings_of(drawn)[known:], known + count
        return settings, oc.sweep.run(
            bench.trainable, oc.sweep.zip(**columns_of(settings)), bench.task.train,
            bench.size.steps, key=jax.random.key(seed), chunk=CHUNK,
            **options(bench.task),
        )  # fmt: skip

    return more


def _tpe(bench: Bench, seed: int) -> More:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    study = optuna.create_study(sampler=sampler)
    space = space_of(bench.optimizer, "one_cycle")

    def more(count: int) -> Any:
        sweep = oc.search.optuna(
            bench.trainable, space, bench.task.train, bench.size.steps, study=study,
            trials=len(study.trials) + count, batch=bench.size.batch,
            key=jax.random.key(seed), **options(bench.task),
        ).sweep  # fmt: skip
        return settings_of(sweep.space.members()), sweep

    return more


SEARCHES = {"random, 1cycle": _random, "TPE, 1cycle": _tpe}
FINAL = " + final"


def searched(bench: Bench, method: str, seed: int) -> dict[str, Found]:
    """One search: its best, and the best of a final among its best for as much in all.

    Members that diverge stop, and more are trained until the updates are spent.
    """
    start, size, more = time.perf_counter(), bench.size, SEARCHES[method](bench, seed)
    settings: list[Candidate] = []
    losses, updates = np.empty(0), np.empty(0, int)
    budget = size.trainings * size.steps
    while fitting := (budget - int(updates.sum())) // (CHUNK * size.steps):
        tried, sweep = more(CHUNK * fitting)
        settings += tried
        losses = np.append(losses, sweep.score("loss"))
        updates = np.append(updates, sweep.updates)
    seconds = time.perf_counter() - start
    best = settings[int(np.argmin(losses))]
    found = {method: Found(best, int(updates.sum()), seconds)}
    last = size.finalists * size.again * size.steps
    first = int(np.searchsorted(updates.cumsum(), budget - last, side="right"))
    order = np.argsort(losses[:first])[: size.finalists]
    seeds = 500 + np.arange(size.again)
    sweep = trained(bench, [settings[place] for place in order], seeds, seed)
    winner = int(np.argmin(np.median(sweep.score("loss"), axis=1)))
    spent = int(updates[:first].sum() + sweep.updates.sum())
    whole = time.perf_counter() - start
    return found | {method + FINAL: Found(settings[order[winner]], spent, whole)}


def tuned(bench: Bench, seed: int) -> Found:
    """What one recipe says; what refuses to say anything is worth no training."""
    start = time.perf_counter()
    budget = bench.size.trainings * bench.size.steps
    try:
        recipe = oc.tune(
            bench.task.problem, bench.task.train, key=jax.random.key(seed),
            optimizer=bench.optimizer, steps=bench.size.steps, budget=budget,
            **options(bench.task),
        )  # fmt: skip
    except oc.NoSuggestionError:
        return Found(REFUSED, budget, time.perf_counter() - start)
    momentum = recipe.momentum
    pair = momentum if isinstance(momentum, tuple) else (momentum, momentum)
    setting = Candidate(
        recipe.schedule, recipe.learning_rate, pair, recipe.weight_decay
    )
    spent = int(recipe.budget["updates"])
    return Found(setting, spent, time.perf_counter() - start)


def defaults_of(optimizer: str) -> dict[str, Candidate]:
    """What a user gets who tunes nothing: a constant rate, and 1cycle up to it."""
    rate, momentum, decay = DEFAULTS[optimizer]
    return {
        f"default, {said}": Candidate(schedule, rate, (momentum, momentum), decay)
        for said, schedule in (("constant", "constant"), ("1cycle", "one_cycle"))
    }
