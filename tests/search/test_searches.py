"""Searches on the engine: known answers, one program, resumed like any sweep."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.sweep import Status

KEY = jax.random.key(0)
ONE = np.ones((4, 1), np.float32)


def trained(optimizer, start, loss, metrics=lambda params: {}):
    """A trainable of a function of its parameters alone."""
    problem = oc.Problem(
        lambda key: (jnp.asarray(start), ()),
        lambda params, state, batch, key: (loss(params), (state, {})),
        lambda params, state, batch: {"loss": loss(params), **metrics(params)},
    )
    return oc.trainable(problem, optimizer)


def sgd(hparams):
    return optax.sgd(hparams["learning_rate"])


# Each rate r leaves (1 - r)^(2 t) of the loss; 1 is best.
PARABOLA = trained(sgd, [1.0, 1.0], lambda x: jnp.sum(x**2) / 2)
RATES = {"learning_rate": np.linspace(0.001, 0.027, 27)}


def halve(space=RATES, **options):
    options = {"first": 10, "validation": ONE, "batch_size": 2} | options
    return oc.search.successive_halving(
        PARABOLA, space, ONE, 90, key=KEY, segment=10, **options
    )


@pytest.fixture(scope="module")
def halved():
    return halve()


def test_halving_keeps_the_best_of_each_rung(halved):
    updates = halved.sweep.updates
    assert sorted(updates.tolist()) == [10] * 18 + [30] * 6 + [90] * 3
    # The larger rates are better all along.
    assert np.all(np.diff(updates) >= 0)
    assert halved.updates == 18 * 10 + 6 * 30 + 3 * 90
    assert halved.best()["learning_rate"] == pytest.approx(0.027)


def test_survivors_are_what_they_would_be_without_a_search(halved):
    straight = oc.sweep.run(
        PARABOLA, RATES, ONE, 90, key=jax.random.key(0), batch_size=2, segment=10
    )
    kept = halved.sweep.updates == 90
    np.testing.assert_array_equal(
        halved.sweep.train["loss"][kept], straight.train["loss"][kept]
    )


def test_the_best_members_state_is_kept_on_request(halved):
    found = halve(keep_state=True)
    x = found.best_state().params
    # 90 updates of x <- (1 - rate) x.
    np.testing.assert_allclose(x, (1 - 0.027) ** 90 * np.ones(2), rtol=1e-4)
    with pytest.raises(ValueError, match=r"^best_state: no states were kept"):
        halved.best_state()


def test_the_leaderboard_has_those_that_ended_first(halved):
    board = halved.leaderboard(None)
    assert [row["updates"] for row in board] == [90] * 3 + [30] * 6 + [10] * 18
    rates = [row["learning_rate"] for row in board]
    assert rates == sorted(rates, reverse=True)
    assert [row["status"] for row in board] == ["ended"] * 3 + ["dropped"] * 24
    assert len(halved.leaderboard()) == 10


@pytest.mark.parametrize("how", [{"placement": "vmap"}, {"chunk": 5}], ids=str)
def test_placement_and_chunks_change_nothing(halved, how):
    other = halve(**how)
    np.testing.assert_array_equal(other.sweep.updates, halved.sweep.updates)
    np.testing.assert_allclose(other.scores, halved.scores, rtol=1e-5)


def test_points_are_compared_by_the_median_over_their_seeds():
    """One lucky seed is not enough: a third of the loss hangs on the seed."""
    lucky = oc.Trainable(
        lambda key, hp: {"noise": jax.random.uniform(key), "rate": hp["rate"]},
        lambda state, hp, batch, key: (state, {"loss": state["rate"]}),
        lambda state, batch: {"loss": state["rate"] + state["noise"]},
    )
    space = oc.sweep.grid(rate=[0.0, 0.3, 0.6, 0.9], seed=range(9))
    found = oc.search.successive_halving(
        lucky, space, ONE, 40, key=KEY, validation=ONE, eta=2, first=10, batch_size=2
    )
    losses = found.sweep.validation["loss"][..., 0]
    order = np.argsort(np.median(losses, axis=1))
    ended = found.sweep.updates == 40
    # All seeds of a point go on, or none.
    assert ended.all(axis=1).tolist() == ended.any(axis=1).tolist()
    assert np.flatnonzero(ended.all(axis=1)).tolist() == [order[0]]
    # It is the point that is best, at its median, not its luckiest seed.
    assert found.best() == {"rate": pytest.approx(0.3 * order[0])}
    assert found.best_score == pytest.approx(np.median(losses[order[0]]))
    board = found.leaderboard()
    assert [row["rank"] for row in board] == [1, 2, 3, 4]
    assert [row["rate"] for row in board] == pytest.approx([0.3 * p for p in order])
    assert [row["loss"] for row in board] == pytest.approx(
        np.sort(np.median(losses, axis=1))
    )


def test_a_point_whose_seeds_fail_is_no_point_to_take():
    """Those of its seeds that end are better than any other member."""

    def step(state, hp, batch, key):
        fails = (hp["rate"] < 0.2) & (state["luck"] < 0.7)
        rate = jnp.where(fails, jnp.nan, state["rate"])
        return state | {"rate": rate}, {"loss": rate}

    brittle = oc.Trainable(
        lambda key, hp: {"rate": hp["rate"], "luck": jax.random.uniform(key)},
        step,
        lambda state, batch: {"loss": state["rate"]},
    )
    space = oc.sweep.grid(rate=[0.1, 0.3, 0.5], seed=range(9))
    found = oc.search.over_static(
        {"only": [1]},
        lambda only: brittle,
        space,
        ONE,
        10,
        key=KEY,
        validation=ONE,
        batch_size=2,
    )
    ended = (found.at().sweep.updates == 10).sum(axis=1)
    assert 1 <= ended[0] <= 4
    assert ended[1:].tolist() == [9, 9]
    assert found.best() == {"only": 1, "rate": pytest.approx(0.3)}
    assert [row["rate"] for row in found.leaderboard()] == pytest.approx(
        [0.3, 0.5, 0.1]
    )


def test_a_halving_compiles_one_program():
    from optax_cycles.sweep.loop import _last_engines

    train = oc.trainable(
        oc.problem_from_loss(lambda key: jnp.ones(2), lambda p, b, k: jnp.sum(p**2)),
        sgd,
    )
    engines = []
    original = _last_engines.__wrapped__

    def watched(*args):
        engines.append(original(*args))
        return engines[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("optax_cycles.sweep.loop._last_engines", watched)
        oc.search.successive_halving(
            train, RATES, ONE, 90, key=KEY, validation=ONE, first=10, batch_size=2
        )
    assert engines[0].compiles == {"init": 1, "advance": 1, "evaluate": 1}


def test_hyperband_trains_the_brackets_of_its_table():
    found = oc.search.hyperband(
        PARABOLA,
        {"learning_rate": oc.search.log_uniform(1e-3, 1.0)},
        ONE,
        81,
        first=1,
        key=KEY,
        validation=ONE,
        batch_size=2,
    )
    updates = found.sweep.updates
    # L. Li et al. (2018), table 1: 81, 34, 15, 8 and 5 begin; each rung is the third.
    ends = np.split(updates, np.cumsum([81, 34, 15, 8]))
    tables = [
        [(54, 1), (18, 3), (6, 9), (2, 27), (1, 81)],
        [(23, 3), (8, 9), (2, 27), (1, 81)],
        [(10, 9), (4, 27), (1, 81)],
        [(6, 27), (2, 81)],
        [(5, 81)],
    ]
    for bracket, table in zip(ends, tables, strict=True):
        expected = [steps for count, steps in table for _ in range(count)]
        assert sorted(bracket.tolist()) == expected
    rates = found.sweep.space.members()["learning_rate"]
    ended = updates == 81
    assert found.best()["learning_rate"] == pytest.approx(rates[ended].max())


# The toy of Jaderberg et al. (2017), section 4.1: the truth is Q = 1.2 - |theta|^2, and
# members climb a surrogate 1.2 - h . theta^2 whose h is their hyperparameter.
def toy():
    problem = oc.Problem(
        lambda key: (jnp.array([0.9, 0.9]), ()),
        lambda theta, state, batch, key: (jnp.float32(0), (state, {})),
        lambda theta, state, batch: {"loss": jnp.sum(theta**2) - 1.2},
    )

    def step(state, hparams, batch, key):
        h = jnp.stack([hparams["h0"], hparams["h1"]])
        return state - 0.02 * h * state, {"loss": jnp.sum(h * state**2) - 1.2}

    return oc.Trainable(
        lambda key, hparams: jnp.array([0.9, 0.9]),
        step,
        lambda state, batch: problem.evaluate(state, (), batch),
    )


TOY = {"h0": oc.search.uniform(0.0, 1.0), "h1": oc.search.uniform(0.0, 1.0)}


def test_the_papers_toy_grid_stays_low_and_its_population_reaches_the_optimum():
    grid = oc.sweep.run(
        toy(), {"h0": [1.0, 0.0], "h1": [0.0, 1.0]}, ONE, 400,
        key=KEY, batch_size=2, validation=ONE,
    )  # fmt: skip
    # Each climbs along one axis: 1.2 - 0.81.
    np.testing.assert_allclose(-grid.validation["loss"][:, -1], 0.39, atol=1e-3)
    # Only their own two points, perturbed: copies mix what both have climbed.
    found = oc.search.population(
        toy(), TOY, ONE, 400, key=KEY, validation=ONE, batch_size=2, members=8,
        interval=10, resample=0.1, share=0.25,
    )  # fmt: skip
    assert found.best_score < -1.19


# The best rate moves: the loss after an update is how far the rate was from a triangle
# .001 -> .01 -> .001, in logarithms, averaged over the updates.
def triangle(steps):
    def best(step):
        up = 1 - abs(step / steps * 2 - 1)
        return jnp.log(0.001) + up * jnp.log(10.0)

    def step(state, hparams, batch, key):
        miss = (jnp.log(hparams["learning_rate"]) - best(state["step"])) ** 2
        new = {"step": state["step"] + 1, "sum": state["sum"] + miss}
        return new, {"loss": miss}

    return oc.Trainable(
        lambda key, hparams: {"step": jnp.float32(0), "sum": jnp.float32(0)},
        step,
        lambda state, batch: {"loss": state["sum"] / steps},
    )


@pytest.fixture(scope="module")
def moving():
    return oc.search.population(
        triangle(200),
        {"learning_rate": oc.search.log_uniform(1e-4, 0.1)},
        ONE,
        200,
        key=KEY,
        validation=ONE,
        batch_size=2,
        members=20,
        interval=5,
    )


def test_a_population_follows_an_optimum_that_no_constant_rate_does(moving):
    constants = oc.sweep.run(
        triangle(200),
        {"learning_rate": oc.sweep.log_space(1e-4, 0.1, 61)},
        ONE,
        200,
        key=KEY,
        batch_size=2,
        validation=ONE,
    )
    best = np.min(constants.validation["loss"][:, -1])
    # The variance of a uniform number over a decade: log(10)^2 / 12.
    assert best == pytest.approx(np.log(10) ** 2 / 12, rel=0.02)
    assert moving.best_score < 0.5 * best


def test_the_best_members_policy_replays_its_training(moving):
    rates = moving.policy()["learning_rate"](np.arange(200))
    # By the definition of the loss, in NumPy.
    up = 1 - np.abs(np.arange(200) / 200 * 2 - 1)
    ideal = np.log(0.001) + up * np.log(10.0)
    replayed = np.mean((np.log(np.asarray(rates, float)) - ideal) ** 2)
    assert replayed == pytest.approx(moving.best_score, rel=1e-5)


def test_a_policy_replays_a_training_of_a_network():
    """With the optimizer's own state and a stream of random numbers."""
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    problem = oc.problem_from_loss(
        lambda key: jax.random.normal(key, (3,)),
        lambda p, batch, key: jnp.mean(
            (batch @ p - 1 + 0.1 * jax.random.normal(key)) ** 2
        ),
    )
    found = oc.search.population(
        oc.trainable(
            problem,
            lambda hp: optax.sgd(hp["learning_rate"], momentum=hp["momentum"]),
        ),
        {
            "learning_rate": oc.search.log_uniform(1e-3, 0.3),
            "momentum": oc.search.uniform(0.5, 0.95),
        },
        x,
        60,
        key=KEY,
        validation=x[:16],
        members=8,
        interval=6,
        share=0.25,
        batch_size=8,
    )
    assert len(set(found.history()["learning_rate"])) > 1
    policy = found.policy()
    replayed = oc.sweep.run(
        oc.trainable(problem, lambda hp: oc.inject(optax.sgd, policy)),
        {"seed": [0]},
        x,
        60,
        key=KEY,
        validation=x[:16],
        batch_size=8,
    )
    np.testing.assert_allclose(
        replayed.validation["loss"][0, -1], found.best_score, rtol=1e-5
    )


