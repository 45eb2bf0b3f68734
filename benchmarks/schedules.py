"""What a schedule costs: in a train step, in compiles, and against PyTorch's objects.

- In a jitted train step of an MLP 64-128-128-10 at batch 64, momentum SGD through
  `oc.inject`, every schedule and policy against constant functions of the step under
  the same names, on one thread: loops of updates in alternation, the least time of
  each.
- Alone, in a loop of 10^6 steps inside one program, as a share of such an update:
  this leaves out what the compiler hides, and the noise of the machine.
- Compiles over 10^6 calls' worth of steps: the program's trace is counted.
- 10^6 steps as one array, per step, against `scheduler.step()` of PyTorch.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
import statistics
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import _measure
import jax
import jax.numpy as jnp
import numpy as np
import optax
from _measure import Row, Spread, median_seconds, seconds

import optax_cycles as oc

LAYERS = (64, 128, 128, 10)
BATCH = 64


class Size(NamedTuple):
    """How much is run."""

    updates: int = 100
    rounds: int = 41
    copies: int = 5
    steps: int = 1_000_000
    torch_steps: int = 20_000


QUICK = Size(updates=3, rounds=2, copies=1, steps=1000, torch_steps=100)


def schedules(n: int) -> dict[str, Any]:
    """Every schedule and policy, over `n` steps."""
    p, lr = n // 100, 0.05
    wave = oc.triangular(0.01, lr, p)
    return {
        "triangular": wave,
        "triangular2": oc.triangular2(0.01, lr, p),
        "exp_range": oc.exp_range(0.01, lr, p, gamma=0.99999),
        "cyclical": oc.cyclical(0.01, lr, p, scale_fn=lambda cycle: 1 / cycle),
        "one_cycle": oc.one_cycle(n, lr),
        "one_cycle, three phases": oc.one_cycle(n, lr, three_phase=True),
        "one_cycle_annihilated": oc.one_cycle_annihilated(n, lr),
        "one_cycle_smith": oc.one_cycle_smith(0.01, lr, n // 2),
        "warm_restarts": oc.warm_restarts(p, lr, period_mult=2),
        "noam": oc.noam(512, p),
        "linear_decay": oc.linear_decay(lr, n),
        "cosine_decay": oc.cosine_decay(lr, n),
        "cosine_decay, exponent": oc.cosine_decay(lr, n, exponent=1.5),
        "polynomial_decay": oc.polynomial_decay(lr, p, power=1.5, cycle=True),
        "exponential_decay": oc.exponential_decay(lr, p, 0.99),
        "natural_exp_decay": oc.natural_exp_decay(lr, p, 0.1),
        "inverse_time_decay": oc.inverse_time_decay(lr, p, 0.1),
        "linear_cosine_decay": oc.linear_cosine_decay(lr, n),
        "piecewise_constant": oc.piecewise_constant([p, 2 * p], [lr, 0.02, 0.01]),
        "inverse_sqrt": oc.inverse_sqrt(lr, p),
        "power_decay": oc.power_decay(lr, p, power=0.7),
        "warmup_stable_decay": oc.warmup_stable_decay(lr, p, n // 2, n // 3),
        "gradual_warmup": oc.gradual_warmup(oc.cosine_decay(0.01, n), p, multiplier=5),
        "join": oc.join([wave, oc.linear_decay(lr, n // 2)], [n // 2]),
        "product": oc.product(oc.warmup(p), wave, oc.cooldown(n // 2, n // 2)),
        "scale, shift, clip, repeat": oc.scale(
            oc.clip(oc.shift(oc.repeat(oc.linear_decay(lr, n), p), p), 0.01, 0.04), 0.5
        ),
        "one_cycle_policy": oc.one_cycle_policy(n, lr, weight_decay=(0.0, 1e-4)),
        "one_cycle_annihilated_policy": oc.one_cycle_annihilated_policy(n, lr),
        "one_cycle_smith_policy": oc.one_cycle_smith_policy(0.01, lr, n // 2),
        "cyclical_policy": oc.cyclical_policy(0.01, lr, p, mode="triangular2"),
        "warm_restarts_policy": oc.warm_restarts_policy(
            p, lr, period_mult=2, normalized_decay=1e-3, momentum=(0.8, 0.9)
        ),
    }


def as_policy(made: Any) -> dict[str, Any]:
    """A schedule is the policy of a learning rate alone."""
    return dict(made) if isinstance(made, Mapping) else {"learning_rate": made}


def sgd(
    learning_rate: Any, momentum: Any = 0.9, weight_decay: Any = 0.0
) -> optax.GradientTransformation:
    """Momentum SGD that takes every name of the policies."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay), optax.sgd(learning_rate, momentum)
    )


