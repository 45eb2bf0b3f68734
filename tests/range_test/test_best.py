"""The rule of the parallel range test on curves with known answers."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import optax_cycles as oc
from optax_cycles.range_test import parallel_best

NAN, INF = float("nan"), float("inf")
VALUES = [0.001, 0.01, 0.1, 1.0, 10.0]
# Medians 3.0, 2.0, 1.0, 1.5 and a value at which training fails.
LOSSES = np.array(
    [
        [3.0, 3.1, 2.9],
        [2.0, 2.1, 1.9],
        [1.0, 1.1, 0.9],
        [1.5, 1.6, 1.4],
        [INF, NAN, INF],
    ]
)


def changed(row, losses):
    out = LOSSES.copy()
    out[VALUES.index(row)] = losses
    return out


def test_the_best_value_has_the_lowest_median():
    found = parallel_best(VALUES, LOSSES, untrained=3.2)
    assert found.best == 0.1
    assert found.loss == 1.0
    # The seeds are ordered alike at all values, so that nothing is within noise.
    assert found.within_noise == (0.1,)
    assert found.peak == 0.1
    assert found.interval == (0.1, 0.1)
    # Half of the fall from 3.2 to 1.0 is 2.1, which 0.01 reaches and 0.001 does not.
    assert found.base == 0.01
    assert "lowest loss around it (median 1," in found.reason
    assert "3 seed(s)" in found.reason


def test_the_median_is_not_the_mean():
    spread = changed(0.1, [0.9, 1.0, 100.0])
    assert parallel_best(VALUES, spread).best == 0.1


def test_values_that_the_seeds_can_not_tell_apart_are_within_noise():
    """Paired differences .1 +- .2: mean .1, standard error .115, twice it .23."""
    losses = changed(1.0, LOSSES[2] + [0.3, 0.1, -0.1])
    found = parallel_best(VALUES, losses, untrained=3.2)
    assert found.within_noise == (0.1, 1.0)
    assert found.peak == 1.0
    assert found.best == 0.1


def test_values_within_noise_are_an_unbroken_run():
    losses = np.array(LOSSES)
    losses[0] = LOSSES[2] + [0.3, 0.1, -0.1]
    assert parallel_best(VALUES, losses).within_noise == (0.1,)


def test_the_base_is_where_the_last_descent_passes_half_way():
    """A lucky value far below the best is cut off by a bad one in between."""
    losses = np.array([[1.2], [3.0], [1.1], [1.0], [2.0]])
    found = parallel_best(VALUES, losses, untrained=3.2)
    assert found.best == 1.0
    assert found.base == 0.1


def test_without_the_untrained_loss_the_base_is_a_tenth_of_the_peak():
    assert parallel_best(VALUES, LOSSES).base == pytest.approx(0.01)
    noisy = changed(1.0, LOSSES[2] + [0.3, 0.1, -0.1])
    assert parallel_best(VALUES, noisy).base == pytest.approx(0.1)


def test_the_base_is_never_above_the_best():
    losses = changed(10.0, LOSSES[2] + [0.3, 0.1, -0.1])
    losses[3] = LOSSES[2] + [0.3, -0.1, 0.1]
    found = parallel_best([0.01, 0.1, 0.3, 50.0, 60.0], losses)
    assert found.peak == 60.0
    assert found.base == found.best == 0.3


def test_one_seed_is_enough():
    found = parallel_best(VALUES, LOSSES[:, :1], untrained=3.2)
    assert found.best == 0.1
    assert found.interval == (0.1, 0.1)
    assert found.within_noise == (0.1,)


def test_one_seed_can_not_tell_equal_losses_apart():
    losses = np.array([[3.0], [1.0], [1.0], [1.0], [2.0]])
    found = parallel_best(VALUES, losses)
    assert found.best == 0.01
    assert found.within_noise == (0.01, 0.1, 1.0)
    assert found.peak == 1.0


def test_the_interval_is_where_the_best_lands_when_seeds_are_redrawn():
    """Two of five seeds prefer 1.0: it wins where three draws of five hit them.

    P(binomial(5, .4) >= 3) is .317, so both values belong to the 90 % interval.
    """
    losses = np.array(
        [[3.0] * 5, [2.0] * 5, [1, 1, 1, 1.5, 1.5], [1.5, 1.5, 1.5, 1, 1], [9.0] * 5]
    )
    assert parallel_best(VALUES, losses).interval == (0.1, 1.0)
    # One of nine seeds: P(binomial(9, 1/9) >= 5) is .001.
    losses = np.array([[3.0] * 9, [1] * 8 + [1.5], [1.5] * 8 + [1], [9.0] * 9])
    assert parallel_best(VALUES[:4], losses).interval == (0.01, 0.01)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_values_at_which_too_many_seeds_fail_are_left_out(bad):
    losses = np.tile([[3.0], [2.0], [1.0], [1.5], [4.0]], 5)
    losses[2, 0] = bad
    assert parallel_best(VALUES, losses).best == 0.1  # one of five: 20 %
    assert parallel_best(VALUES, losses, max_diverged=0.1).best == 1.0
    losses[2, 1] = bad
    assert parallel_best(VALUES, losses).best == 1.0
    assert parallel_best(VALUES, losses, max_diverged=0.4).best == 0.1


def test_a_failed_seed_at_the_best_value_does_not_spoil_the_others():
    losses = np.tile([[3.0], [2.0], [1.0], [1.5], [4.0]], 5)
    losses += np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    losses[2, 0] = INF
    found = parallel_best(VALUES, losses, untrained=5.0)
    assert found.best == 0.1
    assert found.loss == 1.3
    assert found.within_noise == (0.1,)
    # A draw may hit the failed seed three times of five (5.8 %): then 1.0 is best.
    assert found.interval == (0.1, 1.0)


def test_seeds_that_fail_at_both_values_are_compared_by_the_others():
    losses = np.tile(LOSSES[:4], (1, 2))
    losses[3, :] = losses[2, :] + [0.3, 0.1, -0.1, 0.3, 0.1, -0.1]
    losses[2:, 5] = INF
    found = parallel_best([*VALUES[:4], 10.0], np.vstack([losses, [[9.0] * 6]]))
    assert found.within_noise == (0.1, 1.0)


def test_a_neighbour_that_fails_where_the_best_does_not_is_not_within_noise():
    losses = np.tile([[3.0], [2.0], [1.0], [1.0], [4.0]], 5)
    losses[3, 0] = NAN
    assert parallel_best(VALUES, losses).within_noise == (0.1,)


def test_the_caller_may_say_which_members_failed():
    diverged = np.zeros(LOSSES.shape, bool)
    diverged[2] = True
    assert parallel_best(VALUES, LOSSES, diverged=diverged).best == 1.0


def test_the_interval_never_holds_a_value_that_was_left_out():
    """The only value allowed fails in a third of the draws of seeds."""
    losses = np.full((5, 5), INF)
    losses[2] = [INF, INF, 1.0, 1.1, 1.2]
    found = parallel_best(VALUES, losses, max_diverged=0.4)
    assert found.best == 0.1
    assert found.interval == (0.1, 0.1)


@pytest.mark.parametrize(
    ("losses", "options", "message"),
    [
        (np.full((5, 3), NAN), {}, "training failed at every value; lower the range"),
        (
            np.where(np.arange(3) < 2, INF, LOSSES),
            {"max_diverged": 0.9},
            "training failed for half of the seeds or more at every value",
        ),
        (
            LOSSES[[2, 1, 0, 0, 0]],
            {},
            r"lowest at the first value \(0.001\); lower the",
        ),
        (
            LOSSES[[0, 0, 0, 1, 2]],
            {},
            r"still falls at the last value \(10\); raise the",
        ),
        (np.ones((5, 3)), {"untrained": 1.0}, "no value improves on the untrained"),
        (np.ones((5, 1)), {"untrained": 0.5}, "no value improves on the untrained"),
        (
            LOSSES,
            {"untrained": 1.05},
            "no value improves on the untrained loss by more",
        ),
    ],
    ids=["failed", "half", "first", "last", "flat", "worse", "noise"],
)
def test_there_is_no_answer_that_can_not_be_trusted(losses, options, message):
    with pytest.raises(oc.NoSuggestionError, match=f"parallel_best: .*({message})"):
        parallel_best(VALUES, losses, **options)


def test_any_finite_loss_improves_on_an_infinite_one():
    assert parallel_best(VALUES, LOSSES, untrained=INF).best == 0.1


@pytest.mark.parametrize(
    ("values", "losses", "options", "message"),
    [
        (VALUES, LOSSES[:, 0], {}, r"values and losses must be shaped \[values\] and"),
        (VALUES[:4], LOSSES, {}, r"values and losses must be shaped \[values\] and"),
        (VALUES, LOSSES[:, :0], {}, r"values and losses must be .*with one seed or mo"),
        ([*VALUES[:4], INF], LOSSES, {}, "values must be .*all finite"),
        ([1.0, 2.0], LOSSES[:2], {}, "values must be at least 3 increasing numbers"),
        (VALUES[::-1], LOSSES, {}, "values must be at least 3 increasing numbers"),
        (VALUES, LOSSES, {"max_diverged": 1.0}, "max_diverged must be a finite numb"),
        (VALUES, LOSSES, {"max_diverged": -0.1}, "max_diverged must be a finite numb"),
    ],
)
def test_wrong_arguments_are_refused(values, losses, options, message):
    with pytest.raises(ValueError, match=f"^parallel_best: {message}"):
        parallel_best(values, losses, **options)


@st.composite
def tables(draw):
    """Losses in sixteenths, some of them missing, of 3 to 6 values and 1 to 5 seeds."""
    shape = draw(st.tuples(st.integers(3, 6), st.integers(1, 5)))
    integers = draw(npst.arrays(np.int64, shape, elements=st.integers(-64, 64)))
    failed = draw(
        npst.arrays(bool, shape, elements=st.integers(0, 9).map(lambda n: n == 0))
    )
    return np.where(failed, NAN, integers / 16)


def answer(losses, **options):
    """The suggestion without its loss and words, or the refusal's first words."""
    values = np.arange(1.0, len(losses) + 1)
    try:
        found = parallel_best(values, losses, max_diverged=0.6, **options)
    except oc.NoSuggestionError as error:
        return str(error)[:40]
    assert values[0] <= found.interval[0] <= found.interval[1] <= values[-1]
    assert set(found.within_noise) <= set(values)
    assert found.best in found.within_noise
    assert found.peak == found.within_noise[-1]
    assert found.base <= found.best <= found.peak
    assert values[0] < found.best < values[-1]
    return found.base, found.best, found.peak, found.interval, found.within_noise


