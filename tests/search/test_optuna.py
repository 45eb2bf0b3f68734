"""Optuna's studies drive populations, are told what became of them, and go on."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc

optuna = pytest.importorskip("optuna")
optuna.logging.set_verbosity(optuna.logging.ERROR)

ONE = np.ones((4, 1), np.float32)
SPACE = {
    "learning_rate": oc.search.log_uniform(1e-3, 1000.0),
    "momentum": oc.search.choice([0.0, 0.5, 0.9]),
}
PROBLEM = oc.problem_from_loss(
    lambda key: jnp.array([1.0, 3.0]), lambda x, batch, key: jnp.sum(x**2) / 2
)
TRAIN = oc.trainable(
    PROBLEM, lambda hp: optax.sgd(hp["learning_rate"], momentum=hp["momentum"])
)


def search(space=SPACE, **options):
    return oc.search.optuna(
        TRAIN,
        space,
        ONE,
        20,
        key=jax.random.key(0),
        validation=ONE,
        batch_size=2,
        **{"trials": 12, "batch": 4, **options},
    )


def states(study):
    return [trial.state.name for trial in study.trials]


def test_a_study_is_told_what_each_trial_reached():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = search(study=study)
    assert len(study.trials) == found.sweep.space.size == 12
    for trial, score in zip(study.trials, found.scores, strict=True):
        if np.isfinite(score):
            assert trial.value == pytest.approx(score)
        else:
            assert trial.state.name == "FAIL"
    assert "FAIL" in states(study)  # A rate of 1,000 diverges.
    assert found.best() == pytest.approx(study.best_params)
    assert found.best_score == pytest.approx(study.best_value)


def test_points_are_what_the_sampler_asked_for():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = search(study=study)
    members = found.sweep.space.members()
    for name in SPACE:
        asked = [trial.params[name] for trial in study.trials]
        np.testing.assert_allclose(members[name], asked)


def test_a_study_in_a_database_goes_on_where_it_was_killed(tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"

    def study():
        return optuna.create_study(
            storage=storage, study_name="one", load_if_exists=True
        )

    search(study=study(), trials=8)
    # As a kill leaves it: asked for, and never told.
    study().ask()
    assert states(study())[-1] == "RUNNING"
    search(study=study(), trials=12)
    assert len(study().trials) == 12
    assert states(study())[8] == "FAIL"
    assert set(states(study())[9:]) <= {"COMPLETE", "FAIL"}


def test_the_pruner_stops_members_who_are_reported_as_pruned():
    study = optuna.create_study(
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=0, n_warmup_steps=0),
    )
    found = search(study=study, horizons=[5, 10], trials=24, batch=8)
    pruned = [trial for trial in study.trials if trial.state.name == "PRUNED"]
    assert pruned
    updates = found.sweep.updates
    for trial in pruned:
        assert updates[trial.number] in (5, 10)
        assert max(trial.intermediate_values) == updates[trial.number]
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    assert all(updates[trial.number] == 20 for trial in complete)


def test_metrics_are_maximised_where_the_study_is():
    study = optuna.create_study(direction="maximize")
    problem = oc.Problem(
        lambda key: (jnp.float32(0), ()),
        lambda x, state, batch, key: (x, (state, {})),
        lambda x, state, batch: {"loss": x, "accuracy": x},
    )
    train = oc.trainable(problem, lambda hp: optax.sgd(-hp["learning_rate"]))
    found = oc.search.optuna(
        train, {"learning_rate": oc.search.uniform(0.0, 1.0)}, ONE, 5,
        key=jax.random.key(0), validation=ONE, batch_size=2, trials=8, batch=8,
        study=study, metric="accuracy", mode="max",
    )  # fmt: skip
    rates = found.sweep.space.members()["learning_rate"]
    assert found.best()["learning_rate"] == rates.max()
    assert study.best_value == pytest.approx(5 * rates.max(), rel=1e-5)


def test_an_interrupted_search_tells_the_study_what_has_failed():
    study = optuna.create_study()

    def stop(progress):
        if progress.done >= 40:
            raise KeyboardInterrupt

    with pytest.raises(oc.sweep.Interrupted) as caught:
        search(study=study, progress=stop, segment=10)
    assert isinstance(caught.value.result, oc.search.SearchResult)
    assert states(study) == ["FAIL"] * 4


def test_64_trials_come_into_the_best_twentieth_of_a_fine_grid():
    found = search(trials=64, batch=8)
    rates = oc.sweep.log_space(1e-3, 10.0, 200)
    grid = oc.sweep.run(
        TRAIN,
        oc.sweep.grid(learning_rate=rates, momentum=[0.0, 0.5, 0.9]),
        ONE, 20, key=jax.random.key(0), batch_size=2, validation=ONE,
    )  # fmt: skip
    losses = np.nan_to_num(grid.validation["loss"], nan=np.inf)
    assert np.mean(losses < found.best_score) < 0.05


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"trials": 0}, ValueError, "trials must be a positive integer"),
        ({"batch": 0}, ValueError, "batch must be a positive integer"),
        ({"study": "one"}, TypeError, "study must be an optuna.Study"),
        ({"mode": "max", "study": None}, ValueError, "metric must be one of"),
        ({"checkpoint": "folder"}, TypeError, "checkpoint can't be given"),
        ({"space": {"a": 1}}, TypeError, r"space\['a'\] must be log_uniform"),
    ],
)
def test_what_makes_no_sense_is_refused(options, error, message):
    if options.get("mode") == "max":
        options = options | {"metric": "accuracy"}
        error = (ValueError, oc.sweep.SweepError)
    with pytest.raises(error, match=message):
        search(**options)


def test_a_study_of_another_space_or_direction_is_refused():
    study = optuna.create_study()
    search(study=study, trials=4)
    other = SPACE | {"learning_rate": oc.search.log_uniform(1e-3, 1.0)}
    with pytest.raises(ValueError, match="study must be of the space"):
        search(other, study=study, trials=8)
    with pytest.raises(ValueError, match="study must be of the directions"):
        search(study=study, mode="max", metric="loss", trials=8)
    with pytest.raises(ValueError, match="trials must be more than the 4"):
        search(study=study, trials=4)
