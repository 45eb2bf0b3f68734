"""On real data a search finds what the whole grid does, at a third of its updates."""

import jax
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles import problems

pytestmark = pytest.mark.slow

STEPS, SEEDS = 90, 5
RATES = oc.sweep.log_space(1e-3, 3.0, 27)


@pytest.fixture(scope="module")
def task():
    pytest.importorskip("flax")
    pytest.importorskip("sklearn")
    digits = problems.digits()
    train = oc.trainable(
        problems.digits_problem("mlp"),
        lambda hp: optax.sgd(hp["learning_rate"], momentum=0.9),
    )
    space = oc.sweep.grid(learning_rate=RATES, seed=range(SEEDS))
    options = {
        "key": jax.random.key(0),
        "validation": digits.validation,
        "batch_size": 32,
        "segment": 10,
    }
    return (train, space, digits.train, STEPS), options


@pytest.fixture(scope="module")
def grid(task):
    arguments, options = task
    return oc.sweep.run(*arguments, **options)


@pytest.fixture(scope="module")
def halved(task):
    arguments, options = task
    return oc.search.successive_halving(*arguments, first=10, **options)


def finals(sweep):
    """`[rates, seeds]`: last losses, infinite where training did not come to an end."""
    losses = sweep.validation["loss"][..., -1]
    return np.where(np.isfinite(losses), losses, np.inf)


def test_halving_takes_no_more_than_a_third_of_the_updates(grid, halved):
    # 18 rates stop after 10 updates, 6 after 30, and 3 do not; some diverge before.
    assert halved.updates <= SEEDS * (18 * 10 + 6 * 30 + 3 * 90)
    assert 3 * halved.updates <= RATES.size * SEEDS * STEPS
    assert 3 * halved.updates <= grid.updates.sum()


def test_halving_ends_at_the_grids_best_rate_or_within_its_noise(grid, halved):
    """Noise: two standard errors of the difference, seed by seed."""
    whole = finals(grid)
    best = np.median(whole, axis=1).argmin()
    found = np.median(finals(halved.sweep), axis=1).argmin()
    apart = whole[found] - whole[best]
    error = apart.std(ddof=1) / np.sqrt(SEEDS)
    assert found == best or apart.mean() <= 2 * error
    # That noise tells rates apart: one 12 times as large or small is beyond it.
    for other in (best - 8, best + 8):
        apart = whole[other] - whole[best]
        assert not apart.mean() <= 2 * apart.std(ddof=1) / np.sqrt(SEEDS)


def test_who_trains_to_the_end_is_as_good_as_in_the_grid(grid, halved):
    ended = np.isfinite(finals(halved.sweep))
    np.testing.assert_array_equal(finals(halved.sweep)[ended], finals(grid)[ended])
    assert ended.any(axis=1).sum() == 3
