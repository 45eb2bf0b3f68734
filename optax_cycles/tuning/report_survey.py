"""Figures of what the steps of tuning tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles._figures import BLUE, RED, finish, shade_of, style_of
from optax_cycles.tuning.family import DECAY, RATE
from optax_cycles.tuning.report_facts import (
    Row,
    finite_scores,
    hashable,
    ranked,
    text,
)
from optax_cycles.tuning.report_panels import (
    HEIGHT,
    legend_above,
    mark_failures,
    new_panel,
    ring,
    scale_rates,
    scale_scores,
)
from optax_cycles.tuning.report_svg import INK, Drawing, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# More would hide each other, and make the page large.
MOST_POINTS = 400
_MARKERS = "osD^vP*X"


def rate_drawing(rows: Sequence[Row], measured: str, mode: str) -> Drawing | None:
    """Score against constant learning rate, with the seeds' range and failures."""
    rows = sorted((row for row in rows if RATE in row), key=lambda row: row[RATE])
    alive = [row for row in rows if row["score"] is not None]
    if not alive:
        return None
    figure, axes = new_panel()
    rates = [row[RATE] for row in rows]
    # The curve has a gap where a rate failed.
    seeds = [_seeds(row) for row in rows]
    low, high = [min(scores) for scores in seeds], [max(scores) for scores in seeds]
    middle = [math.nan if row["score"] is None else row["score"] for row in rows]
    axes.fill_between(rates, low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(rates, middle, "o-", color=BLUE, markersize=3.5)
    best = ranked(alive, mode)[0]
    ring(axes, best[RATE], best["score"], label=f"best score: {text(best[RATE])}")
    failed = [row[RATE] for row in rows if None in (row.get("scores") or [None])]
    mark_failures(axes, failed, mode)
    scale_scores(axes, "y", [score for row in alive for score in _seeds(row)])
    scale_rates(axes, rates)
    axes.set(xlabel="constant learning rate", ylabel=shown(measured))
    legend_above(axes)
    finish(axes)
    return Drawing(
        "rates",
        f"The {measured} after short trainings at constant rates: median and range "
        "over seeds",
        f"The best score is at {text(best[RATE])}. {len(failed)} of {len(rows)} rates "
        "failed for one seed or more.",
        figure,
    )


def _seeds(row: Row) -> list[float]:
    """The scores to draw of a rate; a gap for one that failed."""
    if row["score"] is None:
        return [math.nan]
    return finite_scores(row) or [row["score"]]


def _how_many(few: Sequence[Row], rows: Sequence[Row]) -> str:
    """Rows are the best first."""
    among = f"the best {len(few)} of " if len(few) < len(rows) else ""
    return f"{among}{len(rows)} settings"


def joint_drawing(rows: Sequence[Row], measured: str, mode: str) -> Drawing | None:
    """Score against rate; colours say the decay and marks the momentum."""
    settings = [row for row in rows if RATE in row]
    few = settings[:MOST_POINTS]
    alive = [row for row in few if row["score"] is not None]
    if not alive:
        return None
    figure, axes = new_panel(HEIGHT + 0.8)
    momenta = list(groups_of(few, "momentum")) or [""]
    decays = list(groups_of(few, DECAY)) or [""]
    for row in alive:
        mark = momenta.index(text(row["momentum"])) if "momentum" in row else 0
        shade = decays.index(text(row[DECAY])) if DECAY in row else 0
        style = _point_style(mark, shade_of(shade, len(decays)))
        axes.plot([row[RATE]], [row["score"]], **style)
    best = ranked(alive, mode)[0]
    ring(axes, best[RATE], best["score"])
    mark_failures(axes, [r[RATE] for r in few if r["score"] is None], mode)
    scale_scores(axes, "y", [row["score"] for row in alive])
    scale_rates(axes, [row[RATE] for row in few])
    axes.set(xlabel="peak learning rate", ylabel=shown(measured))
    _legends(axes, momenta, decays)
    finish(axes)
    return Drawing(
        "survey",
        f"The {measured} of {_how_many(few, settings)} after "
        f"{few[0].get('length')} updates{_meaning(momenta, decays)}",
        f"The best of them has the rate {text(best[RATE])}.",
        figure,
    )


def _meaning(momenta: Sequence[str], decays: Sequence[str]) -> str:
    means = ["marks say the momentum"] if len(momenta) > 1 else []
    means += ["colours say the weight decay"] if len(decays) > 1 else []
    return "".join(f"; {one}" for one in means)


def _point_style(mark: int, color: Any) -> dict[str, Any]:
    return {
        "marker": _MARKERS[mark % len(_MARKERS)],
        "linestyle": "",
        "markerfacecolor": color,
        "markeredgecolor": INK,
        "markeredgewidth": 0.5,
        "markersize": 5,
    }


def _legends(axes: Axes, momenta: Sequence[str], decays: Sequence[str]) -> None:
    """What marks mean above the points, what colours mean below them."""
    if len(decays) > 1:
        shades = [shade_of(place, len(decays)) for place in range(len(decays))]
        handles = [axes.plot([], [], **_point_style(1, shade))[0] for shade in shades]
        axes.figure.legend(
            handles,
            decays,
            title="weight decay",
            fontsize=8,
            title_fontsize=8,
            loc="outside lower center",
            ncols=min(len(decays), 6),
            frameon=False,
            columnspacing=1.2,
            handletextpad=0.2,
        )
    if len(momenta) > 1:
        for place, momentum in enumerate(momenta):
            axes.plot([], [], label=momentum, **_point_style(place, "none"))
    legend_above(axes, ncols=4, title="momentum" if len(momenta) > 1 else None)


def groups_of(rows: Sequence[Row], name: str) -> dict[str, list[Row]]:
    """Rows by the value of a hyperparameter; numbers in their order."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        if name in row:
            groups.setdefault(hashable(row[name]), []).append(row)
    words = any(isinstance(value, str) for value in groups)
    return {text(v): groups[v] for v in sorted(groups, key=str if words else np.mean)}


def strip_drawing(
    name: str, title: str, groups: Mapping[str, Sequence[Row]], measured: str, mode: str
) -> Drawing:
    """The scores of each group on a line of its own, the best one marked."""
    best = {group: ranked(rows, mode)[0]["score"] for group, rows in groups.items()}
    words = ", ".join(f"{group} {text(score)}" for group, score in best.items())
    dots = {group: [row["score"] for row in rows] for group, rows in groups.items()}
    figure = _strip(dots, best, measured, mode)
    return Drawing(name, title, f"The best of each: {words}.", figure)


def final_dots(
    rows: Sequence[Row], labels: Sequence[str], measured: str, mode: str
) -> Drawing:
    """The score of each seed of each finalist, and the median."""
    named = dict(zip(labels, rows, strict=True))
    medians = {label: row["score"] for label, row in named.items()}
    words = ", ".join(f"{label} {text(score)}" for label, score in medians.items())
    return Drawing(
        "final-scores",
        f"The final {measured} of each finalist: every seed, and the median ringed",
        f"The medians: {words}.",
        _strip(
            {label: list(row.get("scores") or ()) for label, row in named.items()},
            medians,
            measured,
            mode,
            own_colors=True,
        ),
    )


def _strip(
    groups: Mapping[str, Sequence[float | None]],
    marked: Mapping[str, float | None],
    measured: str,
    mode: str,
    *,
    own_colors: bool = False,
) -> Figure:
    figure, axes = new_panel(0.9 + 0.3 * max(len(groups), 2))
    rows = [{"score": score} for score in marked.values()]
    winner = ranked(rows, mode)[0]["score"]
    drawn: list[float] = []
    for place, (group, scores) in enumerate(groups.items()):
        alive = [s for s in scores[:MOST_POINTS] if s is not None]
        color = style_of(place)[0] if own_colors else BLUE
        at = [place] * len(alive)
        axes.plot(alive, at, "o", color=color, markersize=4.5, alpha=0.6, mew=0)
        middle = marked[group]
        if middle is not None:
            ring(axes, middle, place, RED if middle == winner else INK)
            drawn.append(middle)
        drawn += alive
        _count_failures(axes, place, sum(score is None for score in scores))
    axes.set_yticks(range(len(groups)), [shown(group) for group in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    scale_scores(axes, "x", drawn)
    axes.set_xlabel(shown(measured))
    finish(axes)
    return figure


def _count_failures(axes: Axes, place: int, failed: int) -> None:
    if failed:
        axes.text(
            1.01,
            place,
            f"{failed} failed",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
        )
