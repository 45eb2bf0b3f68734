"""What `tune_worth.py` tunes: eight tasks; nothing was developed on half of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from _models import mlp
from _tasks import PROBLEMS, _cnn, _mislabelled

import optax_cycles as oc
from optax_cycles.problems import Task

# Of a task's own examples, where it draws them, to choose by and to score on.
FEW, HELD_OUT = 256, 1024


def _halved(task: Task) -> Task:
    """Every other validation example is held out: a metric of its own, not the loss."""
    parts = task.validation
    seen = (len(parts[0]) + 1) // 2
    base = task.problem

    def evaluate(params: Any, state: Any, batch: Any) -> Any:
        ours = jax.tree.map(lambda part: part[:seen], batch)
        others = jax.tree.map(lambda part: part[seen:], batch)
        held_out = base.evaluate(params, state, others)["loss"]
        return {**base.evaluate(params, state, ours), "held_out": held_out}

    halves = tuple(np.concatenate([part[::2], part[1::2]]) for part in parts)
    return Task(oc.Problem(base.init, base.loss, evaluate), task.train, halves)


def _more_held_out(task: Task) -> Task:
    """Examples from the end of the training data, to validate with too."""
    more = HELD_OUT - len(task.validation[0])
    joined = [
        np.concatenate([theirs, ours[-more:]])
        for theirs, ours in zip(task.validation, task.train, strict=True)
    ]
    return Task(task.problem, tuple(p[:-more] for p in task.train), tuple(joined))


def _waves_cnn() -> Task:
    """Noisy waves in ten directions and any phase, 8 x 8 pixels: a CNN tells which."""
    rng = np.random.default_rng(5)
    count = 4096 + HELD_OUT
    labels = rng.integers(10, size=count).astype(np.int32)
    angles, phases = np.pi * labels / 10, 2 * np.pi * rng.random(count)
    across, down = np.meshgrid(np.arange(8), np.arange(8))
    along = (
        np.cos(angles)[:, None, None] * across + np.sin(angles)[:, None, None] * down
    )
    waves = np.sin(along + phases[:, None, None])
    images = (waves + 0.8 * rng.normal(size=waves.shape))[..., None].astype(np.float32)
    return _parted(_cnn(), 4096, images, labels)


def _few_mlp() -> Task:
    """256 examples of ten clusters, a fifth mislabelled, and 16,000 parameters."""
    rng = np.random.default_rng(6)
    count = FEW + HELD_OUT
    labels = rng.integers(10, size=count)
    inputs = rng.normal(size=(10, 16))[labels] + 0.7 * rng.normal(size=(count, 16))
    noisy = _mislabelled(labels, 0.2, 10)
    return _parted(mlp((16, 96, 96, 10)), FEW, inputs.astype(np.float32), noisy)


def _spirals_mlp() -> Task:
    """Three spirals in the plane: no noise, and a long way to go."""
    rng = np.random.default_rng(7)
    count = 4096 + HELD_OUT
    labels = rng.integers(3, size=count).astype(np.int32)
    radii = np.sqrt(rng.random(count))
    angles = 2 * np.pi * labels / 3 + 2 * np.pi * radii
    inputs = 2 * radii * np.stack([np.cos(angles), np.sin(angles)])
    return _parted(mlp((2, 32, 32, 3)), 4096, inputs.T.astype(np.float32), labels)


def _parted(problem: oc.Problem, train: int, *arrays: np.ndarray) -> Task:
    """The first examples to train on, the others to validate with."""
    return Task(
        problem, tuple(a[:train] for a in arrays), tuple(a[train:] for a in arrays)
    )


def _known(name: str, *, more: bool = True) -> Callable[[], Task]:
    made = PROBLEMS[name]
    return lambda: _more_held_out(made()) if more else made()


_MADE: dict[str, Callable[[], Task]] = {
    "digits-mlp": _known("digits-mlp", more=False),
    "clusters-mlp": _known("clusters-mlp"),
    "regression-mlp": _known("regression-mlp"),
    "waves-cnn": _waves_cnn,
    "digits-cnn": _known("digits-cnn", more=False),
    "few-mlp": _few_mlp,
    "spirals-mlp": _spirals_mlp,
    "markov-transformer": _known("markov-transformer"),
}
NAMES = tuple(_MADE)
# Whatever is improved in `tune` is improved on the first four and published on all.
DEVELOPMENT = NAMES[:4]


def task_of(name: str) -> Task:
    """A task whose problem reports `loss` on one half, and `held_out` on the other."""
    return _halved(_MADE[name]())


def untrained(task: Task, seeds: int = 8) -> float:
    """The median loss on the held-out half before training."""

    def loss(key: Any) -> Any:
        params, state = task.problem.init(key)
        return task.problem.evaluate(params, state, task.validation)["held_out"]

    keys = jax.random.split(jax.random.key(0), seeds)
    return float(np.median(jax.lax.map(loss, keys)))
