"""Draw the figures of `search.md`: what the searches of a small task look like.

    python docs/search_figures.py

Each is a search for a logistic regression on synthetic data, in seconds on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from PIL import Image

import optax_cycles as oc
from optax_cycles.plot import save_figure

IMAGES = Path(__file__).parent / "images" / "search"
WIDTH, STEPS = 32, 243
SPACE = {
    "learning_rate": oc.search.log_uniform(1e-4, 10.0),
    "momentum": oc.search.uniform(0.0, 0.99),
    "weight_decay": oc.search.log_uniform(1e-5, 1e-1),
}
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgdw": lambda hp: oc.sgdw(
        hp["learning_rate"], momentum=hp["momentum"], weight_decay=hp["weight_decay"]
    ),
    "adamw": lambda hp: oc.adamw(
        hp["learning_rate"], b1=hp["momentum"], weight_decay=hp["weight_decay"]
    ),
}


def data() -> tuple[np.ndarray, np.ndarray]:
    """Inputs of different sizes, and noisy classes that some of them tell."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(1024, WIDTH)) * np.geomspace(0.1, 3.0, WIDTH)
    truth = np.where(
        np.arange(WIDTH) % 4 == 0, 4.0 / np.geomspace(0.1, 3.0, WIDTH), 0.0
    )
    labels = inputs @ truth + rng.normal(size=1024) * 4 > 0
    return inputs.astype(np.float32), labels.astype(np.float32)


def trainable(optimizer: str = "sgdw") -> oc.Trainable:
    """A logistic regression."""

    def loss(params: Any, batch: Any, _key: Any) -> Any:
        logits = batch[0] @ params
        return optax.sigmoid_binary_cross_entropy(logits, batch[1]).mean()

    problem = oc.problem_from_loss(lambda _key: jnp.zeros(WIDTH), loss)
    return oc.trainable(problem, OPTIMIZERS[optimizer])


def figures() -> dict[str, Any]:
    """Each figure by the name of its image."""
    inputs, labels = data()
    train, held_out = (inputs[:512], labels[:512]), (inputs[512:], labels[512:])
    task: Any = {"key": jax.random.key(0), "validation": held_out, "batch_size": 32}
    points = oc.search.random(SPACE, 54)
    seeded = oc.sweep.grid(oc.search.random(SPACE, 27), seed=range(3))
    halved = oc.search.successive_halving(
        trainable(), points, train, STEPS, first=9, **task
    )
    repeated = oc.search.successive_halving(
        trainable(), seeded, train, STEPS, first=27, **task
    )
    population = oc.search.population(
        trainable(), SPACE, train, STEPS, members=16, interval=27, **task
    )
    tried = oc.search.optuna(trainable(), SPACE, train, STEPS, trials=48, **task)
    static = oc.search.over_static(
        {"optimizer": list(OPTIMIZERS), "batch_size": [16, 64]},
        trainable,
        oc.search.sobol(SPACE, 32),
        train,
        STEPS,
        **{name: value for name, value in task.items() if name != "batch_size"},
    )
    return {
        "rungs": halved.plot(),
        "leaderboard": repeated.plot(kind="leaderboard"),
        "lineage": population.plot(),
        "parallel": tried.plot(),
        "static": static.plot(),
    }


def main() -> None:
    """Draw all images."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, figure in figures().items():
        path = IMAGES / f"{name}.png"
        save_figure(figure, path)
        # A palette takes a third of the bytes, and looks the same.
        Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)
        print(f"drew {name}.png")


if __name__ == "__main__":
    main()
