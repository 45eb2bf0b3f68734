"""A search in parallel coordinates: an axis for each hyperparameter, last the score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles._extras import require
from optax_cycles._figures import GREY, RED, SKY, described, label_of, scale_of
from optax_cycles.search.figures import SMALL, name_few_decades, note_nothing
from optax_cycles.search.outcomes import Outcomes, limits_by, outcomes, scale_by
from optax_cycles.search.result import SearchResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# So few different values are named one by one.
FEW = 8
# Labels closer than this share of an axis would lie on one another.
CLOSE = 0.035
# Where a colour bar goes on, by whether scores lie below and above it.
EXTENDS = {
    (False, False): "neither",
    (True, False): "min",
    (False, True): "max",
    (True, True): "both",
}


def plot_coordinates(found: SearchResult, axes: Axes) -> Any:
    """Each point as a line over the values of its hyperparameters, to its score.

    Every hyperparameter has an axis with a scale of its own; those that all points
    share are left out, and named below. Points that did not train to the end are faint
    and have no score, so that their lines stop before its axis. Scores far worse than
    most are at the end of their axis.

    Args:
      found: a search.
      axes: matplotlib axes to draw on.

    Returns:
      The matplotlib lines of the points with a score, to make a colour bar of; None
      where there are none.
    """
    known = outcomes(found)
    names = known.varying
    ended = known.ended
    axes.set(xlim=(-0.35, len(names) + 0.25), ylim=(-0.04, 1.04), yticks=[])
    axes.set_xticks(range(len(names) + 1), _titles(found, names), fontsize=8)
    axes.tick_params(axis="x", length=0, pad=10)
    axes.spines[:].set_visible(False)
    shares = [
        _axis_of(axes, place, known.hparams[name]) for place, name in enumerate(names)
    ]
    heights = np.stack(shares, axis=1)
    _draw_faint(axes, known, heights)
    lines = None
    if ended.any():
        scores = np.where(ended, known.medians, np.nan)
        limits = limits_by(scores, found.mode)
        beyond = _beyond(scores, limits)
        at = np.clip(scores, *limits)
        share = _axis_of(axes, len(names), at, metric=True, beyond=beyond)
        paths = np.column_stack([heights, share])
        colours = _colours(limits, found.mode, beyond)
        lines = _draw_scored(axes, known, paths, scores, **colours)
        _draw_best(axes, known, paths)
    else:
        note_nothing(axes, found.metric)
    _note(axes, known)
    return lines


def _titles(found: SearchResult, names: Sequence[str]) -> list[str]:
    words = [label_of(name) for name in [*names, f"validation {found.metric}"]]
    return [word.replace(" ", "\n") for word in words]


def _beyond(scores: np.ndarray, limits: tuple[float, float]) -> tuple[bool, bool]:
    """Whether some scores are below or above what is drawn."""
    known = scores[np.isfinite(scores)]
    return bool((known < limits[0]).any()), bool((known > limits[1]).any())


def _axis_of(
    axes: Axes,
    place: int,
    values: np.ndarray,
    *,
    metric: bool = False,
    beyond: tuple[bool, bool] = (False, False),
) -> np.ndarray:
    """An axis at a place, with the scale of some values; their shares of its height."""
    twin = axes.twinx()
    twin.spines[["left", "top", "bottom"]].set_visible(False)
    twin.spines["right"].set_position(("data", place))
    known = values[np.isfinite(values)].astype(np.float64)
    scale = scale_of(known) if metric else scale_by(known)
    more = {"linthresh": known[known > 0].min()} if scale == "symlog" else {}
    twin.set_yscale(scale, **more)
    low, high = float(known.min()), float(known.max())
    if low == high:
        room = 0.1 * abs(low) or 0.5
        low, high = low - room, high + room
    if metric:
        name_few_decades(twin.yaxis, low, high)
    onto = twin.yaxis.get_transform().transform
    ends = onto(np.array([low, high]))
    # The host's heights are shares, which leave a little room at both ends.
    room = 0.04 * (ends[1] - ends[0])
    back = twin.yaxis.get_transform().inverted().transform
    twin.set_ylim(*back(np.array([ends[0] - room, ends[1] + room])))
    shares: np.ndarray = (onto(values.astype(np.float64)) - ends[0]) / np.diff(ends)
    _label(twin, known, shares[np.isfinite(values)], metric, beyond)
    return shares


def _label(
    twin: Axes,
    values: np.ndarray,
    shares: np.ndarray,
    metric: bool,
    beyond: tuple[bool, bool],
) -> None:
    """Ticks at the values where they are few, at round numbers otherwise."""
    different, places = np.unique(values, return_index=True)
    if len(different) <= FEW and not metric:
        kept = _apart(shares[places])
        names = [f"{value:.4g}" for value in different[kept]]
        twin.set_yticks(different[kept], names)
        twin.set_yticks([], minor=True)
    elif any(beyond):
        _label_ends(twin, different, shares[places], beyond)
    style = require("matplotlib.patheffects", "sweep", "plot")
    twin.tick_params(axis="y", which="both", labelsize=SMALL, pad=2, length=3)
    for label in twin.get_yticklabels(which="both"):
        label.set_path_effects([style.withStroke(linewidth=2.5, foreground="white")])


def _label_ends(
    twin: Axes, values: np.ndarray, shares: np.ndarray, beyond: tuple[bool, bool]
) -> None:
    """Ticks at both ends, which say what lies beyond, and at round numbers between."""
    low, high = values[0], values[-1]
    round_ones = np.array([t for t in twin.get_yticks() if low < t < high])
    heights = np.interp(round_ones, values, shares)
    inner = round_ones[(heights > CLOSE) & (heights < 1 - CLOSE)]
    ends = [
        f"\u2264 {low:.3g}" if beyond[0] else f"{low:.3g}",
        f"\u2265 {high:.3g}" if beyond[1] else f"{high:.3g}",
    ]
    twin.set_yticks(
        [low, *inner, high], [ends[0], *(f"{tick:.3g}" for tick in inner), ends[1]]
    )
    twin.set_yticks([], minor=True)


def _apart(shares: np.ndarray) -> np.ndarray:
    """The places of increasing shares whose labels don't lie on one another."""
    kept = [0]
    for place in range(1, len(shares)):
        if shares[place] - shares[kept[-1]] >= CLOSE:
            kept.append(place)
    return np.array(kept)


