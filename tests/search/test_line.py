"""What becomes of copies: whoever is revived trains on, and is where its parent was."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.sweep import Status
from optax_cycles.sweep.training import Training

ONE = np.ones((4, 1), np.float32)
SPACE = {"learning_rate": oc.search.log_uniform(0.01, 1e6)}
PARABOLA = oc.problem_from_loss(
    lambda key: jnp.array([1.0, 3.0]), lambda x, batch, key: jnp.sum(x**2) / 2
)
TRAIN = oc.trainable(PARABOLA, lambda hp: optax.sgd(hp["learning_rate"]))


def population(**options):
    """Eight members; at 40 of 60 updates half are replaced, some of which diverged."""
    return oc.search.population(
        TRAIN, SPACE, ONE, 60, key=jax.random.key(0), validation=ONE, batch_size=2,
        segment=10, members=8, interval=40, share=0.5, resample=0.0, seed=3,
        **options,
    )  # fmt: skip


def left(sweep, updates):
    """The parabola that gradient descent leaves each member after so many updates."""
    stretches = np.diff([0, *sweep.lineage.steps, sweep.steps])
    losses = []
    for member in range(sweep.space.size):
        rates = sweep.lineage.history(member)["learning_rate"]
        every = np.repeat(rates.astype(np.float32).astype(np.float64), stretches)
        losses.append(5 * np.prod((1 - every[:updates]) ** 2))
    return np.array(losses)


def test_who_diverged_before_the_last_verdict_trains_on_as_a_copy(monkeypatch):
    """Side by side the rows of most are given up, but not while they may be copied."""
    monkeypatch.setattr(Training, "_pays", lambda *_: True)
    sweep = population(placement="vmap").sweep
    diverged_before = np.isnan(sweep.validation["loss"][:, 0])
    copied = sweep.lineage.parents[:, 0] != np.arange(8)
    assert np.sum(diverged_before & copied) >= 3
    np.testing.assert_array_equal(sweep.updates[copied], 60)
    np.testing.assert_array_equal(sweep.status[copied], Status.RUNNING)
    found = sweep.validation["loss"][copied, -1]
    np.testing.assert_allclose(found, left(sweep, 60)[copied], rtol=1e-3, atol=1e-30)


def test_who_is_copied_right_before_a_stop_is_where_its_parent_is():
    def stop(now):
        if now.done == 40 * 8:
            raise KeyboardInterrupt

    with pytest.raises(oc.sweep.Interrupted) as caught:
        population(progress=stop)
    sweep = caught.value.result.sweep
    parents = sweep.lineage.parents[:, 0]
    copied = parents != np.arange(8)
    assert np.isnan(sweep.validation["loss"][copied, 0]).any()
    np.testing.assert_array_equal(sweep.updates[copied], 40)


def test_the_best_of_a_points_seeds_is_one_that_ended_with_a_number():
    """The second of three seeds is ahead on the way, and ends with none."""

    space = oc.sweep.grid(learning_rate=[0.5], seed=[0, 1, 2])
    found = oc.search.successive_halving(
        TRAIN, space, ONE, 4, key=jax.random.key(0), validation=ONE, batch_size=2,
        horizons=[2],
    )  # fmt: skip
    found.sweep.validation["loss"][0] = [[3.0, 2.0], [0.5, np.nan], [4.0, 3.0]]
    assert found.best_member == 0
    (row,) = found.leaderboard()
    assert (row["member"], row["loss"]) == (0, 3.0)
