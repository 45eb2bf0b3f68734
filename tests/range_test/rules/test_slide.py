"""The sliding window, against fastai's published function."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import optax_cycles as oc

# Losses of which the slopes differ by about the threshold, and by more.
levels = st.integers(0, 4).map(lambda n: n / 200) | st.floats(-2.0, 2.0)
curves = npst.arrays(np.float64, st.integers(16, 60), elements=levels)


def rates_for(losses):
    return np.geomspace(1e-6, 10.0, len(losses))


def fastai_slide(rates, losses, distance=15, threshold=0.005):
    """Transcription of fastai's published `slide`, which returns a rate."""
    slopes = np.gradient(losses)
    right = -1
    left = right - distance
    rate = rates[left]
    while left >= -len(losses) and abs(slopes[right] - slopes[left]) > threshold:
        rate = rates[left]
        right -= 1
        left -= 1
    return rate


@given(curves)
def test_slide_is_fastais(losses):
    rates = rates_for(losses)
    expected = fastai_slide(rates, losses)
    try:
        found = oc.slide(rates, losses)
    except oc.NoSuggestionError as refusal:
        if "evens out" in str(refusal):
            # It slid to the end, where fastai answers with the first rate.
            assert expected == rates[0]
        else:
            assert np.all(np.diff(losses) >= 0)
        return
    assert found.value == expected == rates[found.index]


def test_slide_stops_where_the_slope_is_the_same_at_both_ends():
    """The loss falls by .1 a point from index 30 to 50, and rises from 60 on."""
    losses = np.interp(np.arange(70), [0, 30, 50, 60, 69], [3.0, 3.0, 1.0, 1.0, 9.0])
    # At 35 and 50 the slopes are -.1 and, at the knee, -.05; at 34 and 49 both are -.1.
    assert oc.slide(rates_for(losses), losses, threshold=0.04).index == 35


def test_a_wider_threshold_stops_earlier():
    losses = np.interp(np.arange(70), [0, 30, 50, 60, 69], [3.0, 3.0, 1.0, 1.0, 9.0])
    # Only the rise at the end is steeper, half of it at the knee, 60 and 45.
    assert oc.slide(rates_for(losses), losses, threshold=0.3).index == 45


def test_the_curve_must_hold_the_window():
    rates = rates_for(range(16))
    falling = np.linspace(3.0, 0.0, 16) ** 2
    with pytest.raises(oc.NoSuggestionError, match="at least 16 losses"):
        oc.slide(rates[:15], falling[:15])
    assert oc.slide(rates[:15], falling[:15], distance=5, threshold=1.0).value > 0
    with pytest.raises(oc.NoSuggestionError, match="never evens out; lower the start"):
        oc.slide(rates, falling)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distance": 0}, "slide: distance must be a positive integer, got 0"),
        ({"threshold": -1.0}, "slide: threshold must be a finite number >= 0"),
        ({"threshold": np.nan}, "slide: threshold must be a finite number >= 0"),
    ],
)
def test_wrong_numbers_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        oc.slide(rates_for(range(20)), np.arange(20.0)[::-1], **options)
