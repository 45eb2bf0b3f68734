"""A tenth of where the loss is lowest, against fastai's published rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import optax_cycles as oc

levels = st.integers(0, 8).map(float) | st.floats(-1e3, 1e3)
curves = npst.arrays(np.float64, st.integers(2, 60), elements=levels)


def rates_for(losses):
    return np.geomspace(1e-6, 10.0, len(losses))


@given(curves)
def test_minimum_is_fastais_inside_the_range(losses):
    """Theirs is `rates[argmin(losses)] / 10`, wherever that is."""
    rates = rates_for(losses)
    theirs = rates[losses.argmin()] / 10
    try:
        found = oc.minimum(rates, losses)
    except oc.NoSuggestionError as refusal:
        reasons = {
            "never falls": np.all(np.diff(losses) >= 0),
            "still falls": losses.argmin() == len(losses) - 1,
            "is below the first value": theirs < rates[0],
        }
        holds = [true for words, true in reasons.items() if words in str(refusal)]
    else:
        assert found.value == theirs
        assert rates[found.index] == pytest.approx(10 * found.value, rel=1e-15)
        return
    assert holds == [True]


def test_a_curve_that_ends_in_an_explosion_does_not_still_fall():
    """The lowest of the losses that are kept is the last one, for another reason."""
    rates = np.geomspace(1e-3, 1.0, 7)
    falls = [3.0, 2.5, 2.0, 1.5, 1.0]
    with pytest.raises(oc.NoSuggestionError, match="still falls at the last value"):
        oc.minimum(rates[:5], falls)
    for after in ([np.nan, np.nan], [50.0, 900.0]):
        skip = 0 if np.isnan(after[0]) else 2
        found = oc.minimum(rates, falls + after, skip_end=skip)
        assert (found.index, found.value) == (4, rates[4] / 10)


def test_below_the_first_value_there_is_no_answer():
    with pytest.raises(
        oc.NoSuggestionError,
        match=r"minimum: .*, 0.005, is below the first value \(0.01\); lower the start",
    ):
        oc.minimum([0.01, 0.05, 0.5], [3.0, 1.0, 2.0])
