import jax
import jax.numpy as jnp
import numpy as np
import optax
from schedule_forms import assert_close, assert_values

import optax_cycles.schedules as oc

MAX = 2**31 - 1
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


def test_product_multiplies_at_the_same_step():
    schedule = oc.product(identity, lambda t: 2.0, identity)
    assert_values(schedule, [0, 2, 8, 18])


def test_scale_and_clip():
    assert_values(oc.scale(identity, -0.5), [0, -0.5, -1])
    assert_values(oc.clip(identity, 1, 2.5), [1, 1, 2, 2.5, 2.5])
    assert_values(oc.clip(identity, maximum=1), [0, 1, 1])
    assert_values(oc.clip(identity), [0, 1, 2])


def test_shift_delays_or_begins_in_the_middle():
    assert_values(oc.shift(identity, 2), [0, 0, 0, 1, 2])
    assert_values(oc.shift(identity, -3), [3, 4, 5])


def test_shift_does_not_overflow():
    assert float(oc.shift(identity, -MAX)(MAX)) == 2.0**31
    assert float(oc.shift(identity, MAX)(5)) == 0.0


def test_repeat_starts_again_after_each_period():
    assert_values(oc.repeat(identity, 3), [0, 1, 2, 0, 1, 2, 0])
    steps = np.asarray([2**24 + 1, MAX])
    assert_close(oc.repeat(identity, 7), steps % 7, steps=steps)


def test_steps_of_shift_may_be_traced_with_either_sign():
    values = jax.vmap(lambda n: oc.shift(identity, n)(jnp.asarray(4)))(
        jnp.asarray([-2, 0, 3])
    )
    assert values.tolist() == [6.0, 4.0, 1.0]
