"""Figures say what they show: labels, units of axes, legends, marks."""

import itertools

import jax.numpy as jnp
import matplotlib.colors
import matplotlib.image
import numpy as np
import optax
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
    return ParallelTest(("learning_rate",), (40,), _result(train, validation, steps))


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
    # Of training, and of validation, dotted.
    assert (climb.get_xlabel(), climb.get_ylabel()) == ("learning rate", "loss")
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


def test_cycles_that_are_not_known_are_not_marked():
    figure = plot_schedules({"a": lambda step: step % 10, "b": oc.warmup(5)}, 100)
    assert len(figure.axes[0].lines) == 2


def test_small_values_have_no_common_power_of_ten_over_the_legend():
    figure = plot_schedules({"a": oc.linear_decay(2e-5, 1000)}, 1000)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.yaxis.get_offset_text().get_text() == ""
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert {"1e\N{MINUS SIGN}05", "2e\N{MINUS SIGN}05"} <= {*ticks}
    near = plot_schedules({"a": oc.linear_decay(1.0, 10, end_value=0.99999)}, 10)
    near.draw_without_rendering()
    ticks = [label.get_text() for label in near.axes[0].get_yticklabels()]
    assert len({*ticks}) == len(ticks)


# How people without red or green receptors see linear RGB: Machado et al., "A
# Physiologically-based Model for Simulation of Color Vision Deficiency" (2009).
BLIND = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def _seen(color, blindness):
    """CIE L*a*b* of an sRGB colour, whose distances are those that people see."""
    code = np.array(matplotlib.colors.to_rgb(color))
    linear = np.where(code > 0.04045, ((code + 0.055) / 1.055) ** 2.4, code / 12.92)
    xyz = np.clip(XYZ @ (np.array(BLIND[blindness]) @ linear), 0, None)
    ratios = xyz / [0.9505, 1.0, 1.089]
    x, y, z = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_ten_curves_differ_in_line_style_or_in_what_colour_blind_readers_see():
    constants = {f"c{i}": 0.1 * i for i in range(10)}
    lines = plot_schedules(constants, 5).axes[0].lines
    for one, other in itertools.combinations(lines, 2):
        if one._dash_pattern == other._dash_pattern:
            for blindness in BLIND:
                seen = [_seen(line.get_color(), blindness) for line in (one, other)]
                # 2.3 is the least difference that is noticed.
                assert np.linalg.norm(seen[0] - seen[1]) > 5 * 2.3


def test_thirty_curves_all_look_different():
    lines = plot_schedules({f"c{i}": 0.1 for i in range(30)}, 5).axes[0].lines
    looks = {(line.get_color(), str(line._dash_pattern)) for line in lines}
    assert len(looks) == 30


def test_a_long_legend_lies_above_the_curves_inside_the_figure():
    labels = [f"triangular peak_value={i} step_size_down=1{i}" for i in range(10)]
    figure = plot_schedules(dict.fromkeys(labels, 0.5), 5)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    legend, panel = axes.get_legend().get_window_extent(), axes.get_window_extent()
    assert legend.y0 >= panel.y1 - 1
    assert figure.bbox.x1 >= legend.x1
    assert figure.bbox.y1 >= legend.y1
    assert panel.height > figure.dpi * 1.5


@pytest.mark.parametrize(("steps", "marker"), [(1, "o"), (1000, "None")])
def test_few_points_are_marked(steps, marker):
    (axes,) = plot_schedules({"a": oc.one_cycle(steps, 0.1)}, steps).axes
    assert axes.lines[0].get_marker() == marker
    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_numbers_and_scalar_schedules_are_constants():
    policy = {"learning_rate": lambda step: 0.3, "b1": 0.9, "b2": np.float32(0.5)}
    figure = plot_schedules({"a": policy}, 7)
    assert [axes.get_ylabel() for axes in figure.axes] == ["learning rate", "b1", "b2"]
    drawn = [axes.lines[0].get_ydata() for axes in figure.axes]
    np.testing.assert_array_equal(drawn, np.array([[0.3], [0.9], [0.5]]) * np.ones(7))


def test_low_precision_values_are_drawn():
    figure = plot_schedules({"a": lambda step: jnp.full(3, 0.5, jnp.bfloat16)}, 3)
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [0.5] * 3)


def test_very_many_steps_are_thinned_out():
    (axes,) = plot_schedules({"a": oc.linear_decay(1.0, 2**31 - 1)}, 2**31 - 1).axes
    steps, values = axes.lines[0].get_xydata().T
    assert (len(steps), steps[0], steps[-1]) == (1_000_000, 0, 2**31 - 2)
    np.testing.assert_allclose(values, 1 - steps / (2**31 - 1), atol=1e-7)


@pytest.mark.parametrize(
    ("schedule", "kind", "message"),
    [
        (oc.reduce_on_plateau(0.1), TypeError, "this one has init and update"),
        (optax.sgd(0.1), TypeError, "this one has init and update: it is an optimizer"),
        ("0.1", TypeError, "must be a function of the step or a number, got '0.1'"),
        (None, TypeError, "must be a function of the step or a number, got None"),
        (lambda step: np.ones(2), ValueError, r"each of 10 steps, got .* shape \(2,\)"),
        (lambda step: None, ValueError, "must give one value for each of 10 steps"),
    ],
)
def test_what_is_no_schedule_is_named(schedule, kind, message):
    with pytest.raises(kind, match=f"plot_schedules: a: learning_rate .*{message}"):
        plot_schedules({"a": schedule}, 10)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="plot_schedules: at least one schedule"):
        plot_schedules({}, 10)
    with pytest.raises(ValueError, match="plot_schedules: steps must be a positive"):
        plot_schedules({"a": oc.one_cycle(10, 0.1)}, 0)
    with pytest.raises(ValueError, match="plot_schedules: steps must be at most 2"):
        plot_schedules({"a": oc.one_cycle(10, 0.1)}, 2**31)
