"""Searches as small tables for notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from optax_cycles.search.outcomes import Outcomes, outcomes
from optax_cycles.search.result import SearchResult
from optax_cycles.search.static_result import StaticResult
from optax_cycles.sweep.tables import counts

ROWS = 5
# What says which of a point's members is meant.
HIDDEN = ("member", "seed")


def search_table(found: SearchResult) -> str:
    """The method, its cost, the best point, and the five best with what they were."""
    known = outcomes(found)
    rows = {
        "method": found.method.replace("_", " "),
        "members": counts(found.sweep),
        "cost": _cost(found),
    }
    if known.best is not None:
        word = "best" if known.ended[known.best] else "best so far"
        rows[word] = _described(found, known, known.best)
    above = table("SearchResult", rows)
    if known.best is None:
        return above
    return above + leaderboard_table(_board(found, known))


def static_table(found: StaticResult) -> str:
    """The static points, the cost, the best, and the five best of all searches."""
    made = f"{len(found.results)} of {len(found.points)} searched"
    rows = {name: _choices(found, name) for name in found.points[0]}
    rows |= {"points": made, "cost": f"{found.updates} updates"}
    if np.isfinite(found.scores).any():
        named = ", ".join(f"{name} {_cell(v)}" for name, v in found.best().items())
        rows["best"] = f"{named}: validation {found.metric} {found.best_score:.6g}"
    board = found.leaderboard(ROWS)
    above = table("StaticResult", rows)
    if not any(np.isfinite(row[found.metric]) for row in board):
        return above
    # Spaces may differ from one static point to the next.
    names = dict.fromkeys(name for row in board for name in row if name not in HIDDEN)
    cells = [{n: _cell(row[n]) if n in row else "" for n in names} for row in board]
    return above + leaderboard_table(cells)


def _choices(found: StaticResult, name: str) -> str:
    return ", ".join(dict.fromkeys(_cell(point[name]) for point in found.points))


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"


def table(caption: str, rows: Mapping[str, str]) -> str:
    """Names and texts."""
    cells = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
        for name, text in rows.items()
    )
    return f"<table><caption>{html.escape(caption)}</caption>{cells}</table>"


def leaderboard_table(board: list[dict[str, str]]) -> str:
    """Rows of named cells, the names above."""

    def row(kind: str, cells: Iterable[str]) -> str:
        inner = "".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in cells)
        return f"<tr>{inner}</tr>"

    body = "".join(row("td", cells.values()) for cells in board)
    return f"<table>{row('th', board[0])}{body}</table>"


def _cost(found: SearchResult) -> str:
    """Updates, and what share they are of training all members to the end."""
    full = found.sweep.space.size * found.sweep.steps
    if found.updates == full:
        return f"{full} updates"
    return f"{found.updates} updates, {found.updates / full:.0%} of {full}"


def _described(found: SearchResult, known: Outcomes, point: int) -> str:
    score = f"validation {found.metric} {known.medians[point]:.6g}"
    named = ", ".join(f"{n} {v[point].item():.6g}" for n, v in known.hparams.items())
    return f"{named}: {score}" if named else score


def _board(found: SearchResult, known: Outcomes) -> list[dict[str, str]]:
    """The best points: the medians over their seeds, with the range over them."""
    return [
        {
            "rank": f"{rank}",
            found.metric: _score(known, point),
            "updates": f"{known.updates[point]}",
            **{n: f"{v[point].item():.4g}" for n, v in known.hparams.items()},
        }
        for rank, point in enumerate(known.order[:ROWS].tolist(), 1)
    ]


def _score(known: Outcomes, point: int) -> str:
    """The median over a point's seeds, with the range over those with a number."""
    last, text = known.last[point], f"{known.medians[point]:.4g}"
    finite = last[np.isfinite(last)]
    if len(last) == 1 or not finite.size:
        return text
    return f"{text} ({finite.min():.4g} to {finite.max():.4g})"
