"""The types of `transformers.get_scheduler` (in float64), and what replaces them."""

import functools
import math

import cases_torch
import jax
import jax.numpy as jnp
from peer_cases import Case, case

import optax_cycles as oc


def run(name, lr, warm, total, *, count=None, **options):
    """The rates of `transformers.get_scheduler(name, ...)`."""

    def make(_, optimizer):
        from transformers import get_scheduler

        return get_scheduler(
            name, optimizer, warm, total, scheduler_specific_kwargs=options
        )

    return cases_torch.run(make, lr=lr, count=count or total + 5)


def _numbers(draw):
    warm, total = draw.randint(0, 12), draw.randint(20, 40)
    return draw.uniform(0.01, 2.0), warm, total


def _warm(lr, warm, after):
    return oc.join([oc.linear_decay(0.0, warm, end_value=lr), after], [warm])


@case("transformers")
def constant(draw):
    lr, warm, total = _numbers(draw)
    return Case(
        oc.piecewise_constant([], [lr]), lambda: run("constant", lr, warm, total)
    )


@case("transformers")
def constant_with_warmup(draw):
    lr, warm, total = _numbers(draw)
    ours = oc.linear_decay(0.0, warm, end_value=lr)
    return Case(ours, lambda: run("constant_with_warmup", lr, warm, total))


@case("transformers")
def linear(draw):
    lr, warm, total = _numbers(draw)
    ours = _warm(lr, warm, oc.linear_decay(lr, total - warm))
    return Case(ours, lambda: run("linear", lr, warm, total))


@case("transformers")
def cosine(draw):
    lr, warm, total = _numbers(draw)
    ours = _warm(lr, warm, oc.cosine_decay(lr, total - warm))
    # Up to the end: afterwards theirs rises again. cos(pi) + 1 costs theirs 1e-16.
    theirs = functools.partial(run, "cosine", lr, warm, total, count=total + 1)
    return Case(ours, theirs, atol=1e-15)


@case("transformers")
def cosine_of_several_waves(draw):
    lr, warm, total = _numbers(draw)
    waves = draw.uniform(0.5, 3.0)
    ours = oc.warmup_stable_decay(
        lr,
        warm,
        0,
        total - warm,
        decay_shape=lambda q: (1 + jnp.cos(2 * math.pi * waves * q)) / 2,
    )

    def theirs():
        return run("cosine", lr, warm, total, count=total, num_cycles=waves)

    # A shape of one's own subtracts in float32 where the wave touches 0.
    return Case(ours, theirs, atol=5e-6)


@case("transformers")
def cosine_with_restarts(draw):
    lr, warm, _ = _numbers(draw)
    # Powers of two, of which theirs finds the remainder without rounding.
    cycles, period = draw.choice([1, 2, 4]), draw.choice([4, 8])
    ours = oc.join(
        [
            oc.linear_decay(0.0, warm, end_value=lr),
            oc.warm_restarts(period, lr),
            lambda t: 0.0,
        ],
        [warm, warm + cycles * period],
    )

    def theirs():
        total = warm + cycles * period
        return run("cosine_with_restarts", lr, warm, total, num_cycles=cycles)

    return Case(ours, theirs)


@case("transformers")
def cosine_with_restarts_anywhere(draw):
    # Cycles that do not end on a whole step.
    lr, warm, _ = _numbers(draw)
    total = warm + draw.choice([16, 25, 32])
    shape = oc.warmup_stable_decay(
        lr,
        warm,
        0,
        total - warm,
        decay_shape=lambda q: jnp.where(
            q < 1, (1 + jnp.cos(jnp.pi * (3 * q % 1))) / 2, 0
        ),
    )

    def theirs():
        return run("cosine_with_restarts", lr, warm, total, num_cycles=3)

    # The remainder of 3 q is off by its float32 rounding, times a slope of pi / 2.
    return Case(shape, theirs, atol=1e-6)


@case("transformers")
def polynomial(draw):
    lr, warm, total = _numbers(draw)
    power, end = draw.uniform(0.3, 3.0), draw.uniform(1e-7, 1e-3)
    after = oc.polynomial_decay(lr, total - warm, power=power, end_value=end)

    def theirs():
        return run("polynomial", lr, warm, total, power=power, lr_end=end)

    return Case(_warm(lr, warm, after), theirs)


@case("transformers")
def inverse_sqrt(draw):
    lr, warm, total = _numbers(draw)
    timescale = draw.choice([None, draw.randint(1, 50)])
    ours = oc.inverse_sqrt(lr, warm, timescale=timescale)

    def theirs():
        return run("inverse_sqrt", lr, warm, total, timescale=timescale)

    return Case(ours, theirs)


