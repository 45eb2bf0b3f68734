import pytest
import schedule_oracles as oracle
from schedule_forms import assert_values

import optax_cycles.schedules as oc


@pytest.mark.parametrize("shape", ["linear", "1-sqrt", "cosine"])
def test_the_factor_falls_in_the_shape(shape):
    fall = [oracle.SHAPES[shape](q / 4) for q in range(5)]
    expected = [1, 1, 1, *(0.1 + 0.9 * x for x in fall), 0.1, 0.1]
    assert_values(oc.cooldown(3, 4, shape, end_ratio=0.1), expected)


def test_a_cooldown_of_no_length_is_a_step():
    assert_values(oc.cooldown(2, 0), [1, 1, 0, 0])
