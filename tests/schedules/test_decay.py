import jax
import numpy as np
import optax
import pytest
import schedule_oracles as oracle
from schedule_forms import assert_close, assert_values, ulps

import optax_cycles.schedules as oc

MAX = 2**31 - 1
STEPS = np.arange(30)


def test_linear_decay():
    assert_values(oc.linear_decay(1.0, 4), [1, 0.75, 0.5, 0.25, 0, 0, 0])
    rise = oc.linear_decay(0.0, 4, end_value=2.0, begin=2)
    assert_values(rise, [0, 0, 0, 0.5, 1, 1.5, 2, 2])


def test_linear_decay_keeps_its_last_digits():
    steps = np.asarray([0, 1, 2**24 + 1, 10**9, 2 * 10**9 - 1, 2 * 10**9])
    schedule = jax.jit(oc.linear_decay(1.0, 2 * 10**9))
    expected = oracle.over(oracle.linear_decay, steps, 1.0, 2 * 10**9)
    assert ulps(schedule(steps.astype(np.int32)), expected) <= 3


def test_a_decay_of_no_length_is_over_when_it_begins():
    for make in (oc.linear_decay, oc.cosine_decay):
        assert_values(make(1.0, 0), [0, 0, 0])


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("end_ratio", [0.0, 0.1])
def test_cosine_decay(exponent, end_ratio):
    expected = oracle.over(
        oracle.cosine_decay, STEPS, 2.0, 17, end_ratio=end_ratio, exponent=exponent
    )
    schedule = oc.cosine_decay(2.0, 17, end_ratio=end_ratio, exponent=exponent)
    assert_values(schedule, expected, atol=1e-7 if exponent == 0.5 else 1e-15)
    theirs = optax.cosine_decay_schedule(2.0, 17, end_ratio, exponent)
    assert_close(schedule, theirs(STEPS), steps=STEPS, rtol=2e-6, atol=3e-4)


def test_cosine_decay_never_rises_again():
    values = np.asarray(oc.cosine_decay(1.0, 10)(np.asarray([10, 11, 15, 20, MAX])))
    assert np.all(values == 0.0)


@pytest.mark.parametrize("staircase", [False, True])
@pytest.mark.parametrize(
    ("rate", "end"), [(0.5, None), (0.5, 0.2), (1.5, 4.0), (1.0, 1)]
)
def test_exponential_decay(staircase, rate, end):
    expected = oracle.over(
        oracle.exponential_decay,
        STEPS,
        2.0,
        7,
        rate,
        staircase=staircase,
        begin=3,
        end=end,
    )
    schedule = oc.exponential_decay(
        2.0, 7, rate, staircase=staircase, begin=3, end_value=end
    )
    assert_values(schedule, expected)
    theirs = optax.exponential_decay(2.0, 7, rate, 3, staircase, end_value=end)
    assert_close(schedule, theirs(STEPS), steps=STEPS)


def test_exponential_decay_is_accurate_far_out():
    steps = np.asarray([0, 1, 10**4, 10**5, 10**6, 2 * 10**6])
    schedule = jax.jit(oc.exponential_decay(1.0, 1, 0.99999))
    assert ulps(schedule(steps), 0.99999 ** steps.astype(np.float64)) <= 4


def test_exponential_decay_vanishes_without_nan():
    values = oc.exponential_decay(1.0, 3, 0.1)(np.asarray([1000, 2**24 + 1, MAX]))
    assert values.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.peer
@pytest.mark.parametrize("seed", range(3))
def test_torch(seed):
    import torch

    rng = np.random.default_rng(seed)
    rate, size = rng.uniform(0.5, 1.0), int(rng.integers(1, 12))
    schedulers = torch.optim.lr_scheduler
    pairs = [
        (
            lambda o: schedulers.ExponentialLR(o, rate),
            oc.exponential_decay(0.3, 1, rate),
        ),
        (
            lambda o: schedulers.StepLR(o, size, rate),
            oc.exponential_decay(0.3, size, rate, staircase=True),
        ),
        (
            lambda o: schedulers.LinearLR(o, 0.25, 0.75, size),
            oc.linear_decay(0.075, size, end_value=0.225),
        ),
    ]
    for make, ours in pairs:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
        scheduler, values = make(optimizer), []
        for _ in range(40):
            values.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        assert_close(ours, values, steps=np.arange(40), rtol=2e-6)
