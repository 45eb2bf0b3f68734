"""Constant rates on parabolas, whose best rate is one over the curvature."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.range_test.over import check_horizons, evaluation_steps
from optax_cycles.sweep import Interrupted

loop_module = importlib.import_module("optax_cycles.sweep.loop")

CURVATURE = 4.0
# 1 / curvature is .25; above 2 / curvature, .5, the loss grows.
RATES = [1 / 64, 1 / 16, 1 / 8, 1 / 4, 3 / 8, 3 / 4, 2.0, 1e30]
DATA = np.zeros((5, 1), np.float32)
STEPS = 20
HORIZONS = (2, 5, 10, 20)


def parabola(floor=0.0):
    """c x^2 / 2 + floor; a step multiplies x by 1 - rate c."""
    problem = oc.problem_from_loss(
        lambda key: 1 + jax.random.uniform(key),
        lambda x, batch, key: CURVATURE * x**2 / 2 + floor,
    )
    return oc.trainable(
        problem, lambda hp: optax.sgd(hp.get("rate", hp.get("learning_rate")))
    )


def range_test(trainable=None, **options):
    over = {"learning_rate": options.pop("rates", RATES)}
    options = {"over": over, "steps": STEPS, "seeds": 3, "batch_size": 5} | options
    return oc.parallel_range_test(trainable or parabola(), DATA, DATA, **options)


@pytest.fixture(scope="module")
def engines():
    """The engines that the fixtures below were run with."""
    return []


@pytest.fixture(scope="module")
def test_(engines):
    """One test, of which all questions are asked."""
    with pytest.MonkeyPatch.context() as patch:

        def build(*args, **options):
            engines.append(oc.sweep.build(*args, **options))
            return engines[-1]

        patch.setattr(loop_module, "build", build)
        return range_test(chunk=10)


def test_the_best_rate_is_one_over_the_curvature(test_):
    found = test_.suggest()
    assert found.best == 1 / CURVATURE
    assert found.loss == 0.0
    assert found.base == 1 / 64  # (1 - 1/16)^40 leaves .08 of the loss
    for horizon in HORIZONS:
        assert test_.suggest(horizon).best == 1 / CURVATURE


def test_rates_above_two_over_the_curvature_are_marked(test_):
    diverged = test_.diverged()
    assert diverged.shape == (8, 3)
    assert np.all(diverged == (np.array(RATES) > 2 / CURVATURE)[:, None])
    # Only the last one has left the range of floating-point numbers.
    assert test_.sweep.diverged.any(axis=-1).tolist() == [False] * 7 + [True]


def test_losses_are_the_closed_form(test_):
    """Means over the updates just before a horizon; no window but one below 20."""
    factor = 1 - CURVATURE * np.array(RATES[:7])[:, None]
    start = CURVATURE / 2 * np.asarray(start_of(test_)) ** 2
    untrained = test_.untrained()
    np.testing.assert_allclose(untrained, np.broadcast_to(start, (8, 3)), rtol=1e-6)
    for horizon in HORIZONS:
        steps = {2: [2], 5: [5], 10: [10], 20: [20, 19]}[horizon]
        expected = np.mean([start * factor ** (2 * at) for at in steps], axis=0)
        losses = test_.validation(horizon=horizon)
        assert losses.shape == (8, 3)
        # 20 multiplications by a rounded factor.
        np.testing.assert_allclose(losses[:7], expected, rtol=1e-5)
    assert np.all(np.isnan(test_.validation()[7]))
    for horizon in HORIZONS:
        first = horizon - {20: 2}.get(horizon, 1)
        at = np.arange(first, horizon)
        expected = (start[:, None] * factor[..., None] ** (2 * at)).mean(-1)
        np.testing.assert_allclose(
            test_.train(horizon=horizon)[:7], expected, rtol=1e-5
        )


def start_of(test):
    """`[seeds]`: the initial x, from the loss before the first update."""
    return np.sqrt(2 / CURVATURE * test.sweep.train["loss"][0, :, 0].astype(float))


def test_values_are_paired_seed_by_seed(test_):
    untrained = test_.untrained()
    assert np.all(untrained == untrained[:1])
    assert len(np.unique(untrained[0])) == test_.seeds == 3
    assert test_.values.tolist() == RATES
    assert test_.name == "learning_rate"


def test_horizons_are_parts_of_the_steps_unless_named(test_):
    assert test_.horizons == test_.reached == HORIZONS
    assert test_.complete
    np.testing.assert_array_equal(test_.validation(), test_.validation(horizon=20))
    np.testing.assert_array_equal(test_.train(), test_.train(horizon=20))


def test_one_program_serves_all_values_seeds_chunks_and_horizons(test_, engines):
    (engine,) = engines
    assert engine.compiles == {"init": 1, "advance": 1, "evaluate": 1}


def test_a_horizon_is_what_a_shorter_test_would_have_found(test_):
    short = range_test(steps=10, horizons=[5, 10], seeds=[0, 1, 2])
    assert short.horizons == (5, 10)
    for horizon in (5, 10):
        np.testing.assert_array_equal(
            short.validation(horizon=horizon), test_.validation(horizon=horizon)
        )


@pytest.mark.parametrize(
    ("horizons", "steps"),
    [
        ([1], [0, 1]),
        ([3, 10], [0, 3, 10]),
        ([20], [0, 19, 20]),
        ([300], [0, 276, 282, 288, 294, 300]),
        ([40, 44], [0, 37, 38, 39, 40, 41, 42, 43, 44]),
    ],
)
def test_evaluations_are_before_training_and_in_the_last_tenth(horizons, steps):
    assert evaluation_steps(horizons) == steps


@pytest.mark.parametrize(
    ("steps", "horizons"),
    [(1, (1,)), (3, (1, 3)), (8, (1, 2, 4, 8)), (300, (37, 75, 150, 300))],
)
def test_default_horizons_double(steps, horizons):
    assert check_horizons("f", steps, None) == horizons


def test_any_hyperparameter_is_tested_while_constants_stay():
    problem = oc.problem_from_loss(
        lambda key: jnp.float32(1), lambda x, batch, key: CURVATURE * x**2 / 2
    )
    trainable = oc.trainable(
        problem, lambda hp: optax.sgd(hp["learning_rate"] * hp["scale"])
    )
    test = range_test(
        trainable,
        over={"scale": [0.1, 0.5, 1.0, 8.0]},
        constants={"learning_rate": 0.25},
        seeds=1,
    )
    assert test.name == "scale"
    assert test.values.tolist() == [0.1, 0.5, 1.0, 8.0]
    assert test.sweep.space.names == ("learning_rate", "scale", "seed")
    assert test.suggest().best == 1.0
    assert test.validation().shape == test.diverged().shape == (4, 1)


def test_a_loss_that_ends_high_but_finite_counts_as_failed():
    """The loss saturates: at a rate of 2 it ends near 1, where it no longer moves."""
    problem = oc.problem_from_loss(
        lambda key: jnp.float32(0.5), lambda x, batch, key: x**2 / (1 + x**2)
    )
    trainable = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
    test = range_test(trainable, rates=[0.01, 0.1, 0.5, 100.0], seeds=1)
    assert np.all(np.isfinite(test.validation()))
    assert test.diverged().ravel().tolist() == [False, False, False, True]
    # Below the best value slow training is no failure.
    assert test.validation()[0, 0] > 0.8 * test.untrained()[0, 0] / 2
    assert test.suggest().best == 0.5


@pytest.mark.parametrize("start", [1.0, 1e15])
def test_rates_that_are_all_too_large_are_refused(start):
    problem = oc.problem_from_loss(
        lambda key: jnp.float32(start), lambda x, batch, key: x**2 / 2
    )
    trainable = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
    finite = range_test(trainable, rates=[2.1, 3.0, 4.0], steps=4, seeds=1)
    with pytest.raises(
        oc.NoSuggestionError, match="no value improves on the untrained"
    ):
        finite.suggest()
    assert finite.diverged().ravel().tolist() == [False, True, True]


def test_a_test_in_which_everything_diverged_is_refused():
    test = range_test(rates=[1e29, 1e30, 1e31], steps=8)
    assert test.diverged().all()
    assert test.reached == test.horizons
    with pytest.raises(oc.NoSuggestionError, match="training failed at every value"):
        test.suggest()


def test_nothing_of_the_callers_is_changed(test_):
    data, validation = {"x": DATA.copy()}, {"x": jnp.asarray(DATA)}
    values = np.array(RATES)
    again = oc.parallel_range_test(
        parabola(),
        data,
        validation,
        over={"learning_rate": values},
        seeds=3,
        steps=STEPS,
        batch_size=5,
        key=jax.random.key(0),
    )
    np.testing.assert_array_equal(data["x"], DATA)
    np.testing.assert_array_equal(validation["x"], DATA)
    assert values.tolist() == RATES
    np.testing.assert_array_equal(again.validation(), test_.validation())


def test_an_interrupted_test_knows_the_horizons_it_reached(test_):
    def stop(progress):
        if progress.done >= 24 * 11:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        range_test(progress=stop)
    partial = caught.value.result
    assert isinstance(partial, oc.ParallelTest)
    assert not partial.complete
    assert partial.reached == (2, 5, 10)
    assert partial.suggest(10) == test_.suggest(10)


def test_a_test_that_was_interrupted_at_once_has_reached_nothing():
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        range_test(progress=stop, steps=2, horizons=[2])
    assert caught.value.result.reached == ()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rates": [1.0, 2.0]}, ValueError, "over must be at least 3 increasing value"),
        (
            {"rates": [1.0]},
            ValueError,
            r"over\['learning_rate'\] must be at least 2 in",
        ),
        ({"rates": [1.0, 3.0, 2.0]}, ValueError, ".* at least 2 increasing numbers"),
        ({"rates": [3.0, 2.0, 1.0]}, ValueError, ".* at least 2 increasing numbers"),
        ({"rates": [1.0, 1.0, 2.0]}, ValueError, ".* at least 2 increasing numbers"),
        ({"rates": [0.0, 1.0, 2.0]}, ValueError, ".*'learning_rate'. must be positive"),
        ({"rates": [-1.0, 1.0, 2.0]}, ValueError, ".*'learning_rate'. must be positi"),
        ({"rates": [1, 2, float("inf")]}, ValueError, "learning_rate must be a sequen"),
        ({"rates": 0.1}, ValueError, "learning_rate must be a non-empty sequence"),
        ({"rates": "abc"}, TypeError, "learning_rate must be a sequence of numbers"),
        ({"steps": 0}, ValueError, "steps must be a positive integer, got 0"),
        ({"horizons": []}, ValueError, r"horizons must be increasing .* steps \(20\)"),
        ({"horizons": 5}, TypeError, "horizons must be a sequence, got 5"),
        (
            {"constants": {"train_loss": 1.0}},
            ValueError,
            "the name of a hyperparameter must be none of .* got 'train_loss'",
        ),
        ({"horizons": [0, 20]}, ValueError, "horizons must be a positive integer"),
        ({"horizons": [21]}, ValueError, "horizons must be increasing integers"),
        ({"horizons": [5, 5]}, ValueError, "horizons must be increasing integers"),
        ({"seeds": 0}, ValueError, "seeds must be a positive integer, got 0"),
        ({"constants": {"momentum": "x"}}, TypeError, "momentum must be a sequence of"),
        ({"trainable": len}, TypeError, "trainable must be a Trainable"),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense_are_refused(change, error, message):
    with pytest.raises(error, match=f"^parallel_range_test: {message}"):
        range_test(**change)


def test_a_hyperparameter_is_either_tested_or_constant():
    with pytest.raises(ValueError, match="'learning_rate' is given twice"):
        range_test(constants={"learning_rate": 0.1})


def test_what_was_not_recorded_is_named(test_):
    for question in (test_.validation, test_.train, test_.suggest, test_.diverged):
        with pytest.raises(
            ValueError, match=r"horizon must be one of \[2, 5, 10, 20\]"
        ):
            question(horizon=7)
    with pytest.raises(ValueError, match="validation: metric must be one of loss"):
        test_.validation("accuracy")


def test_an_interrupted_test_answers_for_what_all_its_members_reached(test_):
    """Of three chunks of 10 the last one is cut off after half of its updates."""

    def stop(progress):
        if progress.done >= 20 * STEPS + 4 * STEPS // 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        range_test(chunk=10, progress=stop)
    partial = caught.value.result
    assert partial.reached == (2, 5, 10)
    assert partial.suggest() == test_.suggest(10)
    assert not partial.diverged()[2].any()


def test_a_chunk_that_never_began_is_not_taken_for_diverged():
    def stop(progress):
        if progress.done >= 10 * STEPS:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        range_test(chunk=10, progress=stop)
    assert caught.value.result.reached == ()
    with pytest.raises(oc.NoSuggestionError, match="stopped before any horizon"):
        caught.value.result.suggest()


def overfitting_test(**changed):
    """Adam on noisy labels: above 1e-3, what is learned by heart costs validation loss.

    The numbers are those of a small network, the medians of five seeds.
    """
    rates = np.geomspace(1e-5, 1.0, 11)
    medians = {
        "validation": [0.69, 0.69, 0.66, 0.58, 0.80, 1.16, 1.55, 2.35, 2.5, 9, 9],
        "train": [0.69, 0.68, 0.6, 0.236, 0.025, 2e-3, 2e-4, 1e-5, 0.4, 9, 9],
        "accuracy": [0.5, 0.52, 0.6, 0.692, 0.701, 0.7, 0.703, 0.69, 0.6, 0.5, 0.5],
    } | changed
    spread = 1e-3 * np.arange(5)
    of = {name: np.array(m)[:, None] + spread for name, m in medians.items()}

    def along(name, untrained, steps):
        losses = np.repeat(of[name][..., None], steps, axis=-1)
        losses[..., 0] = untrained
        return losses

    sweep = oc.sweep.SweepResult(
        space=oc.sweep.grid(learning_rate=rates, seed=range(5)),
        steps=40,
        train={"loss": along("train", 0.7, 40)},
        validation={
            "loss": along("validation", 0.7, 6),
            "accuracy": along("accuracy", 0.5, 6),
        },
        horizons=np.array([0, 36, 37, 38, 39, 40]),
        status=np.zeros((11, 5), np.int32),
        updates=np.full((11, 5), 40, np.int32),
        complete=True,
        seconds={},
        versions={},
    )
    return oc.ParallelTest(("learning_rate",), (40,), sweep)


def test_what_overfits_has_not_diverged():
    assert np.flatnonzero(overfitting_test().diverged().any(axis=1)).tolist() == [9, 10]


def test_each_question_is_answered_by_its_own_metric():
    test = overfitting_test()
    rates = test.values
    assert test.suggest().best == rates[3]
    assert test.suggest(on="train").best == rates[7]
    assert test.suggest(metric="accuracy", mode="max").best == rates[6]
    assert test.joint(on="train").best == {"learning_rate": rates[7]}


def test_a_validation_loss_that_is_nowhere_finite_is_no_matter_of_the_rates():
    test = overfitting_test(validation=[np.nan] * 11)
    assert test.suggest(on="train").best == test.values[7]
    message = "suggest: the validation loss is not finite at any .*the validation data"
    with pytest.raises(oc.NoSuggestionError, match=message):
        test.suggest()
