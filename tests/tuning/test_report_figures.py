"""Figures of a report show the numbers of the recipe, by NumPy and by formulas."""

import numpy as np
import pytest
import recipes

from optax_cycles._figures import RED
from optax_cycles.tuning.family import family_of
from optax_cycles.tuning.report_figures import (
    cost_drawing,
    drawings_of,
    recipe_curve,
    schedule_drawings,
)


def drawing(recipe, step, name):
    """A figure of a step, and its axes."""
    evidence = next(one for one in recipe.evidence if one.name == step)
    (found,) = [one for one in drawings_of(recipe, evidence) if one.name == name]
    (axes,) = found.figure.axes
    return found, axes


def points(axes, **wanted):
    """All points that are drawn with such a marker."""
    lines = [
        np.column_stack([line.get_xdata(), line.get_ydata()]).astype(float)
        for line in axes.lines
        if all(getattr(line, f"get_{k}")() == v for k, v in wanted.items())
    ]
    return np.concatenate([np.empty((0, 2)), *lines])


def ringed(axes):
    """The points with a red ring."""
    return points(axes, markeredgecolor=RED, markerfacecolor="none").tolist()


def test_the_schedule_is_that_of_the_paper():
    """1cycle from NumPy: up for 30 % and down by half cosines, momentum against it."""
    rate, momentum = schedule_drawings(recipes.built())
    (line,) = rate.figure.axes[0].lines
    steps, top = np.arange(recipes.STEPS), 0.3 * recipes.STEPS - 1
    up = 0.2 / 25 + (0.2 - 0.2 / 25) * (1 - np.cos(np.pi * steps / top)) / 2
    assert line.get_xdata().tolist() == steps.tolist()
    np.testing.assert_allclose(line.get_ydata()[:12], up[:12], rtol=1e-5)
    assert line.get_ydata().argmax() == 11
    (moving,) = momentum.figure.axes[0].lines
    assert moving.get_ydata().min() == pytest.approx(0.85)
    assert moving.get_ydata().argmin() == 11


def test_a_momentum_that_stays_needs_no_figure():
    constant = recipes.built(schedule="cosine", momentum=0.9)
    bare = recipes.built(
        family=family_of("test", "rmsprop"), momentum=None, weight_decay=None
    )
    for recipe in (constant, bare):
        assert [one.name for one in schedule_drawings(recipe)] == [
            "schedule-learning-rate"
        ]


def test_a_long_schedule_is_drawn_at_some_of_its_steps():
    (line,) = schedule_drawings(recipes.built(steps=10**6))[0].figure.axes[0].lines
    at = line.get_xdata()
    assert (at[0], at[-1], len(at)) == (0, 10**6 - 1, 600)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_rates_are_medians_with_their_range_and_failures_are_marked(mode):
    recipe = recipes.built(mode=mode)
    found, axes = drawing(recipe, "learning rate", "rates")
    rows = sorted(recipe.evidence[0].rows, key=lambda row: row["learning_rate"])
    alive = [row for row in rows if row["score"] is not None]
    curve = points(axes, linestyle="-")
    curve = curve[np.isfinite(curve[:, 1])]
    medians = [np.median(row["scores"]) for row in alive]
    assert curve[:, 1].tolist() == pytest.approx(medians)
    best = {"min": np.argmin, "max": np.argmax}[mode](medians)
    (ring, *_) = [line for line in axes.lines if line.get_markersize() == 9]
    assert ring.get_xdata()[0] == alive[best]["learning_rate"]
    failed = points(axes, marker="x")
    assert failed[:, 0].tolist() == [row["learning_rate"] for row in rows[-3:]]
    assert set(failed[:, 1]) == {0.97 if mode == "min" else 0.03}
    assert "3 of 12 rates failed" in found.description
    (band,) = axes.collections
    around = band.get_paths()[0].vertices[:, 1]
    assert around.min() == min(min(row["scores"]) for row in alive)
    assert around.max() == max(max(row["scores"]) for row in alive)
    assert axes.get_xscale() == "log"


