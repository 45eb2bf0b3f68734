"""The curves that learning-rate rules are judged by, kept in one file a task.

A task's file holds three things, of which the rules see the last two:

- the truth: constant rates on a fine grid, trained for long with seeds of their own;
- the parallel range test, as often as it is repeated, and
- ramps as the authors of several finders make them, one for each seed.

The ramps and the constant rates of a test are members of one population: a constant
rate is a ramp that does not climb.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _tasks import BATCH, OPTIMIZERS, PROBLEMS, Task

import optax_cycles as oc
from optax_cycles.range_test.parallel import evaluation_steps

TRUTH_SEEDS = 1000
DECADES = 6


class Ramp(NamedTuple):
    """How a finder lets the rate climb.

    Attributes:
      low: the first rate.
      high: the rate that it climbs towards.
      updates: how many there are.
      length: updates from `low` to `high`.
    """

    low: float
    high: float
    updates: int
    length: int

    @property
    def rates(self) -> np.ndarray:
        """The rate of each update."""
        done = np.arange(self.updates) / self.length
        rates: np.ndarray = self.low * (self.high / self.low) ** done
        return rates


# Their own defaults, or (torch-lr-finder, keras_lr_finder) those of their READMEs.
RAMPS = {
    "fastai": Ramp(1e-7, 10.0, 100, 100),
    "torch-lr-finder": Ramp(1e-7, 100.0, 100, 99),
    "lightning": Ramp(1e-8, 1.0, 100, 100),
    "keras_lr_finder": Ramp(1e-4, 1.0, 300, 300),
    "ours": Ramp(1e-5, 10.0, 300, 300),
}


class Size(NamedTuple):
    """How much is trained.

    Attributes:
      per_decade: rates of the fine grid in each of its decades.
      truth: seeds of each of them.
      long: their updates.
      values: rates of a parallel test, from 1e-5 to 10.
      seeds: seeds of a parallel test.
      repeats: parallel tests.
      horizons: updates at which these are evaluated; ramps make the last of them.
    """

    per_decade: int = 8
    truth: int = 8
    long: int = 1200
    values: int = 64
    seeds: int = 5
    repeats: int = 3
    horizons: tuple[int, ...] = (37, 75, 150, 300)

    @property
    def steps(self) -> int:
        """Updates of a parallel test."""
        return self.horizons[-1]


Curves = dict[str, np.ndarray]
Members = dict[str, np.ndarray]


def grid(optimizer: str, size: Size) -> np.ndarray:
    """The fine grid of an optimizer."""
    low, high = OPTIMIZERS[optimizer].low, OPTIMIZERS[optimizer].high
    return oc.sweep.log_space(low, high, DECADES * size.per_decade + 1)


class _Climbing(NamedTuple):
    update: Any
    inner: Any


def climbing(trainable: oc.Trainable) -> oc.Trainable:
    """A trainable whose rate climbs as hyperparameters say.

    Update i uses `low exp(climb i / length)`.
    """

    def inner(hp: Any, update: Any) -> Any:
        return {
            "learning_rate": hp["low"] * jnp.exp(hp["climb"] * update / hp["length"])
        }

    def init(key: Any, hp: Any) -> _Climbing:
        start = jnp.float32(0.0)
        return _Climbing(start, trainable.init(key, inner(hp, start)))

    def step(state: _Climbing, hp: Any, batch: Any, key: Any) -> Any:
        now = inner(hp, state.update)
        new, metrics = trainable.step(state.inner, now, batch, key)
        return _Climbing(state.update + 1, new), metrics

    def evaluate(state: _Climbing, batch: Any) -> Any:
        assert trainable.evaluate is not None
        return trainable.evaluate(state.inner, batch)

    return oc.Trainable(init, step, evaluate)


def trainable_of(task: Task, optimizer: str) -> oc.Trainable:
    """A task's training under any ramp."""
    make = OPTIMIZERS[optimizer].make
    return climbing(oc.trainable(task.problem, lambda hp: make(hp["learning_rate"])))


