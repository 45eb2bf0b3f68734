"""Figures of range tests over several hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._extras import require
from optax_cycles._figures import (
    GREY,
    RED,
    WIDE,
    described,
    finish,
    label_of,
    new_figure,
    over_seeds_of,
    scale_losses,
    scale_of,
    shade_of,
    style_of,
)
from optax_cycles.range_test.figures import alive
from optax_cycles.range_test.parallel_result import ParallelTest
from optax_cycles.range_test.question import SIGNS, place_of
from optax_cycles.range_test.suggest import NoSuggestionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TICKS = 7
COLUMNS = 3


def plot_heat_map(
    test: ParallelTest,
    axes: Axes,
    *,
    horizon: int | None = None,
    metric: str = "loss",
    mode: str = "min",
    on: str = "validation",
    at: Mapping[str, float] | None = None,
    limits: tuple[float, float] | None = None,
) -> Any:
    """A metric over two hyperparameters, as colours; dark is low.

    Values stand at equal distances. Points where most of the seeds failed are hatched.
    A star marks the best point, white dots the best value of the first hyperparameter
    for each value of the second: are they on one line, the valley is aligned with the
    axes.

    Args:
      test: a parallel range test with two axes, or more.
      axes: matplotlib axes to draw on.
      horizon: the updates after which; the longest by default.
      metric: what to draw, the median over seeds.
      mode: whether its `"min"` or its `"max"` is best.
      on: `"validation"` or `"train"`.
      at: dict from each further axis to the value to stay at.
      limits: least and largest value of the colours; by default those of the figure,
        but none worse than what an untrained model has.

    Returns:
      The matplotlib image, to make a colour bar of.

    Raises:
      ValueError: if the test has one axis, or `at` is not what it must be.
    """
    _checks.choice("plot", "mode", mode, SIGNS)
    names, place = _two_axes(test, at)
    horizon = test.reached[-1] if horizon is None else horizon
    medians = _medians(test, horizon, metric, on)[place]
    vertical, across = (test.axes[name] for name in reversed(names))
    image = axes.pcolormesh(
        np.arange(len(across)),
        np.arange(len(vertical)),
        np.ma.masked_invalid(medians.T),
        cmap="cividis",
        norm=_norm(limits or _limits(test, horizon, metric, mode, on)),
    )
    axes.patch.set(hatch="////", edgecolor=GREY, facecolor="white")
    for axis, name, values in (
        (axes.xaxis, names[0], across),
        (axes.yaxis, names[1], vertical),
    ):
        _label_axis(axis, name, values)
    if np.isfinite(medians).any():
        _mark_best(axes, SIGNS[mode] * medians)
    axes.spines[["top", "right"]].set_visible(False)
    return image


def _mark_best(axes: Axes, medians: np.ndarray) -> None:
    """Marks where the least is."""
    known = np.where(np.isfinite(medians), medians, np.inf)
    rows = np.flatnonzero(np.isfinite(known).any(axis=0))
    lowest = known[:, rows].argmin(axis=0)
    style: Any = {"linestyle": "none", "markeredgecolor": "black"}
    axes.plot(lowest, rows, color="white", marker="o", markersize=4, **style)
    best = np.unravel_index(known.argmin(), known.shape)
    axes.plot([best[0]], [best[1]], color=RED, marker="*", markersize=13, **style)


def _two_axes(
    test: ParallelTest, at: Mapping[str, float] | None
) -> tuple[list[str], tuple[Any, ...]]:
    """The axes to draw over, and the index of what lies at a point of the others."""
    at = dict(at or {})
    names = [name for name in test.over if name not in at]
    if len(names) != 2 or not set(at) <= set(test.over):
        expected = f"a value for all but two of {list(test.over)}"
        _checks.fail("plot", "at", expected, at)
    place: list[Any] = []
    for name, values in test.axes.items():
        if name in names:
            place.append(slice(None))
            continue
        place.append(place_of("plot", name, values, at[name]))
    return names, tuple(place)


def _medians(test: ParallelTest, horizon: int, metric: str, on: str) -> np.ndarray:
    """`[*axes]`: medians over the seeds, NaN where more than half of them failed."""
    values = alive(test, horizon, metric, on)
    medians = over_seeds_of(values[..., None])[..., 0]
    return np.where(np.isnan(values).mean(-1) > 0.5, np.nan, medians)


def _limits(
    test: ParallelTest, horizon: int, metric: str, mode: str, on: str
) -> tuple[float, float]:
    medians = _medians(test, horizon, metric, on)
    if not np.isfinite(medians).any():
        return 0.0, 1.0
    low, high = float(np.nanmin(medians)), float(np.nanmax(medians))
    if on == "validation":
        untrained = float(np.nanmedian(test.untrained(metric)))
        if mode == "max":
            low = max(low, untrained) if untrained < high else low
        else:
            high = min(high, untrained) if untrained > low else high
    return low, high if high > low else low + 1.0


def _norm(limits: tuple[float, float]) -> Any:
    colors = require("matplotlib.colors", "sweep", "plot")
    low, high = limits
    wide = low > 0 and high > WIDE * low
    return (colors.LogNorm if wide else colors.Normalize)(low, high)


def _label_axis(axis: Any, name: str, values: np.ndarray) -> None:
    """Ticks at some of the values, which stand at equal distances."""
    every = -(-len(values) // MOST_TICKS)
    places = np.arange(0, len(values), every)
    axis.set_ticks(places, [f"{values[place]:.2g}" for place in places], fontsize=8)
    axis.set_label_text(label_of(name))


def plot_lines(
    test: ParallelTest,
    axes: Axes,
    *,
    along: str | None = None,
    horizon: int | None = None,
    metric: str = "loss",
    on: str = "validation",
) -> None:
    """A metric along one hyperparameter, a line for each value of the others.

    Args:
      test: a parallel range test.
      axes: matplotlib axes to draw on.
      along: the hyperparameter of the horizontal axis; the first by default.
      horizon: the updates after which; the longest by default.
      metric: what to draw: the median over the seeds that did not fail.
      on: `"validation"` or `"train"`.

    Raises:
      ValueError: if the test has no such axis, or the metric was not recorded.
    """
    along = test.over[0] if along is None else along
    _checks.choice("plot", "along", along, test.over)
    horizon = test.reached[-1] if horizon is None else horizon
    first = test.over.index(along)
    medians = np.moveaxis(_medians(test, horizon, metric, on), first, -1)
    others = {name: values for name, values in test.axes.items() if name != along}
    points = list(product(*others.values()))
    for index, (point, curve) in enumerate(
        zip(points, medians.reshape(len(points), -1), strict=True)
    ):
        axes.plot(
            test.axes[along],
            curve,
            color=shade_of(index, len(points)),
            linestyle=style_of(index)[1],
            marker="o" if len(curve) < MOST_TICKS else ".",
            markersize=3,
            linewidth=1.4,
            label=described(dict(zip(others, point, strict=True))),
        )
    axes.set(xscale=scale_of(test.axes[along]), xlabel=label_of(along))
    axes.set_ylabel(label_of(f"{on} {metric}"))
    scale_losses(axes)
    if others:
        axes.legend(fontsize=7)
    finish(axes)


def grid_figure(
    test: ParallelTest,
    *,
    metric: str = "loss",
    mode: str = "min",
    on: str = "validation",
) -> Figure:
    """Heat maps over the first two axes: each horizon, each value of further axes.

    Args:
      test: a parallel range test with two axes or more.
      metric: what to draw.
      mode: whether its `"min"` or its `"max"` is best.
      on: `"validation"` or `"train"`.

    Returns:
      A matplotlib figure.

    Raises:
      ValueError: if the test has one axis, or the metric was not recorded.
      NoSuggestionError: if the test stopped before any horizon.
    """
    if len(test.over) < 2:
        expected = "a test with at least two axes"
        _checks.fail("grid_figure", "test", expected, list(test.over))
    if not test.reached:
        raise NoSuggestionError("grid_figure: the test stopped before any horizon")
    further = {name: test.axes[name] for name in test.over[2:]}
    points = [
        dict(zip(further, point, strict=True)) for point in product(*further.values())
    ]
    horizons = test.reached[-1:] if further else test.reached
    panels = [(horizon, point) for horizon in horizons for point in points]
    columns = min(COLUMNS if further else 2, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(1.2 + 2.9 * columns, 0.7 + 2.5 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    _checks.choice("grid_figure", "mode", mode, SIGNS)
    limits = _limits(test, horizons[-1], metric, mode, on)
    shown: Any = {"metric": metric, "mode": mode, "on": on, "limits": limits}
    for axes, (horizon, point) in zip(grid.flat, panels, strict=False):
        image = plot_heat_map(test, axes, horizon=horizon, at=point, **shown)
        axes.set_title(described(point) or f"update {horizon}", fontsize=9)
        axes.label_outer()
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    label = label_of(f"{on} {metric}, median of {test.seeds} seed(s)")
    beyond = "min" if mode == "max" else "max"
    figure.colorbar(image, ax=grid, label=label, extend=beyond, shrink=0.9)
    figure.supxlabel(
        "star: best; dots: best of each row; hatched: most seeds failed", fontsize=8
    )
    return figure
