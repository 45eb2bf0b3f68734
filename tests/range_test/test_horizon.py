"""The drift of the best value over horizons, on valleys that move by a known law."""

import numpy as np
import pytest

import optax_cycles as oc
from optax_cycles.range_test.over import evaluation_steps

VALUES = np.geomspace(1e-4, 1.0, 65)
HORIZONS = [40, 75, 150, 300]
STEP = np.log(VALUES[1] / VALUES[0])


def valleys(best, noise=0.0, seeds=5, seed=0):
    """`[horizons, values, seeds]`: a valley in log value around each best one."""
    rng = np.random.default_rng(seed)
    apart = np.log10(VALUES / np.asarray(best)[:, None])
    losses = 2.3 - 1.8 * np.exp(-((apart / 0.8) ** 2))[..., None]
    pairs = 0.1 * rng.normal(size=seeds)
    start = np.broadcast_to(2.3 + pairs, (65, seeds))
    return losses + pairs + noise * rng.normal(size=(len(best), 65, seeds)), start


def moving(power, at_longest=0.01):
    return at_longest * (np.array(HORIZONS) / HORIZONS[-1]) ** power


@pytest.mark.parametrize("power", [-1.0, -0.5, 0.5])
def test_a_power_law_is_followed(power):
    losses, start = valleys(moving(power))
    found = oc.horizon_best(
        VALUES, losses, HORIZONS, updates=1200, untrained=start, upwards=power > 0
    )
    assert found.drift == pytest.approx(power, abs=0.1)
    assert found.weight > 0.95
    # Best values are known to a grid step, at four horizons and at the longest.
    assert abs(np.log(found.value / (0.01 * 4**power))) < 1.5 * STEP
    assert found.factor == pytest.approx(found.value / found.longest.best)
    near = np.abs(np.log(VALUES / found.value)).min()
    assert abs(np.log(VALUES[found.index] / found.value)) == pytest.approx(near)


def test_a_rate_that_drifts_upwards_stays_below_the_cliff_unless_asked_for():
    losses, start = valleys(moving(0.5))
    found = oc.horizon_best(VALUES, losses, HORIZONS, updates=1200, untrained=start)
    assert found.drift > 0.4
    assert (found.weight, found.factor, found.value) == (0, 1, found.longest.best)


def test_a_rate_does_not_drift_beyond_the_cliff():
    """Upwards from .01 to .02 at four times the horizon; above .015 training fails."""
    losses, start = valleys(moving(0.5))
    options = {"updates": 1200, "untrained": start, "upwards": True}
    assert oc.horizon_best(VALUES, losses, HORIZONS, **options).value > 0.018
    losses[:, VALUES > 0.015] = np.inf
    with pytest.raises(oc.NoSuggestionError, match=r"training fails at 0\.015"):
        oc.horizon_best(VALUES, losses, HORIZONS, **options)


def parallel_test(losses, start):
    """The same losses as a range test whose validation is flat before each horizon."""
    steps = evaluation_steps(HORIZONS)
    at = np.searchsorted(HORIZONS, steps)
    validation = np.moveaxis(losses, 0, -1)[..., at].astype(np.float64)
    validation[..., 0] = start
    seeds = losses.shape[-1]
    sweep = oc.sweep.SweepResult(
        space=oc.sweep.grid(learning_rate=VALUES, seed=range(seeds)),
        steps=HORIZONS[-1],
        train={"loss": np.zeros((len(VALUES), seeds, HORIZONS[-1]))},
        validation={"loss": validation},
        horizons=np.array(steps),
        status=np.zeros((len(VALUES), seeds), np.int32),
        updates=np.full((len(VALUES), seeds), HORIZONS[-1], np.int32),
        complete=True,
        seconds={},
        versions={},
    )
    return oc.ParallelTest(("learning_rate",), tuple(HORIZONS), sweep)


def test_a_range_test_moves_its_range_to_the_length_of_the_training():
    losses, start = valleys(moving(-1.0))
    test = parallel_test(losses, start)
    here, longer = test.suggest(), test.suggest(updates=1200)
    # Four times as long, a quarter of the rate.
    factor = longer.best / here.best
    assert factor == pytest.approx(1 / 4, rel=0.15)
    for name in ("base", "peak"):
        assert getattr(longer, name) == pytest.approx(factor * getattr(here, name))
    np.testing.assert_allclose(longer.interval, factor * np.array(here.interval))
    assert "of the horizon" in longer.reason
    assert test.suggest(updates=300) == test.suggest()._replace(
        reason=test.suggest(updates=300).reason
    )
    with pytest.raises(ValueError, match="updates must be an integer of at least 300"):
        test.suggest(updates=200)
    # From the shorter horizons alone.
    assert test.suggest(150, updates=300).best == pytest.approx(here.best, rel=0.2)