def test_the_answers_that_are_compared_are_mostly_answers():
    rng = np.random.default_rng(0)
    found = [answer(rng.integers(-64, 64, (5, 3)) / 16) for _ in range(50)]
    assert sum(isinstance(each, tuple) for each in found) > 20


@given(tables(), st.integers(-8, 8), st.integers(-3, 3), st.none() | st.just(5.0))
def test_a_shift_and_a_positive_scale_of_the_losses_change_nothing(
    losses, shift, exponent, untrained
):
    moved = losses * 2.0**exponent + shift
    start = None if untrained is None else untrained * 2.0**exponent + shift
    assert answer(losses, untrained=untrained) == answer(moved, untrained=start)


@given(tables(), st.randoms(use_true_random=False), st.none() | st.just(5.0))
def test_the_order_of_the_seeds_changes_nothing(losses, random, untrained):
    order = list(range(losses.shape[1]))
    random.shuffle(order)
    assume(order != sorted(order))
    shuffled = losses[:, order]
    assert answer(losses, untrained=untrained) == answer(shuffled, untrained=untrained)


def test_a_lucky_value_does_not_beat_a_good_neighbourhood():
    """Steps of sqrt(2): a neighbour has half the weight of the value itself.

    Averages, by hand: (2 * .8 + 1.6 + 1.6) / 4 = 1.2 at the lucky value, and
    (2 * .9 + .95 + .9) / 4 = .9125 in the middle of the broad valley.
    """
    values = 1e-3 * 2 ** (np.arange(10) / 2)
    medians = [2.0, 1.6, 0.8, 1.6, 1.2, 0.95, 0.9, 0.9, 1.5, 2.0]
    found = parallel_best(values, np.transpose([medians]), untrained=2.0)
    assert found.best == values[6]
    assert found.loss == 0.9


