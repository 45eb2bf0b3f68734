"""Figures of range tests over several hyperparameters."""

import dataclasses

import numpy as np
import pytest

import optax_cycles as oc
from optax_cycles.plot import (
    grid_figure,
    new_figure,
    plot_heat_map,
    plot_lines,
    plot_parallel,
    plot_ramp,
    range_test_figure,
)
from optax_cycles.range_test import NoSuggestionError, ParallelTest, RampTest
from optax_cycles.sweep import SweepResult

RATES = np.geomspace(1e-4, 10.0, 11)
DECAYS = np.array([0.0, 1e-4, 1e-2])
MOMENTA = np.array([0.8, 0.9])
STEPS = 40
EVALUATED = [0, 36, 37, 38, 39, 40]


def result_of(over, train, losses, horizons):
    """A sweep whose members have the same loss at all evaluations but the first."""
    validation = np.repeat(losses[..., None], len(horizons), axis=-1)
    validation[..., 0] = 2.3
    return SweepResult(
        space=oc.sweep.grid(**over, seed=range(losses.shape[-1])),
        steps=train.shape[-1],
        train={"loss": train},
        validation={"loss": validation, "accuracy": 1 - validation},
        horizons=np.array(horizons),
        status=np.zeros(losses.shape, np.int32),
        updates=np.full(losses.shape, STEPS, np.int32),
        complete=True,
        seconds={},
        versions={},
    )


def parallel_of(**over):
    """A valley at rate 0.1 whose last two rates explode; each row is .1 higher."""
    losses = 0.1 + (np.log10(RATES) + 1.0) ** 2 / 10
    losses[-2:] = np.nan
    rows = np.arange(np.prod([len(v) for v in over.values()], dtype=int)) / 10
    losses = losses[:, None] + rows
    losses = losses.reshape(len(RATES), *map(len, over.values()))
    losses = losses[..., None] + np.array([0.0, 0.01, 0.02])
    train = np.repeat(losses[..., None], STEPS, axis=-1)
    sweep = result_of({"learning_rate": RATES, **over}, train, losses, EVALUATED)
    return ParallelTest(("learning_rate", *over), (STEPS,), sweep)


@pytest.fixture(scope="module")
def grid():
    return parallel_of(weight_decay=DECAYS)


def panel():
    return new_figure(4, 3).subplots(1, 1)


def test_a_heat_map_has_the_medians_at_their_places(grid):
    axes = panel()
    image = plot_heat_map(grid, axes)
    # The middle one of three seeds.
    expected = 0.11 + (np.log10(RATES[:-2]) + 1.0) ** 2 / 10
    drawn = image.get_array()
    np.testing.assert_allclose(drawn[0, :-2], expected)
    np.testing.assert_allclose(drawn[2, :-2], expected + 0.2)
    assert drawn.mask[:, -2:].all()
    assert not drawn.mask[:, :-2].any()
    assert axes.get_xlabel() == "learning rate"
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "0",
        "0.0001",
        "0.01",
    ]


def test_a_heat_map_marks_the_best_point_and_the_best_of_each_row(grid):
    axes = panel()
    plot_heat_map(grid, axes)
    dots, star = axes.lines
    # 0.1 is the seventh of the rates.
    assert dots.get_xdata().tolist() == [6, 6, 6]
    assert dots.get_ydata().tolist() == [0, 1, 2]
    assert (*star.get_xdata(), *star.get_ydata()) == (6, 0)


def test_colours_end_at_the_untrained_loss(grid):
    assert plot_heat_map(grid, panel()).norm.vmax <= 2.3
    assert plot_heat_map(grid, panel(), limits=(0.5, 0.6)).norm.vmin == 0.5


def test_further_axes_are_panels_or_a_point_to_stay_at():
    test = parallel_of(weight_decay=DECAYS, momentum=MOMENTA)
    figure = grid_figure(test)
    titles = [axes.get_title() for axes in figure.axes[:2]]
    assert titles == ["momentum 0.8", "momentum 0.9"]
    assert figure.axes[-1].get_ylabel() == "validation loss, median of 3 seed(s)"
    drawn = plot_heat_map(test, panel(), at={"momentum": 0.9}).get_array()
    np.testing.assert_allclose(drawn[0, 6], 0.1 + 0.1 + 0.01)
    with pytest.raises(ValueError, match=r"^plot: at\['momentum'\] must be one of"):
        plot_heat_map(test, panel(), at={"momentum": 0.5})
    with pytest.raises(ValueError, match=r"^plot: at must be a value for all but two"):
        plot_heat_map(test, panel())


