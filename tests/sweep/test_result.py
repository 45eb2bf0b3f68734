import dataclasses

import numpy as np
import pytest

import optax_cycles as oc
from optax_cycles.sweep import Status, SweepResult

NAN, INF = float("nan"), float("inf")
RATES, MOMENTA, SEEDS = [0.1, 1.0, 10.0], [0.9, 0.8, 0.7], [0, 4]
HORIZONS = [0, 2, 3]


def make_result(**changes):
    """3 rates (with a momentum each) by 2 seeds by 1 decay, 3 steps; one diverged."""
    space = oc.sweep.grid(
        oc.sweep.zip(learning_rate=RATES, momentum=MOMENTA), decay=[0.5], seed=SEEDS
    )
    rng = np.random.default_rng(0)
    train = rng.normal(size=(3, 1, 2, 3)).astype(np.float32)
    validation = rng.normal(size=(3, 1, 2, 3)).astype(np.float32)
    status = np.zeros((3, 1, 2), np.int32)
    train[2, 0, 1, 2:] = validation[2, 0, 1, 1:] = NAN
    status[2, 0, 1] = Status.DIVERGED
    result = SweepResult(
        space=space,
        steps=3,
        train={"loss": train, "grad/norm": 2 * train},
        validation={"loss": validation, "accuracy": -validation},
        horizons=np.array(HORIZONS, np.int64),
        status=status,
        updates=np.where(status == Status.DIVERGED, 2, 3).astype(np.int32),
        complete=True,
        seconds={"train": 1.5, "compile": 0.25},
        versions={"jax": "0.10.2"},
    )
    return dataclasses.replace(result, **changes)


def with_last(values):
    """A result whose last validation losses are `values`, in order of the members."""
    validation = np.zeros((3, 1, 2, 3), np.float32)
    validation[..., -1] = np.reshape(values, (3, 1, 2))
    return make_result(validation={"loss": validation})


STATE = {"x": np.arange(6.0, dtype=np.float32), "n": np.arange(12).reshape(6, 2)}


def with_state(**changes):
    everyone = {"state": STATE, "state_members": np.arange(6)}
    return make_result(**everyone | changes)


def test_a_state_is_that_of_the_member_with_these_hyperparameters():
    state = with_state().state_at(learning_rate=1.0, momentum=0.8, decay=0.5, seed=4)
    assert float(state["x"]) == 3.0
    assert state["n"].tolist() == [6, 7]
    # Rate and momentum move together, and there is one decay.
    assert float(with_state().state_at(learning_rate=10.0, seed=0)["x"]) == 4.0


def test_the_best_state_is_that_of_the_best_member():
    result = with_last([3.0, 2.0, NAN, 1.0, 5.0, INF])
    result = dataclasses.replace(result, state=STATE, state_members=np.arange(6))
    assert float(result.best_state()["x"]) == 3.0
    assert float(result.best_state(mode="max")["x"]) == 4.0


def test_states_of_some_members_are_found_by_the_members():
    rows = {name: leaf[[1, 4]] for name, leaf in STATE.items()}
    result = with_state(state=rows, state_members=np.array([1, 4]))
    assert float(result.state_at(learning_rate=10.0, seed=0)["x"]) == 4.0
    with pytest.raises(ValueError, match="'seed': 4} had not finished when the sweep"):
        result.state_at(learning_rate=10.0, seed=4)


@pytest.mark.parametrize(
    ("hparams", "message"),
    [
        (
            {"momenta": 1.0},
            "state_at: a hyperparameter must be .*did you mean 'momentum",
        ),
        (
            {"learning_rate": 0.9, "seed": 0},
            r"learning_rate must be a value of the space, like \[0.1, 1.0, 10.0\]",
        ),
        ({"learning_rate": 1.0}, "2 members have .*: give seed too"),
        ({"learning_rate": 1.0, "momentum": 0.9, "seed": 0}, "0 members have"),
        ({}, "6 members have {}: give learning_rate, momentum, seed too"),
    ],
)
def test_members_that_are_not_one_are_refused(hparams, message):
    with pytest.raises(ValueError, match=message):
        with_state().state_at(**hparams)