def test_an_explosion_next_door_counts_no_more_than_no_training_at_all():
    """Averages with the explosion taken as 2: .55, 1.1 and, next to it, .8."""
    values = 1e-3 * 2 ** (np.arange(8) / 2)
    medians = [2.0, 2.0, 1.5, 0.6, 0.5, 0.6, 1e9, 1e9]
    found = parallel_best(values, np.transpose([medians]), untrained=2.0)
    assert found.best == values[4]


@pytest.mark.parametrize(
    "values",
    [10.0 ** np.arange(-4, 2), np.linspace(0.9, 0.99, 6), np.linspace(-1.0, 1.0, 6)],
    ids=["coarse", "narrow", "signed"],
)
def test_where_values_have_no_neighbours_within_a_factor_each_stands_alone(values):
    medians = [2.0, 1.6, 0.8, 1.6, 0.9, 0.9]
    found = parallel_best(values, np.transpose([medians]), untrained=2.0)
    assert found.best == values[2]


def exploding_seeds():
    """A valley at 10**-1.5; beyond it, one seed of five explodes at each value."""
    values = np.geomspace(1e-3, 10, 9)
    medians = np.array([2.2, 1.8, 1.0, 0.49, 0.75, 0.9, 1.2, 2.5, 2.5])
    noise = np.random.default_rng(0).normal(size=(9, 5)) * 0.002
    losses = medians[:, None] + noise
    losses[4, 1] = losses[5, 3] = losses[6, 0] = 1e4
    return values, losses


