"""The tables of `searches.py`."""

from __future__ import annotations

from typing import Any

import _measure

HEADER = [
    "search",
    "updates",
    "median regret",
    "mean",
    "worst",
    "mean rank",
    "in hand",
    "first",
    "again",
]


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def table(found: Any) -> str:
    """A line for each search on one model, that of the least mean rank first."""
    methods = found["methods"]
    lines = [HEADER, ["---"] * len(HEADER)]
    for method in sorted(methods, key=lambda name: methods[name]["rank"]):
        of = methods[method]
        lines.append(
            [
                method,
                f"{of['updates']:,}",
                _percent(of["median"]),
                f"{_percent(of['mean'])} +- {_percent(of['error'])}",
                _percent(of["worst"]),
                f"{of['rank']:.2g}",
                f"{of['in_hand']:.3f}",
                f"{of['first_seconds']:.1f} s",
                f"{of['seconds']:.2f} s",
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tables(record: Any) -> str:
    """What goes between the marks of the page."""
    parts = []
    for found in record["cases"]:
        best = ", ".join(f"{name} {value:.3g}" for name, value in found["best"].items())
        parts += [
            f"{found['model'].upper()}; best known constants: {best}, with a loss of "
            f"{found['best_score']:.3f}:",
            table(found),
        ]
    ran_on = _measure.environment_line(record["environment"])
    return "\n\n".join([*parts, f"{ran_on}."]) + "\n"