def test_where_no_states_were_kept_it_is_said_how_they_are():
    result = make_result()
    with pytest.raises(ValueError, match=r"best_state: .*run\(keep_state=True\) keeps"):
        result.best_state()
    with pytest.raises(ValueError, match=r"state_at: .*run\(keep_state=True\) keeps"):
        result.state_at(learning_rate=1.0, seed=0)


def test_diverged_members_are_marked():
    assert make_result().diverged.ravel().tolist() == [False] * 5 + [True]


def test_a_score_is_infinite_where_there_is_no_number():
    result = with_last([3.0, NAN, INF, -INF, -2.0, 0.0])
    assert result.score().ravel().tolist() == [3.0, INF, INF, INF, -2.0, 0.0]
    assert result.score(horizon=2).ravel().tolist() == [0.0] * 6
    assert result.score().shape == (3, 1, 2)


def test_a_score_names_what_was_not_recorded():
    result = make_result()
    with pytest.raises(ValueError, match="score: metric must be one of accuracy, loss"):
        result.score("los")
    with pytest.raises(ValueError, match=r"horizon must be one of \[0, 2, 3\], got 1"):
        result.score(horizon=1)


@pytest.mark.parametrize(
    ("last", "mode", "rate", "seed"),
    [
        ([3.0, 2.0, NAN, 1.0, 5.0, INF], "min", 1.0, 4),
        ([3.0, 2.0, NAN, 1.0, 5.0, INF], "max", 10.0, 0),
        ([3.0, -INF, NAN, 4.0, 5.0, INF], "min", 0.1, 0),
        ([NAN, NAN, NAN, NAN, NAN, 7.0], "min", 10.0, 4),
        ([1.0] * 6, "min", 0.1, 0),
    ],
)
def test_the_best_member_has_the_best_finite_number(last, mode, rate, seed):
    assert with_last(last).best(mode=mode) == {
        "learning_rate": rate,
        "momentum": MOMENTA[RATES.index(rate)],
        "decay": 0.5,
        "seed": seed,
    }


def test_there_is_no_best_member_where_all_failed():
    with pytest.raises(ValueError, match="best: no member has a finite loss"):
        with_last([NAN, INF, -INF, NAN, NAN, NAN]).best()
    with pytest.raises(ValueError, match="best: mode must be one of max, min"):
        make_result().best(mode="least")
    with pytest.raises(ValueError, match="best: metric must be one of"):
        make_result().best("f1")


def test_only_a_loss_is_minimised_without_being_told():
    """The least accuracy is the worst member, which nobody asks for."""
    accuracy = np.reshape([0.5, 0.9, NAN, 0.7, 0.1, INF], (3, 1, 2, 1))
    result = with_state(validation={"accuracy": accuracy.astype(np.float32)})
    for function in ("best", "best_state", "score"):
        with pytest.raises(ValueError, match=f"^{function}: mode must be given for 'a"):
            getattr(result, function)("accuracy")
    assert result.best("accuracy", mode="max")["seed"] == 4
    assert float(result.best_state("accuracy", mode="max")["x"]) == 1.0
    worst = result.score("accuracy", mode="max").ravel()
    np.testing.assert_array_equal(np.isneginf(worst), [False, False, True] * 2)
    worst = result.score("accuracy", mode="min").ravel()
    np.testing.assert_array_equal(np.isposinf(worst), [False, False, True] * 2)


def test_it_shows_how_many_members_diverged():
    assert repr(make_result()).endswith("3 updates; 1 of 6 diverged)")
    everyone = np.full((3, 1, 2), Status.DIVERGED, np.int32)
    assert repr(make_result(status=everyone)).endswith("; 6 of 6 diverged)")
    nobody = make_result(status=np.zeros((3, 1, 2), np.int32))
    assert repr(nobody).endswith("3 updates)")
