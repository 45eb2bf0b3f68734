"""Axes of the report's figures: scales, marks, legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles._extras import require
from optax_cycles._figures import RED, new_figure, scale_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 4.3, 2.8
# Over more powers of ten, only these themselves are named.
_NARROW = 100.0


def new_panel(height: float = HEIGHT) -> tuple[Figure, Axes]:
    """A figure of one panel, as wide as all of them."""
    figure = new_figure(WIDTH, height)
    return figure, figure.subplots()


def legend_above(axes: Axes, *, ncols: int = 2, title: str | None = None) -> Any:
    """A legend above the curves, which it would hide wherever it lay."""
    if not axes.get_legend_handles_labels()[1]:
        return None
    return axes.legend(
        title=title,
        fontsize=8,
        title_fontsize=8,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=ncols,
        frameon=False,
        borderaxespad=0.1,
        columnspacing=1.2,
        handletextpad=0.4,
    )


def ring(axes: Axes, x: float, y: float, color: str = RED, label: str = "") -> None:
    """Mark a point."""
    axes.plot(
        [x],
        [y],
        "o",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor=color,
        markeredgewidth=1.8,
        label=label or None,
    )


def mark_failures(axes: Axes, rates: Sequence[float], mode: str) -> None:
    """Crosses at the bad end of the axis."""
    if rates:
        axes.plot(
            rates,
            [0.97 if mode == "min" else 0.03] * len(rates),
            "x",
            color=RED,
            markersize=5,
            transform=axes.get_xaxis_transform(),
            label="failed",
        )


def scale_scores(axes: Axes, which: str, scores: Sequence[float]) -> None:
    """A logarithmic axis for scores that are positive and far apart."""
    values = np.array(scores)
    if values.size and scale_of(values) == "log":
        _logarithmic(axes, which, values)


def scale_rates(axes: Axes, rates: Sequence[float]) -> None:
    """The logarithmic axis of learning rates."""
    _logarithmic(axes, "x", np.array(rates))


def _logarithmic(axes: Axes, which: str, values: np.ndarray) -> None:
    """Ticks are plain numbers."""
    ticker = require("matplotlib.ticker", "sweep", "report")
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    subs = (1.0, 2.0, 5.0) if values.max() < _NARROW * values.min() else (1.0,)
    axis.set_major_locator(ticker.LogLocator(subs=subs, numticks=7))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())