def updates_of(policy: Mapping[str, Any], size: Size) -> Callable[[], Any]:
    """A compiled loop of updates of the MLP with this policy."""
    optimizer = oc.inject(sgd, policy)
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(BATCH, LAYERS[0])), jnp.float32)
    labels = jnp.asarray(rng.integers(0, LAYERS[-1], BATCH))
    shapes = itertools.pairwise(LAYERS)
    params = [
        (jnp.asarray(rng.normal(0, i**-0.5, (i, o)), jnp.float32), jnp.zeros(o))
        for i, o in shapes
    ]

    def loss(params: Any) -> jax.Array:
        x = inputs
        for weights, bias in params[:-1]:
            x = jax.nn.relu(x @ weights + bias[None])
        logits = x @ params[-1][0] + params[-1][1][None]
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def update(carry: Any, _: None) -> Any:
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    run = jax.jit(lambda carry: jax.lax.scan(update, carry, length=size.updates)[0])
    start = (params, optimizer.init(params))
    return lambda: jax.block_until_ready(run(start))


def in_a_train_step(made: Mapping[str, Any], size: Size) -> dict[str, dict[str, float]]:
    """The least seconds of one update, with each policy and with constants.

    All programs take turns in every round, so that a slow spell hits them alike. Each
    is compiled several times over, because copies differ by where their buffers lie;
    the median copy counts, and the constants' copies show the noise.
    """
    policies = {name: as_policy(found) for name, found in made.items()}
    runs, still = {}, {}
    for name, policy in policies.items():
        values = {key: float(schedule(0)) for key, schedule in policy.items()}
        # Functions too: numbers would be folded into the program.
        constant = {key: optax.constant_schedule(v) for key, v in values.items()}
        still[name] = ", ".join(constant)
        for copy in range(size.copies):
            if (still[name], copy) not in runs:
                runs[still[name], copy] = updates_of(constant, size)
            runs[name, copy] = updates_of(policy, size)
    for run in runs.values():
        run()
    times: dict[Any, list[float]] = {name: [] for name in runs}
    for number in range(size.rounds):
        for name in list(runs) if number % 2 else list(runs)[::-1]:
            times[name].append(seconds(runs[name]) / size.updates)
    least = {name: min(found) for name, found in times.items()}
    found = {}
    for name in policies:
        copies = [least[still[name], copy] for copy in range(size.copies)]
        ours = statistics.median(least[name, copy] for copy in range(size.copies))
        constant = statistics.median(copies)
        found[name] = {
            "ours": ours,
            "constant": constant,
            "more": 100 * (ours / constant - 1),
            "noise": 100 * (max(copies) / min(copies) - 1),
        }
    return found


def alone(made: Any, size: Size) -> dict[str, float]:
    """Seconds of one step of a loop of many, and how often it was compiled."""
    policy, traces = as_policy(made), []

    @jax.jit
    def run(count: jax.Array) -> jax.Array:
        traces.append(count)

        def step(t: jax.Array, total: jax.Array) -> jax.Array:
            # A step that waits for the last value, so that none are taken together.
            t = t + (total < 0).astype(jnp.int32)
            return total + sum(schedule(t) for schedule in policy.values())

        return jax.lax.fori_loop(0, count, step, jnp.float32(0))

    def whole() -> None:
        jax.block_until_ready(run(size.steps))

    empty = jax.jit(
        lambda count: jax.lax.fori_loop(
            0, count, lambda t, total: total + (t > total), jnp.float32(0)
        )
    )
    loop = median_seconds(lambda: jax.block_until_ready(empty(size.steps)), 3)
    each = (median_seconds(whole, 3) - loop) / size.steps
    return {"each": max(each, 0.0), "traces": len(traces)}


def torch_objects(n: int) -> dict[str, Callable[[Any, Any], Any]]:
    """PyTorch's schedulers that a schedule here replaces."""
    p = n // 100
    return {
        "triangular": lambda s, o: s.CyclicLR(o, 0.01, 0.05, p, cycle_momentum=False),
        "one_cycle": lambda s, o: s.OneCycleLR(
            o, 0.05, total_steps=n, cycle_momentum=False
        ),
        "warm_restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, p, 2),
        "exponential_decay": lambda s, o: s.ExponentialLR(o, 0.9999),
        "linear_decay": lambda s, o: s.LinearLR(o, 1.0, 0.1, n),
        "cosine_decay": lambda s, o: s.CosineAnnealingLR(o, n),
    }