@pytest.mark.parametrize("marked", [True, False])
def test_a_seed_that_explodes_does_not_make_a_value_within_noise(marked):
    """Its difference raises the mean and the standard error alike."""
    values, losses = exploding_seeds()
    diverged = losses > 100 if marked else None
    found = parallel_best(values, losses, untrained=2.3, diverged=diverged)
    assert found.best == found.peak == values[3]


def test_a_seed_that_explodes_at_the_best_value_does_not_make_the_curve_flat():
    values, losses = exploding_seeds()
    losses[3, 2] = 1e4
    assert parallel_best(values, losses, untrained=2.3).best == values[3]


@pytest.mark.parametrize("shape", [(5,), (9,), (9, 1)])
def test_diverged_must_have_the_shape_of_losses(shape):
    values, losses = exploding_seeds()
    with pytest.raises(ValueError, match="parallel_best: diverged must be of the shap"):
        parallel_best(values, losses, diverged=np.zeros(shape, bool))


def test_values_must_be_numbers():
    with pytest.raises(ValueError, match="values must be at least 3 increasing"):
        parallel_best([1.0, np.nan, 3.0], np.ones((3, 2)))


def test_strengths_are_the_ends_and_the_middle_of_what_is_within_noise():
    losses = np.tile(LOSSES[2] + [0.3, 0.1, -0.1], (5, 1))
    losses[0], losses[2] = 3.0, LOSSES[2] - 0.01
    found = parallel_best(VALUES, losses, untrained=3.2)
    assert found.within_noise == (0.01, 0.1, 1.0, 10.0)
    assert found.best == 0.1
    # Logarithms -2, -1 and 1 at 0, 1/2 and 1; the nearest of -2, -1, 0, 1.
    places = {0.0: 0.01, 0.2: 0.01, 0.3: 0.1, 0.5: 0.1, 0.6: 0.1, 0.7: 1.0, 1.0: 10.0}
    assert {strength: found.at(strength) for strength in places} == places
    named = [found.at(name) for name in ("cautious", "balanced", "bold")]
    assert named == [found.within_noise[0], found.best, found.peak]


