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
