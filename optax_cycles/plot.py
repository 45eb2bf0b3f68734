"""Figures of schedules, range tests and trainings.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; marks and
line styles repeat what colours say.
"""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._extras import require
from optax_cycles._typing import Scalar, Schedule
from optax_cycles.range_test import ParallelTest, RampTest, RangeSuggestion
from optax_cycles.schedules import cycle_starts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#666666",
)
_MOST_MARKS = 60
_MOST_POINTS = 1_000_000
_FEW_POINTS = 20
_LONG_LABEL, _LINE = 40, 85
WIDE = 5.0
# Their numbers have no common divisor, so that all 30 pairs come before one repeats.
_COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
_LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (7, 1.5, 1, 1.5, 1, 1.5)))


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches, drawn without a display."""
    figure_module = require("matplotlib.figure", "sweep", "plot")
    figure: Figure = figure_module.Figure(
        figsize=(width, height), dpi=150, layout="constrained"
    )
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure; the file's ending says the format (PNG, SVG, PDF)."""
    figure.savefig(path)


def _finish(axes: Axes) -> None:
    axes.grid(True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _label(name: str) -> str:
    return name.replace("_", " ")


def _style(index: int) -> tuple[str, Any]:
    """Colour and line style of a curve."""
    return _COLORS[index % len(_COLORS)], _LINES[index % len(_LINES)]


def plot_parallel(
    test: ParallelTest, axes: Axes, suggestion: RangeSuggestion | None = None
) -> None:
    """Validation loss against the tested values, with the range over seeds.

    Args:
      test: a parallel range test.
      axes: matplotlib axes to draw on.
      suggestion: marked where there is one.
    """
    values, reached = test.values, test.reached
    shades = np.linspace(0.35, 1.0, len(reached))
    for horizon, shade in zip(reached, shades, strict=True):
        losses = np.where(
            test.diverged(horizon), np.nan, test.validation(horizon=horizon)
        )
        median = _over_seeds(np.nanmedian, losses)
        last = horizon == reached[-1]
        axes.plot(
            values,
            median,
            color=BLUE,
            alpha=shade,
            linewidth=1.8 if last else 1.0,
            label=f"median at update {horizon}",
        )
        if last:
            axes.fill_between(
                values,
                _over_seeds(np.nanmin, losses),
                _over_seeds(np.nanmax, losses),
                color=BLUE,
                alpha=0.18,
                linewidth=0,
                label=f"range over {test.seeds} seed(s)",
            )
    axes.set(xscale="log", ylabel="validation loss")
    _scale_losses(axes)
    if suggestion is not None:
        _mark(axes, suggestion)
    axes.set_title("Parallel range test: every value trained on its own")
    axes.legend(fontsize=7, loc="best")
    _finish(axes)


def _scale_losses(axes: Axes) -> None:
    """A logarithmic axis where all drawn losses are positive and far apart."""
    drawn = np.concatenate([np.ravel(line.get_ydata()) for line in axes.lines])
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size:
        axes.text(
            0.5, 0.5, "no finite loss to draw", transform=axes.transAxes, ha="center"
        )
    elif drawn.min() > 0 and drawn.max() > WIDE * drawn.min():
        axes.set_yscale("log")


def _over_seeds(reduce: Any, losses: np.ndarray) -> np.ndarray:
    """`reduce` over the seeds that did not fail; NaN where all did."""
    some = ~np.all(np.isnan(losses), axis=1)
    result = np.full(len(losses), np.nan)
    result[some] = reduce(losses[some], axis=1)
    return result


def _mark(axes: Axes, suggestion: RangeSuggestion) -> None:
    axes.axvspan(
        suggestion.base,
        suggestion.peak,
        color=GREEN,
        alpha=0.1,
        linewidth=0,
        label=f"base {suggestion.base:.2g} to peak {suggestion.peak:.2g}",
    )
    axes.axvline(suggestion.peak, color=GREEN, linewidth=1.2)
    axes.plot(
        [suggestion.best],
        [suggestion.loss],
        marker="*",
        markersize=11,
        color=RED,
        linestyle="none",
        label=f"best constant {suggestion.best:.2g}",
    )


def plot_diverged(test: ParallelTest, axes: Axes) -> None:
    """Share of the seeds that failed, against the tested values."""
    share = test.diverged(test.reached[-1]).mean(axis=1)
    axes.fill_between(test.values, share, step="mid", color=RED, alpha=0.5, linewidth=0)
    axes.set(xscale="log", ylim=(0, 1.05), ylabel="share\ndiverged")
    axes.set_xlabel(_label(test.name))
    _finish(axes)


def plot_ramp(
    test: RampTest, axes: Axes, marks: Mapping[str, float] | None = None
) -> None:
    """Training loss against the climbing value: raw, smoothed, one line a seed.

    Args:
      test: a ramp range test.
      axes: matplotlib axes to draw on.
      marks: dict from the name of a rule to the value that it suggests.
    """
    losses, smoothed = test.losses, test.smoothed()
    for seed in range(len(losses)):
        first = seed == 0
        axes.plot(
            test.values,
            losses[seed],
            color=GREY,
            alpha=0.2,
            linewidth=0.6,
            label="batch loss" if first else None,
        )
        axes.plot(
            test.values,
            smoothed[seed],
            color=BLUE,
            alpha=0.8,
            linewidth=1.0,
            label="smoothed, one line a seed" if first else None,
        )
    styles = [(ORANGE, "--"), (PURPLE, ":"), (GREEN, "-.")]
    for (name, value), (color, style) in zip(
        (marks or {}).items(), styles, strict=False
    ):
        label = f"{name} {value:.2g}"
        axes.axvline(value, color=color, linestyle=style, linewidth=1.5, label=label)
    finite = losses[np.isfinite(losses)]
    if finite.size:
        low, high = finite.min(), np.nanmax(smoothed[:, 0])
        high = high if high > low else low + 1.0
        axes.set_ylim(low - 0.05 * (high - low), high + 0.4 * (high - low))
    axes.set(xscale="log", xlabel=_label(test.name), ylabel="training loss")
    axes.set_title("Ramp: one run a seed, the value climbs")
    axes.legend(fontsize=7, loc="lower left")
    _finish(axes)


def plot_trainings(
    updates: np.ndarray, curves: Mapping[str, np.ndarray], axes: Axes
) -> None:
    """Validation loss during trainings, median and range over seeds.

    Args:
      updates: `[evaluations]`, the updates made before each evaluation.
      curves: dict from a training's label to its losses `[seeds, evaluations]`.
      axes: matplotlib axes to draw on.
    """
    for index, (name, values) in enumerate(curves.items()):
        color, style = _style(index)
        low, median, high = (
            _over_seeds(reduce, values.T)
            for reduce in (np.nanmin, np.nanmedian, np.nanmax)
        )
        axes.fill_between(updates, low, high, color=color, alpha=0.18, linewidth=0)
        axes.plot(updates, median, color=color, linestyle=style, label=name)
    axes.set(xlabel="update", ylabel="validation loss")
    _scale_losses(axes)
    axes.set_title("Training with the suggestion: median and range over seeds")
    axes.legend(fontsize=8)
    _finish(axes)


def plot_schedules(
    schedules: Mapping[str, Schedule | Scalar | Mapping[str, Schedule | Scalar]],
    steps: int,
    *,
    log: bool = False,
) -> Figure:
    """Schedules and policies over their steps.

    Args:
      schedules: dict from a label to a schedule, or to a policy (a dict of
        schedules). Schedules are drawn as learning rates, a number as a constant.
      steps: how many steps to draw, from 0.
      log: whether values have a logarithmic axis.

    Returns:
      A matplotlib figure with one panel for each hyperparameter. Thin vertical lines
      in the colour of a curve mark where its cycles begin, if `cycle_starts` knows
      them and they are at most 60. Over more than a million steps, a million of them
      are drawn, and no cycles marked.

    Raises:
      TypeError: if a schedule is neither a function of the step nor a number.
      ValueError: if there is no schedule, `steps` is out of range, or a schedule does
        not give one value for each step.

    Examples:
      >>> import optax_cycles as oc
      >>> from optax_cycles.plot import plot_schedules
      >>> figure = plot_schedules({"1cycle": oc.one_cycle_policy(100, 0.1)}, 100)
      >>> [axes.get_ylabel() for axes in figure.axes]
      ['learning rate', 'momentum']
    """
    _checks.length("plot_schedules", "steps", steps)
    steps = int(steps)
    if not schedules:
        raise ValueError("plot_schedules: at least one schedule is needed, got none")
    policies = {
        textwrap.fill(label, _LINE): given
        if isinstance(given, Mapping)
        else {"learning_rate": given}
        for label, given in schedules.items()
    }
    names = list(dict.fromkeys(name for policy in policies.values() for name in policy))
    columns = 1 if max(map(len, policies)) > _LONG_LABEL else 2
    lines = math.ceil(sum(1 + label.count("\n") for label in policies) / columns)
    figure = new_figure(6.4, 1.0 + (2.2 + 0.17 * lines) * len(names))
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for name, axes in zip(names, panels, strict=True):
        _schedule_panel(axes, name, policies, steps, log)
        # Beside the curves, which it would hide wherever it lay.
        axes.legend(
            fontsize=8,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=columns,
            frameon=False,
            handlelength=3.5,
        )
    panels[-1].set_xlabel("step")
    panels[-1].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    return figure


def _schedule_panel(
    axes: Axes,
    name: str,
    policies: Mapping[str, Mapping[str, Any]],
    steps: int,
    log: bool,
) -> None:
    points = min(steps, _MOST_POINTS)
    at = np.linspace(0, steps - 1, points).round().astype(np.int64)
    marker = "o" if steps <= _FEW_POINTS else None
    for index, (label, policy) in enumerate(policies.items()):
        if name in policy:
            color, style = _style(index)
            values = _values(f"{label}: {name}", policy[name], at)
            axes.plot(
                at,
                values,
                color=color,
                linestyle=style,
                label=label,
                marker=marker,
                markersize=4,
            )
            if callable(policy[name]) and steps == points:
                mark_cycles(axes, cycle_starts(policy[name], steps), color)
    axes.set_ylabel(_label(name))
    if log:
        axes.set_yscale("log")
    else:
        # A common power of ten would be written where the legend is. 8 digits tell
        # any two float32 apart.
        axes.yaxis.set_major_formatter("{x:.8g}")
    _finish(axes)


def check_schedule(where: str, schedule: Any) -> None:
    """Check that a schedule is a function of the step alone, or a number.

    Raises:
      TypeError: if it is not.
    """
    if hasattr(schedule, "init") and hasattr(schedule, "update"):
        expected = (
            "a function of the step; this one has init and update: it is an optimizer, "
            "or follows a metric of the training"
        )
        raise TypeError(f"plot_schedules: {where} must be {expected}")
    number = np.ndim(schedule) == 0 and _is_numeric(np.asarray(schedule))
    if not callable(schedule) and not number:
        expected = "a function of the step or a number"
        _checks.fail_type("plot_schedules", where, expected, schedule)


def _is_numeric(values: np.ndarray) -> bool:
    # Neither objects nor text; bfloat16 is numeric, and NumPy doesn't know it.
    return values.dtype.kind in "iufV"


def _values(where: str, schedule: Any, at: np.ndarray) -> np.ndarray:
    """The values at the steps; a constant need not have their shape."""
    check_schedule(where, schedule)
    given = np.asarray(schedule(at) if callable(schedule) else schedule)
    if not _is_numeric(given) or given.shape not in ((), at.shape):
        raise ValueError(
            f"plot_schedules: {where} must give one value for each of {at.size} steps, "
            f"got an array of {given.dtype} with the shape {given.shape}"
        )
    return np.broadcast_to(given.astype(np.float64), at.shape)


def mark_cycles(axes: Axes, starts: np.ndarray, color: str = GREY) -> None:
    """Thin vertical lines where cycles begin; none where they would be a surface."""
    if len(starts) <= _MOST_MARKS:
        for start in starts:
            axes.axvline(start, color=color, linewidth=0.7, alpha=0.6, zorder=0)


def range_test_figure(
    parallel: ParallelTest,
    ramp: RampTest | None = None,
    *,
    suggestion: RangeSuggestion | None = None,
    marks: Mapping[str, float] | None = None,
    trainings: tuple[np.ndarray, Mapping[str, np.ndarray]] | None = None,
    note: str | None = None,
) -> Figure:
    """The whole range test on one page.

    Args:
      parallel: the parallel test; loss and share diverged against the value.
      ramp: the ramp, on the same axis below.
      suggestion: marked in the parallel test.
      marks: what the ramp's rules say.
      trainings: the first two arguments of `plot_trainings`.
      note: a line above all, such as why there is no suggestion.

    Returns:
      A matplotlib figure.
    """
    panels = {"loss": 3.0, "diverged": 0.8}
    panels |= {} if ramp is None else {"ramp": 2.0}
    panels |= {} if trainings is None else {"trainings": 2.2}
    figure = new_figure(7.0, 1.0 + 1.05 * sum(panels.values()))
    axes: dict[str, Any] = figure.subplot_mosaic(
        [[name] for name in panels], height_ratios=list(panels.values())
    )
    if note is not None:
        figure.suptitle(textwrap.fill(note, 80), fontsize=9, color=RED)
    axes["diverged"].sharex(axes["loss"])
    axes["loss"].tick_params(labelbottom=False)
    plot_parallel(parallel, axes["loss"], suggestion)
    plot_diverged(parallel, axes["diverged"])
    if ramp is not None:
        plot_ramp(ramp, axes["ramp"], marks)
        axes["ramp"].set_xlim(axes["loss"].get_xlim())
    if trainings is not None:
        plot_trainings(*trainings, axes["trainings"])
    return figure
