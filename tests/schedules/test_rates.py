import jax
import numpy as np
import optax
import pytest
import schedule_oracles as oracle
from schedule_forms import assert_close, assert_values, ulps

import optax_cycles.schedules as oc

MAX = 2**31 - 1
STEPS = np.arange(30)


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


@pytest.mark.parametrize("staircase", [False, True])
def test_natural_exp_and_inverse_time_decay(staircase):
    x = np.maximum(STEPS - 2, 0) / 4
    x = np.floor(x) if staircase else x
    natural = oc.natural_exp_decay(2.0, 4, 0.5, staircase=staircase, begin=2)
    assert_values(natural, 2.0 * np.exp(-0.5 * x))
    inverse = oc.inverse_time_decay(2.0, 4, 0.5, staircase=staircase, begin=2)
    assert_values(inverse, 2.0 / (1 + 0.5 * x))


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


@pytest.mark.parametrize("rate", [85.5, 700.0, 1000.0, 1e30])
def test_a_decay_of_more_than_a_float_holds_is_done_in_one_step(rate):
    schedule = oc.natural_exp_decay(1.0, 1, rate)
    assert_values(schedule, np.exp(-rate * np.arange(4)), atol=1e-36)


def test_growth_of_more_than_a_float_holds_stays_at_its_limit():
    limit = np.exp(85.0)
    steps = np.asarray([0, 1, 2, 10**6, MAX])
    for rate, first in ((50.0, np.exp(50.0)), (1000.0, limit)):
        expected = [1.0, first, limit, limit, limit]
        schedule = oc.natural_exp_decay(1.0, 1, -rate)
        assert_close(schedule, expected, steps=steps)
