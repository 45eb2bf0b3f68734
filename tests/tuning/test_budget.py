"""Budgets are kept, whether they are updates or seconds."""

import pytest

from optax_cycles.tuning import budget as module
from optax_cycles.tuning.budget import Budget, split


def test_updates_are_counted_down():
    budget = Budget("tune", 1000)
    budget.measured(300, 0.0)
    assert (budget.spent, budget.left, budget.total) == (300, 700, 1000)


def test_updates_of_larger_batches_count_more():
    budget = Budget("tune", 1000)
    budget.weight = 4.0
    budget.measured(50, 0.0)
    assert (budget.spent, budget.left) == (200, 200)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5min", 90), ("1h", 3600)]
)
def test_seconds_become_updates_by_what_an_update_takes(text, seconds, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    budget = Budget("tune", text)
    now[0] = seconds / 2
    budget.measured(1000, 10.0)
    # A tenth of a second for 10 updates, and 45 % of the time is left to use.
    assert budget.left == pytest.approx(100 * 0.45 * seconds, abs=1)
    assert budget.total == budget.left + 1000


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (0, ValueError),
        (1.5, TypeError),
        ("soon", ValueError),
        ("0s", ValueError),
        ("1.2.3s", ValueError),
    ],
)
def test_other_budgets_are_refused(asked, error):
    with pytest.raises(error, match=r"^tune: budget must be"):
        Budget("tune", asked)


@pytest.mark.parametrize(
    ("updates", "most", "points", "seeds"),
    [(1000, 24, 100, 1), (10000, 24, 200, 5), (1000, 40, 50, 2), (5, 24, 1, 1)],
)
def test_more_seeds_once_there_are_points_enough(updates, most, points, seeds):
    # Trainings of 10 updates.
    found = split(updates, 10, most=most, seeds=(1, 2, 5))
    if (updates, most) == (1000, 24):
        assert found == (50, 2)
    else:
        assert found == (points, seeds)
