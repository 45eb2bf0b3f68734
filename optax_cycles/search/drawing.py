"""What `.plot()` of a search draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._figures import label_of, new_figure
from optax_cycles.search.coordinates import plot_coordinates
from optax_cycles.search.figures import SMALL, best_points, plot_leaderboard, plot_rungs
from optax_cycles.search.lineage_figures import legend_above, plot_lineage, plot_scores
from optax_cycles.search.outcomes import outcomes
from optax_cycles.search.result import SearchResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What shows how a method went.
NATURAL = {"population": "lineage"} | dict.fromkeys(
    ("successive_halving", "hyperband"), "rungs"
)
KINDS = ("leaderboard", "parallel", "rungs", "lineage")


def drawn_search(
    found: SearchResult, ax: Axes | None, kind: str | None, **options: Any
) -> Axes | Figure:
    """See `SearchResult.plot`."""
    kind = default_kind(found) if kind is None else kind
    _checks.choice("plot", "kind", kind, KINDS)
    if reason := lacks(found, kind):
        having = " or ".join(repr(one) for one in KINDS if not lacks(found, one))
        _checks.fail("plot", "kind", f"{having}, because {reason}", kind)
    known = {"leaderboard": {"count"}, "lineage": {"name"}}.get(kind, set())
    if unknown := options.keys() - known:
        raise TypeError(f"plot: a figure of kind {kind!r} takes no {min(unknown)}")
    if kind == "lineage":
        return _drawn_lineage(found, ax, **options)
    figure = _figure_for(found, kind, **options) if ax is None else None
    if figure is not None:
        ax = figure.subplots()
    assert ax is not None
    if kind == "leaderboard":
        plot_leaderboard(found, ax, **options)
    elif kind == "rungs":
        plot_rungs(found, ax)
    else:
        lines = plot_coordinates(found, ax)
        if lines is not None:
            bar = ax.figure.colorbar(lines, ax=ax, pad=0.02, aspect=30)
            bar.set_label(label_of(f"validation {found.metric}"), fontsize=8)
            bar.ax.tick_params(labelsize=SMALL, which="both")
    return ax if figure is None else figure


def default_kind(found: SearchResult) -> str:
    """What shows best how a search went."""
    kind = NATURAL.get(found.method, "parallel")
    return next(one for one in (kind, "parallel", KINDS[0]) if not lacks(found, one))


def lacks(found: SearchResult, kind: str) -> str:
    """Why a search has nothing that a kind could show; nothing if it has."""
    lineage = found.sweep.lineage
    if kind == "parallel":
        return "" if outcomes(found).hparams else "there is no hyperparameter"
    if kind in ("rungs", "lineage") and lineage is None:
        return "nobody was judged"
    return "members copy one another" if kind == "rungs" and _copied(found) else ""


def _copied(found: SearchResult) -> bool:
    """Whether some went on as copies of others."""
    lineage = found.sweep.lineage
    assert lineage is not None
    own = np.arange(len(lineage.parents))[:, None]
    return bool(((lineage.parents != own) & (lineage.parents >= 0)).any())


def _figure_for(found: SearchResult, kind: str, **options: Any) -> Figure:
    """An empty figure of a size for what is drawn."""
    known = outcomes(found)
    names = len(known.varying)
    if kind == "leaderboard":
        rows = len(best_points(known, **options))
        return new_figure(5.4 + 0.5 * names, 1.4 + 0.2 * rows)
    if kind == "parallel":
        return new_figure(min(3.0 + 1.05 * names, 14), 4.0)
    return new_figure(7.2, 3.8)


def _drawn_lineage(
    found: SearchResult, ax: Axes | None, name: str | None = None
) -> Axes | Figure:
    """A panel for each hyperparameter and one for the score, or one on given axes."""
    names = _moving(found) if name is None else [name]
    if name is not None:
        _checks.choice("plot", "name", name, outcomes(found).hparams)
    if ax is not None:
        if names:
            plot_lineage(found, ax, names[0])
        else:
            plot_scores(found, ax)
        legend_above(ax)
        return ax
    figure = new_figure(6.4, 1.0 + 1.7 * (len(names) + 1))
    panels = figure.subplots(len(names) + 1, 1, sharex=True, squeeze=False)[:, 0]
    for axes, one in zip(panels, names, strict=False):
        plot_lineage(found, axes, one)
    plot_scores(found, panels[-1])
    for axes in panels[:-1]:
        axes.set_xlabel("")  # shared with the panel below
    legend_above(panels[0])
    return figure


def _moving(found: SearchResult) -> list[str]:
    """The hyperparameters that differ somewhere; all, if there is none."""
    lineage = found.sweep.lineage
    assert lineage is not None
    named = {name: v for name, v in lineage.hparams.items() if name != "seed"}
    return [n for n, v in named.items() if len(np.unique(v)) > 1] or list(named)
