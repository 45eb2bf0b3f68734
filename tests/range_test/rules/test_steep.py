"""The steepest fall on four axes, against what other finders compute."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import optax_cycles as oc

levels = st.integers(0, 8).map(float) | st.floats(-1e3, 1e3)
short = npst.arrays(np.float64, st.integers(2, 60), elements=levels)
long = npst.arrays(np.float64, st.integers(18, 60), elements=levels)


def rates_for(losses):
    return np.geomspace(1e-6, 10.0, len(losses))


def fastai(rates, losses):
    """Transcription of fastai's `steep`."""
    slopes = (losses[1:] - losses[:-1]) / (np.log(rates[1:]) - np.log(rates[:-1]))
    index = int(np.argmin(slopes))
    return index, slopes[index]


def torch_lr_finder(rates, losses, skip_start=10, skip_end=5):
    """Transcription of the suggestion in torch-lr-finder's `plot`."""
    kept = losses[skip_start:-skip_end] if skip_end else losses[skip_start:]
    slopes = np.gradient(np.array(kept))
    index = int(slopes.argmin())
    return skip_start + index, slopes[index]


def lightning(rates, losses, skip_begin=10, skip_end=1):
    """Lightning's `suggestion`, with the formula of `torch.gradient` written out.

    Between two neighbours at distances h and k, the slope is
    (h^2 (f_next - f) + k^2 (f - f_last)) / (h k (h + k)).
    """
    x, f = rates[skip_begin:-skip_end], losses[skip_begin:-skip_end]
    h, k = np.diff(x)[:-1], np.diff(x)[1:]
    inner = (h**2 * np.diff(f)[1:] + k**2 * np.diff(f)[:-1]) / (h * k * (h + k))
    ends = (f[1] - f[0]) / (x[1] - x[0]), (f[-1] - f[-2]) / (x[-1] - x[-2])
    slopes = np.array([ends[0], *inner, ends[1]])
    return skip_begin + int(np.argmin(slopes)), slopes


def surmenok(rates, losses, window, skip_start=10, skip_end=5):
    """Transcription of `get_derivatives` and `get_best_lr` of keras_lr_finder."""
    slopes = [0] * window
    for i in range(window, len(rates)):
        slopes.append((losses[i] - losses[i - window]) / window)
    index = int(np.argmin(slopes[skip_start:-skip_end]))
    return skip_start + index, slopes[skip_start + index]


def agrees(rule, rates, losses, index, slope, **options):
    if slope >= 0:
        with pytest.raises(oc.NoSuggestionError, match="the loss never falls; raise"):
            rule(rates, losses, **options)
        return
    found = rule(rates, losses, **options)
    assert found.index == index
    assert found.value == rates[index]


@given(short)
def test_steep_is_fastais(losses):
    rates = rates_for(losses)
    agrees(oc.steep, rates, losses, *fastai(rates, losses))


@given(long)
def test_steep_by_index_is_torch_lr_finders(losses):
    rates = rates_for(losses)
    agrees(oc.steep_by_index, rates, losses, *torch_lr_finder(rates, losses))
    all_ = {"skip_start": 0, "skip_end": 0}
    expected = torch_lr_finder(rates, losses, **all_)
    agrees(oc.steep_by_index, rates, losses, *expected, **all_)


@given(long)
def test_steep_by_value_is_lightnings(losses):
    rates = rates_for(losses)
    index, slopes = lightning(rates, losses)
    least = slopes.min()
    # Two formulas for one slope: they differ by rounding, which decides ties.
    rounding = 1e-12 * np.abs(slopes).max()
    if least >= -rounding:
        return
    found = oc.steep_by_value(rates, losses)
    assert slopes[found.index - 10] <= least + rounding
    if np.sum(slopes <= least + rounding) == 1:
        assert found.index == index
    assert found.value == rates[found.index]


@given(long, st.integers(1, 20))
def test_steep_by_window_is_surmenoks(losses, window):
    rates = rates_for(losses)
    window = min(window, len(rates) - 1)
    index, slope = surmenok(rates, losses, window)
    agrees(oc.steep_by_window, rates, losses, index, slope, window=window)


def sigmoid():
    """A fall that is steepest against the logarithm between indices 40 and 41."""
    return np.geomspace(1e-6, 1.0, 61), 2 / (1 + np.exp((np.arange(61) - 40.5) / 8))


def test_steep_is_measured_on_the_logarithmic_axis():
    rates, losses = sigmoid()
    assert oc.steep(rates, losses).index == 40
    assert oc.steep_by_index(rates, losses).index in (40, 41)


def test_a_slope_against_the_rate_itself_favours_small_rates():
    """It is the slope against the logarithm over the rate: steepest at the start."""
    rates, losses = sigmoid()
    assert oc.steep_by_value(rates, losses).index == 10
    assert oc.steep_by_value(rates, losses, skip_start=0).index == 0


def test_steep_accounts_for_unequal_steps():
    # Falls of 1, 1.5 and 1 over factors of e, e^2 and e.
    rates = np.exp([0.0, 1.0, 3.0, 4.0])
    losses = [5.0, 4.0, 2.5, 1.5]
    assert oc.steep(rates, losses).index == 0
    assert oc.steep_by_index(rates, losses, skip_start=0, skip_end=0).index == 1


def test_a_window_looks_back_over_the_points_that_are_left_out():
    losses = [9.0] * 8 + [1.0] * 12
    found = oc.steep_by_window(rates_for(losses), losses, window=4)
    # The fall between 7 and 8 is within the window of 8 to 11.
    assert found.index == 10


@pytest.mark.parametrize("window", [0, -1, 1.5])
def test_a_window_is_a_positive_integer(window):
    with pytest.raises(
        (ValueError, TypeError), match="steep_by_window: window must be"
    ):
        oc.steep_by_window(rates_for(range(20)), np.arange(20.0)[::-1], window=window)
