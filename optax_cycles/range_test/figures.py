"""Figures of range tests."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle, product
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles._figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    described,
    finish,
    label_of,
    note_if_empty,
    over_seeds,
    over_seeds_of,
    scale_losses,
    scale_of,
    shade_of,
)
from optax_cycles.range_test.best import RangeSuggestion
from optax_cycles.range_test.parallel_result import ParallelTest
from optax_cycles.range_test.ramp_result import RampTest

if TYPE_CHECKING:
    from matplotlib.axes import Axes


POINT = 3


def plot_parallel(
    test: ParallelTest,
    axes: Axes,
    suggestion: RangeSuggestion | None = None,
    *,
    metric: str = "loss",
    on: str = "validation",
) -> None:
    """A metric against the tested values, with the range over seeds, at all horizons.

    Args:
      test: a parallel range test with one axis.
      axes: matplotlib axes to draw on.
      suggestion: marked where there is one.
      metric: what to draw.
      on: `"validation"`, or `"train"` for the metric in training.

    Raises:
      ValueError: if the test has several axes, or the metric was not recorded.
    """
    values, reached = test.values, test.reached
    shades = np.linspace(0.35, 1.0, len(reached))
    for horizon, shade in zip(reached, shades, strict=True):
        losses = alive(test, horizon, metric, on)
        median = over_seeds(np.nanmedian, losses)
        last = horizon == reached[-1]
        axes.plot(
            values,
            median,
            color=BLUE,
            alpha=shade,
            linewidth=1.8 if last else 1.0,
            marker=".",
            markersize=POINT,
            label=f"median at update {horizon}",
        )
        if last:
            axes.fill_between(
                values,
                over_seeds(np.nanmin, losses),
                over_seeds(np.nanmax, losses),
                color=BLUE,
                alpha=0.18,
                linewidth=0,
                label=f"range over {test.seeds} seed(s)",
            )
    axes.set(xscale=scale_of(values), ylabel=label_of(f"{on} {metric}"))
    scale_losses(axes)
    if suggestion is not None:
        _mark(axes, suggestion)
    axes.set_title("Parallel range test: every value trained on its own")
    axes.set_xlabel(label_of(test.name))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, loc="best")
    finish(axes)


def alive(test: ParallelTest, horizon: int, metric: str, on: str) -> np.ndarray:
    """`[*axes, seeds]`: a metric at a horizon, NaN for the members that failed."""
    of = test.train if on == "train" else test.validation
    return np.where(test.diverged(horizon), np.nan, of(metric, horizon))


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
    """Share of the seeds that failed, against the tested values.

    Nothing is drawn where the test stopped before any horizon.
    """
    style: Any = {"step": "mid", "color": RED, "alpha": 0.5, "linewidth": 0}
    if test.reached:
        share = test.diverged(test.reached[-1]).mean(axis=1)
        axes.fill_between(test.values, share, **style)
    axes.set(xscale=scale_of(test.values), ylim=(0, 1.05), ylabel="share\ndiverged")
    axes.set_xlabel(label_of(test.name))
    finish(axes)


def plot_ramp(
    test: RampTest, axes: Axes, marks: Mapping[str, float] | None = None
) -> None:
    """Loss against the climbing value, smoothed, for each point of the grid.

    Of one point each seed is a line, with the raw losses behind; of several, each is
    the median over its seeds. Dotted lines are the validation loss, where there is one.

    Args:
      test: a ramp range test.
      axes: matplotlib axes to draw on.
      marks: dict from the name of a rule to the value that it suggests.
    """
    if test.over:
        _plot_ramps(test, axes)
    else:
        _plot_seeds(test, axes)
    note_if_empty(axes)
    styles = [
        (ORANGE, "--"),
        (PURPLE, ":"),
        (GREEN, "-."),
        (RED, (0, (7, 1.5, 1, 1.5))),
    ]
    for (name, value), (color, style) in zip((marks or {}).items(), cycle(styles)):
        label = f"{label_of(name)} {value:.2g}"
        axes.axvline(value, color=color, linestyle=style, linewidth=1.5, label=label)
    low, high = _fall(test)
    axes.set_ylim(low - 0.05 * (high - low), high + 0.4 * (high - low))
    shown = "loss" if test.sweep.validation else "training loss"
    axes.set(xscale=scale_of(test.values), xlabel=label_of(test.name), ylabel=shown)
    shown = "median over seeds" if test.over else "one run a seed"
    axes.set_title(f"Ramp: {shown}, the value climbs")
    axes.legend(fontsize=7, loc="lower left")
    finish(axes)


def _marker(curve: np.ndarray) -> dict[str, Any]:
    """Markers for a curve of which one value or none is finite: a line has two."""
    few = np.isfinite(curve).sum() < 2
    return {"marker": ".", "markersize": 2 * POINT} if few else {}


def _plot_seeds(test: RampTest, axes: Axes) -> None:
    for seed, (raw, smoothed) in enumerate(
        zip(test.losses, test.smoothed(), strict=True)
    ):
        labels = ("batch loss", "smoothed, one line a seed")
        batch_label, label = labels if seed == 0 else (None, None)
        thin: Any = {"color": GREY, "alpha": 0.2, "linewidth": 0.6, **_marker(raw)}
        axes.plot(test.values, raw, label=batch_label, **thin)
        thick: Any = {"color": BLUE, "alpha": 0.8, "linewidth": 1.0, **_marker(raw)}
        axes.plot(test.values, smoothed, label=label, **thick)
    if test.sweep.validation:
        losses = test.validation()
        for seed, line in enumerate(losses):
            label = "validation loss" if seed == 0 else None
            style: Any = {"color": RED, "linestyle": ":", **_marker(line)}
            axes.plot(test.validated, line, label=label, **style)


def _plot_ramps(test: RampTest, axes: Axes) -> None:
    smoothed = over_seeds_of(test.smoothed())
    points = list(product(*test.axes.values()))
    curves = smoothed.reshape(len(points), -1)
    validation = None
    if test.sweep.validation:
        validation = over_seeds_of(test.validation()).reshape(len(points), -1)
    for index, (point, curve) in enumerate(zip(points, curves, strict=True)):
        color = shade_of(index, len(points))
        label = described(dict(zip(test.axes, point, strict=True)))
        style: Any = {"color": color, "linewidth": 1.2, **_marker(curve)}
        axes.plot(test.values, curve, label=label, **style)
        if validation is not None:
            line = validation[index]
            axes.plot(test.validated, line, color=color, linewidth=1.2, linestyle=":")
    if validation is not None:
        axes.plot([], [], color=GREY, linestyle=":", label="validation loss")


def _fall(test: RampTest) -> tuple[float, float]:
    """The least loss, and that at the start; one below the other."""
    losses = test.losses[np.isfinite(test.losses)]
    if not losses.size:
        return 0.0, 1.0
    low, high = float(losses.min()), float(np.nanmax(test.smoothed()[..., 0]))
    return low, high if high > low else low + 1.0
