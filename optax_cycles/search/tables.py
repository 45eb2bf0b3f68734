"""Searches as small tables for notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from optax_cycles.search.outcomes import Outcomes, outcomes
from optax_cycles.search.result import SearchResult
from optax_cycles.sweep.members import Status

ROWS = 5


def search_table(found: SearchResult) -> str:
    """The method, its cost, the best point, and the five best with what they were."""
    known = outcomes(found)
    rows = {
        "method": found.method.replace("_", " "),
        "members": _counts(found),
        "cost": _cost(found),
    }
    if known.best is not None:
        word = "best" if known.ended[known.best] else "best so far"
        rows[word] = _described(found, known, known.best)
    above = table("SearchResult", rows)
    if known.best is None:
        return above
    return above + leaderboard_table(_board(found, known))


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


def _counts(found: SearchResult) -> str:
    sweep = found.sweep
    dropped = int((sweep.status == Status.DROPPED).sum())
    diverged = int(sweep.diverged.sum())
    running = sweep.status == Status.RUNNING
    ended = int((running & (sweep.updates == sweep.steps)).sum())
    left = sweep.space.size - dropped - diverged - ended
    counts = {
        "trained to the end": ended,
        "dropped": dropped,
        "diverged": diverged,
        "not finished": left,
    }
    named = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"{sweep.space.size}: {named}"


def _cost(found: SearchResult) -> str:
    """Updates, and what share they are of training all members to the end."""
    full = found.sweep.space.size * found.sweep.steps
    if found.updates == full:
        return f"{full} updates"
    return f"{found.updates} updates, {found.updates / full:.0%} of {full}"


def _described(found: SearchResult, known: Outcomes, point: int) -> str:
    named = ", ".join(f"{n} {v[point].item():.6g}" for n, v in known.hparams.items())
    return f"{named}: validation {found.metric} {known.medians[point]:.6g}"


def _board(found: SearchResult, known: Outcomes) -> list[dict[str, str]]:
    """The best points: the medians over their seeds, with the range over them."""
    return [
        {
            "rank": f"{rank}",
            found.metric: _score(known.last[point]),
            "updates": f"{known.updates[point]}",
            **{n: f"{v[point].item():.4g}" for n, v in known.hparams.items()},
        }
        for rank, point in enumerate(known.order[:ROWS].tolist(), 1)
    ]


def _score(last: Any) -> str:
    finite = last[np.isfinite(last)]
    if not finite.size:
        return "none"
    text = f"{np.median(finite):.4g}"
    return (
        text if len(last) == 1 else f"{text} ({finite.min():.4g} to {finite.max():.4g})"
    )