def test_a_valley_that_stays_leaves_the_answer_of_the_longest_horizon():
    losses, start = valleys(moving(0.0), noise=0.05)
    found = oc.horizon_best(VALUES, losses, HORIZONS, updates=30_000, untrained=start)
    assert found.weight == 0.0
    assert found.value == found.longest.best
    assert found.longest == oc.parallel_best(VALUES, losses[-1], untrained=start)


def test_over_many_tests_it_is_nearer_than_the_longest_horizon_where_it_drifts():
    """And no farther by more than a quarter where nothing does."""
    for power, most in ((0.0, 1.25), (-0.3, 0.6)):
        squares = np.zeros(2)
        for seed in range(8):
            losses, start = valleys(moving(power), noise=0.1, seed=seed)
            found = oc.horizon_best(
                VALUES, losses, HORIZONS, updates=1200, untrained=start
            )
            truth = 0.01 * 4**power
            ours = [found.value, found.longest.best]
            squares += np.log(np.array(ours) / truth) ** 2
        assert squares[0] <= most**2 * squares[1]


def test_for_the_longest_horizon_it_is_that_horizons_answer():
    losses, start = valleys(moving(-1.0))
    found = oc.horizon_best(VALUES, losses, HORIZONS, updates=300, untrained=start)
    assert found.value == found.longest.best


def test_horizons_without_an_answer_are_left_out():
    """At the shortest horizon the best value is beyond the range."""
    best = moving(-1.0)
    losses, start = valleys([50.0, *best[1:]])
    found = oc.horizon_best(VALUES, losses, HORIZONS, updates=1200, untrained=start)
    rest = oc.horizon_best(
        VALUES, losses[1:], HORIZONS[1:], updates=1200, untrained=start
    )
    assert found.value == rest.value
    assert "3 horizon(s)" in found.reason


@pytest.mark.parametrize("case", ["one seed", "one horizon"])
def test_without_a_measure_of_noise_nothing_is_extrapolated(case):
    losses, _ = valleys(moving(-1.0), seeds=1 if case == "one seed" else 5)
    first = 3 if case == "one horizon" else 0
    found = oc.horizon_best(VALUES, losses[first:], HORIZONS[first:], updates=3000)
    assert (found.weight, found.factor) == (0.0, 1.0)
    assert found.value == found.longest.best


def test_the_answer_is_never_outside_the_range():
    losses, start = valleys(moving(-1.0))
    with pytest.raises(
        oc.NoSuggestionError,
        match=r"best value for 90000 updates, about .*outside the range; lower the st",
    ):
        oc.horizon_best(VALUES, losses, HORIZONS, updates=90_000, untrained=start)


def test_the_longest_horizon_must_have_an_answer():
    losses, start = valleys([0.1, 0.1, 0.1, 5e-5])
    with pytest.raises(oc.NoSuggestionError, match="lowest at the first value"):
        oc.horizon_best(VALUES, losses, HORIZONS, updates=600, untrained=start)


def test_neither_the_order_of_seeds_nor_a_scale_of_the_losses_matters():
    losses, start = valleys(moving(-0.5), noise=0.1)
    order = [3, 1, 4, 0, 2]
    found = oc.horizon_best(VALUES, losses, HORIZONS, updates=900, untrained=start)
    again = oc.horizon_best(
        VALUES, losses[..., order], HORIZONS, updates=900, untrained=start[:, order]
    )
    assert again == found
    scaled = oc.horizon_best(
        VALUES, losses * 4 - 32, HORIZONS, updates=900, untrained=start * 4 - 32
    )
    assert scaled.value == pytest.approx(found.value, rel=1e-9)


def test_members_that_the_caller_marks_as_failed_are_not_used():
    losses, start = valleys(moving(-1.0))
    failed = np.zeros(losses.shape, bool)
    failed[:, 40:] = True
    marked = oc.horizon_best(
        VALUES, losses, HORIZONS, updates=400, untrained=start, diverged=failed
    )
    losses = np.where(failed, np.nan, losses)
    alone = oc.horizon_best(VALUES, losses, HORIZONS, updates=400, untrained=start)
    assert marked == alone


SHAPE = (4, 65, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"losses": np.ones((65, 2))},
            r"losses and horizons must be \[horizons, values",
        ),
        (
            {"horizons": [1, 2]},
            r"losses and horizons must be \[horizons, values, seeds",
        ),
        ({"horizons": [1, 2, 2, 3]}, "horizons must be increasing"),
        ({"horizons": [0, 1, 2, 3]}, "horizons must be a positive integer, got 0"),
        ({"updates": 299}, "updates must be an integer of at least 300, got 299"),
        ({"values": np.linspace(-1, 1, 65)}, "values must be a vector of positive num"),
        ({"diverged": np.zeros((65, 2))}, "diverged must be of the shape of losses"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    given = {"values": VALUES, "losses": np.ones(SHAPE), "horizons": HORIZONS}
    given = {**given, "updates": 600} | change
    with pytest.raises(ValueError, match=f"^horizon_best: {message}"):
        oc.horizon_best(**given)
