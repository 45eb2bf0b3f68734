"""The figures of `which_learning_rate.py`."""

import math

import numpy as np
from matplotlib.ticker import LogLocator, NullLocator

from optax_cycles.plot import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    new_figure,
)

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
LINES = ("-", "--", "-.", ":", (0, (7, 1.5, 1, 1.5, 1, 1.5)), (0, (1, 1)))
MARKS = "osD^vP"
HIS = "#999999"


def styles(names):
    """Colour, line style and mark of each optimizer."""
    return {
        name: {"color": colour, "linestyle": line, "marker": mark}
        for name, colour, line, mark in zip(names, COLOURS, LINES, MARKS, strict=False)
    }


def valley_figure(task, grid, his):
    """Updates to the target against the rate, a panel for each optimizer."""
    columns = min(len(grid), 3)
    rows = math.ceil(len(grid) / columns)
    figure = new_figure(1.2 + 2.7 * columns, 0.9 + 2.1 * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    looks = styles(grid)
    steps = np.concatenate([runs.valley.steps.ravel() for runs in grid.values()])
    bottom = min(steps.min(), task.updates) / 1.8
    for number, (name, runs) in enumerate(grid.items()):
        axes = panels.flat[number]
        _draw_valley(axes, runs.valley, task.updates, looks[name]["color"])
        _draw_his(axes, his[name], bottom)
        best = runs.valley.best
        title = "" if best is None else f": best at {runs.valley.rates[best]:.2g}"
        axes.set_title(name + title, fontsize=10)
        if number >= len(grid) - columns:
            axes.set_xlabel("learning rate")
        if number % columns == 0:
            axes.set_ylabel(f"updates to {100 * task.target:.0f} %")
    axes.set(xscale="log", yscale="log", ylim=(bottom / 1.3, task.updates * 1.9))
    axes.set_xticks([10.0**power for power in range(-6, 3, 2)])
    axes.xaxis.set_minor_locator(NullLocator())
    _number_plainly(axes.yaxis)
    for axes in panels.flat[len(grid) :]:
        axes.remove()
    known = dict(zip(*reversed(panels[0, 0].get_legend_handles_labels()), strict=True))
    place = "outside lower center"
    figure.legend(known.values(), known, loc=place, ncols=len(known), fontsize=8)
    return figure


def _number_plainly(axis):
    """Numbers like 50, 100 and 200 along a logarithmic axis of few powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def _draw_valley(axes, valley, updates, color):
    """Median and range over the seeds that get there, and where most don't."""
    works = valley.works
    finite = np.where(np.isfinite(valley.steps), valley.steps, np.nan)
    low, median, high = np.full((3, len(works)), np.nan)
    low[works] = np.nanmin(finite[works], axis=1)
    median[works] = valley.medians[works]
    high[works] = np.nanmax(finite[works], axis=1)
    axes.fill_between(valley.rates, low, high, color=color, alpha=0.25, linewidth=0)
    line = {"color": color, "marker": "o", "markersize": 3, "linewidth": 1.2}
    axes.plot(valley.rates, median, **line, label="median and range over seeds")
    failed = valley.rates[~works]
    height = np.full(len(failed), 1.35 * updates)
    axes.plot(failed, height, "x", color=GREY, markersize=3.5, label="fails")
    if valley.best is not None:
        best = valley.rates[valley.best], median[valley.best]
        axes.plot(*best, "*", color="black", markersize=9, label="best")
    axes.axhline(updates, color=GREY, linewidth=0.7, linestyle=":")
    axes.grid(alpha=0.25)


def _draw_his(axes, valley, height):
    """His working range along the bottom, with his best rate."""
    label = "his range and best rate on MNIST"
    axes.plot(
        valley.range, [height] * 2, color=HIS, linewidth=4, alpha=0.7, label=label
    )
    axes.plot(valley.rates[valley.best], height, "|", color="black", markersize=9)


def curves_figure(task, grid):
    """Validation accuracy over updates, each optimizer at its best rate."""
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    for name, look in styles(grid).items():
        runs = grid[name]
        valley = runs.valley
        if valley.best is None:
            continue
        # After a divergence nothing is right.
        accuracy = np.nan_to_num(runs.accuracy[valley.best])
        low, median, high = (
            reduce(accuracy, axis=0) for reduce in (np.min, np.median, np.max)
        )
        updates = runs.horizons
        axes.fill_between(
            updates, low, high, color=look["color"], alpha=0.15, linewidth=0
        )
        label = f"{name}, {valley.rates[valley.best]:.2g}"
        axes.plot(updates, median, **look, markersize=3, label=label)
    axes.axhline(task.target, color=GREY, linewidth=0.9, linestyle=":")
    axes.text(
        task.horizons[0],
        task.target,
        f"{100 * task.target:.0f} %",
        va="bottom",
        fontsize=8,
        color=GREY,
    )
    axes.set(xscale="log", xlabel="update", ylabel="validation accuracy")
    axes.set_title(
        f"At each optimizer's best rate, on {task.name}: median and range",
        fontsize=10,
    )
    axes.grid(alpha=0.25)
    if len(axes.lines) > 1:
        axes.legend(fontsize=8, loc="lower right")
    return figure


def width_figure(widths):
    """Time to the target and best rate against the network's width."""
    figure = new_figure(8.6, 3.8)
    left, right = figure.subplots(1, 2)
    looks = styles(widths)
    for number, (name, by_width) in enumerate(widths.items()):
        known = {w: r for w, r in by_width.items() if r.valley.best is not None}
        if not known:
            continue
        # Side by side, so that bars of one width don't cover each other.
        shift = 1.03 ** (number - (len(widths) - 1) / 2)
        at = np.array(list(known)) * shift
        seconds = [1e3 * runs.best_seconds for runs in known.values()]
        left.plot(at, seconds, **looks[name], markersize=5, label=name)
        valleys = [runs.valley for runs in known.values()]
        best = [valley.rates[valley.best] for valley in valleys]
        ranges = np.array([valley.range for valley in valleys]).T
        right.plot(at, best, **looks[name], markersize=5, label=name)
        right.vlines(at, *ranges, color=looks[name]["color"], alpha=0.35, linewidth=3)
    left.set(ylabel="milliseconds to the target, at the best rate")
    right.set(ylabel="best rate (bars: rates that work)")
    marks = list(next(iter(widths.values())))
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="width of the network")
        axes.set_xticks(marks, [f"{width:g}x" for width in marks])
        axes.set_xticks([], minor=True)
        axes.grid(alpha=0.25)
    _number_plainly(left.yaxis)
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=6,
        fontsize=8,
    )
    return figure
