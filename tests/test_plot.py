"""Figures say what they show: labels, units of axes, legends, marks."""

import matplotlib.image
import numpy as np
import pytest

import optax_cycles as oc
from optax_cycles.plot import plot_schedules, range_test_figure, save_figure
from optax_cycles.range_test import ParallelTest, RampTest
from optax_cycles.sweep import SweepResult

VALUES = np.geomspace(1e-4, 10.0, 11)
STEPS = 40


def _result(train, validation, horizons):
    members = train.shape[:-1]
    space = oc.sweep.grid(learning_rate=VALUES[: members[0]], seed=range(members[1]))
    return SweepResult(
        space=space,
        steps=train.shape[-1],
        train={"loss": train},
        validation={"loss": validation},
        horizons=np.array(horizons),
        status=np.zeros(members, np.int32),
        updates=np.full(members, STEPS, np.int32),
        complete=True,
        seconds={},
        versions={},
    )


@pytest.fixture(scope="module")
def parallel():
    """A parabola in the log of the rate whose last two rates explode."""
    losses = 0.1 + (np.log10(VALUES) + 1.0) ** 2 / 10
    losses = losses[:, None] + np.array([0.0, 0.01, 0.02])
    losses[-2:] = np.nan
    steps = [0, 36, 37, 38, 39, 40]
    validation = np.repeat(losses[..., None], len(steps), axis=-1)
    validation[..., 0] = 2.3
    train = np.repeat(losses[..., None], STEPS, axis=-1)
    return ParallelTest("learning_rate", (40,), _result(train, validation, steps))


@pytest.fixture(scope="module")
def ramp():
    train = np.linspace(2.0, 1.0, STEPS) * np.ones((1, 3, 1))
    values = np.geomspace(1e-4, 10.0, STEPS)
    result = _result(train, np.zeros((1, 3, 1)), [STEPS])
    return RampTest("learning_rate", values, result)


def test_the_range_tests_figure_is_labelled(parallel, ramp, tmp_path):
    suggestion = parallel.suggest()
    trainings = (np.arange(3), {"1cycle": np.ones((2, 3)), "constant": np.ones((2, 3))})
    figure = range_test_figure(
        parallel,
        ramp,
        suggestion=suggestion,
        marks={"valley": 0.01},
        trainings=trainings,
    )
    loss, diverged, climb, training = figure.axes
    assert (loss.get_xscale(), loss.get_yscale()) == ("log", "log")
    assert loss.get_ylabel() == "validation loss"
    assert diverged.get_xlabel() == "learning rate"
    assert (climb.get_xlabel(), climb.get_ylabel()) == (
        "learning rate",
        "training loss",
    )
    assert (training.get_xlabel(), training.get_ylabel()) == (
        "update",
        "validation loss",
    )
    texts = [text.get_text() for text in loss.get_legend().get_texts()]
    assert f"best constant {suggestion.best:.2g}" in texts
    assert "range over 3 seed(s)" in texts
    assert [text.get_text() for text in training.get_legend().get_texts()] == [
        "1cycle",
        "constant",
    ]
    save_figure(figure, tmp_path / "figure.png")
    pixels = matplotlib.image.imread(tmp_path / "figure.png")
    assert pixels.shape[1] == 1050


def test_a_figure_can_do_without_the_later_parts(parallel):
    assert len(range_test_figure(parallel).axes) == 2


def test_schedules_share_a_panel_and_policies_have_one_for_each_name():
    figure = plot_schedules(
        {"a": oc.one_cycle_policy(20, 0.1), "b": oc.triangular(0.1, 0.2, 5)}, 20
    )
    rate, momentum = figure.axes
    assert (rate.get_ylabel(), momentum.get_ylabel()) == ("learning rate", "momentum")
    # The third line marks the second cycle of the wave.
    assert [len(axes.lines) for axes in figure.axes] == [3, 1]
    drawn = rate.lines[1].get_ydata()
    np.testing.assert_allclose(drawn[:3], [0.1, 0.12, 0.14], rtol=1e-6)
    assert momentum.get_xlabel() == "step"


def test_the_starts_of_cycles_are_marked():
    restarts = oc.warm_restarts(10, 0.1, period_mult=2)
    figure = plot_schedules({"a": restarts, "b": oc.linear_decay(0.1, 50)}, 100)
    (rate,) = figure.axes
    marks = [line.get_xdata()[0] for line in rate.lines if len(line.get_xdata()) == 2]
    assert marks == [10, 30, 70]
    many = plot_schedules({"a": oc.triangular(0.1, 0.2, 1)}, 1000).axes[0]
    assert len(many.lines) == 1


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="plot_schedules: at least one schedule"):
        plot_schedules({}, 10)
    with pytest.raises(ValueError, match="plot_schedules: steps must be a positive"):
        plot_schedules({"a": oc.one_cycle(10, 0.1)}, 0)