def test_of_values_that_are_close_the_one_named_is_taken():
    close = np.array([0.999999, 0.9999995, 0.9999999])
    for values in (close, np.array([1000000, 1000001, 1000002])):
        test = parallel_of(weight_decay=DECAYS, scale=values)
        for row, value in enumerate(values.tolist()):
            drawn = plot_heat_map(test, panel(), at={"scale": value}).get_array()
            # The rows of the three scales are .1 apart.
            np.testing.assert_allclose(drawn[0, 6], 0.11 + 0.1 * row)
            at = {"scale": value, "weight_decay": 0.0}
            found = test.suggest(name="learning_rate", at=at)
            assert found.loss == pytest.approx(0.11 + 0.1 * row)
        turned = parallel_of(scale=values[:2])
        losses = turned.sweep.validation["loss"]
        losses[:] = losses[:, ::-1]
        assert turned.joint().best["scale"] == values[1]


def test_lines_are_labelled_with_the_values_of_the_others(grid):
    axes = panel()
    plot_lines(grid, axes)
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["weight decay 0", "weight decay 0.0001", "weight decay 0.01"]
    assert len({line.get_linestyle() for line in axes.lines}) == 3
    np.testing.assert_allclose(axes.lines[1].get_ydata()[6], 0.1 + 0.1 + 0.01)
    plot_lines(grid, across := panel(), along="weight_decay", metric="accuracy")
    assert (across.get_xlabel(), across.get_ylabel()) == (
        "weight decay",
        "validation accuracy",
    )
    assert across.get_xscale() == "linear"
    with pytest.raises(ValueError, match=r"^plot: along must be"):
        plot_lines(grid, panel(), along="momentum")


def test_a_linear_axis_of_one_hyperparameter_is_drawn_as_one():
    losses = (MOMENTA - 0.85)[:, None] ** 2 + 0.1 + np.zeros(3)
    train = np.repeat(losses[..., None], STEPS, axis=-1)
    sweep = result_of({"momentum": MOMENTA}, train, losses, EVALUATED)
    axes = panel()
    plot_parallel(ParallelTest(("momentum",), (STEPS,), sweep), axes, metric="accuracy")
    assert axes.get_xscale() == "linear"
    assert axes.get_ylabel() == "validation accuracy"


def test_a_grid_of_ramps_is_a_line_each_with_its_validation_loss_dotted():
    over = {"weight_decay": DECAYS}
    losses = np.full((3, 2), 1.0)
    train = np.linspace(2.0, 1.0, STEPS) + np.arange(3)[:, None, None] * np.ones((2, 1))
    sweep = result_of(over, train, losses, [10, 20, 40])
    values = np.geomspace(1e-4, 10.0, STEPS)
    axes = panel()
    plot_ramp(RampTest("learning_rate", values, sweep, ("weight_decay",)), axes)
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == [
        "weight decay 0",
        "weight decay 0.0001",
        "weight decay 0.01",
        "validation loss",
    ]
    dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
    np.testing.assert_allclose(dotted[0].get_xdata(), values[[9, 19, 39]])


def test_what_can_not_be_a_heat_map_is_refused(grid):
    one = parallel_of()
    with pytest.raises(ValueError, match=r"^grid_figure: test must be a test with at"):
        grid_figure(one)
    stopped = ParallelTest(
        grid.over,
        (STEPS + 1,),
        grid.sweep.__class__(**{**vars(grid.sweep), "complete": False}),
    )
    with pytest.raises(NoSuggestionError, match="stopped before any horizon"):
        grid_figure(stopped)


