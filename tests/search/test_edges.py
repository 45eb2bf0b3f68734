"""Searches of integers, of choices, of more that is better, of what is no number."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.sweep import Status

KEY = jax.random.key(0)
ONE = np.ones((4, 1), np.float32)
SPACE = {
    "rate": oc.search.log_uniform(0.01, 1.0),
    "layers": oc.search.integers(-3, 5),
    "decay": oc.search.choice([0.1, 0.0, 0.01]),
}


def step(state, hparams, batch, key):
    cost = (jnp.log(hparams["rate"] / 0.1)) ** 2 + jnp.abs(hparams["layers"] - 3)
    cost = cost + 10 * hparams["decay"]
    new = {"cost": cost, "sum": state["sum"] + cost}
    return new, {"loss": cost}


def evaluate(state, batch):
    loss = state["sum"]
    # What costs most has no number, though it trains.
    hidden = jnp.where(state["cost"] > 6, jnp.nan, loss)
    return {"loss": loss, "gain": -loss, "hidden": hidden, "negative": -hidden}


def init(key, hparams):
    return {"cost": jnp.float32(0), "sum": jnp.float32(0)}


TRAIN = oc.Trainable(init, step, evaluate)
OPTIONS = {"key": KEY, "validation": ONE, "batch_size": 2, "segment": 4}


def halve(**options):
    space = oc.search.random(SPACE, 18)
    return oc.search.successive_halving(
        TRAIN, space, ONE, 36, first=4, **OPTIONS | options
    )


def hyperband(steps=36, first=4, **options):
    return oc.search.hyperband(
        TRAIN, SPACE, ONE, steps, first=first, **OPTIONS | options
    )


def population(**options):
    options = {"members": 16, "interval": 4, "share": 0.25} | options
    return oc.search.population(TRAIN, SPACE, ONE, 36, **OPTIONS | options)


SEARCHES = {"halving": halve, "hyperband": hyperband, "population": population}
EVERY = pytest.mark.parametrize("name", SEARCHES)


@EVERY
@pytest.mark.parametrize(
    ("least", "most"), [("loss", "gain"), ("hidden", "negative")], ids=str
)
def test_the_most_of_a_gain_is_the_least_of_a_loss(name, least, most):
    losses = SEARCHES[name](metric=least, mode="min")
    gains = SEARCHES[name](metric=most, mode="max")
    np.testing.assert_array_equal(gains.sweep.updates, losses.sweep.updates)
    ours, theirs = gains.sweep.lineage, losses.sweep.lineage
    np.testing.assert_array_equal(ours.parents, theirs.parents)
    for hyperparameter, values in theirs.hparams.items():
        np.testing.assert_array_equal(ours.hparams[hyperparameter], values)
    assert gains.best() == losses.best()
    assert gains.best_score == -losses.best_score
    ours, theirs = (
        [row["member"] for row in found.leaderboard(None)] for found in (gains, losses)
    )
    assert ours == theirs


@EVERY
def test_who_has_no_number_neither_goes_on_nor_is_copied(name):
    found = SEARCHES[name](metric="hidden", mode="min")
    sweep = found.sweep
    at = sweep.horizons.tolist()
    seen = False
    for place, made in enumerate(sweep.lineage.steps.tolist()):
        column = sweep.validation["hidden"][:, at.index(made)]
        trains = np.isfinite(sweep.validation["loss"][:, at.index(made)])
        nameless = trains & ~np.isfinite(column)
        seen |= nameless.any()
        parents = sweep.lineage.parents[:, place]
        copied = parents[(parents >= 0) & (parents != np.arange(len(parents)))]
        assert not nameless[copied].any()
        if name == "halving":
            assert np.all(parents[nameless] == -1)
    assert seen
    assert np.isfinite(found.best_score)


def test_integers_and_choices_of_a_population_stay_what_they_are():
    found = population()
    history = found.sweep.lineage.hparams
    layers, decay = history["layers"], history["decay"]
    assert layers.dtype == np.int32
    assert set(np.unique(layers)) <= set(range(-3, 6))
    assert set(np.unique(decay)) <= {0.1, 0.0, 0.01}
    parents = found.sweep.lineage.parents
    moved = 0
    for place in range(parents.shape[1]):
        for member in np.flatnonzero(parents[:, place] != np.arange(16)):
            before = layers[parents[member, place], place]
            moved += layers[member, place + 1] != before
    assert moved > 10
    # The best of a sweep of all: 3 layers, no decay.
    assert found.best()["layers"] == 3
    assert found.best()["decay"] == 0.0


@pytest.mark.parametrize(
    ("burn_in", "verdicts"),
    [
        (0, list(range(4, 36, 4))),
        (8, list(range(8, 36, 4))),
        (9, list(range(12, 36, 4))),
        (32, [32]),
    ],
)
def test_nobody_copies_before_the_burn_in_is_over(burn_in, verdicts):
    found = population(burn_in=burn_in)
    assert found.sweep.lineage.steps.tolist() == verdicts
    start = oc.search.random(SPACE, 16).members()["rate"]
    np.testing.assert_allclose(found.sweep.lineage.hparams["rate"][:, 0], start)


def test_hyperband_rounds_the_updates_of_its_table():
    """R = 100 / 9 = 11.1: by hand from algorithm 1, s = 2, 1, 0."""
    found = hyperband(steps=100, first=9)
    ends = np.split(found.sweep.updates, [9, 14])
    assert [sorted(bracket.tolist()) for bracket in ends] == [
        [11] * 6 + [33] * 2 + [100],
        [33] * 4 + [100],
        [100] * 3,
    ]


def test_hyperband_takes_an_eta_whose_rungs_round_to_one_update():
    found = hyperband(steps=3, first=1, eta=1.15)
    assert set(found.sweep.updates.tolist()) == {1, 2, 3}
    assert found.sweep.lineage.steps.tolist() == [1, 2]


def test_all_that_failed_end_a_halving_without_a_best():
    space = {"rate": [0.5, 1.0], "layers": [-3, -3], "decay": [0.1, 0.1]}
    found = oc.search.successive_halving(
        TRAIN,
        space,
        ONE,
        36,
        first=12,
        eta=2,
        metric="hidden",
        mode="min",
        **OPTIONS,
    )
    assert (found.sweep.status == Status.RUNNING).sum() == 1
    with pytest.raises(ValueError, match="no member ended with a finite hidden"):
        found.best()


@pytest.mark.parametrize("search", ["run", "successive_halving"])
def test_distributions_are_not_taken_for_points(search):
    """A pair of bounds would be trained as if it were two points."""
    train = oc.trainable(
        oc.problem_from_loss(lambda key: jnp.ones(1), lambda p, b, k: jnp.sum(p**2)),
        lambda hp: optax.sgd(hp["learning_rate"]),
    )
    function = {"run": oc.sweep.run}.get(search) or getattr(oc.search, search)
    space = {"learning_rate": oc.search.log_uniform(1e-3, 1.0)}
    one = np.ones((4, 1), np.float32)
    with pytest.raises(TypeError, match="learning_rate must be a sequence of numbers"):
        function(train, space, one, 9, key=jax.random.key(0), validation=one)


def test_a_function_is_no_judge():
    train = oc.trainable(
        oc.problem_from_loss(lambda key: jnp.ones(1), lambda p, b, k: jnp.sum(p**2)),
        lambda hp: optax.sgd(hp["learning_rate"]),
    )
    one = np.ones((4, 1), np.float32)
    with pytest.raises(TypeError, match=r"^run: judge must be a Judge: .*`steps`"):
        oc.sweep.run(
            train,
            {"learning_rate": [0.1]},
            one,
            9,
            key=jax.random.key(0),
            validation=one,
            judge=lambda standing: None,
        )
