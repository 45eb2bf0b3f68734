"""What holds of every rule: where it answers, and what does not change its answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import optax_cycles as oc

NAN, INF = float("nan"), float("inf")
RULES = {
    name: getattr(oc, name)
    for name in (
        "valley",
        "slide",
        "minimum",
        "steep",
        "smith_range",
        "steep_by_index",
        "steep_by_value",
        "steep_by_window",
    )
}
FEWEST = {
    "valley": 3,
    "slide": 16,
    "minimum": 2,
    "steep": 2,
    "smith_range": 3,
    "steep_by_index": 17,
    "steep_by_value": 13,
    "steep_by_window": 16,
}
# Its threshold is in units of the loss.
ABSOLUTE = {"slide"}
every_rule = pytest.mark.parametrize("name", RULES)


@st.composite
def ramps(draw):
    """Curves that are level, fall and climb, in sixteenths: scales are exact."""
    start, fall, rise = (draw(st.integers(4, 24)) for _ in range(3))
    corners = np.cumsum([0, start, fall, rise])
    lowest, highest = draw(st.integers(-99, 60)), draw(st.integers(0, 500))
    losses = np.interp(
        np.arange(corners[-1] + 1), corners, [64.0, 64.0, lowest, highest]
    )
    noise = draw(npst.arrays(np.int64, len(losses), elements=st.integers(-6, 6)))
    return (np.round(losses) + noise) / 16


def rates_for(losses):
    return np.geomspace(1e-6, 10.0, len(losses))


def answer(rule, rates, losses, **options):
    """The suggestion without its words, or the refusal's first ones."""
    try:
        found = rule(rates, losses, **options)
    except oc.NoSuggestionError as refusal:
        return str(refusal)[:30]
    assert rates[0] <= found.value <= rates[-1]
    assert 0 <= found.index < len(rates)
    if isinstance(found, oc.CycleSuggestion):
        assert rates[0] <= found.base <= found.peak == found.value
        return found.value, found.index, found.base
    return found.value, found.index


@every_rule
def test_most_of_the_curves_that_are_compared_have_an_answer(name):
    rng = np.random.default_rng(0)
    place = np.arange(50)
    fall = np.interp(place, [0, 15, 35, 49], [64, 64, 5, 150])
    curves = np.round(fall + rng.normal(size=(20, 50))) / 16
    found = [answer(RULES[name], rates_for(curve), curve) for curve in curves]
    assert sum(isinstance(each, tuple) for each in found) > 10


@every_rule
@given(losses=ramps(), shift=st.integers(-50, 50), exponent=st.integers(-3, 3))
def test_a_shift_and_a_positive_scale_of_the_losses_change_nothing(
    name, losses, shift, exponent
):
    scale = 1.0 if name in ABSOLUTE else 2.0**exponent
    rates = rates_for(losses)
    expected = answer(RULES[name], rates, losses)
    assert answer(RULES[name], rates, losses * scale + shift) == expected


@every_rule
@given(losses=ramps(), exponent=st.integers(-8, 8))
def test_a_scale_of_the_rates_scales_the_answer(name, losses, exponent):
    # In ratios of 2, whose logarithms are equally far apart in any scale.
    rates = 2.0 ** np.arange(len(losses))
    if name == "steep":
        # The differences of rounded logarithms would decide between equal falls.
        losses = losses + 1e-6 * np.arange(len(losses)) ** 2
    expected = answer(RULES[name], rates, losses)
    found = answer(RULES[name], rates * 2.0**exponent, losses)
    if isinstance(expected, str):
        assert found == expected
        return
    value, index, *base = expected
    scaled = [number * 2.0**exponent for number in (value, *base)]
    assert found == (scaled[0], index, *scaled[1:])


@every_rule
@given(
    losses=ramps(),
    cut=st.floats(0.3, 0.99),
    bad=st.sampled_from([NAN, INF, -INF]),
    junk=st.lists(st.sampled_from([-1e9, 0.0, 1e9, NAN]), min_size=1, max_size=20),
)
def test_what_follows_a_loss_that_is_not_finite_changes_nothing(
    name, losses, cut, bad, junk
):
    kept = losses[: int(cut * len(losses))]
    rates = rates_for(range(len(kept) + 1 + len(junk)))
    junk = [*kept, bad, *junk]
    alone = answer(RULES[name], rates, [*kept, *[NAN] * (len(junk) - len(kept))])
    assert answer(RULES[name], rates, junk) == alone
    if isinstance(alone, tuple):
        assert alone[1] < len(kept)


