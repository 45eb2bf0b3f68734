"""How figures look: sizes, colours, line styles, axes.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; marks and
line styles repeat what colours say.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles._extras import require

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


def finish(axes: Axes) -> None:
    axes.grid(True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def label_of(name: str) -> str:
    return name.replace("_", " ")


def style_of(index: int) -> tuple[str, Any]:
    """Colour and line style of a curve."""
    return _COLORS[index % len(_COLORS)], _LINES[index % len(_LINES)]


def scale_losses(axes: Axes) -> None:
    """A logarithmic axis where all drawn losses are positive and far apart."""
    drawn = _drawn(axes)
    if not drawn.size:
        note_if_empty(axes)
    elif drawn.min() > 0 and drawn.max() > WIDE * drawn.min():
        axes.set_yscale("log")


def note_if_empty(axes: Axes) -> None:
    """Say so where there is no finite loss to draw."""
    if not _drawn(axes).size:
        axes.text(
            0.5, 0.5, "no finite loss to draw", transform=axes.transAxes, ha="center"
        )


def _drawn(axes: Axes) -> np.ndarray:
    lines = [np.ravel(line.get_ydata()) for line in axes.lines]
    drawn = np.concatenate([np.empty(0), *lines])
    return drawn[np.isfinite(drawn)]


def over_seeds(reduce: Any, losses: np.ndarray) -> np.ndarray:
    """`reduce` over the seeds that did not fail; NaN where all did."""
    some = ~np.all(np.isnan(losses), axis=1)
    result = np.full(len(losses), np.nan)
    result[some] = reduce(losses[some], axis=1)
    return result


def over_seeds_of(curves: np.ndarray) -> np.ndarray:
    """`[*axes, points]`: medians over the seeds of `[*axes, seeds, points]`.

    Only the seeds that have a number count; NaN where none has.
    """
    wide = np.moveaxis(curves, -2, -1)
    medians = over_seeds(np.nanmedian, wide.reshape(-1, wide.shape[-1]))
    return medians.reshape(wide.shape[:-1])


def scale_of(values: np.ndarray) -> str:
    """`"log"` for positive values over more than a factor of `WIDE`, or `"linear"`."""
    wide = values.min() > 0 and values.max() > WIDE * values.min()
    return "log" if wide else "linear"


def shade_of(index: int, count: int) -> Any:
    """The colour of one of an ordered row of curves, dark to light."""
    matplotlib = require("matplotlib", "sweep", "plot")
    return matplotlib.colormaps["cividis"](0.9 * index / max(count - 1, 1))


def described(point: Mapping[str, float]) -> str:
    """A point of a grid in words."""
    return ", ".join(f"{label_of(name)} {value:.3g}" for name, value in point.items())
