import numpy as np
import pytest
import schedule_oracles as oracle
from schedule_forms import assert_close, assert_values

import optax_cycles.schedules as oc

MAX = 2**31 - 1
STEPS = np.arange(30)


@pytest.mark.parametrize(
    ("warmup", "timescale", "shift"),
    [(8, None, 0), (8, 20, 0), (0, None, 0), (5, 7, 11)],
)
def test_inverse_sqrt(warmup, timescale, shift):
    schedule = oc.inverse_sqrt(2.0, warmup, timescale=timescale, shift=shift)
    expected = oracle.over(
        oracle.power_decay,
        STEPS,
        2.0,
        warmup,
        power=0.5,
        timescale=timescale or warmup or 10_000,
        shift=shift,
    )
    assert_values(schedule, expected)


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0])
def test_power_decay(power):
    schedule = oc.power_decay(2.0, 6, power=power, timescale=9)
    expected = oracle.over(oracle.power_decay, STEPS, 2.0, 6, power=power, timescale=9)
    assert_values(schedule, expected)


def test_no_sum_of_steps_overflows():
    steps = np.asarray([MAX - 1, MAX])
    schedule = oc.inverse_sqrt(1.0, 3, timescale=MAX, shift=MAX)
    assert_close(schedule, [3**-0.5] * 2, steps=steps)