@every_rule
@given(losses=ramps(), start=st.integers(0, 6), end=st.integers(0, 6))
def test_points_left_out_are_as_if_they_were_not_there(name, losses, start, end):
    rates = rates_for(losses)
    found = answer(RULES[name], rates, losses, skip_start=start, skip_end=end)
    inner = slice(start, len(losses) - end)
    alone = answer(RULES[name], rates[inner], losses[inner], skip_start=0, skip_end=0)
    if name == "steep_by_window" or not isinstance(alone, tuple):
        # The window looks back; a climb that was left out turns a refusal away.
        return
    assert found == (alone[0], alone[1] + start, *alone[2:])


@every_rule
def test_a_tenth_is_left_out_at_the_start_on_request(name):
    place = np.arange(50)
    losses = np.interp(place, [0, 2, 15, 35, 49], [90, 4, 4, 1, 9])
    rates = rates_for(losses)
    expected = answer(RULES[name], rates, losses, skip_start=5)
    assert answer(RULES[name], rates, losses, skip_start=None) == expected


@every_rule
def test_level_and_rising_curves_have_no_answer(name):
    for losses in (np.ones(40), np.arange(40.0), -np.ones(40)):
        with pytest.raises(
            oc.NoSuggestionError, match=f"^{name}: the loss never falls; raise the end"
        ):
            RULES[name](rates_for(losses), losses)


@every_rule
def test_too_few_points_are_named(name):
    fewest = FEWEST[name]
    losses = np.arange(40.0)[::-1] ** 2
    losses[fewest - 1 :] = NAN
    with pytest.raises(
        oc.NoSuggestionError,
        match=rf"^{name}: losses must be at least \d+ losses .*, got {fewest - 1} of "
        "40; take more steps or lower the range",
    ):
        RULES[name](rates_for(losses), losses)
    losses[fewest - 1] = 0.0
    assert "must be at least" not in str(answer(RULES[name], rates_for(losses), losses))


BAD = {
    "reversed": ([3.0, 2.0, 1.0], [3.0, 2.0, 1.0], "values must be increasing"),
    "equal": ([1.0, 1.0, 2.0], [3.0, 2.0, 1.0], "values must be increasing"),
    "zero": (
        [0.0, 1.0, 2.0],
        [3.0, 2.0, 1.0],
        "values must be positive finite numbers",
    ),
    "negative": (
        [-1.0, 1.0, 2.0],
        [3.0, 2.0, 1.0],
        "values must be .*logarithmic axis",
    ),
    "infinite": ([1.0, 2.0, INF], [3.0, 2.0, 1.0], "values must be positive finite"),
    "nan": ([1.0, NAN, 3.0], [3.0, 2.0, 1.0], "values must be positive finite numbers"),
    "lengths": ([1.0, 2.0], [3.0, 2.0, 1.0], "values and losses must be two equally"),
    "seeds": ([1.0, 2.0], [[3.0, 2.0]], "values and losses must be two equally long"),
    "scalars": (1.0, 1.0, "values and losses must be two equally long vectors"),
}


@every_rule
@pytest.mark.parametrize("case", BAD)
def test_what_is_no_curve_is_refused(name, case):
    values, losses, message = BAD[case]
    with pytest.raises(ValueError, match=f"^{name}: {message}"):
        RULES[name](values, losses)


@every_rule
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skip_start": -1}, "skip_start must be a non-negative integer, got -1"),
        ({"skip_end": -1}, "skip_end must be a non-negative integer, got -1"),
    ],
)
def test_points_to_leave_out_are_counted_from_zero(name, options, message):
    with pytest.raises(ValueError, match=f"{name}: {message}"):
        RULES[name](rates_for(range(40)), np.arange(40.0)[::-1], **options)


def test_a_missing_answer_is_a_value_error():
    assert issubclass(oc.NoSuggestionError, ValueError)


def test_the_mapping_holds_every_rule_and_can_not_be_changed():
    assert set(oc.RULES) == set(RULES)
    with pytest.raises(TypeError, match="does not support item assignment"):
        oc.RULES["mine"] = oc.valley


@pytest.mark.parametrize("name", ["valley", "slide", "minimum", "steep"])
def test_the_mapping_leaves_out_what_fastais_lr_find_does(name):
    """`[n // 10 : -5]` of a ramp of n updates."""
    place = np.arange(100)
    losses = np.interp(place, [0, 3, 40, 80, 99], [90.0, 4.0, 3.5, 1.0, 30.0])
    losses += 0.02 * np.sin(place)
    rates = rates_for(losses)
    found = oc.RULES[name](rates, losses)
    alone = RULES[name](rates[10:-5], losses[10:-5])
    assert (found.value, found.index) == (alone.value, alone.index + 10)
