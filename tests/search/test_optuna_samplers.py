"""Optuna's samplers are asked for whole batches, and what they ask for is trained."""

import warnings
from functools import partial

import numpy as np
import pytest
from studies import SPACE, search, states

import optax_cycles as oc

optuna = pytest.importorskip("optuna")

GRID = {"learning_rate": [0.01, 0.1, 1.0], "momentum": [0.0, 0.5, 0.9]}


def sampler_of(name, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return getattr(optuna.samplers, name)(seed=0, **options)


SAMPLERS = {
    "TPE": partial(sampler_of, "TPESampler", constant_liar=True, n_startup_trials=4),
    "GP": partial(sampler_of, "GPSampler", n_startup_trials=8),
    "CMA-ES": partial(sampler_of, "CmaEsSampler", n_startup_trials=4),
    "NSGA-II": partial(sampler_of, "NSGAIISampler", population_size=4),
    "QMC": partial(sampler_of, "QMCSampler", warn_independent_sampling=False),
}
NEEDS = {"GP": "torch", "CMA-ES": "cmaes"}


@pytest.mark.parametrize("name", SAMPLERS)
def test_batches_of_every_sampler_are_trained(name):
    pytest.importorskip(NEEDS.get(name, "optuna"))
    study = optuna.create_study(sampler=SAMPLERS[name]())
    found = search(study=study, trials=12, batch=4)
    assert set(states(study)) <= {"COMPLETE", "FAIL"}
    # Children of a genetic algorithm may be their parents.
    assert len({tuple(trial.params.values()) for trial in study.trials}) >= 10
    points = found.sweep.space.members()
    for hyperparameter, distribution in SPACE.items():
        asked = [trial.params[hyperparameter] for trial in study.trials]
        np.testing.assert_allclose(points[hyperparameter], asked)
        np.testing.assert_array_equal(distribution.inside(np.array(asked)), asked)


@pytest.mark.parametrize("trials", [9, 30])
def test_every_point_of_a_grid_is_trained_once_and_then_the_search_ends(trials):
    study = optuna.create_study(sampler=optuna.samplers.GridSampler(GRID, seed=0))
    found = search(study=study, trials=trials, batch=3)
    points = found.sweep.space.members()
    pairs = zip(
        points["learning_rate"].tolist(), points["momentum"].tolist(), strict=True
    )
    expected = [(r, m) for r in GRID["learning_rate"] for m in GRID["momentum"]]
    assert sorted(pairs) == expected
    assert states(study) == ["COMPLETE"] * 9


def test_a_grid_that_was_interrupted_is_trained_to_its_last_point():
    study = optuna.create_study(sampler=optuna.samplers.GridSampler(GRID, seed=0))

    def stop(progress):
        if progress.done >= 30:
            raise KeyboardInterrupt

    with pytest.raises(oc.sweep.Interrupted):
        search(study=study, trials=9, batch=3, progress=stop, segment=10)
    search(study=study, trials=9, batch=3)
    trained = [t for t in study.trials if t.state.name == "COMPLETE"]
    pairs = sorted((t.params["learning_rate"], t.params["momentum"]) for t in trained)
    assert pairs == [(r, m) for r in GRID["learning_rate"] for m in GRID["momentum"]]


def test_points_of_a_quasi_random_sampler_are_a_net():
    """After the first batch, from which it learns the space: 16 of 16 columns."""
    study = optuna.create_study(sampler=SAMPLERS["QMC"]())
    search(study=study, trials=1, batch=1)
    search(study=study, trials=33, batch=16)
    rates = np.array([trial.params["learning_rate"] for trial in study.trials[-16:]])
    share = np.log(rates / 1e-3) / np.log(1e6)
    assert sorted(np.floor(share * 16).astype(int)) == list(range(16))