def _lines(axes: Axes, paths: np.ndarray, **style: Any) -> Any:
    """Polylines over the places 0, 1, ..."""
    collections = require("matplotlib.collections", "sweep", "plot")
    places = np.broadcast_to(np.arange(paths.shape[1]), paths.shape)
    lines = collections.LineCollection(np.stack([places, paths], axis=-1), **style)
    axes.add_collection(lines, autolim=False)
    return lines


def _draw_faint(axes: Axes, known: Outcomes, heights: np.ndarray) -> None:
    failed = ~known.ended & known.diverged
    left = ~known.ended & ~known.diverged & ~known.dropped
    for label, group, style in (
        ("dropped", known.dropped & ~known.ended, {"color": GREY, "alpha": 0.35}),
        ("not finished", left, {"color": SKY, "alpha": 0.5}),
        ("diverged", failed, {"color": RED, "alpha": 0.5, "linestyle": ":"}),
    ):
        if group.any():
            more: Any = {"linewidth": 0.8, "label": f"{label} ({group.sum()})", **style}
            _lines(axes, heights[group], **more)
            last = heights[group, -1]
            ends: Any = {"marker": "o", "markersize": 2.5, "linestyle": "none"}
            place = np.full(len(last), heights.shape[1] - 1)
            axes.plot(place, last, color=style["color"], alpha=style["alpha"], **ends)


def _colours(
    limits: tuple[float, float], mode: str, beyond: tuple[bool, bool]
) -> dict[str, Any]:
    """A map of colours, and what they mean; dark is good."""
    colors = require("matplotlib.colors", "sweep", "plot")
    maps = require("matplotlib", "sweep", "plot").colormaps
    shades = maps["cividis"](np.linspace(0, 0.92, 256))
    shown = colors.ListedColormap(shades if mode == "min" else shades[::-1])
    shown.colorbar_extend = EXTENDS[beyond]
    wide = scale_of(np.array(limits)) == "log"
    norm = (colors.LogNorm if wide else colors.Normalize)(*limits)
    return {"cmap": shown, "norm": norm}


def _draw_scored(
    axes: Axes, known: Outcomes, paths: np.ndarray, scores: np.ndarray, **colours: Any
) -> Any:
    """The points with a score, the best on top."""
    order = known.order[known.ended[known.order]][::-1]
    label = f"trained to the end ({len(order)})"
    style: Any = {"linewidth": 1.1, "alpha": 0.85, "label": label}
    return _lines(axes, paths[order], array=scores[order], **colours, **style)


def _draw_best(axes: Axes, known: Outcomes, paths: np.ndarray) -> None:
    assert known.best is not None
    effects = require("matplotlib.patheffects", "sweep", "plot")
    outline = [effects.withStroke(linewidth=4.5, foreground="white")]
    path = paths[known.best]
    style: Any = {"color": RED, "linewidth": 2.4, "path_effects": outline}
    axes.plot(range(len(path)), path, label="best", marker="o", markersize=4, **style)


def _note(axes: Axes, known: Outcomes) -> None:
    """What all points share, and what lines mean."""
    if known.constants:
        axes.set_xlabel(f"all: {described(known.constants)}", fontsize=8, color=GREY)
    columns = min(len(known.varying) + 1, 5)
    place: Any = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
    legend = axes.legend(fontsize=SMALL, ncols=columns, frameon=False, **place)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)  # faint lines are too short to see there
