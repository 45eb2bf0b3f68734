"""Schedulers of `torch.optim.lr_scheduler` (in float64), and what replaces them."""

import warnings

import jax
import jax.numpy as jnp
from peer_cases import Case, case

import optax_cycles as oc

COUNT = 48


def run(make, *, lr=1.0, count=COUNT, read=lambda group: group["lr"], adam=False):
    """What an optimizer's scheduler sets for `count` updates."""
    import torch

    parameters = [torch.nn.Parameter(torch.zeros(1))]
    if adam:
        optimizer = torch.optim.Adam(parameters, lr=lr)
    else:
        optimizer = torch.optim.SGD(parameters, lr=lr, momentum=0.9)
    values = []
    with warnings.catch_warnings():
        # torch's own SequentialLR calls `step` in a way that torch warns of.
        warnings.simplefilter("ignore")
        scheduler = make(torch.optim.lr_scheduler, optimizer)
        for number in range(count):
            values.append(read(optimizer.param_groups[0]))
            if number < count - 1:
                optimizer.step()
                scheduler.step()
    return values


def _cyclic(draw, mode):
    base, peak = sorted(draw.uniform(0.01, 2.0) for _ in range(2))
    up, down = draw.randint(1, 12), draw.randint(1, 12)
    gamma = draw.uniform(0.9, 1.0) if mode == "exp_range" else 1.0
    policy = oc.cyclical_policy(
        base, peak, up, step_size_down=down, mode=mode, gamma=gamma
    )

    def make(schedulers, optimizer):
        return schedulers.CyclicLR(
            optimizer, base, peak, up, down, mode=mode, gamma=gamma
        )

    return policy, make


@case("torch")
def cyclic_triangular(draw):
    policy, make = _cyclic(draw, "triangular")
    return Case(policy["learning_rate"], lambda: run(make))


@case("torch")
def cyclic_triangular2(draw):
    policy, make = _cyclic(draw, "triangular2")
    return Case(policy["learning_rate"], lambda: run(make))


@case("torch")
def cyclic_exp_range(draw):
    policy, make = _cyclic(draw, "exp_range")
    return Case(policy["learning_rate"], lambda: run(make))


@case("torch")
def cyclic_momentum(draw):
    policy, make = _cyclic(draw, "triangular2")
    return Case(policy["momentum"], lambda: run(make, read=lambda g: g["momentum"]))


@case("torch")
def cyclic_scale_fn(draw):
    up = draw.randint(1, 9)
    ours = oc.cyclical(0.1, 1.0, up, scale_fn=lambda cycle: 1 / cycle)

    def make(schedulers, optimizer):
        return schedulers.CyclicLR(
            optimizer, 0.1, 1.0, up, scale_fn=lambda cycle: 1 / cycle
        )

    return Case(ours, lambda: run(make))


def _one_cycle(draw, **torch_options):
    total, peak = draw.randint(5, COUNT), draw.uniform(0.01, 3.0)
    options = {
        "pct_start": draw.uniform(0.05, 0.45),
        "div_factor": draw.uniform(2, 50),
        "final_div_factor": draw.uniform(2, 1000),
        "three_phase": torch_options.get("three_phase", False),
    }

    def make(schedulers, optimizer):
        return schedulers.OneCycleLR(
            optimizer, peak, total_steps=total, **options | torch_options
        )

    return total, peak, options, make


@case("torch")
def one_cycle(draw):
    total, peak, options, make = _one_cycle(draw)
    # torch subtracts in float64, but at the very end from values 1e3 times larger.
    ours = oc.one_cycle(total, peak, **options)
    return Case(ours, lambda: run(make, count=total), rtol=2e-6)


@case("torch")
def one_cycle_three_phases_linear(draw):
    total, peak, options, make = _one_cycle(
        draw, three_phase=True, anneal_strategy="linear"
    )
    ours = oc.one_cycle(total, peak, anneal="linear", **options)
    return Case(ours, lambda: run(make, count=total), rtol=2e-6)


@case("torch")
def one_cycle_momentum(draw):
    total, peak, options, make = _one_cycle(draw)
    ours = oc.one_cycle_policy(total, peak, **options)["momentum"]
    return Case(ours, lambda: run(make, count=total, read=lambda g: g["momentum"]))


@case("torch")
def one_cycle_betas_of_adam(draw):
    total, peak, options, make = _one_cycle(draw, three_phase=True)
    ours = oc.one_cycle_policy(total, peak, momentum_name="b1", **options)["b1"]

    def theirs():
        return run(make, count=total, adam=True, read=lambda g: g["betas"][0])

    return Case(ours, theirs)


@case("torch")
def cosine_annealing(draw):
    lr, steps = draw.uniform(0.01, 2.0), draw.randint(1, 40)
    low = draw.uniform(0.0, 0.01)
    return Case(
        oc.cosine_decay(lr, steps, end_ratio=low / lr),
        lambda: run(
            lambda s, o: s.CosineAnnealingLR(o, steps, low), lr=lr, count=steps + 1
        ),
    )


