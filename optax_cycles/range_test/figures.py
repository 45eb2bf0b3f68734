"""Figures of range tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from optax_cycles._figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    finish,
    label_of,
    over_seeds,
    scale_losses,
)
from optax_cycles.range_test.best import RangeSuggestion
from optax_cycles.range_test.parallel import ParallelTest
from optax_cycles.range_test.ramp import RampTest

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
        median = over_seeds(np.nanmedian, losses)
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
                over_seeds(np.nanmin, losses),
                over_seeds(np.nanmax, losses),
                color=BLUE,
                alpha=0.18,
                linewidth=0,
                label=f"range over {test.seeds} seed(s)",
            )
    axes.set(xscale="log", ylabel="validation loss")
    scale_losses(axes)
    if suggestion is not None:
        _mark(axes, suggestion)
    axes.set_title("Parallel range test: every value trained on its own")
    axes.legend(fontsize=7, loc="best")
    finish(axes)


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
    axes.set_xlabel(label_of(test.name))
    finish(axes)


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
    axes.set(xscale="log", xlabel=label_of(test.name), ylabel="training loss")
    axes.set_title("Ramp: one run a seed, the value climbs")
    axes.legend(fontsize=7, loc="lower left")
    finish(axes)
