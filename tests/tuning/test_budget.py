"""Budgets are kept, whether they are updates or seconds."""

import pytest

from optax_cycles.tuning import budget as module
from optax_cycles.tuning.budget import Budget, group_of, population


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
    ("trainings", "group", "most", "expected"),
    [
        # 96 members: 4 seeds leave 24 points; 6 would leave 16.
        (96, 12, 24, (24, 4)),
        (100, 12, 24, (24, 4)),
        (96, 12, 1, (16, 6)),
        # Less than a group is a group.
        (1, 4, 24, (4, 1)),
        (11, 2, 24, (12, 1)),
    ],
)
def test_more_seeds_once_there_are_points_enough(trainings, group, most, expected):
    points, seeds = population(trainings, group, most=most, seeds=(1, 2, 3, 4, 6))
    assert (points, seeds) == expected


def test_populations_are_whole_groups():
    for trainings in range(1, 200):
        for group in (2, 4, 6, 12):
            points, seeds = population(trainings, group, most=9, seeds=(1, 2, 3))
            assert points * seeds % group == 0
            assert abs(points * seeds - max(trainings, group)) <= group / 2


@pytest.mark.parametrize(
    ("trainings", "group"), [(5, 2), (30, 2), (50, 6), (120, 12), (1000, 48)]
)
def test_groups_are_about_a_tenth(trainings, group):
    assert group_of(trainings) == group