def test_every_strength_is_the_best_where_the_seeds_can_tell():
    found = parallel_best(VALUES, LOSSES, untrained=3.2)
    assert {found.at(strength) for strength in np.linspace(0, 1, 11)} == {found.best}


def test_strengths_of_values_that_are_not_positive_move_in_the_value():
    losses = np.array([[9.0], [1.0], [1.0], [1.0], [1.0], [9.0]])
    found = parallel_best([-4.0, -1.0, 0.0, 1.0, 2.0, 4.0], losses)
    assert (found.best, found.peak) == (-1.0, 2.0)
    assert found.at(0.5) == -1.0
    # From -1 at 1/2 to 2 at 1: .8 at .8, of which 1 is the nearest.
    assert found.at(0.8) == 1.0


@given(tables(), st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_a_bolder_choice_is_never_smaller_and_always_within_noise(losses, strengths):
    try:
        found = parallel_best(np.arange(1.0, len(losses) + 1), losses)
    except oc.NoSuggestionError:
        return
    chosen = [found.at(strength) for strength in sorted(strengths)]
    assert chosen == sorted(chosen)
    assert set(chosen) <= set(found.within_noise)


@pytest.mark.parametrize(
    ("strength", "error", "message"),
    [
        (
            1.5,
            ValueError,
            "at: strength must be a finite number >= 0 and <= 1, got 1.5",
        ),
        (NAN, ValueError, "at: strength must be a finite number"),
        ("brave", ValueError, "at: strength must be one of balanced, bold, cautious"),
        (None, TypeError, "at: strength must be a finite number"),
    ],
)
def test_a_strength_is_a_share_or_a_name(strength, error, message):
    with pytest.raises(error, match=f"^{message}"):
        parallel_best(VALUES, LOSSES).at(strength)


@pytest.mark.parametrize("values", [9, 64])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_what_has_learned_nothing_is_rarely_answered(values, seeds):
    """One test in 20 at most, of which some are refused for their edges.

    Of 60 tests 20 % would be 12; 8 or more happen to a share of .05 once in 100 times.
    """
    answered = 0
    for repeat in range(60):
        rng = np.random.default_rng(repeat)
        start = 2.3 + 0.05 * rng.normal(size=seeds)
        losses = start + 0.02 * rng.normal(size=(values, seeds))
        start = np.broadcast_to(start, losses.shape)
        try:
            parallel_best(np.geomspace(1e-5, 10, values), losses, untrained=start)
        except oc.NoSuggestionError:
            continue
        answered += 1
    assert answered < 8


def test_the_best_of_many_must_gain_more_than_luck():
    """Standard error 1/100 each; sqrt(2 log(20 m)) of them are .0296 and .0378.

    The median of variances of 7 numbers stands for a mean that is 1.12 times as large:
    1.06 times the error.
    """
    wiggle = np.array([-1.0, 0.0, 1.0, -1.0, 0.0, 1.0, 0.0]) * 0.01 * 7**0.5
    wiggle *= 0.01 * 7**0.5 / wiggle.std(ddof=1)
    for count, luck in ((4, 0.0296), (64, 0.0378)):
        for gain, enough in ((luck, False), (1.1 * luck, True)):
            losses = np.full((count, 7), 2.0) + wiggle
            losses[count // 2] -= gain
            values = np.linspace(1.0, 2.0, count)
            if enough:
                found = parallel_best(values, losses, untrained=2.0)
                assert found.best == values[count // 2]
                continue
            with pytest.raises(oc.NoSuggestionError, match="by more than noise"):
                parallel_best(values, losses, untrained=2.0)


def test_a_range_that_cuts_off_what_is_within_noise_says_so():
    losses = np.tile([1.1, 1.2, 1.3], (4, 1))
    losses[1] -= 0.05
    losses[0] += [0.3, -0.1, 0.1]
    losses[2:] += [[0.3, -0.1, 0.1], [0.2, -0.2, 0.1]]
    reason = parallel_best([1.0, 2.0, 4.0, 8.0], losses).reason
    assert "the first value: lower the start" in reason
    assert "the last value: raise the end" in reason
    assert "range to see more" not in parallel_best(VALUES, LOSSES).reason
