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
    # optax evaluates 1 + cos(pi q) in float32, a rounding of the first value.
    assert_close(schedule, theirs(STEPS), steps=STEPS, rtol=2e-6, atol=5e-7)


def test_cosine_decay_never_rises_again():
    values = np.asarray(oc.cosine_decay(1.0, 10)(np.asarray([10, 11, 15, 20, MAX])))
    assert np.all(values == 0.0)


@pytest.mark.parametrize("cycle", [False, True])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_polynomial_decay(power, cycle):
    schedule = oc.polynomial_decay(2.0, 7, end_value=0.1, power=power, cycle=cycle)
    expected = oracle.over(
        oracle.polynomial_decay, STEPS, 2.0, 7, end=0.1, power=power, cycle=cycle
    )
    assert_values(schedule, expected)
    if not cycle:
        theirs = optax.polynomial_schedule(2.0, 0.1, power, 7)
        assert_close(schedule, theirs(STEPS), steps=STEPS, rtol=3e-6)


def test_polynomial_cycles_are_exact_to_the_last_step():
    steps = np.asarray([2**24 + 1, 7 * 10**8, 7 * 10**8 + 1, MAX - 1, MAX])
    expected = oracle.over(oracle.polynomial_decay, steps, 1.0, 7, cycle=True)
    assert_close(oc.polynomial_decay(1.0, 7, cycle=True), expected, steps=steps)


@pytest.mark.parametrize(
    ("periods", "alpha", "beta"), [(0.5, 0.0, 0.001), (2, 0.3, 0.0)]
)
def test_linear_cosine_decay(periods, alpha, beta):
    schedule = oc.linear_cosine_decay(
        2.0, 11, num_periods=periods, alpha=alpha, beta=beta
    )
    expected = oracle.over(
        oracle.linear_cosine_decay,
        STEPS,
        2.0,
        11,
        periods=periods,
        alpha=alpha,
        beta=beta,
    )
    assert_values(schedule, expected, rtol=2e-6, atol=1e-7)


@pytest.mark.peer
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_torch(power):
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    schedulers = torch.optim.lr_scheduler
    poly = schedulers.PolynomialLR(optimizer, 20, power)
    values = []
    for _ in range(19):
        values.append(poly.get_last_lr()[0])
        optimizer.step()
        poly.step()
    assert_close(
        oc.polynomial_decay(0.3, 20, power=power),
        values,
        steps=np.arange(19),
        rtol=3e-6,
    )
