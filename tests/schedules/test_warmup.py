import jax
import numpy as np
import pytest
import schedule_oracles as oracle
from schedule_forms import assert_close, assert_values

import optax_cycles.schedules as oc

MAX = 2**31 - 1


@pytest.mark.parametrize("offset", [0, 1, 5])
def test_noam_follows_the_paper(offset):
    steps = np.arange(30)
    expected = oracle.over(oracle.noam, steps, 64, 8, factor=2.0, offset=offset)
    assert_values(oc.noam(64, 8, factor=2.0, offset=offset), expected)


def test_noam_peaks_where_the_two_branches_meet():
    values = oc.noam(512, 4000)(np.asarray([3998, 3999, 4000]))
    assert np.argmax(values) == 1
    np.testing.assert_allclose(values[1], (512 * 4000) ** -0.5, rtol=1e-6)


def test_noam_without_a_warm_up_is_the_inverse_square_root():
    assert_values(oc.noam(1, 0), (np.arange(20) + 1.0) ** -0.5)


def test_noam_with_offset_0_starts_at_0():
    assert float(oc.noam(64, 8, offset=0)(0)) == 0.0
    assert float(oc.noam(64, 0, offset=0)(0)) == 0.125


def test_noam_counts_to_the_last_step():
    steps = np.asarray([2**24, 2**24 + 1, MAX - 1])
    expected = oracle.over(oracle.noam, steps, 64, 2**24)
    assert_close(oc.noam(64, 2**24), expected, steps=steps)
    assert np.isfinite(jax.jit(oc.noam(64, 8, offset=5))(MAX))


@pytest.mark.parametrize("shape", ["1-sqrt", "linear", "cosine", "1-square", "exp"])
def test_warmup_stable_decay(shape):
    schedule = oc.warmup_stable_decay(
        2.0, 4, 5, 8, decay_shape=shape, end_ratio=0.1, init_ratio=0.2
    )
    expected = oracle.over(
        oracle.wsd,
        range(20),
        2.0,
        (4, 5, 8),
        shape=shape,
        end_ratio=0.1,
        init_ratio=0.2,
    )
    assert_values(schedule, expected, rtol=2e-6)


@pytest.mark.parametrize(
    "lengths", [(0, 3, 4), (3, 0, 4), (3, 2, 0), (0, 0, 0), (0, 2, 0)]
)
def test_phases_of_no_length_are_skipped(lengths):
    expected = oracle.over(oracle.wsd, range(10), 1.0, lengths, end_ratio=0.5)
    assert_values(oc.warmup_stable_decay(1.0, *lengths, end_ratio=0.5), expected)


def test_the_lengths_of_the_phases_may_add_up_to_more_than_there_is():
    schedule = jax.jit(oc.warmup_stable_decay(1.0, MAX, MAX, MAX))
    assert_close(schedule, [0.5], steps=[2**30])


@pytest.mark.parametrize("multiplier", [1.0, 8.0])
@pytest.mark.parametrize("warmup", [0, 1, 5])
def test_gradual_warmup(multiplier, warmup):
    after = oc.cosine_decay(0.5, 9)
    schedule = oc.gradual_warmup(after, warmup, multiplier=multiplier)
    expected = oracle.over(
        oracle.gradual_warmup,
        range(20),
        lambda t: oracle.cosine_decay(t, 0.5, 9),
        warmup,
        multiplier,
    )
    assert_values(schedule, expected, atol=1e-12)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("kind", ["linear", "cosine", "exp"])
def test_warmup_is_the_rise_of_a_shape(kind, offset):
    q = np.minimum((np.arange(9) + offset) / 5, 1.0)
    fall = np.asarray([oracle.SHAPES[kind](x) for x in q])
    assert_values(
        oc.warmup(5, kind, start=0.2, offset=offset), 1 - 0.8 * fall, rtol=2e-6
    )


def test_a_warmup_of_no_length_is_over():
    assert_values(oc.warmup(0), [1, 1])
    assert float(oc.warmup(3, offset=MAX)(MAX)) == 1.0
