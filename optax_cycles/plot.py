"""Figures of schedules, range tests and trainings."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    finish,
    label_of,
    new_figure,
    over_seeds,
    save_figure,
    scale_losses,
    style_of,
)
from optax_cycles._typing import Scalar, Schedule
from optax_cycles.range_test import ParallelTest, RampTest, RangeSuggestion
from optax_cycles.range_test.figures import plot_diverged, plot_parallel, plot_ramp
from optax_cycles.range_test.grid_figures import grid_figure, plot_heat_map, plot_lines
from optax_cycles.schedules import cycle_starts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "RED",
    "SKY",
    "check_schedule",
    "grid_figure",
    "mark_cycles",
    "new_figure",
    "plot_diverged",
    "plot_heat_map",
    "plot_lines",
    "plot_parallel",
    "plot_ramp",
    "plot_schedules",
    "plot_trainings",
    "range_test_figure",
    "save_figure",
]

_MOST_MARKS = 60
_MOST_POINTS = 1_000_000
_FEW_POINTS = 20
_LONG_LABEL, _LINE = 40, 85


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
        color, style = style_of(index)
        low, median, high = (
            over_seeds(reduce, values.T)
            for reduce in (np.nanmin, np.nanmedian, np.nanmax)
        )
        axes.fill_between(updates, low, high, color=color, alpha=0.18, linewidth=0)
        axes.plot(updates, median, color=color, linestyle=style, label=name)
    axes.set(xlabel="update", ylabel="validation loss")
    scale_losses(axes)
    axes.set_title("Training: median and range over seeds")
    axes.legend(fontsize=8)
    finish(axes)


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
            color, style = style_of(index)
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
    axes.set_ylabel(label_of(name))
    if log:
        axes.set_yscale("log")
    else:
        # A common power of ten would be written where the legend is. 8 digits tell
        # any two float32 apart.
        axes.yaxis.set_major_formatter("{x:.8g}")
    finish(axes)


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
    axes["loss"].set_xlabel("")  # shared with the panel below
    plot_diverged(parallel, axes["diverged"])
    if ramp is not None:
        plot_ramp(ramp, axes["ramp"], marks)
        axes["ramp"].set_xlim(axes["loss"].get_xlim())
    if trainings is not None:
        plot_trainings(*trainings, axes["trainings"])
    return figure
