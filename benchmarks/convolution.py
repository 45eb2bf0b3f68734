"""A sweep of an unmodified convolutional network, against what people do today.

Time per member-step (one update of one member) of a CNN, 3x3x16 and 3x3x32 of stride
2, dense 64, on 8x8 images at batch 64, momentum SGD, 16 learning rates of 50 updates,
compile apart. `plain` is the network as it is, `matmul` the same through
`with_matmul_convolutions` (which the engine applies to any model on a CPU):

- `engine`: `oc.sweep.build`, one CPU device per core, members one after another;
- `vmap`: `jax.jit(jax.vmap(run))`, a `lax.scan` inside, JAX's default device, both;
- `one`: `jax.jit(run)` of one member, both;
- `torch`: a bare PyTorch loop over a sample of the members.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import _measure
import numpy as np
from _measure import Row, spread, spread_of_ratios

BATCH = 64
MOMENTUM = 0.9
CONVOLUTIONS = ("plain", "matmul")
SIDES = ("engine", "vmap", "one", "torch")


class Size(NamedTuple):
    """How much is run: members, updates, timed repeats, members of the sample."""

    members: int = 16
    steps: int = 50
    repeats: int = 3
    sample: int = 4


QUICK = Size(members=2, steps=3, repeats=1, sample=1)

Figures = dict[str, float]


def rates(size: Size) -> np.ndarray:
    """The learning rates; none diverges, so that every update is made."""
    return np.geomspace(1e-4, 1e-2, size.members)


def data() -> tuple[np.ndarray, np.ndarray]:
    """The digits as images [n, 8, 8, 1], and their labels."""
    from optax_cycles import problems

    return problems.digits().train


def batch_order(steps: int) -> np.ndarray:
    """`[steps, BATCH]`: the examples of each update, for loops without the engine."""
    count = len(data()[0])
    return np.random.default_rng(0).integers(count, size=(steps, BATCH))


def flax_problem(convolutions: str) -> Any:
    """The network in Flax, which knows nothing of how its convolutions are computed."""
    from flax import linen as nn

    import optax_cycles as oc
    from optax_cycles.problems import classification_loss
    from optax_cycles.sweep.convolution import with_matmul_convolutions

    model = nn.Sequential(
        [
            nn.Conv(16, (3, 3), strides=2),
            nn.relu,
            nn.Conv(32, (3, 3), strides=2),
            nn.relu,
            lambda images: images.reshape(images.shape[0], -1),
            nn.Dense(64),
            nn.relu,
            nn.Dense(10),
        ]
    )
    example = (np.zeros((1, 8, 8, 1), np.float32),)
    problem = oc.problem_from_linen(model, classification_loss, example)
    if convolutions == "plain":
        return problem
    return problem._replace(loss=with_matmul_convolutions(problem.loss))


def engine_side(size: Size) -> Figures:
    """The sweep engine, all updates in one segment."""
    import optax

    import optax_cycles as oc

    devices = oc.sweep.use_cpu_devices()
    import jax

    key = jax.random.key(0)

    def per_step(convolutions: str) -> float:
        train = oc.trainable(
            flax_problem(convolutions),
            lambda hp: optax.sgd(hp["learning_rate"], momentum=MOMENTUM),
        )
        engine = oc.sweep.build(train, placement="map")
        batches = oc.sweep.ArrayBatches(data(), BATCH, key)
        segment = batches.segment(np.zeros(1), 0, size.steps, size.steps)
        space = {"learning_rate": rates(size)}

        def once() -> float:
            members = jax.block_until_ready(engine.init(key, space))

            def train_all() -> None:
                nonlocal members
                members, _ = engine.advance(members, segment)
                jax.block_until_ready(members)

            spent = _measure.seconds(train_all)
            if not np.all(np.asarray(members.step) == size.steps):
                raise RuntimeError("engine: not every member made every update")
            return spent

        once()
        spent = spread(once() for _ in range(size.repeats)).median
        return spent / size.members / size.steps * 1e6

    # The engine rewrites the model itself.
    return {"us_matmul": per_step("plain"), "devices": devices}


def scan_run(size: Size, convolutions: str) -> Callable[[Any], Any]:
    """`run(rate)`: what one writes first, a `lax.scan` over updates."""
    import jax
    import jax.numpy as jnp
    import optax

    problem = flax_problem(convolutions)
    images, labels = (jnp.asarray(part) for part in data())
    order = jnp.asarray(batch_order(size.steps))

    def run(rate: Any) -> Any:
        optimizer = optax.sgd(rate, momentum=MOMENTUM)
        params, state = problem.init(jax.random.key(0))

        def step(carry: Any, rows: Any) -> Any:
            params, opt_state = carry
            batch = (images[rows], labels[rows])
            gradient = jax.value_and_grad(problem.loss, has_aux=True)
            (value, _), grads = gradient(params, state, batch, jax.random.key(1))
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), value

        return jax.lax.scan(step, (params, optimizer.init(params)), order)

    return run


def _per_step(program: Any, values: Any, members: int, size: Size) -> float:
    import jax

    compiled = jax.jit(program).lower(values).compile()
    spent = _measure.median_seconds(
        lambda: jax.block_until_ready(compiled(values)), size.repeats
    )
    return spent / members / size.steps * 1e6


def vmap_side(size: Size) -> Figures:
    """All members side by side."""
    import jax
    import jax.numpy as jnp

    values = jnp.asarray(rates(size), jnp.float32)
    return {
        f"us_{name}": _per_step(
            jax.vmap(scan_run(size, name)), values, size.members, size
        )
        for name in CONVOLUTIONS
    }


def one_side(size: Size) -> Figures:
    """One member alone."""
    import jax.numpy as jnp

    rate = jnp.float32(rates(size)[0])
    return {
        f"us_{name}": _per_step(scan_run(size, name), rate, 1, size)
        for name in CONVOLUTIONS
    }


def torch_side(size: Size) -> Figures:
    """A bare PyTorch loop, with one thread and with all: the faster one counts."""
    import torch
    from torch import nn

    images, labels = data()
    inputs = torch.as_tensor(images.transpose(0, 3, 1, 2).copy())
    targets, order = torch.as_tensor(labels).long(), batch_order(size.steps)
    rows_of_steps = torch.as_tensor(order)
    criterion = nn.CrossEntropyLoss()
    chosen = rates(size)[:: max(1, size.members // size.sample)][: size.sample]

    def train_all() -> None:
        for rate in chosen:
            model = nn.Sequential(
                nn.Conv2d(1, 16, 3, stride=2, padding=1),
                nn.ReLU(),
                nn.Conv2d(16, 32, 3, stride=2, padding=1),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(128, 64),
                nn.ReLU(),
                nn.Linear(64, 10),
            )
            optimizer = torch.optim.SGD(model.parameters(), rate, momentum=MOMENTUM)
            for rows in rows_of_steps:
                optimizer.zero_grad()
                criterion(model(inputs[rows]), targets[rows]).backward()
                optimizer.step()

    def per_step(threads: int) -> float:
        torch.set_num_threads(threads)
        spent = _measure.median_seconds(train_all, size.repeats)
        return spent / len(chosen) / size.steps * 1e6

    every = torch.get_num_threads()
    with_all, with_one = per_step(every), per_step(1)
    figures = {"us_all_threads": with_all, "us_one_thread": with_one}
    return {"us": min(with_all, with_one), **figures}


ROWS = (
    ("CNN sweep, unmodified model", "engine", "jit(vmap(scan))", "vmap", "plain", 15),
    ("CNN sweep, unmodified model", "engine", "torch bare loop", "torch", "", 3),
    ("CNN, jit(vmap(scan))", "vmap", "the same, plain", "vmap", "plain", 1),
    ("CNN, one member in scan", "one", "the same, plain", "one", "plain", 1),
)


def rows_of(said: dict[str, dict[str, list[float]]], size: Size) -> list[Row]:
    """The rows of the table; one with a side that was not run is empty."""
    rows = []
    for work, side, against, other, convolutions, goal in ROWS:
        name = f"us_{convolutions}" if convolutions else "us"
        ours = said.get(side, {}).get("us_matmul")
        theirs = said.get(other, {}).get(name)
        value, note = None, "not run"
        if ours and theirs:
            value = spread_of_ratios(theirs, ours)
            medians = spread(ours).median, spread(theirs).median
            note = "{:.0f} us against {:.0f} us per member-step".format(*medians)
        what = f"{work}, {size.members} rates x {size.steps} updates"
        if side == "one":
            what = f"{work}, {size.steps} updates"
        rows.append(Row(what, against, value, "x faster", goal, note=note))
    return rows


def without_torch(sides: list[str]) -> list[str]:
    """The sides that can run here."""
    try:
        import torch  # noqa: F401
    except ImportError:
        return [side for side in sides if side != "torch"]
    return sides


def main() -> None:
    parser = _measure.arguments(str(__doc__).splitlines()[0], SIDES)
    given: argparse.Namespace = parser.parse_args()
    size = QUICK if given.quick else Size()
    quick = ["--quick"] if given.quick else []
    if given.side:
        sides = (engine_side, vmap_side, one_side, torch_side)
        _measure.say(dict(zip(SIDES, sides, strict=True))[given.side](size))
        return
    found = _measure.environment()
    run = without_torch(given.sides)
    said = _measure.alternate(__file__, run, given.rounds, quick)
    settings = {**size._asdict(), "batch": BATCH}
    record = {"environment": found, "settings": settings, "sides": said}
    _measure.finish("convolution", given.results, record, rows_of(said, size))


if __name__ == "__main__":
    main()