def test_a_test_draws_itself_on_axes_or_as_a_figure(grid):
    one = parallel_of()
    axes = panel()
    assert one.plot(axes) is axes
    assert axes.get_xlabel() == "learning rate"
    marked = [text.get_text() for text in axes.get_legend().get_texts()]
    assert f"best constant {one.suggest().best:.2g}" in marked
    above, below = one.plot(metric="accuracy").axes
    assert above.get_ylabel() == "validation accuracy"
    assert below.get_xlabel() == "learning rate"
    axes = panel()
    assert grid.plot(axes) is axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("learning rate", "weight decay")
    assert [a.get_title() for a in grid.plot().axes[:1]] == [f"update {STEPS}"]


def test_a_ramp_draws_itself_with_the_rules_that_answer():
    losses = 2.0 - np.exp(-((np.linspace(-4, 2, 300) + 0.5) ** 2))
    train = (losses + np.array([[0.0], [0.01]]))[None]
    sweep = result_of({}, train[0], np.full((2,), 1.0), [300])
    sweep.validation.clear()
    test = RampTest("learning_rate", np.geomspace(1e-4, 10.0, 300), sweep)
    (axes,) = test.plot().axes
    texts = " ".join(text.get_text() for text in axes.get_legend().get_texts())
    assert "valley" in texts
    assert "steep" in texts
    axes = panel()
    assert test.plot(axes) is axes


def test_the_best_of_a_metric_may_be_its_largest(grid):
    """The accuracy is 1 minus the loss, so that it is best at the same point."""
    for axes in (panel(), grid_figure(grid, metric="accuracy", mode="max").axes[0]):
        if not axes.lines:
            plot_heat_map(grid, axes, metric="accuracy", mode="max")
        dots, star = axes.lines
        assert dots.get_xdata().tolist() == [6, 6, 6]
        assert (*star.get_xdata(), *star.get_ydata()) == (6, 0)
    with pytest.raises(ValueError, match=r"^grid_figure: mode must be one of"):
        grid_figure(grid, mode="best")


def test_colours_of_such_a_metric_span_what_was_reached(grid):
    norm = plot_heat_map(grid, panel(), metric="accuracy", mode="max").norm
    assert (norm.vmin, norm.vmax) == pytest.approx((1 - 0.31 - 0.9, 1 - 0.11))


def test_what_is_marked_is_what_the_metric_says():
    test = parallel_of()
    (star,) = (
        line
        for line in test.plot(panel(), metric="accuracy", mode="max").lines
        if line.get_marker() == "*"
    )
    assert star.get_ydata() == pytest.approx([1 - 0.11])


def stopped_early():
    """A test of which no horizon was reached."""
    test = parallel_of()
    losses = np.full_like(test.sweep.validation["loss"], np.nan)
    updates = np.zeros(losses.shape[:-1], np.int32)
    sweep = dataclasses.replace(
        test.sweep, validation={"loss": losses}, updates=updates, complete=False
    )
    return dataclasses.replace(test, sweep=sweep)


def test_a_test_that_reached_no_horizon_is_drawn_empty_and_says_so():
    figure = range_test_figure(stopped_early(), note="interrupted")
    assert [text.get_text() for text in figure.axes[0].texts] == [
        "no finite loss to draw"
    ]
    assert not figure.axes[1].collections


def ramp_of(losses):
    sweep = result_of({}, losses, losses[..., :1].repeat(2, -1)[:, 0], [1, 2])
    values = np.geomspace(1e-3, 1.0, losses.shape[-1])
    return RampTest("learning_rate", values, dataclasses.replace(sweep, validation={}))


def test_a_ramp_without_a_finite_loss_says_so():
    axes = panel()
    plot_ramp(ramp_of(np.full((2, 5), np.nan)), axes)
    assert [text.get_text() for text in axes.texts] == ["no finite loss to draw"]


def test_a_single_point_has_a_marker():
    axes = panel()
    plot_ramp(ramp_of(np.ones((1, 1))), axes)
    assert {line.get_marker() for line in axes.lines} == {"."}
    alone = parallel_of()
    losses = alone.sweep.validation["loss"]
    losses[:5], losses[6:] = np.nan, np.nan
    axes = panel()
    plot_parallel(alone, axes)
    assert {line.get_marker() for line in axes.lines} == {"."}
