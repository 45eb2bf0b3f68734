"""A sweep of 256 learning rates of a small MLP, against what people do today.

Time per member-step (one update of one member) of an MLP 64-128-128-10 at batch
64, momentum SGD, 256 learning rates of 200 updates, compile apart:

- `engine`: `oc.sweep.build`, one CPU device per core, its default placement;
- `vmap`: `jax.jit(jax.vmap(run))`, a `lax.scan` inside, JAX's default one device;
- `torch`: a bare PyTorch loop over a sample of the members;
- `finder`: torch-lr-finder, per iteration;
- `gemm`: the machine's rate of float32 1024 x 1024 matrix products, all cores.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import _measure
import numpy as np
from _measure import Row, spread, spread_of_ratios

LAYERS = (64, 128, 128, 10)
BATCH = 64
MOMENTUM = 0.9
SIDES = ("engine", "vmap", "torch", "finder", "gemm")


class Size(NamedTuple):
    """How much is run: members, updates, timed repeats, members of the sample."""

    members: int = 256
    steps: int = 200
    repeats: int = 3
    sample: int = 4


QUICK = Size(members=4, steps=10, repeats=1, sample=1)


def rates(size: Size) -> np.ndarray:
    """The learning rates; none diverges, so that every update is made."""
    return np.geomspace(1e-4, 1e-1, size.members)


def data() -> tuple[np.ndarray, np.ndarray]:
    """The digits as vectors, and their labels."""
    from optax_cycles import problems

    images, labels = problems.digits().train
    return images.reshape(len(images), -1), labels


def flops() -> int:
    """Floating-point operations of the matrix products of one update.

    2 m n k for each layer forward, again for the gradient of its weights, and
    again for the gradient of its input, which the first layer does not need.
    """
    layers = [2 * BATCH * m * n for m, n in itertools.pairwise(LAYERS)]
    return 3 * sum(layers) - layers[0]


def batch_order(steps: int) -> np.ndarray:
    """`[steps, BATCH]`: the examples of each update, for the loops of the peers."""
    count = len(data()[0])
    return np.random.default_rng(0).integers(count, size=(steps, BATCH))


def jax_problem() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`init(key)` and `loss(params, batch, key)` of the MLP in plain JAX."""
    import jax
    import jax.numpy as jnp
    import optax

    def init(key: Any) -> Any:
        pairs = list(itertools.pairwise(LAYERS))
        keys = jax.random.split(key, len(pairs))
        return [
            (jax.random.normal(k, (m, n)) * (2 / m) ** 0.5, jnp.zeros(n))
            for k, (m, n) in zip(keys, pairs, strict=True)
        ]

    def loss(params: Any, batch: Any, _: Any) -> Any:
        hidden, labels = batch
        for weights, bias in params[:-1]:
            hidden = jax.nn.relu(hidden @ weights + bias)
        weights, bias = params[-1]
        logits = hidden @ weights + bias
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    return init, loss


def engine_side(size: Size) -> dict[str, float]:
    """The sweep engine: one segment of all updates, and ten segments."""
    import optax

    import optax_cycles as oc

    devices = oc.sweep.use_cpu_devices()
    import jax

    train = oc.trainable(
        oc.problem_from_loss(*jax_problem()),
        lambda hp: optax.sgd(hp["learning_rate"], momentum=MOMENTUM),
    )
    engine = oc.sweep.build(train)
    key = jax.random.key(0)
    batches = oc.sweep.ArrayBatches(data(), BATCH, key)
    batches.data = engine.place(batches.data)
    space = {"learning_rate": rates(size)}

    def per_step(parts: int) -> float:
        """Microseconds for a member-step with the updates cut into `parts`."""
        part = size.steps // parts
        starts = range(0, size.steps, part)
        segments = [batches.segment(np.zeros(1), at, part, part) for at in starts]

        def once() -> float:
            members = jax.block_until_ready(engine.init(key, space))

            def train_all() -> None:
                nonlocal members
                for segment in segments:
                    members, _ = engine.advance(members, segment)
                jax.block_until_ready(members)

            spent = _measure.seconds(train_all)
            if not np.all(np.asarray(members.step) == size.steps):
                raise RuntimeError("engine: not every member made every update")
            return spent

        once()
        spent = spread(once() for _ in range(size.repeats)).median
        return spent / size.members / size.steps * 1e6

    figures = {"us": per_step(1)}
    figures["compile"] = engine.compile_seconds["advance"]
    return {**figures, "us_10_segments": per_step(10), "devices": devices}


def vmap_side(size: Size) -> dict[str, float]:
    """What one writes first: `jit(vmap(run))` on JAX's default devices."""
    import jax
    import jax.numpy as jnp
    import optax

    init, loss = jax_problem()
    inputs, labels = (jnp.asarray(part) for part in data())
    order = jnp.asarray(batch_order(size.steps))

    def run(rate: Any) -> Any:
        optimizer = optax.sgd(rate, momentum=MOMENTUM)
        params = init(jax.random.key(0))

        def step(carry: Any, rows: Any) -> Any:
            params, state = carry
            batch = (inputs[rows], labels[rows])
            value, grads = jax.value_and_grad(loss)(params, batch, None)
            updates, state = optimizer.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), value

        return jax.lax.scan(step, (params, optimizer.init(params)), order)

    values = jnp.asarray(rates(size), jnp.float32)
    compiled = jax.jit(jax.vmap(run)).lower(values).compile()
    spent = _measure.median_seconds(
        lambda: jax.block_until_ready(compiled(values)), size.repeats
    )
    figures = {"us": spent / size.members / size.steps * 1e6}
    return {**figures, "devices": jax.device_count()}


