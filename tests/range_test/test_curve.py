import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import optax_cycles as oc
from optax_cycles.range_test.curve import check_curve

NAN, INF = float("nan"), float("inf")
BETAS = [0.0, 0.5, 0.98, 0.999999, 1 - 1e-12]
losses_ = npst.arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6))


def debiased(losses, beta):
    """The definition: a weighted mean with the weights beta^(age), in float64."""
    out = []
    for count in range(1, len(losses) + 1):
        weights = beta ** np.arange(count)[::-1]
        out.append(np.sum(weights * losses[:count]) / np.sum(weights))
    return np.array(out)


@pytest.mark.parametrize("beta", BETAS)
@given(losses=losses_)
def test_smoothing_is_the_debiased_average(losses, beta):
    # Among subnormal numbers rounding is absolute.
    size = max(np.abs(losses).max(), 1e-290)
    np.testing.assert_allclose(
        oc.smooth(losses, beta), debiased(losses, beta), rtol=0, atol=1e-13 * size
    )


@given(st.floats(-1e300, 1e300), st.sampled_from(BETAS), st.integers(1, 200))
def test_a_constant_stays_exactly_constant(constant, beta, steps):
    assert np.all(oc.smooth(np.full(steps, constant), beta) == constant)


@given(losses_, st.integers(0, 59), st.sampled_from(BETAS))
def test_the_first_point_is_the_first_loss_from_any_start(losses, start, beta):
    rest = losses[min(start, len(losses) - 1) :]
    assert oc.smooth(rest, beta)[0] == rest[0]


def test_the_average_is_worked_by_hand():
    smoothed = oc.smooth([4.0, 1.0, 7.0], beta=0.5)
    np.testing.assert_allclose(smoothed, [4, (2 + 1) / 1.5, (1 + 0.5 + 7) / 1.75])


def test_curves_are_smoothed_along_the_last_axis_and_left_as_they_were():
    losses = np.random.default_rng(0).normal(size=(2, 3, 20)).astype(np.float32)
    before = losses.copy()
    smoothed = oc.smooth(losses)
    assert smoothed.dtype == np.float64
    assert smoothed.shape == losses.shape
    for curve, expected in zip(
        losses.reshape(6, 20), smoothed.reshape(6, 20), strict=True
    ):
        np.testing.assert_array_equal(oc.smooth(curve), expected)
    np.testing.assert_array_equal(losses, before)


def test_integer_losses_are_smoothed_as_numbers():
    assert (
        oc.smooth([2, 2, 5], 0.5).tolist() == oc.smooth([2.0, 2.0, 5.0], 0.5).tolist()
    )


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_from_a_loss_that_is_not_finite_on_the_average_is_not(bad):
    smoothed = oc.smooth([1.0, 2.0, bad, 3.0, bad, 4.0])
    assert np.isfinite(smoothed).tolist() == [True, True] + [False] * 4
    np.testing.assert_array_equal(smoothed[:2], oc.smooth([1.0, 2.0]))


def test_one_broken_curve_leaves_the_others_as_they_are():
    losses = np.ones((2, 5))
    losses[0, 2] = INF
    assert oc.smooth(losses)[1].tolist() == [1.0] * 5


@pytest.mark.parametrize("beta", [1.0, -0.1, NAN, 1.5])
def test_a_decay_outside_zero_to_one_is_refused(beta):
    with pytest.raises(ValueError, match="smooth: beta must be a finite number >= 0"):
        oc.smooth([1.0], beta)


def test_a_single_number_is_no_curve():
    with pytest.raises(
        ValueError, match="smooth: losses must be an array with an axis"
    ):
        oc.smooth(1.0)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_curve_ends_before_its_first_loss_that_is_not_finite(bad):
    curve = check_curve("f", [1, 2, 3, 4], [5.0, 4.0, bad, 3.0], minimum=2)
    assert curve.values.tolist() == [1.0, 2.0]
    assert curve.losses.tolist() == [5.0, 4.0]
    assert curve.worsens


def test_points_are_left_out_before_the_first_loss_that_is_not_finite():
    values, losses = np.arange(1.0, 21), np.arange(20.0)[::-1].copy()
    losses[18:] = NAN
    curve = check_curve("f", values, losses, minimum=1, skip_start=None, skip_end=3)
    assert curve.values.tolist() == values[2:15].tolist()
    assert curve.losses.tolist() == losses[2:15].tolist()
    assert curve.start == 2


@pytest.mark.parametrize(
    ("losses", "skip_end", "worsens"),
    [
        ([3.0, 2.0, 1.0], 0, False),
        ([3.0, 2.0, 1.0], 1, False),
        ([3.0, 2.0, 5.0], 1, True),
        ([3.0, 2.0, 5.0, 1.0], 2, True),
        ([3.0, 2.0, NAN], 0, True),
        ([3.0, 2.0, 1.0, INF], 1, True),
    ],
)
def test_a_curve_knows_whether_it_worsens_after_its_end(losses, skip_end, worsens):
    values = np.arange(1.0, len(losses) + 1)
    curve = check_curve("f", values, losses, minimum=1, skip_end=skip_end)
    assert curve.worsens is worsens


@pytest.mark.parametrize(
    ("skips", "kept"), [((0, 0), 4), ((2, 1), 1), ((3, 2), 0), ((9, 9), 0)]
)
def test_too_few_points_are_a_missing_answer_that_counts_them(skips, kept):
    values, losses = [1.0, 2.0, 3.0, 4.0, 5.0], [5.0, 4.0, 3.0, 2.0, NAN]
    options = {"skip_start": skips[0], "skip_end": skips[1]}
    check_curve("f", values, losses, minimum=kept, **options)
    where = f" after {skips[0]} and before {skips[1]} that" if any(skips) else ", got 4"
    with pytest.raises(oc.NoSuggestionError, match=f"^f: losses must be .*{where}"):
        check_curve("f", values, losses, minimum=kept + 1, **options)


@pytest.mark.parametrize(
    ("values", "losses", "message"),
    [
        ([1.0, 2.0], [1.0], "values and losses must be two equally long vectors"),
        ([[1.0]], [[1.0]], "values and losses must be two equally long vectors"),
        (1.0, 1.0, "values and losses must be two equally long vectors"),
        ([0.0, 1.0], [1.0, 1.0], "values must be positive finite numbers"),
        ([-1.0, 1.0], [1.0, 1.0], "values must be positive finite numbers"),
        ([1.0, NAN], [1.0, 1.0], "values must be positive finite numbers"),
        ([1.0, INF], [1.0, 1.0], "values must be positive finite numbers"),
        ([1.0, 1.0], [1.0, 1.0], "values must be increasing"),
        ([2.0, 1.0], [1.0, 1.0], "values must be increasing"),
        ([1.0, 2.0], [1.0, NAN], "losses must be at least 2 losses before the first"),
        ([], [], "losses must be at least 2 losses before the first"),
    ],
)
def test_what_is_no_curve_is_refused(values, losses, message):
    with pytest.raises(ValueError, match=f"^f: {message}"):
        check_curve("f", values, losses, minimum=2)
