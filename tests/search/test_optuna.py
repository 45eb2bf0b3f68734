"""Optuna's studies drive populations, are told what became of them, and go on."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from studies import ONE, SPACE, TRAIN, search, states

import optax_cycles as oc

optuna = pytest.importorskip("optuna")
optuna.logging.set_verbosity(optuna.logging.ERROR)


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
    killed = study().ask({"learning_rate": optuna.distributions.FloatDistribution(
        1e-3, 1000.0, log=True)})  # fmt: skip
    assert states(study())[-1] == "RUNNING"
    found = search(study=study(), trials=12)
    # Its point came again, and it was not one of the twelve.
    assert found.sweep.space.size == 4
    trials = study().trials
    assert len(trials) == 13
    assert (trials[8].state.name, trials[8].user_attrs) == ("FAIL", {})
    assert trials[9].params["learning_rate"] == killed.params["learning_rate"]
    assert all("updates" in trial.user_attrs for trial in trials[9:])


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


def test_points_of_an_interrupted_search_come_again():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def stop(progress):
        if progress.done >= 40:
            raise KeyboardInterrupt

    with pytest.raises(oc.sweep.Interrupted) as caught:
        search(study=study, progress=stop, segment=10)
    assert isinstance(caught.value.result, oc.search.SearchResult)
    # One had diverged, which is an end of its own.
    diverged = caught.value.result.sweep.diverged
    assert diverged.sum() == 1
    assert states(study) == ["FAIL"] * 4 + ["WAITING"] * 3
    search(study=study, trials=4)
    before, after = study.trials[:4], study.trials[4:]
    cut = [trial for trial, lost in zip(before, diverged, strict=True) if not lost]
    assert [trial.params for trial in after] == [trial.params for trial in cut]
    assert all("updates" in trial.user_attrs for trial in after)


def test_states_of_all_batches_are_kept_on_request():
    found = search(keep_state=True)
    assert found.sweep.state_members.tolist() == list(range(12))
    best = found.best_state()
    losses = 0.5 * np.sum(np.asarray(best.params) ** 2)
    assert losses == pytest.approx(found.best_score, rel=1e-5)


def test_trials_that_wait_in_a_study_are_trained_first():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    wanted = [{"learning_rate": 10.0**-i, "momentum": 0.5} for i in range(3)]
    for point in wanted:
        study.enqueue_trial(point)
    search(study=study, trials=3)
    assert [trial.params for trial in study.trials] == wanted


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
