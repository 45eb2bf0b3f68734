"""Grids of hyperparameters on parabolas, against the same training in NumPy."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.sweep import Interrupted

loop_module = importlib.import_module("optax_cycles.sweep.loop")

# Heavy ball on curvatures 1 and 25: the best rate is 4 / (1 + 5)^2, the best momentum
# (4 / 6)^2 (Polyak 1964).
CURVATURES = np.array([1.0, 25.0], np.float32)
RATES = np.array([1 / 36, 1 / 18, 1 / 9, 2 / 9, 4.0])
MOMENTA = np.array([0.0, 0.2, 4 / 9, 0.7, 0.9])
DATA = np.zeros((6, 1), np.float32)
STEPS = 30
OVER = {"learning_rate": RATES, "momentum": MOMENTA}


def heavy_ball(hparams):
    return optax.sgd(hparams["learning_rate"], momentum=hparams["momentum"])


def problem(curvatures=CURVATURES):
    return oc.problem_from_loss(
        lambda key: 1.0 + 0.01 * jax.random.uniform(key, (2,)),
        lambda x, batch, key: jnp.sum(curvatures * x**2) / 2,
        evaluate=lambda x, batch: {
            "loss": jnp.sum(curvatures * x**2) / 2,
            "goodness": -jnp.sum(curvatures * x**2),
        },
    )


def grid_test(optimizer=heavy_ball, model=None, **options):
    options = {"over": OVER, "steps": STEPS, "seeds": 2, "batch_size": 3} | options
    train = oc.trainable(model or problem(), optimizer)
    return oc.parallel_range_test(train, DATA, DATA, **options)


def losses_in_numpy(start, steps):
    """`[rates, momenta]`: the loss after so many updates, in double precision."""
    rates, momenta = np.meshgrid(RATES, MOMENTA, indexing="ij")
    x = np.broadcast_to(start, (*rates.shape, 2)).astype(float)
    trace = np.zeros_like(x)
    for _ in range(steps):
        trace = CURVATURES * x + momenta[..., None] * trace
        x = x - rates[..., None] * trace
    return np.sum(CURVATURES * x**2, axis=-1) / 2


@pytest.fixture(scope="module")
def engines():
    return []


@pytest.fixture(scope="module")
def test_(engines):
    with pytest.MonkeyPatch.context() as patch:

        def build(*args, **options):
            engines.append(oc.sweep.build(*args, **options))
            return engines[-1]

        patch.setattr(loop_module, "build", build)
        return grid_test()


def test_axes_come_first_in_their_order_and_seeds_last(test_):
    assert test_.over == ("learning_rate", "momentum")
    assert list(test_.axes) == ["learning_rate", "momentum"]
    np.testing.assert_array_equal(test_.axes["momentum"], MOMENTA)
    shape = (5, 5, 2)
    for values in (test_.validation(), test_.train(), test_.untrained()):
        assert values.shape == shape
    assert test_.diverged().shape == shape
    assert repr(test_) == (
        "ParallelTest(learning_rate: 5, momentum: 5, seed: 2; 30 updates)"
    )


def test_one_program_serves_the_whole_grid(test_, engines):
    (engine,) = engines
    assert engine.compiles == {"init": 1, "advance": 1, "evaluate": 1}


def test_programs_are_kept_for_the_next_test_of_the_same_trainable(monkeypatch):
    built = []

    def build(*args, **options):
        built.append(oc.sweep.build(*args, **options))
        return built[-1]

    monkeypatch.setattr(loop_module, "build", build)
    train = oc.trainable(problem(), heavy_ball)
    for rates in ([0.01, 0.02, 0.03], [0.02, 0.03, 0.04]):
        oc.parallel_range_test(
            train,
            DATA,
            DATA,
            over={"learning_rate": rates, "momentum": [0.0, 0.9]},
            steps=3,
            seeds=1,
            batch_size=3,
        )
    (engine,) = built
    assert engine.compiles == {"init": 1, "advance": 1, "evaluate": 1}


def test_losses_are_those_of_the_same_training_in_numpy(test_):
    state = oc.trainable(problem(), heavy_ball).init
    for seed in range(2):
        init_key = jax.random.split(jax.random.key(0))[0]
        key = jax.random.split(jax.random.fold_in(init_key, seed))[0]
        start = state(key, {"learning_rate": 0.1, "momentum": 0.9}).params
        steps = (28, 29, 30)
        expected = np.mean([losses_in_numpy(start, at) for at in steps], axis=0)
        found = test_.validation()[..., seed]
        stable = expected < 1e6
        assert stable.sum() > 12
        np.testing.assert_allclose(
            found[stable], expected[stable], rtol=1e-3, atol=1e-12
        )


def test_the_joint_best_is_polyaks(test_):
    best = {"learning_rate": RATES[2], "momentum": MOMENTA[2]}
    found = test_.joint()
    assert found.best == best
    assert found.interval["learning_rate"] == (RATES[2], RATES[2])
    assert found.within_noise == (best,)
    assert test_.validation()[2, 2].max() < 1e-5


def test_a_range_along_one_axis_lies_at_the_best_of_the_others(test_):
    along = test_.suggest(name="learning_rate")
    assert along.best == RATES[2]
    assert along == oc.parallel_best(
        RATES,
        test_.validation()[:, 2],
        untrained=test_.untrained()[:, 2],
        diverged=test_.diverged()[:, 2],
    )
    assert test_.suggest(name="momentum").best == MOMENTA[2]


def test_a_range_along_one_axis_may_be_asked_for_at_any_value_of_the_others(test_):
    # Without momentum the best rate is 2 / (1 + 25), to which 1 / 18 is nearest.
    found = test_.suggest(name="learning_rate", at={"momentum": 0.0})
    assert found.best == RATES[1]
    with pytest.raises(ValueError, match=r"at\['momentum'\] must be one of \[0.0, 0.2"):
        test_.suggest(name="learning_rate", at={"momentum": 0.1})
    with pytest.raises(
        ValueError, match=r"at must be of \['momentum'\], got 'momentun"
    ):
        test_.suggest(name="learning_rate", at={"momentun": 0.0})


def test_a_best_momentum_of_zero_is_an_answer_but_starts_no_range():
    """On one curvature, a rate of 1 / curvature ends at once without momentum."""
    test = grid_test(
        model=problem(np.ones(2, np.float32)),
        over={"momentum": MOMENTA},
        constants={"learning_rate": 1.0},
    )
    assert test.joint().best == {"momentum": 0.0}
    with pytest.raises(oc.NoSuggestionError, match="loss is lowest at momentum 0; no"):
        test.suggest()


def test_the_profile_has_the_best_rate_of_each_momentum(test_):
    found = test_.best_along("momentum")
    np.testing.assert_array_equal(found.values, MOMENTA)
    assert list(found.best) == ["learning_rate"]
    start = np.sqrt(2 * test_.untrained()[0, 0].mean() / CURVATURES.sum())
    exact = losses_in_numpy(start, STEPS).argmin(axis=0)
    for index, rate in enumerate(found.best["learning_rate"]):
        if 0 < exact[index] < len(RATES) - 1:
            assert rate == RATES[exact[index]]
        else:
            assert np.isnan(rate)
            assert "learning_rate" in found.refusals[index]


def test_any_metric_and_the_training_loss_can_be_asked(test_):
    found = test_.joint(metric="goodness", mode="max")
    assert found.best == test_.joint().best
    assert found.loss == pytest.approx(-2 * test_.joint().loss)
    assert found.reason.startswith("by the negative of validation goodness: lowest")
    along = test_.suggest(name="learning_rate", metric="goodness", mode="max")
    assert along.best == RATES[2]
    assert along.loss <= 0
    assert test_.joint(on="train").best == test_.joint().best
    assert test_.joint(on="train").reason.startswith("by train loss: ")
    assert test_.best_along("momentum", metric="goodness", mode="max").losses[2] <= 0


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda t: t.suggest(), r"suggest: name must be one of .* \(joint\(\) is of"),
        (lambda t: t.suggest(name="momentun"), "did you mean 'momentum'"),
        (lambda t: t.name, "the test has several axes"),
        (lambda t: t.values, "the test has several axes"),
        (lambda t: t.joint(metric="accuracy"), "metric must be one of goodness, loss"),
        (lambda t: t.joint(mode="best"), "mode must be one of max, min"),
        (lambda t: t.joint(on="test"), "on must be one of train, validation"),
        (lambda t: t.joint(8), r"joint: horizon must be one of \[3, 7, 15, 30\]"),
        (lambda t: t.best_along("rate"), "best_along: name must be one of learning_ra"),
        (lambda t: t.updates_at(30), "updates_at: over must be with a batch_size"),
    ],
)
def test_questions_that_make_no_sense_are_refused(test_, question, message):
    with pytest.raises(ValueError, match=message):
        question(test_)


def test_members_that_move_together_have_one_axis_and_all_their_values():
    space = oc.sweep.zip(learning_rate=RATES, momentum=MOMENTA)
    test = grid_test(over=space, seeds=1)
    assert test.over == ("learning_rate+momentum",)
    assert test.values.tolist() == RATES.tolist()
    assert test.suggest().best == RATES[2]
    assert test.joint().best == {"learning_rate": RATES[2], "momentum": MOMENTA[2]}


def test_an_exploded_member_is_marked_and_slow_ones_are_not():
    """At a rate of 4 and any momentum the loss of the curvature 25 explodes."""
    test = grid_test(seeds=1, steps=10)
    diverged = test.diverged()[..., 0]
    assert diverged[4].all()
    assert not diverged[0].any()


def test_an_interrupted_grid_keeps_what_ran(test_):
    def stop(progress):
        if progress.done >= progress.total * 0.6:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        grid_test(progress=stop, segment=5)
    partial = caught.value.result
    assert not partial.complete
    assert partial.reached == (3, 7, 15)
    np.testing.assert_array_equal(
        partial.validation(horizon=15), test_.validation(horizon=15)
    )
    assert partial.joint().best == test_.joint(15).best
    assert "incomplete" in repr(partial)


@pytest.mark.parametrize(
    ("over", "error", "message"),
    [
        ({}, ValueError, "over must hold a hyperparameter"),
        ([0.1, 0.2], TypeError, "over must be a dict from hyperparameter to values"),
        ({"seed": [0, 1, 2]}, ValueError, "seeds are given by seeds=, not by over"),
        ({"momentum": [0.9]}, ValueError, "constants= takes a single one"),
        (OVER | {"momentum": [0.9, 0.8]}, ValueError, "at least 2 increasing numbers"),
        (OVER | {"nesterov": [0.1, 0.2]}, ValueError, "'nesterov' is never read"),
        (
            {"learning_rate": RATES, "momentun": MOMENTA},
            ValueError,
            "momentum",
        ),
        (oc.sweep.grid(seed=[0, 1, 2]), ValueError, "seeds are given by seeds="),
        (
            oc.sweep.zip(batch_size=[1, 2, 3], learning_rate=[0.1, 0.2, 0.3]),
            ValueError,
            "batch_size must have an axis of its own",
        ),
    ],
    ids=str,
)
def test_axes_that_make_no_sense_are_refused(over, error, message):
    with pytest.raises(error, match=message):
        grid_test(over=over)


def test_a_misspelt_hyperparameter_is_refused_with_the_near_match():
    def optimizer(hparams):
        return optax.sgd(0.01, momentum=hparams.get("momentum", 0.9))

    with pytest.raises(
        ValueError,
        match=r"^parallel_range_test: hyperparameter 'momentun' is never read; what is "
        r"trained reads one of momentum \(did you mean 'momentum'\?\)",
    ):
        grid_test(optimizer, over={"momentun": MOMENTA})


def test_a_saved_grid_is_read_back(test_, tmp_path):
    test_.save(tmp_path / "grid.nc")
    again = oc.ParallelTest.load(tmp_path / "grid.nc")
    assert (again.over, again.horizons) == (test_.over, test_.horizons)
    assert again.joint() == test_.joint()
    assert again.suggest(name="momentum") == test_.suggest(name="momentum")
    np.testing.assert_array_equal(again.train(), test_.train())
    with pytest.raises(ValueError, match="must hold a ramp_range_test, got none"):
        oc.RampTest.load(tmp_path / "grid.nc")


def test_a_notebook_shows_the_axes_and_the_answer(test_):
    shown = test_._repr_html_()
    assert "<th>momentum</th><td>0 to 0.9, 5 values</td>" in shown
    assert "<th>best</th><td>learning_rate 0.1111, momentum 0.4444</td>" in shown
    refused = grid_test(
        over={"learning_rate": [1.0, 2.0, 3.0]},
        seeds=1,
        steps=3,
        constants={"momentum": 0.5},
    )._repr_html_()
    assert "<th>no suggestion</th>" in refused
