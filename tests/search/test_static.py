"""Static axes: one program for each combination, compared as one search."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc

KEY = jax.random.key(0)
ONE = np.ones((8, 1), np.float32)
OPTIMIZERS = {"sgd": optax.sgd, "sign": optax.sign_sgd}
RATES = {"learning_rate": [0.01, 0.1, 0.5]}
made = []


def make(optimizer, width):
    """Gradient descent on the parabola of `width` parameters, from ones."""
    made.append((optimizer, width))
    problem = oc.problem_from_loss(
        lambda key: jnp.ones(width), lambda x, batch, key: jnp.sum(x**2) / 2
    )
    return oc.trainable(problem, lambda hp: OPTIMIZERS[optimizer](hp["learning_rate"]))


def left(optimizer, width, rate, steps):
    """The loss that is left, by the formulas of both optimizers."""
    if optimizer == "sgd":
        return width * (1 - rate) ** (2 * steps) / 2
    x = np.float32(1)
    for _ in range(steps):
        x = x - np.float32(rate) * np.sign(x)
    return width * float(x) ** 2 / 2


def search(static=None, space=RATES, steps=4, function=make, **options):
    if static is None:
        static = {"optimizer": ["sgd", "sign"], "width": [1, 3]}
    options = {"batch_size": 2} | options
    return oc.search.over_static(
        static, function, space, ONE, steps, key=KEY, validation=ONE, **options
    )


@pytest.fixture(scope="module")
def found():
    return search()


def test_every_combination_is_searched(found):
    assert found.points == (
        {"optimizer": "sgd", "width": 1},
        {"optimizer": "sgd", "width": 3},
        {"optimizer": "sign", "width": 1},
        {"optimizer": "sign", "width": 3},
    )
    for point, result in zip(found.points, found.results, strict=True):
        losses = [left(**point, rate=rate, steps=4) for rate in RATES["learning_rate"]]
        np.testing.assert_allclose(result.scores, losses, rtol=1e-4, atol=1e-9)


def test_the_best_has_its_static_choices_beside_its_hyperparameters(found):
    # 0.5^8 of a half, against steps of 0.5 to and fro, which end at the minimum.
    assert found.best() == {"optimizer": "sign", "width": 1, "learning_rate": 0.5}
    assert found.best_score == pytest.approx(0.0, abs=1e-9)
    assert found.best_result is found.at(optimizer="sign", width=1)
    assert found.updates == 4 * 3 * 4
    assert repr(found) == "StaticResult(4 of 4 points; 48 updates; best loss 0)"


def test_the_leaderboard_ranks_the_points_of_all(found):
    board = found.leaderboard(None)
    assert [row["rank"] for row in board] == list(range(1, 13))
    losses = [
        left(row["optimizer"], row["width"], row["learning_rate"], 4) for row in board
    ]
    assert losses == sorted(losses)
    assert list(board[0])[:3] == ["rank", "optimizer", "width"]
    assert len(found.leaderboard(5)) == 5


def test_values_of_several_kinds_stay_what_they_are():
    seen = []

    def watched(width):
        seen.append(width)
        return make("sgd", 1)

    search({"width": [1, "auto", 2.5, np.int32(3)]}, function=watched)
    assert [(type(value), value) for value in seen] == [
        (int, 1),
        (str, "auto"),
        (float, 2.5),
        (int, 3),
    ]


def test_a_space_and_a_length_may_depend_on_the_point():
    rates = {"sgd": [0.1, 0.2], "sign": [0.3]}
    found = search(
        {"optimizer": ["sgd", "sign"]},
        lambda point: {"learning_rate": rates[point["optimizer"]]},
        lambda point: {"sgd": 3, "sign": 5}[point["optimizer"]],
        functools.partial(make, width=1),
    )
    assert [r.sweep.space.size for r in found.results] == [2, 1]
    assert [r.sweep.steps for r in found.results] == [3, 5]
    assert found.updates == 2 * 3 + 1 * 5


def test_searches_of_other_lengths_are_ranked_by_how_far_they_came():
    found = search(
        {"optimizer": ["sgd"], "width": [1, 2]},
        {"learning_rate": np.linspace(0.01, 0.09, 9)},
        lambda point: 90 * point["width"],
        method=functools.partial(oc.search.successive_halving, first=10),
    )
    board = found.leaderboard(None)
    shares = [row["updates"] / (90 * row["width"]) for row in board]
    assert shares == sorted(shares, reverse=True)


def test_batch_sizes_share_one_trainable_and_are_the_methods():
    made.clear()
    sizes = []
    static = {"batch_size": [2, 4], "optimizer": ["sgd"], "width": [1]}

    def seen(trainable, space, data, steps, *, batch_size, **options):
        sizes.append(batch_size)
        return oc.search.successive_halving(
            trainable, space, data, steps, batch_size=batch_size, **options
        )

    oc.search.over_static(
        static, make, RATES, ONE, 2, key=KEY, validation=ONE, method=seen
    )
    assert made == [("sgd", 1)]
    assert sizes == [2, 4]


@pytest.mark.parametrize(
    ("method", "space", "members"),
    [
        (oc.search.successive_halving, {"learning_rate": np.linspace(0.1, 0.9, 9)}, 9),
        pytest.param(
            functools.partial(oc.search.population, members=4, share=0.25),
            {"learning_rate": oc.search.uniform(0.1, 0.9)},
            4,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            functools.partial(oc.search.hyperband, first=10),
            {"learning_rate": oc.search.uniform(0.1, 0.9)},
            None,
            marks=pytest.mark.slow,
        ),
        (
            functools.partial(oc.search.optuna, trials=3, batch=3),
            {"learning_rate": oc.search.uniform(0.1, 0.9)},
            3,
        ),
    ],
    ids=["halving", "population", "hyperband", "optuna"],
)
def test_every_search_can_be_the_method(method, space, members):
    found = search(
        {"optimizer": ["sgd", "sign"]},
        space,
        30,
        functools.partial(make, width=1),
        method=method,
    )
    assert len(found.results) == 2
    straight = method(
        make("sign", 1), space, ONE, 30, key=KEY, validation=ONE, batch_size=2
    )
    np.testing.assert_array_equal(found.at(optimizer="sign").scores, straight.scores)
    if members is not None:
        assert [r.sweep.space.size for r in found.results] == [members] * 2


def test_states_are_kept_on_request(found):
    kept = search({"optimizer": ["sgd"], "width": [3]}, keep_state=True)
    np.testing.assert_allclose(kept.best_state().params, 0.5**4 * np.ones(3))
    with pytest.raises(ValueError, match=r"^best_state: no states were kept"):
        found.best_state()


def test_each_point_has_a_checkpoint_of_its_own(tmp_path):
    first = search(checkpoint=tmp_path / "kept", segment=2)
    folders = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert folders == [
        f"optimizer={optimizer},width={width}"
        for optimizer in ("sgd", "sign")
        for width in (1, 3)
    ]
    moves = []
    again = search(checkpoint=tmp_path / "kept", progress=moves.append, segment=2)
    np.testing.assert_array_equal(again.scores, first.scores)
    # Nothing is trained again, two updates at a time: each point is at its end.
    assert {now.done for now in moves} == {0, 12, 24, 36, 48}


def test_progress_is_that_of_one_work():
    seen = []
    search(progress=seen.append, segment=2)
    done = [now.done for now in seen]
    assert done == sorted(done)
    # Four equal searches: the total is known from the first.
    assert {now.total for now in seen} == {4 * 3 * 4}
    assert done[-1] == 48


def test_an_interrupt_keeps_what_was_found():
    def stop(now):
        if now.done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(oc.sweep.Interrupted) as caught:
        search(progress=stop, segment=1)
    result = caught.value.result
    assert [one.sweep.complete for one in result.results] == [True, False]
    assert result.best()["width"] == 1
    with pytest.raises(ValueError, match=r"^at: it was stopped before .*sign"):
        result.at(optimizer="sign", width=3)


def test_an_interrupt_before_a_later_search_has_begun_loses_nothing():
    begun = []

    def halving(*args, **options):
        begun.append(args)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return oc.search.successive_halving(*args, first=4, **options)

    with pytest.raises(oc.sweep.Interrupted) as caught:
        search(method=halving)
    assert [one.sweep.complete for one in caught.value.result.results] == [True]


def test_what_is_wrong_with_a_later_point_loses_nothing():
    """Found when it is traced, after another point was trained."""

    def second_reads_nothing(optimizer):
        factory = lambda hp: optax.sgd(hp["learning_rate"])  # noqa: E731
        if optimizer == "sign":
            factory = lambda hp: optax.sgd(0.1)  # noqa: E731
        problem = oc.problem_from_loss(
            lambda key: jnp.ones(1), lambda x, batch, key: jnp.sum(x**2)
        )
        return oc.trainable(problem, factory)

    with pytest.raises(oc.sweep.SweepError, match="'optimizer': 'sign'") as caught:
        search({"optimizer": ["sgd", "sign"]}, function=second_reads_nothing)
    assert len(caught.value.result.results) == 1
    assert "learning_rate" in str(caught.value)


SGD = {"optimizer": ["sgd"], "width": [1]}
ACCURACY = {"static": SGD, "metric": "acc", "mode": "max"}
BAD = {
    "no dict": ({"static": ["sgd"]}, TypeError, "static must be a dict from axis"),
    "no axis": ({"static": {}}, ValueError, "static must be one axis or more"),
    "no value": ({"static": {"width": []}}, ValueError, "different values"),
    "one value twice": ({"static": {"width": [1, 1]}}, ValueError, "different values"),
    "a word for values": ({"static": {"width": "12"}}, TypeError, "a sequence"),
    "an object": ({"static": {"width": [object()]}}, TypeError, "names, numbers"),
    "one text twice": ({"static": {"width": [1, "1"]}}, ValueError, "different values"),
    "a metric's name": (
        {"static": {"loss": ["mean", "sum"]}, "function": lambda loss: None},
        ValueError,
        "axes without 'loss'",
    ),
    "a hyperparameter's name": (
        {"static": {"learning_rate": [1, 2]}, "function": lambda learning_rate: None},
        ValueError,
        "axes without 'learning_rate'",
    ),
    "a seed": ({"static": {"seed": [1, 2]}}, ValueError, "without 'seed'"),
    "batch size twice": (
        {"static": SGD | {"batch_size": [2]}, "batch_size": 4},
        ValueError,
        "batch_size is given twice",
    ),
    "no function": ({"function": 3}, TypeError, "make must be a callable"),
    "no method": ({"method": "halving"}, TypeError, "method must be a callable"),
    "an option": ({"static": SGD, "horizon": [1]}, TypeError, "horizons"),
    "no metric": (
        ACCURACY,
        ValueError,
        "metric must be",
    ),
    "no mode": ({"static": SGD, "mode": "least"}, ValueError, "mode must be"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    arguments, error, message = BAD[case]
    with pytest.raises(error, match=message):
        search(**arguments)


def test_an_unknown_axis_or_an_open_choice_is_named(found):
    with pytest.raises(ValueError, match=r"^at: a static axis must be"):
        found.at(widht=1)
    with pytest.raises(ValueError, match=r"^at: 2 points have"):
        found.at(optimizer="sgd")
