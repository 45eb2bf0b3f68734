"""Smith's range on curves whose knees are known."""

import numpy as np
import pytest

import optax_cycles as oc

POINTS = 101
RATES = np.geomspace(1e-5, 1.0, POINTS)


def knees(*corners):
    """Straight lines between `(index, loss)`."""
    places, losses = zip(*corners, strict=True)
    return np.interp(np.arange(POINTS), places, losses)


def test_the_base_is_where_the_fall_starts_and_the_peak_where_it_ends():
    losses = knees((0, 2.3), (30, 2.3), (70, 0.3), (100, 4.0))
    found = oc.smith_range(RATES, losses)
    assert found.peak == found.value == RATES[70]
    assert found.index == 70
    # A tenth of the fall of 2, at .05 a point, is done 4 points after the knee.
    assert found.base == RATES[34]


def test_a_ragged_part_ends_the_range():
    """From index 60 on the loss jumps by .3, and still comes down."""
    losses = knees((0, 2.3), (30, 2.3), (90, 0.3), (100, 4.0))
    losses[61:90:2] += 0.3
    assert oc.smith_range(RATES, losses).peak == RATES[60]
    assert oc.smith_range(RATES, losses, tolerance=0.3).peak == RATES[90]


def test_a_climb_that_the_tolerance_allows_is_passed():
    losses = knees((0, 2.3), (20, 2.3), (50, 0.5), (55, 0.6), (80, 0.3), (100, 4.0))
    assert oc.smith_range(RATES, losses).peak == RATES[80]
    assert oc.smith_range(RATES, losses, tolerance=0.04).peak == RATES[50]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_a_climb(bad):
    losses = knees((0, 2.3), (30, 2.3), (70, 0.3), (100, 0.2))
    with pytest.raises(oc.NoSuggestionError, match="does not turn up before the last"):
        oc.smith_range(RATES, losses)
    losses[80:] = bad
    assert oc.smith_range(RATES, losses).peak == RATES[79]


def test_a_climb_among_the_points_left_out_counts():
    losses = knees((0, 2.3), (30, 2.3), (90, 0.3), (96, 0.29), (100, 40.0))
    assert oc.smith_range(RATES, losses, skip_end=4).peak == RATES[96]


def test_a_fall_from_the_first_value_on_is_said():
    found = oc.smith_range(RATES[:9], [3.0, 2.0, 1.5, 1.2, 1.0, 0.9, 2.0, 3.0, 9.0])
    assert found.base == RATES[0]
    assert "from the first value on" in found.reason


def test_a_low_first_loss_is_no_minimum():
    """One batch decides the first smoothed loss, which may be low by chance."""
    losses = knees((0, 2.3), (30, 2.3), (70, 0.3), (100, 4.0))
    losses[0] = 1.5
    assert oc.smith_range(RATES, losses).peak == RATES[70]


def test_noise_that_hides_a_climb_is_refused_until_it_is_smoothed_away():
    rng = np.random.default_rng(0)
    rates = np.geomspace(1e-5, 1.0, 400)
    clean = np.interp(np.arange(400), [0, 120, 280, 399], [2.3, 2.3, 0.3, 5.0])
    noisy = clean + 0.2 * rng.normal(size=400)
    with pytest.raises(
        oc.NoSuggestionError, match=r"smith_range: .* scatter .*; smooth"
    ):
        oc.smith_range(rates, noisy)
    found = oc.smith_range(rates, oc.smooth(noisy, 0.9))
    # The average lags by about ten points of a factor of 1.03; a tenth of the fall is
    # done 16 points after its start.
    assert rates[280] / 1.5 < found.peak < 1.5 * rates[280]
    assert rates[136] / 1.5 < found.base < 1.5 * rates[136]


@pytest.mark.parametrize("tolerance", [0.0, 0.5, -0.1, np.nan])
def test_the_tolerance_is_a_share(tolerance):
    with pytest.raises(ValueError, match="smith_range: tolerance must be a finite num"):
        oc.smith_range(RATES, np.arange(POINTS), tolerance=tolerance)