@case("torch")
def cosine_annealing_warm_restarts(draw):
    first, mult, lr = draw.randint(1, 8), draw.randint(1, 3), draw.uniform(0.01, 2.0)
    ours = oc.warm_restarts(first, lr, period_mult=mult, min_value=0.001)

    def make(schedulers, optimizer):
        return schedulers.CosineAnnealingWarmRestarts(optimizer, first, mult, 0.001)

    return Case(ours, lambda: run(make, lr=lr))


@case("torch")
def step(draw):
    lr, size, rate = draw.uniform(0.01, 2), draw.randint(1, 12), draw.uniform(0.3, 1)
    ours = oc.exponential_decay(lr, size, rate, staircase=True)
    return Case(ours, lambda: run(lambda s, o: s.StepLR(o, size, rate), lr=lr))


@case("torch")
def multi_step(draw):
    lr, rate = draw.uniform(0.01, 2), draw.uniform(0.1, 1)
    edges = sorted(draw.sample(range(1, 40), 3))
    ours = oc.piecewise_constant(edges, [lr * rate**i for i in range(4)])
    return Case(ours, lambda: run(lambda s, o: s.MultiStepLR(o, edges, rate), lr=lr))


@case("torch")
def constant(draw):
    lr, factor, steps = draw.uniform(0.01, 2), draw.uniform(0.1, 1), draw.randint(1, 30)
    ours = oc.piecewise_constant([steps], [lr * factor, lr])
    return Case(ours, lambda: run(lambda s, o: s.ConstantLR(o, factor, steps), lr=lr))


@case("torch")
def linear(draw):
    lr, steps = draw.uniform(0.01, 2), draw.randint(1, 30)
    begin, end = draw.uniform(0.1, 1), draw.uniform(0.1, 1)
    ours = oc.linear_decay(lr * begin, steps, end_value=lr * end)
    return Case(ours, lambda: run(lambda s, o: s.LinearLR(o, begin, end, steps), lr=lr))


@case("torch")
def exponential(draw):
    lr, rate = draw.uniform(0.01, 2), draw.uniform(0.5, 1)
    ours = oc.exponential_decay(lr, 1, rate)
    return Case(ours, lambda: run(lambda s, o: s.ExponentialLR(o, rate), lr=lr))


@case("torch")
def polynomial(draw):
    lr, steps, power = draw.uniform(0.01, 2), draw.randint(1, 40), draw.uniform(0.3, 3)
    ours = oc.polynomial_decay(lr, steps, power=power)
    return Case(ours, lambda: run(lambda s, o: s.PolynomialLR(o, steps, power), lr=lr))


@case("torch")
def sequential(draw):
    lr, warm, total = draw.uniform(0.01, 2), draw.randint(1, 12), draw.randint(20, 40)
    ours = oc.join(
        [
            oc.linear_decay(0.1 * lr, warm, end_value=lr),
            oc.cosine_decay(lr, total - warm),
        ],
        [warm],
    )

    def make(schedulers, optimizer):
        parts = [
            schedulers.LinearLR(optimizer, 0.1, 1.0, warm),
            schedulers.CosineAnnealingLR(optimizer, total - warm),
        ]
        return schedulers.SequentialLR(optimizer, parts, [warm])

    # torch multiplies its way down step by step; its own end is 1e-16, ours is 0.
    return Case(ours, lambda: run(make, lr=lr, count=total), rtol=2e-6, atol=1e-12)


@case("torch")
def chained(draw):
    lr, steps, rate = draw.uniform(0.01, 2), draw.randint(2, 20), draw.uniform(0.8, 1)
    ours = oc.product(
        oc.linear_decay(0.25, steps, end_value=1.0), oc.exponential_decay(lr, 1, rate)
    )

    def make(schedulers, optimizer):
        return schedulers.ChainedScheduler(
            [
                schedulers.LinearLR(optimizer, 0.25, 1.0, steps),
                schedulers.ExponentialLR(optimizer, rate),
            ]
        )

    return Case(ours, lambda: run(make, lr=lr))


@case("torch")
def lambda_(draw):
    lr, steps = draw.uniform(0.01, 2), draw.randint(2, 20)
    ours = oc.scale(lambda t: 1 / (1 + t / steps), lr)
    return Case(ours, lambda: run(lambda s, o: s.LambdaLR(o, _inverse(steps)), lr=lr))


def _inverse(steps):
    return lambda t: 1 / (1 + t / steps)


@case("torch")
def reduce_on_plateau(draw):
    # Positive metrics, on which the two relative margins are the same.
    metrics = [round(50 + 5 * draw.random(), 1) for _ in range(COUNT)]
    options = {
        "factor": draw.uniform(0.3, 0.9),
        "patience": draw.randint(0, 3),
        "threshold": draw.uniform(0.001, 0.03),
        "cooldown": draw.randint(0, 3),
    }

    def ours(steps):
        schedule = oc.reduce_on_plateau(min_value=0.01, **options)

        def update(state, metric):
            state = schedule.update(state, value=metric)
            return state, state.value

        return jax.lax.scan(update, schedule.init(), jnp.asarray(metrics))[1][steps]

    return Case(ours, lambda: _plateau(metrics, options))


def _plateau(metrics, options):
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
    scheduler, values = plateau(optimizer, min_lr=0.01, **options), []
    for metric in metrics:
        scheduler.step(metric)
        values.append(optimizer.param_groups[0]["lr"])
    return values