def torch_seconds(make: Callable[[Any, Any], Any], size: Size) -> float:
    """Seconds of one step of a scheduler object."""
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    optimizer.step()

    def many() -> None:
        for _ in range(size.torch_steps):
            scheduler.step()

    return min(seconds(many) for _ in range(3)) / size.torch_steps


def as_an_array(schedule: Any, size: Size) -> float:
    """Seconds of one step of an array of many."""
    run, steps = jax.jit(schedule), jnp.arange(size.steps)
    jax.block_until_ready(run(steps))
    times = [seconds(lambda: jax.block_until_ready(run(steps))) for _ in range(15)]
    return min(times) / size.steps


def against_torch(size: Size) -> dict[str, dict[str, float]]:
    """Seconds a step, for each schedule that PyTorch has too."""
    ours = schedules(size.steps)
    found = {}
    for name, make in torch_objects(size.steps).items():
        array, theirs = as_an_array(ours[name], size), torch_seconds(make, size)
        found[name] = {"array": array, "torch": theirs, "ratio": theirs / array}
    return found


def worst(values: list[float], *, least: bool = False) -> Spread:
    """The spread whose figure is the worst of all, which the goal is set for."""
    low, high = min(values), max(values)
    return Spread(low if least else high, low, high)


def rows_of(
    steps: Mapping[str, Any], loops: Mapping[str, Any], torch: Mapping[str, Any]
) -> list[Row]:
    """The rows of the table."""
    update = min(found["constant"] for found in steps.values())
    dearest = max(steps, key=lambda name: steps[name]["more"])
    shares = {name: 100 * found["each"] / update for name, found in loops.items()}
    slowest = max(shares, key=lambda name: shares[name])
    noise = max(found["noise"] for found in steps.values())
    usual = statistics.median(found["more"] for found in steps.values())
    train = "a schedule or policy in a jitted train step"
    rows = [
        Row(
            f"{train}, all {len(steps)}",
            "constant rate",
            worst([found["more"] for found in steps.values()]),
            "% more time",
            1.0,
            at_most=True,
            note=f"dearest: {dearest}; median {usual:+.2f} %; copies of one program "
            f"differ by up to {noise:.1f} %",
        ),
        Row(
            "its own loop of 10^6 steps, as a share of an update",
            "constant rate",
            worst(list(shares.values())),
            "% of an update",
            1.0,
            at_most=True,
            note=f"dearest: {slowest}, {1e9 * loops[slowest]['each']:.0f} ns a step",
        ),
        Row(
            "compiles over 10^6 steps",
            "one",
            worst([found["traces"] for found in loops.values()]),
            "compile",
            1,
            at_most=True,
        ),
    ]
    ratios: Spread | None = None
    note = "PyTorch is not installed"
    if torch:
        ratios = worst([found["ratio"] for found in torch.values()], least=True)
        least = min(torch, key=lambda name: torch[name]["ratio"])
        note = f"least: {least}, {1e9 * torch[least]['array']:.1f} ns a step"
    work = "10^6 steps as an array, per step"
    rows.append(
        Row(work, "torch scheduler object", ratios, "x faster", 1000, note=note)
    )
    return rows


def main() -> None:
    parser = _measure.arguments(__doc__ or "", ())
    parser.add_argument("--side", choices=["array"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    size = QUICK if given.quick else Size()
    if given.side:
        _measure.say(against_torch(size))
        return
    found = _measure.environment()
    torch: dict[str, Any] = {}
    if importlib.util.find_spec("torch"):
        # In a process of its own, with the threads that a user has.
        quick = ["--quick"] if given.quick else []
        torch = _measure.run_side(__file__, "array", quick)
        torch = {name: torch[name] for name in torch_objects(size.steps)}
    # Read when JAX starts: a thread pool that other processes disturb would hide a
    # hundredth of a train step.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    made = schedules(size.steps)
    loops = {name: alone(schedule, size) for name, schedule in made.items()}
    steps = in_a_train_step(made, size)
    record = {
        "environment": found,
        "settings": size._asdict(),
        "train_step": steps,
        "loop": loops,
        "torch": torch,
    }
    _measure.finish("schedules", given.results, record, rows_of(steps, loops, torch))


if __name__ == "__main__":
    main()