def torch_model() -> Any:
    """The MLP in PyTorch."""
    from torch import nn

    layers: list[Any] = []
    for m, n in itertools.pairwise(LAYERS):
        layers += [nn.Linear(m, n), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def torch_side(size: Size) -> dict[str, float]:
    """A bare PyTorch loop, with one thread and with all: the faster one counts."""
    import torch

    inputs, labels = (torch.as_tensor(part) for part in data())
    labels, order = labels.long(), torch.as_tensor(batch_order(size.steps))
    criterion = torch.nn.CrossEntropyLoss()
    chosen = rates(size)[:: max(1, size.members // size.sample)][: size.sample]

    def train_all() -> None:
        for rate in chosen:
            model = torch_model()
            optimizer = torch.optim.SGD(model.parameters(), rate, momentum=MOMENTUM)
            for rows in order:
                optimizer.zero_grad()
                criterion(model(inputs[rows]), labels[rows]).backward()
                optimizer.step()

    def per_step(threads: int) -> float:
        torch.set_num_threads(threads)
        spent = _measure.median_seconds(train_all, size.repeats)
        return spent / len(chosen) / size.steps * 1e6

    every = torch.get_num_threads()
    with_all, with_one = per_step(every), per_step(1)
    figures = {"us_all_threads": with_all, "us_one_thread": with_one}
    return {"us": min(with_all, with_one), **figures}


def finder_side(size: Size) -> dict[str, float]:
    """torch-lr-finder as its manual has it: a `DataLoader`, an exponential ramp."""
    import torch
    from torch_lr_finder import LRFinder

    inputs, labels = (torch.as_tensor(part) for part in data())
    pairs = torch.utils.data.TensorDataset(inputs, labels.long())
    loader = torch.utils.data.DataLoader(pairs, batch_size=BATCH, shuffle=True)
    low, high = float(rates(size)[0]), float(rates(size)[-1])
    made = []

    def test() -> None:
        model = torch_model()
        optimizer = torch.optim.SGD(model.parameters(), low, momentum=MOMENTUM)
        finder = LRFinder(model, optimizer, torch.nn.CrossEntropyLoss(), device="cpu")
        with contextlib.redirect_stdout(io.StringIO()):
            finder.range_test(loader, end_lr=high, num_iter=size.steps)
        made.append(len(finder.history["loss"]))

    def per_step(threads: int) -> float:
        torch.set_num_threads(threads)
        spent = _measure.median_seconds(test, size.repeats)
        if set(made) != {size.steps}:
            raise RuntimeError(f"finder: stopped early, after {made} iterations")
        return spent / size.steps * 1e6

    every = torch.get_num_threads()
    with_all, with_one = per_step(every), per_step(1)
    figures = {"us_all_threads": with_all, "us_one_thread": with_one}
    return {"us": min(with_all, with_one), **figures}


def gemm_side(size: Size) -> dict[str, float]:
    """The rate of a large float32 matrix product through JAX on all cores."""
    import jax
    import jax.numpy as jnp

    n = 1024
    left, right = (jax.random.normal(jax.random.key(i), (n, n)) for i in range(2))
    product = jax.jit(jnp.matmul)
    spent = _measure.median_seconds(
        lambda: jax.block_until_ready(product(left, right)), 20 * size.repeats
    )
    return {"gflops": 2 * n**3 / spent / 1e9}


def rows_of(said: dict[str, dict[str, list[float]]], size: Size) -> list[Row]:
    """The rows of the table; a side that was not run leaves an empty one."""
    work = f"MLP sweep, {size.members} rates x {size.steps} updates"
    ours = said.get("engine", {}).get("us")
    goals = {
        "vmap": ("jit(vmap(scan)), one device", 2.5),
        "torch": ("torch bare loop", 10.0),
        "finder": ("torch-lr-finder, per iteration", 20.0),
    }
    rows = []
    for side, (against, goal) in goals.items():
        theirs = said.get(side, {}).get("us")
        value, note = None, "not run"
        if ours and theirs:
            value = spread_of_ratios(theirs, ours)
            medians = spread(ours).median, spread(theirs).median
            note = "{:.0f} us against {:.0f} us per member-step".format(*medians)
        rows.append(Row(work, against, value, "x faster", goal, note=note))
    rate = said.get("gemm", {}).get("gflops")
    value, note = None, "not run"
    if ours and rate:
        shares = [flops() / us / g / 10 for us, g in zip(ours, rate, strict=True)]
        value = spread(shares)
        note = f"{spread(rate).median:.0f} GFLOP/s at 1024^3"
    rows.append(Row(work, "float32 GEMM rate", value, "% of the rate", 60, note=note))
    return rows


def main() -> None:
    parser = _measure.arguments(str(__doc__).splitlines()[0], SIDES)
    given: argparse.Namespace = parser.parse_args()
    size = QUICK if given.quick else Size()
    quick = ["--quick"] if given.quick else []
    if given.side:
        sides = (engine_side, vmap_side, torch_side, finder_side, gemm_side)
        _measure.say(dict(zip(SIDES, sides, strict=True))[given.side](size))
        return
    found = _measure.environment()
    said = _measure.alternate(__file__, given.sides, given.rounds, quick)
    settings = {**size._asdict(), "layers": LAYERS, "batch": BATCH, "flops": flops()}
    record = {"environment": found, "settings": settings, "sides": said}
    _measure.finish("sweep_mlp", given.results, record, rows_of(said, size))


if __name__ == "__main__":
    main()