def constant(rates: np.ndarray, seeds: np.ndarray) -> Members:
    """Members `[rates, seeds]` of constant rates."""
    return {
        "low": np.repeat(rates, len(seeds)),
        "climb": np.zeros(len(rates) * len(seeds)),
        "length": np.ones(len(rates) * len(seeds)),
        "seed": np.tile(seeds.astype(np.int32), len(rates)),
    }


def ramps(kinds: Sequence[Ramp], seeds: np.ndarray) -> Members:
    """Members `[kinds, seeds]` whose rate climbs."""
    climbs = [np.log(kind.high / kind.low) for kind in kinds]
    return {
        "low": np.repeat([kind.low for kind in kinds], len(seeds)),
        "climb": np.repeat(climbs, len(seeds)),
        "length": np.repeat([float(kind.length) for kind in kinds], len(seeds)),
        "seed": np.tile(seeds.astype(np.int32), len(kinds)),
    }


def together(*members: Members) -> Members:
    """Members of several populations, one after another."""
    return {name: np.concatenate([m[name] for m in members]) for name in members[0]}


def train(
    trainable: oc.Trainable,
    members: Members,
    task: Task,
    horizons: Sequence[int],
) -> tuple[np.ndarray, np.ndarray, Any]:
    """Training losses `[members, steps]`, validation `[members, evaluations]`.

    Members are shuffled: those of large rates, which fail early, would all be on one
    device.
    """
    count = len(members["seed"])
    order = np.random.default_rng(0).permutation(count)
    result = oc.sweep.run(
        trainable,
        {name: values[order] for name, values in members.items()},
        task.train,
        horizons[-1],
        key=jax.random.key(0),
        batch_size=BATCH,
        validation=task.validation,
        horizons=evaluation_steps(horizons),
    )
    back = np.argsort(order)
    return result.train["loss"][back], result.validation["loss"][back], result


def collect(name: str, size: Size) -> Curves:
    """Everything that one task's file holds."""
    problem, optimizer = name.split("/")
    task = PROBLEMS[problem]()
    train_it = trainable_of(task, optimizer)
    rates, fresh = grid(optimizer, size), TRUTH_SEEDS + np.arange(size.truth)
    _, truth, first = train(train_it, constant(rates, fresh), task, (size.long,))
    values = oc.sweep.log_space(1e-5, 10.0, size.values)
    seeds = np.arange(size.seeds * size.repeats)
    both = together(constant(values, seeds), ramps(list(RAMPS.values()), seeds))
    losses, validation, second = train(train_it, both, task, size.horizons)
    tested = size.values * len(seeds)
    climbs = losses[tested:].reshape(len(RAMPS), len(seeds), -1)
    seconds = [result.seconds for result in (first, second)]
    return {
        "rates": rates,
        "truth": truth.reshape(len(rates), size.truth, -1),
        "values": values,
        "train": losses[:tested].reshape(size.values, len(seeds), -1),
        "validation": validation[:tested].reshape(size.values, len(seeds), -1),
        "seconds": np.array([[s[part] for part in sorted(s)] for s in seconds]),
        **{f"ramp {kind}": climb for kind, climb in zip(RAMPS, climbs, strict=True)},
    }


def setting_of(size: Size) -> str:
    """What a file depends on besides the code."""
    return json.dumps([size, RAMPS, BATCH, jax.__version__])


def curves_of(name: str, folder: Path, size: Size) -> Curves:
    """A task's curves, trained only where the folder does not hold them."""
    path = folder / f"{name.replace('/', '-')}.npz"
    setting = setting_of(size)
    if path.exists():
        with np.load(path) as file:
            if str(file["setting"]) == setting:
                return {key: file[key] for key in file.files if key != "setting"}
    curves = collect(name, size)
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, setting=np.array(setting), allow_pickle=False, **curves)
    part.replace(path)
    return curves
