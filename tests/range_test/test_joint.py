"""The best point of a grid, on grids of losses with known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import optax_cycles as oc
from optax_cycles.range_test.joint import profile

NAN, INF = float("nan"), float("inf")
RATES = [0.001, 0.01, 0.1, 1.0, 10.0]
DECAYS = [0.0, 1e-4, 1e-3, 1e-2]
MOMENTA = [0.5, 0.9]
# A bowl around the rate 0.1 and the decay 1e-3.
BOWL = 1.0 + np.add.outer([2.0, 1.0, 0.0, 1.0, 2.0], [0.9, 0.5, 0.0, 0.4])
SEEDS = np.array([0.0, 0.01, 0.02])
AXES = {"learning_rate": RATES, "weight_decay": DECAYS}


def grid(medians=BOWL):
    return np.asarray(medians)[..., None] + SEEDS - SEEDS.mean()


def test_the_best_point_is_the_bottom_of_the_bowl():
    found = oc.joint_best(AXES, grid(), untrained=4.0)
    assert found.best == {"learning_rate": 0.1, "weight_decay": 1e-3}
    assert found.loss == pytest.approx(1.0)
    # The seeds are ordered alike at all points, so that nothing is within noise.
    assert found.within_noise == (found.best,)
    assert found.interval == {"learning_rate": (0.1, 0.1), "weight_decay": (1e-3, 1e-3)}
    assert "median 1, 3 seed(s)); 1 point(s) are within noise" in found.reason


def test_the_order_of_the_axes_does_not_matter():
    turned = oc.joint_best(dict(reversed(AXES.items())), grid().swapaxes(0, 1))
    assert turned.best == oc.joint_best(AXES, grid()).best


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((0, 2), r"learning_rate: the loss is lowest at the first value \(0.001\)"),
        ((4, 2), r"learning_rate: .* last value \(10\); raise the end of its range$"),
        ((2, 3), r"weight_decay: the loss is lowest at the last value \(0.01\)"),
        ((0, 3), r"learning_rate: .*; weight_decay: .*"),
    ],
)
def test_a_best_point_at_an_end_is_refused_with_the_names_of_its_axes(change, message):
    medians = BOWL.copy()
    medians[change] = 0.1
    with pytest.raises(oc.NoSuggestionError, match=f"^joint_best: {message}"):
        oc.joint_best(AXES, grid(medians), untrained=4.0)


def test_zero_is_a_value_beyond_which_there_is_none():
    medians = BOWL.copy()
    medians[2, 0] = 0.1
    assert oc.joint_best(AXES, grid(medians)).best["weight_decay"] == 0.0


def test_an_axis_of_two_values_and_one_of_choices_have_no_ends():
    axes = {"learning_rate": RATES, "momentum": MOMENTA}
    medians = np.add.outer([2.0, 1.0, 0.0, 1.0, 2.0], [0.5, 0.0])
    assert oc.joint_best(axes, grid(medians)).best["momentum"] == 0.9
    sizes = {"learning_rate": RATES, "batch_size": [16, 32, 64, 128]}
    medians = np.add.outer([2.0, 1.0, 0.0, 1.0, 2.0], [3.0, 2.0, 1.0, 0.0])
    found = oc.joint_best(sizes, grid(medians), choices=("batch_size",))
    assert found.best == {"learning_rate": 0.1, "batch_size": 128}


def test_an_end_that_the_seeds_can_not_tell_from_an_inner_point_gives_way_to_it():
    """Along the decay, nothing changes but noise: .01 -+ .02 between neighbours."""
    noise = 0.02 * np.array([[1, -1, 1, -1], [-1, 1, -1, 1], [1, 1, -1, -1]]).T
    losses = np.array([2.0, 1.0, 0.0, 1.0, 2.0])[:, None, None] + noise
    losses[2, 3] -= 0.005
    found = oc.joint_best(AXES, losses)
    assert found.best["learning_rate"] == 0.1
    assert found.best["weight_decay"] in (1e-4, 1e-3)
    assert found.reason.endswith("noise hides an end of weight_decay")


def test_points_within_noise_are_connected_along_the_axes():
    """Differences of .1 +- .2 are within noise: mean .1, standard error .115."""
    losses = grid()
    near = losses[2, 2] + [0.3, 0.1, -0.1]
    losses[1, 2] = losses[1, 1] = near
    losses[4, 0] = near  # as good, but nothing as good leads there
    found = oc.joint_best(AXES, losses)
    places = [(p["learning_rate"], p["weight_decay"]) for p in found.within_noise]
    assert places == [(0.01, 1e-4), (0.01, 1e-3), (0.1, 1e-3)]


def test_medians_are_averaged_along_the_axes_that_are_wide_and_positive():
    """Steps of sqrt(2): a neighbour has half the weight of the value itself.

    By hand, along the rate at the decay 0: the lucky rate averages
    (2 * .5 + 1.6 + 1.6) / 4 = 1.05, the middle of the broad valley
    (2 * .9 + .95 + .9) / 4 = .9125.
    """
    rates = 1e-3 * 2 ** (np.arange(10) / 2)
    along = np.array([2.0, 1.6, 0.5, 1.6, 1.2, 0.95, 0.9, 0.9, 1.5, 2.0])
    medians = np.stack([along, along + 1], axis=1)
    found = oc.joint_best({"rate": rates, "decay": [0.0, 0.1]}, medians[..., None])
    assert found.best == {"rate": rates[6], "decay": 0.0}
    linear = {"momentum": np.linspace(0.5, 0.95, 10), "decay": [0.0, 0.1]}
    assert oc.joint_best(linear, medians[..., None]).best["momentum"] == pytest.approx(
        0.6
    )


def test_points_at_which_too_many_seeds_fail_are_left_out():
    losses = np.repeat(BOWL[..., None], 5, axis=-1)
    losses[2, 3] = 2.0
    losses[2, 2, 0] = NAN  # one of five: 20 %
    assert oc.joint_best(AXES, losses).best["learning_rate"] == 0.1
    strict = oc.joint_best(AXES, losses, max_diverged=0.1)
    marked = np.zeros(losses.shape, bool)
    marked[2, 2, :2] = marked[2, 3] = True
    for found in (strict, oc.joint_best(AXES, losses, diverged=marked)):
        assert found.best == {"learning_rate": 0.1, "weight_decay": 1e-4}


@pytest.mark.parametrize(
    ("losses", "options", "message"),
    [
        (np.full((5, 4, 3), NAN), {}, "training failed"),
        (grid(), {"untrained": 1.0}, "no point improves on the untrained loss"),
    ],
    ids=["failed", "flat"],
)
def test_there_is_no_answer_that_can_not_be_trusted(losses, options, message):
    with pytest.raises(oc.NoSuggestionError, match=f"joint_best: .*{message}"):
        oc.joint_best(AXES, losses, **options)


@pytest.mark.parametrize(
    ("axes", "losses", "options", "message"),
    [
        (AXES, grid()[0], {}, r"losses must be of the shape \(5, 4\)"),
        (AXES, grid()[..., :0], {}, r"losses must be of the shape \(5, 4\)"),
        ({"rate": [2.0, 1.0]}, np.ones((2, 1)), {}, r"axes\['rate'\] must be increas"),
        (AXES, grid(), {"max_diverged": 1.0}, "max_diverged must be a finite number"),
        (AXES, grid(), {"diverged": [True]}, "diverged must be of the shape"),
    ],
)
def test_wrong_arguments_are_refused(axes, losses, options, message):
    with pytest.raises(ValueError, match=f"^joint_best: {message}"):
        oc.joint_best(axes, losses, **options)


@given(
    npst.arrays(
        np.int64,
        st.tuples(st.integers(3, 7), st.integers(1, 4)),
        elements=st.integers(-64, 64),
    ),
    st.sampled_from(["fine", "coarse", "linear"]),
    st.none() | st.just(9.0),
)
def test_along_one_axis_the_answer_is_that_of_parallel_best(losses, spacing, untrained):
    losses = losses / 16
    values = {
        "fine": np.geomspace(1e-3, 0.05, len(losses)),
        "coarse": np.geomspace(1e-5, 10, len(losses)),
        "linear": np.linspace(-1, 1, len(losses)),
    }[spacing]
    try:
        one = oc.parallel_best(values, losses, untrained=untrained)
    except oc.NoSuggestionError:
        return
    found = oc.joint_best({"x": values}, losses, untrained=untrained)
    assert found.best == {"x": one.best}
    assert found.interval == {"x": one.interval}
    assert found.within_noise == tuple({"x": value} for value in one.within_noise)
    assert found.loss == one.loss


def test_a_profile_tells_an_aligned_valley_from_a_diagonal_one():
    aligned = np.add.outer([2.0, 1.0, 0.0, 1.0, 2.0], [0.3, 0.1, 0.0])
    diagonal = np.abs(np.subtract.outer(np.arange(5), [3, 2, 1]))
    axes = {"rate": np.array(RATES), "decay": np.array([1e-4, 1e-3, 1e-2])}
    options = {"untrained": np.full((5, 3, 3), 9.0), "diverged": np.zeros((5, 3, 3))}
    straight = profile("decay", axes, grid(aligned), **options)
    assert straight.best["rate"].tolist() == [0.1] * 3
    np.testing.assert_allclose(straight.losses, [0.3, 0.1, 0.0], atol=1e-12)
    slanted = profile("decay", axes, grid(diagonal), **options)
    assert slanted.best["rate"].tolist() == [1.0, 0.1, 0.01]
    assert slanted.refusals == (None,) * 3


def test_a_profile_says_where_there_is_no_answer():
    medians = np.add.outer([2.0, 1.0, 0.0, 1.0, 2.0], [0.0, 0.0])
    medians[:, 1] = [0.0, 1.0, 2.0, 3.0, 4.0]
    axes = {"rate": np.array(RATES), "decay": np.array([1e-4, 1e-3])}
    shape = (5, 2, 3)
    found = profile(
        "decay",
        axes,
        grid(medians),
        untrained=np.full(shape, 9.0),
        diverged=np.zeros(shape, bool),
    )
    np.testing.assert_array_equal(found.best["rate"], [0.1, NAN])
    assert found.refusals[0] is None
    assert "rate: the loss is lowest at the first value" in found.refusals[1]


def edge_test():
    """Rates up to .3, where the loss is least but within noise of that at .1."""
    rates, sizes = np.array([0.003, 0.01, 0.03, 0.1, 0.3]), np.array([8, 16, 32])
    losses = np.array([2.0, 1.5, 1.0, 0.52, 0.5])[:, None, None] + np.zeros((3, 2))
    losses[3] += [-0.05, 0.05]
    losses += np.array([0.0, 0.1, 0.2])[:, None]
    validation = np.repeat(losses[..., None], 6, axis=-1)
    validation[..., 0] = 2.3
    train = np.repeat(losses[..., None], 40, axis=-1)
    train[..., 0] = 2.3
    sweep = oc.sweep.SweepResult(
        space=oc.sweep.grid(learning_rate=rates, batch_size=sizes, seed=[0, 1]),
        steps=40,
        train={"loss": train},
        validation={"loss": validation},
        horizons=np.array([0, 36, 37, 38, 39, 40]),
        status=np.zeros(losses.shape, np.int32),
        updates=np.full(losses.shape, 40, np.int32),
        complete=True,
        seconds={},
        versions={},
    )
    return oc.ParallelTest(("learning_rate", "batch_size"), (40,), sweep)


def test_the_range_along_an_axis_does_not_contradict_the_joint_best():
    test = edge_test()
    joint = test.joint()
    assert joint.best == {"learning_rate": 0.1, "batch_size": 8}
    low, high = joint.interval["learning_rate"]
    assert low <= 0.1 <= high
    found = test.suggest(name="learning_rate", at={"batch_size": 8})
    assert found.best == 0.1
    assert found.interval[0] <= 0.1 <= found.interval[1]
    assert found.reason.endswith("noise hides an end of the range")
    sizes = test.suggest(name="batch_size", at={"learning_rate": 0.1})
    assert sizes.best == 8


def test_the_interval_holds_the_best_value_among_exact_ties():
    """Of three seeds each prefers another value, and the medians are alike."""
    losses = np.array([[9, 9, 9], [1, 2, 0], [0, 1, 2], [2, 0, 1], [9, 9, 9]])
    found = oc.parallel_best(RATES, losses)
    assert found.interval[0] <= found.best <= found.interval[1]
    joint = oc.joint_best({"rate": RATES}, losses)
    assert joint.interval["rate"][0] <= found.best <= joint.interval["rate"][1]


@pytest.mark.parametrize("untrained", [np.ones(5), [1.0, NAN], NAN])
def test_untrained_losses_are_a_number_or_one_for_each_loss(untrained):
    losses = np.ones((5, 2))
    for ask in (
        lambda: oc.parallel_best(RATES, losses, untrained=untrained),
        lambda: oc.joint_best({"rate": RATES}, losses, untrained=untrained),
        lambda: oc.horizon_best(
            RATES, losses[None], [1], updates=2, untrained=untrained
        ),
    ):
        with pytest.raises(ValueError, match=r"_best: untrained must be "):
            ask()
