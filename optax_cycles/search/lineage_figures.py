"""Populations over their updates: what they tried, and who went on as whose copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles._extras import require
from optax_cycles._figures import BLUE, GREY, RED, finish, label_of
from optax_cycles.search.figures import SMALL, note_nothing, scale_scores
from optax_cycles.search.outcomes import history_of, limits_by, outcomes, scale_by
from optax_cycles.search.result import SearchResult
from optax_cycles.sweep.lineage import Lineage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The share of a stretch in which a line goes over to the next value.
SLANT = 0.25


def plot_lineage(found: SearchResult, axes: Axes, name: str) -> None:
    """One hyperparameter of every member over its updates, and who copied whom.

    Lines are members, blue where one goes on as a copy of another; the thick line is
    the one that led to the best.

    Args:
      found: a search with a lineage.
      axes: matplotlib axes to draw on.
      name: a hyperparameter.
    """
    lineage = _lineage(found)
    values = lineage.hparams[name].astype(np.float64)
    begins, ends = _stretches(found, lineage)
    reached = found.sweep.updates.reshape(-1)[:, None]
    there = np.broadcast_to(begins, values.shape) < reached
    slants = SLANT * (ends - begins)
    level = [
        [(begins[s] + slants[s] * (s > 0), values[m, s]), (ends[s], values[m, s])]
        for m, s in np.argwhere(there)
    ]
    own: list[Any] = []
    copied: list[Any] = []
    for m, s in np.argwhere(there[:, 1:]):
        parent = int(lineage.parents[m, s])
        joint = [
            (ends[s], values[parent, s]),
            (ends[s] + slants[s + 1], values[m, s + 1]),
        ]
        (own if parent == m else copied).append(joint)
    _draw_members(axes, [*level, *own], copied)
    known = outcomes(found)
    if known.best is not None:
        _draw_line(axes, found, int(known.leaders[known.best]), name)
    # Drawn from a distribution; later ones are where the population has moved to.
    scale = scale_by(values[:, 0]) if there.any() else "linear"
    more = {"linthresh": values[values > 0].min()} if scale == "symlog" else {}
    axes.set_yscale(scale, **more)
    axes.set(
        xlabel="updates", ylabel=label_of(name), xlim=(0, found.sweep.steps * 1.02)
    )
    finish(axes)


def _lineage(found: SearchResult) -> Lineage:
    assert found.sweep.lineage is not None
    return found.sweep.lineage


def _stretches(found: SearchResult, lineage: Lineage) -> tuple[np.ndarray, np.ndarray]:
    """Where each stretch begins and ends, in updates."""
    bounds = np.array([0, *lineage.steps, found.sweep.steps], np.float64)
    return bounds[:-1], bounds[1:]


def _draw_members(axes: Axes, lines: Sequence[Any], copies: Sequence[Any]) -> None:
    collections = require("matplotlib.collections", "sweep", "plot")
    for label, segments, style in (
        ("members", lines, {"color": GREY, "alpha": 0.4}),
        ("go on as a copy", copies, {"color": BLUE, "alpha": 0.9}),
    ):
        if segments:
            more: Any = {"linewidth": 0.9, "label": label, **style}
            axes.add_collection(collections.LineCollection(segments, **more))
    axes.autoscale_view()


def _draw_line(axes: Axes, found: SearchResult, member: int, name: str) -> None:
    """The values along the line that led to a member, as far as it came."""
    lineage = _lineage(found)
    begins, ends = _stretches(found, lineage)
    slants = SLANT * (ends - begins)
    slants[0] = 0.0
    made = found.sweep.updates.reshape(-1)[member]
    over = begins < made
    steps = np.stack([begins + slants, np.minimum(ends, made)], axis=1)[over].reshape(
        -1
    )
    values = np.repeat(found.history(member)[name][over], 2)
    _draw_thick(axes, steps, values)


def _draw_thick(axes: Axes, steps: np.ndarray, values: np.ndarray) -> None:
    effects = require("matplotlib.patheffects", "sweep", "plot")
    outline = [effects.withStroke(linewidth=4.0, foreground="white")]
    style: Any = {"color": RED, "zorder": 4}
    label = "led to the best"
    axes.plot(steps, values, linewidth=2, label=label, path_effects=outline, **style)
    end: Any = {"marker": "*", "markersize": 12, "markeredgecolor": "white"}
    axes.plot(steps[-1:], values[-1:], **end, **style)


def plot_scores(found: SearchResult, axes: Axes) -> None:
    """The score of every member over its updates, and who copied whom.

    A copy begins where the member that it copied was.

    Args:
      found: a search with a lineage.
      axes: matplotlib axes to draw on.
    """
    lineage, known = _lineage(found), outcomes(found)
    horizons = found.sweep.horizons
    axes.set(xlabel="updates", ylabel=label_of(f"validation {found.metric}"))
    axes.set_xlim(0, found.sweep.steps * 1.02)
    finish(axes)
    if known.best is None:
        note_nothing(axes, found.metric)
        return
    curves = history_of(found)
    own: list[Any] = []
    copied: list[Any] = []
    for at in range(len(horizons) - 1):
        for member, parent in enumerate(_parents_at(lineage, int(horizons[at]))):
            ends = curves[max(parent, 0), at], curves[member, at + 1]
            if parent >= 0 and np.isfinite(ends).all():
                segment = [(horizons[at], ends[0]), (horizons[at + 1], ends[1])]
                (own if parent == member else copied).append(segment)
    _draw_members(axes, own, copied)
    line = lineage.ancestors(int(known.leaders[known.best]))
    # An evaluation is made before the verdict, so it is of the stretch that ends there.
    holders = line[np.searchsorted(lineage.steps, horizons)]
    best = curves[holders, np.arange(len(horizons))]
    finite = np.isfinite(best)
    _draw_thick(axes, horizons[finite], best[finite])
    limits = limits_by(curves, found.mode)
    scale_scores(axes.yaxis, curves[np.isfinite(curves)], limits)


def _parents_at(lineage: Lineage, step: int) -> np.ndarray:
    """Whose state each member goes on with after some updates."""
    (place,) = np.nonzero(lineage.steps == step)
    own = np.arange(len(lineage.parents))
    return lineage.parents[:, place[0]] if len(place) else own


def legend_above(axes: Axes) -> None:
    """One row of what lines mean, above the axes."""
    place: Any = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "frameon": False}
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=SMALL, ncols=4, **place)
