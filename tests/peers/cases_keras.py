"""Schedules of keras, in float32 on its JAX backend, and what replaces them."""

import functools
import os

import numpy as np
from peer_cases import Case, case

import optax_cycles as oc

COUNT = 40
# keras takes powers in float32: an error of one rounding in the base or in the
# exponent is multiplied by the exponent or by the logarithm.
POWER = 1e-5
# keras evaluates 1 + cos(pi q) in float32, which near q = 1 subtracts.
COSINE = 2e-7


# Before anything imports keras, which reads it then.
os.environ.setdefault("KERAS_BACKEND", "jax")


def keras_schedules():
    import keras

    return keras.optimizers.schedules


def run(make, count=COUNT):
    """The values of a keras schedule at steps 0, 1, ..."""
    schedule = make(keras_schedules())
    return [float(schedule(np.int32(t))) for t in range(count)]


def _numbers(draw):
    lr, steps, rate = draw.uniform(0.01, 2), draw.randint(1, 15), draw.uniform(0.3, 1)
    return lr, steps, rate, draw.choice([True, False])


@case("keras")
def exponential_decay(draw):
    lr, steps, rate, stairs = _numbers(draw)
    ours = oc.exponential_decay(lr, steps, rate, staircase=stairs)
    theirs = functools.partial(
        run, lambda k: k.ExponentialDecay(lr, steps, rate, stairs)
    )
    return Case(ours, theirs, rtol=POWER)


@case("keras")
def inverse_time_decay(draw):
    lr, steps, rate, stairs = _numbers(draw)
    ours = oc.inverse_time_decay(lr, steps, rate, staircase=stairs)
    return Case(
        ours, lambda: run(lambda k: k.InverseTimeDecay(lr, steps, rate, stairs))
    )


@case("keras")
def piecewise_constant_decay(draw):
    edges = sorted(draw.sample(range(1, 35), 3))
    values = [draw.uniform(0.01, 2) for _ in range(4)]
    ours = oc.piecewise_constant(edges, values, side="left")
    return Case(ours, lambda: run(lambda k: k.PiecewiseConstantDecay(edges, values)))


def _polynomial(draw, cycle):
    lr, end = draw.uniform(0.1, 2), draw.uniform(0.001, 0.1)
    # A power of two, so that keras finds the right multiple of it in float32.
    steps, power = draw.choice([4, 8, 16]), draw.uniform(0.5, 2)
    ours = oc.polynomial_decay(lr, steps, end_value=end, power=power, cycle=cycle)

    def theirs():
        return run(lambda k: k.PolynomialDecay(lr, steps, end, power, cycle))

    return Case(ours, theirs, rtol=POWER)


@case("keras")
def polynomial_decay(draw):
    return _polynomial(draw, cycle=False)


@case("keras")
def polynomial_decay_in_cycles(draw):
    return _polynomial(draw, cycle=True)


@case("keras")
def cosine_decay(draw):
    lr, steps, alpha = draw.uniform(0.01, 2), draw.randint(1, 30), draw.uniform(0, 0.3)
    ours = oc.cosine_decay(lr, steps, end_ratio=alpha)
    theirs = functools.partial(run, lambda k: k.CosineDecay(lr, steps, alpha))
    return Case(ours, theirs, rtol=1e-6, atol=COSINE * lr)


@case("keras")
def cosine_decay_with_warmup(draw):
    start, lr = sorted(draw.uniform(0.01, 2) for _ in range(2))
    warm, steps, alpha = draw.randint(1, 9), draw.randint(1, 25), draw.uniform(0, 0.3)
    ours = oc.join(
        [
            oc.linear_decay(start, warm, end_value=lr),
            oc.cosine_decay(lr, steps, end_ratio=alpha),
        ],
        [warm],
    )

    def theirs():
        return run(
            lambda k: k.CosineDecay(
                start, steps, alpha, warmup_target=lr, warmup_steps=warm
            )
        )

    return Case(ours, theirs, rtol=1e-6, atol=COSINE * lr)


@case("keras")
def cosine_decay_restarts(draw):
    lr, first, alpha = draw.uniform(0.01, 2), draw.choice([4, 8]), draw.uniform(0, 0.3)
    ours = oc.warm_restarts(first, lr, min_value=alpha * lr)
    theirs = functools.partial(
        run, lambda k: k.CosineDecayRestarts(lr, first, t_mul=1.0, alpha=alpha)
    )
    return Case(ours, theirs, rtol=1e-6, atol=COSINE * lr)


@case("keras")
def cosine_decay_restarts_growing(draw):
    lr, first, peak_mult = draw.uniform(0.01, 2), draw.choice([4, 8]), 0.5
    alpha = draw.uniform(0, 0.3)
    # keras multiplies the peak *above* its minimum; ours multiplies the peak.
    waves = oc.warm_restarts(
        first, lr * (1 - alpha), period_mult=2, peak_mult=peak_mult
    )

    def theirs():
        return run(
            lambda k: k.CosineDecayRestarts(
                lr, first, t_mul=2.0, m_mul=peak_mult, alpha=alpha
            )
        )

    return Case(lambda t: alpha * lr + waves(t), theirs, rtol=1e-6, atol=COSINE * lr)