def test_every_setting_of_the_survey_is_a_point():
    recipe = recipes.built()
    _, axes = drawing(recipe, "momentum and decay", "survey")
    rows = [r for r in recipe.evidence[1].rows if r["length"] == 10]
    alive = [r for r in rows if r["score"] is not None]
    drawn = [
        tuple(pair)
        for marker in "osD"
        for pair in points(axes, marker=marker, markersize=5)
    ]
    assert sorted(drawn) == sorted((r["learning_rate"], r["score"]) for r in alive)
    markers = {
        line.get_marker(): line.get_label()
        for line in axes.lines
        if not len(line.get_xdata()) and line.get_marker() in "osD"
    }
    assert {"0.9", "0.85 to 0.95", "0.95"} <= set(markers.values())


@pytest.mark.parametrize(
    ("step", "name", "key"),
    [
        ("momentum and decay", "by-momentum", "momentum"),
        ("momentum and decay", "by-weight-decay", "weight_decay"),
        ("schedule", "by-schedule", "schedule"),
    ],
)
def test_each_value_has_a_line_and_the_best_of_all_a_red_ring(step, name, key):
    recipe = recipes.built()
    evidence = next(one for one in recipe.evidence if one.name == step)
    rows = [r for r in evidence.rows if step == "schedule" or r["length"] == 10]
    _, axes = drawing(recipe, step, name)
    scores = [r["score"] for r in rows if r["score"] is not None]
    dots = points(axes, markersize=4.5)
    assert sorted(dots[:, 0]) == sorted(scores)
    ((best, place),) = ringed(axes)
    assert best == min(scores)
    label = axes.get_yticklabels()[int(place)].get_text()
    value = min(rows, key=lambda r: np.inf if r["score"] is None else r["score"])[key]
    words = value if isinstance(value, list) else [value]
    assert label == " to ".join(
        one if isinstance(one, str) else f"{one:.4g}" for one in words
    )
    failed = [text.get_text() for text in axes.texts]
    assert failed == (["1 failed"] if step != "schedule" else [])


def test_finalists_are_drawn_in_the_order_of_their_rank():
    recipe = recipes.built()
    _, axes = drawing(recipe, "final", "final-curves")
    scores, updates = recipes.final_scores(), np.arange(0, recipes.STEPS + 1, 4)
    for place, line in enumerate(axes.lines):
        expected = np.median(scores[place]) + 2.0 * 0.9**updates
        assert line.get_label() == "ABC"[place]
        np.testing.assert_allclose(line.get_ydata(), expected)
    _, dots = drawing(recipe, "final", "final-scores")
    assert ringed(dots) == [[np.median(scores[0]), 0.0]]
    assert len(points(dots, markersize=4.5)) == scores.size
    own = recipe_curve(recipe)
    (line,) = own.figure.axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), axes.lines[0].get_ydata())


def test_costs_are_shares_of_all():
    recipe = recipes.built()
    (axes,) = cost_drawing(recipe).figure.axes
    updates, seconds = [[bar.get_width() for bar in bars] for bars in axes.containers]
    for name, shares in (("updates", updates), ("seconds", seconds)):
        spent = np.array([getattr(step, name) for step in recipe.evidence])
        assert shares == pytest.approx(list(100 * spent / spent.sum()))


def test_without_numbers_there_is_no_figure():
    empty = recipes.built(evidence=())
    assert cost_drawing(empty) is None
    assert recipe_curve(empty) is None
    unknown = recipes.built(metric="accuracy")
    assert recipe_curve(unknown) is None


def test_a_survey_says_what_it_leaves_out():
    few, many = (
        drawings_of(recipes.built(), recipes.joint_step(count=count))
        for count in (27, 450)
    )
    assert "of 27 settings after 10 updates" in few[0].title
    assert "of the best 400 of 450 settings after 10 updates" in many[0].title
