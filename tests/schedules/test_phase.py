import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from schedule_forms import ulps

import optax_cycles.schedules as oc
from optax_cycles.schedules import _phase

MAX = 2**31 - 1


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (-3, 0),
        (2**40, MAX),
        (np.uint32(2**32 - 1), MAX),
        (np.int64(-(2**40)), 0),
        (np.float32(3.9), 3),
        (np.float64(-0.5), 0),
        (np.int8(-3), 0),
    ],
)
def test_steps_saturate_in_every_type(step, expected):
    assert _phase.whole_step(step).dtype == jnp.int32
    assert int(_phase.whole_step(step)) == expected


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (jnp.int32(-(2**31)), 0),
        (jnp.uint32(2**32 - 1), MAX),
        (jnp.float32(1e30), MAX),
        (jnp.bfloat16(3.9), 3),
        (jnp.uint8(200), 200),
    ],
)
def test_device_steps_saturate_too(step, expected):
    whole = int(jax.jit(_phase.whole_step)(step))
    assert whole == expected or (step > 1e9 and whole >= MAX - 128)


def test_steps_of_int64_saturate():
    with jax.enable_x64(True):
        steps = _phase.whole_step(jnp.asarray([-(2**40), 5, 2**40]))
    assert steps.dtype == jnp.int32
    assert steps.tolist() == [0, 5, MAX]


def test_steps_of_another_type_are_refused():
    with pytest.raises(TypeError, match="schedule: step must be an integer"):
        _phase.whole_step("3")


def test_places_are_exact_up_to_the_last_step():
    steps = np.asarray([2**24 + 1, 10**9 + 7, MAX - 1, MAX], np.int32)
    for period in (1, 2, 7, 1000003, 2**30 + 1, MAX):
        place = jax.jit(_phase.modulo)(steps, period)
        cycle, position = np.divmod(steps.astype(np.int64), period)
        np.testing.assert_array_equal(place.cycle, cycle)
        np.testing.assert_array_equal(place.position, position)


def test_a_fraction_keeps_what_is_left_to_the_last_digit():
    positions = np.asarray([0, 1, 2**24 + 1, MAX - 2, MAX - 1, MAX])
    q = jax.jit(lambda p: _phase.fraction(p, MAX, jnp.float32))(positions)
    assert ulps(q.done, positions / MAX) <= 1.5
    left = (MAX - positions.astype(object)) / MAX
    assert ulps(q.left, left.astype(np.float64)) <= 1.5


def test_a_phase_of_no_length_is_done():
    q = _phase.fraction(jnp.arange(3), 0, jnp.float32)
    assert q.done.tolist() == [1.0, 1.0, 1.0]
    assert q.left.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 1 / 3, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("total", [1, 2, 10, 4095, 1_000_001, 2**24 + 1, MAX])
def test_traced_products_keep_the_part_of_a_step(share, total):
    single = float(np.float32(share))
    for exact, point in (
        (share * total - 1, _traced_times(share)(jnp.int32(total))),
        (single * total - 1, jax.jit(_traced_both)(jnp.float32(share), total)),
    ):
        found = int(point.whole) + float(point.part)
        assert abs(found - exact) <= max(1e-6, total * 3e-11)
        assert 0 <= float(point.part) <= 1


@functools.cache
def _traced_times(share):
    return jax.jit(lambda n: _phase.times(share, n, 1))


def _traced_both(share, total):
    return _phase.times(share, total, 1)


def test_traced_and_concrete_products_are_the_same_position():
    point = _phase.times(0.3, 10, 1)
    assert (point.whole, point.part) == (2, 0.0)


def test_between_is_exact_at_both_ends_and_never_leaves_them():
    q = np.linspace(0, 1, 1001).astype(np.float32)
    weights = _phase.Weights(jnp.asarray(1 - q), jnp.asarray(q))
    for start, end in ((1.0, 1e-7), (1e-7, 1.0), (0.95, 0.95), (0.3, 0.7), (-1.0, 2.0)):
        value = np.asarray(_phase.between(start, end, weights))
        low, high = np.float32(min(start, end)), np.float32(max(start, end))
        assert (value[0], value[-1]) == (np.float32(start), np.float32(end))
        assert value.min() == low
        assert value.max() == high


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.9994, 0.999999, 1.0, 1.0003, 2.0])
def test_powers_are_exact_to_a_few_ulps(rate):
    log_rate = math.log(rate)
    most = int(min(80 / abs(log_rate), MAX)) if log_rate else MAX
    counts = np.unique(np.linspace(0, most, 4001).astype(np.int32))
    power = jax.jit(lambda n: _phase.geometric(log_rate, n, jnp.float32))
    assert ulps(power(counts), np.exp(log_rate * counts.astype(np.float64))) <= 4


@pytest.mark.parametrize("log_rate", [-0.7, -1e-3, 1e-3, 0.7])
def test_powers_of_any_count_are_finite_with_finite_gradients(log_rate):
    counts = jnp.asarray([0, 100, 10**6, MAX])
    assert np.all(np.isfinite(_phase.geometric(log_rate, counts, jnp.float32)))
    slope = jax.grad(lambda r: jnp.sum(_phase.geometric(r, counts, jnp.float32)))
    assert np.isfinite(slope(log_rate))


def test_traced_lengths_round_and_saturate():
    def traced(value):
        return jax.jit(lambda n: _phase.lengths("f", steps=n)[0])(value)

    cases = [(4, 4), (0, 1), (-3, 1), (2.6, 3), (1e30, MAX)]
    for value, expected in cases:
        length = traced(value)
        assert length.dtype == jnp.int32
        assert int(length) == expected or (value == 1e30 and int(length) > MAX - 256)


def test_wide_steps_of_x64_saturate_without_wrapping():
    with jax.enable_x64(True):
        steps = _phase.whole_step(jnp.asarray([-(2**31) - 1, -(2**32) + 5, 2**33 + 10]))
        single = _phase.whole_step(jnp.float64(16777217.0))
        wide = _phase.whole_step(jnp.asarray([-1e300, 2.0**31 - 1.5, 1e300]))
        unsigned = _phase.whole_step(jnp.uint64(2**63 + 5))
        value = oc.triangular(0.0, 1.0, 1)(jnp.float64(16777217.0))
    assert steps.tolist() == [0, 0, MAX]
    assert int(single) == 16777217
    assert wide.tolist() == [0, MAX - 1, MAX]
    assert int(unsigned) == MAX
    assert float(value) == 1.0


def test_numpy_steps_of_uint64_saturate():
    assert int(_phase.whole_step(np.uint64(2**63 + 5))) == MAX
    assert _phase.whole_step(np.asarray([3, 2**64 - 1], np.uint64)).tolist() == [3, MAX]


def test_wide_traced_lengths_of_x64_saturate_without_wrapping():
    with jax.enable_x64(True):
        traced = jax.jit(lambda n: _phase.lengths("f", steps=n)[0])
        found = [
            int(traced(value))
            for value in (
                jnp.int64(2**33 + 10),
                jnp.int64(-(2**33) + 10),
                jnp.uint64(2**63 + 10),
                jnp.float64(16777217.0),
                jnp.float64(1e300),
            )
        ]
        delay = jax.jit(lambda n: _phase.lengths("f", minimum=-MAX, steps=n)[0])
        assert int(delay(jnp.int64(-(2**33) + 10))) == -MAX
    assert found == [MAX, 1, MAX, 16777217, MAX]
