"""The rules against fastai's, and against curves with known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import optax_cycles as oc

NAN, INF = float("nan"), float("inf")


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


def fastai_steep(rates, losses):
    """Transcription of fastai's published `steep`, which returns an index."""
    gradients = (losses[1:] - losses[:-1]) / (np.log(rates[1:]) - np.log(rates[:-1]))
    return int(np.argmin(gradients))


def curves(minimum, elements):
    return npst.arrays(np.float64, st.integers(minimum, 60), elements=elements)


# Few distinct losses make ties and flat stretches, many make long falls.
levels = st.integers(0, 8).map(float) | st.floats(-1e3, 1e3)


def rates_for(losses):
    return np.geomspace(1e-6, 10.0, len(losses))


@given(curves(3, levels))
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


@given(curves(2, levels))
def test_steep_is_fastais(losses):
    rates = rates_for(losses)
    if np.all(np.diff(losses) >= 0):
        with pytest.raises(oc.NoSuggestionError, match="steep: the loss never falls"):
            oc.steep(rates, losses)
        return
    found = oc.steep(rates, losses)
    assert found.index == fastai_steep(rates, losses)
    assert found.value == rates[found.index]


@given(curves(3, st.integers(-100, 100).map(float)), st.integers(-50, 50))
def test_rules_do_not_change_with_shift_and_scale(losses, shift):
    rates = rates_for(losses)
    for rule in (oc.valley, oc.steep):
        try:
            expected = rule(rates, losses).index
        except oc.NoSuggestionError:
            continue
        assert rule(rates, losses * 4 + shift).index == expected


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


@pytest.mark.parametrize("rule", [oc.valley, oc.steep])
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_what_follows_a_loss_that_is_not_finite_is_left_out(rule, bad):
    falls = [5.0, 5.0, 4.0, 2.0, 1.5]
    rates = rates_for(range(9))
    expected = rule(rates[:5], falls)
    assert rule(rates, [*falls, bad, -90.0, -900.0, NAN]) == expected
    assert expected.index < 4


def test_steep_is_measured_on_the_logarithmic_axis():
    """A slope against the rate itself would be steepest at the first rate."""
    rates = np.geomspace(1e-6, 1.0, 61)
    # A sigmoid in log rate whose fall is steepest between indices 40 and 41.
    losses = 2 / (1 + np.exp((np.arange(61) - 40.5) / 8))
    assert oc.steep(rates, losses).index == 40
    assert np.argmin(np.diff(losses) / np.diff(rates)) < 10


def test_steep_accounts_for_unequal_steps():
    # Falls of 1, 1.5 and 1 over factors of e, e^2 and e.
    rates = np.exp([0.0, 1.0, 3.0, 4.0])
    assert oc.steep(rates, [5.0, 4.0, 2.5, 1.5]).index == 0


@pytest.mark.parametrize(
    ("rule", "least"), [(oc.valley, 3), (oc.steep, 2)], ids=["valley", "steep"]
)
def test_flat_rising_and_short_curves_have_no_answer(rule, least):
    name = rule.__name__
    for losses in ([1.0] * 6, [1.0, 2.0, 3.0, 4.0]):
        with pytest.raises(oc.NoSuggestionError, match=f"{name}: the loss never falls"):
            rule(rates_for(losses), losses)
    with pytest.raises(
        ValueError, match=f"{name}: losses must be at least {least} los"
    ):
        rule([1.0, 2.0, 3.0, 4.0], [3.0, NAN, 2.0, 1.0])
    with pytest.raises(ValueError, match=f"{name}: values must be increasing"):
        rule([3.0, 2.0, 1.0], [3.0, 2.0, 1.0])
    with pytest.raises(ValueError, match=f"{name}: values must be positive"):
        rule([0.0, 2.0, 3.0], [3.0, 2.0, 1.0])


def test_a_missing_answer_is_a_value_error():
    assert issubclass(oc.NoSuggestionError, ValueError)
