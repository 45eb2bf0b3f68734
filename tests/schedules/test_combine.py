import jax.numpy as jnp
import numpy as np
import optax
from schedule_forms import assert_close, assert_values

import optax_cycles.schedules as oc

STEPS = np.arange(40)


def identity(t):
    return jnp.asarray(t, jnp.float32)


def test_join_hands_each_part_its_own_steps():
    schedule = oc.join([identity, identity, identity], [3, 5])
    assert_values(schedule, [0, 1, 2, 0, 1, 0, 1, 2, 3])


def test_join_agrees_with_optax():
    parts = [oc.linear_decay(0.0, 10, end_value=1.0), oc.cosine_decay(1.0, 20)]
    theirs = optax.join_schedules(parts, [10])
    assert_close(oc.join(parts, [10]), theirs(STEPS), steps=STEPS)


def test_join_evaluates_no_part_outside_its_range():
    seen = []

    def spy(t):
        seen.append(np.asarray(t))
        return jnp.asarray(t, jnp.float32)

    oc.join([spy, spy, spy], [3, 5])(np.arange(10))
    assert [(part.min(), part.max()) for part in seen] == [(0, 2), (0, 1), (0, 4)]


def test_join_skips_a_part_of_no_length():
    schedule = oc.join([lambda t: 1.0, lambda t: 2.0, lambda t: 3.0], [2, 2])
    assert_values(schedule, [1, 1, 3, 3])
    assert_values(oc.join([identity, lambda t: 7.0], [0]), [7, 7])


def test_join_takes_constants_of_any_type():
    schedule = oc.join([optax.constant_schedule(1), lambda t: np.float64(2.0)], [2])
    assert_values(schedule, [1, 1, 2, 2])


def test_join_of_one_is_that_one():
    assert_values(oc.join([identity], []), [0, 1, 2])
