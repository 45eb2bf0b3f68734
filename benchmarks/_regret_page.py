"""The tables and the figure of `regret.py`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _measure
import numpy as np

# What the figure shows of a smaller regret, or of one below 0.
LEAST = 1e-3
LIMIT = 0.05


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{_number(100 * value)} %"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{_number(value)} x"


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def wall(record: Any, name: str) -> float | None:
    """Time of one use over that of one of our ramps, the median over problems."""
    shape = record["finders"][name]["shape"]
    known = [
        seconds[shape] / seconds[record["ramp"]]
        for seconds in record["walls"].values()
        if shape in seconds
    ]
    return statistics.median(known) if known else None


def by_mean(record: Any) -> list[str]:
    """The finders, that of the least mean regret first."""
    means = {name: found["mean"] for name, found in record["finders"].items()}
    return sorted(means, key=lambda n: np.inf if means[n] is None else means[n])


def finders_table(record: Any) -> str:
    """A line for each finder."""
    header = [
        "finder",
        "updates",
        "time",
        "within 5 %",
        "held out",
        "mean regret",
        "of the fall",
        "worst",
        "on",
        "refuses",
        "spread",
    ]
    lines = []
    for name in by_mean(record):
        found, held = record["finders"][name], record["halves"]["held out"].get(name)
        lines.append(
            [
                name,
                f"{found['updates']:,}",
                _times(wall(record, name)),
                _percent(found["within"]),
                _percent(held and held["within"]),
                _percent(found["mean"]),
                _percent(found["mean_share"]),
                _percent(found["worst"]),
                found["worst_task"],
                _percent(found["refused"]),
                _times(found["spread"]),
            ]
        )
    return _markdown(header, lines)


def tasks_table(record: Any) -> str:
    """A line for each task."""
    shown = [*record["ours"], record["next_rule"]]
    header = ["task", "best rate", "its loss", "untrained", *shown]
    lines = []
    for task, truth in record["truths"].items():
        regrets = [record["tasks"][task][name]["regrets"] for name in shown]
        lines.append(
            [
                task,
                f"{truth['best_rate']:.2g}",
                f"{truth['best_loss']:.3f}",
                f"{truth['untrained']:.3f}",
                *(_percent(statistics.fmean(r)) if r else "refuses" for r in regrets),
            ]
        )
    return _markdown(header, lines)


def tables(record: Any, figure: str) -> str:
    """What goes between the marks of the page.

    Args:
      record: what `regret.py` found.
      figure: where the figure is, as the page says it.
    """
    ran_on = _measure.environment_line(record["environment"])
    parts = [
        f"![Regret of every finder on every task, and the share of its uses that come "
        f"within 5 % of the best rate]({figure})",
        finders_table(record),
        "Regret on each task, the mean over uses:",
        tasks_table(record),
        f"{ran_on}.",
    ]
    return "\n\n".join(parts) + "\n"


def draw(record: Any, path: Path) -> None:
    """Regret on every task, and how often a finder comes within 5 %."""
    from optax_cycles import plot

    names = by_mean(record)[::-1]
    figure = plot.new_figure(9.5, 0.27 * len(names) + 1.3)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    colors = {True: plot.BLUE, False: plot.ORANGE}
    scatter = np.random.default_rng(0)
    for place, name in enumerate(names):
        found, by_task = record["finders"][name], record["tasks"].values()
        color = colors[found["parallel"]]
        regrets = [
            np.mean(of[name]["regrets"]) for of in by_task if of[name]["regrets"]
        ]
        beside = place + scatter.uniform(-0.25, 0.25, len(regrets))
        dots = np.maximum(regrets, LEAST)
        left.plot(dots, beside, ".", color=color, markersize=4, alpha=0.6)
        if found["mean"] is not None:
            mean = max(found["mean"], LEAST)
            left.plot([mean], [place], "|", color="black", markersize=13, mew=2)
        right.barh(place, 100 * found["within"], color=color, height=0.6)
        right.text(102, place, f"{found['updates']:,}", va="center", fontsize=7)
    left.axvline(LIMIT, color=plot.GREY, linewidth=1.0)
    left.set(xscale="log", xlabel="regret: loss over that of the best rate, less 1")
    left.xaxis.set_major_formatter(lambda value, _: f"{100 * value:,g} %")
    left.set_yticks(range(len(names)), labels=names, fontsize=8)
    right.axvline(90, color=plot.GREY, linewidth=1.0)
    right.set(xlabel="% within 5 %", xlim=(0, 135), xticks=(0, 50, 90))
    right.text(102, len(names) - 0.4, "updates", fontsize=7)
    for panel in (left, right):
        panel.grid(True, axis="x", alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    count = len(record["truths"])
    words = f"{count} tasks (dots) and their mean (bars); blue: parallel, orange: ramps"
    figure.suptitle(words, fontsize=10)
    plot.save_figure(figure, path)