@case("transformers")
def cosine_with_min_lr(draw):
    lr, warm, total = _numbers(draw)
    ratio = draw.uniform(0.01, 0.5)
    ours = _warm(lr, warm, oc.cosine_decay(lr, total - warm, end_ratio=ratio))

    def theirs():
        return run(
            "cosine_with_min_lr", lr, warm, total, count=total + 1, min_lr_rate=ratio
        )

    return Case(ours, theirs)


@case("transformers")
def cosine_warmup_with_min_lr(draw):
    lr, warm, total = _numbers(draw)
    ratio = draw.uniform(0.01, 0.5)
    # Both of its phases are one step ahead.
    ours = oc.join(
        [
            oc.shift(oc.linear_decay(0.0, warm, end_value=lr), -1),
            oc.shift(oc.cosine_decay(lr, total - warm, end_ratio=ratio), -1),
        ],
        [warm],
    )

    def theirs():
        name = "cosine_warmup_with_min_lr"
        return run(name, lr, warm, total, count=total, min_lr_rate=ratio)

    return Case(ours, theirs)


@case("transformers")
def warmup_stable_decay(draw):
    lr, warm, stable, decay = (
        draw.uniform(0.01, 2),
        *(draw.randint(0, 12) for _ in "abc"),
    )
    ratio, shape = draw.uniform(0.0, 0.3), draw.choice(["linear", "cosine", "1-sqrt"])
    ours = oc.warmup_stable_decay(
        lr, warm, stable, decay, decay_shape=shape, end_ratio=ratio, init_ratio=ratio
    )

    def theirs():
        return run(
            "warmup_stable_decay",
            lr,
            warm,
            None,
            count=warm + stable + decay + 5,
            num_stable_steps=stable,
            num_decay_steps=decay,
            decay_type=shape,
            min_lr_ratio=ratio,
        )

    return Case(ours, theirs)


@case("transformers")
def warmup_stable_decay_with_other_warmups(draw):
    lr, warm, stable, decay = (
        draw.uniform(0.01, 2),
        *(draw.randint(1, 12) for _ in "abc"),
    )
    kind = draw.choice(["cosine", "1-sqrt"])
    # Their "1-sqrt" warm-up is the mirror image in time of the decay.
    rise = "cosine" if kind == "cosine" else lambda q: jnp.sqrt(1 - q)
    ours = oc.scale(
        oc.product(oc.warmup(warm, rise), oc.cooldown(warm + stable, decay, "1-sqrt")),
        lr,
    )

    def theirs():
        return run(
            "warmup_stable_decay",
            lr,
            warm,
            None,
            count=warm + stable + decay + 5,
            num_stable_steps=stable,
            num_decay_steps=decay,
            warmup_type=kind,
            decay_type="1-sqrt",
        )

    return Case(ours, theirs, atol=1e-7)


@case("transformers")
def greedy(draw):
    # Positive metrics, on which the two relative margins are the same.
    count = 60
    level = [2.0 - min(t, 25) / 25 + 0.02 * draw.random() for t in range(count)]
    options = {
        "factor": draw.uniform(0.5, 0.9),
        "patience": draw.randint(0, 2),
        "threshold": draw.uniform(0.0, 0.01),
        "threshold_mode": draw.choice(["rel", "abs"]),
        "cooldown": draw.randint(0, 2),
        "warmup": draw.randint(0, 2),
    }
    ends = {"min": 0.05, "max": 0.8}
    window, after = draw.randint(1, 4), draw.randint(1, 4)
    ours = oc.greedy(
        0.2,
        min_value=ends["min"],
        max_value=ends["max"],
        window=window,
        restart_after=after,
        **options,
    )

    def values(steps):
        def update(state, metric):
            state = ours.update(state, value=metric)
            return state, state.value

        return jax.lax.scan(update, ours.init(), jnp.asarray(level))[1][steps]

    more = {"smooth": True, "window_size": window, "reset_start": after} | options
    limits = {"min_lr": ends["min"], "max_lr": ends["max"]}
    return Case(values, lambda: _greedy(level, more | limits))


def _greedy(metrics, options):
    import torch
    from transformers.optimization import GreedyLR

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    scheduler, values = GreedyLR(optimizer, **options), []
    for metric in metrics:
        scheduler.step(metric)
        values.append(optimizer.param_groups[0]["lr"])
    return values
