"""Who goes on: the ladders of the papers, and scripted scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optax_cycles.search.halving import Halving
from optax_cycles.search.rungs import Rung, brackets, ladder, survivors
from optax_cycles.sweep import Standing, Status

# L. Li et al. (2018), table 1: R = 81, eta = 3, (members, resource) of each bracket.
TABLE_1 = [
    [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    [(34, 3), (11, 9), (3, 27), (1, 81)],
    [(15, 9), (5, 27), (1, 81)],
    [(8, 27), (2, 81)],
    [(5, 81)],
]


def test_brackets_are_those_of_hyperbands_table():
    found = brackets(81, eta=3)
    assert [[members for members, _ in b] for b in found] == [
        [members for members, _ in b] for b in TABLE_1
    ]
    for bracket, published in zip(found, TABLE_1, strict=True):
        np.testing.assert_allclose([r for _, r in bracket], [r for _, r in published])


@pytest.mark.parametrize("eta", [2, 3, 4, 5, 10])
@pytest.mark.parametrize("power", [1, 2, 3, 5])
def test_powers_of_eta_are_whole_in_spite_of_rounding(eta, power):
    found = brackets(eta**power, eta=eta)
    assert len(found) == power + 1
    assert [members for members, _ in found[0]] == [
        eta ** (power - i) for i in range(power + 1)
    ]


@given(st.floats(1, 1e6), st.floats(1.1, 10))
def test_each_bracket_ends_with_the_whole_resource(resource, eta):
    for bracket in brackets(resource, eta=eta):
        assert bracket[-1][1] == pytest.approx(resource)
        members = [count for count, _ in bracket]
        assert members == sorted(members, reverse=True)
        assert members[-1] >= 1


@given(
    st.integers(1, 500), st.integers(1, 5000), st.floats(1.2, 10), st.integers(1, 5000)
)
def test_ladders_fall_to_few_members_who_train_to_the_end(members, steps, eta, first):
    first = min(first, steps)
    rungs = ladder(members, steps, eta=eta, first=first)
    assert rungs[0].members == members
    assert rungs[-1].steps == steps
    counts, ends = zip(*rungs, strict=True)
    assert list(ends) == sorted(set(ends))
    assert list(counts) == sorted(counts, reverse=True)
    assert all(rung.steps >= first for rung in rungs)


def test_a_ladder_by_hand():
    assert ladder(81, 81, eta=3, first=1) == TABLE_1[0]
    assert ladder(5, 100, eta=3, first=100) == [(5, 100)]
    assert ladder(1, 100, eta=3, first=10) == [(1, 100)]
    assert ladder(16, 100, eta=4, first=10) == [(16, 10), (4, 40), (1, 100)]


def test_survivors_are_the_lowest_and_ties_go_to_the_first():
    nan, inf = np.nan, np.inf
    assert survivors([3, 1, 2, 1], 2).tolist() == [1, 3]
    assert survivors([1, 1, 1, 1], 2).tolist() == [0, 1]
    assert survivors([nan, 5, nan, 4], 2).tolist() == [1, 3]
    assert survivors([nan, inf, nan, 4], 2).tolist() == [1, 3]
    assert survivors([nan, nan, 7], 2).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ladder(9, 9, eta=1, first=1),
            ValueError,
            "ladder: eta must be a fini",
        ),
        (lambda: ladder(9, 9, eta=0.5, first=1), ValueError, "ladder: eta must be a f"),
        (
            lambda: ladder(9, 9, first=10),
            ValueError,
            "ladder: first must be at most st",
        ),
        (lambda: ladder(0, 9, first=1), ValueError, "ladder: members must be a positi"),
        (lambda: brackets(81, eta=1.0), ValueError, "brackets: eta must be a finite n"),
        (lambda: brackets(0.5), ValueError, "brackets: resource must be a finite numb"),
        (lambda: survivors([1, 2], 3), ValueError, "survivors: scores must be a vect"),
        (lambda: survivors([[1, 2]], 1), ValueError, "survivors: scores must be a ve"),
        (lambda: survivors([1, 2], 1.5), TypeError, "survivors: count must be a posi"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()


@pytest.mark.parametrize("members", [1, 2, 500])
@pytest.mark.parametrize("eta", [1.04, 1.2, 3])
@pytest.mark.parametrize("steps", [1, 2, 10, 11, 100])
def test_rungs_that_round_to_one_update_are_one(members, eta, steps):
    """With few updates, or a small eta, several rungs would end together."""
    rungs = ladder(members, steps, eta=eta, first=1)
    ends = [rung.steps for rung in rungs]
    assert ends == sorted(set(ends))
    assert ends[-1] == steps
    assert rungs[0].members == members
    # Who trains on until an end is as many as the paper says for what led there.
    for rung in rungs:
        before = [i for i in range(400) if round(eta**i) < rung.steps]
        power = len(before) if rung.steps < steps else None
        if power is not None:
            assert rung.members == max(int(members / eta**power + 1e-9), 1)


POINTS = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])


def judged(status, losses, *, kept=1, mode="min"):
    """Which of three points with three seeds each go on."""
    rungs = [Rung(3, 10), Rung(kept, 20)]
    judge = Halving(POINTS, [(np.arange(3), rungs)], "loss", mode)
    losses = np.array(losses, float)
    standing = Standing(10, {}, np.array(status), {"loss": losses})
    parents = judge(standing).parents.reshape(3, 3)
    assert np.all((parents >= 0) == (parents[:, :1] >= 0))
    return np.flatnonzero(parents[:, 0] >= 0).tolist()


RUNS, FAILED, DROPPED = Status.RUNNING, Status.DIVERGED, Status.DROPPED


def test_a_point_of_which_most_seeds_fail_is_worse_than_any_that_trains():
    nan = np.nan
    status = [RUNS, FAILED, FAILED, RUNS, RUNS, RUNS, RUNS, RUNS, FAILED]
    losses = [0.1, nan, nan, 9, 9, 9, 1, 8, nan]
    assert judged(status, losses) == [2]  # The median of 1, 8 and a failure.
    assert judged(status, losses, kept=2) == [1, 2]


def test_a_loss_that_is_not_finite_is_a_failure_while_the_member_runs():
    losses = [0.1, np.nan, np.nan, 5, 5, 5, 0.2, np.inf, -np.inf]
    assert judged([RUNS] * 9, losses) == [1]
    assert judged([RUNS] * 9, losses, mode="max") == [1]


def test_points_are_ranked_by_the_largest_median_where_more_is_better():
    losses = [1, 9, 2, 3, 3, 3, 8, 0, 0]
    assert judged([RUNS] * 9, losses, mode="max") == [1]
    assert judged([RUNS] * 9, losses) == [2]


def test_a_point_that_was_dropped_does_not_take_the_place_of_one_that_runs():
    """Though most seeds of the other have failed: one of its seeds can go on."""
    status = [DROPPED] * 3 + [FAILED] * 3 + [FAILED, FAILED, RUNS]
    assert judged(status, [np.nan] * 8 + [0.5]) == [2]
