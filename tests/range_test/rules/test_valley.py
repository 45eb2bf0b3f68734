"""The middle of the longest fall, against fastai's published function."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import optax_cycles as oc

# Few distinct losses make ties and flat stretches, many make long falls.
levels = st.integers(0, 8).map(float) | st.floats(-1e3, 1e3)
curves = npst.arrays(np.float64, st.integers(3, 60), elements=levels)


def rates_for(losses):
    return np.geomspace(1e-6, 10.0, len(losses))


def fastai_valley(losses):
    """Transcription of fastai's published `valley`, which returns an index.

    The longest decreasing subsequence by the double loop; its first longest one
    ends at `max_end`; its length is taken for its width.
    """
    lengths = [1] * len(losses)
    max_start = max_end = 0
    for i in range(1, len(losses)):
        for j in range(i):
            if losses[i] < losses[j] and lengths[i] < lengths[j] + 1:
                lengths[i] = lengths[j] + 1
            if lengths[max_end] < lengths[i]:
                max_end = i
                max_start = max_end - lengths[max_end]
    sections = (max_end - max_start) / 3
    return max_start + int(sections) + int(sections / 2)


@given(curves)
def test_valley_is_fastais(losses):
    index = fastai_valley(losses.tolist())
    rates = rates_for(losses)
    if np.all(np.diff(losses) >= 0):
        with pytest.raises(oc.NoSuggestionError, match="valley: the loss never falls"):
            oc.valley(rates, losses)
        return
    found = oc.valley(rates, losses)
    # Where the fall starts before the curve fastai's index is -1: the last rate.
    assert found.index == max(index, 0)
    assert found.value == rates[found.index]


def test_valley_is_half_way_down_a_single_fall():
    losses = [5.0] * 10 + list(np.linspace(5, 1, 31)) + [3.0] * 10
    # A fall of 31 points that ends at index 40: 9 + int(31 / 3) + int(31 / 6).
    assert oc.valley(rates_for(losses), losses).index == 9 + 10 + 5


def test_valley_may_skip_bumps():
    losses = [9.0, 8.0, 20.0, 7.0, 6.0, 20.0, 5.0, 4.0, 30.0]
    # 9 8 7 6 5 4 is 6 long and ends at index 7: 1 + 2 + 1.
    assert oc.valley(rates_for(losses), losses).index == 4


def test_a_very_short_fall_at_the_start_is_not_the_last_rate():
    losses = [2.0, 1.0, 3.0, 3.0]
    assert fastai_valley(losses) == -1
    assert oc.valley(rates_for(losses), losses).index == 0
