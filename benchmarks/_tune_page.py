"""Comparisons of `tune_worth.py`, and the tables that they make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import _measure
import numpy as np
from scipy import stats

# One-sided, of a paired t-test over searches.
LEVEL = 0.05
SHOWN = ("tune", "random, 1cycle", "TPE, 1cycle", "default, 1cycle")


class Compared:
    """The scores of all methods on all tasks, in pairs.

    Attributes:
      tasks: their names.
      methods: their names.
      scores: `[methods, tasks, searches]`.
    """

    def __init__(self, cases: Sequence[Any]) -> None:
        """Take the scores of each task."""
        self.tasks = [case["task"] for case in cases]
        self.methods = list(cases[0]["methods"])
        self.scores = np.array(
            [[case["methods"][m]["scores"] for case in cases] for m in self.methods]
        )

    def logs(self, method: str) -> np.ndarray:
        """`[tasks, searches]`: logarithms of a method's scores."""
        found: np.ndarray = np.log(self.scores[self.methods.index(method)])
        return found

    def ranks(self) -> np.ndarray:
        """`[methods]`: the mean place, 1 for the best, over tasks and searches."""
        places: np.ndarray = stats.rankdata(self.scores, axis=0)
        return places.mean(axis=(1, 2))

    def ratios(self) -> np.ndarray:
        """`[methods, tasks]`: the median score over the best method's."""
        medians = np.median(self.scores, axis=2)
        ratios: np.ndarray = medians / medians.min(axis=0)
        return ratios

    def worse(self, ours: str, other: str) -> list[str]:
        """The tasks on which the one is worse than the other beyond noise."""
        more = self.logs(ours) - self.logs(other)
        # Without any spread the test has nothing to say.
        return [
            task
            for task, each in zip(self.tasks, more, strict=True)
            if np.ptp(each) > 0
            and stats.ttest_1samp(each, 0, alternative="greater").pvalue < LEVEL
        ]


def _table(lines: Sequence[Sequence[str]]) -> str:
    marked = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in marked)


def _overall(cases: Sequence[Any], compared: Compared) -> str:
    ranks, ratios = compared.ranks(), compared.ratios()
    header = ["recipe", "mean rank", "loss over the best", "worst", "on", "updates"]
    lines = []
    for place in np.argsort(ranks):
        method, of = compared.methods[place], ratios[place]
        spent = [case["methods"][method]["updates"] for case in cases]
        lines.append(
            [
                method,
                f"{ranks[place]:.1f}",
                f"{np.exp(np.log(of).mean()):.3g} x",
                f"{of.max():.3g} x",
                compared.tasks[int(of.argmax())],
                f"{np.mean(spent):,.0f}" if any(spent) else "none",
            ]
        )
    return _table([header, *lines])


def _by_task(cases: Sequence[Any], optimizer: str, compared: Compared) -> str:
    header = ["task", "untrained", *SHOWN, "worse than a default"]
    names = [f"{optimizer}: {name}" for name in SHOWN]
    defaults = [n for n in compared.methods if n.startswith(f"{optimizer}: default")]
    worse = {n: compared.worse(names[0], n) for n in defaults}
    lines = []
    for case in cases:
        cells = [_spread(case["methods"][name]["scores"]) for name in names]
        of = [n.split(", ")[-1] for n in defaults if case["task"] in worse[n]]
        untrained = f"{case['untrained']:.3g}"
        lines.append([case["task"], untrained, *cells, ", ".join(of) or "no"])
    return _table([header, *lines])


def _spread(scores: Sequence[float]) -> str:
    return f"{np.median(scores):.3g} ({min(scores):.3g} to {max(scores):.3g})"


def tables(record: Any, compared: Compared) -> str:
    """What goes between the marks of the page."""
    cases = record["cases"]
    ran_on = _measure.environment_line(record["environment"])
    parts = [_overall(cases, compared)]
    for optimizer in record["settings"]["optimizers"]:
        said = (
            f"`oc.{optimizer}` on each task, the median over searches (least to most):"
        )
        parts += [said, _by_task(cases, optimizer, compared)]
    return "\n\n".join([*parts, f"{ran_on}."]) + "\n"