def test_a_population_goes_on_after_a_kill_bit_for_bit(moving, tmp_path):
    def again(**options):
        return oc.search.population(
            triangle(200),
            {"learning_rate": oc.search.log_uniform(1e-4, 0.1)},
            ONE, 200, key=KEY, validation=ONE, batch_size=2, members=20, interval=5,
            checkpoint=tmp_path, checkpoint_every=0.0, **options,
        )  # fmt: skip

    def stop(progress):
        if progress.done >= 20 * 102:
            raise KeyboardInterrupt

    with pytest.raises(oc.sweep.Interrupted) as caught:
        again(progress=stop)
    assert isinstance(caught.value.result, oc.search.SearchResult)
    resumed = again()
    np.testing.assert_array_equal(resumed.scores, moving.scores)
    np.testing.assert_array_equal(
        resumed.sweep.lineage.parents, moving.sweep.lineage.parents
    )
    with pytest.raises(ValueError, match="judge"):
        again(share=0.4)


def test_losers_of_one_parent_do_not_become_clones(moving):
    rates = moving.sweep.lineage.hparams["learning_rate"]
    for stretch in rates.T:
        assert len(set(stretch.tolist())) == 20


def test_diverged_members_are_revived():
    found = oc.search.population(
        trained(sgd, [1.0], lambda x: jnp.sum(x**2) / 2),
        {"learning_rate": oc.search.log_uniform(0.1, 1e6)},
        ONE, 100, key=KEY, validation=ONE, batch_size=2, members=12, share=0.5,
        interval=10, resample=0.0,
    )  # fmt: skip
    assert np.any(found.sweep.lineage.hparams["learning_rate"][:, 0] > 1e3)
    assert (found.sweep.status == Status.RUNNING).sum() >= 9


