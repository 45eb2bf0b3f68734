"""Figures of searches over points: the leaderboard, and the rungs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._extras import require
from optax_cycles._figures import (
    BLUE,
    GREY,
    RED,
    SKY,
    finish,
    label_of,
    over_seeds,
    scale_of,
)
from optax_cycles.search.outcomes import Outcomes, curves, limits_by, outcomes
from optax_cycles.search.result import SearchResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALL = 7
# Points between columns.
GAP = 8.0
# Powers of ten alone would be few ticks on an axis over less than this factor.
DECADES = 200.0
NOTHING = "no finite {} to draw"


def note_nothing(axes: Axes, metric: str) -> None:
    """Say so where nothing is known of any member."""
    text = NOTHING.format(label_of(metric))
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center")


def scale_scores(axis: Any, values: np.ndarray, limits: tuple[float, float]) -> None:
    """A scale of an axis for a metric, which says how much lies beyond its limits."""
    low, high = limits
    scale = scale_of(np.array([low, high]))
    getattr(axis.axes, f"set_{axis.axis_name}scale")(scale)
    name_few_decades(axis, low, high)
    if scale == "log":
        room = (high / low) ** 0.06
        low, high = low / room, high * room
    else:
        room = 0.06 * (high - low) or 0.1 * abs(low) or 1.0
        low, high = low - room, high + room
    axis.set_view_interval(low, high, ignore=True)
    if beyond := int(((values < low) | (values > high)).sum()):
        text = f"far worse, not shown: {beyond}"
        style: Any = {"fontsize": SMALL, "color": GREY, "ha": "right", "va": "top"}
        style["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        axis.axes.text(0.99, 0.98, text, transform=axis.axes.transAxes, **style)


def name_few_decades(axis: Any, low: float, high: float) -> None:
    """Ticks at 1, 2, 3 and 5 times powers of ten on a short logarithmic axis."""
    if axis.get_scale() == "log" and high < DECADES * low:
        ticker = require("matplotlib.ticker", "sweep", "plot")
        axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(ticker.NullFormatter())


def legend_beside(axes: Axes) -> None:
    """What marks and lines mean, to the right of the axes."""
    axes.legend(fontsize=SMALL, loc="upper left", bbox_to_anchor=(1.01, 1))


def plot_leaderboard(
    found: SearchResult, axes: Axes, *, count: int | None = 10
) -> None:
    """The best points as dots on an axis of their scores, and what they were.

    A dot is the median over a point's seeds, a bar the range over them; hollow dots are
    points that were dropped or stopped, by the last that is known of them.

    Args:
      found: a search.
      axes: matplotlib axes to draw on.
      count: how many points; None for all.

    Raises:
      TypeError, ValueError: if `count` is no positive integer.
    """
    known = outcomes(found)
    shown = best_points(known, count=count)
    rows = np.arange(len(shown))
    medians = known.medians[shown]
    axes.set(
        xlabel=label_of(f"validation {found.metric}"), ylim=(len(rows) - 0.5, -0.5)
    )
    if known.best is None:
        note_nothing(axes, found.metric)
    else:
        _draw_dots(axes, known, shown)
        drawn = known.last[shown]
        drawn = drawn[np.isfinite(drawn)]
        scale_scores(axes.xaxis, drawn, (drawn.min(), drawn.max()))
        legend_beside(axes)
    for row in rows[~np.isfinite(medians)]:
        word = "diverged" if known.diverged[shown[row]] else "not evaluated"
        place: Any = {"transform": axes.get_yaxis_transform(), "va": "center"}
        axes.text(0.02, row, word, color=RED, fontsize=SMALL, **place)
    _write_columns(axes, len(shown), _columns(known, shown))
    axes.set_title(_title(found, known), fontsize=10)
    finish(axes)
    axes.grid(False, axis="x")


def best_points(known: Outcomes, *, count: int | None = 10) -> np.ndarray:
    """The best points, in order.

    Raises:
      TypeError, ValueError: if `count` is no positive integer.
    """
    if count is not None:
        _checks.integer("plot", "count", count, minimum=1)
    return known.order[:count]


def _title(found: SearchResult, known: Outcomes) -> str:
    points, seeds = known.members.shape
    over = f", {seeds} seeds each" if seeds > 1 else ""
    word = "point" if points == 1 else "points"
    return f"{label_of(found.method)}: {points} {word}{over}"


def _draw_dots(axes: Axes, known: Outcomes, shown: np.ndarray) -> None:
    rows = np.arange(len(shown))
    medians, ended = known.medians[shown], known.ended[shown]
    if known.last.shape[1] > 1:
        low, high = (over_seeds(f, known.last[shown]) for f in (np.nanmin, np.nanmax))
        axes.hlines(
            rows,
            low,
            high,
            color=BLUE,
            alpha=0.35,
            linewidth=3,
            label="range over seeds",
        )
    style: Any = {"linestyle": "none", "marker": "o", "markersize": 6, "color": BLUE}
    if ended.any():
        axes.plot(medians[ended], rows[ended], label="trained to the end", **style)
    if (stopped := ~ended & np.isfinite(medians)).any():
        hollow: Any = style | {"markerfacecolor": "white"}
        axes.plot(medians[stopped], rows[stopped], label="stopped before", **hollow)
    star: Any = style | {"marker": "*", "markersize": 13, "color": RED}
    word = "best" if ended[0] else "best so far"
    axes.plot(medians[:1], rows[:1], label=word, markeredgecolor="white", **star)


def _columns(known: Outcomes, shown: np.ndarray) -> dict[str, list[str]]:
    """The cells beside each dot, by column."""
    names = known.varying
    columns = {n: [f"{v:.3g}" for v in known.hparams[n][shown].tolist()] for n in names}
    if len(np.unique(known.updates[shown])) > 1:
        columns["updates"] = [f"{made}" for made in known.updates[shown]]
    return columns


def _write_columns(axes: Axes, count: int, columns: dict[str, list[str]]) -> None:
    """Cells to the left of the axes, under their names."""
    axes.set_yticks(range(count), [f"{rank}" for rank in range(1, count + 1)])
    axes.tick_params(axis="y", length=0, labelsize=SMALL, pad=4)
    right = -4 - _width(str(count)) - 1.5 * GAP
    beside = axes.get_yaxis_transform()
    for name, cells in reversed(columns.items()):
        words = label_of(name).split(" ")
        for row, cell in enumerate(cells):
            _write(axes, cell, (0, row), offset=(right, 0), on=beside, va="center")
        head: Any = {"offset": (right, 3), "on": axes.transAxes, "va": "bottom"}
        _write(axes, "\n".join(words), (0, 1), **head)
        right -= max(map(_width, [*words, *cells])) + GAP


def _width(text: str) -> float:
    """How wide a small label is, in points."""
    paths = require("matplotlib.textpath", "sweep", "plot")
    return float(paths.TextPath((0, 0), text, size=SMALL).get_extents().width)


def _write(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    *,
    offset: tuple[float, float],
    on: Any,
    va: str,
) -> None:
    style: Any = {"fontsize": SMALL, "ha": "right", "va": va, "annotation_clip": False}
    points: Any = {"xytext": offset, "textcoords": "offset points"}
    axes.annotate(text, at, xycoords=on, **points, **style)


def plot_rungs(found: SearchResult, axes: Axes) -> None:
    """The score of each point over its updates, to where it was dropped.

    Vertical lines are rungs, with how many members train until each. Lines are medians
    over a point's seeds, with the range over those of the best.

    Args:
      found: a search that drops members.
      axes: matplotlib axes to draw on.
    """
    known = outcomes(found)
    horizons = found.sweep.horizons
    lines = curves(known)
    axes.set(xlabel="updates", ylabel=label_of(f"validation {found.metric}"))
    if known.best is None:
        note_nothing(axes, found.metric)
        axes.set_xlim(0, found.sweep.steps)
    else:
        _draw_groups(axes, known, horizons, lines)
        _draw_best(axes, known, horizons, lines)
        scale_scores(
            axes.yaxis, lines[np.isfinite(lines)], limits_by(lines, found.mode)
        )
        legend_beside(axes)
    _scale_updates(axes, found)
    _draw_rungs(axes, found)
    finish(axes)
    axes.grid(False, axis="x")


def _draw_groups(
    axes: Axes, known: Outcomes, horizons: np.ndarray, lines: np.ndarray
) -> None:
    """A line for each point; those that came equally far look alike."""
    left = ~known.ended & ~known.diverged & ~known.dropped
    for label, group, style in (
        ("trained to the end", known.ended, {"color": BLUE, "linewidth": 1.2}),
        ("not finished", left, {"color": SKY, "linewidth": 1.2}),
        ("diverged", known.diverged & ~known.ended, {"color": RED, "linestyle": ":"}),
    ):
        _draw_group(axes, horizons, lines[group], label, {"zorder": 3, **style})
    ends = np.unique(known.updates[known.dropped])
    for shade, end in zip(np.linspace(0.78, 0.45, len(ends)), ends, strict=True):
        group = known.dropped & (known.updates == end)
        style = {"color": (shade,) * 3, "linewidth": 0.8, "linestyle": (0, (4, 1.2))}
        _draw_group(axes, horizons, lines[group], f"dropped at {end}", style)


def _draw_group(
    axes: Axes, horizons: np.ndarray, lines: np.ndarray, label: str, style: Any
) -> None:
    more = f"{label} ({len(lines)})"
    for curve in lines:
        finite = np.flatnonzero(np.isfinite(curve))
        # The mark where a line ends is all that there is of one evaluation.
        end: Any = {"marker": "o", "markersize": 2.5, "markevery": [len(finite) - 1]}
        if len(finite):
            axes.plot(horizons[finite], curve[finite], label=more, **end, **style)
            more = "_"  # one entry of the legend for all of them
    if len(lines) and more != "_":  # nothing is known of any
        axes.plot([], [], label=more, **style)


def _draw_best(
    axes: Axes, known: Outcomes, horizons: np.ndarray, lines: np.ndarray
) -> None:
    assert known.best is not None
    curve, seeds = lines[known.best], known.history[known.best]
    finite = np.isfinite(curve)
    word = "best" if known.ended[known.best] else "best so far"
    style: Any = {"color": RED, "zorder": 4}
    axes.plot(horizons[finite], curve[finite], linewidth=2.2, label=word, **style)
    end: Any = {"marker": "*", "markersize": 12, "markeredgecolor": "white"}
    axes.plot(horizons[finite][-1:], curve[finite][-1:], **end, **style)
    if len(seeds) > 1:
        low, high = (over_seeds(f, seeds.T[finite]) for f in (np.nanmin, np.nanmax))
        more: Any = {"alpha": 0.18, "linewidth": 0, "label": "range over its seeds"}
        axes.fill_between(horizons[finite], low, high, color=RED, **more)


def rung_ends(found: SearchResult) -> np.ndarray:
    """After how many updates somebody was dropped, as far as the search came."""
    lineage = found.sweep.lineage
    assert lineage is not None
    return lineage.steps[lineage.steps <= found.sweep.updates.max()]


def _scale_updates(axes: Axes, found: SearchResult) -> None:
    """Rungs are a factor apart, so that their axis is logarithmic."""
    ends = [*rung_ends(found).tolist(), found.sweep.steps]
    first = min(h for h in [*found.sweep.horizons.tolist(), *ends] if h > 0)
    if scale_of(np.array([first, ends[-1]])) == "log":
        kind: Any = {"linthresh": first} if 0 in found.sweep.horizons else {}
        axes.set_xscale("symlog" if kind else "log", **kind)
        axes.set_xlim(0 if kind else first / 1.35, ends[-1] * 1.15)
    axes.set_xticks(ends, [f"{end}" for end in ends])
    axes.set_xticks([], minor=True)


def _draw_rungs(axes: Axes, found: SearchResult) -> None:
    updates = found.sweep.updates
    begun, at = 0, axes.get_xaxis_transform()
    for end in [*rung_ends(found).tolist(), found.sweep.steps]:
        axes.axvline(end, color=GREY, linewidth=0.8, alpha=0.6, zorder=1)
        if count := int((updates > begun).sum()):
            text = f"{count}" if begun else f"{count} members"
            where: Any = {"transform": at, "ha": "right", "va": "bottom"}
            axes.text(end, 1.01, text, fontsize=SMALL, color=GREY, **where)
        begun = end
