"""What `.plot()` of a search over static choices draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles._figures import (
    BLUE,
    GREEN,
    RED,
    finish,
    label_of,
    new_figure,
)
from optax_cycles.search.figures import (
    legend_beside,
    note_nothing,
    scale_scores,
)
from optax_cycles.search.outcomes import Outcomes, limits_by, outcomes
from optax_cycles.search.result import SIGNS
from optax_cycles.search.static_result import StaticResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# How far from its row the dots of a static point lie.
SPREAD = 0.22


def drawn_static(found: StaticResult, ax: Axes | None) -> Axes | Figure:
    """See `StaticResult.plot`."""
    figure = None
    if ax is None:
        figure = new_figure(7.2, 1.3 + 0.45 * len(found.points))
        ax = figure.subplots()
    plot_static(found, ax)
    return ax if figure is None else figure


def plot_static(found: StaticResult, axes: Axes) -> None:
    """The scores at each static point, a row each, and the best of each row.

    Dots are the points of a row's search that trained to the end, medians over their
    seeds, the best of them another mark; how many did is said beside each row.

    Args:
      found: a search over static choices.
      axes: matplotlib axes to draw on.
    """
    searched = [outcomes(result) for result in found.results]
    ended = [known.medians[known.ended] for known in searched]
    names = [
        f"{described_static(point)}\n{_counted(searched[row : row + 1])}"
        for row, point in enumerate(found.points)
    ]
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(
        ylim=(len(names) - 0.5, -0.5), xlabel=label_of(f"validation {found.metric}")
    )
    every = np.concatenate([np.empty(0), *ended])
    if every.size:
        _draw_strips(
            axes, [np.delete(scores, _best_of(scores, found.mode)) for scores in ended]
        )
        _draw_bests(axes, found, searched)
        scale_scores(axes.xaxis, every, limits_by(every, found.mode))
        legend_beside(axes)
    else:
        note_nothing(axes, found.metric)
    finish(axes)
    axes.grid(False, axis="x")


def described_static(point: Mapping[str, Any]) -> str:
    """A static point in words: names alone say what they are, numbers don't."""
    return ", ".join(
        value if isinstance(value, str) else f"{label_of(name)} {value}"
        for name, value in point.items()
    )


def _best_of(scores: np.ndarray, mode: str) -> list[int]:
    """The place of the best, if there is one: its own mark is drawn for it."""
    return [int((SIGNS[mode] * scores).argmin())] if scores.size else []


def _draw_strips(axes: Axes, ended: list[np.ndarray]) -> None:
    heights = [row + _offsets(len(scores)) for row, scores in enumerate(ended)]
    style: Any = {"color": BLUE, "alpha": 0.5, "linestyle": "none", "marker": "o"}
    axes.plot(
        np.concatenate(ended),
        np.concatenate(heights),
        markersize=4,
        markeredgewidth=0,
        label="trained to the end",
        **style,
    )


def _offsets(count: int) -> np.ndarray:
    """Places beside a row, so that equal scores don't hide one another."""
    turns = np.arange(count) * 0.618034 % 1.0
    return SPREAD * (2 * turns - 1) if count > 1 else np.zeros(count)


def _draw_bests(axes: Axes, found: StaticResult, searched: list[Outcomes]) -> None:
    """A mark for the best of each row, and a star for the best of all."""
    style: Any = {"linestyle": "none", "markeredgecolor": "white", "zorder": 4}
    rows = [row for row, known in enumerate(searched) if known.ended.any()]
    bests = [searched[row].medians[searched[row].order[0]] for row in rows]
    more: Any = {"marker": "D", "markersize": 7, "color": GREEN}
    axes.plot(bests, rows, label="best of a row", **more, **style)
    star: Any = {"marker": "*", "markersize": 15, "color": RED}
    best = [found.best_score], [found.best_place]
    axes.plot(*best, label="best", **star, **style)


def _counted(searched: list[Outcomes]) -> str:
    """How many points of a row, if it has any yet, trained to the end."""
    if not searched:
        return "not searched"
    (known,) = searched
    return f"{int(known.ended.sum())} of {len(known.ended)} to the end"