SPACE = {"learning_rate": oc.search.log_uniform(1e-3, 1.0)}


LOS, UPDATES = ({"metric": name, "mode": "min"} for name in ("los", "updates"))


@pytest.mark.parametrize(
    ("search", "options", "error", "message"),
    [
        ("halving", {"eta": 1}, ValueError, "eta must be a finite number > 1"),
        ("halving", {"first": 91}, ValueError, r"first must be at most steps \(90\)"),
        (
            "halving",
            LOS,
            ValueError,
            "metric must be one of",
        ),
        ("halving", {"mode": "least"}, ValueError, "mode must be one of max, min"),
        ("halving", {"validation": None}, ValueError, "validation data are needed"),
        ("halving", {"batchsize": 3}, TypeError, "an option must be one of"),
        (
            "halving",
            UPDATES,
            ValueError,
            "metric must be none of rank",
        ),
        ("hyperband", {"eta": 0.5}, ValueError, "eta must be a finite number > 1"),
        ("hyperband", {"first": 0}, ValueError, "first must be a positive integer"),
        ("hyperband", {"space": {"a": [1, 2]}}, TypeError, r"space\['a'\] must be"),
        ("population", {"members": 3}, ValueError, "members must be an integer of at"),
        ("population", {"share": 0.6}, ValueError, "share must be a finite number > 0"),
        ("population", {"share": 0.01}, ValueError, "share must be at least one of 20"),
        ("population", {"interval": 90}, ValueError, "interval and burn_in must be"),
        ("population", {"factors": [1.2]}, ValueError, "factors must be two positive"),
        ("population", {"factors": (0, 1)}, ValueError, "factors must be a finite num"),
        ("population", {"resample": 2}, ValueError, "resample must be a finite number"),
        (
            "population",
            LOS,
            ValueError,
            "metric must be one of",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(search, options, error, message):
    options = {"validation": ONE, "batch_size": 2, "key": KEY, "space": SPACE} | options
    space = options.pop("space")
    call = {
        "halving": lambda: oc.search.successive_halving(
            PARABOLA, RATES, ONE, 90, **options
        ),
        "hyperband": lambda: oc.search.hyperband(PARABOLA, space, ONE, 90, **options),
        "population": lambda: oc.search.population(PARABOLA, space, ONE, 90, **options),
    }[search]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("name", ["rank", "member", "loss"])
def test_a_hyperparameter_that_a_leaderboard_would_hide_is_refused(name):
    space = {name: oc.search.uniform(0.1, 1.0)}
    with pytest.raises(ValueError, match=f"^population: space must be without '{name}"):
        oc.search.population(
            PARABOLA, space, ONE, 90, key=KEY, validation=ONE, batch_size=2
        )
